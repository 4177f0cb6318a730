"""D-DARTS: differentiable search in a supernet of cells that all differ.

Heuillet, Tabia, Arioui and Youcef-Toumi, "D-DARTS: Distributed Differentiable Architecture Search", 2021
(arXiv:2108.09306); the published code is aheuillet/D-DARTS.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import counted
from ogive.spaces.encoding import RULES, Rule, distance
from ogive.spaces.nested import NestedGenotype
from ogive.spaces.unrestricted import Outline, outline_of
from ogive.strategies.gradient import recorded
from ogive.strategies.supernet import Method, Size, SupernetStrategy
from ogive.supernets.ablation import CellLosses
from ogive.supernets.cells import BETAS, CellRecipe, CellSearch
from ogive.supernets.gates import Gate, Sigmoid
from ogive.supernets.nested import NestedSupernet, genotype_from, starting_alphas
from ogive.supernets.networks import Supernet
from ogive.supernets.search import ArchitectureRecipe, Search, WeightsRecipe
from ogive.training.lossy import Lossy, predicting

__all__ = ["Cellwise", "NearStart", "Nested", "Opening", "ddarts"]

# train_search.py of the published code, as is the next: how many epochs after the warm ones no distance is taken.
UNTAKEN = 5
SETTLED = 4  # how many distances before the last are compared with it


@dataclass(frozen=True)
class Cellwise:
    """Every distinct cell has architecture parameters, an Adam, a cosine and a loss of its own."""

    outline: Outline
    recipe: CellRecipe
    losses: CellLosses
    start: float

    @property
    def gate(self) -> Gate:
        """As in FairDARTS."""
        return Sigmoid()

    @property
    def architecture(self) -> ArchitectureRecipe:
        """What it has in common with that of any search."""
        return ArchitectureRecipe(
            learning_rate=self.recipe.learning_rate,
            weight_decay=self.recipe.weight_decay,
            warm_epochs=self.recipe.waits,
        )

    def lasting(self, warm_epochs: int) -> Cellwise:
        """The same with so many epochs in which the architecture waits."""
        return replace(self, recipe=replace(self.recipe, warm_epochs=warm_epochs))

    def search(self, network: Supernet, halves: tuple[Lossy, Lossy], run: SupernetStrategy) -> Search:
        """The search of D-DARTS."""
        assert isinstance(network, NestedSupernet)
        alphas = starting_alphas(network, self.outline, self.start)
        return CellSearch(
            *(network, alphas, predicting(halves[0]), predicting(halves[1])),
            *(run.weights.recipe, self.recipe, self.losses),
            seed=run.seed,
            device=torch.device(run.device),
            optimiser=run.weights.optimiser,
        )


@dataclass(frozen=True)
class Nested:
    """Cells of what passes a threshold, by one of the rules of the published code."""

    outline: Outline
    rule: Rule
    threshold: float

    def genotype(self, search: Search) -> NestedGenotype:
        """The network that would be derived now, to be deepened or written down."""
        strengths = search.alphas.strengths(search.gate)
        return genotype_from(strengths, self.outline, rule=self.rule, threshold=self.threshold)

    def __call__(self, run: SupernetStrategy) -> Architecture:
        return self.outline.architecture(self.genotype(run.search))

    def told(self, run: SupernetStrategy, arch: Architecture) -> str:
        """How many operations there are, and how many cells have decided."""
        search = run.search
        strongest = [float(own.max()) for own in search.alphas.strengths(search.gate)]
        passing = sum(gate >= self.threshold for gate in strongest)
        entries = sum(len(cell) for cell in self.outline.genotype(arch).cells)
        return (
            f"{counted(entries, 'operation')} in {counted(len(strongest), 'cell')}, of which {passing} with gates of "
            f"{self.threshold:g} or more (strongest {max(strongest):.2f})"
        )


@dataclass(frozen=True)
class NearStart:
    """Ends a search from a handcrafted network that stays about as far from it as it was.

    Distances count from the sixth epoch after the warm ones, so that the first end is at epoch 14, counted from 0.
    """

    outline: Outline
    least_change: float
    after: int

    def noted(self, search: Search, arch: Architecture) -> float:
        """How far it is."""
        assert self.outline.start is not None
        return distance(self.outline.genotype(arch), self.outline.start)

    def ends(self, notes: Sequence[Any]) -> bool:
        *before, last = notes[self.after + UNTAKEN :][-1 - SETTLED :] or [0.0]
        return len(before) == SETTLED and all(abs(last - one) <= self.least_change for one in before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """How a cell is derived: by a `rule`, from gates of at least `threshold`."""

    rule: Rule = "sparse"  # aheuillet/D-DARTS, train_search.py, as is the next
    threshold: float = 0.85

    def made(self, space: SearchSpace) -> Nested:
        """The derivation in a space; SpecError if it is none of its rules."""
        outline = outline_of(space)
        if self.rule not in RULES or (self.rule != "sparse" and not outline.dense):
            raise SpecError(
                f"Cells of {space.name} have two operations a node, which is the rule sparse, but got "
                f"rule={self.rule}: give --space ddarts_dense or dartopti_from."
            )
        if not 0 < self.threshold < 1:
            raise SpecError(f"The threshold of gates must be between 0 and 1, but got {self.threshold}.")
        return Nested(outline, self.rule, self.threshold)


def ddarts(
    *,
    space: SearchSpace,
    task: Lossy,
    seed: Seed,
    device: str = "cpu",
    threads: int | None = None,
    size: Size = Size(),  # noqa: B008 - frozen, as are all records; aheuillet/D-DARTS, README: 16 channels
    # train_search.py there, as is all that follows
    weights: WeightsRecipe = WeightsRecipe(batch_size=72, learning_rate=0.005),  # noqa: B008
    alpha: CellRecipe = CellRecipe(),  # noqa: B008
    losses: CellLosses = CellLosses(),  # noqa: B008
    derive: Opening = Opening(),
    start: float = 10.0,  # architecture_processing.py there
    least_change: float = 1e-3,
    progress: Callable[[str], None] | None = None,
) -> SupernetStrategy:
    """D-DARTS in ddarts, ddarts_dense or dartopti; DARTOpti, from a handcrafted network, in dartopti_from.

    Images, epochs, restarts and steps without a finite loss are those of `darts`. Every distinct cell has architecture
    parameters, an Adam, a cosine and a loss of its own: cross-entropy, `zero_one` times the loss that pushes gates to 0
    or 1, and `ablation` times what the cell contributes to the network, in one of three forms (`CellLosses`): weighted,
    differentiable, or literal, which is the published one and has no effect on what is learnt.

    A cell is derived by a `rule` from gates of at least `threshold`: sparse (two edges a node, one operation each), or,
    in a dense space, edge (two operations an edge) or complete (all). A cell in which no gate passes, as after a short
    search, has the strongest operation on each of the two strongest edges of every node.

    The architecture waits for `warm_epochs`, which come on top of `epochs`; None is 5 from a handcrafted network and 0
    otherwise. That network's own operations start at `start`. The search from it ends early when the distance to it has
    changed by `least_change` at most against each of the four epochs before, all after the fifth since the warm ones.
    `final_alpha_learning_rate` is the floor of every cosine, not a share of its start; the cosines begin with the warm
    epochs and are `epochs` long, as published. `reference_leaks` sums up gradients as published (see `CellSearch`).
    """
    task = predicting(task)
    nested = derive.made(space)
    if not 0 < start < math.inf:
        raise SpecError(f"start must be a positive number, but got {start}.")
    if weights.compiled:
        raise SpecError(
            "Graphs are captured of steps of darts, of which ddarts has other ones: leave compiled=true out."
        )
    handcrafted = nested.outline.handcrafted
    if alpha.warm_epochs is None:
        alpha = replace(alpha, warm_epochs=5 if handcrafted else 0)
    options = recorded(
        size,
        gate="sigmoid",
        losses=asdict(losses),
        cells={
            "learning_rate": alpha.learning_rate,
            "betas": list(BETAS),
            "weight_decay": alpha.weight_decay,
            "final_learning_rate": alpha.final_alpha_learning_rate,
            "warm_epochs": alpha.waits,
            "leaks": alpha.reference_leaks,
            # A state whose cosine waited with the architecture cannot go on with this one.
            **({"cosine": "from the first epoch"} if alpha.waits else {}),
        },
        rule=derive.rule,
        threshold=derive.threshold,
        start=start,
        least_change=least_change,
    )
    rules = (NearStart(nested.outline, least_change, alpha.waits),) if handcrafted else ()
    weights = replace(weights, epochs=weights.epochs + alpha.waits)
    method = Method(Cellwise(nested.outline, alpha, losses, start), nested, rules, options=options)
    return SupernetStrategy(
        method,
        space,
        predicting(task),
        seed,
        size=size,
        weights=weights,
        device=device,
        threads=threads,
        progress=progress,
    )
