"""MnasNet's search: a controller writes batches of architectures and learns by proximal policy optimisation.

Tan et al., "MnasNet", CVPR 2019, section 3.2: the controller of NASNet (Zoph et al., CVPR 2018), taught by PPO
(Schulman et al., arXiv:1707.06347) to make the expected reward large. Which reward that is, the objective says
(``latency_tradeoff``). The paper gives neither the clipping nor the passes over a batch; those numbers are ours.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, optim

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Proposal, Trial
from ogive.strategies.controller import Policy, Words, script_of
from ogive.training.threads import threads

__all__ = ["MnasNet", "ProximalGradient", "ProximalRecipe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProximalRecipe:
    """How a controller learns: from each `batch` of results, in `passes` steps of Adam over it.

    A step raises the mean over the batch of min(r A, clip(r, 1 - c, 1 + c) A) plus `entropy_weight` times the entropy,
    where r is the probability of what was written over what it was when it was written, c is `clip`, and A is the
    reward less a moving average of rewards, which keeps `baseline_decay` of itself. The entropy's weight is in the unit
    of the reward, which for accuracies in per cent is a hundredth.
    """

    batch: int = 32
    passes: int = 3
    clip: float = 0.2
    # Ten times NASNet's rate, since thousands of candidates are to teach what tens of thousands did.
    learning_rate: float = 3.5e-3
    entropy_weight: float = 1e-3  # NASNet's 1e-5, of an accuracy in per cent
    baseline_decay: float = 0.95  # NASNet

    def __post_init__(self) -> None:
        for name in ("batch", "passes"):
            if getattr(self, name) < 1:
                raise SpecError(f"{name} of a controller must be at least 1, but got {getattr(self, name)}.")
        if not 0 < self.clip < 1 or not 0 <= self.baseline_decay < 1:
            raise SpecError(
                f"A controller needs 0 < clip < 1 and 0 <= baseline_decay < 1, but got {self.clip}, "
                f"{self.baseline_decay}."
            )
        if not 0 < self.learning_rate < math.inf or not 0 <= self.entropy_weight < math.inf:
            raise SpecError(
                "A controller needs learning_rate > 0 and entropy_weight >= 0, but got "
                f"{self.learning_rate}, {self.entropy_weight}."
            )


class ProximalGradient:
    """Steps of Adam along the clipped objective of a `ProximalRecipe`; `baseline` is None before the first rewards."""

    def __init__(self, policy: Policy, recipe: ProximalRecipe) -> None:
        self.policy, self.recipe = policy, recipe
        self.baseline: float | None = None
        self._optimizer = optim.Adam(policy.parameters(), lr=recipe.learning_rate, foreach=True)

    def logs(self, words: Sequence[Words]) -> Tensor:
        """Log-probabilities of what is written, (B,), without gradients."""
        with torch.no_grad():
            found: Tensor = self.policy(words)[0]
        return found

    def step(self, words: Sequence[Words], before: Tensor, rewards: Sequence[float]) -> float:
        """All passes over a batch, of which `before` are the log-probabilities when it was written.

        Returns the mean entropy before the last of them.
        """
        decay, mean = self.recipe.baseline_decay, sum(rewards) / len(rewards)
        self.baseline = mean if self.baseline is None else decay * self.baseline + (1 - decay) * mean
        advantages = torch.tensor([reward - self.baseline for reward in rewards])
        entropy = math.nan
        for _ in range(self.recipe.passes):
            logs_B, entropies_B = self.policy(words)
            raised = clipped(logs_B - before, advantages, self.recipe.clip) + self.recipe.entropy_weight * entropies_B
            self._optimizer.zero_grad(set_to_none=True)
            (-raised.mean()).backward()
            self._optimizer.step()
            entropy = float(entropies_B.detach().mean())
        return entropy


def clipped(log_ratios: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """min(r A, clip(r, 1 - c, 1 + c) A) of the logarithms of r, (B,) (Schulman et al., eq. 7)."""
    ratios = log_ratios.exp()
    return torch.minimum(ratios * advantages, ratios.clamp(1 - clip, 1 + clip) * advantages)


class MnasNet:
    """The controller proposes what it writes, a batch at a time, and learns whenever a batch of results is there.

    Each result keeps the probability that it had when it was written, so that with proposals in flight the controller
    may have learnt meanwhile. A failed or infeasible trial counts as the worst score so far; before any score, and
    where a candidate was screened out, nothing is learnt from it. The same architecture may be proposed again:
    ``cached(...)`` around an evaluator makes that free.
    """

    divisible = True
    objectives = 1

    def __init__(
        self,
        space: SearchSpace,
        seed: Seed,
        *,
        hidden: int = 100,  # one layer of 100 units is NASNet's, an unverified figure, as are those of the recipe
        recipe: ProximalRecipe = ProximalRecipe(),
    ) -> None:
        if hidden < 1:
            raise SpecError(f"A controller has at least one hidden unit, but got hidden={hidden}.")
        self.script = script_of(space)
        self.policy = Policy(self.script, seed=seed.integer("controller"), hidden=hidden)
        self.gradient = ProximalGradient(self.policy, recipe)
        self._rng = seed.numpy("proposals")
        self._written: deque[tuple[Architecture, Words, Tensor]] = deque()
        self._flying: defaultdict[Architecture, list[tuple[Words, Tensor]]] = defaultdict(list)
        self._results: list[tuple[Words, Tensor, float]] = []
        self._worst: float | None = None

    def ask(self, n: int = 1) -> list[Proposal]:
        return [Proposal(self._next()) for _ in range(n)]

    def tell(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            flying = self._flying.get(trial.arch)
            if not flying:  # the label of an evaluator, which nobody asked for here
                continue
            words, before = flying.pop(0)
            if not flying:
                del self._flying[trial.arch]
            reward = self._reward(trial)
            if reward is None:
                continue
            self._results.append((words, before, reward))
            if len(self._results) == self.gradient.recipe.batch:
                self._learn()

    def _next(self) -> Architecture:
        """What the controller wrote and nobody has proposed yet; a new batch where nothing is left."""
        if not self._written:
            with threads(1):
                drawn = self.policy.sample(self.gradient.recipe.batch, self._rng)
                logs = self.gradient.logs(drawn)
            self._written.extend(zip(self.script.architectures(drawn), drawn, logs, strict=True))
        arch, words, before = self._written.popleft()
        self._flying[arch].append((words, before))
        return arch

    def _reward(self, trial: Trial) -> float | None:
        if trial.scores is not None:
            score = trial.scores[0]
            self._worst = score if self._worst is None else min(score, self._worst)
            return score
        return self._worst if trial.status in ("failed", "infeasible") else None

    def _learn(self) -> None:
        words, before, rewards = zip(*self._results, strict=True)
        with threads(1):
            self.gradient.step(words, torch.stack(before), rewards)
        self._results.clear()
        self._written.clear()  # what is left was written by the controller before it learnt
