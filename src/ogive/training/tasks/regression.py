"""Regression: networks that tell a quantity from the columns of a row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.core.metric import Better, Metric
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.networks import count
from ogive.networks.plain_rows import Target
from ogive.training.recipe import Recipe
from ogive.training.rows import Rows
from ogive.training.supervised import Score, summed
from ogive.training.task import Builder, Part, Size
from ogive.training.tasks.prediction import Prediction

__all__ = ["ErrorEpoch", "Regression", "RootMeanSquare"]


@dataclass(frozen=True, slots=True)
class ErrorEpoch:
    """One finished epoch, counted from 1; errors in the unit of the target, `val_rmse` None where not measured."""

    number: int
    learning_rate: float
    train_loss: float
    train_rmse: float
    val_rmse: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class RootMeanSquare:
    """The root of the mean squared error, in the unit of the target."""

    target: Target

    name: ClassVar[str] = "rmse"
    better: ClassVar[Better] = "smaller"
    epoch: ClassVar[type[Any]] = ErrorEpoch

    def each(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Squared errors (N,) of outputs (N, 1) and targets (N,), in standard deviations of the target."""
        return (outputs[:, 0].double() - targets.double()) ** 2

    def told(self, total: float, count: int = 1) -> float:
        """In the unit of the target."""
        return math.sqrt(total / count) * self.target.deviation

    def words(self, told: float) -> str:
        """In words."""
        return f"root mean squared error {told:.4g} {self.target.unit}".rstrip()

    def guessed(self, targets_N: Tensor) -> tuple[float, int | None]:
        """The error of the mean of the training rows, which is 0 in their standard deviations."""
        return self.told(float((targets_N.double() ** 2).sum()), len(targets_N)), None


class Regression(Prediction):
    """Rows of which each has one quantity; measures ``val_rmse``, in its unit, and ``val_r2``.

    ``r2`` is 1 less the squared errors by those of the part's own mean: 0 for whoever always says that mean. Networks
    are trained on the quantity with mean 0 and standard deviation 1 over the training rows. A loss of one's own is a
    subclass that overrides `loss`; `builder` is as for a Classification.
    """

    name = "regression"
    answers: ClassVar[str] = "the quantity"

    def __init__(self, data: Rows, *, builder: Builder | None = None) -> None:
        super().__init__(data, builder=builder)
        self.target = data.target

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The error first, since it has a unit."""
        return (
            Metric("val_rmse", self.target.unit, "smaller", "validation root mean squared error"),
            Metric("val_r2", "", "larger", "validation R²"),
        )

    @property
    def score(self) -> Score:
        """The error."""
        return RootMeanSquare(self.target)

    def fitted(self, recipe: Recipe, size: Size, space: SearchSpace | None) -> Recipe:
        """The recipe as it is; SpecError for what only classes have."""
        if recipe.label_smoothing:
            raise SpecError(f"label_smoothing is of classes, and {self.target.name} is a quantity: leave it out.")
        return super().fitted(recipe, size, space)

    def loss(self, outputs: Tensor, targets: Tensor, recipe: Recipe) -> Tensor:
        """Mean squared error of outputs (N, 1) and targets (N,), both in standard deviations."""
        return F.mse_loss(outputs[:, 0], targets.to(outputs.dtype))

    def measured(self, network: nn.Module, part: Part, recipe: Recipe, *, seed: Seed) -> dict[str, float]:
        """Both metrics on a part."""
        device = next(network.parameters()).device
        split = self.data.test if part == "test" else self.data.val
        squares = summed(network, split, self.data, device, self.score)
        truth = split.labels.double().cpu()
        around = float(((truth - truth.mean()) ** 2).sum())
        # As scikit-learn's r2_score: a part whose quantities are all equal leaves nothing to explain.
        explained = 1 - squares / around if around else float(squares == 0)
        return {f"{part}_rmse": self.score.told(squares, len(split)), f"{part}_r2": explained}

    def described(self, network: nn.Module, recipe: Recipe, measured: Mapping[str, float]) -> dict[str, Any]:
        """The number of test rows, parameters and multiply-accumulates."""
        test = len(self.data.test)
        told = f"{measured['test_rmse']:.4g} {self.target.unit}".rstrip()
        return {
            "test_rows": test,
            "reached": f"root mean squared error {told}, R² {measured['test_r2']:.3f} on {test} test rows",
            "params": count.parameters(network),
            "macs": count.macs(network, self.data.shape),
        }
