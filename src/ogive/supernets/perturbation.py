"""Choose operations by what a supernet loses without them, instead of by architecture parameters (DARTS-PT).

Wang et al., "Rethinking Architecture Selection in Differentiable NAS", ICLR 2021. One decision fixes an
edge to the operation whose removal costs the most, or, where a node may have few edges only, drops the edge
that costs the least. After each the weights are tuned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.supernets.alphas import Alphas
from ogive.supernets.gates import Mix, mixing
from ogive.supernets.networks import Supernet
from ogive.supernets.plan import CellChoices
from ogive.supernets.search import ArchitectureRecipe, Search, shared_score

__all__ = ["Decision", "Perturbation", "decide", "decisions", "restricted", "tuned", "undecided"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What an edge of a kind of cell will hold; None drops it."""

    kind: str
    edge: int
    operation: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Perturbation:
    """Decides one edge after the other, and tunes the weights for some epochs after each."""

    tune_epochs: int = 5  # ruocwang/darts-pt

    def __post_init__(self) -> None:
        if self.tune_epochs < 0:
            raise SpecError(f"tune_epochs must be at least 0, but got {self.tune_epochs}.")

    def decided(
        self, search: Search, seed: Seed, progress: Callable[[str], None] | None = None
    ) -> tuple[Decision, Search]:
        """The next decision, and the search that goes on from it."""
        decision = decide(search, seed, progress)
        alphas = restricted(search.supernet, search.alphas, decision)
        return decision, tuned(search, alphas, self.tune_epochs, seed, progress)


def undecided(supernet: Supernet) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """The edges (kind, number) that still have a choice, and those of nodes that have too many."""
    plan = supernet.plan
    rows_of = dict(zip(supernet.kinds, supernet.choices, strict=True))
    opened, crowded = [], []
    for kind in plan.kinds:
        rows = rows_of.get(kind, ())
        opened += [(kind, edge) for edge, row in enumerate(rows) if len(row) > 1]
        present = [plan.edges[edge][1] for edge, row in enumerate(rows) if row]
        if plan.inputs_per_node is not None:
            crowded += [
                (kind, edge)
                for edge, row in enumerate(rows)
                if row and present.count(plan.edges[edge][1]) > plan.inputs_per_node
            ]
    return opened, crowded


def decisions(supernet: Supernet) -> int:
    """How many decisions a supernet takes: one for each edge with a choice, then one for each edge that is dropped."""
    opened, crowded = undecided(supernet)
    plan = supernet.plan
    nodes = {(kind, plan.edges[edge][1]) for kind, edge in crowded}
    return len(opened) + len(crowded) - len(nodes) * (plan.inputs_per_node or 0)


def decide(search: Search, seed: Seed, progress: Callable[[str], None] | None = None) -> Decision:
    """The next decision: about an edge drawn from those with a choice, then about a node drawn from those too full."""
    opened, crowded = undecided(search.supernet)
    rng = seed.numpy("edge")
    kind, edge = (opened or crowded)[int(rng.integers(len(opened or crowded)))]
    if opened:
        return _operation_for(search, kind, edge, progress)
    node = search.supernet.plan.edges[edge][1]
    rivals = [one for one in crowded if one[0] == kind and search.supernet.plan.edges[one[1]][1] == node]
    left = {}
    for _, rival in rivals:
        _tell(progress, f"{kind} cell without edge {rival}")
        without = search.supernet.restricted(_changed(search.supernet, Decision(kind, rival, None)))
        left[rival] = shared_score(without, _mixture(search), search.alphas_task)
    return Decision(kind, max(left, key=left.__getitem__), None)


def restricted(supernet: Supernet, alphas: Alphas, decision: Decision) -> Alphas:
    """Put the decision into force: in the supernet itself, and in the architecture parameters, which are returned."""
    before = dict(zip(supernet.kinds, supernet.mixed, strict=True))[decision.kind]
    row = before.row_of_edge.get(decision.edge)
    for cell, rows in zip(supernet.mixed, _changed(supernet, decision), strict=True):
        cell.keep(rows)
    kinds = supernet.plan.kinds
    groups, choices = list(alphas.groups), list(alphas.choices)
    group = kinds.index(decision.kind)
    choices[group] = supernet.choices[supernet.kinds.index(decision.kind)]
    if row is not None:
        kept = [place for place in range(len(groups[group])) if place != row]
        groups[group] = groups[group].detach()[kept].clone().requires_grad_()
    return replace(alphas, groups=tuple(groups), choices=tuple(choices))


def tuned(search: Search, alphas: Alphas, epochs: int, seed: Seed, progress: Callable[[str], None] | None) -> Search:
    """The weights after some epochs at a tenth of the learning rate, with the architecture as it is."""
    rate = search.recipe.learning_rate / 10
    recipe = replace(
        search.recipe,
        epochs=max(1, epochs),
        learning_rate=rate,
        final_learning_rate=min(rate, search.recipe.final_learning_rate),
    )
    tuning = Search(
        search.supernet,
        alphas,
        search.weights_task,
        search.alphas_task,
        recipe,
        ArchitectureRecipe(order=0),
        seed=seed,
        gate=mixing(search.gate),
        device=search.device,
        optimiser=search.optimiser,
    )
    tuning.undone, tuning.in_a_row = search.undone, search.in_a_row
    while len(tuning.history) < epochs and not tuning.over:
        tuning.epoch(progress)
    tuning.recipe, tuning.history = search.recipe, search.history
    return tuning


def _operation_for(search: Search, kind: str, edge: int, progress: Callable[[str], None] | None) -> Decision:
    plan, mixture = search.supernet.plan, _mixture(search)
    cells = [cell for cell, own in zip(search.supernet.mixed, search.supernet.kinds, strict=True) if own == kind]
    row = cells[0].row_of_edge[edge]
    left = {}
    for op in cells[0].choices[edge]:
        if plan.operations[op] == "none":
            continue  # nothing is lost without it
        _tell(progress, f"{kind} cell, edge {edge} without {plan.operations[op]}")
        without = [
            _without(mix, row, op) if own == kind else mix
            for mix, own in zip(mixture, search.supernet.kinds, strict=True)
        ]
        left[op] = shared_score(search.supernet, without, search.alphas_task)
    return Decision(kind, edge, min(left, key=left.__getitem__))


def _mixture(search: Search) -> tuple[Mix, ...]:
    return search.alphas.mixture(mixing(search.gate), torch.Generator())


def _without(mix: Mix, row: int, operation: int) -> Mix:
    assert mix.weights is not None
    weights = mix.weights.detach().clone()
    weights[row, operation] = 0.0
    return replace(mix, weights=weights)


def _changed(supernet: Supernet, decision: Decision) -> list[CellChoices]:
    """The choices of all cells once the decision is in force."""
    now = () if decision.operation is None else (decision.operation,)
    return [
        tuple(now if edge == decision.edge else row for edge, row in enumerate(rows)) if kind == decision.kind else rows
        for kind, rows in zip(supernet.kinds, supernet.choices, strict=True)
    ]


def _tell(progress: Callable[[str], None] | None, text: str) -> None:
    if progress is not None:
        progress(f"score of the {text}")
