"""Q-learning: blocks are written layer after layer, each chosen by what blocks that went on like that came to.

Zhong et al., "Practical Block-wise Neural Network Architecture Generation" (BlockQNN), CVPR 2018; numbers from
elenathfgs/BlockQNN_Keras, BlockQNN.py. The state is the layer written last, an action is the next one. IRLAS (Guo et
al., CVPR 2019) adds to the reward how much a block is like an expert's. Shapes: N blocks, S states, A actions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.capabilities import Closed
from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.core.space import Choice, SearchSpace
from ogive.core.trial import Proposal, Trial
from ogive.spaces.blockqnn import END, is_blocks
from ogive.strategies.local import refuse_immutable
from ogive.strategies.state import Resumable
from ogive.topology import Imitation

__all__ = ["SCHEDULE", "QLearning", "irlas"]

Integers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]
Choices = tuple[int, ...]

# Probability that a layer is drawn at random, and for how many iterations: 178 in all, of 64 blocks each.
SCHEDULE = ((1.0, 95), (0.9, 7), (0.8, 7), (0.7, 7), (0.6, 10), (0.5, 10), (0.4, 10), (0.3, 10), (0.2, 10), (0.1, 12))
ITERATIONS = sum(length for _, length in SCHEDULE)
START = 0.5  # of all values
# Where so many draws in a row are no architecture, a uniform one is proposed.
PATIENCE = 1000


class QLearning(Resumable):
    """Q-learning over the choices of an architecture, one after another; a block ends with its end.

    An iteration writes `batch` blocks, each choice at random with the probability of the published schedule and best by
    its value otherwise; of equal values one is drawn. When all of an iteration have been told, their rewards are learnt
    and up to `replayed` blocks that were told before are learnt again. With other `iterations` than 178 the schedule
    is drawn out or pressed together; after its end the last probability stays. The reward is score / `scale`: 100 makes
    a share of a per cent. Every choice but the last of T gets reward / T, and the best value of what followed.

    A failed trial counts as the worst score so far, a screened one is not learnt. What `guidance` says of an
    architecture is added to its reward; it is a frozen value, whose `repr` tells in a saved state that it is the same.
    """

    divisible = True
    objectives = 1

    def __init__(
        self,
        space: SearchSpace,
        seed: Seed,
        *,
        iterations: int = ITERATIONS,
        batch: int = 64,  # elenathfgs/BlockQNN_Keras, as are the next three
        replayed: int = 64,
        learning_rate: float = 0.01,
        discount: float = 1.0,
        scale: float = 100.0,
        guidance: Callable[[Architecture], float] | None = None,
    ) -> None:
        if iterations < 1 or batch < 1 or replayed < 0:
            raise SpecError(
                f"Q-learning needs iterations and batch of at least 1 and replayed of at least 0, but got "
                f"{iterations}, {batch} and {replayed}."
            )
        if not 0 < learning_rate <= 1 or not 0 <= discount <= 1 or not 0 < scale < np.inf:
            raise SpecError(
                f"0 < learning_rate <= 1, 0 <= discount <= 1 and a positive scale must hold, but got {learning_rate}, "
                f"{discount} and {scale}."
            )
        if not all(isinstance(variable, Choice) for variable in space.variables):
            raise SpecError(f"Q-learning chooses among options, but {space.name} has others: use random search.")
        refuse_immutable(space)
        self.space, self.iterations, self.batch, self.replayed = space, iterations, batch, replayed
        self.learning_rate, self.discount, self.scale, self.guidance = learning_rate, discount, scale, guidance
        self._ends = is_blocks(space.name)
        widths = [len(variable.options) for variable in space.variables if isinstance(variable, Choice)]
        before = zip([1, *widths], widths, strict=False)
        self._values_SA = [np.full(shape, START) for shape in before]
        self._best_S = [np.full(len(values_SA), START) for values_SA in self._values_SA]
        self._rng, self._memory_rng = seed.numpy("proposals"), seed.numpy("replay")
        self._queue: deque[Choices] = deque()
        self._iteration = 0
        self._fresh: list[tuple[Choices, float]] = []
        self._waiting = 0  # how many of an iteration have been told
        self._memory: dict[Choices, float] = {}
        self._worst: float | None = None

    @property
    def exploration(self) -> float:
        """The probability that a choice of the next iteration is drawn at random."""
        at = (min(self._iteration, self.iterations - 1) + 0.5) / self.iterations * ITERATIONS
        for probability, length in SCHEDULE:
            if at < length:
                return probability
            at -= length
        return SCHEDULE[-1][0]

    def ask(self, n: int = 1) -> list[Proposal]:
        proposals = []
        for _ in range(n):
            if not self._queue:
                self._queue.extend(self._written(self.batch, self.exploration))
                self._iteration += 1
            proposals.append(Proposal(Architecture(self.space.name, self._queue.popleft())))
        return proposals

    def tell(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            self._waiting += 1
            if trial.scores is not None:
                score = trial.scores[0]
                self._worst = score if self._worst is None else min(score, self._worst)
                self._fresh.append((self._choices(trial.arch), self._reward(trial.arch, score)))
            elif trial.status == "failed" and self._worst is not None:
                self._fresh.append((self._choices(trial.arch), self._reward(trial.arch, self._worst)))
            if self._waiting >= self.batch:
                self.learn(self._fresh)
                self._waiting, self._fresh = 0, []

    def learn(self, rewarded: Sequence[tuple[Choices, float]]) -> None:
        """Learn from blocks and their rewards, and again from some that were learnt before."""
        known = list(self._memory.items())
        for choices, reward in rewarded:
            self._updated(choices, reward)
            self._memory[choices] = reward
        if known and self.replayed:
            count = min(self.replayed, len(known))
            for place in self._memory_rng.choice(len(known), count, replace=False).tolist():
                self._updated(*known[place])

    # -- values ------------------------------------------------------------------------------------------------------

    def _reward(self, arch: Architecture, score: float) -> float:
        return score / self.scale + (0.0 if self.guidance is None else self.guidance(arch))

    def _updated(self, choices: Choices, reward: float) -> None:
        """Move the values of what was chosen, the last first, a step towards what it came to."""
        rate, steps = self.learning_rate, self._steps(choices)
        gained = reward
        for place in range(steps - 1, -1, -1):
            state, action = choices[place - 1] if place else 0, choices[place]
            values_A = self._values_SA[place][state]
            old = float(values_A[action])
            new = (1 - rate) * old + rate * gained
            values_A[action] = new
            best_S = self._best_S[place]
            if new >= best_S[state]:
                best_S[state] = new
            elif old == best_S[state]:
                best_S[state] = values_A.max()
            gained = reward / steps + self.discount * float(best_S[state])

    def _steps(self, choices: Choices) -> int:
        """How many choices were made: those up to the end of a block, that included."""
        if not self._ends:
            return len(choices)
        return next((place + 1 for place, choice in enumerate(choices) if place and choice == END), len(choices))

    # -- writing -----------------------------------------------------------------------------------------------------

    def _written(self, count: int, exploration: float) -> list[Choices]:
        """So many architectures, independent of one another."""
        found: list[Choices] = []
        for _ in range(PATIENCE):
            drawn_NT = self._drawn(count - len(found), exploration)
            found += [choices for choices in map(tuple, drawn_NT.tolist()) if self._is_legal(choices)]
            if len(found) == count:
                return found
        return found + [self._choices(self.space.sample(self._rng)) for _ in range(count - len(found))]

    def _is_legal(self, choices: Choices) -> bool:
        # What is outside a closed world becomes the nearest inside; blocks are legal as they are written.
        return self._ends or isinstance(self.space, Closed) or self.space.is_legal(choices)

    def _drawn(self, count: int, exploration: float) -> Integers:
        """Choices of so many architectures, (N, T)."""
        written_NT = np.full((count, len(self._values_SA)), END, np.int64)
        living_N = np.arange(count)
        for place, (values_SA, best_S) in enumerate(zip(self._values_SA, self._best_S, strict=True)):
            states_N = written_NT[living_N, place - 1] if place else np.zeros(len(living_N), np.int64)
            chosen_N = self._rng.integers(values_SA.shape[1], size=len(living_N))
            greedy = np.flatnonzero(self._rng.random(len(living_N)) >= exploration)
            if len(greedy):
                rows_NA = values_SA[states_N[greedy]] == best_S[states_N[greedy], None]
                # Of equal ones each is as likely.
                chosen_N[greedy] = (rows_NA * self._rng.random(rows_NA.shape)).argmax(axis=1)
            written_NT[living_N, place] = chosen_N
            if self._ends and place:
                living_N = living_N[chosen_N != END]
        return written_NT

    def _choices(self, arch: Architecture) -> Choices:
        return tuple(int(choice) for choice in arch.choices)

    # -- the state, in and out ---------------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        names = ("iterations", "batch", "replayed", "learning_rate", "discount", "scale")
        given = {name: getattr(self, name) for name in names}
        guidance = None if self.guidance is None else repr(self.guidance)
        return {"space": self.space.name, "variables": len(self._values_SA), **given, "guidance": guidance}

    def state(self) -> dict[str, Any]:
        learnt = []
        for values_SA in self._values_SA:
            places = np.flatnonzero(values_SA != START)
            learnt.append([places.tolist(), values_SA.ravel()[places].tolist()])
        return {
            "rng": [self._rng.bit_generator.state, self._memory_rng.bit_generator.state],
            "values": learnt,
            "queue": list(map(list, self._queue)),
            "iteration": self._iteration,
            "fresh": [[list(choices), reward] for choices, reward in self._fresh],
            "waiting": self._waiting,
            "memory": [[list(choices), reward] for choices, reward in self._memory.items()],
            "worst": self._worst,
        }

    def restore(self, state: dict[str, Any]) -> None:
        for values_SA, best_S, (places, values) in zip(self._values_SA, self._best_S, state["values"], strict=True):
            values_SA.fill(START)
            values_SA.ravel()[np.array(places, np.int64)] = values
            best_S[:] = values_SA.max(axis=1)
        self._queue = deque(tuple(choices) for choices in state["queue"])
        self._iteration, self._waiting = int(state["iteration"]), int(state["waiting"])
        self._fresh = [(tuple(choices), float(reward)) for choices, reward in state["fresh"]]
        self._memory = {tuple(choices): float(reward) for choices, reward in state["memory"]}
        self._worst = None if state["worst"] is None else float(state["worst"])
        self._rng.bit_generator.state, self._memory_rng.bit_generator.state = state["rng"]


@dataclass(frozen=True, slots=True)
class Guided:
    """How much an architecture is like an expert's, times the weight of the imitation."""

    imitation: Imitation

    def __call__(self, arch: Architecture) -> float:
        """Nothing where the weight is 0."""
        return self.imitation.weight * self.imitation.likeness(arch) if self.imitation.weight else 0.0


def irlas(
    space: SearchSpace,
    seed: Seed,
    *,
    expert: str = "resnext",  # IRLAS, abstract
    weight: float = 0.1,
    form: Literal["mirror", "distance"] = "mirror",
    feature_discount: float = 0.9,
    rounds: int = 16,
    iterations: int = ITERATIONS,
    batch: int = 64,
    replayed: int = 64,
    learning_rate: float = 0.01,
    discount: float = 1.0,
    scale: float = 100.0,
) -> QLearning:
    """Q-learning whose reward also says how much a block is like that of an expert, in spaces of blocks.

    `expert` is resnet, resnext, densenet, inception, mobilenet_v2 or the code of a block; `weight` is λ, beside a
    reward between 0 and 1: with 0 this is `qlearning`, trial for trial. `weight`, `feature_discount` and `rounds` of
    inverse reinforcement learning are ours, as the paper does not say them; `form` as of the objective `imitation`.
    """
    imitation = Imitation(
        expert=expert,
        weight=weight,
        form=form,
        discount=feature_discount,
        rounds=rounds,
    )
    imitation.likeness(space.sample(seed.numpy("expert")))  # refuses a space or an expert at once
    return QLearning(
        space,
        seed,
        iterations=iterations,
        batch=batch,
        replayed=replayed,
        learning_rate=learning_rate,
        discount=discount,
        scale=scale,
        guidance=Guided(imitation),
    )
