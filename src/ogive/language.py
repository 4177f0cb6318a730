"""The winner of a search on a text: a language model trained fully, measured once on the test text, taken away.

This is the part of `ogive.winner` that knows texts; it writes the same files at the same places.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from ogive import catalog
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, StoreError, UnknownName
from ogive.core.rng import Seed
from ogive.networks.export import Exported
from ogive.networks.export_language import export_language
from ogive.networks.recurrent import LanguageModel, build_language_model, macs_a_word
from ogive.spec import Spec, parse_options
from ogive.training.language import LanguageProgress, perplexity, train_language
from ogive.training.language_recipe import DROPOUTS, PRESETS, LanguageRecipe
from ogive.training.text import Text, columns

__all__ = ["Job", "exported_model", "trained_model"]

Facts = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """What to train: a cell on a text, with the options of a recipe as they were written.

    `channels` is the width unless the recipe names one; `place` is where the training leaves its checkpoints.
    """

    arch: Architecture
    text: Text
    recipe: str
    channels: int | None
    seed: Seed
    device: str
    place: Path


def trained_model(job: Job, progress: Callable[[LanguageProgress], None] | None) -> tuple[LanguageModel, Facts, Path]:
    """The trained model, what is to be said of it, and the folder of its checkpoints."""
    recipe = _recipe(job)
    network = _network(job.arch, job.text, recipe, job.seed.integer(str(job.arch))).to(job.device)
    unfinished = job.place / f"training-{_key(job, recipe)}"
    outcome = train_language(
        network, job.text, recipe, seed=job.seed, device=job.device, folder=unfinished, progress=progress
    )
    test_ppl = perplexity(network, job.text.test, batch=recipe.test_batch, bptt=recipe.bptt)
    network = network.to("cpu")
    facts = {
        "val_ppl": outcome.val_ppl,
        "test_ppl": test_ppl,
        "test_words": (len(job.text.test) // recipe.test_batch - 1) * recipe.test_batch,
        "params": sum(parameter.numel() for parameter in network.parameters()),
        "macs": macs_a_word(network),
        "epochs": len(outcome.history),
        "recipe": asdict(recipe),
        "history": [asdict(epoch) for epoch in outcome.history],
        "training_s": outcome.seconds,
    }
    return network, facts, unfinished


def exported_model(
    weights: Path, facts: Facts, text: Text, place: Path, *, name: str, formats: tuple[str, ...], headline: str
) -> list[Exported]:
    """Write the trained model as source, weights and vocabulary; StoreError if `weights` does not hold it."""
    for wanted in formats:
        if wanted != "torch":
            raise SpecError(f"Language models are exported as torch source only, not to {wanted}: write --to torch.")
    try:
        recipe = LanguageRecipe(**facts["recipe"])
        network = _network(Architecture.parse(facts["arch"]), text, recipe, 0)
        network.load_state_dict(load_file(weights))
    except (OSError, SafetensorError, RuntimeError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise StoreError(f"{weights} does not hold the winner ({reason}); train it again.") from error
    words = columns(text.test, 2)[:50]
    return [export_language(network, place, name=name, vocabulary=text.vocabulary, headline=headline, words=words)]


def _recipe(job: Job) -> LanguageRecipe:
    """The options of the preset that is named, or of "small", with those that are written instead."""
    options = parse_options(job.recipe)
    preset = str(options.pop("preset", "small"))
    if preset not in PRESETS:
        raise UnknownName("preset", preset, PRESETS)
    width = {} if job.channels is None else {"width": job.channels}
    made: LanguageRecipe = catalog.make(
        LanguageRecipe, Spec("training", options={**PRESETS[preset], **width, **options})
    )
    return made


def _network(arch: Architecture, text: Text, recipe: LanguageRecipe, seed: int) -> LanguageModel:
    dropouts = {name: getattr(recipe, name) for name in DROPOUTS}
    return build_language_model(arch, words=len(text.vocabulary), width=recipe.width, seed=seed, **dropouts)


def _key(job: Job, recipe: LanguageRecipe) -> str:
    """What a checkpoint belongs to: with anything else, a training begins anew."""
    told = json.dumps([str(job.arch), asdict(recipe), job.text.digest])
    return hashlib.sha256(told.encode()).hexdigest()[:12]
