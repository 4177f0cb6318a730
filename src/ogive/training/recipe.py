"""Recipe: every hyper-parameter of a training, and the learning rate that follows from them at each moment."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn, optim

from ogive.core.errors import SpecError, UnknownName

__all__ = ["Recipe", "RowRecipe", "decay_of_average", "learning_rate", "optimizer_for"]

CHOICES = {
    "optimizer": ("sgd", "adamw"),
    "precision": ("float32", "bf16"),
    "anneal": ("step", "epoch"),
    "schedule": ("cosine", "exponential"),
    "policy": ("cifar10", "imagenet"),
}
PHOTOGRAPHS = ("resized_crop", "jitter", "hue")
OF_IMAGES = (*PHOTOGRAPHS, "padding", "flip", "autoaugment", "cutout")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is trained; the defaults are those of NAS-Bench-201 with a batch for small data.

    `batch_size` is the number of images in a step over all processes together. `padding` and `flip` override what the
    data set allows; `autoaugment` says whether the policy of that name for CIFAR-10 changes images after that; `cutout`
    is the side of its square in pixels and `mixup` the alpha of its Beta distribution, both 0 for none. `policy` names
    the data set that AutoAugment's pairs were found for. With `resized_crop` a random part of each image is brought to
    so many pixels a side, instead of a shift by `padding`; `jitter` changes brightness, contrast and saturation by up
    to such a share, `hue` the hue by a share of the circle. The `schedule` of the rate is a cosine, or `rate_decay` to
    the power of the epoch. `average` is the decay of a moving average of the weights, which is then what is measured
    and kept. `drop_path` is the probability that is reached at the end, None for the network's own. `decay_all` says
    whether biases and batch norms are decayed too.
    """

    epochs: int = 12  # NAS-Bench-201 (Dong and Yang 2020), table 1: 12 and 200 epochs
    batch_size: int = 64  # 256 there, for 25,000 images and more
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = 0.1  # the same table, as are the next four
    final_learning_rate: float = 0.0
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    decay_all: bool = True
    warmup_epochs: float = 0.0
    anneal: Literal["step", "epoch"] = "step"
    schedule: Literal["cosine", "exponential"] = "cosine"
    rate_decay: float = 0.97  # DARTS, appendix A.3
    label_smoothing: float = 0.0
    gradient_clip: float = 0.0
    average: float = 0.0
    drop_path: float | None = None
    auxiliary_weight: float = 0.4  # DARTS (Liu et al. 2019), appendix A.2
    padding: int | None = None
    flip: bool | None = None
    autoaugment: bool = False
    policy: Literal["cifar10", "imagenet"] = "cifar10"
    resized_crop: int = 0
    jitter: float = 0.0
    hue: float = 0.0
    cutout: int = 0
    mixup: float = 0.0
    precision: Literal["float32", "bf16"] = "float32"

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise UnknownName(name, getattr(self, name), known)
        self._check_ranges()
        if not 0 <= self.warmup_epochs < self.epochs:
            raise SpecError(f"warmup_epochs must be in [0, {self.epochs}), but got {self.warmup_epochs}.")
        if self.nesterov and self.momentum == 0 and self.optimizer == "sgd":
            raise SpecError("Nesterov's step needs momentum: set nesterov=false or a momentum.")

    @property
    def unit(self) -> str:
        """What the length of a training counts."""
        return "epochs"

    @property
    def length(self) -> int:
        """The epochs of the whole training."""
        return self.epochs

    def _check_ranges(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise SpecError(f"{name} must be at least 1, but got {getattr(self, name)}.")
        for name in ("momentum", "label_smoothing", "average", "drop_path"):
            if not 0 <= (getattr(self, name) or 0) < 1:
                raise SpecError(f"{name} must be in [0, 1), but got {getattr(self, name)}.")
        for name in (
            "final_learning_rate",
            "weight_decay",
            "gradient_clip",
            "auxiliary_weight",
            "padding",
            "cutout",
            *PHOTOGRAPHS,
        ):
            if not 0 <= (getattr(self, name) or 0) < math.inf:
                raise SpecError(f"{name} must be 0 or a positive number, but got {getattr(self, name)}.")
        if not 0 < self.learning_rate < math.inf:
            raise SpecError(f"learning_rate must be a positive number, but got {self.learning_rate}.")
        if not 0 < self.rate_decay <= 1:
            raise SpecError(f"rate_decay must be in (0, 1], but got {self.rate_decay}.")
        if self.hue > 0.5:
            raise SpecError(f"hue is a share of half the circle at most, 0 to 0.5, but got {self.hue}.")
        if not 0 <= self.mixup <= 1:
            raise SpecError(f"mixup must be in [0, 1], but got {self.mixup}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRecipe(Recipe):
    """The same for rows of numbers, with defaults of our own for tables of some hundred to some thousand rows.

    SpecError for what only images can be changed by.
    """

    epochs: int = 40
    batch_size: int = 32
    optimizer: Literal["sgd", "adamw"] = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    decay_all: bool = False
    inputs: ClassVar[str] = "rows of numbers"

    def __post_init__(self) -> None:
        Recipe.__post_init__(self)
        for name in OF_IMAGES:
            if getattr(self, name):
                raise SpecError(f"{name} changes images, and {self.inputs} are none: leave it out.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceRecipe(RowRecipe):
    """The same for sentences; SpecError for what mixes two inputs, since half of a word is none."""

    epochs: int = 10
    inputs: ClassVar[str] = "sentences"

    def __post_init__(self) -> None:
        RowRecipe.__post_init__(self)
        if self.mixup:
            raise SpecError("mixup mixes two inputs, and words cannot be mixed: leave it out.")


def learning_rate(recipe: Recipe, epoch: float) -> float:
    """The rate at a point of the training, counted in epochs from 0: a linear warm-up, then half a cosine, or powers.

    With w epochs of warm-up out of T, the rate is peak (t + 1) / (w + 1) for t < w, which is never zero, and then
    final + (peak - final) (1 + cos(pi (t - w) / (T - w))) / 2, or peak · decay^(t - w), but never below the final one.
    """
    peak, final, warmup = recipe.learning_rate, recipe.final_learning_rate, recipe.warmup_epochs
    if epoch < warmup:
        return peak * (epoch + 1) / (warmup + 1)
    if recipe.schedule == "exponential":
        return max(final, peak * math.pow(recipe.rate_decay, epoch - warmup))
    passed = (epoch - warmup) / (recipe.epochs - warmup)
    return final + (peak - final) * (1 + math.cos(math.pi * passed)) / 2


def decay_of_average(recipe: Recipe, step: int) -> float:
    """The decay of the moving average at a step, from 0: lower at first, so that the first weights are forgotten."""
    return min(recipe.average, (1 + step) / (10 + step))


def optimizer_for(network: nn.Module, recipe: Recipe) -> optim.Optimizer:
    """SGD or AdamW over the parameters that want a gradient."""
    wanted = [parameter for parameter in network.parameters() if parameter.requires_grad]
    decayed = [p for p in wanted if recipe.decay_all or p.ndim > 1]
    spared = [p for p in wanted if not (recipe.decay_all or p.ndim > 1)]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": spared, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if not groups:
        raise SpecError("The network has no parameters that can be trained.")
    # The fused forms update all tensors in one call, which on small networks is most of the cost of a step.
    if recipe.optimizer == "adamw":
        return optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
    return optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=True)
