"""Strategy: who to try next. Anything that asks and can be told is one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from ogive.core.trial import Proposal, Trial

__all__ = ["Checkpointed", "Strategy"]


@runtime_checkable
class Strategy(Protocol):
    """A search strategy, in two methods.

    A strategy may assume that every proposal it made is told exactly once, in any order, and that no told trial holds a
    test metric. Before its first proposal it may be told of trials that it did not make: an evaluator's labels. It must
    be a function of its seed and of the sequence of calls: the same asks, each for as many, with the same tells between
    them give the same proposals. Asking for n at once may differ from asking n times, as in the joint batches of
    Bayesian strategies; a strategy where it does not says so (``capabilities.Divisible``).
    """

    def ask(self, n: int = 1) -> list[Proposal]:
        """At most `n` proposals; fewer if it must wait for results.

        [] while all its proposals have been told means that the search is over.
        """
        ...

    def tell(self, trials: Sequence[Trial]) -> None:
        """Take note of finished trials, failed, infeasible and screened ones (``scores is None``) included."""
        ...


@runtime_checkable
class Checkpointed(Protocol):
    """A strategy whose state is expensive to replay. The store calls these; between them, later trials are replayed."""

    def save(self, folder: Path) -> None:
        """Write the whole state, random streams included, as files into the empty `folder`; never a pickle."""
        ...

    def load(self, folder: Path) -> None:
        """Take over the state that `save` wrote; from then on ask as the saved one would have."""
        ...
