"""Optuna's samplers as strategies, with the tree-structured Parzen estimator (TPE) of Bergstra et al., NeurIPS 2011."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from ogive.core.architecture import Architecture
from ogive.core.errors import MissingData, SpecError, UnknownName
from ogive.core.rng import Seed
from ogive.core.space import Choice, Choices, Real, SearchSpace, Variable
from ogive.core.trial import Proposal, Trial

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.study import Study

__all__ = ["Optuna"]

# So many points of a sampler in a row that are no legal architecture; then a random legal one is proposed instead.
REDRAWS = 10


class Optuna:
    """A sampler of Optuna, which sees each variable by itself: options in an order as integers, others as categories.

    The first `start` trials are random; until a first one has a score, so that the number of objectives is known, they
    are drawn by the space. A point that is no legal architecture is told as failed and drawn again, ten times in all;
    then a random legal architecture takes its place. `multivariate` models variables together: by default with
    one objective, as Optuna has it. Candidates that failed or were screened out are told as failed.
    """

    divisible = True

    def __init__(
        self,
        sampler: Literal["tpe"] = "tpe",
        *,
        space: SearchSpace,
        seed: Seed,
        start: int = 10,
        multivariate: bool | None = None,
    ) -> None:
        if sampler not in _SAMPLERS:
            raise UnknownName("sampler of Optuna", sampler, _SAMPLERS)
        if start < 1:
            raise SpecError(f"A sampler of Optuna starts with at least one random trial, but got start={start}.")
        _require()
        self.space, self._start = space, start
        self._rng = seed.numpy("proposals")
        self._sampler = _SAMPLERS[sampler](
            seed=seed.integer("sampler") % 2**32, n_startup_trials=start, multivariate=multivariate
        )
        # Names that no two variables share, in their order also where they are sorted; a draw is nothing to model.
        self._names = {place: f"{place:04} {space.variables[place].name}" for place in space.modelled}
        self._distributions = {name: _distribution(space.variables[place]) for place, name in self._names.items()}
        self._study: Study | None = None
        self._failed: list[Architecture] = []  # before there was a study
        self._running: dict[Choices, deque[int]] = {}  # numbers of trials of the study

    @property
    def population(self) -> int:
        """How many proposals are random."""
        return self._start

    def ask(self, n: int = 1) -> list[Proposal]:
        return [Proposal(self._next()) for _ in range(n)]

    def tell(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            if self._study is None and trial.scores is not None:
                self._study = _study(self._sampler, len(trial.scores))
                for arch in self._failed:
                    self._add(self._study, arch, None)
            if self._study is None:
                self._failed.append(trial.arch)
                continue
            running = self._running.get(trial.arch.choices)
            if running:
                _end(self._study, running.popleft(), trial.scores)
            else:
                self._add(self._study, trial.arch, trial.scores)

    def _next(self) -> Architecture:
        if self._study is None:
            return self.space.sample(self._rng)
        for _ in range(REDRAWS):
            asked = self._study.ask(self._distributions)
            choices = self._completed({place: asked.params[name] for place, name in self._names.items()})
            if self.space.is_legal(choices):
                self._running.setdefault(choices, deque()).append(asked.number)
                return self.space.check(choices)
            _end(self._study, asked.number, None)
        return self.space.sample(self._rng)

    def _completed(self, modelled: dict[int, int | float]) -> Choices:
        """The choices with those that nothing models, which are drawn."""
        places = range(len(self.space.variables))
        if len(modelled) == len(places):
            return tuple(modelled[place] for place in places)
        drawn = self.space.sample(self._rng).choices
        return tuple(modelled.get(place, drawn[place]) for place in places)

    def _add(self, study: Study, arch: Architecture, scores: Sequence[float] | None) -> None:
        """A finished trial that the sampler did not propose."""
        from optuna.trial import TrialState, create_trial

        study.add_trial(
            create_trial(
                state=TrialState.FAIL if scores is None else TrialState.COMPLETE,
                values=scores,
                params={name: arch.choices[place] for place, name in self._names.items()},
                distributions=self._distributions,
            )
        )


def _tpe(**options: Any) -> BaseSampler:
    from optuna.samplers import TPESampler

    return TPESampler(**options)


# What makes each sampler, of a seed, a number of random trials and whether variables are modelled together.
_SAMPLERS = {"tpe": _tpe}


def _require() -> None:
    try:
        import optuna  # noqa: F401  costs a second, so that nobody pays who searches with another strategy
    except ModuleNotFoundError as error:
        raise MissingData(f"optuna(...) needs the package {error.name}: pip install 'ogive[optuna]'") from None


def _distribution(variable: Variable) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(variable, Choice):
        assert isinstance(variable, Real)  # draws are not modelled
        return FloatDistribution(variable.low, variable.high)
    if _in_order(variable.options):
        return IntDistribution(0, len(variable.options) - 1)
    return CategoricalDistribution(range(len(variable.options)))


def _in_order(options: Sequence[str]) -> bool:
    """Whether the options are numbers that rise or fall."""
    try:
        numbers = [float(option) for option in options]
    except ValueError:
        return False
    return numbers in (sorted(set(numbers)), sorted(set(numbers), reverse=True))


def _study(sampler: BaseSampler, objectives: int) -> Study:
    import optuna

    with _quiet():
        return optuna.create_study(sampler=sampler, directions=["maximize"] * objectives)


def _end(study: Study, number: int, scores: Sequence[float] | None) -> None:
    from optuna.trial import TrialState

    state = TrialState.FAIL if scores is None else TrialState.COMPLETE
    study.tell(number, scores, state=state)


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna says on the terminal that there is a study in memory; how much it says otherwise is for its user."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
