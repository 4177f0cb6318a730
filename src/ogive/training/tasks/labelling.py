"""Labelling: networks that tell which of several labels an image has, of which it may have any number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.answers import Answers
from ogive.core.errors import SpecError
from ogive.core.metric import Better, Metric
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.networks import count
from ogive.training.examination import answered_labels
from ogive.training.recipe import Recipe
from ogive.training.supervised import Score, summed
from ogive.training.task import Part, Size
from ogive.training.tasks.prediction import Prediction

__all__ = ["LabelEpoch", "Labelling", "SampleF1"]


@dataclass(frozen=True, slots=True)
class LabelEpoch:
    """One finished epoch, counted from 1; F1 in per cent, `val_f1` None where it was not measured."""

    number: int
    learning_rate: float
    train_loss: float
    train_f1: float
    val_f1: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class SampleF1:
    """The mean over images of F1, twice the right labels by those that it has and those that are said, in per cent."""

    name: ClassVar[str] = "f1"
    better: ClassVar[Better] = "larger"
    epoch: ClassVar[type[Any]] = LabelEpoch

    def each(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """F1 (N,) of logits (N, K), above 0 for a label that is said, and targets (N, K); 1 where there is nothing."""
        said, true = outputs > 0, targets > 0.5
        both = (said.sum(1) + true.sum(1)).double()
        return torch.where(both == 0, 1.0, 2 * (said & true).sum(1).double() / both.clamp(min=1))

    def told(self, total: float, count: int = 1) -> float:
        """Per cent."""
        return 100 * total / count

    def words(self, told: float) -> str:
        """Per cent in words."""
        return f"F1 {told:.1f} %"

    def guessed(self, targets_NK: Tensor) -> tuple[float, int | None]:
        """What one answer for all reaches: the most frequent labels, as many as are best."""
        order = targets_NK.sum(0).argsort(descending=True, stable=True)
        reached = []
        for kept in range(targets_NK.shape[1] + 1):
            said = torch.full_like(targets_NK[:1], -1.0)
            said[0, order[:kept]] = 1.0
            reached.append(float(self.each(said.expand_as(targets_NK), targets_NK).mean()))
        return self.told(max(reached)), None


class Labelling(Prediction):
    """Images of which each has any number of labels; measures ``val_f1`` and ``test_f1``, the mean F1 of an image.

    A label is said where its logit is above 0. A loss of one's own is a subclass that overrides `loss`; `builder` is as
    for a Classification.
    """

    name = "labelling"
    metrics: tuple[Metric, ...] = (Metric("val_f1", "%", "larger", "validation F1"),)
    answers: ClassVar[str] = "one a label"

    @property
    def score(self) -> Score:
        """The mean F1 of an image."""
        return SampleF1()

    def fitted(self, recipe: Recipe, size: Size, space: SearchSpace | None) -> Recipe:
        """The recipe as it is; SpecError for what only single classes have."""
        if recipe.label_smoothing:
            raise SpecError("label_smoothing is of single classes, and these images have several labels: leave it out.")
        return super().fitted(recipe, size, space)

    def loss(self, outputs: Tensor, targets: Tensor, recipe: Recipe) -> Tensor:
        """Binary cross-entropy of logits (N, K) and targets (N, K), 1 for a label that is there and 0 else."""
        return F.binary_cross_entropy_with_logits(outputs, targets.to(outputs.dtype))

    def measured(self, network: nn.Module, part: Part, recipe: Recipe, *, seed: Seed) -> dict[str, float]:
        """F1 on a part, in per cent."""
        device = next(network.parameters()).device
        split = self.data.test if part == "test" else self.data.val
        return {f"{part}_f1": self.score.told(summed(network, split, self.data, device, self.score), len(split))}

    def examined(self, network: nn.Module) -> Answers:
        """Right and wrong answers on the test part, label by label."""
        return answered_labels(network, self.data)

    def described(self, network: nn.Module, recipe: Recipe, measured: Mapping[str, float]) -> dict[str, Any]:
        """The number of test images, parameters and multiply-accumulates."""
        test = len(self.data.test)
        return {
            "test_images": test,
            "reached": f"F1 {measured['test_f1']:.2f} % of {test} test images",
            "params": count.parameters(network),
            "macs": count.macs(network, self.data.shape),
        }
