"""ReNAS as a strategy: a predictor taught by pairs is the fitness of an evolution."""

from __future__ import annotations

from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Budget
from ogive.predictors.renas import ReNAS, ReNASRecipe
from ogive.strategies.guided import Guided
from ogive.strategies.proposers import Evolved

__all__ = ["renas"]

PUBLISHED = ReNASRecipe()


def renas(
    *,
    space: SearchSpace,
    seed: Seed,
    budget: Budget | None = None,
    recipe: ReNASRecipe = PUBLISHED,
    start: int = 90,
    refit: int = 10,  # as many of the best predicted are looked up by the paper's public code
    offered: int = 1000,
    generations: int = 20,
) -> Guided:
    """Measures random architectures, then those that evolution finds fittest by a predictor that pairs taught.

    Xu et al., "ReNAS", CVPR 2021, as ``guided(renas, evolution)``: the first `start` architectures are labels, 424 in
    NAS-Bench-101; then each fit of the predictor is searched by `generations` of mutations, `offered` in all, of which
    the `refit` best are measured. Labels are what the search measures, so the validation accuracy; the public code has
    the test accuracy.
    """
    predictor, proposer = ReNAS(space=space, seed=seed, recipe=recipe), Evolved(space=space, generations=generations)
    return Guided(predictor, proposer, space=space, seed=seed, budget=budget, start=start, refit=refit, offered=offered)
