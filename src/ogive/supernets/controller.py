"""The controller of ENAS: an LSTM that writes an architecture of a supernet, decision by decision.

Pham et al., "Efficient Neural Architecture Search via Parameter Sharing", ICML 2018, section 2.2, in the form of
NAS-Bench-201 (D-X-Y/AutoDL-Projects). Shapes: B samples, H hidden, O operations, A all edges of a cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ogive.core.architecture import Architecture
from ogive.networks.build import drawing_from
from ogive.supernets.alphas import Alphas
from ogive.supernets.gates import Gate, Mix
from ogive.supernets.networks import Supernet
from ogive.supernets.paths import drawn
from ogive.supernets.plan import CellChoices, Plan

__all__ = ["ControlledPaths", "Controller", "Decision", "Written", "controlled_paths", "decisions_of"]

NONE = "none"
LAYERS = 2  # D-X-Y/AutoDL-Projects, search_model_enas_utils.py, as are the others
TEMPERATURE = 5.0
TANH = 2.5  # logits are within ± this
RANGE = 0.1  # of most weights at first


@dataclass(frozen=True, slots=True)
class Decision:
    """One word that the controller writes: which of the `edges` there is, or the operation of an edge.

    `edges` has one entry where the edge is known, and none where it is the one that was decided just before.
    `earlier` are the places of decisions about edges that this one must not repeat.
    """

    group: int
    chooses_edge: bool
    edges: tuple[int, ...]
    earlier: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Written:
    """Sampled architectures: their decisions (B, decisions), log-probabilities (B,), entropies (B,) and cells.

    `cells` are the cells of each group, for each sample. Log-probabilities carry a gradient, entropies do not.
    """

    words: Tensor
    log_probabilities: Tensor
    entropies: Tensor
    cells: tuple[tuple[CellChoices, ...], ...]


def decisions_of(plan: Plan, choices: Sequence[CellChoices]) -> tuple[Decision, ...]:
    """What is to be decided in cells with these choices, in the order of the edges: nothing where there is one option.

    Where a node has fewer edges than there are (`darts`), those without a choice are among them; each of the others is
    chosen, one after the other, and then gets an operation other than `none`. SpecError where no cell fits.
    """
    found: list[Decision] = []
    for group, rows in enumerate(choices):
        drawn(plan, rows, torch.Generator())  # refuses choices that no cell fits
        if plan.inputs_per_node is None:
            found += [Decision(group, False, (edge,)) for edge, row in enumerate(rows) if len(row) > 1]
            continue
        for node in sorted({target for _, target in plan.edges}):
            incoming = [edge for edge, (_, target) in enumerate(plan.edges) if target == node and rows[edge]]
            opened = tuple(edge for edge in incoming if len(rows[edge]) > 1)
            wanted = plan.wanted(len(incoming)) - (len(incoming) - len(opened))
            if wanted == len(opened):
                found += [Decision(group, False, (edge,)) for edge in opened if len(_present(plan, rows[edge])) > 1]
                continue
            first = len(found)
            for number in range(wanted):
                earlier = tuple(first + 2 * other for other in range(number))
                found += [Decision(group, True, opened, earlier), Decision(group, False, ())]
    return tuple(found)


class Controller(nn.Module):
    """Writes architectures of the given choices, one `CellChoices` for each group of cells, in one sequence.

    The LSTM reads an embedding of what it decided last; a linear layer gives the logits of operations, and another
    those of edges where they are chosen, without the attention over earlier nodes of the paper.
    """

    def __init__(self, plan: Plan, choices: Sequence[CellChoices], *, seed: int, hidden: int = 32) -> None:
        super().__init__()
        self.plan, self.choices = plan, tuple(choices)
        self.decisions = decisions_of(plan, choices)
        operations, edges = len(plan.operations), len(plan.edges)
        with drawing_from(seed):
            self.start = nn.Parameter(torch.empty(hidden))
            self.lstm = nn.LSTM(hidden, hidden, LAYERS)
            self.operation_embedding = nn.Embedding(operations, hidden)
            self.operation_logits = nn.Linear(hidden, operations)
            self.edge_embedding = nn.Embedding(edges, hidden)
            self.edge_logits = nn.Linear(hidden, edges)
            # The second layer and all biases keep what torch gives them, as published.
            for weight in (
                self.start,
                self.lstm.get_parameter("weight_ih_l0"),
                self.lstm.get_parameter("weight_hh_l0"),
                self.operation_embedding.weight,
                self.operation_logits.weight,
                self.edge_embedding.weight,
                self.edge_logits.weight,
            ):
                nn.init.uniform_(weight, -RANGE, RANGE)
        self._allowed_AO = [_allowed(plan, rows) for rows in choices]

    def sample(self, count: int, draw: torch.Generator) -> Written:
        """So many architectures, drawn independently."""
        x_1BH, state = self.start.expand(1, count, -1), None
        log_probabilities_B, entropies_B = torch.zeros(count), torch.zeros(count)
        words: list[Tensor] = []
        for decision in self.decisions:
            h_1BH, state = self.lstm(x_1BH, state)
            to_logits, embedding = (
                (self.edge_logits, self.edge_embedding)
                if decision.chooses_edge
                else (self.operation_logits, self.operation_embedding)
            )
            logits = TANH * torch.tanh(to_logits(h_1BH[0]) / TEMPERATURE)
            logs = torch.log_softmax(logits.masked_fill(~self._options(decision, words, count), -torch.inf), dim=1)
            shares = logs.detach().exp()
            chosen_B1 = torch.multinomial(shares, 1, generator=draw)
            words.append(chosen_B1[:, 0])
            log_probabilities_B = log_probabilities_B + logs.gather(1, chosen_B1)[:, 0]
            entropies_B = entropies_B + torch.special.entr(shares).sum(1)
            x_1BH = embedding(words[-1])[None]
        together = torch.stack(words, 1) if words else torch.zeros(count, 0, dtype=torch.int64)
        return Written(together, log_probabilities_B, entropies_B, tuple(map(self._cells, together.tolist())))

    def _options(self, decision: Decision, words: list[Tensor], count: int) -> Tensor:
        """What a decision may come to in each sample, (B, edges) or (B, operations)."""
        allowed_AO = self._allowed_AO[decision.group]
        if not decision.chooses_edge:
            return allowed_AO[words[-1]] if not decision.edges else allowed_AO[list(decision.edges)].expand(count, -1)
        free_BA = torch.zeros(count, len(allowed_AO), dtype=torch.bool)
        free_BA[:, list(decision.edges)] = True
        for place in decision.earlier:
            free_BA[torch.arange(count), words[place]] = False
        return free_BA

    def _cells(self, words: Sequence[int]) -> tuple[CellChoices, ...]:
        """The cells of each group that a sequence of decisions describes."""
        cells = [_begun(self.plan, rows) for rows in self.choices]
        edge = -1
        for decision, word in zip(self.decisions, words, strict=True):
            if decision.chooses_edge:
                edge = word
            else:
                cells[decision.group][decision.edges[0] if decision.edges else edge] = (word,)
        return tuple(map(tuple, cells))


@dataclass(frozen=True, eq=False, kw_only=True)
class ControlledPaths(Alphas):
    """In place of architecture parameters: `mixture` runs what the controller writes, whatever the gate."""

    controller: Controller

    @property
    def tensors(self) -> list[Tensor]:
        """The weights of the controller."""
        return list(self.controller.parameters())

    def mixture(self, gate: Gate, draw: torch.Generator) -> tuple[Mix, ...]:
        """The mix of every cell for one architecture; the cells of a group share one."""
        with torch.no_grad():
            return self.path(self.controller.sample(1, draw).cells[0])

    def path(self, cells: Sequence[CellChoices]) -> tuple[Mix, ...]:
        """The mix of every cell that runs these cells, one for each group."""
        mixes = [
            Mix(None, tuple(row for row, known in zip(cell, rows, strict=True) if len(known) > 1))
            for cell, rows in zip(cells, self.choices, strict=True)
        ]
        return tuple(mixes[group] for group in self.group_of_cell)

    def architecture(self, cells: Sequence[CellChoices]) -> Architecture:
        """The architecture of these cells, one for each group."""
        strengths = []
        for cell in cells:
            strength_AO = torch.zeros(len(cell), len(self.plan.operations), dtype=torch.float64)
            for edge, row in enumerate(cell):
                strength_AO[edge, list(row)] = 1.0
            strengths.append(strength_AO)
        return self.plan.derive(strengths)


def controlled_paths(supernet: Supernet, *, seed: int, hidden: int = 32) -> ControlledPaths:
    """A fresh controller of a supernet, or of a part of one; all cells of a kind share what it writes.

    It stays on the CPU, wherever the supernet is: it is tiny, and its draws are the same on every machine.
    """
    alphas = supernet.alphas(torch.Generator().manual_seed(0))
    controller = Controller(alphas.plan, alphas.choices, seed=seed, hidden=hidden)
    return ControlledPaths(alphas.plan, alphas.groups, alphas.group_of_cell, alphas.choices, controller=controller)


def _present(plan: Plan, row: tuple[int, ...]) -> tuple[int, ...]:
    """The operations of an edge that is there: where edges may be absent, `none` says nothing else."""
    return row if plan.inputs_per_node is None else tuple(op for op in row if plan.operations[op] != NONE)


def _allowed(plan: Plan, rows: CellChoices) -> Tensor:
    """Which operations each edge may get, (A, O)."""
    found_AO = torch.zeros(len(plan.edges), len(plan.operations), dtype=torch.bool)
    for edge, row in enumerate(rows):
        found_AO[edge, list(_present(plan, row))] = True
    return found_AO


def _begun(plan: Plan, rows: CellChoices) -> list[tuple[int, ...]]:
    """A cell before anything is decided: what has one option, and no edge that may still be absent."""
    cell: list[tuple[int, ...]] = [row if len(row) == 1 else () for row in rows]
    if plan.inputs_per_node is None:
        return cell
    for node in {target for _, target in plan.edges}:
        incoming = [edge for edge, (_, target) in enumerate(plan.edges) if target == node and rows[edge]]
        if len(incoming) == plan.wanted(len(incoming)):
            for edge in incoming:
                present = _present(plan, rows[edge]) if len(rows[edge]) > 1 else rows[edge]
                cell[edge] = present if len(present) == 1 else ()
    return cell
