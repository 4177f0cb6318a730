"""Take a network away as plain files, and check that each file computes what the network computes.

=========  ==========================  ====================================================================
format     files                       runs in
=========  ==========================  ====================================================================
torch      NAME.py, NAME.safetensors   Python with torch and safetensors; the source is there to be edited
onnx       NAME.onnx                   onnxruntime and whatever else reads ONNX
export     NAME.pt2                    torch.export.load, ahead-of-time compilers
=========  ==========================  ====================================================================

Networks are exported in evaluation mode and in float32, for batches of any size. What else a file says is a `Plain`.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import importlib.util
import io
import json
import keyword
import logging
import sys
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ogive.core.errors import ExportError, MissingData, OgiveError, SpecError, UnknownName, quoted
from ogive.core.rng import Seed
from ogive.files import workshop
from ogive.networks.plain import Entry, Inputs, Plain
from ogive.networks.standalone import standalone
from ogive.trained_networks import Exported

__all__ = ["LARGEST_ALLOWED", "export", "imported"]

logger = logging.getLogger(__name__)

LARGEST_ALLOWED = 1e-4  # of the largest output, where that is more than 1: rounding grows with what is rounded
BATCHES = (1, 3, 8)  # 1 and 3: exporters like to freeze the batch size that they saw, and to treat 1 as special
TRACED = 4  # the batch size that they see
CHATTY = (
    "torch.onnx._internal.exporter._registration",  # "torchvision is not installed"
    "torch.fx.experimental.symbolic_shapes",  # repeats with a traceback what is raised anyway
)


def export(
    network: nn.Module,
    folder: Path | str,
    plain: Plain,
    *,
    name: str,
    headline: str | None = None,
    formats: Sequence[str] = ("torch", "onnx", "export"),
    raw: bool = False,
    seed: Seed = Seed(0),  # noqa: B008
    progress: Callable[[str], None] | None = None,
) -> list[Exported]:
    """Write a network in each of the formats; what cannot work is refused before the first file is written.

    Args:
        network: left as it is.
        folder: made if it does not exist. A file of the same name is replaced, when the new one has passed its check.
        plain: what its task says of it, and the inputs to compare on.
        name: of the files, without suffix; a Python name, so that NAME.py can be imported.
        headline: what the network is and what made it, for the head of NAME.py.
        formats: some of "torch", "onnx" and "export".
        raw: whether ONNX takes bytes, 0 to 255, in the place of numbers.
        seed: of the random inputs.
        progress: called with the name of each format before it is written.

    Raises:
        ExportError: an export cannot be made, or differs by more than 1e-4 (of the largest output, where that
            is more than 1); no file of that format is left behind.
        SpecError: a name, a format or a recipe with which there can be no export.
        MissingData: a package that a format needs is not installed.
    """
    _check_name(name)
    for wanted in formats:
        if wanted not in WRITERS:
            raise UnknownName("export format", wanted, WRITERS)
        if wanted != "torch" and not plain.traced:
            made = type(network).__name__
            raise SpecError(f"A {made} is exported as torch source only, not to {wanted}: write --to torch.")
    if "onnx" in formats:
        require_onnx()
    if raw and ("onnx" not in formats or "bytes" not in plain.entries):
        raise SpecError(
            "Raw inputs are bytes of images that ONNX takes: only where it is a format, and the training images were "
            "bytes or numbers from 0 to 1."
        )
    subject = _Subject(network, plain, name, headline, seed, plain.entries.get("bytes" if raw else "numbers"))
    if "torch" in formats:
        subject.source()
    exported = []
    for wanted in dict.fromkeys(formats):
        if progress is not None:
            progress(wanted)
        exported.append(subject.exported(wanted, Path(folder)))
    plain.keep(Path(folder))
    return exported


def _check_name(name: str) -> None:
    """SpecError for a name that NAME.py cannot have."""
    # It would hide a module of the same name from itself: Python looks in the folder of a script first.
    if (
        name.startswith("__")
        or not name.isidentifier()
        or keyword.iskeyword(name)
        or name in {"torch", "safetensors", *sys.stdlib_module_names}
    ):
        raise SpecError(
            f"An export must have a name that a Python file of one's own can have, like winner; got {quoted(name)}."
        )


Run = Callable[[Inputs], Inputs]

# -- the network and what it answers ----------------------------------------------------------------------------------


class _Subject:
    """A copy of the network that can be exported, and what it answers to everything that every export is asked."""

    def __init__(
        self, network: nn.Module, plain: Plain, name: str, headline: str | None, seed: Seed, entry: Entry | None
    ) -> None:
        self.plain, self.name, self.headline, self.entry = plain, name, headline, entry
        # A copy, so that mode, device and precision of the caller's network stay as they are.
        self.network = plain.whole(copy.deepcopy(network)).to("cpu", torch.float32).eval()
        generator = torch.Generator().manual_seed(seed.integer("export"))
        drawn = [plain.drawn(count, generator) for count in BATCHES]
        self.asked = [*drawn, *(given for given, _ in plain.real)]
        self.answers = [self._answer(inputs) for inputs in (*drawn, *(known for _, known in plain.real))]

    def _answer(self, inputs: Inputs) -> Inputs:
        """What the network gives, checked to be what the task says."""
        plain, name = self.plain, type(self.network).__name__
        outputs: tuple[Any, ...] = _inferring(self.network)(inputs)
        told = [str(tuple(one.shape)) if isinstance(one, Tensor) else type(one).__name__ for one in outputs]
        tensors = len(outputs) == len(plain.outputs) and all(isinstance(one, Tensor) for one in outputs)
        if not tensors or not _fits(outputs[0].shape, inputs[0].shape[: len(plain.axes)], plain.shape):
            rest = ("classes",) if plain.shape is None else map(str, plain.shape)
            wanted, found = ", ".join((*plain.axes, *rest)), told[0] if len(told) == 1 else "tuple"
            raise SpecError(
                f"In evaluation mode a network must give {plain.outputs[0]} of shape ({wanted}); {name} gave {found} "
                f"for {plain.axes[0]}={len(inputs[0])}."
            )
        if plain.width is not None and outputs[0].shape[-1] != plain.width:
            raise SpecError(f"There are {plain.width} names of classes, but {outputs[0].shape[-1]} {plain.outputs[0]}.")
        if not all(bool(output.isfinite().all()) for output in outputs):
            raise SpecError(f"{name} gives NaN or infinity; there is nothing worth exporting.")
        return outputs

    def source(self) -> str:
        """NAME.py."""
        return standalone(self.network, self.plain, name=self.name, headline=self.headline)

    def facts(self, entry: Entry | None = None) -> dict[str, object]:
        """What a reader of a file without source must know to use it."""
        return {"name": self.name, **(self.plain.facts if entry is None else entry.facts)}

    def entered(self) -> nn.Module:
        """The network with its entry before it, where it has one."""
        return self.network if self.entry is None else nn.Sequential(self.entry.before, self.network).eval()

    def exported(self, format_name: str, folder: Path) -> Exported:
        """Write into a folder of its own, compare, and only then move the files to where they belong."""
        started = time.perf_counter()
        folder.mkdir(parents=True, exist_ok=True)
        # A rebuilt network draws weights, which are then replaced: nobody else's stream must move.
        with workshop(folder, ".export-") as place, torch.random.fork_rng(devices=[]):
            try:
                paths, run = WRITERS[format_name](self, place)
                paths += self._beside(place)
                difference = self._largest_difference(run, None if format_name != "onnx" else self.entry)
            except (OgiveError, OSError):
                raise
            except Exception as error:
                raise ExportError(
                    f"{type(self.network).__name__} cannot be exported to {format_name}: {_reason(error)}"
                ) from error
            allowed = LARGEST_ALLOWED * max(1.0, *(float(one.abs().max()) for answer in self.answers for one in answer))
            if not difference <= allowed:
                raise ExportError(
                    f"The export to {format_name} differs from {type(self.network).__name__} by {difference:.2g}, more "
                    f"than the {allowed:.2g} allowed; nothing was written."
                )
            final = tuple(path.replace(folder / path.name) for path in paths)
        seconds = time.perf_counter() - started
        logger.info("%s: largest difference %.2g, %.1f s", format_name, difference, seconds)
        return Exported(format_name, final, difference, seconds)

    def _beside(self, folder: Path) -> tuple[Path, ...]:
        paths = []
        for name, text in self.plain.beside(self.name).items():
            paths.append(folder / name)
            paths[-1].write_text(text, encoding="utf-8")
        return tuple(paths)

    def _largest_difference(self, run: Run, entry: Entry | None) -> float:
        """Over all that is asked; NaN and a wrong shape count as infinite."""
        largest, asked, answers = 0.0, self.asked, self.answers
        if entry is not None:
            asked = [entry.given(inputs) for inputs in asked]
            answers = [_inferring(self.entered())(inputs) for inputs in asked]
        for inputs, answer in zip(asked, answers, strict=True):
            told = run(inputs)
            for found, expected in zip(told, answer, strict=True):
                if found.shape != expected.shape or not bool(found.isfinite().all()):
                    return float("inf")
            largest = max(largest, self.plain.difference(told, answer))
        return largest


def _fits(found: torch.Size, axes: torch.Size, shape: tuple[int, ...] | None) -> bool:
    """Whether an output has the axes of its input and then this shape, or one axis more where none is told."""
    return found[:-1] == axes if shape is None else tuple(found) == (*axes, *shape)


def _reason(error: BaseException) -> str:
    """In one line; the last cause is where exporters say what went wrong."""
    while error.__cause__ is not None:
        error = error.__cause__
    return textwrap.shorten(f"{type(error).__name__}: {error}", 300)


# -- the formats ------------------------------------------------------------------------------------------------------

Written = tuple[tuple[Path, ...], Run]


def _write_torch(subject: _Subject, folder: Path) -> Written:
    from safetensors.torch import save

    source, weights = folder / f"{subject.name}.py", folder / f"{subject.name}.safetensors"
    source.write_text(subject.source(), encoding="utf-8")
    # A copy of each: safetensors refuses tensors that share memory or are not contiguous.
    state = {name: tensor.detach().clone().contiguous() for name, tensor in subject.network.state_dict().items()}
    weights.write_bytes(save(state, metadata={"format": "pt"}))
    loaded = imported(source).load()
    return (source, weights), _inferring(loaded)


def imported(path: Path) -> Any:
    """Run an exported file as a module that nobody else sees."""
    name = f"_ogive_export_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.dont_write_bytecode
    sys.modules[name] = module  # dataclasses look themselves up there
    sys.dont_write_bytecode = True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
        del sys.modules[name]
    return module


def _write_program(subject: _Subject, folder: Path) -> Written:
    path = folder / f"{subject.name}.pt2"
    with _quiet():
        torch.export.save(
            _program(subject.network, _example(subject)), path, extra_files={"ogive.json": json.dumps(subject.facts())}
        )
        loaded = torch.export.load(path).module()
    return (path,), _inferring(loaded)


def _example(subject: _Subject) -> Inputs:
    return tuple(torch.zeros_like(one) for one in subject.plain.drawn(TRACED, torch.Generator()))


def _program(network: nn.Module, example: Inputs) -> torch.export.ExportedProgram:
    dynamic = tuple({0: torch.export.Dim("batch", min=1)} for _ in example)
    # When it fails, torch prints the network so far; the reason is in what it raises.
    with contextlib.redirect_stderr(io.StringIO()):
        program = torch.export.export(network, example, dynamic_shapes=dynamic)
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)  # where ogive lies on this machine is nobody's business
    return program


def _write_onnx(subject: _Subject, folder: Path) -> Written:
    import onnxruntime

    path, plain, entry = folder / f"{subject.name}.onnx", subject.plain, subject.entry
    example = _example(subject) if entry is None else entry.given(_example(subject))
    with _quiet():
        program = torch.onnx.export(
            _program(subject.entered(), example),
            dynamo=True,
            input_names=list(plain.inputs),
            output_names=list(plain.outputs),
            dynamic_shapes=tuple({0: "batch"} for _ in plain.inputs),
            verbose=False,
        )
        assert program is not None
        for node in program.model.graph.all_nodes():
            node.metadata_props.clear()  # stack traces again
        program.model.metadata_props.update({f"ogive.{k}": json.dumps(v) for k, v in subject.facts(entry).items()})
        program.save(path, external_data=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(inputs: Inputs) -> Inputs:
        fed = {name: given.numpy() for name, given in zip(plain.inputs, inputs, strict=True)}
        return tuple(map(torch.from_numpy, session.run(list(plain.outputs), fed)))

    return (path,), run


def write_onnx(network: nn.Module, shape: tuple[int, ...], path: Path) -> None:
    """A bare network of images (C, H, W) as an ONNX file, with batches of any size; its input is ``images``.

    ExportError where it cannot be, and MissingData without the packages.
    """
    require_onnx()
    try:
        with _quiet(), torch.random.fork_rng(devices=[]):
            program = torch.onnx.export(
                _program(network.eval(), (torch.zeros(TRACED, *shape),)),
                dynamo=True,
                input_names=["images"],
                output_names=["logits"],
                dynamic_shapes=({0: "batch"},),
                verbose=False,
            )
            assert program is not None
            program.save(path, external_data=False)
    except OSError:
        raise
    except Exception as error:
        raise ExportError(f"{type(network).__name__} cannot be exported to onnx: {_reason(error)}") from error


def require_onnx() -> None:
    """MissingData, with the command, without the packages that write and run ONNX."""
    absent = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if absent:
        raise MissingData(f"To export to onnx, {' and '.join(absent)} must be installed: pip install 'ogive[onnx]'.")


def _inferring(module: nn.Module) -> Run:
    def run(inputs: Inputs) -> Inputs:
        with torch.inference_mode():
            found = module(*inputs)
        return found if isinstance(found, tuple) else (found,)

    return run


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what torch's exporters say about themselves and nobody can act on."""
    loggers = [logging.getLogger(name) for name in CHATTY]
    levels = [chatty.level for chatty in loggers]
    try:
        for chatty in loggers:
            chatty.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
            yield
    finally:
        for chatty, level in zip(loggers, levels, strict=True):
            chatty.setLevel(level)


WRITERS: dict[str, Callable[[_Subject, Path], Written]] = {
    "torch": _write_torch,
    "onnx": _write_onnx,
    "export": _write_program,
}
