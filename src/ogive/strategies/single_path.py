"""One-shot search: train a supernet on random paths, and look for the best path with the weights that they share.

Guo et al., "Single Path One-Shot Neural Architecture Search with Uniform Sampling", ECCV 2020.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from ogive.core.architecture import Architecture
from ogive.core.capabilities import Answer
from ogive.core.errors import SpecError, shortened
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Cost, Measurement, Proposal, Status, Trial
from ogive.networks.build import WeightSource
from ogive.strategies.gradient import Differentiable, recorded
from ogive.strategies.local import RegularizedEvolution
from ogive.strategies.state import Resumable
from ogive.strategies.supernet import Method, Size, SupernetStrategy
from ogive.supernets.gates import SinglePath
from ogive.supernets.paths import check_paths
from ogive.supernets.search import ArchitectureRecipe, WeightsRecipe, shared_score
from ogive.supernets.sharing import sharing_of
from ogive.training.lossy import predicting
from ogive.training.task import Task
from ogive.training.threads import threads as torch_threads
from ogive.weights.estimates import Estimates
from ogive.weights.source import Divided, Holds

__all__ = ["EvolvedPath", "SharedPaths", "spos"]

FEW = 4  # paths that a rehearsal measures


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

        def score(arch: Architecture) -> float:
            return shared_score(search.supernet, search.supernet.path(arch), search.alphas_task)

        return self.best(_paths(run), run.seed.child(f"selection {len(search.history)}"), score)[0]

    def best(
        self, space: SearchSpace, seed: Seed, score: Callable[[Architecture], float]
    ) -> tuple[Architecture, float]:
        """The path with the largest score that evolution finds, and its score; what is infinite or NaN has failed."""
        evolution = RegularizedEvolution(space, seed, population=self.population, tournament=self.tournament)
        found: dict[Architecture, float] = {}
        for number in range(self.candidates):
            (proposal,) = evolution.ask()
            if (arch := proposal.arch) not in found:
                found[arch] = score(arch)
            status: Status = "ok" if math.isfinite(found[arch]) else "failed"
            scores = (found[arch],) if status == "ok" else None
            evolution.tell([Trial(number, proposal, Measurement({"score": found[arch]}), status, scores)])
        best = max(found, key=lambda arch: found[arch] if math.isfinite(found[arch]) else -math.inf)
        return best, found[best]

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
    return _held(run.space, run.part.holds)


def _held(space: SearchSpace, holds: Holds) -> SearchSpace:
    """The architectures of a space that a part of a supernet holds."""
    return SearchSpace(
        space.name, space.variables, space.draw, lambda choices: holds(Architecture(space.name, choices))
    )


class SharedPaths(Resumable):
    """The best path by weights that are there already, once; nothing of them is changed.

    Paths are compared by what the task measures on its validation part with the weights of a source (`Estimates`).
    `within` the parts of a source, each is searched by itself, and what is proposed is the best path of all parts so
    far. What prepares the weights is part of the cost of the first proposal, if nobody prepared them before.
    """

    answer: Answer = "last"
    divisible = True
    save_every = 1  # a proposal is expensive

    def __init__(
        self,
        derive: EvolvedPath,
        space: SearchSpace,
        estimates: Estimates,
        seed: Seed,
        *,
        threads: int | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self.derive, self.space, self.seed, self.threads, self.progress = derive, space, seed, threads, progress
        self._estimates = estimates
        self._found: list[tuple[Architecture, float]] = []
        self._divided: Divided | None = None
        self._prepared = False

    @property
    def parts(self) -> tuple[WeightSource]:
        """The weights, which rehearse for themselves."""
        return (self._estimates.weights,)

    def in_parts(self) -> Self:
        """The same in each part of the source; SpecError if it has none."""
        weights = self._estimates.weights
        if not isinstance(weights, Divided):
            raise SpecError(
                "few_shot searches the parts of a supernet, and the weights of this search have none: give --weights "
                '"parts(split=0)", or write spos.'
            )
        within = copy.copy(self)
        within._divided, within._found = weights, []
        return within

    @property
    def proposals(self) -> float:
        """One, or one for each part, of which nobody knows how many there are before the weights are prepared."""
        if self._divided is None:
            return 1
        return len(self._divided.holdings()) if self._prepared else math.inf

    @property
    def best(self) -> tuple[Architecture, float]:
        """The best path so far, and its score, which is larger where it is better; SpecError before the first."""
        if not self._found:
            raise SpecError("Nothing is found before the first proposal.")
        return max(self._found, key=lambda found: found[1])

    def ask(self, n: int = 1) -> list[Proposal]:
        """Search so many parts, and propose after each the best path so far."""
        proposals: list[Proposal] = []
        while len(proposals) < n:
            started = time.perf_counter()
            with torch_threads(self.threads):
                self._prepare(self.progress)
                if len(self._found) >= self.proposals:
                    break
                self._search()
            proposals.append(Proposal(self.best[0], cost=Cost(time.perf_counter() - started)))
        return proposals

    def tell(self, trials: Sequence[Trial]) -> None:
        """Nothing is learnt from measurements: paths are compared with shared weights."""

    def rehearse(self) -> float:
        """About how many seconds all proposals take, by a few random paths; those of the weights are not counted."""
        rng = self.seed.numpy("rehearsal")
        with torch_threads(self.threads):
            own_s = self._estimates.rehearse()
            self._prepare(None)
            self._score(self.space.sample(rng), [])  # the first work of a process takes longer than the rest
            started = time.perf_counter()
            for _ in range(FEW):
                self._score(self.space.sample(rng), [])
        return own_s + (time.perf_counter() - started) / FEW * self.derive.candidates * self.proposals

    def _prepare(self, tell: Callable[[str], None] | None) -> None:
        self._estimates.prepare(tell)
        self._prepared = True

    def _search(self) -> None:
        """Search the whole space, or the next part."""
        number, space, where, mishaps = len(self._found), self.space, "", list[str]()
        if self._divided is not None:
            name, holds = self._divided.holdings()[number]
            space, where = _held(self.space, holds), f"part {number + 1} of {self.proposals} ({name}): "
        seed = self.seed.child(f"selection {number}")
        arch, score = self.derive.best(space, seed, lambda arch: self._score(arch, mishaps))
        if not math.isfinite(score):
            raise SpecError(f"No path could be measured with these weights, the first for this: {mishaps[0]}")
        self._found.append((arch, score))
        if self.progress is not None:
            metric = self._estimates.metric
            self.progress(f"{where}{metric.name} {abs(score):.3f} of the best of {self.derive.candidates} paths")

    def _score(self, arch: Architecture, mishaps: list[str]) -> float:
        """What a path is worth, larger for better; minus infinity for one that fails, and why."""
        try:
            value = self._estimates.value(arch)
        except Exception as mishap:  # noqa: BLE001 - whatever one path runs into must not cost the others
            mishaps.append(shortened(f"{type(mishap).__name__}: {mishap}".splitlines()[0]))
            return -math.inf
        if not math.isfinite(value):
            mishaps.append("the estimate is no finite number")
            return -math.inf
        return self._estimates.metric.sign * value

    def settings(self) -> dict[str, Any]:
        of_parts = self._divided is not None
        return {"space": self.space.name, "in parts": of_parts, "seed": [self.seed.root, *self.seed.path]} | asdict(
            self.derive
        )

    def state(self) -> dict[str, Any]:
        return {"found": [[str(arch), score] for arch, score in self._found]}

    def restore(self, state: dict[str, Any]) -> None:
        self._found = [(Architecture.parse(text), float(score)) for text, score in state["found"]]


def spos(
    *,
    space: SearchSpace,
    task: Task[Any],
    seed: Seed,
    device: str = "cpu",
    threads: int | None = None,
    size: Size = Size(),  # noqa: B008 - frozen, as are all records
    derive: EvolvedPath = EvolvedPath(),
    weights: WeightsRecipe | WeightSource = WeightsRecipe(),  # noqa: B008
    progress: Callable[[str], None] | None = None,
) -> SupernetStrategy | SharedPaths:
    """Uniform single paths for an epoch, then evolution on the scores of `candidates` paths; the best is proposed.

    The weights learn from one half of the training samples, one random path a step; paths are compared on the other
    half, each with batch statistics of its own. No architecture parameters are trained. The options are those of
    `darts`; `population` and `tournament` are those of the evolution, which begins anew after each epoch.

    Where `weights` are given to the whole search (``--weights "supernet(epochs=20)"``), nothing is trained here:
    evolution looks at the paths of these weights once, on the validation part, as all training samples may have taught
    them, and the search is over after that proposal.
    """
    if not isinstance(weights, WeightsRecipe):
        if size.partial != 1:
            raise SpecError("The weights of this search say how many channels take part: leave out partial.")
        estimates = Estimates(weights, task, seed, device=device)
        return SharedPaths(derive, space, estimates, seed, threads=threads, progress=progress)
    known = predicting(task)
    check_paths(sharing_of(space).plan)
    learner = Differentiable(SinglePath(), ArchitectureRecipe(order=0))
    method = Method(learner, derive, options=recorded(size, **asdict(derive)))
    return SupernetStrategy(
        method, space, known, seed, size=size, weights=weights, device=device, threads=threads, progress=progress
    )
