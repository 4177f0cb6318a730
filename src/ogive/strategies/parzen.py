"""Where BOHB takes new candidates from: Optuna's multivariate Parzen estimator on the results of one rung."""

from __future__ import annotations

from typing import Any

import numpy as np

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.core.space import Choices, SearchSpace
from ogive.core.trial import Fidelity
from ogive.strategies.hyperband import Hyperband
from ogive.strategies.optuna_forms import Forms, ended, in_memory
from ogive.strategies.unseen import Unseen

__all__ = ["Parzen", "bohb"]

# So many points in a row that are no legal architecture, or known; then a random one is proposed instead.
REDRAWS = 10

Result = tuple[Choices, float]


class Parzen:
    """Points where good results of a rung are dense and bad ones are not (Bergstra et al., NeurIPS 2011).

    Of the highest rung that has `start` results, by default three more than there are variables; a share `random` of
    the candidates is drawn at random, so that a search is never misled for good. Candidates whose results are missing
    count as bad ones (a constant liar), so that several in flight differ.
    """

    def __init__(self, space: SearchSpace, *, start: int | None = None, random: float = 1 / 3) -> None:
        if not 0 <= random <= 1:
            raise SpecError(f"The share of random candidates lies from 0 to 1, but got random={random}.")
        if start is not None and start < 2:
            raise SpecError(f"A Parzen estimator takes two results at least, but got start={start}.")
        self.space, self.random = space, random
        self.start = len(space.modelled) + 3 if start is None else start
        self._forms = Forms(space, "bohb")
        self._results: dict[int, list[Result]] = {}
        self._missing: dict[Choices, None] = {}
        self._studies: dict[int, Any] = {}

    def draw(self, unseen: Unseen, rng: np.random.Generator) -> Architecture | None:
        known = [rung for rung, results in self._results.items() if len(results) >= self.start]
        arch = self._modelled(max(known), unseen, rng) if known and rng.random() >= self.random else None
        if arch is None:
            arch = unseen.draw(rng)
        if arch is not None:
            unseen.remove(arch)
            self._missing[arch.choices] = None
        return arch

    def note(self, arch: Architecture, rung: int, score: float | None) -> None:
        self._missing.pop(arch.choices, None)
        if score is not None:
            self._results.setdefault(rung, []).append((arch.choices, score))
            if rung in self._studies:
                self._studies[rung].add_trial(self._forms.trial(arch, (score,)))

    def _modelled(self, rung: int, unseen: Unseen, rng: np.random.Generator) -> Architecture | None:
        from optuna.samplers import TPESampler
        from optuna.trial import TrialState

        study = self._study(rung)
        seed = int(rng.integers(2**32))
        study.sampler = TPESampler(seed=seed, n_startup_trials=0, multivariate=True, constant_liar=True)
        first = len(study.trials)
        for choices in self._missing:
            study.add_trial(self._forms.trial(Architecture(self.space.name, choices), None, running=True))
        found = None
        for _ in range(REDRAWS):
            asked = study.ask(self._forms.distributions)
            choices = self._forms.choices(asked.params, rng)
            ended(study, asked.number, None)  # a sampler does not see what has failed
            arch = Architecture(self.space.name, choices)
            if self.space.is_legal(choices) and arch in unseen:
                found = self.space.check(choices)
                break
        for number in range(first, first + len(self._missing)):
            study.tell(number, state=TrialState.FAIL)
        return found

    def _study(self, rung: int) -> Any:
        if rung not in self._studies:
            study = self._studies[rung] = in_memory(None, 1)
            for choices, score in self._results[rung]:
                study.add_trial(self._forms.trial(Architecture(self.space.name, choices), (score,)))
        return self._studies[rung]

    def settings(self) -> dict[str, Any]:
        return {"start": self.start, "random": self.random}

    def state(self) -> dict[str, Any]:
        results = [[rung, [[list(choices), score] for choices, score in told]] for rung, told in self._results.items()]
        return {"results": results, "missing": [list(choices) for choices in self._missing]}

    def restore(self, state: dict[str, Any]) -> None:
        self._results = {
            int(rung): [(tuple(choices), float(score)) for choices, score in told] for rung, told in state["results"]
        }
        self._missing = dict.fromkeys(tuple(choices) for choices in state["missing"])
        self._studies = {}


def bohb(
    space: SearchSpace,
    seed: Seed,
    *,
    fidelity: Fidelity | None = None,
    eta: float = 3.0,
    lowest: int | None = None,
    start: int | None = None,
    random: float = 1 / 3,
) -> Hyperband:
    """Brackets of hyperband whose new candidates a Parzen estimator draws (Falkner et al., ICML 2018).

    The estimator is Optuna's multivariate one, on the results of the highest rung that has `start` of them, by default
    three more than there are variables; a share `random` of the candidates is drawn at random.
    """
    return Hyperband(
        space, seed, fidelity=fidelity, eta=eta, lowest=lowest, source=Parzen(space, start=start, random=random)
    )
