"""Neural Architecture Optimization as a strategy: the predictor and the proposer of the paper, with its numbers."""

from __future__ import annotations

from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Budget
from ogive.predictors.nao import Nao, NaoSettings
from ogive.strategies.guided import Guided
from ogive.strategies.proposers import Ascent

__all__ = ["nao"]


PUBLISHED = NaoSettings()


def nao(
    *,
    space: SearchSpace,
    seed: Seed,
    budget: Budget | None = None,
    settings: NaoSettings = PUBLISHED,
    start: int = 600,  # Luo et al., NeurIPS 2018; the published code of NAO with weight sharing, as is all below
    refit: int = 300,
    seeds: int = 100,
    largest_step: int = 50,
) -> Guided:
    """Climbs the gradient of a predictor between encoder and decoder: ``guided(nao, ascent)`` with the paper's numbers.

    The first `start` architectures are random; then each round fits the predictor on all that was measured and
    measures the `refit` architectures that stand further up from the `seeds` best. ``nao(preset=semi_nas)`` labels
    10,000 architectures by itself (Luo et al., "Semi-Supervised NAS", NeurIPS 2020).
    """
    predictor = Nao(space=space, seed=seed, settings=settings)
    proposer = Ascent(space=space, seeds=seeds, largest_step=largest_step)
    return Guided(predictor, proposer, space=space, seed=seed, budget=budget, start=start, refit=refit, offered=refit)
