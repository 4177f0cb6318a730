"""Spaces as distributions of Optuna by which people write, and distributions as a space: each way, and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError, quoted, shortened
from ogive.core.graph import Graph
from ogive.core.space import Choice, Draw, Fixed, Real, SearchSpace, Variable
from ogive.strategies.optuna_forms import require

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

__all__ = ["Counterparts"]

MOST_OPTIONS = 1000  # of a distribution over whole numbers or steps


@dataclass(frozen=True)
class _Way:
    """How the choice of one variable is written as a parameter."""

    place: int
    distribution: Any
    parameter: Callable[[int | float], Any]
    choice: Callable[[Any], int | float]


class Counterparts:
    """What parameters of a study and the variables of a space are to each other.

    Options are categories by their names, real variables numbers, and draws whole numbers; what is fixed is no
    parameter. Two variables of one name have their places after it.
    """

    def __init__(self, space: SearchSpace, ways: Mapping[str, _Way]) -> None:
        self.space, self._ways = space, dict(ways)
        self.distributions: dict[str, BaseDistribution] = {name: way.distribution for name, way in ways.items()}

    @classmethod
    def of(cls, space: SearchSpace) -> Counterparts:
        """Those of a space; MissingData without Optuna."""
        require("The way to Optuna")
        names = [variable.name for variable in space.variables]
        ways = {}
        for place, variable in enumerate(space.variables):
            if not isinstance(variable, Fixed):
                name = variable.name if names.count(variable.name) == 1 else f"{variable.name} {place}"
                ways[name] = _way(place, variable)
        return cls(space, ways)

    @classmethod
    def between(cls, distributions: Mapping[str, BaseDistribution]) -> Counterparts:
        """Those of a study's distributions, with the space that they make; SpecError for one without a counterpart.

        Numbers on a logarithmic scale are searched by their logarithms; steps, and whole numbers, are options.
        """
        require("The way to Optuna")
        if not distributions:
            raise SpecError("A space has a variable at least, but no distribution was given.")
        made = {name: _from(name, place, one) for place, (name, one) in enumerate(distributions.items())}
        space = SearchSpace("study", tuple(variable for variable, _ in made.values()), _unpictured)
        return cls(space, {name: way for name, (_, way) in made.items()})

    def params(self, arch: Architecture) -> dict[str, Any]:
        """An architecture as parameters."""
        return {name: way.parameter(arch.choices[way.place]) for name, way in self._ways.items()}

    def architecture(self, params: Mapping[str, Any]) -> Architecture:
        """Parameters as an architecture; InvalidArchitecture where they are none."""
        fixed = [variable.value if isinstance(variable, Fixed) else 0 for variable in self.space.variables]
        choices: list[int | float] = list(fixed)
        for name, way in self._ways.items():
            if name not in params:
                raise InvalidArchitecture(f"{self.space.name} has a parameter {quoted(name)}, which is missing.")
            try:
                choices[way.place] = way.choice(params[name])
            except (ValueError, TypeError, KeyError):
                raise InvalidArchitecture(
                    f"{quoted(params[name])} is no value of {quoted(name)} in {self.space.name}."
                ) from None
        return self.space.check(choices)


def _unpictured(arch: Architecture) -> Graph:
    """Parameters of a study are no picture."""
    return Graph((), frozenset())


def _way(place: int, variable: Variable) -> _Way:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(variable, Real):
        return _Way(place, FloatDistribution(variable.low, variable.high), float, float)
    if isinstance(variable, Draw):
        return _Way(place, IntDistribution(0, variable.count - 1), int, int)
    assert isinstance(variable, Choice)  # what is fixed is no parameter
    options = variable.options
    if len(set(options)) < len(options):
        options = tuple(f"{option} {number}" for number, option in enumerate(options))
    return _Way(place, CategoricalDistribution(options), lambda choice: options[int(choice)], options.index)


def _from(name: str, place: int, one: BaseDistribution) -> tuple[Variable, _Way]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(one, FloatDistribution) and one.step is None and one.low < one.high:
        if one.log:
            low, high = math.log(one.low), math.log(one.high)
            back: Callable[[int | float], float] = lambda x: min(max(math.exp(x), one.low), one.high)  # noqa: E731
            return Real(name, low, high), _Way(place, one, back, lambda x: min(max(math.log(x), low), high))
        return Real(name, one.low, one.high), _Way(place, one, float, float)
    values: list[Any]
    if isinstance(one, CategoricalDistribution):
        values = list(one.choices)
    elif isinstance(one, (FloatDistribution, IntDistribution)):
        count = 1 + (0 if one.low == one.high else round((one.high - one.low) / (one.step or 1)))
        if count > MOST_OPTIONS:
            raise SpecError(
                f"{shortened(repr(one), 200)} of {quoted(name)} has no counterpart: it has {count:,} values, and a "
                f"variable has at most {MOST_OPTIONS:,} options; use a FloatDistribution, or a larger step."
            )
        values = [one.low + number * (one.step or 1) for number in range(count)]
    else:
        raise SpecError(f"{shortened(repr(one), 200)} of {quoted(name)} has no counterpart among variables of ogive.")
    return Choice(name, tuple(map(str, values))), _Way(place, one, lambda x: values[int(x)], _nearest(values))


def _nearest(values: list[Any]) -> Callable[[Any], int]:
    """The place of a value; of numbers, which were computed, that of one within rounding."""

    def place(value: Any) -> int:
        if value in values:
            return values.index(value)
        return next(
            number
            for number, one in enumerate(values)
            if isinstance(one, float) and isinstance(value, float) and math.isclose(one, value, rel_tol=1e-9)
        )

    def found(value: Any) -> int:
        try:
            return place(value)
        except StopIteration:
            raise ValueError(value) from None

    return found
