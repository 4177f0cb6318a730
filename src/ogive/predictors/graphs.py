"""Architectures as padded batches of graphs, for predictors that are networks on graphs.

Cells of NAS-Bench-101 are pruned, and have 7 nodes at most; those of NAS-Bench-201 have 8, the input, one for the
operation of each edge, `none` included, and the output; an architecture of `darts` is two graphs of 10 nodes, two
inputs and eight operations, in which each operation hears those that make the state it reads (CTNAS's public code has
the first and the last, chenyaofo/CTNAS, ctnas/core/dataset). Any other space gives its pruned drawing. Shapes: B
architectures, G graphs of each, N nodes, K distinct nodes, E arcs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.graph import Graph
from ogive.core.space import Choice, SearchSpace
from ogive.features import REMEMBERED, choice_rows, sampled_graphs
from ogive.spaces import darts, nasbench101, nasbench201
from ogive.spaces.extended import base_of

__all__ = ["PADDING", "Folded", "GraphBatch", "GraphEncoder", "folded"]

Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# The row of the vocabulary that says that there is no node.
PADDING = 0
# What stands for operations that no random architecture had.
OTHER = "other"

# Where the edges of NAS-Bench-201 stand: by the node that they leave, so that the arcs are those of the field's code.
_EDGES = sorted(range(len(nasbench201.EDGES)), key=nasbench201.EDGES.__getitem__)


@dataclass(frozen=True, slots=True, eq=False)
class GraphBatch:
    """Graphs of different sizes in one array.

    `operations` (B, G, N) are rows of the vocabulary, PADDING where there is no node; `adjacency` (B, G, N, N) is true
    at […, i, j] for an arc from node i to node j, which is a later one. `nodes` is what graphs are padded to at least;
    where N is more, a graph in the batch is larger than any that was seen when the encoder was made.
    """

    operations: Integers
    adjacency: Bools
    nodes: int

    def __len__(self) -> int:
        return len(self.operations)

    @property
    def mask(self) -> Bools:
        """Where there is a node, (B, G, N)."""
        found: Bools = self.operations != PADDING
        return found

    @property
    def slots(self) -> Integers:
        """How many places each graph has in any batch, (B, G): `nodes`, or as many as it has nodes if it has more."""
        found: Integers = np.maximum(self.mask.sum(axis=-1), self.nodes)
        return found


class GraphEncoder:
    """Writes architectures of a space as batches of graphs, each drawn once.

    `vocabulary` names the operations, `graphs` says how many graphs an architecture is, `nodes` how many nodes they are
    padded to. With `pruned` any space gives its pruned drawing, those with a layout of their own too. SpecError for a
    space that draws no graph.
    """

    def __init__(self, *, space: SearchSpace, pruned: bool = False) -> None:
        self.space = space
        self._write = _Drawn(space) if pruned else _LAYOUTS.get(base_of(space.name), _Drawn)(space)
        self.vocabulary, self.graphs, self.nodes = self._write.vocabulary, self._write.graphs, self._write.nodes

    def __call__(self, archs: Sequence[Architecture]) -> GraphBatch:
        """InvalidArchitecture for an architecture of another space."""
        choices = choice_rows(archs, self.space)
        operations, adjacency = self._write(archs, choices)
        return GraphBatch(operations, adjacency, self.nodes)


class _NASBench101:
    vocabulary = ("", "input", *nasbench101.OPS, "output")
    graphs, nodes = 1, nasbench101.VERTICES

    def __init__(self, space: SearchSpace) -> None:
        # Labels -3 … 2 as rows: padding, the output, the input, and the operations.
        rows = {nasbench101.PADDING: PADDING, nasbench101.INPUT: 1, nasbench101.OUTPUT: len(self.vocabulary) - 1}
        labels = range(nasbench101.PADDING, len(nasbench101.OPS))
        self._rows = np.array([rows.get(label, label + 2) for label in labels])

    def __call__(self, archs: Sequence[Architecture], choices: npt.NDArray[np.float64]) -> tuple[Integers, Bools]:
        matrices, labels = nasbench101.pruned_cells(choices.astype(np.int64))
        return self._rows[labels - nasbench101.PADDING][:, None], matrices[:, None]


class _NASBench201:
    graphs, nodes = 1, len(nasbench201.EDGES) + 2

    def __init__(self, space: SearchSpace) -> None:
        self.vocabulary = ("", "input", *cast("Choice", space.variables[0]).options, "output")
        edges = [(-1, 0), *(nasbench201.EDGES[place] for place in _EDGES), (3, 4)]
        self._arcs = np.array([[end == start for start, _ in edges] for _, end in edges])

    def __call__(self, archs: Sequence[Architecture], choices: npt.NDArray[np.float64]) -> tuple[Integers, Bools]:
        operations = np.full((len(choices), 1, self.nodes), len(self.vocabulary) - 1)
        operations[:, 0, 0], operations[:, 0, 1:-1] = 1, choices[:, _EDGES] + 2
        return operations, np.broadcast_to(self._arcs, (len(choices), 1, *self._arcs.shape))


class _Darts:
    graphs, nodes = len(darts.KINDS), 2 + 2 * darts.NODES

    def __init__(self, space: SearchSpace) -> None:
        # `none` has a row though no derived cell holds it, as in the public code.
        self.vocabulary = ("", "input_0", "input_1", "none", *cast("Choice", space.variables[1]).options)
        # The states that a choice of two of them means, for each node; the last of a list fill it up.
        most = len(darts.PAIRS[-1])
        self._pairs = np.array([(*pairs, *pairs[-1:] * (most - len(pairs))) for pairs in darts.PAIRS])
        # Which state each node of the graph is, or is a part of.
        self._makes = np.array([0, 1, *(2 + place // 2 for place in range(2 * darts.NODES))])

    def __call__(self, archs: Sequence[Architecture], choices: npt.NDArray[np.float64]) -> tuple[Integers, Bools]:
        taken = choices.astype(np.int64).reshape(len(choices), self.graphs, darts.NODES, 3)
        reads = self._pairs[np.arange(darts.NODES), taken[..., 0]].reshape(len(choices), self.graphs, -1)
        adjacency = np.zeros((len(choices), self.graphs, self.nodes, self.nodes), bool)
        adjacency[..., 2:] = self._makes[:, None] == reads[:, :, None, :]
        operations = np.empty((len(choices), self.graphs, self.nodes), np.int64)
        operations[..., :2] = 1, 2
        operations[..., 2:] = taken[..., 1:].reshape(len(choices), self.graphs, -1) + 4
        return operations, adjacency


class _Drawn:
    """The pruned drawing; operations and the number of nodes are those of 1,000 random architectures."""

    graphs = 1

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.nodes, self.vocabulary = _surveyed(space)
        self._row = {op: row for row, op in enumerate(self.vocabulary)}
        self._known: dict[Architecture, tuple[Integers, Integers]] = {}

    def __call__(self, archs: Sequence[Architecture], choices: npt.NDArray[np.float64]) -> tuple[Integers, Bools]:
        drawn = [self._of(arch) for arch in archs]
        most = max((len(ops) for ops, _ in drawn), default=0)
        nodes = max(self.nodes, most)
        operations = np.zeros((len(drawn), 1, nodes), np.int64)
        adjacency = np.zeros((len(drawn), 1, nodes, nodes), bool)
        for place, (ops, arcs) in enumerate(drawn):
            operations[place, 0, : len(ops)] = ops
            adjacency[place, 0, arcs[:, 0], arcs[:, 1]] = True
        return operations, adjacency

    def _of(self, arch: Architecture) -> tuple[Integers, Integers]:
        found = self._known.get(arch)
        if found is None:
            found = self._arrays(self.space.draw(arch).pruned())
            if len(self._known) < REMEMBERED:
                self._known[arch] = found
        return found

    def _arrays(self, graph: Graph) -> tuple[Integers, Integers]:
        rows = np.array([self._row.get(op, self._row[OTHER]) for op in graph.ops], np.int64)
        return rows, np.array(sorted(graph.edges), np.int64).reshape(-1, 2)


@functools.lru_cache(maxsize=8)
def _surveyed(space: SearchSpace) -> tuple[int, tuple[str, ...]]:
    """The most nodes and the vocabulary of random architectures."""
    drawn = [graph.pruned() for graph in sampled_graphs(space)]
    return max(map(len, drawn)), ("", OTHER, *sorted({op for graph in drawn for op in graph.ops}))


_Layout = _NASBench101 | _NASBench201 | _Darts | _Drawn
_LAYOUTS: dict[str, Callable[[SearchSpace], _Layout]] = {
    nasbench101.NAME: _NASBench101,
    nasbench201.NAME: _NASBench201,
    darts.NAME: _Darts,
}


# -- nodes that hear the same -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Folded:
    """A batch in which nodes that a network cannot tell apart are one.

    For networks whose nodes hear those before them only. `operations` (K,) are those of the distinct nodes, `senders`
    and `receivers` (E,) the arcs between these, `places` (B, G, N) the distinct node in each place, and `shares`
    (B, G, N) its part in a mean over all places, those of the padding included.
    """

    operations: Integers
    senders: Integers
    receivers: Integers
    places: Integers
    shares: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.places)

    def of(self, rows: Integers) -> Folded:
        """Some of the architectures, with the distinct nodes that these have."""
        kept, places = np.unique(self.places[rows], return_inverse=True)
        new = np.full(len(self.operations), -1)
        new[kept] = np.arange(len(kept))
        arcs = np.flatnonzero(new[self.receivers] >= 0)  # whose senders are then kept too
        return Folded(
            self.operations[kept],
            new[self.senders[arcs]],
            new[self.receivers[arcs]],
            places.reshape(len(rows), *self.places.shape[1:]),
            self.shares[rows],
        )


def folded(batch: GraphBatch) -> Folded:
    """The distinct nodes of a batch: of NAS-Bench-201's 15,625 cells with 8 nodes, 16,281.

    Two nodes are one if their operations are equal, and the sets of what they hear, counted, are those of nodes that
    are one. Nodes are told apart by numbers of 64 bits that are mixed from these; that two of a million different ones
    get the same has a probability of 3e-8.
    """
    count, graphs, nodes = batch.operations.shape
    flat = batch.adjacency.reshape(count * graphs, nodes, nodes)
    names = np.zeros((count * graphs, nodes), np.uint64)
    own = _mixed(batch.operations.reshape(count * graphs, nodes).astype(np.uint64), _OPERATION)
    for node in range(nodes):
        heard = np.where(flat[:, :node, node], _mixed(names[:, :node], _HEARD), np.uint64(0))
        names[:, node] = _mixed(own[:, node] + heard.sum(axis=1, dtype=np.uint64), _NODE)
    _, first, places = np.unique(names, return_index=True, return_inverse=True)
    chosen, column = np.unravel_index(first, names.shape)
    receivers, senders = np.nonzero(flat[chosen, :, column])
    placed = places.reshape(count, graphs, nodes)
    slots = batch.slots[..., None]
    return Folded(
        batch.operations.reshape(-1)[first],
        placed.reshape(names.shape)[chosen[receivers], senders],
        receivers,
        placed,
        (np.arange(nodes) < slots) / slots,
    )


_OPERATION, _HEARD, _NODE = (
    np.uint64(number) for number in (0x9E3779B97F4A7C15, 0xD1B54A32D192ED03, 0x8CB92BA72F3D8DD7)
)


def _mixed(numbers: npt.NDArray[np.uint64], salt: np.uint64) -> npt.NDArray[np.uint64]:
    """Each number scattered over 64 bits, by the finaliser of SplitMix64 (Steele et al., OOPSLA 2014)."""
    mixed = numbers + salt
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found: npt.NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return found
