"""The supernets of D-DARTS and DARTOpti: cells of no kind, each with architecture parameters of its own.

Heuillet et al., "D-DARTS" (arXiv:2108.09306); the published code is aheuillet/D-DARTS, model_search.py. Every distinct
cell is a kind of its own in the words of a `Plan`, so that layers which are one cell share its parameters, whose
gradient is the sum over them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial as bound

import torch
from torch import Tensor

from ogive.core.architecture import Architecture
from ogive.networks.build import Skeleton
from ogive.spaces.encoding import PRESENT, Rule, derived, edge_index, encoded
from ogive.spaces.nested import INPUTS, NestedGenotype
from ogive.spaces.unrestricted import Outline
from ogive.supernets.alphas import Alphas
from ogive.supernets.networks import CellStack, Supernet
from ogive.supernets.plan import CellChoices, Plan, edges_of, searched_operation

__all__ = ["NestedSupernet", "genotype_from", "nested_plan", "starting_alphas"]


class NestedSupernet(CellStack):
    """The search network of an outline: a stem, its layers, and a classifier."""

    def __init__(
        self,
        skeleton: Skeleton,
        outline: Outline,
        choices: Mapping[str, CellChoices] | Sequence[CellChoices],
        partial: int = 1,
    ) -> None:
        plan = nested_plan(outline)
        kinds = tuple(plan.kinds[which] for which in outline.layers)
        super().__init__(skeleton, plan, kinds, outline.reductions, choices, partial)
        self.outline = outline


def nested_plan(outline: Outline) -> Plan:
    """A space of nested cells as a supernet sees it; what it derives has no threshold."""
    return Plan(
        space=outline.space,
        kinds=tuple(f"cell {cell}" for cell in range(outline.distinct)),
        inputs=INPUTS,
        edges=edges_of(outline.nodes),
        operations=outline.operations,
        make=searched_operation,
        choices=bound(_choices, outline),
        derive=bound(_derive, outline),
        inputs_per_node=None if outline.dense else 2,
        fewer=not outline.dense,
        several=outline.dense,
    )


def genotype_from(
    strengths: Sequence[Tensor], outline: Outline, *, rule: Rule = "sparse", threshold: float = 0.85
) -> NestedGenotype:
    """The network that gates (E, O) of each distinct cell stand for.

    A cell in which nothing passes the threshold keeps the strongest operation on each of the two strongest edges of
    every node, as DARTS derives. That is no rule of the published code: after a search too short for gates to decide,
    that code has no network.
    """
    return derived(
        [own_EO.numpy() for own_EO in strengths],
        outline.operations,
        layers=outline.layers,
        reductions=outline.reductions,
        rule=rule,
        threshold=threshold,
        full=True,
    )


def starting_alphas(network: Supernet, outline: Outline, on: float = 10.0) -> Alphas:
    """Fresh parameters: zero, every gate at 1/2, but `on` for what the outline's handcrafted network has."""
    alphas = network.alphas(torch.Generator(), scale=0.0)
    if outline.start is not None:
        with torch.no_grad():
            for own_EO, cell in zip(alphas.groups, outline.start.cells, strict=True):
                own_EO.copy_(torch.from_numpy(encoded(cell, outline.operations, nodes=outline.nodes, on=on)))
    return alphas


def _choices(outline: Outline, arch: Architecture) -> Mapping[str, CellChoices]:
    found: dict[str, CellChoices] = {}
    for number, cell in enumerate(outline.genotype(arch).cells):
        rows: list[tuple[int, ...]] = [()] * edge_index(INPUTS + outline.nodes, 0)
        for op, node, state in cell:
            rows[edge_index(node, state)] += (outline.operations.index(op),)
        found[f"cell {number}"] = tuple(rows)
    return found


def _derive(outline: Outline, strengths: Sequence[Tensor]) -> Architecture:
    return outline.architecture(genotype_from(strengths, outline, threshold=PRESENT))
