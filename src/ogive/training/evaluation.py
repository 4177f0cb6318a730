"""How published networks of D-DARTS are trained for their final test: size, data and recipe, at three sizes as data.

The paper's settings are those of README.md and train.py of aheuillet/D-DARTS (Heuillet et al., arXiv:2108.09306); its
smaller companions are ours, for a look in little time, and their accuracy means nothing beside the paper's. What
differs from the published training: bfloat16 stands for its mixed precision in float16, AutoAugment is torchvision's
reading of the policy, and some training images are kept for validation. For ImageNet its random resized crops, its
colour jitter and AutoAugment's own policy are missing, and the number of epochs is the default of train.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ogive.core.errors import UnknownName
from ogive.networks.build import Skeleton
from ogive.networks.nested_genotypes import PUBLISHED_NESTED
from ogive.training.recipe import Recipe

__all__ = ["EVALUATIONS", "PRESETS", "Evaluation", "Preset", "evaluation"]

Preset = Literal["tiny", "small", "paper"]
PRESETS: tuple[Preset, ...] = ("tiny", "small", "paper")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One final training: a network of ``PUBLISHED_NESTED`` by name, its size, the data as text, and the recipe."""

    genotype: str
    skeleton: Skeleton
    data: str
    recipe: Recipe


# 600 epochs, batch 128, rate 0.025 to 0 by a cosine, momentum 0.9, decay 3e-4, clipping at 5, drop-path 0.2 rising
# linearly, auxiliary weight 0.4, cutout of side 16, AutoAugment, mixed precision.
PAPER = Recipe(
    epochs=600,
    batch_size=128,
    learning_rate=0.025,
    momentum=0.9,
    nesterov=False,
    weight_decay=3e-4,
    anneal="epoch",
    gradient_clip=5.0,
    drop_path=0.2,
    auxiliary_weight=0.4,
    cutout=16,
    autoaugment=True,
    precision="bf16",
)
IMAGENET = replace(PAPER, cutout=0, autoaugment=False, label_smoothing=0.1)


def evaluation(name: str, preset: Preset = "small") -> Evaluation:
    """The settings of a final training; raises UnknownName, which lists what there is."""
    if name not in EVALUATIONS:
        raise UnknownName("evaluation", name, EVALUATIONS)
    if preset not in PRESETS:
        raise UnknownName("preset", preset, PRESETS)
    return EVALUATIONS[name][preset]


def _cifar(genotype: str, *, channels: int, cells: int) -> dict[Preset, Evaluation]:
    """The paper's width; the small ones are reduced to images of 16×16, too small for an auxiliary head.

    So are maps of 4×4, which are left of 32×32 after the three reductions of a ResNet.
    """
    auxiliary = len(PUBLISHED_NESTED[genotype].halving) <= 2
    data = "cifar100" if genotype.endswith("cifar100") else "cifar10"
    full = Skeleton(channels, cells, classes=int(data.removeprefix("cifar")), size=32, auxiliary=auxiliary)
    reduced = replace(full, size=16, auxiliary=False)
    quick = replace(PAPER, batch_size=64, cutout=8, precision="float32")
    return {
        "tiny": Evaluation(
            genotype, replace(reduced, channels=4), f"{data}(size=16, limit=500)", replace(quick, epochs=1)
        ),
        "small": Evaluation(
            genotype, replace(reduced, channels=8), f"{data}(size=16, limit=10000)", replace(quick, epochs=10)
        ),
        "paper": Evaluation(genotype, full, data, PAPER),
    }


def _imagenet(genotype: str, *, channels: int, cells: int) -> dict[Preset, Evaluation]:
    """For a folder of images in place of FOLDER, with as many classes as the skeleton has."""
    full = Skeleton(channels, cells, classes=1000, style="imagenet", size=224, auxiliary=True)
    reduced = replace(full, size=64, auxiliary=False)
    quick = replace(IMAGENET, batch_size=64, precision="float32")
    return {
        "tiny": Evaluation(
            genotype, replace(reduced, channels=4), "images:FOLDER(size=64, limit=500)", replace(quick, epochs=1)
        ),
        "small": Evaluation(
            genotype, replace(reduced, channels=8), "images:FOLDER(size=64, limit=10000)", replace(quick, epochs=10)
        ),
        "paper": Evaluation(genotype, full, "images:FOLDER(size=224)", IMAGENET),
    }


EVALUATIONS: Mapping[str, Mapping[Preset, Evaluation]] = {
    "ddarts-cifar10": _cifar("ddarts_cifar10", channels=36, cells=8),
    "ddarts-cifar100": _cifar("ddarts_cifar100", channels=36, cells=8),
    "dartopti-resnet18-cifar10": _cifar("dartopti_resnet18_cifar10", channels=64, cells=4),
    "dartopti-resnet50-cifar10": _cifar("dartopti_resnet50_cifar10", channels=64, cells=4),
    "dartopti-resnet18-imagenet": _imagenet("dartopti_resnet18_cifar100", channels=64, cells=4),
    "dartopti-resnet50-imagenet": _imagenet("dartopti_resnet50_cifar100", channels=64, cells=4),
}
