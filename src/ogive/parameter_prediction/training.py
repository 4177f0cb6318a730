"""The training of a hypernetwork, by a preset or with other options, into one file of its weights.

Beside FILE lie ``FILE.json`` with the figures and, until it is over, the folder ``FILE.training`` with the checkpoints,
from which the same call goes on.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ogive import catalog
from ogive.core.errors import SpecError, in_line
from ogive.core.rng import Seed
from ogive.files import write_json
from ogive.hypernets.configuration import Configuration
from ogive.hypernets.files import save
from ogive.hypernets.ghn import GHN
from ogive.hypernets.population import Population, Sized
from ogive.hypernets.recipe import GHNRecipe, plan_for
from ogive.hypernets.shards import Shards
from ogive.hypernets.training import GHNTraining
from ogive.spec import parse_options
from ogive.training.data import Data
from ogive.training.distributed import group
from ogive.training.evaluation import Preset
from ogive.training.loop import Tell, drive
from ogive.training.recipe import Recipe
from ogive.training.threads import threads as torch_threads

__all__ = ["Work", "planned", "train_ghn"]

# Options of the images that a step reads, beside those of the hypernetwork's own training.
OF_IMAGES = ("batch_size", "label_smoothing", "padding", "flip", "resized_crop", "jitter", "hue", "cutout", "mixup")
OF_SIZES = ("width", "largest", "farthest")


@dataclass(frozen=True, eq=False)
class Work:
    """What a training is of: the data and how they were written, the sizes, and both recipes."""

    data: Data
    written: str
    configuration: Configuration
    recipe: GHNRecipe
    images: Recipe

    @property
    def size(self) -> Sized:
        """What its networks are built for."""
        return Sized(self.data.shape, len(self.data.classes))


def planned(kind: str, preset: Preset, data: str | None, options: str = "") -> Work:
    """The work of a preset on its data or on others, with single options changed; SpecError for what does not fit."""
    style = "imagenet" if data is not None and data.startswith("images:") and preset == "paper" else "cifar"
    plan = plan_for(preset, kind=kind, style=style)
    written = plan.data if data is None else _with_options(data, plan.data)
    read = catalog.build("data", written)
    if read.kind != "images":
        raise SpecError(f"A hypernetwork is trained on images, and {written} holds {read.kind}.")
    changed = parse_options(options)
    images, sizes = (_taken(changed, names) for names in (OF_IMAGES, OF_SIZES))
    try:
        configuration = replace(plan.configuration, classes=len(read.classes), **sizes)
    except TypeError as error:
        raise SpecError(f"Sizes of a hypernetwork are numbers ({in_line(error)}).") from None
    recipe = catalog.filled(GHNRecipe, {**_plain(plan.recipe), **changed}, "the training of a hypernetwork")
    return Work(read, written, configuration, recipe, catalog.filled(Recipe, {**_plain(plan.images), **images}))


def train_ghn(
    file: Path,
    *,
    kind: str = "ghn2",
    preset: Preset = "small",
    data: str | None = None,
    options: str = "",
    networks: Path | None = None,
    seed: int = 0,
    device: str = "cpu",
    threads: int | None = None,
    command: str | None = None,
    tell: Tell | None = None,
) -> dict[str, Any]:
    """Train a hypernetwork and write its weights; the figures, or nothing in a process that does not write.

    `networks` is a folder that ``ogive deepnets`` wrote; else the same networks are drawn as they are needed. What was
    interrupted goes on where it stopped. Started by ``torchrun``, processes share the networks of each step.
    """
    if file.is_dir():
        raise SpecError(f"{file} is a folder: name the file that is to hold the weights.")
    work, streams = planned(kind, preset, data, options), Seed(seed).child("hypernetwork")
    with torch_threads(threads), group(device) as ranks:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(streams.integer("weights"))  # noqa: TID251 - forked
            ghn = GHN(work.configuration)
        population = Population(work.size, work.recipe, None if networks is None else Shards(networks))
        training = GHNTraining(
            ghn, work.data, work.recipe, work.images, population, seed=streams, device=torch.device(device)
        )
        told = json.dumps(training.fingerprint(), sort_keys=True)
        folder = file.with_name(f"{file.name}.training-{hashlib.sha256(told.encode()).hexdigest()[:12]}")
        measured = drive(training, folder=folder, tell=tell if ranks.writes else None)
        if not ranks.writes:
            return {}
        save(training.ghn.to("cpu"), file)
    facts = {
        "kind": kind,
        "preset": preset,
        "seed": seed,
        "command": command,
        "data": work.written,
        "networks": population.name,
        **measured,
        "params": sum(parameter.numel() for parameter in ghn.parameters()),
        "recipe": asdict(work.recipe),
        "images": asdict(work.images),
        "history": [asdict(epoch) for epoch in training.history],
        "training_s": sum(epoch.seconds for epoch in training.history),
        "left_out": sum(epoch.left_out for epoch in training.history),
    }
    write_json(file.with_name(f"{file.name}.json"), facts)
    shutil.rmtree(folder, ignore_errors=True)
    return facts


def _taken(options: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The options of these names, which are no longer among the others."""
    found = {name: options.pop(name) for name in names if name in options}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}


def _plain(recipe: Any) -> dict[str, Any]:
    """Its fields as they would be written."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(recipe).items()}


def _with_options(given: str, published: str) -> str:
    """Data as written, with the options of the preset where none were."""
    _, bracket, options = published.partition("(")
    return given if given.endswith(")") else f"{given}{bracket}{options}"
