"""Optuna's samplers as strategies, with the tree-structured Parzen estimator (TPE) of Bergstra et al., NeurIPS 2011."""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from ogive.core.architecture import Architecture
from ogive.core.errors import MissingData, SpecError, UnknownName
from ogive.core.rng import Seed
from ogive.core.space import Choice, Choices, SearchSpace
from ogive.core.trial import Proposal, Trial
from ogive.strategies.optuna_forms import Forms, ended, in_memory, in_order

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.study import Study

__all__ = ["Optuna"]

# So many points of a sampler in a row that are no legal architecture; then a random legal one is proposed instead.
REDRAWS = 10
# Every sampler of Optuna that chooses by itself, by the name of its class; those of grids want a grid.
SAMPLERS = {
    "tpe": "TPESampler",
    "gp": "GPSampler",
    "cmaes": "CmaEsSampler",
    "nsga2": "NSGAIISampler",
    "nsga3": "NSGAIIISampler",
    "qmc": "QMCSampler",
    "random": "RandomSampler",
    "bruteforce": "BruteForceSampler",
}
# Those that see numbers only; a variable whose options have no order has no counterpart there.
OF_NUMBERS = ("cmaes", "qmc")


class Optuna:
    """A sampler of Optuna: options in an order are integers, others categories, and real variables numbers.

    The first `start` trials are random, of samplers that begin so; until a first one has a score, so that the number of
    objectives is known, they are drawn by the space. A point that is no legal architecture is told as failed and drawn
    again, ten times in all; then a random legal architecture takes its place. `multivariate` lets ``tpe`` model
    variables together: by default with one objective, as Optuna has it. Candidates that failed or were screened out are
    told as failed.
    """

    divisible = True

    def __init__(
        self,
        sampler: Literal["tpe", "gp", "cmaes", "nsga2", "nsga3", "qmc", "random", "bruteforce"] = "tpe",
        *,
        space: SearchSpace,
        seed: Seed,
        start: int = 10,
        multivariate: bool | None = None,
    ) -> None:
        if sampler not in SAMPLERS:
            raise UnknownName("sampler of Optuna", sampler, SAMPLERS)
        if start < 1:
            raise SpecError(f"A sampler of Optuna starts with at least one random trial, but got start={start}.")
        if multivariate is not None and sampler != "tpe":
            raise SpecError(f"Only tpe models variables one by one: leave multivariate out of optuna({sampler}).")
        self._forms = Forms(space, "optuna(...)")
        if sampler in OF_NUMBERS:
            _refuse_categories(space, sampler)
        self.space, self._start = space, start
        self._rng = seed.numpy("proposals")
        self._sampler = _made(sampler, seed.integer("sampler") % 2**32, start, multivariate)
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
                self._study = in_memory(self._sampler, len(trial.scores))
                for arch in self._failed:
                    self._study.add_trial(self._forms.trial(arch, None))
            if self._study is None:
                self._failed.append(trial.arch)
                continue
            running = self._running.get(trial.arch.choices)
            if running:
                ended(self._study, running.popleft(), trial.scores)
            else:
                self._study.add_trial(self._forms.trial(trial.arch, trial.scores))

    def _next(self) -> Architecture:
        if self._study is None:
            return self.space.sample(self._rng)
        for _ in range(REDRAWS):
            asked = self._study.ask(self._forms.distributions)
            choices = self._forms.choices(asked.params, self._rng)
            if self.space.is_legal(choices):
                self._running.setdefault(choices, deque()).append(asked.number)
                return self.space.check(choices)
            ended(self._study, asked.number, None)
        return self.space.sample(self._rng)


def _made(name: str, seed: int, start: int, multivariate: bool | None) -> BaseSampler:
    maker: Any = getattr(importlib.import_module("optuna.samplers"), SAMPLERS[name])
    taken = inspect.signature(maker).parameters
    wanted = {"seed": seed, "n_startup_trials": start, "multivariate": multivariate}
    if name != "tpe":  # where a sampler has nothing to say of a single variable, that is no news
        wanted |= {"warn_independent_sampling": False, "warn_asynchronous_seeding": False}
    if name == "cmaes":
        try:
            import cmaes  # noqa: F401  which Optuna imports at the first proposal only
        except ModuleNotFoundError as error:
            raise MissingData(f"optuna(cmaes) needs the package {error.name}: pip install 'ogive[optuna]'") from None
    with warnings.catch_warnings():  # some are experimental: their interface may change, and is asked for here only
        warnings.simplefilter("ignore", importlib.import_module("optuna.exceptions").ExperimentalWarning)
        made: BaseSampler = maker(**{option: value for option, value in wanted.items() if option in taken})
    return made


def _refuse_categories(space: SearchSpace, sampler: str) -> None:
    for place in space.modelled:
        variable = space.variables[place]
        if isinstance(variable, Choice) and not in_order(variable.options):
            raise SpecError(
                f"optuna({sampler}) models numbers only, and {variable.name!r} of {space.name} is one of "
                f"{len(variable.options)} options in no order: take optuna(tpe) or optuna(gp)."
            )
