"""REINFORCE: every decision has a distribution of its own, and what scored better than usual becomes more likely.

Williams, "Simple statistical gradient-following algorithms for connectionist reinforcement learning", Machine Learning
8, 1992; for architectures in the form of NAS-Bench-201 (Dong and Yang, ICLR 2020). Shapes: V variables, O options.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.capabilities import Closed
from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.core.space import Choice, SearchSpace
from ogive.core.trial import Proposal, Trial
from ogive.strategies.local import refuse_immutable
from ogive.strategies.state import Resumable

__all__ = ["Reinforce"]

Reals = npt.NDArray[np.float64]

# Where so many draws in a row are no architecture, the policy has left the space: then a uniform one is proposed.
PATIENCE = 1000


class Reinforce(Resumable):
    """Policy gradient over independent categorical logits, one for each option of each variable.

    Each told score moves the logits by one step of Adam along (score - baseline) times the gradient of the logarithm of
    the probability of its architecture; the baseline is a moving average of the scores, this one included. With
    several proposals in flight, the gradient is that of the policy at the moment of telling.

    Combinations that do not exist are drawn again. The gradient leaves out how that changes the probabilities of the
    others: what it leaves out is multiplied with score - baseline, which is zero on average.

    A failed or infeasible trial counts as the worst score so far, so that a policy moves away from it, and leaves the
    baseline alone; before any score, and where a candidate was screened out, nothing is learnt.
    """

    divisible = True
    objectives = 1

    def __init__(
        self,
        space: SearchSpace,
        seed: Seed,
        *,
        # aoiang/few-shot-NAS, as is the decay; D-X-Y/AutoDL-Projects has the same decay, and rates from 0.001 to 0.5.
        learning_rate: float = 0.005,
        baseline_decay: float = 0.9,
    ) -> None:
        if not 0 < learning_rate < np.inf:
            raise SpecError(f"learning_rate must be a positive number, but got {learning_rate}.")
        if not 0 <= baseline_decay < 1:
            raise SpecError(f"baseline_decay must be in [0, 1), but got {baseline_decay}.")
        if not all(isinstance(variable, Choice) for variable in space.variables):
            raise SpecError(
                f"REINFORCE draws options, but {space.name} has variables without options: use random search."
            )
        refuse_immutable(space)
        self.space, self.learning_rate, self.baseline_decay = space, learning_rate, baseline_decay
        self._rng = seed.numpy("proposals")
        widths = [len(variable.options) for variable in space.variables if isinstance(variable, Choice)]
        self._known_VO = np.arange(max(widths)) < np.array(widths)[:, None]
        # A thousandth of a standard normal: D-X-Y/AutoDL-Projects, NAS-Bench-201-algos/reinforce.py.
        self._logits_VO = 1e-3 * seed.numpy("policy").standard_normal(self._known_VO.shape) * self._known_VO
        self._adam = Adam(self._logits_VO.shape, learning_rate)
        self._mean, self._weight = 0.0, 0.0  # of the scores, not yet divided; of what it is to be divided by
        self._worst: float | None = None

    @property
    def probabilities(self) -> Reals:
        """The policy, (V, O): each row sums to 1; 0 where a variable has no such option."""
        logits_VO = np.where(self._known_VO, self._logits_VO, -np.inf)
        odds_VO: Reals = np.exp(logits_VO - logits_VO.max(axis=1, keepdims=True))
        odds_VO /= odds_VO.sum(axis=1, keepdims=True)
        return odds_VO

    def ask(self, n: int = 1) -> list[Proposal]:
        edges_VO = np.cumsum(self.probabilities, axis=1)
        return [Proposal(self._drawn(edges_VO)) for _ in range(n)]

    def tell(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            if trial.scores is not None:
                score = trial.scores[0]
                self._worst = score if self._worst is None else min(score, self._worst)
                self._mean = self.baseline_decay * self._mean + (1 - self.baseline_decay) * score
                self._weight = self.baseline_decay * self._weight + (1 - self.baseline_decay)
                self._learn(trial.arch, score)
            elif trial.status in ("failed", "infeasible") and self._worst is not None:
                self._learn(trial.arch, self._worst)

    def _drawn(self, edges_VO: Reals) -> Architecture:
        """An architecture from the policy, whose cumulative probabilities are given."""
        # Rows of a closed world are too few to hit: what is outside becomes the nearest of them.
        is_world = isinstance(self.space, Closed)
        last_V = self._known_VO.sum(axis=1) - 1
        for _ in range(PATIENCE):
            drawn_V = (self._rng.random(len(edges_VO))[:, None] >= edges_VO).sum(axis=1)
            # The sum of a row may be less than 1 by rounding.
            choices = tuple(np.minimum(drawn_V, last_V).tolist())
            if is_world or self.space.is_legal(choices):
                return Architecture(self.space.name, choices)
        return self.space.sample(self._rng)

    def _learn(self, arch: Architecture, score: float) -> None:
        """One step that makes an architecture more likely by as much as its score is above the baseline."""
        gradient_VO = -self.probabilities
        gradient_VO[np.arange(len(gradient_VO)), np.array(arch.choices, np.int64)] += 1.0
        self._logits_VO += self._adam.step((score - self._mean / self._weight) * gradient_VO)

    # -- the state, in and out ---------------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        rates = {"learning_rate": self.learning_rate, "baseline_decay": self.baseline_decay}
        return {"space": self.space.name, **rates}

    def state(self) -> dict[str, Any]:
        return {
            "rng": self._rng.bit_generator.state,
            "logits": self._logits_VO.tolist(),
            "adam": self._adam.state(),
            "baseline": [self._mean, self._weight],
            "worst": self._worst,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._logits_VO = np.array(state["logits"], np.float64).reshape(self._known_VO.shape)
        self._adam.restore(state["adam"])
        self._mean, self._weight = map(float, state["baseline"])
        self._worst = None if state["worst"] is None else float(state["worst"])
        self._rng.bit_generator.state = state["rng"]


class Adam:
    """Steps uphill along gradients, each number at a pace of its own (Kingma and Ba, ICLR 2015, algorithm 1)."""

    FIRST, SECOND, EPSILON = 0.9, 0.999, 1e-8  # the paper's

    def __init__(self, shape: tuple[int, ...], learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self._steps = 0
        self._first, self._second = np.zeros(shape), np.zeros(shape)

    def step(self, gradient: Reals) -> Reals:
        """What to add to the parameters."""
        self._steps += 1
        self._first = self.FIRST * self._first + (1 - self.FIRST) * gradient
        self._second = self.SECOND * self._second + (1 - self.SECOND) * gradient**2
        first = self._first / (1 - self.FIRST**self._steps)
        second = self._second / (1 - self.SECOND**self._steps)
        moved: Reals = self.learning_rate * first / (np.sqrt(second) + self.EPSILON)
        return moved

    def state(self) -> dict[str, Any]:
        """The state as JSON."""
        return {"steps": self._steps, "first": self._first.tolist(), "second": self._second.tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self._steps = int(state["steps"])
        self._first, self._second = (
            np.array(state[name], np.float64).reshape(self._first.shape) for name in ("first", "second")
        )
