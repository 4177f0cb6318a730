"""Classification: networks that tell which of several classes an image or a row belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from ogive.answers import Answers
from ogive.core.metric import VAL_ACC, Metric
from ogive.core.rng import Seed
from ogive.networks import count
from ogive.training.examination import answered
from ogive.training.recipe import Recipe
from ogive.training.supervised import Accuracy, Score, accuracy
from ogive.training.task import Part
from ogive.training.tasks.prediction import Prediction

__all__ = ["Classification"]


class Classification(Prediction):
    """Inputs of which each has one class; measures ``val_acc`` and ``test_acc`` in per cent.

    `builder` makes networks in place of ogive's own, for a space of one's own: a function of an architecture and of a
    number that seeds its weights. A loss of one's own is a subclass that overrides `loss`.
    """

    name = "classification"
    metrics: tuple[Metric, ...] = (VAL_ACC,)
    answers: ClassVar[str] = "one a class"

    @property
    def score(self) -> Score:
        """Accuracy."""
        return Accuracy()

    def loss(self, outputs: Tensor, targets: Tensor, recipe: Recipe) -> Tensor:
        """Cross-entropy of logits (N, classes) and labels (N,), with the label smoothing of the recipe."""
        return F.cross_entropy(outputs, targets, label_smoothing=recipe.label_smoothing)

    def measured(self, network: nn.Module, part: Part, recipe: Recipe, *, seed: Seed) -> dict[str, float]:
        """Accuracy on a part, in per cent."""
        device = next(network.parameters()).device
        split = self.data.test if part == "test" else self.data.val
        return {f"{part}_acc": accuracy(network, split, self.data, device)}

    def examined(self, network: nn.Module) -> Answers:
        """Right and wrong answers on the test part, with the mistakes of which the network is surest."""
        return answered(network, self.data)

    def described(self, network: nn.Module, recipe: Recipe, measured: Mapping[str, float]) -> dict[str, Any]:
        """The number of test inputs and of right answers, parameters and multiply-accumulates."""
        test = len(self.data.test)
        return {
            "test_correct": round(measured["test_acc"] * test / 100),
            "test_images": test,
            "test_kind": self.data.kind,
            "reached": f"{measured['test_acc']:.2f} % of {test} test {self.data.kind}",
            "params": count.parameters(network),
            "macs": count.macs(network, self.data.shape),
        }
