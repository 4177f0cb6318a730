"""How published networks are trained for their final test: size, data and recipe, at three sizes as data.

Of DARTS (Liu et al., appendix A.2 to A.5; quark0/darts, cnn/train.py, cnn/train_imagenet.py and rnn/train.py) and of
D-DARTS (Heuillet et al., arXiv:2108.09306; README.md and train.py of aheuillet/D-DARTS). The smaller companions of a
paper's setting are ours, for a look in little time, and their accuracy means nothing beside the paper's. What differs
from the published trainings: for D-DARTS, bfloat16 stands for its mixed precision in float16, AutoAugment is
torchvision's reading of the policy, and the number of epochs for ImageNet is the default of train.py; for ImageNet,
images are first brought to squares of 256 pixels, of which the parts to train on are taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from torch import nn

from ogive.core.errors import UnknownName
from ogive.networks.build import Skeleton, build_genotype, build_nested
from ogive.networks.genotypes import PUBLISHED
from ogive.networks.nested_genotypes import PUBLISHED_NESTED
from ogive.training.recipe import Recipe

__all__ = ["EVALUATIONS", "LANGUAGE", "PRESETS", "Evaluation", "LanguageEvaluation", "Preset", "evaluation"]

Preset = Literal["tiny", "small", "paper"]
PRESETS: tuple[Preset, ...] = ("tiny", "small", "paper")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A final training: a network of ``PUBLISHED`` or ``PUBLISHED_NESTED``, its size, its data as text, its recipe."""

    genotype: str
    skeleton: Skeleton
    data: str
    recipe: Recipe

    def network(self, skeleton: Skeleton | None = None, *, seed: int | None = None) -> nn.Module:
        """The network with fresh weights, of this size or another."""
        size = self.skeleton if skeleton is None else skeleton
        if self.genotype in PUBLISHED:
            return build_genotype(PUBLISHED[self.genotype], size, seed=seed)
        return build_nested(PUBLISHED_NESTED[self.genotype], size, seed=seed)


@dataclass(frozen=True, slots=True)
class LanguageEvaluation:
    """One final training of a recurrent cell of ``spaces.darts_rnn.PUBLISHED``: what its text changes in a preset."""

    genotype: str
    text: str
    changes: Mapping[str, float]


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
IMAGENET = replace(
    PAPER, cutout=0, policy="imagenet", resized_crop=224, jitter=0.4, hue=0.2, flip=True, label_smoothing=0.1
)
# Batch 96 and neither AutoAugment nor mixed precision.
DARTS = replace(PAPER, batch_size=96, autoaugment=False, precision="float32")
# 250 epochs, batch 128, rate 0.1 · 0.97^epoch, decay 3e-5, no drop-path.
DARTS_IMAGENET = replace(
    IMAGENET,
    epochs=250,
    learning_rate=0.1,
    schedule="exponential",
    rate_decay=0.97,
    weight_decay=3e-5,
    drop_path=0.0,
    autoaugment=False,
    precision="float32",
)


def evaluation(name: str, preset: Preset = "small") -> Evaluation:
    """The settings of a final training; raises UnknownName, which lists what there is."""
    if name not in EVALUATIONS:
        raise UnknownName("evaluation", name, EVALUATIONS)
    if preset not in PRESETS:
        raise UnknownName("preset", preset, PRESETS)
    return EVALUATIONS[name][preset]


def _cifar(
    genotype: str, *, channels: int, cells: int, data: str = "cifar10", recipe: Recipe = PAPER
) -> dict[Preset, Evaluation]:
    """The paper's width; the small ones are reduced to images of 16×16, too small for an auxiliary head.

    So are maps of 4×4, which are left of 32×32 after the three reductions of a ResNet.
    """
    auxiliary = genotype in PUBLISHED or len(PUBLISHED_NESTED[genotype].halving) <= 2
    full = Skeleton(channels, cells, classes=int(data.removeprefix("cifar")), size=32, auxiliary=auxiliary)
    reduced = replace(full, size=16, auxiliary=False, cells=min(cells, 8))
    quick = replace(recipe, batch_size=64, cutout=8, precision="float32")
    return {
        "tiny": Evaluation(
            genotype, replace(reduced, channels=4), f"{data}(size=16, limit=500)", replace(quick, epochs=1)
        ),
        "small": Evaluation(
            genotype, replace(reduced, channels=8), f"{data}(size=16, limit=10000)", replace(quick, epochs=10)
        ),
        "paper": Evaluation(genotype, full, data, recipe),
    }


def _imagenet(genotype: str, *, channels: int, cells: int, recipe: Recipe = IMAGENET) -> dict[Preset, Evaluation]:
    """For a folder of images in place of FOLDER; the network has as many classes as the folder."""
    full = Skeleton(channels, cells, classes=1000, style="imagenet", size=224, auxiliary=True)
    reduced = replace(full, size=64, auxiliary=False, cells=min(cells, 8))
    # Rates that fall by a power fall as far in few epochs as they would in all.
    quick = replace(recipe, batch_size=64, precision="float32", resized_crop=64)
    decay = {epochs: recipe.rate_decay ** (recipe.epochs / epochs) for epochs in (1, 10)}
    data = "images:FOLDER(size=73, limit={})"
    return {
        "tiny": Evaluation(
            genotype,
            replace(reduced, channels=4),
            data.format(500),
            replace(quick, epochs=1, rate_decay=decay[1]),
        ),
        "small": Evaluation(
            genotype,
            replace(reduced, channels=8),
            data.format(10_000),
            replace(quick, epochs=10, rate_decay=decay[10]),
        ),
        "paper": Evaluation(genotype, full, "images:FOLDER(size=256)", recipe),
    }


EVALUATIONS: Mapping[str, Mapping[Preset, Evaluation]] = {
    "darts-v1-cifar10": _cifar("darts_v1", channels=36, cells=20, recipe=DARTS),
    "darts-v2-cifar10": _cifar("darts_v2", channels=36, cells=20, recipe=DARTS),
    "darts-v2-imagenet": _imagenet("darts_v2", channels=48, cells=14, recipe=DARTS_IMAGENET),
    "ddarts-cifar10": _cifar("ddarts_cifar10", channels=36, cells=8),
    "ddarts-cifar100": _cifar("ddarts_cifar100", channels=36, cells=8, data="cifar100"),
    "dartopti-resnet18-cifar10": _cifar("dartopti_resnet18_cifar10", channels=64, cells=4),
    "dartopti-resnet50-cifar10": _cifar("dartopti_resnet50_cifar10", channels=64, cells=4),
    "dartopti-resnet18-imagenet": _imagenet("dartopti_resnet18_cifar100", channels=64, cells=4),
    "dartopti-resnet50-imagenet": _imagenet("dartopti_resnet50_cifar100", channels=64, cells=4),
}

WIKITEXT2 = {"width": 700, "dropout_hidden": 0.15, "weight_decay": 5e-7}  # the size in the paper's preset only
# Luo et al., NeurIPS 2018: the numbers of DARTS but for the dropout of words, which it does without, and the epochs.
NAO_PTB = {"epochs": 4000, "dropout_word": 0.0}
NAO_WIKITEXT2 = {**WIKITEXT2, "epochs": 2000, "dropout_word": 0.0}
LANGUAGE: Mapping[str, LanguageEvaluation] = {
    "darts-v1-ptb": LanguageEvaluation("darts_v1", "the Penn Treebank", {}),
    "darts-v2-ptb": LanguageEvaluation("darts_v2", "the Penn Treebank", {}),
    "darts-v2-wikitext2": LanguageEvaluation("darts_v2", "WikiText-2", WIKITEXT2),
    "nao-ptb": LanguageEvaluation("nao", "the Penn Treebank", NAO_PTB),
    "nao-ws-ptb": LanguageEvaluation("nao_ws", "the Penn Treebank", NAO_PTB),
    "nao-wikitext2": LanguageEvaluation("nao", "WikiText-2", NAO_WIKITEXT2),
}
