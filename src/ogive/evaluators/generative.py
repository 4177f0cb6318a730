"""Generative: train the generator of a candidate against a discriminator, and measure the images that it makes."""

from __future__ import annotations

import gc
import logging
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ogive.core.architecture import Architecture
from ogive.core.errors import OgiveError, SpecError, UnknownName
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Cost, Fidelity, Measurement, Proposal
from ogive.evaluators.judged import Judge
from ogive.evaluators.trained import own_folder, reason_of
from ogive.networks.autogan import Generator, GeneratorSize, check_critic, discriminator, generator
from ogive.networks.count import macs, parameters
from ogive.spaces.autogan import NAME
from ogive.training.adversarial import AdversarialRecipe, train_adversarial
from ogive.training.data import Data
from ogive.training.loop import Diverged
from ogive.training.memory import capacity, training_bytes
from ogive.training.recipe import Recipe
from ogive.training.threads import threads as torch_threads
from ogive.training.yardstick import YardstickRecipe

__all__ = ["Generative"]

logger = logging.getLogger(__name__)

MEGABYTE = 1 << 20


class Generative:
    """Trains every candidate generator from scratch; the fidelity of a proposal is a number of steps.

    Measures ``own_fid`` (smaller is better), ``own_is``, ``params`` and ``macs``. The first two are the formulas of FID
    and of the Inception score with features of a classifier that is trained here, on ``data.train``: they compare
    candidates, and mean nothing beside published numbers. Real images are those of ``data.val``. A candidate that
    diverges or runs out of memory is a failed measurement.

    `channels`: width of generators, `critic_channels` that of the discriminator, half of it by default; `images` that
    are made to be measured; `statistics_images` made to estimate batch statistics after training; `samples` of them are
    written as a picture into `folder`, where unfinished trainings leave checkpoints too. `feature_channels` and
    `feature_epochs`: the classifier, which stands in ogive's home and is the same for all searches on the same images.
    `steps` to `decay`: as in ``AdversarialRecipe``. `threads`: of torch. `memory_limit_mb`: candidates that would need
    more are failed before they are trained; None for what the device has.
    """

    def __init__(
        self,
        *,
        data: Data,
        seed: Seed,
        space: SearchSpace | None = None,
        device: str = "cpu",
        threads: int | None = None,
        channels: int | None = None,
        folder: Path | None = None,
        critic_channels: int | None = None,
        images: int = 5000,  # VITA-Group/AutoGAN, cfg.py, rl_num_eval_img; 50,000 for its final figures
        statistics_images: int = 2000,
        samples: int = 64,
        feature_channels: int = 16,
        feature_epochs: int = 20,
        memory_limit_mb: int | None = None,
        steps: int = 50_000,  # VITA-Group/AutoGAN, exps/derive.sh, as are all that follow but average and decay
        batch_size: int = 64,
        generator_batch: int = 128,
        learning_rate: float = 2e-4,
        beta1: float = 0.0,
        beta2: float = 0.9,
        critic_steps: int = 5,
        average: float = 0.999,  # the same, functions.py
        decay: bool = False,  # the same, cfg.py
        progress: Callable[[str], None] | None = None,
    ) -> None:
        for word, value in (("threads", threads), ("memory_limit_mb", memory_limit_mb)):
            if value is not None and value < 1:
                raise SpecError(f"{word} must be at least 1, but got {value}.")
        if space is not None and space.name != NAME:
            raise UnknownName("space with generators", space.name, [NAME])
        self.metrics = ("own_fid", "own_is", "params", "macs")
        self.epochs, self.threads, self.progress = steps, threads, progress
        self._size = GeneratorSize.fitted(data.shape, GeneratorSize().channels if channels is None else channels)
        self._critic_channels = max(1, self._size.channels // 2) if critic_channels is None else critic_channels
        check_critic(self._critic_channels)
        self._recipe = AdversarialRecipe(
            steps=steps,
            batch_size=batch_size,
            generator_batch=generator_batch,
            learning_rate=learning_rate,
            betas=(beta1, beta2),
            critic_steps=critic_steps,
            average=average,
            decay=decay,
        )
        self._data, self._seed, self._device, self._folder = data, seed, torch.device(device), folder
        self._judge = Judge(
            data,
            seed,
            self._device,
            YardstickRecipe(channels=feature_channels, epochs=feature_epochs),
            images=images,
            statistics_images=statistics_images,
            samples=samples,
            folder=folder,
        )
        limit = capacity(self._device) if memory_limit_mb is None else memory_limit_mb * MEGABYTE
        self._limit: float = math.inf if limit is None else limit

    def __getstate__(self) -> dict[str, Any]:
        # Who watches stays in the process that watches: a callback cannot be sent to a worker.
        return {**self.__dict__, "progress": None}

    def rehearse(self) -> float:
        """About how many seconds are spent before the first candidate: on the classifier, unless it is there."""
        with torch_threads(self.threads):
            return self._judge.rehearse()

    @property
    def fidelity(self) -> Fidelity:
        """Its steps; each number of them is a training with a schedule of its own."""
        return Fidelity("steps", self.epochs)

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        with torch_threads(self.threads):
            if proposals:
                self._judge.prepare(self.progress)  # outside: a training that fails is no failure of a candidate
            return [self._measured(proposal) for proposal in proposals]

    def _measured(self, proposal: Proposal) -> Measurement:
        started = time.perf_counter()
        arch = proposal.arch
        steps = self.epochs if proposal.fidelity is None else proposal.fidelity
        metrics: dict[str, float] = {}
        error = None
        try:
            with torch.device("meta"):
                outline = generator(arch, self._size)
            counted = {"params": parameters(outline), "macs": macs(outline, (self._size.latent,))}
            metrics |= {name: float(count) for name, count in counted.items()}
            self._refuse_too_large(outline)
            own_fid, own_is = self._quality(arch, replace(self._recipe, steps=steps))
            metrics |= {"own_fid": own_fid, "own_is": own_is}
        except Diverged as diverged:
            error = f"diverged: {diverged}"
        except OgiveError:
            raise
        except Exception as mishap:  # noqa: BLE001 - whatever one candidate runs into must not cost the others
            error = reason_of(mishap)
        place = own_folder(self._folder, arch, steps)
        if place is not None:
            shutil.rmtree(place, ignore_errors=True)
        if error is not None:
            logger.info("%s failed: %s", arch, error)
            gc.collect()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
        return Measurement(metrics, Cost(time.perf_counter() - started), error)

    def _refuse_too_large(self, outline: Generator) -> None:
        needed = training_bytes(outline, (self._size.latent,), self._adam) + self._critic_bytes
        if needed > self._limit:
            raise MemoryError(
                f"training would take about {needed / MEGABYTE:,.0f} MiB, "
                f"and the limit is {self._limit / MEGABYTE:,.0f} MiB"
            )

    @property
    def _adam(self) -> Recipe:
        """What counts for the memory of a generator's training: Adam remembers as much as AdamW does."""
        batch, average = self._recipe.generator_batch, self._recipe.average
        return Recipe(batch_size=batch, optimizer="adamw", average=average)

    @cached_property
    def _critic_bytes(self) -> int:
        """Memory that the discriminator's training takes, the same for all candidates."""
        judged = max(2 * self._recipe.batch_size, self._recipe.generator_batch)
        with torch.device("meta"):
            critic = discriminator(self._critic_channels, self._size.outputs)
        return training_bytes(critic, self._data.shape, replace(self._adam, batch_size=judged, average=0.0))

    def _quality(self, arch: Architecture, recipe: AdversarialRecipe) -> tuple[float, float]:
        seed = self._seed.child(str(arch))
        made = generator(arch, self._size, seed=seed.integer("weights"))
        critic = discriminator(self._critic_channels, self._size.outputs, seed=seed.integer("critic"))
        train_adversarial(
            made,
            critic,
            self._data,
            recipe,
            seed=seed,
            device=self._device,
            folder=own_folder(self._folder, arch, recipe.steps),
            progress=self.progress,
        )
        return self._judge.measured(made, arch)
