"""Strategies of ogive as samplers of Optuna, for studies that somebody has already."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from ogive import catalog
from ogive.context import Context
from ogive.core.architecture import Architecture
from ogive.core.capabilities import objectives_of
from ogive.core.errors import InvalidArchitecture, SpecError, nameable, quoted, shortened
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.strategy import Strategy
from ogive.core.trial import Measurement, Proposal, Trial
from ogive.session import Maker, is_maker
from ogive.strategies.optuna_counterparts import Counterparts

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import BaseTrial, FrozenTrial

__all__ = ["optuna_sampler", "suggested"]


@nameable
def optuna_sampler(
    space: str | SearchSpace | Mapping[str, BaseDistribution], strategy: str | Maker = "evolution", *, seed: int = 0
) -> BaseSampler:
    """A strategy of ogive as a sampler of Optuna, for ``optuna.create_study(sampler=...)``.

    The parameters of the study are those of the space: options are categories by their names, real variables numbers,
    draws whole numbers; `suggested` asks a trial for all of them. Or the study has distributions already, and they are
    given as the space: numbers on a logarithmic scale are searched by their logarithms, steps and whole numbers are
    options. A trial that is pruned or fails is told as failed. Of a study that is resumed, or that others work on, the
    strategy is told all finished trials, and goes on with other random numbers. Where a strategy has nothing more to
    propose, which ends a search of ogive's, a random architecture follows.

    Args:
        space: A SearchSpace, the name of one, or distributions of Optuna by the names of their parameters.
        strategy: Its name, as in ``"bayes(start=5)"``, or what makes one of a space and a seed. It is given nothing
            but these, so that one that trains, scores or measures at several fidelities is refused.
        seed: The root of all randomness.

    Returns:
        A sampler, which Optuna can ask in several threads.

    Raises:
        SpecError: For a strategy that needs more than a space, and for a distribution that has no counterpart.
        MissingData: Without Optuna.
    """
    if isinstance(space, Mapping):
        counterparts = Counterparts.between(space)
    else:
        counterparts = Counterparts.of(catalog.build("space", space) if isinstance(space, str) else space)
    _made(strategy, counterparts.space, Seed(seed), seed)  # is refused now, not after the first trial
    sampler: BaseSampler = _sampler()(_Search(counterparts, strategy, seed))
    return sampler


def suggested(trial: BaseTrial, space: str | SearchSpace) -> Architecture:
    """The architecture that a trial of a study is to measure: it is asked for every parameter of the space."""
    counterparts = Counterparts.of(catalog.build("space", space) if isinstance(space, str) else space)
    asked: Any = trial
    return counterparts.architecture(
        {name: asked._suggest(name, one) for name, one in counterparts.distributions.items()}
    )


def _made(strategy: str | Maker, space: SearchSpace, seed: Seed, root: int) -> Strategy:
    if not isinstance(strategy, str):
        if not is_maker(strategy):
            raise SpecError(
                f"A sampler makes its strategy anew for a study that is resumed: give its name, or what makes it of a "
                f"space and a seed, not {quoted(strategy)}."
            )
        return strategy(space, root)
    context = Context({"space": lambda: space}, seed.child("strategy"))
    made: Strategy = catalog.build("strategy", strategy, context)
    return made


class _Search:
    """The strategy of a sampler, and what it was asked and told of a study; of several threads one at a time."""

    def __init__(self, counterparts: Counterparts, strategy: str | Maker, seed: int) -> None:
        self.counterparts, self.written, self.seed = counterparts, strategy, seed
        self.strategy: Strategy | None = None
        self._rng = Seed(seed).numpy("random architectures")
        self._asked: dict[int, Proposal] = {}
        self._told: set[int] = set()
        self._lock = threading.RLock()

    def ask(self, study: Study, number: int) -> dict[str, Any]:
        """The parameters of a trial."""
        with self._lock:
            proposals = self._caught_up(study, number).ask(1)
            if not proposals:
                return self.counterparts.params(self.counterparts.space.sample(self._rng))
            self._asked[number] = proposals[0]
            return self.counterparts.params(proposals[0].arch)

    def tell(self, study: Study, trial: FrozenTrial, values: Sequence[float] | None) -> None:
        """The values of a trial; none of one that was pruned or has failed."""
        with self._lock:
            proposal = self._asked.pop(trial.number, None)
            if proposal is None or self.strategy is None:
                return  # what nobody proposed, as what was enqueued, is told with the trials of others
            self._told.add(trial.number)
            measured = self._measured(trial) or proposal.arch
            if measured != proposal.arch:  # somebody had enqueued a part of it
                self.strategy.tell([_as_trial(study, trial.number, Proposal(measured), values)])
                values = None
            self.strategy.tell([_as_trial(study, trial.number, proposal, values)])

    def refuse(self, name: str, wanted: BaseDistribution) -> None:
        """SpecError for a parameter that the space has otherwise, or lacks."""
        ours = self.counterparts.distributions.get(name)
        if ours is None:
            raise SpecError(
                f"The trial asks for {quoted(name)}, which the space of the sampler lacks: it has "
                f"{shortened(', '.join(self.counterparts.distributions), 200)}."
            )
        raise SpecError(
            f"The space of the sampler has {quoted(name)} as {shortened(repr(ours), 200)}, but the trial asks for "
            f"{shortened(repr(wanted), 200)}: make them equal."
        )

    def _caught_up(self, study: Study, number: int) -> Strategy:
        """The strategy, made where there was none, after it was told what others have finished."""
        if self.strategy is None:
            seed = Seed(self.seed).child(f"from trial {number}") if number else Seed(self.seed)
            self.strategy = _made(self.written, self.counterparts.space, seed, self.seed + number)
            wanted = objectives_of(self.strategy)
            if wanted is not None and wanted != len(study.directions):
                raise SpecError(
                    f"{self.written} is made for {wanted} objective(s), but the study has {len(study.directions)}."
                )
        for one in study.get_trials(deepcopy=False):
            if one.state.is_finished() and one.number not in self._told and one.number not in self._asked:
                self._told.add(one.number)
                if (arch := self._measured(one)) is not None:
                    values = one.values if one.state.name == "COMPLETE" else None
                    self.strategy.tell([_as_trial(study, one.number, Proposal(arch), values)])
        return self.strategy

    def _measured(self, trial: FrozenTrial) -> Architecture | None:
        """None of a trial that ended before it had asked for all, and of one of a study that had others before."""
        try:
            return self.counterparts.architecture(trial.params)
        except InvalidArchitecture:
            return None


def _as_trial(study: Study, number: int, proposal: Proposal, values: Sequence[float] | None) -> Trial:
    if values is None:
        return Trial(number, proposal, Measurement(error="failed or pruned in the study"), "failed")
    signs = (1 if direction.name == "MAXIMIZE" else -1 for direction in study.directions)
    scores = tuple(sign * float(value) for sign, value in zip(signs, values, strict=True))
    return Trial(number, proposal, Measurement(), "ok", scores)


@cache
def _sampler() -> type[Any]:
    """The class, made here, since Optuna is an extra."""
    from optuna.samplers import BaseSampler

    class OgiveSampler(BaseSampler):
        def __init__(self, search: _Search) -> None:
            self.search = search

        def __str__(self) -> str:
            return f"ogive {self.search.written}"

        def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
            return dict(self.search.counterparts.distributions)

        def sample_relative(
            self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
        ) -> dict[str, Any]:
            return self.search.ask(study, trial.number)

        def sample_independent(
            self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
        ) -> None:
            self.search.refuse(param_name, param_distribution)

        def after_trial(self, study: Study, trial: FrozenTrial, state: Any, values: Sequence[float] | None) -> None:
            self.search.tell(study, trial, values if state.name == "COMPLETE" else None)

    return OgiveSampler
