"""Uniform random paths: the mixes that run one architecture of a supernet, or of a part of one, drawn at random.

Guo et al., "Single Path One-Shot Neural Architecture Search with Uniform Sampling", ECCV 2020, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ogive.core.errors import SpecError
from ogive.supernets.alphas import Alphas
from ogive.supernets.gates import Gate, Mix
from ogive.supernets.networks import Supernet
from ogive.supernets.plan import CellChoices, Plan

__all__ = ["UniformPaths", "check_paths", "drawn", "uniform_paths"]

NONE = "none"


@dataclass(frozen=True, eq=False)
class UniformPaths(Alphas):
    """In place of architecture parameters: `mixture` draws an architecture of the supernet, whatever the gate.

    All cells of a kind run the same draw, or each cell its own if each is a group.
    """

    def mixture(self, gate: Gate, draw: torch.Generator) -> tuple[Mix, ...]:
        """The mix of every cell for one architecture; the cells of a group share one."""
        mixes = []
        for rows in self.choices:
            cell = drawn(self.plan, rows, draw)
            mixes.append(Mix(None, tuple(cell[edge] for edge, row in enumerate(rows) if len(row) > 1)))
        return tuple(mixes[group] for group in self.group_of_cell)


def uniform_paths(supernet: Supernet, *, per_cell: bool = False) -> UniformPaths:
    """Uniform paths of a supernet: one draw for all cells of a kind, or one for each cell.

    A draw for each cell is what the published code of few-shot NAS trains with, though its architectures repeat one.
    """
    alphas = supernet.alphas(torch.Generator().manual_seed(0), per_cell=per_cell)
    return UniformPaths(alphas.plan, alphas.groups, alphas.group_of_cell, alphas.choices)


def check_paths(plan: Plan) -> None:
    """Raise SpecError for a space in which an edge may hold several operations, of which a path would run one."""
    if plan.several:
        raise SpecError(
            f"A path runs one operation of an edge, but in {plan.space} an edge may hold several: search it with "
            "--strategy darts or ddarts, or give --space ddarts or dartopti."
        )


def drawn(plan: Plan, rows: CellChoices, draw: torch.Generator) -> CellChoices:
    """A cell of the space drawn from those that fit the choices, all equally likely.

    Where a node has fewer edges than there are, those without a choice are among them and the others are drawn; where
    it may have fewer still, the cells are those in which it has as many as it may.
    """
    if plan.inputs_per_node is None:
        return tuple(_one(row, draw) for row in rows)
    cell: list[tuple[int, ...]] = [()] * len(rows)
    for node in sorted({target for _, target in plan.edges}):
        incoming = [edge for edge, (_, target) in enumerate(plan.edges) if target == node]
        fixed = [edge for edge in incoming if len(rows[edge]) == 1]
        opened = [edge for edge in incoming if len(rows[edge]) > 1]
        limit = plan.wanted(len(fixed) + len(opened))
        if not len(fixed) <= limit <= len(fixed) + len(opened):
            raise SpecError(
                f"A node of {plan.space} has {limit} edges, but node {node} of this part of the supernet has "
                f"{len(fixed)} that are fixed and {len(opened)} with a choice."
            )
        chosen = torch.randperm(len(opened), generator=draw)[: limit - len(fixed)].tolist()
        for edge in [*fixed, *(opened[place] for place in chosen)]:
            cell[edge] = _one(tuple(op for op in rows[edge] if plan.operations[op] != NONE), draw)
    return tuple(cell)


def _one(row: tuple[int, ...], draw: torch.Generator) -> tuple[int, ...]:
    if len(row) < 2:
        return row
    return (row[int(torch.randint(len(row), (), generator=draw))],)
