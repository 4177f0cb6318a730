"""Trials of a run, above all its winner: train them fully, measure each on the test set, take it away as plain files.

Everything is written under ``artifacts/`` of the run: ``networks/trial-N/`` (figures, weights and training log of a
trial), ``winner.json`` (the figures of the best trial, once that is trained) and ``export/`` (its plain files, and the
test images to try them on). Every look at the test set is on record in ``looks.jsonl`` of the run.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ogive import catalog
from ogive.answers import ANSWERS, Answers, keep_answers
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, StoreError, UnknownName, quoted
from ogive.core.metric import FILE_MB, LATENCY, MACS, PARAMS, PEAK_MB, of_part
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Trial
from ogive.evaluators.runtimes import (
    MB,
    Runtime,
    check_runtime,
    in_runtime,
    onnx_peak_mb,
    printed_ms,
    tensors_mb,
    weights_mb,
)
from ogive.evaluators.timing import LatencyReport, Timing, measure
from ogive.looks import begin_look, end_look
from ogive.networks import count
from ogive.networks.build import build, fitted_skeleton
from ogive.networks.export import export, write_onnx
from ogive.runs import Run, read_run
from ogive.session import settings_of
from ogive.spec import parse_options
from ogive.trained_networks import (
    RECORD,
    WEIGHTS,
    Exported,
    TrainedNetwork,
    folder_of,
    keep_network,
    network_of,
    note_winner,
    trained_networks,
    way_to_train,
)
from ogive.training.checkpoint import save_tensors
from ogive.training.distributed import group
from ogive.training.lock import lock
from ogive.training.loop import drive
from ogive.training.memory import refuse_too_large
from ogive.training.task import Examined, Shaped, Size, Validated
from ogive.training.threads import threads as torch_threads

__all__ = ["export_winner", "measure_in_runtime", "measure_latency", "train_winner", "winner_facts"]

CALIBRATION = 64  # images on which the ranges of an integer network are found

logger = logging.getLogger(__name__)


def train_winner(
    folder: Path,
    *,
    trial: int | None = None,
    prefer: Sequence[str] = (),
    data: Any = None,
    task: Any = None,
    space: SearchSpace | None = None,
    channels: int | None = None,
    cells: int | None = None,
    recipe: str = "",
    device: str = "cpu",
    threads: int | None = None,
    tensorboard: bool = False,
    validate: bool = False,
    command: str | None = None,
    progress: Callable[[Any], None] | None = None,
) -> dict[str, Any]:
    """Train the best architecture of a run (or that of `trial`) from scratch; return its figures.

    With `prefer`, such as ``["latency_ms<=5"]``, the run chooses its best within these limits from now on. The
    network is trained on the training and the validation images together, with the options of `recipe`
    (``epochs=60, cutout=2``), and measured on the test images once, at the end, which the run counts as a look at
    its test set. `data`, `task`, `channels` and `cells` are those of the search unless given; a task or a space of
    one's own is not stored, and is given again. An interrupted training goes on where it stopped, and what was
    trained in this way before is neither trained nor measured again, nor is what another process is training: that
    is waited for. Started by ``torchrun``, all processes train together, and those that do not write return an empty
    dictionary. A language model is trained on the training text alone, since the validation text says when to
    average its weights. With `validate`, the validation images are held out of the training and measured after each
    epoch, so that their curve stands beside that of the training images.
    """
    run = read_run(folder)
    if prefer:
        run.prefer(prefer)
    chosen = _chosen(run, trial)
    task, options = task or _task(run, data, space), parse_options(recipe)
    task = task if validate else task.joined()
    size = _size(run, channels, cells, options)
    filled = task.fitted(catalog.filled(task.recipe, options), size, None)
    seed = Seed(settings_of(run.config).seed).child("winner")
    key = _key(chosen.arch, size, filled, task)
    unfinished = folder_of(run, chosen.number) / f"training-{key}"
    with ExitStack() as until_kept:
        with group(device) as ranks, torch_threads(threads):
            until_kept.enter_context(lock(unfinished.parent, "network", cache(logger.warning)))
            before = _as_wanted(run, chosen, key, task)
            if before is not None:
                return before if ranks.writes else {}
            network = task.network(chosen.arch, size, filled, seed=seed.integer(str(chosen.arch))).to(device)
            training = task.training(network, filled, seed=seed, device=torch.device(device))
            if validate and isinstance(training, Validated):
                training.validate_every = 1
            tell = progress if ranks.writes else None
            measured = dict(drive(training, folder=unfinished, tensorboard=tensorboard, tell=tell))
            if not ranks.writes:
                return {}
            look = begin_look(run.folder, earlier=_uncounted(run), **_identity(chosen, run, data), of=task.digest)
            seen = task.measured(network, "test", filled, seed=seed)
            end_look(run.folder, look, seen)
        network = network.to("cpu")
        facts = {
            **_figures(run, chosen, task, network, filled, {**measured, **seen}),
            **_identity(chosen, run, data),
            "task": task.name,
            "look": look,
            "held_out": validate,
            "training": key,
            "epochs": len(training.history),
            "recipe": asdict(filled),
            "size": asdict(size),
            "history": [{"epoch": place, **asdict(epoch)} for place, epoch in enumerate(training.history, start=1)],
            "training_s": sum(epoch.seconds for epoch in training.history),
            "command": command,
            "exports": [],
        }
        answers = task.examined(network) if isinstance(task, Examined) else None  # of the same look
        _keep(run, chosen.number, facts, network, unfinished, answers)
    return facts


def _keep(
    run: Run, trial: int, facts: Mapping[str, Any], network: nn.Module, training: Path, answers: Answers | None
) -> None:
    """Write a network that was trained in the folder `training`, in the place of one by another recipe."""
    for stale in (RECORD, ANSWERS):  # of other weights than those that come now
        training.with_name(stale).unlink(missing_ok=True)
    if answers is not None:
        keep_answers(answers, training.with_name(ANSWERS))
    save_tensors(network.state_dict(), training.with_name(WEIGHTS))
    keep_network(run, trial, facts)
    for earlier in training.parent.glob("training-*"):
        if earlier != training:
            shutil.rmtree(earlier, ignore_errors=True)


def _figures(
    run: Run, chosen: Trial, task: Any, network: nn.Module, recipe: Any, measured: Mapping[str, Any]
) -> dict[str, Any]:
    """What is known of a trained network in numbers, and the records of the metrics among them."""
    numbers = {
        **{
            name: chosen.metrics[name]
            for name, metric in run.metrics.items()
            if metric.validated and name in chosen.metrics
        },
        **measured,
        **task.described(network, recipe, measured),
        **_latency(network, task),
    }
    known = {metric.name: metric for metric in (PARAMS, MACS, LATENCY, *run.metrics.values(), *task.metrics)}
    told = [name for name in numbers if name in known or name in measured]
    return {**numbers, "metrics": [of_part(name, known.values()).to_json() for name in told]}


def _as_wanted(run: Run, trial: Trial, key: str, task: Any) -> dict[str, Any] | None:
    """The figures of a trial's network, where it was trained just so and its weights can be read; else None."""
    network = next((one for one in trained_networks(run) if one.trial == trial.number), None)
    if network is None or network.facts.get("training") != key:
        return None
    try:
        _with_weights(run, network, task)
    except StoreError:
        return None
    note_winner(run)
    return network.facts


def _uncounted(run: Run) -> int:
    """How many networks of a run were measured on the test set by version 0.1, which kept one and counted none."""
    return sum("look" not in network.facts for network in trained_networks(run))


def export_winner(
    folder: Path,
    *,
    trial: int | None = None,
    formats: Sequence[str] = ("torch", "onnx", "export"),
    out: Path | None = None,
    name: str | None = None,
    raw: bool = False,
    data: Any = None,
    task: Any = None,
    space: SearchSpace | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Exported]:
    """Write a trained network in other formats, each checked against the network on its own test images.

    That is the winner, today's best trial, which StoreError says is not trained if another one is; or that of `trial`,
    which is then named trial_N and written beside its weights. Formats that were exported before stay on record; one
    that is exported again replaces its record. With `raw`, ONNX takes images as bytes.
    """
    if not formats:
        raise SpecError("An export needs a format, such as --to torch.")
    run = read_run(folder)
    kept = _trained(run, trial)
    facts = _whole(run, kept)
    task = task or _task(run, data or facts["data"], space)
    if task.name != facts["task"]:
        raise SpecError(f"The winner was trained on {facts['data']}, and {task.data.name} is data of another kind.")
    network, headline = _with_weights(run, kept, task), _headline(run, facts)
    place = out or (run.artifacts if trial is None else folder_of(run, kept.trial)) / "export"
    name = name or ("winner" if trial is None else f"trial_{trial}")
    if trial is None and out is None:
        _clear(run, kept, place)
    written = task.plain(network)
    found = export(
        network, place, written, name=name, headline=headline, formats=tuple(formats), raw=raw, progress=progress
    )
    rows = {row["format"]: row for row in (*facts["exports"], *map(_row, found))}
    keep_network(run, kept.trial, {**facts, "exports": list(rows.values())})
    return found


def _clear(run: Run, kept: TrainedNetwork, place: Path) -> None:
    """Take away the files of an earlier winner, among which those of today's would be mistaken for its."""
    for other in trained_networks(run):
        rows = other.facts.get("exports", [])
        stale = [row for row in rows if any(Path(path).parent == place for path in row["paths"])]
        if other.trial == kept.trial or not stale:
            continue
        for path in (Path(path) for row in stale for path in row["paths"]):
            path.unlink(missing_ok=True)
        keep_network(run, other.trial, {**other.facts, "exports": [row for row in rows if row not in stale]})


def _trained(run: Run, number: int | None) -> TrainedNetwork:
    """The trained network of a trial, or of today's best; StoreError, with the command, where it is not trained."""
    networks, chosen = trained_networks(run), _chosen(run, number)
    others = [network for network in networks if network.trial != chosen.number]
    found = network_of([one for one in networks if number in (None, one.trial)], chosen)
    if found is not None:
        return found
    if not networks and run.config.get("data") is not None:
        _task(run, None).joined()  # says why, where there is no last training
    way = way_to_train(run, number)
    if number is not None:
        raise StoreError(f"Trial {number} of {run.folder} has no trained network yet: {way}")
    if not others:
        raise StoreError(f"{run.folder} has no trained winner yet: {way}")
    told = ", ".join(str(network.trial) for network in others)
    export_other = shlex.join(["ogive", "export", str(run.folder), "--trial", str(others[-1].trial)])
    raise StoreError(
        f"The winner of {run.folder} today, trial {chosen.number}, {run.choice.rule}, is not trained, but trial {told} "
        f"is: {way} trains the winner, {export_other} exports the other."
    )


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
        size, inputs = _size(run, channels, cells, {}), task.shape
        of_task: Any = task
        made: Callable[..., nn.Module] = partial(of_task.network, arch, size, of_task.recipe())
    else:
        arch = _architecture(target)
        if data is not None:
            images = catalog.build("data", data)
            shape, classes = images.shape, len(images.classes)
        inputs = shape
        skeleton = fitted_skeleton(arch.space, inputs, classes, channels=channels, cells=cells)
        made = partial(build, arch, skeleton)
    with torch.device("meta"):  # counted before it is made: weights that do not fit would take the machine with them
        weights = count.parameters(made(seed=None))
    refuse_too_large("The network's weights", (weights,), item=4, way_out="give smaller --channels or --cells")
    return arch, measure(made(seed=0), inputs, Timing(batch_size=batch_size, threads=threads), device=device)


def measure_in_runtime(
    target: str,
    *,
    data: str | None = None,
    shape: tuple[int, ...] = (3, 32, 32),
    classes: int = 10,
    channels: int | None = None,
    cells: int | None = None,
    batch_size: int = 1,
    threads: int = 1,
    runtime: Runtime = "torch",
    command: str = "",
) -> tuple[Architecture, dict[str, float]]:
    """As `measure_latency` in another runtime, or by a command: milliseconds, peak memory and file size, in MB.

    The trained winner of a run has its own weights; then ``val_acc`` in torch and ``val_acc_in_runtime`` stand beside,
    which for an integer network tells what its integers cost: of the validation images, which it was trained on as
    well, so that they are for comparison only.
    """
    check_runtime(runtime, command, "cpu")
    run = read_run(Path(target)) if Path(target).is_dir() else None
    known = data if data is not None or run is None else run.config.get("data")
    images = None if known is None else catalog.build("data", known)
    if images is not None and images.kind == "words":
        raise SpecError(f"Latency is measured of networks of images, and {images.name} is a text: give --data digits.")
    if images is not None:
        shape, classes = images.shape, len(images.classes)
    kept = None if run is None else network_of(trained_networks(run), _chosen(run, None))
    if run is not None and kept is not None:
        arch = _chosen(run, None).arch
        network = _with_weights(run, kept, _task(run, data))
    else:
        arch = _architecture(target) if run is None else _chosen(run, None).arch
        size = Size(channels=channels, cells=cells) if run is None else _size(run, channels, cells, {})
        if run is not None and known is not None:
            task = _task(run, data)
            network = task.network(arch, size, task.recipe(), seed=0)
        else:
            skeleton = fitted_skeleton(arch.space, shape, classes, channels=size.channels, cells=size.cells)
            network = build(arch, skeleton, seed=0)
    with tempfile.TemporaryDirectory(prefix="ogive-latency-") as folder:
        found = _in_runtime(
            network, Path(folder), images, (batch_size, *shape), threads, runtime=runtime, command=command
        )
        if kept is not None and images is not None and _tells_classes(images) and not command:
            found["val_acc"] = _accuracy(network, images)
    return arch, found


def _in_runtime(
    network: nn.Module,
    folder: Path,
    images: Any,
    shape: tuple[int, ...],
    threads: int,
    *,
    runtime: Runtime,
    command: str,
) -> dict[str, float]:
    """What is measured of a network, and its validation accuracy there."""
    if command:
        path = folder / "network.onnx"
        write_onnx(network, shape[1:], path)
        return {LATENCY.name: printed_ms(command, path), FILE_MB.name: path.stat().st_size / MB}
    batch = torch.randn(CALIBRATION, *shape[1:], generator=torch.Generator().manual_seed(0))
    seen = batch if images is None else images.normalised(images.train.images[:CALIBRATION])
    module, file = in_runtime(network, runtime, folder, seen, threads=threads)
    report = measure(module, shape[1:], Timing(batch_size=shape[0], threads=threads))
    found = {LATENCY.name: report.median_ms, "latency_low_ms": report.low_ms, "latency_high_ms": report.high_ms}
    if file is None:
        found |= {PEAK_MB.name: tensors_mb(network, torch.zeros(shape)), FILE_MB.name: weights_mb(network)}
    else:
        found |= {PEAK_MB.name: onnx_peak_mb(file, shape, threads), FILE_MB.name: file.stat().st_size / MB}
    if images is not None and _tells_classes(images):
        found["val_acc_in_runtime"] = _accuracy(module, images)
    return found


def _tells_classes(images: Any) -> bool:
    """Whether each image has one class, so that answers are right or wrong."""
    return bool(images.val.labels.ndim == 1)


def _accuracy(network: nn.Module, images: Any) -> float:
    """The share of right answers on the validation images, in per cent."""
    network.eval()
    right = 0
    with torch.inference_mode():
        pairs = zip(images.val.images.split(256), images.val.labels.split(256), strict=True)
        for part, labels in pairs:
            right += int((network(images.normalised(part)).argmax(1) == labels).sum())
    return 100.0 * right / len(images.val)


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


def _task(run: Run, data: Any, space: SearchSpace | None = None) -> Any:
    """The task of a run: of its own data, of other data by name, or of data that are there already."""
    named = data if data is not None else run.config.get("data")
    if named is None:
        raise SpecError(
            f"{run.folder} was searched in a table, without images: give --data, for example --data digits."
        )
    space = _known_space(run) if space is None else space
    return catalog.task_of(space, _known_data(run, named) if isinstance(named, str) else named)


def _known_space(run: Run) -> SearchSpace:
    name = str(run.config["space"])
    if name.partition("(")[0] not in catalog.names("space"):
        raise SpecError(f"{run.folder} was searched in a space of its own, {quoted(name)}: give it again as space=.")
    space: SearchSpace = catalog.build("space", name)
    return space


def _known_data(run: Run, name: str) -> Any:
    try:
        return catalog.build("data", name)
    except UnknownName as error:
        if name != run.config.get("data"):
            raise
        raise SpecError(
            f"{run.folder} was searched on data that were objects, called {quoted(name)}: give them again as data=."
        ) from error


def _size(run: Run, channels: int | None, cells: int | None, options: Mapping[str, Any]) -> Size:
    """The size that is asked for, or else that of the search; a recipe with a width of its own needs no channels."""
    searched = run.config.get("skeleton", {})
    wide = searched.get("channels") if "width" not in options else None
    return Size(
        channels=wide if channels is None else channels, cells=searched.get("cells") if cells is None else cells
    )


def winner_facts(run: Run, trial: int | None = None) -> dict[str, Any]:
    """The figures of the trained winner of a run, or of `trial`; StoreError if that is not trained, or damaged."""
    return _whole(run, _trained(run, trial))


def _whole(run: Run, network: TrainedNetwork) -> dict[str, Any]:
    missing = {"arch", "data", "exports", "epochs", "task", "recipe", "size", "reached"} - network.facts.keys()
    if missing:
        raise StoreError(
            f"The record of trial {network.trial} in {run.artifacts} is damaged (it lacks "
            f"{', '.join(sorted(missing))}); train it again: {way_to_train(run, network.trial)}"
        )
    return network.facts


def _with_weights(run: Run, kept: TrainedNetwork, task: Any) -> nn.Module:
    facts = kept.facts
    try:
        recipe, size = task.recipe(**facts["recipe"]), Size(**facts["size"])
        network: nn.Module = task.network(Architecture.parse(facts["arch"]), size, recipe, seed=0)
        network.load_state_dict(load_file(kept.weights))
    except (OSError, SafetensorError, RuntimeError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise StoreError(
            f"{kept.weights} does not hold the network of trial {kept.trial} ({reason}); train it again: "
            f"{way_to_train(run, kept.trial)}"
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
    raise SpecError(f"{quoted(text)} is neither a run folder nor an architecture such as nasbench201:3,1,2,0,0,4.")
