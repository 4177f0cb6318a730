"""Capabilities: what a part may offer beside its protocol, one member each, asked for with ``isinstance``.

A part has a capability by having the member. Wherever one matters, the part and everything nested in it are visited by
`walk`, so that a part made of others needs to pass nothing on but its `parts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, Protocol, Self, TypeVar, runtime_checkable

from ogive.core.architecture import Architecture
from ogive.core.metric import Guess
from ogive.core.trial import Fidelity

__all__ = [
    "Answer",
    "Answers",
    "Choosing",
    "Closed",
    "Composite",
    "Costly",
    "Dedicated",
    "Described",
    "Digested",
    "Divisible",
    "Finite",
    "Graded",
    "Guessed",
    "Lasting",
    "Listening",
    "Named",
    "Particular",
    "Populated",
    "Preparing",
    "Projecting",
    "Promoting",
    "Reading",
    "Rehearsed",
    "Repeated",
    "Resumable",
    "Scheduled",
    "Shared",
    "Spreading",
    "answer_of",
    "fidelity_of",
    "guesses_of",
    "is_divisible",
    "lasting",
    "objectives_of",
    "rehearsed",
    "rounds_of",
    "spreads_of",
    "walk",
]

Part = TypeVar("Part")

# What a search answers with: its best trial, or its last, as one that trains a supernet does.
Answer = Literal["best", "last"]


@runtime_checkable
class Composite(Protocol):
    """Made of other parts, which work inside it."""

    @property
    def parts(self) -> Sequence[object]:
        """The parts inside, evaluators or strategies."""
        ...


@runtime_checkable
class Choosing(Protocol):
    """Data that chose what nobody said, such as their task, and tell it in a sentence, or nothing."""

    @property
    def chosen(self) -> str:
        """The sentence."""
        ...


@runtime_checkable
class Described(Protocol):
    """Data that say in a line or two what was understood of them: how many of what there are, and in which parts."""

    @property
    def summary(self) -> tuple[str, ...]:
        """The lines."""
        ...


@runtime_checkable
class Repeated(Protocol):
    """An evaluator that trains every candidate several times."""

    @property
    def repeats(self) -> int:
        """How often."""
        ...


@runtime_checkable
class Spreading(Protocol):
    """An evaluator whose metrics are means of several values, and which measures how far these lie apart as well."""

    @property
    def spreads(self) -> Mapping[str, tuple[str, int]]:
        """Of a metric by its name: the name of the one that is its standard deviation, and of how many values."""
        ...


@runtime_checkable
class Listening(Protocol):
    """Works long, and tells meanwhile what it is doing to whoever is put here."""

    progress: Callable[[str], None] | None


@runtime_checkable
class Preparing(Protocol):
    """Works once before its first result, such as a supernet that is trained; that is no work of a trial."""

    def prepare(self, tell: Callable[[str], None] | None) -> None:
        """Do that work, unless it is done; the first result does it too."""
        ...


@runtime_checkable
class Rehearsed(Protocol):
    """Trains or scores before or between its results, and can say beforehand how long that takes."""

    def rehearse(self) -> float:
        """About how many seconds its own work takes in a whole search, measured on a little of it.

        What its parts do is not counted, and they have rehearsed before. Afterwards it may be good for estimates only.
        """
        ...


@runtime_checkable
class Lasting(Protocol):
    """A predictor or proposer that works in rounds which take about as long as one another, such as epochs."""

    @property
    def rounds(self) -> int:
        """How many there are, 1 where all is one piece of work."""
        ...

    def lasting(self, rounds: int) -> Self:
        """Another one with so many of them, good for knowing how long a round takes."""
        ...


@runtime_checkable
class Scheduled(Protocol):
    """A strategy that ends by itself, and whose seconds, as rehearsed, are spread evenly over its proposals."""

    @property
    def proposals(self) -> float:
        """How many it makes at most; infinite while that depends on what is not trained yet."""
        ...


@runtime_checkable
class Answers(Protocol):
    """A strategy that says what its search answers with; one that does not answers with its best trial."""

    @property
    def answer(self) -> Answer:
        """The best trial, or the last."""
        ...


@runtime_checkable
class Costly(Protocol):
    """A strategy whose state is worth saving more often than the store would, since its proposals are expensive."""

    @property
    def save_every(self) -> int:
        """After how many trials at the latest."""
        ...


@runtime_checkable
class Divisible(Protocol):
    """A strategy to which a batch is no more than its members.

    Asking for n at once is the same as asking n times, and telling n at once the same as telling them one by one.
    """

    @property
    def divisible(self) -> bool:
        """Whether it promises that."""
        ...


@runtime_checkable
class Promoting(Protocol):
    """A strategy of rungs that knows which architectures it may still propose at a higher fidelity."""

    def promotes(self, arch: Architecture) -> bool:
        """Whether it may; what was kept to go on from is removed where it says no, else when the search is over."""
        ...


@runtime_checkable
class Resumable(Protocol):
    """An evaluator that keeps what a higher fidelity of an architecture would go on from."""

    def forget(self, arch: Architecture) -> None:
        """Remove that; a higher fidelity begins anew."""
        ...


@runtime_checkable
class Dedicated(Protocol):
    """A strategy for a certain number of objectives; one without takes any."""

    @property
    def objectives(self) -> int | None:
        """How many; None for any."""
        ...


@runtime_checkable
class Populated(Protocol):
    """A strategy whose first proposals are random."""

    @property
    def population(self) -> int:
        """How many of them."""
        ...


@runtime_checkable
class Projecting(Protocol):
    """A strategy that moves proposals from outside a closed world into it."""

    @property
    def projections(self) -> int:
        """How many so far."""
        ...


@runtime_checkable
class Closed(Protocol):
    """A space of few architectures, into which others can be moved."""

    def project(self, arch: Architecture) -> Architecture:
        """The architecture itself, or its equal, if it is inside, otherwise the nearest that was not visited."""
        ...


@runtime_checkable
class Finite(Protocol):
    """An evaluator of finitely many results, all of them known, so that regret can be measured."""

    def optimum(self, metric: str) -> float | None:
        """The best value of one of its metrics; None where it is not known for sure."""
        ...


@runtime_checkable
class Reading(Protocol):
    """An evaluator that looks results up."""

    @property
    def table(self) -> object:
        """Where; a search is checked against an ``ogive.tables.store.Table``."""
        ...


@runtime_checkable
class Shared(Protocol):
    """A task whose trainings processes that ``torchrun`` started share, each with a part of every batch."""

    @property
    def shared(self) -> Literal[True]:
        """That they do."""
        ...


@runtime_checkable
class Digested(Protocol):
    """Reads a file that decides its results, so that a search can go on only with the same one."""

    @property
    def digest(self) -> str:
        """SHA-256 of it."""
        ...


@runtime_checkable
class Graded(Protocol):
    """An evaluator that can spend less on a proposal than all, at a fidelity."""

    @property
    def fidelity(self) -> Fidelity | None:
        """What its fidelities count; None if it has a single one after all."""
        ...


@runtime_checkable
class Guessed(Protocol):
    """An evaluator, or what it asks, that knows what guessing would reach."""

    @property
    def guesses(self) -> Sequence[Guess]:
        """In those of its metrics for which that can be said."""
        ...


@runtime_checkable
class Particular(Protocol):
    """A proposer that works with some predictors only."""

    def refuse(self, predictor: object) -> None:
        """Raise SpecError for a predictor with which it does not work."""
        ...


@runtime_checkable
class Named(Protocol):
    """Has a name of its own, as spaces, tables and data do."""

    @property
    def name(self) -> str:
        """The name."""
        ...


def walk(part: object) -> Iterator[object]:
    """A part and everything nested in it; a part comes before those inside it."""
    yield part
    if isinstance(part, Composite):
        for inner in part.parts:
            yield from walk(inner)


def rehearsed(part: object) -> float:
    """Seconds of all that a part and its parts do beside their results; what is inside rehearses first."""
    return sum(one.rehearse() for one in reversed(list(walk(part))) if isinstance(one, Rehearsed))


def answer_of(strategy: object) -> Answer:
    """What a search with a strategy answers with: the outermost part of it that says so decides."""
    return next((one.answer for one in walk(strategy) if isinstance(one, Answers)), "best")


def is_divisible(strategy: object) -> bool:
    """Whether a strategy promises that a batch is no more than its members."""
    return isinstance(strategy, Divisible) and strategy.divisible


def objectives_of(strategy: object) -> int | None:
    """For how many objectives a strategy was made, by the outermost part of it that says so; None for any."""
    return next((one.objectives for one in walk(strategy) if isinstance(one, Dedicated)), None)


def guesses_of(evaluator: object) -> list[Guess]:
    """What guessing would reach in the metrics of an evaluator, as far as it or its parts know."""
    return [guess for one in walk(evaluator) if isinstance(one, Guessed) for guess in one.guesses]


def spreads_of(evaluator: object) -> dict[str, tuple[str, int]]:
    """Which metrics of an evaluator have a standard deviation beside them, as it or its parts know."""
    found: dict[str, tuple[str, int]] = {}
    for one in walk(evaluator):
        if isinstance(one, Spreading):
            found = {**one.spreads, **found}
    return found


def rounds_of(part: object) -> int:
    """In how many rounds a predictor or proposer works."""
    return part.rounds if isinstance(part, Lasting) else 1


def lasting(part: Part, rounds: int) -> Part:
    """A predictor or proposer of so many rounds; the same one where it works in one piece."""
    return part.lasting(rounds) if isinstance(part, Lasting) else part


def fidelity_of(evaluator: object) -> Fidelity | None:
    """What the fidelities of an evaluator count, by the outermost part of it that has several; None if none has."""
    return next((one.fidelity for one in walk(evaluator) if isinstance(one, Graded) and one.fidelity), None)
