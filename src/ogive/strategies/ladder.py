"""The rungs of a fidelity, from the lowest to the whole, and where brackets of them take new candidates from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.trial import Fidelity
from ogive.strategies.unseen import Unseen

__all__ = ["Source", "Uniform", "ladder", "promoted", "started"]

# Without a lowest rung there are so many steps from it to the whole: 1/27 of it where eta is 3.
STEPS = 3


class Source(Protocol):
    """Where a search of rungs takes its new candidates from; it is told of every result, and its state is JSON."""

    def draw(self, unseen: Unseen, rng: np.random.Generator) -> Architecture | None:
        """One that was not proposed, which thereby counts as proposed; None if there is none left."""
        ...

    def note(self, arch: Architecture, rung: int, score: float | None) -> None:
        """What was found of an architecture at a rung, counted from 0; None where it failed or was screened out."""
        ...

    def settings(self) -> dict[str, Any]:
        """What must be equal for a state to fit, as JSON."""
        ...

    def state(self) -> dict[str, Any]:
        """All that decides what is drawn next, beside the arguments of `draw`, as JSON."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        ...


class Uniform:
    """Random architectures, which no result changes."""

    def draw(self, unseen: Unseen, rng: np.random.Generator) -> Architecture | None:
        return unseen.draw(rng)

    def note(self, arch: Architecture, rung: int, score: float | None) -> None:
        """Nothing is learnt."""

    def settings(self) -> dict[str, Any]:
        return {}

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """There is none."""


def ladder(fidelity: Fidelity | None, eta: float, lowest: int | None, strategy: str) -> tuple[int, ...]:
    """The rungs, ascending; the last is the whole of the fidelity, and each about `eta` times the one below.

    Where there are certain rungs only, as in a table, those of them that lie at least so far apart. `lowest` is the
    least that a rung may be; without it there are four rungs at most. SpecError where the evaluator has one fidelity
    only, and for numbers that make no rungs.
    """
    if fidelity is None:
        raise SpecError(
            f"{strategy} measures candidates at several fidelities, and this evaluator has one only: take "
            "trained(epochs=...), or a table with trainings of several lengths."
        )
    if not (1 < eta < math.inf):
        raise SpecError(f"Each rung of {strategy} is eta > 1 times the one below, but got eta={eta}.")
    least = max(1.0, fidelity.full / eta**STEPS) if lowest is None else float(lowest)
    if not 1 <= least <= fidelity.full:
        raise SpecError(
            f"The lowest rung of {strategy} lies from 1 to the {fidelity.full} {fidelity.unit} of a whole measurement, "
            f"but got lowest={lowest}."
        )
    if fidelity.rungs is not None:
        return _thinned(fidelity.rungs, fidelity.full, eta, least if lowest is not None else 1.0)
    rungs, size = [fidelity.full], fidelity.full / eta
    while round(size) >= math.floor(least + 1e-9) and 1 <= round(size) < rungs[-1]:
        rungs.append(round(size))
        size /= eta
    return tuple(reversed(rungs))


def _thinned(known: Sequence[int], full: int, eta: float, least: float) -> tuple[int, ...]:
    kept = [full]
    for rung in sorted((rung for rung in known if least <= rung < full), reverse=True):
        if rung * eta <= kept[-1] * (1 + 1e-9):
            kept.append(rung)
    return tuple(reversed(kept))


def started(rungs: Sequence[int], lowest: int) -> int:
    """How many candidates begin a bracket whose lowest rung has this place, so that all brackets cost about the same.

    Li et al., JMLR 18, 2018, algorithm 1, line 3, with the quotient of the rungs themselves for a power of eta.
    """
    return math.ceil(len(rungs) * rungs[-1] / ((len(rungs) - lowest) * rungs[lowest]) - 1e-9)


def promoted(rungs: Sequence[int], below: int, above: int, count: int) -> int:
    """How many of `count` that were measured at a rung can be measured at a higher one for the same in all."""
    return count * rungs[below] // rungs[above]
