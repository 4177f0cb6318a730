"""Architecture parameters: leaf tensors beside a supernet, never among its weights.

Shapes: E edges with a choice, A all edges of a cell, O operations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ogive.supernets.gates import Gate, Mix
from ogive.supernets.plan import CellChoices, Plan

__all__ = ["Alphas", "alphas_for"]


@dataclass(frozen=True, eq=False)
class Alphas:
    """The logits (E, O) of each group of cells, and which group every cell belongs to.

    Cells of a kind share a group, as in DARTS, or every cell is a group of its own. `edges` are logits (A,) of all
    edges of a cell, for edge normalisation; there are none unless it is asked for.
    """

    plan: Plan
    groups: tuple[Tensor, ...]
    group_of_cell: tuple[int, ...]
    choices: tuple[CellChoices, ...]  # one for each group
    edges: tuple[Tensor, ...] = ()

    @property
    def tensors(self) -> list[Tensor]:
        """All that an optimiser of the architecture takes."""
        return [*self.groups, *self.edges]

    def mixture(self, gate: Gate, draw: torch.Generator) -> tuple[Mix, ...]:
        """The mix of every cell for one forward pass; the cells of a group share one."""
        mixes = [self._mix(group, gate, draw) for group in range(len(self.groups))]
        return tuple(mixes[group] for group in self.group_of_cell)

    def strengths(self, gate: Gate) -> list[Tensor]:
        """How strong every operation is, (A, O) for each group; the only one of an edge has strength 1."""
        return [self._strengths(group, gate) for group in range(len(self.groups))]

    def normalised_edges(self, group: int) -> Tensor:
        """Factors (A,) of the edges: a softmax over those that lead to the same node (PC-DARTS, equation 4)."""
        logits_A = self.edges[group]
        targets = torch.tensor([target for _, target in self.plan.edges], device=logits_A.device)
        same_AA = targets[:, None] == targets[None, :]
        shares_AA = torch.softmax(logits_A[None, :].expand(len(targets), -1).masked_fill(~same_AA, -torch.inf), dim=1)
        return shares_AA.diagonal()

    def _mix(self, group: int, gate: Gate, draw: torch.Generator) -> Mix:
        mix = gate(self.groups[group], self._allowed(group), draw)
        return replace(mix, edges=self.normalised_edges(group)) if self.edges else mix

    def _allowed(self, group: int) -> Tensor | None:
        """Which operations exist, (E, O); None for all."""
        rows = [row for row in self.choices[group] if len(row) > 1]
        if all(len(row) == len(self.plan.operations) for row in rows):
            return None
        known = range(len(self.plan.operations))
        return torch.tensor([[op in row for op in known] for row in rows], device=self.groups[group].device)

    def _strengths(self, group: int, gate: Gate) -> Tensor:
        rows = self.choices[group]
        found_AO = torch.zeros(len(rows), len(self.plan.operations), dtype=torch.float64)
        opened = [edge for edge, row in enumerate(rows) if len(row) > 1]
        alphas_EO = self.groups[group].detach()
        found_AO[opened] = gate.strengths(alphas_EO.double(), self._allowed(group)).cpu()
        if self.edges:
            found_AO *= self.normalised_edges(group).detach().double().cpu()[:, None]
        for edge, row in enumerate(rows):
            # As strong as can be, whatever the edge weighs: it was decided before.
            if len(row) == 1:
                found_AO[edge, row[0]] = 1.0
        return found_AO


def alphas_for(
    plan: Plan,
    kind_of_cell: Sequence[str],
    choices_of_cell: Sequence[CellChoices],
    draw: torch.Generator,
    *,
    scale: float = 1e-3,  # quark0/darts, model_search.py: 1e-3 of a standard normal
    per_cell: bool = False,
    edge_logits: bool = False,
    like: Tensor | None = None,
) -> Alphas:
    """Fresh parameters: one group for each kind of cell, in the order of the plan, or one for each cell.

    `like` gives device and type of number.
    """
    names: Iterable[object] = range(len(kind_of_cell)) if per_cell else plan.kinds
    group_of_cell = tuple(range(len(kind_of_cell))) if per_cell else tuple(map(plan.kinds.index, kind_of_cell))
    groups, edges, choices = [], [], []
    for group, _ in enumerate(names):
        # A kind without a cell, as in a network too short for it, keeps parameters that nothing teaches.
        first = group_of_cell.index(group) if group in group_of_cell else None
        rows = plan.everything if first is None else choices_of_cell[first]
        shape = (sum(len(row) > 1 for row in rows), len(plan.operations))
        choices.append(rows)
        groups.append(_leaf(scale * torch.randn(shape, generator=draw, dtype=torch.float64), like))
        if edge_logits:
            edges.append(_leaf(scale * torch.randn(len(rows), generator=draw, dtype=torch.float64), like))
    return Alphas(plan, tuple(groups), group_of_cell, tuple(choices), tuple(edges))


def _leaf(values: Tensor, like: Tensor | None) -> Tensor:
    placed = values.float() if like is None else values.to(like.device, like.dtype)
    return placed.requires_grad_()
