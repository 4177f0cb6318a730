"""How a hypernetwork is trained: the recipes of GHN-2 for CIFAR-10 and ImageNet, and small ones for two cores.

Knyazev et al., NeurIPS 2021, section 5 and appendix A; facebookresearch/ppuda, config.py, deepnets1m/loader.py and
experiments/train_ghn.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from torch import nn, optim

from ogive.core.errors import SpecError, UnknownName
from ogive.hypernets.configuration import Configuration
from ogive.spaces.deepnets import HIDDEN
from ogive.training.evaluation import PRESETS, Preset
from ogive.training.optimisers import Adam
from ogive.training.recipe import Recipe

__all__ = ["GHNRecipe", "Plan", "optimiser_for", "plan_for", "rate_at"]

CHOICES = {"optimizer": ("adam", "adamw"), "precision": ("float32", "bf16")}


@dataclass(frozen=True, slots=True, kw_only=True)
class GHNRecipe:
    """A training of a hypernetwork; the defaults are those of GHN-2 on CIFAR-10. Images have a `Recipe` of their own.

    An epoch has `steps` batches of images, None for all images once. In each step `meta_batch` networks read the same
    images; where these have more than `most_nodes` nodes together, others are drawn, and so is another network for one
    of more than `network_nodes`. Each is one of the `first` networks of the training split. It is as wide as one of
    `channels`, and has as many units in its head as one of `hidden`; large networks have the first of these only.

    The rate rises for `warmup_epochs`, and falls to a tenth at each of the `milestones` or, where there are none, along
    half a cosine to zero. `penalty` times the norms of predicted tensors is added to the loss (GHN-3, section 4).
    After every `validate_every` epochs (0: after the last alone), `validation_networks` of the validation split are
    measured on `validation_images`.
    """

    epochs: int = 300
    steps: int | None = None
    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: float = 1e-3
    warmup_epochs: float = 0.0
    milestones: tuple[int, ...] = (200, 250)
    weight_decay: float = 1e-5
    gradient_clip: float = 5.0
    penalty: float = 0.0
    precision: Literal["float32", "bf16"] = "float32"
    meta_batch: int = 8
    most_nodes: int = 2200
    network_nodes: int | None = None
    first: int = 1_000_000
    channels: tuple[int, ...] = tuple(range(32, 129, 16))
    hidden: tuple[int, ...] = HIDDEN
    validate_every: int = 0
    validation_networks: int = 8
    validation_images: int = 1000

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise UnknownName(name, getattr(self, name), known)
        for name in ("epochs", "steps", "meta_batch", "most_nodes", "network_nodes", "first", "validation_networks"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SpecError(f"{name} must be at least 1, but got {value}.")
        for name in ("weight_decay", "gradient_clip", "penalty", "warmup_epochs", "validate_every"):
            if not 0 <= getattr(self, name) < math.inf:
                raise SpecError(f"{name} must be 0 or a positive number, but got {getattr(self, name)}.")
        if not 0 < self.learning_rate < math.inf:
            raise SpecError(f"learning_rate must be a positive number, but got {self.learning_rate}.")
        if self.validation_images < 2:
            raise SpecError(
                f"Statistics of a batch need validation_images of 2 and more, not {self.validation_images}."
            )
        if not self.channels or any(width < 4 or width % 2 for width in self.channels):
            raise SpecError(f"channels are even numbers from 4 on, but got {self.channels}.")
        if not self.hidden or min(self.hidden) < 1:
            raise SpecError(f"hidden are numbers of units, but got {self.hidden}.")


@dataclass(frozen=True, slots=True)
class Plan:
    """A preset: the data as text, the sizes of the hypernetwork, and both recipes."""

    data: str
    configuration: Configuration
    recipe: GHNRecipe
    images: Recipe


def rate_at(recipe: GHNRecipe, passed: float) -> float:
    """The learning rate at a point of the training, in epochs from 0."""
    if passed < recipe.warmup_epochs:
        return recipe.learning_rate * (passed + 1) / (recipe.warmup_epochs + 1)
    if recipe.milestones:
        return recipe.learning_rate * 0.1 ** sum(passed >= milestone for milestone in recipe.milestones)
    share = (passed - recipe.warmup_epochs) / max(1e-9, recipe.epochs - recipe.warmup_epochs)
    return recipe.learning_rate * (1 + math.cos(math.pi * min(1.0, share))) / 2


def optimiser_for(ghn: nn.Module, recipe: GHNRecipe) -> optim.Optimizer:
    """Adam or AdamW over all parameters."""
    make = Adam(weight_decay=recipe.weight_decay, decoupled=recipe.optimizer == "adamw")
    return make(list(ghn.parameters()), recipe.learning_rate)


# Images are shifted by up to 4 of 32 pixels and mirrored, as their data set allows; loader.py.
OF_CIFAR = Recipe(batch_size=64)
OF_SMALL = replace(OF_CIFAR, padding=2)  # of 16 pixels
OF_IMAGENET = Recipe(batch_size=256, resized_crop=224, jitter=0.4, flip=True, label_smoothing=0.1)
# Small pictures and networks: minutes on two cores. What they are was found in probes of two minutes.
SMALL_LARGEST = (32, 32, 11, 11)
SMALL = GHNRecipe(
    epochs=15,
    steps=100,
    warmup_epochs=0.5,
    milestones=(),
    meta_batch=4,
    most_nodes=400,
    network_nodes=100,
    channels=(8,),
    hidden=(64,),
    first=3_000,
)
TINY = replace(SMALL, epochs=1, steps=4, meta_batch=2, network_nodes=60, first=300, validation_networks=2)
GHN3 = GHNRecipe(
    epochs=75,
    optimizer="adamw",
    learning_rate=4e-4,
    weight_decay=1e-2,
    warmup_epochs=5,
    milestones=(),
    penalty=3e-5,
    precision="bf16",
)
LOGAH = replace(GHN3, epochs=300, learning_rate=3e-4, warmup_epochs=0, meta_batch=1)  # section 5 there
DATA = {"tiny": "cifar10(size=16, limit=500)", "small": "cifar10(size=16)", "paper": "cifar10"}


def plan_for(preset: Preset, *, kind: str = "ghn2", classes: int = 10, style: str = "cifar") -> Plan:
    """The plan of a preset, "tiny", "small" or "paper"; UnknownName for another one, or for another kind."""
    if preset not in PRESETS:
        raise UnknownName("preset", preset, PRESETS)
    full = Configuration.of(kind, classes=classes, images=style)
    if preset != "paper":
        recipe = SMALL if preset == "small" else TINY
        small = replace(full, largest=SMALL_LARGEST, width=32, layers=min(full.layers, 3))
        return Plan(DATA[preset], small, recipe, OF_SMALL)
    # GHN-1 was trained with one network a step, GHN-3 as in ghn3/trainer.py.
    recipe = replace(GHNRecipe(), meta_batch=1 if kind.lower() == "ghn1" else 8)
    if kind.lower().startswith("ghn3"):
        recipe = GHN3
    if kind.lower().startswith("logah"):
        recipe = LOGAH
    if style == "imagenet":
        return Plan("images:FOLDER(size=256)", full, recipe, OF_IMAGENET)
    return Plan(DATA[preset], full, recipe, OF_CIFAR)
