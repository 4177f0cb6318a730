"""How the supernet of the space autogan is trained, on uniform random paths, and split on decisions."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import ClassVar

from ogive.core.errors import SpecError, UnknownName
from ogive.core.rng import Seed
from ogive.networks.autogan import GeneratorSize, SharedGenerator, check_critic, discriminator, whole_choices
from ogive.networks.build import WeightSource, drawing_from
from ogive.spaces.autogan import NAME
from ogive.supernets.generators import Pair, PathTraining, decision, divided, split_and_trained, trained
from ogive.training.adversarial import AdversarialRecipe
from ogive.training.loop import Tell
from ogive.training.tasks.generation import Generation
from ogive.weights.source import Place

__all__ = ["GeneratorSplitting", "GeneratorTrainer", "GeneratorTraining"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorTraining:
    """How a supernet of generators is trained; see `AdversarialRecipe`, of whose weights no average is kept.

    `critic_channels`: width of the discriminator, half of the generator's by default.
    """

    task: ClassVar[str] = "generation"

    steps: int = 50_000  # ours: as many as a final training; parts half, as in aoiang/few-shot-NAS
    batch_size: int = 64  # VITA-Group/AutoGAN, exps/autogan_search.sh, as are all that follow
    generator_batch: int = 128
    learning_rate: float = 2e-4
    beta1: float = 0.0
    beta2: float = 0.9
    critic_steps: int = 5
    critic_channels: int | None = None

    @property
    def recipe(self) -> AdversarialRecipe:
        """The recipe of the supernet."""
        return AdversarialRecipe(
            steps=self.steps,
            batch_size=self.batch_size,
            generator_batch=self.generator_batch,
            learning_rate=self.learning_rate,
            betas=(self.beta1, self.beta2),
            critic_steps=self.critic_steps,
            average=0.0,
        )

    def trainer(self, place: Place) -> GeneratorTrainer:
        """What trains the supernet there; SpecError for what cannot be."""
        return GeneratorTrainer(place, self)


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorSplitting(GeneratorTraining):
    """How it is trained, split and trained further.

    `split`: the decisions on which it is split, one after the other, as in ``split=up1`` or ``split=[up1, shortcut2]``;
    "random" draws `splits` of them.
    """

    split: str | list[str] | None = None
    splits: int = 1
    part_steps: int = 25_000

    def __post_init__(self) -> None:
        if self.splits < 1:
            raise SpecError(f"splits must be at least 1, but got {self.splits}.")
        if self.split is None or self.split == []:
            raise SpecError("Parts are those of a supernet that is split on a decision: write parts(split=up1).")


class GeneratorTrainer:
    """Trains a supernet of generators into a folder, and the parts that it is split into."""

    def __init__(self, place: Place, training: GeneratorTraining) -> None:
        if place.space.name != NAME:
            raise UnknownName("space with generators", place.space.name, [NAME])
        if not isinstance(place.task, Generation):
            raise SpecError(f"Generators are trained for the task generation, but the task is {place.task.name}.")
        self.place, steps = place, training.steps
        self._decisions: tuple[int, ...] = ()
        if isinstance(training, GeneratorSplitting):
            steps = training.part_steps
            self._decisions = _decisions(training.split, training.splits, place.seed)
        channels = 128 if place.channels is None else place.channels  # VITA-Group/AutoGAN, exps/autogan_search.sh
        data = place.task.data
        self._size = GeneratorSize.fitted(data.shape, channels)
        half = max(1, channels // 2)
        self._critic_channels = half if training.critic_channels is None else training.critic_channels
        check_critic(self._critic_channels)
        self._training = PathTraining(
            data=data,
            seed=place.seed,
            recipe=training.recipe,
            part_recipe=replace(training.recipe, steps=steps),
            origin={"size": asdict(self._size), "critic_channels": self._critic_channels},
            device=str(place.device),
            folder=place.folder,
        )

    @property
    def spent(self) -> Mapping[str, float]:
        """Seconds that each supernet trained, by its name."""
        return self._training.spent

    def trained(self, tell: Tell | None) -> WeightSource:
        """The supernet or its parts."""
        training = replace(self._training, progress=tell)
        parent = trained(self._fresh(), "", training)
        return split_and_trained(parent, self._decisions, training) if self._decisions else parent.generator

    def rehearsed(self) -> tuple[float, WeightSource]:
        """A fiftieth of the steps is trained, 50 at most, and stands for all of them."""
        training = self._training
        tried = max(1, min(50, training.recipe.steps // 50))
        started = time.perf_counter()
        short = replace(training, recipe=replace(training.recipe, steps=tried), folder=None)
        parent = trained(self._fresh(), "", short)
        step_s = (time.perf_counter() - started) / tried
        widths = [len(whole_choices()[place]) for place in self._decisions]
        trainings = sum(math.prod(widths[: level + 1]) for level in range(len(widths)))
        seconds = step_s * (training.recipe.steps + trainings * training.part_recipe.steps)
        return seconds, divided(parent, self._decisions[0]) if self._decisions else parent.generator

    def _fresh(self) -> Pair:
        seed, device = self.place.seed, self.place.device
        with drawing_from(seed.integer("weights")):
            made = SharedGenerator(whole_choices(), self._size)
        critic = discriminator(self._critic_channels, self._size.outputs, seed=seed.integer("critic"))
        return Pair(made.to(device), critic.to(device))


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
