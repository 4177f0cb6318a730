"""A space as Optuna's distributions, architectures as its trials, and studies that hold them in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive.core.architecture import Architecture
from ogive.core.errors import MissingData
from ogive.core.space import Choice, Choices, Real, SearchSpace, Variable

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial

__all__ = ["Forms", "ended", "in_memory", "in_order", "quiet", "require"]


class Forms:
    """How the variables of a space that models see are written for Optuna; MissingData without the package.

    Options in an order are integers, others categories, each by its place. Names are such that no two variables share
    one, in their order also where they are sorted.
    """

    def __init__(self, space: SearchSpace, strategy: str) -> None:
        require(strategy)
        self.space = space
        self.names = {place: f"{place:04} {space.variables[place].name}" for place in space.modelled}
        self.distributions = {name: _distribution(space.variables[place]) for place, name in self.names.items()}

    def params(self, arch: Architecture) -> dict[str, int | float]:
        """What Optuna sees of an architecture."""
        return {name: arch.choices[place] for place, name in self.names.items()}

    def choices(self, params: Mapping[str, Any], rng: np.random.Generator) -> Choices:
        """The choices that Optuna wants, with those that nothing models, which are drawn."""
        modelled = {place: params[name] for place, name in self.names.items()}
        places = range(len(self.space.variables))
        if len(modelled) == len(places):
            return tuple(modelled[place] for place in places)
        drawn = self.space.sample(rng).choices
        return tuple(modelled.get(place, drawn[place]) for place in places)

    def trial(self, arch: Architecture, scores: Sequence[float] | None, *, running: bool = False) -> FrozenTrial:
        """A trial that no sampler of the study proposed; without scores it has failed, or is running."""
        from optuna.trial import TrialState, create_trial

        state = TrialState.COMPLETE if scores is not None else TrialState.RUNNING if running else TrialState.FAIL
        return create_trial(
            state=state, values=scores, params=self.params(arch), distributions=dict(self.distributions)
        )


def require(strategy: str) -> None:
    """MissingData, with the command that installs it, where Optuna is not there."""
    try:
        import optuna  # noqa: F401  costs a second, so that nobody pays who searches with another strategy
    except ModuleNotFoundError as error:
        raise MissingData(f"{strategy} needs the package {error.name}: pip install 'ogive[optuna]'") from None


def in_memory(sampler: BaseSampler | None, objectives: int) -> Study:
    """A study that is kept in memory and maximises so many objectives."""
    import optuna

    with quiet():
        return optuna.create_study(sampler=sampler, directions=["maximize"] * objectives)


def ended(study: Study, number: int, scores: Sequence[float] | None) -> None:
    """Tell a study the scores of one of its trials, or that it failed."""
    from optuna.trial import TrialState

    state = TrialState.FAIL if scores is None else TrialState.COMPLETE
    study.tell(number, scores, state=state)


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna says on the terminal that there is a study in memory; how much it says otherwise is for its user."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def in_order(options: Sequence[str]) -> bool:
    """Whether the options are numbers that rise or fall."""
    try:
        numbers = [float(option) for option in options]
    except ValueError:
        return False
    finite = all(map(math.isfinite, numbers))
    return finite and numbers in (sorted(set(numbers)), sorted(set(numbers), reverse=True))


def _distribution(variable: Variable) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(variable, Real):
        return FloatDistribution(variable.low, variable.high)
    assert isinstance(variable, Choice)  # others are not modelled
    if in_order(variable.options):
        return IntDistribution(0, len(variable.options) - 1)
    return CategoricalDistribution(range(len(variable.options)))
