"""Take a network away as plain files, and check that each file computes what the network computes.

=========  ==========================  ====================================================================
format     files                       runs in
=========  ==========================  ====================================================================
torch      NAME.py, NAME.safetensors   Python with torch and safetensors; the source is there to be edited
onnx       NAME.onnx                   onnxruntime and whatever else reads ONNX
export     NAME.pt2                    torch.export.load, ahead-of-time compilers
=========  ==========================  ====================================================================

Networks are exported in evaluation mode and in float32, for batches of any size.
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
import tempfile
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Required, TypedDict, Unpack

import torch
from torch import Tensor, nn

from ogive.core.errors import ExportError, MissingData, OgiveError, SpecError, UnknownName
from ogive.core.rng import Seed
from ogive.networks.standalone import Facts, Plain, standalone

__all__ = [
    "LARGEST_ALLOWED",
    "Exported",
    "Options",
    "check_name",
    "export",
    "export_onnx",
    "export_program",
    "export_torch",
    "imported",
]

logger = logging.getLogger(__name__)

LARGEST_ALLOWED = 1e-4  # of the largest output, where that is more than 1: rounding grows with what is rounded
BATCHES = (1, 3, 8)  # 1 and 3: exporters like to freeze the batch size that they saw, and to treat 1 as special
TRACED = 4  # the batch size that they see
CHATTY = (
    "torch.onnx._internal.exporter._registration",  # "torchvision is not installed"
    "torch.fx.experimental.symbolic_shapes",  # repeats with a traceback what is raised anyway
)


@dataclass(frozen=True, slots=True)
class Exported:
    """One export that passed its check.

    `largest_difference` is the largest absolute difference between its outputs and the network's own over all batches
    that were tried.
    """

    format: str
    paths: tuple[Path, ...]
    largest_difference: float
    seconds: float


class Options(TypedDict, total=False):
    """The keyword arguments that `export` and its one-format forms share."""

    name: Required[str]
    shape: Required[tuple[int, ...]]
    classes: Sequence[str] | None
    normalise: tuple[Sequence[float], Sequence[float]] | None
    headline: str | None
    images: Tensor | None
    seed: Seed
    plain: Plain | None


def export(
    network: nn.Module,
    folder: Path | str,
    *,
    formats: Sequence[str] = ("torch", "onnx", "export"),
    progress: Callable[[str], None] | None = None,
    **options: Unpack[Options],
) -> list[Exported]:
    """Write a network in each of the formats; what cannot work is refused before the first file is written.

    Args:
        network: takes images (N, *shape) and gives logits (N, classes); left as it is.
        folder: made if it does not exist. A file of the same name is replaced, when the new one has passed its check.
        formats: some of "torch", "onnx" and "export".
        progress: called with the name of each format before it is written.
        **options: `name` of the files, without suffix, a Python name so that NAME.py can be imported; `shape`, the
            channels, height and width of an image; names of the `classes` in the order of the logits; `normalise`, the
            mean and the standard deviation of each channel that images are normalised with, bytes on the scale 0..1
            and other numbers on their own; `headline`, what the network is and what made it, for the head of NAME.py;
            `images` (N, *shape), real inputs as the network takes them, to compare on beside random ones; `seed` of
            the random ones; `plain`, what NAME.py says and does where inputs are no images, and have another shape.

    Raises:
        ExportError: an export cannot be made, or differs by more than 1e-4 (of the largest logit, where that
            is more than 1); no file of that format is left behind.
        SpecError: a name, shape or recipe with which there can be no export.
        MissingData: a package that a format needs is not installed.
    """
    for name in formats:
        if name not in WRITERS:
            raise UnknownName("export format", name, WRITERS)
    if "onnx" in formats:
        _require_onnx()
    facts = _facts(options)
    subject = _Subject(network, facts, options.get("images"), options.get("seed", Seed(0)))
    if "torch" in formats:
        standalone(network, facts)
    exported = []
    for name in dict.fromkeys(formats):
        if progress is not None:
            progress(name)
        exported.append(subject.exported(name, Path(folder)))
    return exported


def export_torch(network: nn.Module, folder: Path | str, **options: Unpack[Options]) -> Exported:
    """Write NAME.py, which needs nothing of ogive, and NAME.safetensors; arguments and errors as in `export`."""
    return export(network, folder, formats=["torch"], **options)[0]


def export_onnx(network: nn.Module, folder: Path | str, **options: Unpack[Options]) -> Exported:
    """Write NAME.onnx and check it in onnxruntime; arguments and errors as in `export`."""
    return export(network, folder, formats=["onnx"], **options)[0]


def export_program(network: nn.Module, folder: Path | str, **options: Unpack[Options]) -> Exported:
    """Write NAME.pt2, a torch.export program; arguments and errors as in `export`."""
    return export(network, folder, formats=["export"], **options)[0]


def _facts(options: Options) -> Facts:
    name, shape, classes = options["name"], tuple(options["shape"]), options.get("classes")
    check_name(name)
    plain = options.get("plain")
    if (plain is None and len(shape) != 3) or not shape or min(shape) < 1:
        raise SpecError(f"The shape of an image is channels, height and width, all positive; got {shape}.")
    normalise = options.get("normalise")
    if normalise is not None:
        mean, std = (tuple(float(value) for value in values) for values in normalise)
        if not len(mean) == len(std) == shape[0] or min(std) <= 0:
            raise SpecError(
                f"Mean and standard deviation must have one value (above 0) for each of {shape[0]} channels, but are "
                f"{mean} and {std}."
            )
        normalise = mean, std
    named = None if classes is None else tuple(map(str, classes))
    return Facts(name, shape, named, normalise, options.get("headline"), plain)


def check_name(name: str) -> None:
    """SpecError for a name that NAME.py cannot have."""
    # It would hide a module of the same name from itself: Python looks in the folder of a script first.
    if not name.isidentifier() or keyword.iskeyword(name) or name in {"torch", "safetensors", *sys.stdlib_module_names}:
        raise SpecError(
            f"An export must have a name that a Python file of one's own can have, like winner; got {name!r}."
        )


# -- the network and what it answers ----------------------------------------------------------------------------------


class _Subject:
    """A copy of the network that can be exported, and what it answers to the batches that every export is asked."""

    def __init__(self, network: nn.Module, facts: Facts, images: Tensor | None, seed: Seed) -> None:
        self.facts = facts
        # A copy, so that mode, device and precision of the caller's network stay as they are.
        self.network = copy.deepcopy(network).to("cpu", torch.float32).eval()
        generator = torch.Generator().manual_seed(seed.integer("export"))
        self.batches = [torch.randn(size, *facts.shape, generator=generator) for size in BATCHES]
        if images is not None:
            if tuple(images.shape[1:]) != facts.shape:
                wanted = ", ".join(map(str, facts.shape))
                raise SpecError(f"The images to compare on must be of shape (N, {wanted}); got {tuple(images.shape)}.")
            self.batches += list(images.detach().to("cpu", torch.float32).split(256))
        self.answers = [self._answer(batch) for batch in self.batches]

    def _answer(self, batch: Tensor) -> Tensor:
        with torch.inference_mode():
            logits = self.network(batch)
        if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(batch):
            found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise SpecError(
                f"In evaluation mode a network must give logits of shape (N, classes); {type(self.network).__name__} "
                f"gave {found} for N={len(batch)}."
            )
        if self.facts.classes and logits.shape[1] != len(self.facts.classes):
            raise SpecError(f"There are {len(self.facts.classes)} names of classes, but {logits.shape[1]} logits.")
        if not bool(logits.isfinite().all()):
            raise SpecError(f"{type(self.network).__name__} gives NaN or infinity; there is nothing worth exporting.")
        return logits

    def exported(self, format_name: str, folder: Path) -> Exported:
        """Write into a folder of its own, compare, and only then move the files to where they belong."""
        started = time.perf_counter()
        folder.mkdir(parents=True, exist_ok=True)
        # A rebuilt network draws weights, which are then replaced: nobody else's stream must move.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as workshop, torch.random.fork_rng(devices=[]):
            try:
                paths, run = WRITERS[format_name](self.network, self.facts, Path(workshop))
                difference = self.largest_difference(run)
            except (OgiveError, OSError):
                raise
            except Exception as error:
                raise ExportError(
                    f"{type(self.network).__name__} cannot be exported to {format_name}: {_reason(error)}"
                ) from error
            allowed = LARGEST_ALLOWED * max(1.0, *(float(answer.abs().max()) for answer in self.answers))
            if not difference <= allowed:
                raise ExportError(
                    f"The export to {format_name} differs from {type(self.network).__name__} by {difference:.2g}, more "
                    f"than the {allowed:.2g} allowed; nothing was written."
                )
            final = tuple(path.replace(folder / path.name) for path in paths)
        seconds = time.perf_counter() - started
        logger.info("%s: largest difference %.2g, %.1f s", format_name, difference, seconds)
        return Exported(format_name, final, difference, seconds)

    def largest_difference(self, run: Callable[[Tensor], Tensor]) -> float:
        """Over all batches; NaN and a wrong shape count as infinite."""
        largest = 0.0
        for batch, expected in zip(self.batches, self.answers, strict=True):
            logits = run(batch)
            if logits.shape != expected.shape or not bool(logits.isfinite().all()):
                return float("inf")
            largest = max(largest, float((logits - expected).abs().max()))
        return largest


def _reason(error: BaseException) -> str:
    """In one line; the last cause is where exporters say what went wrong."""
    while error.__cause__ is not None:
        error = error.__cause__
    return textwrap.shorten(f"{type(error).__name__}: {error}", 300)


# -- the formats ------------------------------------------------------------------------------------------------------

Written = tuple[tuple[Path, ...], Callable[[Tensor], Tensor]]


def _write_torch(network: nn.Module, facts: Facts, folder: Path) -> Written:
    from safetensors.torch import save

    source, weights = folder / f"{facts.name}.py", folder / f"{facts.name}.safetensors"
    source.write_text(standalone(network, facts), encoding="utf-8")
    # A copy of each: safetensors refuses tensors that share memory or are not contiguous.
    state = {name: tensor.detach().clone().contiguous() for name, tensor in network.state_dict().items()}
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


def _write_program(network: nn.Module, facts: Facts, folder: Path) -> Written:
    path = folder / f"{facts.name}.pt2"
    with _quiet():
        torch.export.save(_program(network, facts), path, extra_files={"ogive.json": json.dumps(_metadata(facts))})
        loaded = torch.export.load(path).module()
    return (path,), _inferring(loaded)


def _program(network: nn.Module, facts: Facts) -> torch.export.ExportedProgram:
    example = torch.zeros(TRACED, *facts.shape)
    # When it fails, torch prints the network so far; the reason is in what it raises.
    with contextlib.redirect_stderr(io.StringIO()):
        program = torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)  # where ogive lies on this machine is nobody's business
    return program


def _write_onnx(network: nn.Module, facts: Facts, folder: Path) -> Written:
    import onnxruntime

    path = folder / f"{facts.name}.onnx"
    plain = facts.plain
    inputs, outputs = ("images", "logits") if plain is None else (plain.inputs, plain.outputs)
    with _quiet():
        program = torch.onnx.export(
            _program(network, facts),
            dynamo=True,
            input_names=[inputs],
            output_names=[outputs],
            dynamic_shapes=({0: "batch"},),
            verbose=False,
        )
        assert program is not None
        for node in program.model.graph.all_nodes():
            node.metadata_props.clear()  # stack traces again
        program.model.metadata_props.update({f"ogive.{k}": json.dumps(v) for k, v in _metadata(facts).items()})
        program.save(path, external_data=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return (path,), lambda batch: torch.from_numpy(session.run([outputs], {inputs: batch.numpy()})[0])


def _require_onnx() -> None:
    absent = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if absent:
        raise MissingData(f"To export to onnx, {' and '.join(absent)} must be installed: pip install 'ogive[onnx]'.")


def _metadata(facts: Facts) -> dict[str, object]:
    """What a reader of the file must know to use it."""
    mean, std = facts.normalise or (None, None)
    known = {"name": facts.name, "shape": facts.shape, "classes": facts.classes, "mean": mean, "std": std}
    return {key: value for key, value in known.items() if value is not None}


def _inferring(module: nn.Module) -> Callable[[Tensor], Tensor]:
    def run(batch: Tensor) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = module(batch)
        return logits

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


WRITERS: dict[str, Callable[[nn.Module, Facts, Path], Written]] = {
    "torch": _write_torch,
    "onnx": _write_onnx,
    "export": _write_program,
}
