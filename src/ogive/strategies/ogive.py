"""The search of this project: a Gaussian process on live structure, asked for its upper confidence bound every time."""

from __future__ import annotations

import numpy as np

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.predictor import Proposer
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Budget
from ogive.predictors.blend import Blend
from ogive.predictors.bounds import UpperConfidenceBound
from ogive.strategies.guided import Guided
from ogive.strategies.proposers import Evolved, Exhaustive
from ogive.strategies.unseen import Unseen
from ogive.structure import live_weight

__all__ = ["Heaviest", "ogive"]

# So many random architectures say what is heavy, and are drawn for one that is.
DRAWN = 1_000
# They are rated in batches of so many.
BATCH = 20


def ogive(
    *,
    space: SearchSpace,
    seed: Seed,
    budget: Budget | None = None,
    start: int = 3,
    deviations: float = 2.0,
    heaviest: float = 0.25,
    refit: int = 1,
    trees: int = 0,
    boosts: int = 0,
    offered: int = 1000,
    rated: int = 50_000,
) -> Guided:
    """A guided search with the predictor `ogive`, its trees left out, and a bound so many `deviations` above the mean.

    The first `start` proposals are random ones of the `heaviest` part of the space by weights that reach the output.
    Spaces of up to `rated` architectures are rated as a whole for every proposal, of larger ones about `offered`
    mutations of the best. `start`, `deviations` and `heaviest`
    were chosen on the validation accuracies of CIFAR-10 in NAS-Bench-201, with seeds from 1000 on.
    """
    predictor = Blend(space=space, seed=seed.child("predictor"), trees=trees, boosts=boosts)
    proposer: Proposer = Exhaustive(space=space) if space.size <= rated else Evolved(space=space)
    return Guided(
        UpperConfidenceBound(predictor, deviations=deviations),
        proposer,
        space=space,
        seed=seed,
        budget=budget,
        start=start,
        refit=refit,
        offered=offered,
        opening=Heaviest(heaviest, space=space),
    )


class Heaviest:
    """Random architectures of the part of a space that has most weights on its way to the output."""

    def __init__(self, share: float, *, space: SearchSpace) -> None:
        if not 0 < share <= 1:
            raise SpecError(f"The heaviest part of a space lies in (0, 1], but got heaviest={share}.")
        self.share, self.space = share, space
        self._weight = live_weight(space=space)
        rng = Seed(0).child(space.name).numpy("heaviest")
        self._least = float(np.quantile(self._weight([space.sample(rng) for _ in range(DRAWN)])[:, 0], 1 - share))

    def draw(self, unseen: Unseen, rng: np.random.Generator) -> Architecture | None:
        """One that was not proposed, which thereby counts as proposed; any other where a thousand draws find none."""
        for _ in range(DRAWN // BATCH):
            drawn = [self.space.sample(rng) for _ in range(BATCH)]
            heavy = self._weight(drawn)[:, 0] >= self._least
            for arch in (one for one, enough in zip(drawn, heavy, strict=True) if enough and one in unseen):
                unseen.remove(arch)
                return arch
        return unseen.draw(rng)
