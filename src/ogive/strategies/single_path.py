"""One-shot search: train a supernet on random paths, and look for the best path with the weights that they share.

Guo et al., "Single Path One-Shot Neural Architecture Search with Uniform Sampling", ECCV 2020.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Measurement, Trial
from ogive.strategies.gradient import Differentiable, recorded
from ogive.strategies.local import RegularizedEvolution
from ogive.strategies.supernet import Method, Size, SupernetStrategy
from ogive.supernets.gates import SinglePath
from ogive.supernets.paths import check_paths
from ogive.supernets.search import ArchitectureRecipe, WeightsRecipe, shared_score
from ogive.supernets.sharing import sharing_of
from ogive.training.lossy import Lossy, predicting

__all__ = ["EvolvedPath", "spos"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvolvedPath:
    """The best path that evolution finds; what it draws depends on the number of epochs alone."""

    candidates: int = 100  # the paper draws them once, after training
    population: int = 50  # the same
    tournament: int = 10

    def __post_init__(self) -> None:
        for word in ("candidates", "population", "tournament"):
            if getattr(self, word) < 1:
                raise SpecError(f"{word} must be at least 1, but got {getattr(self, word)}.")
        if self.tournament > self.population:
            raise SpecError(
                f"A tournament is held within the population of {self.population}, but got {self.tournament}."
            )

    def __call__(self, run: SupernetStrategy) -> Architecture:
        search = run.search
        seed = run.seed.child(f"selection {len(search.history)}")
        evolution = RegularizedEvolution(_paths(run), seed, population=self.population, tournament=self.tournament)
        found: dict[Architecture, float] = {}
        for number in range(self.candidates):
            (proposal,) = evolution.ask()
            arch = proposal.arch
            if arch not in found:
                found[arch] = shared_score(search.supernet, search.supernet.path(arch), search.alphas_task)
            measured = Measurement({"score": found[arch]})
            evolution.tell([Trial(number, proposal, measured, "ok", (found[arch],))])
        return max(found, key=found.__getitem__)

    def compared(self, epochs: int) -> int:
        """All but one an epoch."""
        return epochs * (self.candidates - 1)

    def short(self) -> EvolvedPath:
        """With one candidate."""
        return replace(self, candidates=1)


def _paths(run: SupernetStrategy) -> SearchSpace:
    """What is searched for the best path: in a part of a supernet the architectures that it holds.

    A closed world may have none of those, and draws from all of its rows: a part is searched as if it were open.
    """
    if run.part is None:
        return run.space
    space, holds = run.space, run.part.holds
    return SearchSpace(
        space.name, space.variables, space.draw, lambda choices: holds(Architecture(space.name, choices))
    )


def spos(
    *,
    space: SearchSpace,
    task: Lossy,
    seed: Seed,
    device: str = "cpu",
    threads: int | None = None,
    size: Size = Size(),  # noqa: B008 - frozen, as are all records
    derive: EvolvedPath = EvolvedPath(),
    weights: WeightsRecipe = WeightsRecipe(),  # noqa: B008
    progress: Callable[[str], None] | None = None,
) -> SupernetStrategy:
    """Uniform single paths for an epoch, then evolution on the scores of `candidates` paths; the best is proposed.

    The weights learn from one half of the training samples, one random path a step; paths are compared on the other
    half, each with batch statistics of its own. No architecture parameters are trained. The options are those of
    `darts`; `population` and `tournament` are those of the evolution, which begins anew after each epoch.
    """
    task = predicting(task)
    check_paths(sharing_of(space).plan)
    learner = Differentiable(SinglePath(), ArchitectureRecipe(order=0))
    method = Method(learner, derive, options=recorded(size, **asdict(derive)))
    return SupernetStrategy(
        method, space, task, seed, size=size, weights=weights, device=device, threads=threads, progress=progress
    )
