"""The winner of a run: train it fully, measure it once on the test set, take it away as plain files.

Everything is written under ``artifacts/`` of the run: ``winner.json`` (the figures), ``winner/`` (weights and training
log) and ``export/`` (the plain files, and the test images to try them on).
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ogive import catalog
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, StoreError, UnknownName
from ogive.core.metric import LATENCY, MACS, PARAMS, of_part
from ogive.core.rng import Seed
from ogive.core.trial import Trial
from ogive.evaluators.timing import LatencyReport, Timing, measure
from ogive.networks import count
from ogive.networks.build import build, fitted_skeleton
from ogive.networks.export import Exported, export
from ogive.runs import Run, read_run, write_json
from ogive.session import settings_of
from ogive.spec import parse_options
from ogive.training.checkpoint import save_tensors
from ogive.training.distributed import group
from ogive.training.loop import drive
from ogive.training.memory import refuse_too_large
from ogive.training.task import Shaped, Size
from ogive.training.threads import threads as torch_threads

__all__ = ["export_winner", "measure_latency", "train_winner", "winner_facts"]


def train_winner(
    folder: Path,
    *,
    trial: int | None = None,
    data: Any = None,
    task: Any = None,
    channels: int | None = None,
    cells: int | None = None,
    recipe: str = "",
    device: str = "cpu",
    threads: int | None = None,
    tensorboard: bool = False,
    command: str | None = None,
    progress: Callable[[Any], None] | None = None,
) -> dict[str, Any]:
    """Train the best architecture of a run (or that of `trial`) from scratch; return what stands in winner.json.

    It is trained on the training and the validation images together, with the options of `recipe`
    (``epochs=60, cutout=2``), and measured on the test images once, at the end. `data`, `task`, `channels` and `cells`
    are those of the search unless given; a task of one's own is not stored, and is given again. An interrupted training
    goes on where it stopped. Started by ``torchrun``, all processes train together, and those that do not write return
    an empty dictionary. A language model is trained on the training text alone, since the validation text says when to
    average its weights.
    """
    run = read_run(folder)
    chosen = _chosen(run, trial)
    task, options = (task or _task(run, data)).joined(), parse_options(recipe)
    size = _size(run, channels, cells, options)
    filled = task.fitted(catalog.filled(task.recipe, options), size, None)
    seed = Seed(settings_of(run.config).seed).child("winner")
    network = task.network(chosen.arch, size, filled, seed=seed.integer(str(chosen.arch))).to(device)
    unfinished = run.artifacts / "winner" / f"training-{_key(chosen.arch, size, filled, task)}"
    with group(device) as ranks, torch_threads(threads):
        training = task.training(network, filled, seed=seed, device=torch.device(device))
        tell = progress if ranks.writes else None
        measured = dict(drive(training, folder=unfinished, tensorboard=tensorboard, tell=tell))
        if not ranks.writes:
            return {}
        measured |= task.measured(network, "test", filled, seed=seed)
    network = network.to("cpu")
    numbers = {
        **{
            name: chosen.metrics[name]
            for name, metric in run.metrics.items()
            if metric.validated and name in chosen.metrics
        },
        **measured,
        **task.described(network, filled, measured),
        **_latency(network, task),
    }
    known = {metric.name: metric for metric in (PARAMS, MACS, LATENCY, *run.metrics.values(), *task.metrics)}
    told = [name for name in numbers if name in known or name in measured]
    facts = {
        **numbers,
        **_identity(chosen, run, data),
        "metrics": [of_part(name, known.values()).to_json() for name in told],
        "task": task.name,
        "epochs": len(training.history),
        "recipe": asdict(filled),
        "size": asdict(size),
        "history": [{"epoch": epoch.number, **asdict(epoch)} for epoch in training.history],
        "training_s": sum(epoch.seconds for epoch in training.history),
        "command": command,
        "exports": [],
    }
    _keep(run, network, facts, unfinished)
    return facts


def _keep(run: Run, network: nn.Module, facts: Mapping[str, Any], unfinished: Path) -> None:
    """Write weights and facts of a winner in place of an earlier one's."""
    place = run.artifacts / "winner"
    save_tensors(network.state_dict(), place / "winner.safetensors")
    write_json(run.artifacts / "winner.json", facts)
    for earlier in place.glob("training-*"):  # of another trial or recipe
        if earlier != unfinished:
            shutil.rmtree(earlier, ignore_errors=True)


def export_winner(
    folder: Path,
    *,
    formats: Sequence[str] = ("torch", "onnx", "export"),
    out: Path | None = None,
    name: str = "winner",
    data: Any = None,
    task: Any = None,
    progress: Callable[[str], None] | None = None,
) -> list[Exported]:
    """Write the trained winner in other formats, each checked against the network on its own test images.

    Formats that were exported before stay on record; one that is exported again replaces its record.
    """
    if not formats:
        raise SpecError("An export needs a format, such as --to torch.")
    run = read_run(folder)
    facts = winner_facts(run)
    task = task or _task(run, data or facts["data"])
    if task.name != facts["task"]:
        raise SpecError(f"The winner was trained on {facts['data']}, and {task.data.name} is data of another kind.")
    network, place = _trained_network(run, facts, task), out or run.artifacts / "export"
    plain, headline = task.plain(network), _headline(run, facts)
    found = export(network, place, plain, name=name, headline=headline, formats=tuple(formats), progress=progress)
    _note_exports(run, facts, found)
    return found


def _note_exports(run: Run, facts: Mapping[str, Any], exported: Sequence[Exported]) -> None:
    rows = {row["format"]: row for row in (*facts["exports"], *map(_row, exported))}
    write_json(run.artifacts / "winner.json", {**facts, "exports": list(rows.values())})


def measure_latency(
    target: str,
    *,
    data: str | None = None,
    shape: tuple[int, ...] = (3, 32, 32),
    classes: int = 10,
    channels: int | None = None,
    cells: int | None = None,
    batch_size: int = 1,
    device: str = "cpu",
    threads: int = 1,
) -> tuple[Architecture, LatencyReport]:
    """Measure a network on this machine: the winner of a run folder, or an architecture in any text form."""
    if Path(target).is_dir():
        run = read_run(Path(target))
        arch = _chosen(run, None).arch
        task = _task(run, data)
        if not isinstance(task, Shaped):
            raise SpecError(
                f"Latency is measured of networks of images, and {task.data.name} is a text: give --data digits."
            )
        size = _size(run, channels, cells, {})
        skeleton, inputs = task.skeleton(arch.space, size), task.shape
    else:
        arch = _architecture(target)
        if data is not None:
            images = catalog.build("data", data)
            shape, classes = images.shape, len(images.classes)
        inputs = shape
        skeleton = fitted_skeleton(arch.space, inputs, classes, channels=channels, cells=cells)
    with torch.device("meta"):  # counted before it is made: weights that do not fit would take the machine with them
        weights = count.parameters(build(arch, skeleton))
    refuse_too_large("The network's weights", (weights,), item=4, way_out="give smaller --channels or --cells")
    network = build(arch, skeleton, seed=0)
    return arch, measure(network, inputs, Timing(batch_size=batch_size, threads=threads), device=device)


def _chosen(run: Run, number: int | None) -> Trial:
    if number is None:
        choice = run.choice
        if choice.trial is None:
            raise StoreError(f"{run.folder} has no winner. {choice.missing}")
        return choice.trial
    for trial in run.trials:
        if trial.number == number:
            return trial
    raise UnknownName("trial", str(number), [str(trial.number) for trial in run.trials])


def _task(run: Run, data: Any) -> Any:
    """The task of a run: of its own data, of other data by name, or of data that are there already."""
    named = data if data is not None else run.config.get("data")
    if named is None:
        raise SpecError(
            f"{run.folder} was searched in a table, without images: give --data, for example --data digits."
        )
    space = catalog.build("space", run.config["space"])
    return catalog.task_of(space, catalog.build("data", named) if isinstance(named, str) else named)


def _size(run: Run, channels: int | None, cells: int | None, options: Mapping[str, Any]) -> Size:
    """The size that is asked for, or else that of the search; a recipe with a width of its own needs no channels."""
    searched = run.config.get("skeleton", {})
    wide = searched.get("channels") if "width" not in options else None
    return Size(
        channels=wide if channels is None else channels, cells=searched.get("cells") if cells is None else cells
    )


def winner_facts(run: Run) -> dict[str, Any]:
    """What winner.json of a run holds; StoreError if no winner was trained, or the file is damaged."""
    path = run.artifacts / "winner.json"
    if not path.exists():
        if run.config.get("data") is not None:
            _task(run, None).joined()  # says why, where there is no last training
        raise StoreError(f"{run.folder} has no trained winner yet: {shlex.join(['ogive', 'train', str(run.folder)])}")
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        facts = _renewed(facts)
        missing = {"arch", "data", "exports", "epochs", "task", "recipe", "size", "reached"} - facts.keys()
    except (OSError, ValueError, AttributeError) as error:
        raise StoreError(f"{path} is damaged ({error}); train the winner again: ogive train {run.folder}") from error
    if missing:
        raise StoreError(
            f"{path} is damaged (it lacks {', '.join(sorted(missing))}); train the winner again: "
            f"ogive train {run.folder}"
        )
    return facts


def _renewed(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts of a winner that version 0.1 wrote, with the task and the size that it left out."""
    if "task" in facts or not {"test_ppl", "test_acc"} & facts.keys():
        return facts
    if "test_ppl" in facts:
        reached = f"perplexity {facts['test_ppl']:.2f} on {facts['test_words']} test words"
        return {**facts, "task": "language", "size": asdict(Size()), "reached": reached}
    skeleton, reached = facts["skeleton"], f"{facts['test_acc']:.2f} % of {facts['test_images']} test images"
    size = {key: skeleton[key] for key in asdict(Size())}
    return {**facts, "task": "classification", "size": size, "reached": reached}


def _trained_network(run: Run, facts: dict[str, Any], task: Any) -> nn.Module:
    weights = run.artifacts / "winner" / "winner.safetensors"
    try:
        recipe, size = task.recipe(**facts["recipe"]), Size(**facts["size"])
        network: nn.Module = task.network(Architecture.parse(facts["arch"]), size, recipe, seed=0)
        network.load_state_dict(load_file(weights))
    except (OSError, SafetensorError, RuntimeError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise StoreError(
            f"{weights} does not hold the winner ({reason}); train it again: ogive train {run.folder}"
        ) from error
    return network


def _key(arch: Architecture, size: Size, recipe: Any, task: Any) -> str:
    """What a checkpoint belongs to: with anything else, a training begins anew."""
    told = json.dumps([str(arch), asdict(size), asdict(recipe), task.digest])
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def _identity(chosen: Trial, run: Run, data: Any) -> dict[str, Any]:
    return {
        "arch": str(chosen.arch),
        "trial": chosen.number,
        "data": data if isinstance(data, str) else run.config.get("data"),
    }


def _latency(network: nn.Module, task: Any) -> dict[str, Any]:
    """What one image takes here, where the task has images."""
    if not isinstance(task, Shaped):
        return {}
    found = measure(network, task.shape)
    return {"latency_ms": found.median_ms, "latency": asdict(found)}


def _headline(run: Run, facts: dict[str, Any]) -> str:
    name = str(run.config["space"])
    known = name.partition("(")[0] in catalog.names("space")  # a space of one's own has no other form of its text
    published = f"  ({catalog.build('space', name).format(Architecture.parse(facts['arch']))})" if known else ""
    return (
        f"{facts['arch']}{published}\n"
        f"found by {run.config['strategy']} with seed {run.config['seed']}, trained for {facts['epochs']} epochs: "
        f"{facts['reached']}"
    )


def _row(exported: Exported) -> dict[str, Any]:
    return {
        "format": exported.format,
        "paths": [str(path) for path in exported.paths],
        "largest_difference": exported.largest_difference,
        "seconds": exported.seconds,
    }


def _architecture(text: str) -> Architecture:
    """An architecture in ogive's own form, or in the published form of whichever space reads it."""
    own = re.fullmatch(r"(?P<space>[A-Za-z]\w*):[-+.,\w]*", text.strip())
    if own is not None:
        arch: Architecture = catalog.build("space", own["space"]).parse(text)
        return arch
    for name in catalog.names("space"):
        try:
            read: Architecture = catalog.build("space", name).parse(text)
        except SpecError:
            continue
        return read
    raise SpecError(f"{text!r} is neither a run folder nor an architecture such as nasbench201:3,1,2,0,0,4.")
