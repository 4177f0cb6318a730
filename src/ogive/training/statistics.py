"""Estimate a network with weights of a supernet: statistics of its own first, then its score on fixed images.

The statistics that a supernet has collected are those of a mixture of paths and fit none of them. What a network gets
instead is a function of the network and of fixed images, so that no estimate depends on the order of anything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ogive.core.errors import SpecError
from ogive.core.metric import Guess
from ogive.core.rng import Seed
from ogive.training.batches import laid_out
from ogive.training.data import Data, Split
from ogive.training.loop import Diverged, Tell
from ogive.training.supervised import Score

__all__ = [
    "Measuring",
    "SampleJudge",
    "drawn_images",
    "fixed_batches",
    "mean_score",
    "recalibrated",
    "without_statistics",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """On which images networks with weights of others are measured.

    `statistics_images`: training images that batch statistics are estimated on; with 0, those of each batch of
    validation images are taken, as the published code of few-shot NAS has it. `validation_images`: how many, None for
    all of them. The test images are never looked at.
    """

    statistics_images: int = 2000
    validation_images: int | None = None

    def __post_init__(self) -> None:
        if self.validation_images is not None and self.validation_images < 1:
            raise SpecError(f"validation_images must be at least 1, but got {self.validation_images}.")
        if self.statistics_images < 2 and self.statistics_images != 0:
            raise SpecError(
                "Batch statistics need at least 2 statistics_images, or 0 for those of the validation batches, but got "
                f"{self.statistics_images}."
            )


class SampleJudge:
    """Measures a score of networks, each with batch statistics of its own, on images or rows that a seed draws."""

    def __init__(self, data: Data, score: Score, measuring: Measuring, *, seed: Seed, device: torch.device) -> None:
        self.data, self.score, self.measuring, self.seed, self.device = data, score, measuring, seed, device
        self._fixed: tuple[list[Tensor], list[tuple[Tensor, Tensor]]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_fixed": None}  # another process draws the same

    def prepare(self, tell: Tell | None) -> None:
        """Nothing comes before the first network."""

    def rehearse(self) -> float:
        """Nothing, and so 0 seconds."""
        return 0.0

    def recalibrated(self, network: nn.Module) -> nn.Module:
        """As `recalibrated` on the training images, or without statistics where those of batches are to be taken."""
        if self.measuring.statistics_images:
            return recalibrated(network, self._images()[0])
        without_statistics(network)
        return network.eval()

    def measured(self, network: nn.Module) -> dict[str, float]:
        """As `mean_score` on the validation images; Diverged for outputs that are no numbers."""
        found = mean_score(network, self._images()[1], self.score)
        if not math.isfinite(found):
            raise Diverged("the network gives no finite numbers with the weights that it was given")
        return {f"val_{self.score.name}": found}

    @property
    def guesses(self) -> tuple[Guess, ...]:
        """What one answer for all of its validation images reaches."""
        labels = torch.cat([y_N for _, y_N in self._images()[1]])
        return (Guess(f"val_{self.score.name}", *self.score.guessed(labels)),)

    def _images(self) -> tuple[list[Tensor], list[tuple[Tensor, Tensor]]]:
        """Training images for statistics, and labelled validation images."""
        if self._fixed is None:
            statistics: list[Tensor] = []
            if self.measuring.statistics_images:
                few = drawn_images(self.data.train, self.seed.numpy("statistics"), self.measuring.statistics_images)
                statistics = [x_NCHW for x_NCHW, _ in fixed_batches(self.data, few, self.device)]
            looked_at = self.data.val
            if self.measuring.validation_images is not None:
                looked_at = drawn_images(looked_at, self.seed.numpy("validation"), self.measuring.validation_images)
            self._fixed = statistics, fixed_batches(self.data, looked_at, self.device)
        return self._fixed


def drawn_images(split: Split, rng: np.random.Generator, count: int) -> Split:
    """At most so many images of a split, drawn at random."""
    rows = torch.from_numpy(rng.permutation(len(split))[:count])
    return Split(split.images[rows], split.labels[rows])


def fixed_batches(data: Data, split: Split, device: torch.device, size: int = 250) -> list[tuple[Tensor, Tensor]]:
    """The images of a split, normalised and in their order, in equal batches of about `size`, with their labels."""
    batches = []
    for rows in torch.arange(len(split)).tensor_split(math.ceil(len(split) / size)):
        images = laid_out(split.images[rows].to(device))
        batches.append((data.normalised(images), split.labels[rows].to(device)))
    return batches


def recalibrated(network: nn.Module, batches: Sequence[Tensor]) -> nn.Module:
    """Give all batch normalisations the mean statistics of the batches, and put the network in evaluation mode.

    It is changed in place and returned. Normalisations that kept no statistics, as in the cells of the NAS-Bench-201
    supernet, keep them from now on. Weights stay as they are.
    """
    norms = [norm for norm in network.modules() if isinstance(norm, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        _reset(norm, batches[0])
    network.eval()  # no dropout, say, while statistics are taken
    for norm in norms:
        norm.train()
    with torch.no_grad():
        for number, x_NCHW in enumerate(batches, start=1):
            for norm in norms:
                norm.momentum = 1.0 / number  # the mean of all batches so far
            network(x_NCHW)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return network.eval()


def without_statistics(module: nn.Module) -> None:
    """Let the batch normalisations of a module use the statistics of each batch, in evaluation too."""
    for norm in module.modules():
        if isinstance(norm, _BatchNorm):
            norm.track_running_stats = False
            norm.running_mean = norm.running_var = norm.num_batches_tracked = None


def mean_score(network: nn.Module, batches: Sequence[tuple[Tensor, Tensor]], score: Score) -> float:
    """The score over all images, the network as it is; NaN if one of its outputs is no finite number."""
    totals, finite = [], []
    with torch.no_grad():
        for x_NCHW, y_N in batches:
            outputs = network(x_NCHW)
            totals.append(score.each(outputs, y_N).sum())
            finite.append(outputs.isfinite().all())
    if not torch.stack(finite).all():
        return math.nan
    return score.told(float(torch.stack(totals).sum()), sum(len(y_N) for _, y_N in batches))


def _reset(norm: _BatchNorm, like: Tensor) -> None:
    norm.track_running_stats = True
    norm.running_mean = torch.zeros(norm.num_features, device=like.device, dtype=like.dtype)
    norm.running_var = torch.ones(norm.num_features, device=like.device, dtype=like.dtype)
    norm.num_batches_tracked = torch.zeros((), dtype=torch.long, device=like.device)
