"""Predictor: estimates of architectures from those that were measured; and who writes architectures as numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError

__all__ = ["Encoder", "Latent", "Observed", "Predictor", "Proposer", "Uncertain"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Observed:
    """Labels: architectures and their scores, larger is better, in the order in which they were found.

    `fidelities` says at how much training a score was measured, None being all of it; `sources` on which data, None
    being those of the search. Without them every score is one of the search's own data after all of the training.
    Raises SpecError for a score that is no finite number: a trial that failed is no label.
    """

    archs: tuple[Architecture, ...]
    scores: tuple[float, ...]
    fidelities: tuple[int | None, ...] | None = None
    sources: tuple[str | None, ...] | None = None

    def __post_init__(self) -> None:
        for name, values in (("scores", self.scores), ("fidelities", self.fidelities), ("sources", self.sources)):
            if values is not None and len(values) != len(self.archs):
                raise SpecError(
                    f"Each label has its own value, but {len(self.archs)} labels have {len(values)} {name}."
                )
        for arch, score in zip(self.archs, self.scores, strict=True):
            if not math.isfinite(score):
                raise SpecError(f"A label is a finite number, but that of {arch} is {score}: leave out what failed.")

    def __len__(self) -> int:
        return len(self.archs)

    def comparable(self) -> Observed:
        """The labels that can be compared with each other: the search's own data, at the highest fidelity there is.

        For predictors to which a label is a number and nothing else; SpecError if fewer than two are left.
        """
        fidelities, sources = self.fidelities or (None,) * len(self), self.sources or (None,) * len(self)
        own = [place for place, source in enumerate(sources) if source is None]
        highest = max((_height(fidelities[place]) for place in own), default=0.0)
        kept = [place for place in own if _height(fidelities[place]) == highest]
        if len(kept) < 2:
            raise SpecError(f"A predictor is fitted on two comparable labels at least, but got {len(kept)}.")
        return Observed(tuple(self.archs[place] for place in kept), tuple(self.scores[place] for place in kept))

    def others(self) -> tuple[Observed, ...]:
        """The labels that `comparable` leaves out, those of one source and fidelity together, by name and number.

        Groups of fewer than two are left out, which say nothing about an order.
        """
        fidelities, sources = self.fidelities or (None,) * len(self), self.sources or (None,) * len(self)
        groups: dict[tuple[str, float], list[int]] = {}
        for place, (fidelity, source) in enumerate(zip(fidelities, sources, strict=True)):
            groups.setdefault((source or "", _height(fidelity)), []).append(place)
        own = max((height for source, height in groups if not source), default=0.0)
        groups.pop(("", own), None)
        kept = (groups[name] for name in sorted(groups) if len(groups[name]) > 1)
        return tuple(
            Observed(tuple(self.archs[place] for place in places), tuple(self.scores[place] for place in places))
            for places in kept
        )


def _height(fidelity: int | None) -> float:
    return math.inf if fidelity is None else fidelity


@runtime_checkable
class Predictor(Protocol):
    """Something that is fitted on labels and ranks what has none.

    It is a function of its seed and of the labels it was last fitted on: equal labels in equal order give equal
    predictions, and nothing is left of an earlier fit. So its state is never saved: it is fitted again.
    """

    def fit(self, observed: Observed) -> None:
        """Learn from labels; SpecError if fewer than two of them can be used. Equal scores are no error."""
        ...

    def predict(self, archs: Sequence[Architecture]) -> Floats:
        """A finite score for each architecture, shape (n,), larger is better; SpecError before the first fit."""
        ...


@runtime_checkable
class Uncertain(Predictor, Protocol):
    """A predictor that knows how unsure it is."""

    def predicted(self, archs: Sequence[Architecture]) -> tuple[Floats, Floats]:
        """Mean, equal to `predict`, and standard deviation, in the unit of the scores; shapes (n,)."""
        ...


@runtime_checkable
class Latent(Predictor, Protocol):
    """A predictor in a space of points between which it can climb, and from which it reads architectures."""

    def starts(self, told: Observed, count: int) -> Sequence[Architecture]:
        """The `count` best to climb from, each once: of those told, and of others that it knows as well."""
        ...

    def ascended(self, archs: Sequence[Architecture], step_size: float) -> Sequence[Architecture]:
        """Where each gets to by a step of this size up the gradient of the prediction; the same may come twice."""
        ...


@runtime_checkable
class Encoder(Protocol):
    """Architectures of one space as rows of numbers, each row a function of its architecture alone."""

    @property
    def width(self) -> int:
        """How many numbers a row has."""
        ...

    def __call__(self, archs: Sequence[Architecture]) -> npt.NDArray[np.float32]:
        """The rows, shape (n, width); InvalidArchitecture for an architecture of another space."""
        ...


@runtime_checkable
class Proposer(Protocol):
    """Where the candidates come from, among which a guided search takes those that its predictor puts first."""

    def offered(
        self, predictor: Predictor, told: Observed, count: int, rng: np.random.Generator
    ) -> Sequence[Architecture]:
        """About `count` different architectures, in any order; what was proposed before may be among them.

        `predictor` was fitted on `told`. The result is a function of these four and of the constructor's arguments.
        """
        ...
