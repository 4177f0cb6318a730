"""Graph: a labelled directed acyclic graph, the picture of an architecture, with a canonical form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ogive.core.errors import SpecError

__all__ = ["DISCONNECTED", "Graph", "Sketch"]

# Why a candidate fails whose network cannot read its input.
DISCONNECTED = "no path from input to output"


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes that carry operations, and edges that carry tensors.

    ``ops[i]`` labels node i; every edge (i, j) has i < j, so the order of the nodes is a topological one.
    Equality is of this labelling; compare ``canonical()`` to ask whether two graphs are the same network.
    """

    ops: tuple[str, ...]
    edges: frozenset[tuple[int, int]]

    def __post_init__(self) -> None:
        count = len(self.ops)
        for source, target in self.edges:
            if not 0 <= source < target < count:
                raise SpecError(
                    f"Every edge (i, j) of a graph of {count} nodes must have 0 <= i < j < {count}, "
                    f"but got ({source}, {target})."
                )

    def __len__(self) -> int:
        return len(self.ops)

    def predecessors(self, node: int) -> list[int]:
        """The nodes with an edge into `node`, ascending."""
        return sorted(source for source, target in self.edges if target == node)

    def successors(self, node: int) -> list[int]:
        """The nodes that `node` has an edge into, ascending."""
        return sorted(target for source, target in self.edges if source == node)

    def relabelled(self, order: Sequence[int]) -> Graph:
        """The same network with node ``order[k]`` in place k; `order` must be topological."""
        if sorted(order) != list(range(len(self.ops))):
            raise SpecError(f"An order of {len(self.ops)} nodes must name each once, but got {tuple(order)}.")
        place = {node: k for k, node in enumerate(order)}
        edges = frozenset((place[source], place[target]) for source, target in self.edges)
        return Graph(tuple(self.ops[node] for node in order), edges)

    @property
    def is_disconnected(self) -> bool:
        """Whether it has an "input" and an "output", and no path leads from one to the other."""
        return bool(self._labelled("input") and self._labelled("output")) and not self.pruned().edges

    def pruned(self) -> Graph:
        """Without the nodes that lie on no path from an "input" to an "output"; these themselves always stay."""
        sources, sinks = self._labelled("input"), self._labelled("output")
        reached, reaching = set(sources), set(sinks)
        for source, target in sorted(self.edges):
            if source in reached:
                reached.add(target)
        for source, target in sorted(self.edges, reverse=True):
            if target in reaching:
                reaching.add(source)
        kept = sorted((reached & reaching) | sources | sinks)
        place = {node: k for k, node in enumerate(kept)}
        edges = frozenset((place[s], place[t]) for s, t in self.edges if s in place and t in place)
        return Graph(tuple(self.ops[node] for node in kept), edges)

    def canonical(self) -> Graph:
        """The one representative of all relabellings: equal for two graphs exactly if they are isomorphic.

        Colours are refined by the colours of the neighbours until they settle; where several nodes still share a
        colour, each is tried in first place and the smallest result is kept. Twins (nodes of one colour with the
        same neighbours) are interchangeable, so one of them is enough.
        """
        search = _Canonical(self)
        search.descend(search.refined(search.initial_colours()))
        assert search.best is not None
        _, order = search.best
        return self.relabelled(order)

    def _labelled(self, op: str) -> set[int]:
        return {node for node, label in enumerate(self.ops) if label == op}


class Sketch:
    """A graph that is drawn node after node; node 0 is the "input"."""

    def __init__(self) -> None:
        self._ops = ["input"]
        self._edges: set[tuple[int, int]] = set()

    def node(self, op: str, *sources: int) -> int:
        """Add a node that reads some others; its number."""
        self._ops.append(op)
        self._edges.update((source, len(self._ops) - 1) for source in sources)
        return len(self._ops) - 1

    def graph(self) -> Graph:
        """All that was drawn."""
        return Graph(tuple(self._ops), frozenset(self._edges))


class _Canonical:
    """The search for the smallest relabelling of one graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        count = len(graph.ops)
        self.before: list[set[int]] = [set() for _ in range(count)]
        self.after: list[set[int]] = [set() for _ in range(count)]
        for source, target in graph.edges:
            self.after[source].add(target)
            self.before[target].add(source)
        self.best: tuple[tuple[object, ...], list[int]] | None = None

    def initial_colours(self) -> list[int]:
        """Rank of (longest path from a root, label): ranks sorted by depth make every order topological."""
        depth = [0] * len(self.graph.ops)
        for node in range(len(depth)):
            depth[node] = max((depth[source] + 1 for source in self.before[node]), default=0)
        return _ranks([(depth[node], op) for node, op in enumerate(self.graph.ops)])

    def refined(self, colours: list[int]) -> list[int]:
        """Split the colours by the multisets of the neighbours' colours until nothing splits."""
        while True:
            keys = [
                (
                    colour,
                    tuple(sorted(colours[other] for other in self.before[node])),
                    tuple(sorted(colours[other] for other in self.after[node])),
                )
                for node, colour in enumerate(colours)
            ]
            finer = _ranks(keys)
            if finer == colours:
                return colours
            colours = finer

    def descend(self, colours: list[int]) -> None:
        """Fix one node of the first shared colour in turn, refine, and go on; keep the smallest leaf."""
        cells: dict[int, list[int]] = {}
        for node, colour in enumerate(colours):
            cells.setdefault(colour, []).append(node)
        shared = next((cells[colour] for colour in sorted(cells) if len(cells[colour]) > 1), None)
        if shared is None:
            self._keep(colours)
            return
        tried: set[tuple[frozenset[int], frozenset[int]]] = set()
        for node in shared:
            neighbours = (frozenset(self.before[node]), frozenset(self.after[node]))
            if neighbours in tried:
                continue
            tried.add(neighbours)
            # The chosen node sorts before its colour mates; all other colours keep their order.
            split = _ranks([(colour, node != other) for other, colour in enumerate(colours)])
            self.descend(self.refined(split))

    def _keep(self, colours: list[int]) -> None:
        order = sorted(range(len(colours)), key=colours.__getitem__)
        place = {node: k for k, node in enumerate(order)}
        edges = sorted((place[source], place[target]) for source, target in self.graph.edges)
        key = (tuple(self.graph.ops[node] for node in order), tuple(edges))
        if self.best is None or key < self.best[0]:
            self.best = (key, order)


def _ranks(keys: Sequence[object]) -> list[int]:
    rank = {key: index for index, key in enumerate(sorted(set(keys)))}  # type: ignore[type-var]
    return [rank[key] for key in keys]
