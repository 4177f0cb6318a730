"""What a search in a supernet remembers of its epochs, and how its steps are undone until too many end it."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, optim

from ogive.core.trial import counted
from ogive.training import checkpoint

__all__ = ["REPORT_S", "Before", "Resumable", "SearchEpoch", "all_finite"]

logger = logging.getLogger(__name__)

REPORT_S = 0.5  # seconds between two reports of progress within an epoch
FORMER = {"train_acc": "train_score"}  # what version 0.1 called the numbers of an epoch
HOPELESS = 3  # steps in a row without a finite result that end a search


@dataclass(frozen=True, slots=True)
class SearchEpoch:
    """One finished epoch, counted from 1: mean losses (`val_loss` NaN if no architecture was trained), in seconds.

    `train_score` is what the task watches beside its loss, such as an accuracy in per cent.
    """

    number: int
    train_loss: float
    train_score: float
    val_loss: float
    rolled_back: int
    seconds: float = field(compare=False)


def all_finite(*tensors: Tensor) -> bool:
    """Whether all numbers are; looked at in one go, since a look makes a GPU wait."""
    return bool(torch.stack([one.detach().isfinite().all() for one in tensors]).all())


class Before:
    """All that a step may have changed by the time that its loss turns out not to be finite, as it was before."""

    def __init__(self, buffers: Sequence[Tensor], alphas: Sequence[Tensor], architect: optim.Optimizer) -> None:
        self._tensors = (buffers, alphas)
        self._values = tuple([one.detach().clone() for one in tensors] for tensors in self._tensors)
        self._architect = architect
        self._remembered = {name: value.clone() for name, value in checkpoint.optimizer_tensors(architect).items()}

    def put_back_statistics(self) -> None:
        """The running statistics alone."""
        self._put_back(0)

    def put_back(self) -> None:
        """Everything."""
        self._put_back(0)
        self._put_back(1)
        checkpoint.restore_optimizer(self._architect, self._remembered)

    @torch.no_grad()
    def _put_back(self, place: int) -> None:
        for tensor, value in zip(self._tensors[place], self._values[place], strict=True):
            tensor.copy_(value)


class Resumable:
    """The finished epochs of a search, and the steps that were undone.

    `undone` counts all of those, `in_a_row` the ones since the last good step, whichever epoch they were in. `over`
    says that these were too many: the search ends, and its state is that of the last good step.
    """

    def __init__(self) -> None:
        self.history: list[SearchEpoch] = []
        self.undone = self.in_a_row = 0

    @property
    def over(self) -> bool:
        """Whether the search ended early because its loss was no number too many times in a row."""
        return self.in_a_row >= HOPELESS

    def count(self, good: bool, step: str) -> None:
        """Note how a step went; what is logged names it."""
        if good:
            self.in_a_row = 0
            return
        self.undone, self.in_a_row = self.undone + 1, self.in_a_row + 1
        logger.warning("%s gave no finite loss; it was undone.", step)
        if self.over:
            finished = counted(len(self.history), "whole epoch")
            logger.warning(
                "The loss was no number in three steps in a row: the search ends after %s with what it had.", finished
            )

    def record(self) -> dict[str, Any]:
        """The same as JSON, which has no NaN."""
        epochs = [
            {name: None if value != value else value for name, value in asdict(epoch).items()} for epoch in self.history
        ]
        return {"history": epochs, "undone": self.undone, "in_a_row": self.in_a_row}

    def remember(self, record: Mapping[str, Any]) -> None:
        """Take over such a record; KeyError or TypeError for another one."""
        self.history = []
        for entry in record["history"]:
            known: dict[str, Any] = {
                FORMER.get(name, name): math.nan if value is None else value for name, value in entry.items()
            }
            self.history.append(SearchEpoch(**known))
        self.undone, self.in_a_row = int(record["undone"]), int(record["in_a_row"])
