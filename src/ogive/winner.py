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
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ogive import catalog
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, StoreError, UnknownName
from ogive.core.rng import Seed
from ogive.core.trial import Trial
from ogive.evaluators.latency import LatencyReport, measure
from ogive.language import Job, exported_model, trained_model
from ogive.networks import count
from ogive.networks.build import Skeleton, build, fitted_skeleton
from ogive.networks.export import Exported, export
from ogive.runs import Run, best, read_run, write_json
from ogive.session import load_data, settings_of
from ogive.spec import Spec, parse_options
from ogive.training.data import Data
from ogive.training.distributed import group
from ogive.training.loop import accuracy, train
from ogive.training.memory import refuse_too_large
from ogive.training.recipe import Recipe
from ogive.training.text import Text
from ogive.training.threads import threads as torch_threads

__all__ = ["export_winner", "measure_latency", "train_winner", "winner_facts"]


def train_winner(
    folder: Path,
    *,
    trial: int | None = None,
    data: str | Data | Text | None = None,
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
    (``epochs=60, cutout=2``), and measured on the test images once, at the end. `data`, `channels` and `cells` are
    those of the search unless given. An interrupted training goes on where it stopped. Started by ``torchrun``, all
    processes train together, and those that do not write return an empty dictionary. A language model is trained on the
    training text alone, since the validation text says when to average its weights.
    """
    run = read_run(folder)
    chosen = _chosen(run, trial)
    task = _data(run, data)
    if isinstance(task, Text):
        with torch_threads(threads):
            return _train_on_text(run, chosen, task, data, channels, recipe, device, command, progress)
    skeleton = _skeleton(run, chosen.arch, task, channels, cells)
    options = _recipe(recipe)
    seed = Seed(settings_of(run.config).seed).child("winner")
    network = build(chosen.arch, skeleton, seed=seed.integer(str(chosen.arch))).to(device)
    place = run.artifacts / "winner"
    unfinished = place / f"training-{_key(chosen.arch, skeleton, options, task)}"
    with group(device) as ranks, torch_threads(threads):
        outcome = train(
            network,
            task.joined(),
            options,
            seed=seed,
            device=device,
            folder=unfinished,
            validate_every=0,
            tensorboard=tensorboard,
            progress=progress if ranks.writes else None,
        )
        if not ranks.writes:
            return {}
        test_acc = accuracy(network, task.test, task, device)
    network = network.to("cpu")
    facts = {
        **_identity(chosen, run, data),
        **_figures(network, task, test_acc),
        "epochs": options.epochs,
        "recipe": asdict(options),
        "skeleton": asdict(skeleton),
        "history": [{"epoch": epoch.number, **asdict(epoch)} for epoch in outcome.history],
        "training_s": outcome.seconds,
        "command": command,
        "exports": [],
    }
    _keep(run, network, facts, unfinished)
    return facts


def _train_on_text(
    run: Run,
    chosen: Trial,
    task: Text,
    data: str | Data | Text | None,
    channels: int | None,
    recipe: str,
    device: str,
    command: str | None,
    progress: Callable[[Any], None] | None,
) -> dict[str, Any]:
    job = Job(
        chosen.arch,
        task,
        recipe,
        channels if channels is not None else run.config.get("skeleton", {}).get("channels"),
        Seed(settings_of(run.config).seed).child("winner"),
        device,
        run.artifacts / "winner",
    )
    network, figures, unfinished = trained_model(job, progress)
    facts = {**_identity(chosen, run, data), **figures, "command": command, "exports": []}
    _keep(run, network, facts, unfinished)
    return facts


def _keep(run: Run, network: nn.Module, facts: Mapping[str, Any], unfinished: Path) -> None:
    """Write weights and facts of a winner in place of an earlier one's."""
    place = run.artifacts / "winner"
    _save(network.state_dict(), place / "winner.safetensors")
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
    data: str | Data | Text | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Exported]:
    """Write the trained winner in other formats, each checked against the network on its own test images.

    Formats that were exported before stay on record; one that is exported again replaces its record.
    """
    if not formats:
        raise SpecError("An export needs a format, such as --to torch.")
    run = read_run(folder)
    facts = winner_facts(run)
    task = _data(run, data or facts["data"])
    if isinstance(task, Text) != ("test_ppl" in facts):
        raise SpecError(f"The winner was trained on {facts['data']}, and {task.name} is data of another kind.")
    place = out or run.artifacts / "export"
    if isinstance(task, Text):
        weights = run.artifacts / "winner" / "winner.safetensors"
        headline = _headline(run, facts)
        found = exported_model(weights, facts, task, place, name=name, formats=tuple(formats), headline=headline)
        _note_exports(run, facts, found)
        return found
    network = _trained_network(run, facts)
    exported = export(
        network,
        place,
        formats=formats,
        progress=progress,
        name=name,
        shape=task.shape,
        classes=task.classes,
        normalise=(task.mean, task.std),
        headline=_headline(run, facts),
        images=task.normalised(task.test.images[:256]),
    )
    # As they were read, since the exported file normalises them itself: NAME.py --data test.safetensors.
    images, labels = task.test.images.contiguous(), task.test.labels.contiguous()
    _save({"images": images, "labels": labels}, place / "test.safetensors")
    _note_exports(run, facts, exported)
    return exported


def _note_exports(run: Run, facts: Mapping[str, Any], exported: Sequence[Exported]) -> None:
    rows = {row["format"]: row for row in (*facts["exports"], *map(_row, exported))}
    write_json(run.artifacts / "winner.json", {**facts, "exports": list(rows.values())})


def measure_latency(
    target: str,
    *,
    data: str | None = None,
    shape: tuple[int, int, int] = (3, 32, 32),
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
        task = _data(run, data)
        if isinstance(task, Text):
            raise SpecError(
                f"Latency is measured of networks of images, and {task.name} is a text: give --data digits."
            )
        skeleton, inputs = _skeleton(run, arch, task, channels, cells), task.shape
    else:
        arch = _architecture(target)
        if data is not None:
            task = load_data(data)
            shape, classes = task.shape, len(task.classes)
        inputs = shape
        skeleton = fitted_skeleton(arch.space, inputs, classes, channels=channels, cells=cells)
    with torch.device("meta"):  # counted before it is made: weights that do not fit would take the machine with them
        weights = count.parameters(build(arch, skeleton))
    refuse_too_large("The network's weights", (weights,), item=4, way_out="give smaller --channels or --cells")
    network = build(arch, skeleton, seed=0)
    return arch, measure(network, inputs, batch_size=batch_size, device=device, threads=threads)


def _chosen(run: Run, number: int | None) -> Trial:
    if number is None:
        winner = best(run.trials)
        if winner is None:
            raise StoreError(f"No trial of {run.folder} succeeded, so there is no winner.")
        return winner
    for trial in run.trials:
        if trial.number == number:
            return trial
    raise UnknownName("trial", str(number), [str(trial.number) for trial in run.trials])


def _data(run: Run, data: str | Data | Text | None) -> Data | Text:
    if isinstance(data, (Data, Text)):
        return data
    name = data or run.config.get("data")
    if not isinstance(name, str):
        raise SpecError(
            f"{run.folder} was searched in a table, without images: give --data, for example --data digits."
        )
    loaded: Data | Text = load_data(name)
    return loaded


def _skeleton(run: Run, arch: Architecture, task: Data, channels: int | None, cells: int | None) -> Skeleton:
    size = run.config.get("skeleton", {})
    return fitted_skeleton(
        arch.space,
        task.shape,
        len(task.classes),
        channels=channels if channels is not None else size.get("channels"),
        cells=cells if cells is not None else size.get("cells"),
    )


def _recipe(text: str) -> Recipe:
    made: Recipe = catalog.make(Recipe, Spec("training", options=parse_options(text)))
    return made


def winner_facts(run: Run) -> dict[str, Any]:
    """What winner.json of a run holds; StoreError if no winner was trained, or the file is damaged."""
    path = run.artifacts / "winner.json"
    if not path.exists():
        if catalog.generates(run.config["space"]):
            raise SpecError(
                f"The networks of {run.folder} make images: they are measured by the evaluator generative, and neither "
                "trained further nor exported."
            )
        raise StoreError(f"{run.folder} has no trained winner yet: {shlex.join(['ogive', 'train', str(run.folder)])}")
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        own = {"recipe", "test_words"} if "test_ppl" in facts else {"skeleton", "test_acc", "test_images"}
        missing = {"arch", "data", "exports", "epochs", *own} - facts.keys()
    except (OSError, ValueError, AttributeError) as error:
        raise StoreError(f"{path} is damaged ({error}); train the winner again: ogive train {run.folder}") from error
    if missing:
        raise StoreError(
            f"{path} is damaged (it lacks {', '.join(sorted(missing))}); train the winner again: "
            f"ogive train {run.folder}"
        )
    return facts


def _trained_network(run: Run, facts: dict[str, Any]) -> nn.Module:
    weights = run.artifacts / "winner" / "winner.safetensors"
    try:
        network = build(Architecture.parse(facts["arch"]), Skeleton(**facts["skeleton"]), seed=0)
        network.load_state_dict(load_file(weights))
    except (OSError, SafetensorError, RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise StoreError(
            f"{weights} does not hold the winner ({reason}); train it again: ogive train {run.folder}"
        ) from error
    return network


def _key(arch: Architecture, skeleton: Skeleton, recipe: Recipe, task: Data) -> str:
    """What a checkpoint belongs to: with anything else, a training begins anew."""
    told = json.dumps([str(arch), asdict(skeleton), asdict(recipe), task.digest])
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def _identity(chosen: Trial, run: Run, data: str | Data | Text | None) -> dict[str, Any]:
    return {
        "arch": str(chosen.arch),
        "trial": chosen.number,
        "val_acc": chosen.metrics.get("val_acc"),
        "data": data if isinstance(data, str) else run.config.get("data"),
    }


def _figures(network: nn.Module, task: Data, test_acc: float) -> dict[str, Any]:
    latency = measure(network, task.shape)
    return {
        "test_acc": test_acc,
        "test_correct": round(test_acc * len(task.test) / 100),
        "test_images": len(task.test),
        "params": count.parameters(network),
        "macs": count.macs(network, task.shape),
        "latency_ms": latency.median_ms,
        "latency": asdict(latency),
    }


def _save(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as a file that is either complete or absent."""
    scratch = path.with_suffix(".tmp")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, scratch)
    scratch.replace(path)


def _headline(run: Run, facts: dict[str, Any]) -> str:
    published = catalog.build("space", run.config["space"]).format(Architecture.parse(facts["arch"]))
    return (
        f"{facts['arch']}  ({published})\n"
        f"found by {run.config['strategy']} with seed {run.config['seed']}, trained for {facts['epochs']} epochs: "
        f"{_reached(facts)}"
    )


def _reached(facts: Mapping[str, Any]) -> str:
    if "test_ppl" in facts:
        return f"perplexity {facts['test_ppl']:.2f} on {facts['test_words']} test words"
    return f"{facts['test_acc']:.2f} % of {facts['test_images']} test images"


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
