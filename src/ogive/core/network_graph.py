"""NetworkGraph: a network as its primitive operations, with the shape of what each of them learns.

Knyazev et al., "Parameter Prediction for Unseen Deep Architectures", NeurIPS 2021, section 2; the types of nodes and
what counts as one follow the published code (facebookresearch/ppuda, deepnets1m/graph.py).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ogive.core.errors import SpecError, UnknownName
from ogive.core.graph import Graph

__all__ = ["FARTHEST", "PRIMITIVES", "NetworkGraph", "Node"]

# In the order of the published code, which is the order of the rows of a hypernetwork's embedding.
PRIMITIVES = (
    "max_pool",
    "avg_pool",
    "sep_conv",
    "dil_conv",
    "conv",
    "msa",
    "cse",
    "sum",
    "concat",
    "input",
    "bias",
    "bn",
    "ln",
    "pos_enc",
    "glob_avg",
)
# Nodes that lie farther apart than this are not joined by a virtual edge; GHN-2, section 4.2.
FARTHEST = 50

Distances = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Node:
    """One operation.

    `parameters` are the names of what it learns: one tensor, or the weight and the bias of a normalisation; `shape` is
    that of the first of them or, of a pooling, (1, 1, rows, columns) of its window; empty for everything else.
    """

    op: str
    parameters: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.op not in PRIMITIVES:
            raise UnknownName("type of node", self.op, PRIMITIVES)


@dataclass(frozen=True)
class NetworkGraph:
    """Nodes in a topological order, and edges (source, target) between them, each with source < target."""

    nodes: tuple[Node, ...]
    edges: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        for source, target in self.edges:
            if not 0 <= source < target < len(self.nodes):
                raise SpecError(
                    f"Every edge (i, j) of a network of {len(self.nodes)} nodes must have 0 <= i < j, but got "
                    f"({source}, {target})."
                )

    @classmethod
    def of(cls, nodes: Iterable[Node], edges: Iterable[tuple[int, int]]) -> NetworkGraph:
        """From nodes in a topological order and edges in any, which may be there twice."""
        return cls(tuple(nodes), tuple(sorted(set(edges))))

    def __len__(self) -> int:
        return len(self.nodes)

    @property
    def picture(self) -> Graph:
        """The same without what is learnt, as architectures are drawn."""
        return Graph(tuple(node.op for node in self.nodes), frozenset(self.edges))

    @functools.cached_property
    def types(self) -> npt.NDArray[np.int64]:
        """The place of each node's operation in `PRIMITIVES`, (N,)."""
        place = {op: number for number, op in enumerate(PRIMITIVES)}
        return np.array([place[node.op] for node in self.nodes], np.int64)

    @functools.cached_property
    def distances(self) -> Distances:
        """How many edges lead from node i to node j along the data, at least, (N, N); 0 where none do."""
        count = len(self.nodes)
        far = np.int32(count + 1)
        found = np.full((count, count), far, np.int32)
        np.fill_diagonal(found, 0)
        # In rows of what is reached, so that each step reads and writes whole rows.
        for node, sources in enumerate(self.sources):
            if sources:
                reached = found[sources].min(axis=0) + 1
                found[node] = np.minimum(found[node], reached)
        found[found >= far] = 0
        return np.ascontiguousarray(found.T)

    @functools.cached_property
    def depths(self) -> npt.NDArray[np.int64]:
        """The length of the longest path to each node, (N,)."""
        found = np.zeros(len(self.nodes), np.int64)
        for node, sources in enumerate(self.sources):
            if sources:
                found[node] = found[sources].max() + 1
        return found

    @functools.cached_property
    def sources(self) -> list[list[int]]:
        """The nodes that each node reads."""
        found: list[list[int]] = [[] for _ in self.nodes]
        for source, target in self.edges:
            found[target].append(source)
        return found

    @property
    def average_degree(self) -> float:
        """Edges that end at a node, in either direction, on average."""
        return 2 * len(self.edges) / len(self.nodes)

    def average_path(self) -> float:
        """The mean length of the shortest paths between two nodes, whatever the direction of the edges."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import shortest_path

        count = len(self.nodes)
        if count < 2:
            return 0.0
        rows, columns = np.array(self.edges).T
        joined = csr_array((np.ones(len(rows)), (rows, columns)), shape=(count, count))
        total = shortest_path(joined, directed=False, unweighted=True).sum()
        return float(total / (count * (count - 1)))
