"""Estimates of generators with the weights of a supernet of autogan, or of the parts of one (few-shot NAS)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ogive.core.errors import SpecError, UnknownName
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Cost, Measurement, Proposal
from ogive.evaluators.trained import reason_of
from ogive.networks.autogan import Generator, GeneratorSize, check_critic, discriminator, whole_choices
from ogive.networks.build import drawing_from
from ogive.spaces.autogan import NAME
from ogive.supernets.generators import GeneratorParts, Pair, PathTraining, decision, divided, split_and_trained, trained
from ogive.training.adversarial import AdversarialRecipe
from ogive.training.data import Data
from ogive.training.image_features import FeatureRecipe
from ogive.training.tasks.generation import Generation
from ogive.training.tasks.judge import Judge
from ogive.training.threads import threads as torch_threads

__all__ = ["InheritedGenerative"]


class InheritedGenerative:
    """Estimates ``own_fid`` of generators with the weights of a supernet, or of the parts that it is split into.

    What ``inherited`` stands for in the space autogan. The supernet is trained on uniform random paths when the first
    candidate comes, into `folder`: once, and on from the last checkpoint after an interruption. Every candidate gets
    batch statistics of its own, from noise that is the same for all.

    `split`: the decisions on which it is split, one after the other, as in ``split=up1`` or ``split=[up1, shortcut2]``;
    "random" draws `splits` of them. `steps` and `part_steps`: of the supernet and of each part. `metric` is what the
    estimate is called. All others as in ``Generative``.
    """

    def __init__(
        self,
        *,
        space: SearchSpace,
        data: Data,
        seed: Seed,
        device: str = "cpu",
        threads: int | None = None,
        channels: int | None = None,
        folder: Path | None = None,
        metric: str = "own_fid",
        split: str | list[str] | None = None,
        splits: int = 1,
        critic_channels: int | None = None,
        images: int = 5000,  # VITA-Group/AutoGAN, cfg.py
        statistics_images: int = 2000,
        samples: int = 64,
        feature_channels: int = 16,
        feature_epochs: int = 20,
        steps: int = 50_000,  # ours: as many as a final training; parts half, as in aoiang/few-shot-NAS
        part_steps: int = 25_000,
        batch_size: int = 64,  # VITA-Group/AutoGAN, exps/autogan_search.sh, as are all that follow
        generator_batch: int = 128,
        learning_rate: float = 2e-4,
        beta1: float = 0.0,
        beta2: float = 0.9,
        critic_steps: int = 5,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        if space.name != NAME:
            raise UnknownName("space with generators", space.name, [NAME])
        if splits < 1:
            raise SpecError(f"splits must be at least 1, but got {splits}.")
        self.metrics = (replace(Generation.metrics[0], name=metric),)
        self.space, self.data, self.seed, self.progress = space, data, seed, progress
        self.device, self.threads = torch.device(device), threads
        self._decisions = _decisions(split, splits, seed)
        self._size = GeneratorSize.fitted(data.shape, 128 if channels is None else channels)  # autogan_search.sh
        self._critic_channels = max(1, self._size.channels // 2) if critic_channels is None else critic_channels
        check_critic(self._critic_channels)
        recipe = AdversarialRecipe(
            steps=steps,
            batch_size=batch_size,
            generator_batch=generator_batch,
            learning_rate=learning_rate,
            betas=(beta1, beta2),
            critic_steps=critic_steps,
            average=0.0,
        )
        self._training = PathTraining(
            data=data,
            seed=seed,
            recipe=recipe,
            part_recipe=replace(recipe, steps=part_steps),
            origin={"size": asdict(self._size), "critic_channels": self._critic_channels},
            device=str(device),
            folder=folder,
        )
        self._judge = Judge(
            data,
            seed,
            self.device,
            FeatureRecipe(channels=feature_channels, epochs=feature_epochs),
            images=images,
            statistics_images=statistics_images,
            samples=samples,
            folder=folder,
        )
        self._source: Generator | GeneratorParts | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Another process reads the supernet from the folder, or trains it again; who watches stays in this one.
        return {**self.__dict__, "progress": None, "_source": None}

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        """An estimate of each proposal, whatever its fidelity."""
        with torch_threads(self.threads):
            return [self._measured(proposal) for proposal in proposals]

    @property
    def source(self) -> Generator | GeneratorParts:
        """The supernet or its parts, trained when first asked for."""
        if self._source is None:
            training = replace(self._training, progress=self.progress)
            parent = trained(self._fresh(), "", training)
            parts = split_and_trained(parent, self._decisions, training) if self._decisions else None
            self._source = parent.generator if parts is None else parts
        return self._source

    @property
    def training_s(self) -> float:
        """Seconds that the supernet and its parts trained, now or in an earlier run; 0 before they are there."""
        return sum(self._training.spent.values())

    def rehearse(self) -> float:
        """About how many seconds the trainings take; what is measured from now on has hardly trained weights.

        For an estimate of a whole search: a fiftieth of the steps is trained, 50 at most, and nothing is kept.
        """
        if self._source is not None:
            return 0.0
        with torch_threads(self.threads):
            total = self._judge.rehearse()
            training = self._training
            tried = max(1, min(50, training.recipe.steps // 50))
            started = time.perf_counter()
            short = replace(training, recipe=replace(training.recipe, steps=tried), folder=None)
            parent = trained(self._fresh(), "", short)
        step_s = (time.perf_counter() - started) / tried
        self._source = divided(parent, self._decisions[0]) if self._decisions else parent.generator
        widths = [len(whole_choices()[place]) for place in self._decisions]
        trainings = sum(math.prod(widths[: level + 1]) for level in range(len(widths)))
        return total + step_s * (training.recipe.steps + trainings * training.part_recipe.steps)

    def _measured(self, proposal: Proposal) -> Measurement:
        started = time.perf_counter()
        source = self.source  # outside: a training that fails is no failure of the candidate
        self._judge.prepare(self.progress)
        try:
            arch = self.space.admit(proposal.arch)
            value = self._judge.measured(source.network(arch).to(self.device))[0]
        except Exception as mishap:  # noqa: BLE001 - whatever one candidate runs into must not cost the others
            return Measurement(cost=Cost(time.perf_counter() - started), error=reason_of(mishap))
        return Measurement({self.metrics[0].name: value}, Cost(time.perf_counter() - started))

    def _fresh(self) -> Pair:
        with drawing_from(self.seed.integer("weights")):
            made = Generator(whole_choices(), self._size)
        critic = discriminator(self._critic_channels, self._size.outputs, seed=self.seed.integer("critic"))
        return Pair(made.to(self.device), critic.to(self.device))


def _decisions(split: str | Sequence[str] | None, splits: int, seed: Seed) -> tuple[int, ...]:
    """The decisions that were written, or drawn by the seed."""
    if split == "random":
        drawn = seed.numpy("decisions").permutation(len(whole_choices()))[:splits]
        return tuple(int(place) for place in drawn)
    written = () if split is None else (split,) if isinstance(split, str) else tuple(split)
    found = tuple(decision(text) for text in written)
    if len(set(found)) < len(found):
        raise SpecError(f"A supernet is split on different decisions, but got {', '.join(written)}.")
    return found
