"""Language: build the language model of a recurrent cell, train it on a text and measure its perplexity."""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ogive.core.architecture import Architecture
from ogive.core.errors import OgiveError, SpecError
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Cost, Fidelity, Measurement, Proposal
from ogive.evaluators.trained import MEGABYTE, own_folder, reason_of
from ogive.networks.recurrent import LanguageModel, build_language_model, macs_a_word
from ogive.spaces.darts_rnn import NAME
from ogive.training.language import LanguageProgress, perplexity, train_language
from ogive.training.language_recipe import DROPOUTS, LanguageRecipe, Preset, language_bytes, recipe_of
from ogive.training.loop import Diverged
from ogive.training.memory import capacity
from ogive.training.text import Text
from ogive.training.threads import threads as torch_threads

__all__ = ["Language"]

logger = logging.getLogger(__name__)


class Language:
    """Trains a language model around every candidate; this is what ``trained`` means where the data are a text.

    Measures ``val_ppl`` (the lowest perplexity of an epoch on the validation text), ``test_ppl`` of the same weights
    (for the record: no strategy sees it), ``params`` and ``macs`` (a word); perplexities are means over `repeats`
    trainings. The fidelity of a proposal is a number of epochs. A candidate that diverges or runs out of memory is a
    failed measurement.

    `preset` and what changes it are those of ``LanguageRecipe``, and `channels` the width of all states; None leaves a
    number as the preset has it. `threads`, `memory_limit_mb` and `folder` are as in ``trained``.
    """

    def __init__(
        self,
        *,
        data: Text,
        seed: Seed,
        space: SearchSpace | None = None,
        device: str = "cpu",
        threads: int | None = None,
        channels: int | None = None,
        folder: Path | None = None,
        repeats: int = 1,
        memory_limit_mb: int | None = None,
        preset: Preset = "small",
        epochs: int | None = None,
        batch_size: int | None = None,
        bptt: int | None = None,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        gradient_clip: float | None = None,
        slowness: float | None = None,
        patience: int | None = None,
        dropout: float | None = None,
        dropout_hidden: float | None = None,
        dropout_input: float | None = None,
        dropout_embedding: float | None = None,
        dropout_word: float | None = None,
        progress: Callable[[LanguageProgress], None] | None = None,
    ) -> None:
        for word, value in (("repeats", repeats), ("threads", threads), ("memory_limit_mb", memory_limit_mb)):
            if value is not None and value < 1:
                raise SpecError(f"{word} must be at least 1, but got {value}.")
        if not isinstance(data, Text):
            raise SpecError(f"Language models are trained on a text: give --data text:FOLDER, not {data.name}.")
        if space is not None and space.name != NAME:
            raise SpecError(f"A text trains cells of {NAME}: search --space {NAME}, not {space.name}, or give images.")
        self.metrics = ("val_ppl", "test_ppl", "params", "macs")
        self._recipe = recipe_of(
            preset,
            width=channels,
            epochs=epochs,
            batch_size=batch_size,
            bptt=bptt,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            gradient_clip=gradient_clip,
            slowness=slowness,
            patience=patience,
            dropout=dropout,
            dropout_hidden=dropout_hidden,
            dropout_input=dropout_input,
            dropout_embedding=dropout_embedding,
            dropout_word=dropout_word,
        )
        self.epochs, self.repeats, self.threads = self._recipe.epochs, repeats, threads
        self._text, self._seed, self._device, self._folder = data, seed, torch.device(device), folder
        self._progress = progress
        limit = capacity(self._device) if memory_limit_mb is None else memory_limit_mb * MEGABYTE
        self._limit: float = math.inf if limit is None else limit

    def __getstate__(self) -> dict[str, Any]:
        # Who watches stays in the process that watches: a callback cannot be sent to a worker.
        return {**self.__dict__, "_progress": None}

    @property
    def fidelity(self) -> Fidelity:
        """Its epochs; each number of them is a training with a schedule of its own."""
        return Fidelity("epochs", self.epochs)

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        with torch_threads(self.threads):
            return [self._measured(proposal) for proposal in proposals]

    def _measured(self, proposal: Proposal) -> Measurement:
        started, arch = time.perf_counter(), proposal.arch
        recipe = self._recipe if proposal.fidelity is None else replace(self._recipe, epochs=proposal.fidelity)
        metrics: dict[str, float] = {}
        error = None
        place = own_folder(self._folder, arch, recipe.epochs)
        try:
            metrics |= self._counted(arch, recipe)
            metrics |= self._perplexities(arch, recipe, place)
        except Diverged as diverged:
            error = f"diverged: {diverged}"
        except OgiveError:
            raise
        except Exception as mishap:  # noqa: BLE001 - whatever one candidate runs into must not cost the others
            error = reason_of(mishap)
        if place is not None:
            shutil.rmtree(place, ignore_errors=True)
        if error is not None:
            logger.info("%s failed: %s", arch, error)
        return Measurement(metrics, Cost(time.perf_counter() - started), error)

    def _counted(self, arch: Architecture, recipe: LanguageRecipe) -> dict[str, float]:
        """Sizes of the network, of which no weight is made; MemoryError if it would not fit."""
        with torch.device("meta"):
            outline = self._built(arch, recipe, None)
        parameters = sum(parameter.numel() for parameter in outline.parameters())
        nodes = len(outline.cell.entries)
        needed = language_bytes(recipe, words=len(self._text.vocabulary), parameters=parameters, nodes=nodes)
        if needed > self._limit:
            raise MemoryError(
                f"training would take about {needed / MEGABYTE:,.0f} MiB, "
                f"and the limit is {self._limit / MEGABYTE:,.0f} MiB"
            )
        return {"params": float(parameters), "macs": float(macs_a_word(outline))}

    def _perplexities(self, arch: Architecture, recipe: LanguageRecipe, place: Path | None) -> dict[str, float]:
        found: list[tuple[float, float]] = []
        for repeat in range(self.repeats):
            seed = self._seed.child(str(arch)).child(f"repeat {repeat}")
            network = self._built(arch, recipe, seed.integer("weights"))
            outcome = train_language(
                network,
                self._text,
                recipe,
                seed=seed,
                device=self._device,
                folder=None if place is None else place / f"repeat-{repeat}",
                progress=self._progress,
            )
            test_ppl = perplexity(network, self._text.test, batch=recipe.test_batch, bptt=recipe.bptt)
            found.append((outcome.val_ppl, test_ppl))
        val, test = (sum(values) / len(values) for values in zip(*found, strict=True))
        return {"val_ppl": val, "test_ppl": test}

    def _built(self, arch: Architecture, recipe: LanguageRecipe, weights: int | None) -> LanguageModel:
        dropouts = {name: getattr(recipe, name) for name in DROPOUTS}
        return build_language_model(
            arch, words=len(self._text.vocabulary), width=recipe.width, seed=weights, **dropouts
        )
