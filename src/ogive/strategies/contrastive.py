"""CTNAS: a controller learns to write architectures that a comparator takes for better than a baseline.

Chen et al., "Contrastive Neural Architecture Search with Neural Architecture Comparators", CVPR 2021, with the numbers
of its public code (chenyaofo/CTNAS, ctnas/core/config.py and train.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.predictor import Observed, Predictor
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Budget
from ogive.predictors.comparator import BETAS, Comparator
from ogive.strategies.controller import Policy, PolicyGradient, Script, script_of
from ogive.strategies.guided import Guided
from ogive.training.threads import threads

__all__ = ["Contrast", "ContrastiveRecipe", "ContrastiveSearch", "ctnas"]

# chenyaofo/CTNAS, config.py: pairs that are kept the first time, and after that; of the pairs of twice as many.
FIRST_PAIRS, MORE_PAIRS = 256, 100
WEIGHT_DECAY = 5e-4  # of the controller; the same
# So many architectures are drawn at the end for each that is to be proposed.
DRAWS = 20
# What the paper labels in NAS-Bench-101.
LABELS = 423

Pair = tuple[Architecture, Architecture, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastiveRecipe:
    """How a controller is trained: in each of `iterations` it writes one architecture.

    The reward is the probability of being better than the baseline, an architecture, and `entropy_weight` times the
    entropy of what was written. Every `update_every` iterations the best of `candidates` that the controller writes
    becomes the baseline (`baseline=updated`, as published), or only if it is better (`best`), or never (`fixed`, a
    random one). Every `explore_every` iterations pairs of what it writes, of which the comparator is most sure, are
    added to those that the comparator learns from for another epoch: `exploration=two_sided` as in the paper,
    `one_sided` as in its code, which only takes pairs whose first is the better one, or `off`.
    """

    iterations: int = 10_000  # chenyaofo/CTNAS, config.py, as are the others
    controller_learning_rate: float = 2e-4
    entropy_weight: float = 5e-4
    update_every: int = 500
    candidates: int = 10
    baseline: Literal["updated", "best", "fixed"] = "updated"
    explore_every: int = 100
    exploration: Literal["two_sided", "one_sided", "off"] = "two_sided"

    def __post_init__(self) -> None:
        for name in ("iterations", "update_every", "candidates", "explore_every"):
            if getattr(self, name) < 1:
                raise SpecError(f"{name} must be at least 1, but got {getattr(self, name)}.")
        if not 0 < self.controller_learning_rate < math.inf or not 0 <= self.entropy_weight < math.inf:
            raise SpecError(
                "A controller needs controller_learning_rate > 0 and entropy_weight >= 0, but got "
                f"{self.controller_learning_rate}, {self.entropy_weight}."
            )


class Contrast:
    """A controller in training against a comparator, which goes on learning from what the controller writes.

    `written`, `rewards` and `entropies` are those of each iteration, `baselines` the baselines so far and `found` all
    candidates.
    """

    def __init__(self, comparator: Comparator, space: SearchSpace, recipe: ContrastiveRecipe, *, seed: Seed) -> None:
        self.comparator, self.recipe = comparator.twin(), recipe
        self.script: Script = script_of(space)
        self.policy = Policy(self.script, seed=seed.integer("controller"))
        self.gradient = PolicyGradient(
            self.policy,
            learning_rate=recipe.controller_learning_rate,
            entropy_weight=recipe.entropy_weight,
            betas=BETAS,
            weight_decay=WEIGHT_DECAY,
        )
        self.written: list[Architecture] = []
        self.rewards: list[float] = []
        self.entropies: list[float] = []
        self.baselines = [space.sample(seed.numpy("baseline"))]
        self.found: dict[Architecture, None] = {}
        self._rng, self._learning = seed.numpy("controller"), seed.numpy("exploration")
        self._pairs: list[Pair] = []
        self._sides: dict[Architecture, tuple[float, float]] = {}

    def train(self) -> None:
        """All iterations."""
        for iteration in range(self.recipe.iterations):
            if self.recipe.exploration != "off" and iteration % self.recipe.explore_every == 0:
                self._explore(MORE_PAIRS if self._pairs else FIRST_PAIRS)
            if iteration % self.recipe.update_every == 0:
                self._update()
            self._iterate()

    def finalists(self, count: int, known: Sequence[Architecture]) -> list[Architecture]:
        """Winners of a tournament of all against all, without those that are known: the best first.

        The candidates of all updates take part, and what the controller writes now.
        """
        last = self._sampled(max(self.recipe.candidates, DRAWS * count))
        rivals = [arch for arch in dict.fromkeys((*self.found, *last)) if arch not in {*known}]
        strengths = np.array([first for first, _ in self._side_of(rivals)])
        return [rivals[place] for place in np.argsort(-strengths, kind="stable")[:count].tolist()]

    def _iterate(self) -> None:
        words = self.policy.sample(1, self._rng)
        arch = self.script.architecture(words[0])
        reward = self._probability(arch, self.baselines[-1])
        self.entropies.append(self.gradient.step(words, [reward]))
        self.written.append(arch)
        self.rewards.append(reward)

    def _update(self) -> None:
        """Let candidates compete to be the baseline."""
        drawn = self._sampled(self.recipe.candidates)
        self.found |= dict.fromkeys(drawn)
        rivals = drawn if self.recipe.baseline == "updated" else [*self.baselines[-1:], *drawn]
        if self.recipe.baseline != "fixed":
            # Who wins most against all is who brings most to a pair as its first.
            self.baselines.append(max(rivals, key=lambda arch: self._side(arch)[0]))

    def _explore(self, count: int) -> None:
        """Learn from the pairs of two times so many architectures of which the comparator is most sure."""
        firsts, seconds = self._sampled(count), self._sampled(count)
        first, second = np.array(self._side_of(firsts))[:, 0], np.array(self._side_of(seconds))[:, 1]
        logits = first[:, None] + second[None]
        sure = np.abs(logits) if self.recipe.exploration == "two_sided" else logits
        chosen = np.argsort(-sure, axis=None, kind="stable")[:count]
        for one, other in zip(*np.unravel_index(chosen, logits.shape), strict=True):
            better = bool(logits[one, other] >= 0) or self.recipe.exploration == "one_sided"
            self._pairs.append((firsts[one], seconds[other], better))
        self.comparator.learn(self._pairs, self._learning)
        self._sides.clear()

    def _sampled(self, count: int) -> list[Architecture]:
        return [self.script.architecture(words) for words in self.policy.sample(count, self._rng)]

    def _probability(self, arch: Architecture, other: Architecture) -> float:
        return float(1 / (1 + np.exp(-self._side(arch)[0] - self._side(other)[1])))

    def _side(self, arch: Architecture) -> tuple[float, float]:
        return self._side_of([arch])[0]

    def _side_of(self, archs: Sequence[Architecture]) -> list[tuple[float, float]]:
        """What architectures bring to a pair as its first and as its second; remembered while nothing is learnt."""
        new = [arch for arch in dict.fromkeys(archs) if arch not in self._sides]
        if new:
            self._sides |= zip(
                new, zip(*(side.tolist() for side in self.comparator.sides(new)), strict=True), strict=True
            )
        return [self._sides[arch] for arch in archs]


class ContrastiveSearch:
    """What a controller writes that was trained against the comparator `nac`: winners that nobody has measured."""

    def __init__(self, *, space: SearchSpace, recipe: ContrastiveRecipe = ContrastiveRecipe()) -> None:
        script_of(space)  # refuses spaces that cannot be written
        self.space, self.recipe = space, recipe

    @property
    def rounds(self) -> int:
        """How often pairs are explored: with as many iterations after each."""
        return math.ceil(self.recipe.iterations / self.recipe.explore_every)

    def lasting(self, rounds: int) -> ContrastiveSearch:
        """The same with so many explorations."""
        recipe = replace(self.recipe, iterations=rounds * self.recipe.explore_every)
        return ContrastiveSearch(space=self.space, recipe=recipe)

    def offered(
        self, predictor: Predictor, told: Observed, count: int, rng: np.random.Generator
    ) -> Sequence[Architecture]:
        """At most `count`, the best first."""
        if not isinstance(predictor, Comparator):
            raise SpecError(
                f"A controller of CTNAS learns from a comparator, as in guided(nac, controller), but got "
                f"{type(predictor).__name__}."
            )
        contrast = Contrast(predictor, self.space, self.recipe, seed=Seed(int(rng.integers(2**62))))
        with threads(1):
            contrast.train()
            return contrast.finalists(count, told.archs)


def ctnas(
    predictor: Predictor | None = None,
    *,
    space: SearchSpace,
    seed: Seed,
    budget: Budget | None = None,
    start: int | None = None,
    refit: int = 20,
    recipe: ContrastiveRecipe = ContrastiveRecipe(),
) -> Guided:
    """CTNAS: a comparator is fitted on measured architectures, and a controller learns to write what it prefers.

    The first `start` architectures are random, by default half of the budget's and 423 at most, as in the paper. Then
    the comparator, by default ``nac``, is fitted, and a controller trained against it, whose `refit` best are measured;
    with these it begins anew, while the budget lasts.
    """
    if start is None:
        trials = budget.trials if budget is not None else None
        start = LABELS if trials is None else min(LABELS, max(2, trials // 2))
    comparator = Comparator(space=space, seed=seed) if predictor is None else predictor
    if not isinstance(comparator, Comparator):
        raise SpecError(
            f"ctnas(...) is guided by a comparator, nac or nac(epochs=500), but got {type(comparator).__name__}."
        )
    search = ContrastiveSearch(space=space, recipe=recipe)
    return Guided(comparator, search, space=space, seed=seed, budget=budget, start=start, refit=refit, offered=refit)
