"""Generation: networks that make images out of noise, trained against a discriminator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.metric import Metric
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.networks.autogan import Generator, GeneratorSize, check_critic, discriminator, generator
from ogive.networks.count import macs, parameters
from ogive.networks.plain import Plain
from ogive.networks.plain_noise import of_noise
from ogive.training.adversarial import AdversarialRecipe, Duel, Pixels
from ogive.training.data import Data
from ogive.training.loop import Tell
from ogive.training.memory import training_bytes
from ogive.training.recipe import Recipe
from ogive.training.task import Part, Size, refuse_other_space
from ogive.training.tasks.judge import GeneratorJudge, Judging

__all__ = ["Generation", "GenerationRecipe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRecipe(AdversarialRecipe, Judging):
    """How a generator is trained, and with what its images are compared.

    `critic_channels`: width of the discriminator, half of the generator's by default.
    """

    critic_channels: int | None = None

    @property
    def adversarial(self) -> AdversarialRecipe:
        """The part that decides the weights."""
        return AdversarialRecipe(**{entry.name: getattr(self, entry.name) for entry in fields(AdversarialRecipe)})

    @property
    def adam(self) -> Recipe:
        """What counts for the memory of a generator's training: Adam remembers as much as AdamW does."""
        return Recipe(batch_size=self.generator_batch, optimizer="adamw", average=self.average)


class Generation:
    """Images that are to be made; measures ``own_fid`` (smaller is better) and ``own_is``.

    These are the formulas of FID and of the Inception score with features of a classifier that is trained here, on
    ``data.train``: they compare candidates, and mean nothing beside published numbers. Real images are those of
    ``data.val``, or in a test of ``data.test``. Samples are written into `folder`, if there is one.
    """

    name = "generation"
    metrics: tuple[Metric, ...] = (
        Metric("own_fid", "", "smaller", "distance to real images, by a classifier trained here"),
        Metric("own_is", "", "larger", "class score, by a classifier trained here"),
    )
    recipe = GenerationRecipe
    measuring = Judging

    def __init__(self, data: Data, *, folder: Path | None = None) -> None:
        self.data, self.folder = data, folder
        self._judges: dict[tuple[Judging, Seed, torch.device], GeneratorJudge] = {}

    @property
    def digest(self) -> str:
        """SHA-256 of the images."""
        return self.data.digest

    def fitted(self, recipe: GenerationRecipe, size: Size, space: SearchSpace | None) -> GenerationRecipe:
        """The recipe with the width of the discriminator; SpecError for images that no generator makes."""
        refuse_other_space(self, space)
        if size.cells is not None or size.auxiliary:
            raise SpecError("The size of a generator is its channels: leave out cells and auxiliary.")
        channels = self._size(size).channels
        critic = max(1, channels // 2) if recipe.critic_channels is None else recipe.critic_channels
        check_critic(critic)
        self.judge(recipe, seed=Seed(0), device=torch.device("cpu"))  # what cannot be measured is refused now
        return replace(recipe, critic_channels=critic)

    def network(self, arch: Architecture, size: Size, recipe: GenerationRecipe, *, seed: int | None) -> Generator:
        """The generator of an architecture."""
        if seed is not None:
            return generator(arch, self._size(size), seed=seed)
        with torch.device("meta"):
            return generator(arch, self._size(size))

    def counted(self, network: nn.Module) -> dict[str, float]:
        """Parameters, and multiply-accumulates of an image."""
        latent = cast(Generator, network).latent
        return {"params": float(parameters(network)), "macs": float(macs(network, (latent,)))}

    def memory(self, outline: nn.Module, recipe: GenerationRecipe) -> float:
        """As `training_bytes` of the generator and of the discriminator."""
        made = cast(Generator, outline)
        judged = replace(recipe.adam, batch_size=max(2 * recipe.batch_size, recipe.generator_batch), average=0.0)
        with torch.device("meta"):
            critic = discriminator(self._critic_channels(recipe), made.outputs)
        return training_bytes(made, (made.latent,), recipe.adam) + training_bytes(critic, self.data.shape, judged)

    def training(self, network: nn.Module, recipe: GenerationRecipe, *, seed: Seed, device: torch.device) -> Duel:
        """A training on ``data.train`` against a fresh discriminator."""
        made = cast(Generator, network)
        critic = discriminator(self._critic_channels(recipe), made.outputs, seed=seed.integer("critic"))
        return Duel(made, critic, self.data, recipe.adversarial, seed=seed, device=device)

    def measured(self, network: nn.Module, part: Part, recipe: GenerationRecipe, *, seed: Seed) -> dict[str, float]:
        """The two scores, with batch statistics of its own, beside real images of a part."""
        judge = self.judge(recipe, seed=seed, device=next(network.parameters()).device)
        return judge.measured(judge.recalibrated(network), part)

    def prepare(self, recipe: GenerationRecipe, *, seed: Seed, device: torch.device, tell: Tell | None) -> None:
        """Train the classifier, unless it is there."""
        self.judge(recipe, seed=seed, device=device).prepare(tell)

    def rehearse(self, recipe: GenerationRecipe, *, seed: Seed, device: torch.device) -> float:
        """About how many seconds the classifier takes; a hardly trained one stands for it from now on."""
        return self.judge(recipe, seed=seed, device=device).rehearse()

    def judge(self, measuring: Judging, *, seed: Seed, device: torch.device) -> GeneratorJudge:
        """What measures generators; the same one whenever it is asked for alike."""
        options = Judging(**{entry.name: getattr(measuring, entry.name) for entry in fields(Judging)})
        key = (options, seed, device)
        if key not in self._judges:
            self._judges[key] = GeneratorJudge(self.data, options, seed=seed, device=device, folder=self.folder)
        return self._judges[key]

    def joined(self) -> Generation:
        """The same: the classifier that measures has learnt from the training images, and so do generators alone."""
        return self

    def described(self, network: nn.Module, recipe: GenerationRecipe, measured: Mapping[str, float]) -> dict[str, Any]:
        """The number of test images, parameters and multiply-accumulates."""
        reached = f"distance {measured['test_own_fid']:.2f} to {len(self.data.test)} test images, by ogive's classifier"
        counted = {name: int(value) for name, value in self.counted(network).items()}
        return {"test_images": len(self.data.test), "reached": reached, **counted}

    def plain(self, network: nn.Module) -> Plain:
        """With the range of its pixels."""
        made, pixels = cast(Generator, network), Pixels.of(self.data)
        return of_noise(made.latent, self.data.shape, low=pixels.low, high=pixels.high)

    def _size(self, size: Size) -> GeneratorSize:
        channels = GeneratorSize().channels if size.channels is None else size.channels
        return GeneratorSize.fitted(self.data.shape, channels)

    @staticmethod
    def _critic_channels(recipe: GenerationRecipe) -> int:
        if recipe.critic_channels is None:
            raise SpecError("A discriminator needs critic_channels: ask for the fitted recipe of a size.")
        return recipe.critic_channels
