"""When a search in a supernet ends early: rules that note something after every epoch, and decide by what they noted.

DARTS+ (Liang et al., 2019) has two, R-DARTS (Zela et al., "Understanding and Robustifying Differentiable Architecture
Search", ICLR 2020) one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.spaces.ddarts import genotype_of
from ogive.supernets.curvature import APART, bends_too_much
from ogive.supernets.derive import ranking
from ogive.supernets.search import Search

__all__ = ["Eigenvalue", "Returning", "Rule", "Settled", "Skips"]

SKIP = "skip_connect"


class Rule(Protocol):
    """An early stop; a value, best a frozen dataclass. What it noted is kept with the search, and given back to it."""

    def noted(self, search: Search, arch: Architecture) -> Any:
        """What to keep of the epoch that is over, in which `arch` is derived: a value as JSON has them."""
        ...

    def ends(self, notes: Sequence[Any]) -> bool:
        """Whether the search ends, by what was noted after each of its epochs."""
        ...


@runtime_checkable
class Returning(Protocol):
    """A rule whose search answers with what was derived some epochs before the end."""

    @property
    def returns(self) -> int:
        """How many epochs before."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Skips:
    """Ends a search whose first kind of cell would have more than `most` skip connections (DARTS+, section 3.2)."""

    most: int = 1

    def __post_init__(self) -> None:
        if self.most < 0:
            raise SpecError(f"most_skips must be at least 0, but got {self.most}.")

    def noted(self, search: Search, arch: Architecture) -> int:
        """How many skip connections there are."""
        plan = search.supernet.plan
        if arch.space != plan.space:  # FairDARTS's rule derives cells of ddarts
            first = search.supernet.kinds.index(plan.kinds[0])
            return sum(entry.op == SKIP for entry in genotype_of(arch).cells[first])
        if SKIP not in plan.operations:
            raise SpecError(f"{plan.space} has no {SKIP} to count: leave most_skips out.")
        return sum((plan.operations.index(SKIP),) == row for row in plan.choices(arch)[plan.kinds[0]])

    def ends(self, notes: Sequence[Any]) -> bool:
        return bool(notes) and notes[-1] > self.most


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Ends a search in which no edge has ranked its operations with weights otherwise for some epochs (DARTS+, 3.3)."""

    epochs: int = 10

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise SpecError(f"settled must be at least 1, but got {self.epochs}.")

    def noted(self, search: Search, arch: Architecture) -> list[int] | None:
        """The ranking; none of epochs in which the architecture waits."""
        if len(search.history) <= search.architecture.warm_epochs:
            return None
        return list(ranking(search.alphas.strengths(search.gate), search.supernet.plan.operations))

    def ends(self, notes: Sequence[Any]) -> bool:
        last = notes[-1 - self.epochs :]
        return len(last) > self.epochs and last[0] is not None and all(one == last[0] for one in last)


@dataclass(frozen=True, slots=True, kw_only=True)
class Eigenvalue:
    """Ends a search whose validation loss bends: R-DARTS, by the largest eigenvalue of its Hessian in the architecture.

    Once the average of the eigenvalue over five epochs is `ratio` times that of four epochs before, the search answers
    with the cell of that earlier epoch, which is at least number `least_epoch`.
    """

    ratio: float = 1.3  # automl/RobustDARTS
    least_epoch: int = 10  # the same

    def __post_init__(self) -> None:
        if not 0 < self.ratio < math.inf:
            raise SpecError(f"eigenvalue_ratio must be a positive number, but got {self.ratio}.")
        if self.least_epoch < 1:
            raise SpecError(f"eigenvalue_from must be at least 1, but got {self.least_epoch}.")

    @property
    def returns(self) -> int:
        """Between the two averages."""
        return APART

    def noted(self, search: Search, arch: Architecture) -> float:
        """The eigenvalue."""
        return search.curvature()

    def ends(self, notes: Sequence[Any]) -> bool:
        return bends_too_much(notes, self.ratio, self.least_epoch)
