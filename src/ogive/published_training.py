"""The final training of a published network, by name: its data, size and recipe, as published or smaller.

Everything is written into one folder: ``evaluation.json`` (the figures), ``network.safetensors`` (the weights) and,
until it is over, the checkpoints of the training, from which the same call goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from ogive import catalog
from ogive.core.errors import SpecError, UnknownName
from ogive.core.rng import Seed
from ogive.networks import count
from ogive.runs import write_json
from ogive.session import load_data
from ogive.spaces.darts_rnn import PUBLISHED as CELLS
from ogive.spaces.darts_rnn import architecture
from ogive.spec import Spec, parse_options
from ogive.training.data import Data
from ogive.training.distributed import group
from ogive.training.evaluation import EVALUATIONS, LANGUAGE, PRESETS, Evaluation, LanguageEvaluation, Preset
from ogive.training.language_recipe import LanguageRecipe
from ogive.training.loop import drive
from ogive.training.photographs import central
from ogive.training.recipe import Recipe
from ogive.training.supervised import accuracy, train
from ogive.training.task import Size
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
    said: Facts = {"name": name, "preset": preset, "seed": seed, "command": command}
    with torch_threads(threads):
        if name in LANGUAGE:
            network, facts = _language(LANGUAGE[name], preset, folder, data, recipe, seed, device, progress)
        else:
            network, facts = _images(EVALUATIONS[name][preset], folder, data, recipe, seed, device, progress)
    if not facts:
        return {}
    scratch = folder / "network.tmp"
    save_file({key: tensor.contiguous() for key, tensor in network.state_dict().items()}, scratch)
    scratch.replace(folder / "network.safetensors")
    write_json(folder / "evaluation.json", {**said, **facts})
    return {**said, **facts}


def _images(
    plan: Evaluation,
    folder: Path,
    data: str | None,
    recipe: str,
    seed: int,
    device: str,
    progress: Callable[[Any], None] | None,
) -> tuple[nn.Module, Facts]:
    options = _changed(plan.recipe, recipe)
    written = _data(plan.data, data)
    task = load_data(written)
    if task.kind != "images":
        raise SpecError(f"{plan.genotype} is trained on images, and {written} holds {task.kind}.")
    seen = _as_seen(task.joined(), options.resized_crop)
    skeleton = replace(
        plan.skeleton, classes=len(task.classes), inputs=task.shape[0], size=min(seen.test.images.shape[2:])
    )
    streams = Seed(seed).child("evaluation")
    network = plan.network(skeleton, seed=streams.integer("weights")).to(device)
    told = json.dumps([plan.genotype, asdict(skeleton), asdict(options), task.digest, seed])
    unfinished = folder / f"training-{hashlib.sha256(told.encode()).hexdigest()[:12]}"
    with group(device) as ranks:
        outcome = train(
            network,
            seen,
            options,
            seed=streams,
            device=device,
            folder=unfinished,
            validate_every=0,
            progress=progress if ranks.writes else None,
        )
        if not ranks.writes:
            return network, {}
        test_acc = accuracy(network, seen.test, seen, device)
    network = network.to("cpu")
    network.eval()
    shape = (task.shape[0], *seen.test.images.shape[2:])
    return network, {
        "arch": plan.genotype,
        "data": written,
        "test_acc": test_acc,
        "test_images": len(task.test),
        "reached": f"{test_acc:.2f} % of {len(task.test)} test images",
        "params": count.parameters(network),
        "macs": count.macs(network, shape),
        "epochs": options.epochs,
        "recipe": asdict(options),
        "skeleton": asdict(skeleton),
        "history": [asdict(epoch) for epoch in outcome.history],
        "training_s": outcome.seconds,
    }


def _language(
    plan: LanguageEvaluation,
    preset: Preset,
    folder: Path,
    data: str | None,
    recipe: str,
    seed: int,
    device: str,
    progress: Callable[[Any], None] | None,
) -> tuple[nn.Module, Facts]:
    if data is None:
        raise SpecError(f"The text of {plan.text} is not part of ogive: give --data text:FOLDER.")
    task = load_data(data)
    if task.kind != "words":
        raise SpecError(f"The cell is trained on a text, and {data} holds {task.kind}: give --data text:FOLDER.")
    # Small presets have their own size and dropouts.
    changes = plan.changes if preset == "paper" else {}
    work, streams, arch = Language(task), Seed(seed).child("evaluation"), architecture(CELLS[plan.genotype].recurrent)
    filled = catalog.filled(LanguageRecipe, {"preset": preset, **changes, **parse_options(recipe)})
    network = work.network(arch, Size(), filled, seed=streams.integer(str(arch))).to(device)
    told = json.dumps([str(arch), asdict(filled), task.digest])
    unfinished = folder / f"training-{hashlib.sha256(told.encode()).hexdigest()[:12]}"
    training = work.training(network, filled, seed=streams, device=torch.device(device))
    measured = dict(drive(training, folder=unfinished, tell=progress))
    measured |= work.measured(network, "test", filled, seed=streams)
    network = network.to("cpu")
    return network, {
        "arch": plan.genotype,
        "data": data,
        **measured,
        **work.described(network, filled, measured),
        "epochs": len(training.history),
        "recipe": asdict(filled),
        "history": [asdict(epoch) for epoch in training.history],
        "training_s": sum(epoch.seconds for epoch in training.history),
    }


def _changed(recipe: Recipe, text: str) -> Recipe:
    made: Recipe = catalog.make(Recipe, Spec("training", options={**asdict(recipe), **parse_options(text)}))
    return made


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
