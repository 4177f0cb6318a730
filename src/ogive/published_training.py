"""The final training of a published network, by name: its data, size and recipe, as published or smaller.

Everything is written into one folder: ``evaluation.json`` (the figures), ``network.safetensors`` (the weights) and,
until it is over, the checkpoints of the training, from which the same call goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ogive import catalog
from ogive.core.errors import SpecError, UnknownName
from ogive.core.rng import Seed
from ogive.files import write_json
from ogive.looks import begin_look, end_look
from ogive.networks import count
from ogive.spaces.darts_rnn import CONCAT, architecture
from ogive.spaces.darts_rnn import PUBLISHED as CELLS
from ogive.spec import parse_options
from ogive.training.checkpoint import save_tensors
from ogive.training.data import Data
from ogive.training.distributed import group
from ogive.training.evaluation import EVALUATIONS, LANGUAGE, PRESETS, Evaluation, LanguageEvaluation, Preset
from ogive.training.language_recipe import LanguageRecipe
from ogive.training.loop import drive
from ogive.training.photographs import central
from ogive.training.recipe import Recipe
from ogive.training.task import Size
from ogive.training.tasks.classification import Classification
from ogive.training.tasks.language import Language
from ogive.training.threads import threads as torch_threads

__all__ = ["evaluate_published", "published_names"]

Facts = dict[str, Any]


def published_names() -> tuple[str, ...]:
    """The trainings that are known by name."""
    return (*EVALUATIONS, *LANGUAGE)


def evaluate_published(
    name: str,
    folder: Path,
    *,
    preset: Preset = "small",
    data: str | None = None,
    recipe: str = "",
    seed: int = 0,
    device: str = "cpu",
    threads: int | None = None,
    command: str | None = None,
    progress: Callable[[Any], None] | None = None,
) -> Facts:
    """Train a published network on all but the test part of its data, and measure it there once.

    `data` is needed for folders (``images:FOLDER``, ``text:FOLDER``), which have the options of the preset unless they
    are written; `recipe` changes single options. An interrupted training goes on where it stopped. Started by
    ``torchrun``, all processes train together, and those that do not write return an empty dictionary.
    """
    if name not in published_names():
        raise UnknownName("published training", name, published_names())
    if preset not in PRESETS:
        raise UnknownName("preset", preset, PRESETS)
    options, streams = parse_options(recipe), Seed(seed).child("evaluation")
    with torch_threads(threads), group(device) as ranks:
        if name in LANGUAGE:
            work = _of_words(LANGUAGE[name], preset, data, options, streams)
        else:
            work = _of_images(EVALUATIONS[name][preset], data, options, seed, streams)
        told = hashlib.sha256(json.dumps(work.decided).encode()).hexdigest()
        training = work.task.training(work.network.to(device), work.recipe, seed=streams, device=torch.device(device))
        tell = progress if ranks.writes else None
        measured = dict(drive(training, folder=folder / f"training-{told[:12]}", tell=tell))
        if not ranks.writes:
            return {}
        earlier = int((folder / "evaluation.json").exists())  # version 0.1 did not count
        about = {"arch": work.facts["arch"], "data": work.facts["data"], "of": work.task.digest}
        look = begin_look(folder, earlier=earlier, **about)
        seen = work.task.measured(work.network, "test", work.recipe, seed=streams)
        end_look(folder, look, seen)
        measured |= seen
        network = work.network.to("cpu").eval()
        facts = {
            "name": name,
            "preset": preset,
            "seed": seed,
            "command": command,
            **measured,
            **work.task.described(network, work.recipe, measured),
            **work.facts,
            "look": look,
            "epochs": len(training.history),
            "recipe": asdict(work.recipe),
            "history": [asdict(epoch) for epoch in training.history],
            "training_s": sum(epoch.seconds for epoch in training.history),
        }
    save_tensors(network.state_dict(), folder / "network.safetensors")
    write_json(folder / "evaluation.json", facts)
    return facts


@dataclass(frozen=True, eq=False)
class _Work:
    """A network to be trained for a task, what `decided` its weights as JSON, and what is to be said of it."""

    task: Any
    network: nn.Module
    recipe: Any
    decided: Sequence[Any]
    facts: Facts


def _of_images(plan: Evaluation, data: str | None, options: Mapping[str, Any], seed: int, streams: Seed) -> _Work:
    recipe = catalog.filled(Recipe, {**asdict(plan.recipe), **options})
    written = _data(plan.data, data)
    read = catalog.build("data", written)
    if read.kind != "images":
        raise SpecError(f"{plan.genotype} is trained on images, and {written} holds {read.kind}.")
    seen = _as_seen(read.joined(), recipe.resized_crop)
    shape = tuple(seen.test.images.shape[1:])
    skeleton = replace(plan.skeleton, classes=len(read.classes), inputs=shape[0], size=min(shape[1:]))
    network = plan.network(skeleton, seed=streams.integer("weights"))
    decided = [plan.genotype, asdict(skeleton), asdict(recipe), read.digest, seed]
    # Of an image as it is tested, which is smaller where networks are trained on parts of images.
    facts = {"arch": plan.genotype, "data": written, "macs": count.macs(network, shape), "skeleton": asdict(skeleton)}
    return _Work(Classification(seen), network, recipe, decided, facts)


def _of_words(
    plan: LanguageEvaluation, preset: Preset, data: str | None, options: Mapping[str, Any], streams: Seed
) -> _Work:
    if data is None:
        raise SpecError(f"The text of {plan.text} is not part of ogive: give --data text:FOLDER.")
    read = catalog.build("data", data)
    if read.kind != "words":
        raise SpecError(f"The cell is trained on a text, and {data} holds {read.kind}: give --data text:FOLDER.")
    # Small presets have their own size and dropouts.
    changes = plan.changes if preset == "paper" else {}
    task, genotype = Language(read), CELLS[plan.genotype]
    # Cells of more nodes are no architectures of the space.
    arch = architecture(genotype.recurrent) if genotype.concat == CONCAT else genotype
    recipe = catalog.filled(LanguageRecipe, {"preset": preset, **changes, **options})
    network = task.network(arch, Size(), recipe, seed=streams.integer(str(arch)))
    decided = [str(arch), asdict(recipe), read.digest]
    return _Work(task, network, recipe, decided, {"arch": plan.genotype, "data": data})


def _data(published: str, given: str | None) -> str:
    """The data as written, with the published options where a folder was named and none were."""
    if given is None:
        if "FOLDER" in published:
            raise SpecError(
                "The images are not part of ogive: give --data images:FOLDER, a folder of pictures a class."
            )
        return published
    _, bracket, options = published.partition("(")
    is_folder = given.startswith("images:") and "FOLDER" in published and not given.endswith(")")
    return f"{given}{bracket}{options}" if is_folder else given


def _as_seen(data: Data, side: int) -> Data:
    """The data with validation and test images cut to the middle that a network trained on parts is shown."""
    if not side:
        return data
    val, test = (replace(split, images=central(split.images, side)) for split in (data.val, data.test))
    return replace(data, val=val, test=test)
