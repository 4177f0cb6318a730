"""Generation: networks that make images out of noise, trained against a discriminator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from ogive.networks.export import Exported
from ogive.training.adversarial import AdversarialRecipe, Duel
from ogive.training.data import Data
from ogive.training.image_features import FeatureRecipe
from ogive.training.loop import Tell
from ogive.training.memory import training_bytes
from ogive.training.recipe import Recipe
from ogive.training.task import Part, Size, refuse_other_space
from ogive.training.tasks.judge import Judge

__all__ = ["Generation", "GenerationRecipe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRecipe(AdversarialRecipe):
    """How a generator is trained, and with what its images are compared.

    `critic_channels`: width of the discriminator, half of the generator's by default; `images` that are made to be
    measured; `statistics_images` made to estimate batch statistics after training; `samples` of them are written as a
    picture. `feature_channels` and `feature_epochs`: the classifier whose features are compared, which stands in
    ogive's home and is the same for all searches on the same images.
    """

    critic_channels: int | None = None
    images: int = 5000  # VITA-Group/AutoGAN, cfg.py, rl_num_eval_img; 50,000 for its final figures
    statistics_images: int = 2000
    samples: int = 64
    feature_channels: int = 16
    feature_epochs: int = 20

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
    ``data.val``. Samples are written into `folder`, if there is one.
    """

    name = "generation"
    metrics: tuple[Metric, ...] = (
        Metric("own_fid", "", "smaller", "distance to real images, by a classifier trained here"),
        Metric("own_is", "", "larger", "class score, by a classifier trained here"),
    )
    recipe = GenerationRecipe

    def __init__(self, data: Data, *, folder: Path | None = None) -> None:
        self.data, self.folder = data, folder
        self._judges: dict[tuple[Any, ...], Judge] = {}

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
        self._judge(recipe, Seed(0), torch.device("cpu"))  # what cannot be measured is refused now
        return replace(recipe, critic_channels=critic)

    def network(self, arch: Architecture, size: Size, recipe: GenerationRecipe, *, seed: int | None) -> Generator:
        """The generator of an architecture."""
        if seed is not None:
            return generator(arch, self._size(size), seed=seed)
        with torch.device("meta"):
            return generator(arch, self._size(size))

    def counted(self, network: nn.Module) -> dict[str, float]:
        """Parameters, and multiply-accumulates of an image."""
        latent = cast(Generator, network).size.latent
        return {"params": float(parameters(network)), "macs": float(macs(network, (latent,)))}

    def memory(self, outline: nn.Module, recipe: GenerationRecipe) -> float:
        """As `training_bytes` of the generator and of the discriminator."""
        size = cast(Generator, outline).size
        judged = replace(recipe.adam, batch_size=max(2 * recipe.batch_size, recipe.generator_batch), average=0.0)
        with torch.device("meta"):
            critic = discriminator(self._critic_channels(recipe), size.outputs)
        return training_bytes(outline, (size.latent,), recipe.adam) + training_bytes(critic, self.data.shape, judged)

    def training(self, network: nn.Module, recipe: GenerationRecipe, *, seed: Seed, device: torch.device) -> Duel:
        """A training on ``data.train`` against a fresh discriminator."""
        made = cast(Generator, network)
        critic = discriminator(self._critic_channels(recipe), made.size.outputs, seed=seed.integer("critic"))
        return Duel(made, critic, self.data, recipe.adversarial, seed=seed, device=device)

    def measured(self, network: nn.Module, part: Part, recipe: GenerationRecipe, *, seed: Seed) -> dict[str, float]:
        """The two scores, beside real images of the validation part alone."""
        if part == "test":
            raise SpecError("Made images are compared with validation images only.")
        device = next(network.parameters()).device
        own_fid, own_is = self._judge(recipe, seed, device).measured(cast(Generator, network))
        return {"own_fid": own_fid, "own_is": own_is}

    def prepare(self, recipe: GenerationRecipe, *, seed: Seed, device: torch.device, tell: Tell | None) -> None:
        """Train the classifier, unless it is there."""
        self._judge(recipe, seed, device).prepare(tell)

    def rehearse(self, recipe: GenerationRecipe, *, seed: Seed, device: torch.device) -> float:
        """About how many seconds the classifier takes; a hardly trained one stands for it from now on."""
        return self._judge(recipe, seed, device).rehearse()

    def joined(self) -> Generation:
        """SpecError: there is no last training of a generator."""
        raise SpecError(
            "Networks that make images instead of reading them are measured by the evaluator trained, and neither "
            "trained further nor exported."
        )

    def described(self, network: nn.Module, recipe: GenerationRecipe, measured: Mapping[str, float]) -> dict[str, Any]:
        """Parameters and multiply-accumulates."""
        return {name: int(value) for name, value in self.counted(network).items()}

    def exported(
        self,
        network: nn.Module,
        folder: Path,
        *,
        formats: Sequence[str],
        name: str,
        headline: str,
        progress: Callable[[str], None] | None = None,
    ) -> list[Exported]:
        """SpecError: there is no form of a generator to be taken away yet."""
        raise SpecError("Networks that make images are not exported.")

    def _size(self, size: Size) -> GeneratorSize:
        channels = GeneratorSize().channels if size.channels is None else size.channels
        return GeneratorSize.fitted(self.data.shape, channels)

    @staticmethod
    def _critic_channels(recipe: GenerationRecipe) -> int:
        if recipe.critic_channels is None:
            raise SpecError("A discriminator needs critic_channels: ask for the fitted recipe of a size.")
        return recipe.critic_channels

    def _judge(self, recipe: GenerationRecipe, seed: Seed, device: torch.device) -> Judge:
        judged = (recipe.images, recipe.statistics_images, recipe.samples, recipe.feature_channels)
        key = (*judged, recipe.feature_epochs, seed, device)
        if key not in self._judges:
            self._judges[key] = Judge(
                self.data,
                seed,
                device,
                FeatureRecipe(channels=recipe.feature_channels, epochs=recipe.feature_epochs),
                images=recipe.images,
                statistics_images=recipe.statistics_images,
                samples=recipe.samples,
                folder=self.folder,
            )
        return self._judges[key]
