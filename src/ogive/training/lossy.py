"""Lossy: what a task offers for networks that are trained by other hands than its own, such as supernets.

Who trains takes the samples in batches and asks for the loss of a batch; what samples are, only the task knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

import torch
from torch import Tensor

from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.training.batches import Batch
from ogive.training.data import Data
from ogive.training.distributed import Ranks
from ogive.training.recipe import Recipe
from ogive.training.supervised import Score
from ogive.training.task import Task

__all__ = ["Feed", "Lossy", "Lost", "Predicting", "Run", "Telling", "lossy", "predicting", "told_apart"]

B_co = TypeVar("B_co", covariant=True)
# What a network computes of the inputs of a batch.
Run = Callable[[Any], Any]


class Feed(Protocol[B_co]):
    """The samples of a task in batches; a batch says by ``rate(rate)`` at what learning rate a step on it is taken."""

    @property
    def steps(self) -> int:
        """How many batches an epoch has, about."""
        ...

    def epoch(self, streams: Seed) -> Iterator[B_co]:
        """All samples once."""
        ...

    def beside(self, streams: Seed) -> Iterator[B_co]:
        """Batches without an end, one for each of an epoch of other samples that has these streams."""
        ...


@dataclass(frozen=True, slots=True)
class Lost:
    """What a network lost on a batch.

    `loss` is a number with a gradient; `extra` is added to it where weights are trained, and is not reported; `score`
    (float64, no gradient) is watched beside it. `state` is what the next batch goes on from, if anything is.
    """

    loss: Tensor
    score: Tensor
    extra: Tensor | None = None
    state: Tensor | None = None


class Telling(Protocol):
    """What is watched of a network beside its loss."""

    def told(self, total: float, count: int = 1) -> float:
        """The mean of numbers with this sum on the scale on which it is reported."""
        ...

    def words(self, told: float) -> str:
        """The same in words."""
        ...


@runtime_checkable
class Lossy(Protocol):
    """A task that a supernet trains through."""

    @property
    def name(self) -> str:
        """The name of the task."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 of the data."""
        ...

    @property
    def score(self) -> Telling:
        """What is watched."""
        ...

    def halved(self, seed: Seed) -> tuple[Self, Self]:
        """The same with other samples each: for the weights, and for the architecture."""
        ...

    def few(self, steps: int, recipe: Any) -> Self:
        """The same with samples for so many steps an epoch, once it is halved."""
        ...

    def batches(self, recipe: Any, device: torch.device, dtype: torch.dtype, ranks: Ranks) -> Feed[Any]:
        """The training samples, as a recipe has them; each of several processes gets its part."""
        ...

    def lost(self, run: Run, batch: Any, recipe: Any, *, state: Tensor | None, number: int) -> Lost:
        """What a network loses on a batch.

        `run` computes it on the inputs of the batch, `state` is what the batch before led to, None for the first one,
        and `number` seeds whatever is drawn.
        """
        ...


@runtime_checkable
class Predicting(Lossy, Protocol):
    """One whose samples are inputs of one shape, with a target each: what the supernets of cells are for."""

    @property
    def data(self) -> Data:
        """The samples."""
        ...

    @property
    def score(self) -> Score:
        """What is watched, sample by sample."""
        ...

    def loss(self, outputs: Tensor, targets: Tensor, recipe: Recipe) -> Tensor:
        """One number for outputs of a network in float32 or float64, the mean over them."""
        ...

    def lost_on(self, batch: Batch, outputs: Tensor, recipe: Recipe) -> Tensor:
        """The same for a batch, in at least float32."""
        ...


def lossy(task: Task[Any] | Lossy) -> Lossy:
    """The task, if a supernet can train through it; else SpecError."""
    if not isinstance(task, Lossy):
        raise SpecError(
            f"A supernet is trained by the loss of a batch, and the task {task.name} has none: the tasks "
            "classification, regression and language do."
        )
    if isinstance(task, Predicting) and task.data.train.labels.ndim > 2:  # boxes
        raise SpecError(
            f"A supernet ends in a classifier that says one thing of an image, and the task is {task.name}: search "
            "with a strategy without a supernet and the evaluator trained."
        )
    return task


def predicting(task: Task[Any] | Lossy) -> Predicting:
    """The task, if supernets of cells can train through it; else SpecError."""
    found = lossy(task)
    if not isinstance(found, Predicting):
        raise SpecError(f"A supernet of cells reads inputs of one shape, but the task is {task.name}: give other data.")
    return found


def told_apart(task: Lossy) -> dict[str, str]:
    """What tells states of a task of one's own from those of ogive's tasks, whose data say enough."""
    kind = type(task)
    return {} if kind.__module__.startswith("ogive.training.tasks.") else {"task": kind.__qualname__}
