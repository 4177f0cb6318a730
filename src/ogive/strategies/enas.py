"""ENAS: a controller writes architectures, and learns which are good with weights that all of them share.

Pham et al., "Efficient Neural Architecture Search via Parameter Sharing", ICML 2018.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import torch

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.strategies.gradient import recorded
from ogive.strategies.supernet import Method, Size, SupernetStrategy
from ogive.supernets.controlled import ControlledSearch, ControllerRecipe
from ogive.supernets.controller import controlled_paths
from ogive.supernets.gates import Gate, SinglePath
from ogive.supernets.history import REPORT_S
from ogive.supernets.networks import Supernet
from ogive.supernets.paths import check_paths
from ogive.supernets.search import ArchitectureRecipe, Search, WeightsRecipe, shared_score
from ogive.supernets.sharing import sharing_of
from ogive.training.lossy import Lossy, predicting
from ogive.training.threads import threads as torch_threads

__all__ = ["Controlled", "SampledPath", "enas"]


@dataclass(frozen=True)
class Controlled:
    """A controller, an LSTM of `hidden` units, that is taught by policy gradient which paths do well."""

    recipe: ControllerRecipe
    hidden: int

    @property
    def gate(self) -> Gate:
        """One path a step."""
        return SinglePath()

    @property
    def architecture(self) -> ArchitectureRecipe:
        """No architecture parameters are trained."""
        return ArchitectureRecipe(order=0)

    def lasting(self, warm_epochs: int) -> Controlled:
        """The same: nothing waits."""
        return self

    def search(self, network: Supernet, halves: tuple[Lossy, Lossy], run: SupernetStrategy) -> Search:
        """The search of ENAS."""
        paths = controlled_paths(network, seed=run.seed.integer("controller"), hidden=self.hidden)
        return ControlledSearch(
            *(network, paths, predicting(halves[0]), predicting(halves[1]), run.weights.recipe, self.recipe),
            seed=run.seed,
            device=run.device,
            optimiser=run.weights.optimiser,
        )

    def short(self) -> Controlled:
        """With one step of the controller."""
        return replace(self, recipe=replace(self.recipe, controller_steps=1))

    def left_out_s(self, run: SupernetStrategy) -> float:
        """Seconds of the steps of the controller in an epoch, but for one."""
        search, steps = _controlled(run.search), self.recipe.controller_steps - 1
        tried = min(2, steps)
        if not tried or not search.paths.controller.decisions:
            return 0.0
        search.rule = replace(self.recipe, controller_steps=tried)
        started = time.perf_counter()
        with torch_threads(run.threads):
            search.teach(0)
        return (time.perf_counter() - started) / tried * steps

    def told(self, search: Search) -> str:
        """How well its paths do."""
        made = _controlled(search)
        score = made.alphas_task.score
        told = score.words(score.told(abs(made.reward)))
        return "" if math.isnan(made.reward) else f", paths of the controller: {told}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledPath:
    """The best of the paths that a controller samples, by draws that depend on the number of epochs."""

    candidates: int = 10  # D-X-Y/AutoDL-Projects, NAS-Bench-201-algos/ENAS.py
    final_candidates: int = 100  # the same, its script

    def __post_init__(self) -> None:
        for word in ("candidates", "final_candidates"):
            if getattr(self, word) < 1:
                raise SpecError(f"{word} must be at least 1, but got {getattr(self, word)}.")

    def __call__(self, run: SupernetStrategy) -> Architecture:
        search = _controlled(run.search)
        done = len(search.history)
        count = self.final_candidates if done >= run.epochs else self.candidates
        draw = torch.Generator().manual_seed(run.seed.child(f"selection {done}").integer("candidates"))
        with torch.no_grad():
            written = search.paths.controller.sample(count, draw)
        found: dict[Architecture, float] = {}
        reported = time.perf_counter()
        for number, cells in enumerate(written.cells):
            arch = search.paths.architecture(cells)
            if arch not in found:
                found[arch] = shared_score(search.supernet, search.supernet.path(arch), search.alphas_task)
            if run.progress is not None and time.perf_counter() - reported > REPORT_S:
                reported = time.perf_counter()
                run.progress(f"candidate {number + 1} of {count} after epoch {done}")
        return max(found, key=found.__getitem__)

    def compared(self, epochs: int) -> int:
        """All but one an epoch."""
        return epochs * (self.candidates - 1) + self.final_candidates - self.candidates

    def short(self) -> SampledPath:
        """With one candidate."""
        return replace(self, candidates=1)


def _controlled(search: Search) -> ControlledSearch:
    assert isinstance(search, ControlledSearch)
    return search


def enas(
    *,
    space: SearchSpace,
    task: Lossy,
    seed: Seed,
    device: str = "cpu",
    threads: int | None = None,
    size: Size = Size(),  # noqa: B008 - frozen, as are all records
    derive: SampledPath = SampledPath(),
    hidden: int = 32,  # D-X-Y/AutoDL-Projects, search_model_enas_utils.py
    weights: WeightsRecipe = WeightsRecipe(  # noqa: B008
        epochs=310,  # the same, configs/nas-benchmark/algos/ENAS.config, as is all of this
        batch_size=128,
        learning_rate=0.05,
        final_learning_rate=0.0005,
        nesterov=True,
        weight_decay=2.5e-4,
    ),
    controller: ControllerRecipe = ControllerRecipe(),  # noqa: B008
    progress: Callable[[str], None] | None = None,
) -> SupernetStrategy:
    """ENAS: an epoch trains shared weights on sampled paths, then the controller that samples; the best is proposed.

    The weights learn from one half of the training images, one path of the controller a step. The controller, an LSTM
    of `hidden` units, then takes `controller_steps` steps of policy gradient, each on `controller_samples` paths whose
    reward is the accuracy on a batch of the other half; see `ControllerRecipe` for the rest of its options. Then
    `candidates` paths are sampled, after the last epoch `final_candidates`, and the one with the best accuracy on all
    of the other half is proposed, each with batch statistics of its own. The published code compares them on a batch
    each. No architecture parameters are trained.

    `swing_epochs`: the learning rate falls along a cosine for so many epochs, and then rises again as long, in turn;
    none for one fall over all epochs.
    """
    if hidden < 1:
        raise SpecError(f"hidden must be at least 1, but got {hidden}.")
    task = predicting(task)
    check_paths(sharing_of(space).plan)
    rule = {f"controller {name.removeprefix('controller_')}": value for name, value in asdict(controller).items()}
    options = recorded(size, **asdict(derive), hidden=hidden, **rule)
    method = Method(Controlled(controller, hidden), derive, options=options)
    return SupernetStrategy(
        method, space, task, seed, size=size, weights=weights, device=device, threads=threads, progress=progress
    )
