"""Places the nodes of a directed graph in layers, with few crossings and smooth lines, for drawing.

The four steps of Sugiyama, Tagawa and Toda (1981): layers by the longest path, stand-ins where an edge passes a layer,
orders by barycentres, places by least squares under a minimum distance. All deterministic; lengths are in pixels.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass

from ogive.core.graph import Graph

__all__ = ["Layout", "place"]

SWEEPS = 12
# A line that passes between two boxes needs this much room.
PASSAGE = 14.0


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are: `nodes[i]` is the centre of node i, `routes[edge]` the points that its line passes.

    Lines leave and enter every point of a route vertically, from the top of the picture to its bottom.
    """

    width: float
    height: float
    nodes: tuple[tuple[float, float], ...]
    routes: dict[tuple[int, int], tuple[tuple[float, float], ...]]


def place(
    graph: Graph,
    widths: Sequence[float],
    *,
    box: float,
    gap: float,
    across: float = 18.0,
    layers: Sequence[int] | None = None,
) -> Layout:
    """Lay out `graph` from top to bottom in boxes of the given widths, `box` high and `gap` apart.

    `across` is the smallest distance between neighbours of one layer. `layers` says on which layer each node stands,
    every edge leading downwards and no layer empty; without it, the longest path to a node does.
    """
    if len(graph) == 0:
        return Layout(0.0, 0.0, (), {})
    chain = _Chains(graph, _layers(graph) if layers is None else list(layers))
    sizes = [*widths, *[PASSAGE] * (len(chain.layer) - len(graph))]
    order = _ordered(chain)
    x = _spread(chain, order, sizes, across)
    left = min(x[node] - sizes[node] / 2 for node in range(len(x)))
    right = max(x[node] + sizes[node] / 2 for node in range(len(x)))
    points = [(x[node] - left, chain.layer[node] * (box + gap) + box / 2) for node in range(len(x))]
    routes = {edge: tuple(points[node] for node in nodes) for edge, nodes in chain.routes.items()}
    height = max(chain.layer) * (box + gap) + box
    return Layout(right - left, height, tuple(points[: len(graph)]), routes)


class _Chains:
    """The graph with a stand-in node on every layer that an edge passes, so that each link joins two layers."""

    def __init__(self, graph: Graph, layers: list[int]) -> None:
        self.layer = layers
        self.routes: dict[tuple[int, int], list[int]] = {}
        self.real = len(graph)
        links: list[tuple[int, int]] = []
        for source, target in sorted(graph.edges):
            route = [source]
            for layer in range(self.layer[source] + 1, self.layer[target]):
                self.layer.append(layer)
                route.append(len(self.layer) - 1)
            route.append(target)
            self.routes[source, target] = route
            links += itertools.pairwise(route)
        self.above: list[list[int]] = [[] for _ in self.layer]
        self.below: list[list[int]] = [[] for _ in self.layer]
        for upper, lower in links:
            self.below[upper].append(lower)
            self.above[lower].append(upper)


def _layers(graph: Graph) -> list[int]:
    """Longest path from a root; a root that is no input stands right above the first node that it feeds."""
    layer = [0] * len(graph)
    feeds: list[list[int]] = [[] for _ in range(len(graph))]
    for source, target in sorted(graph.edges, key=lambda edge: (edge[1], edge[0])):
        layer[target] = max(layer[target], layer[source] + 1)
        feeds[source].append(target)
    fed = {target for _, target in graph.edges}
    for node, op in enumerate(graph.ops):
        if node not in fed and feeds[node] and not op.startswith(("input", "c_{")):
            layer[node] = min(layer[target] for target in feeds[node]) - 1
    return layer


def _ordered(chain: _Chains) -> list[list[int]]:
    """The nodes of every layer from left to right: the best of some sweeps down and up by barycentres."""
    rows: list[list[int]] = [[] for _ in range(max(chain.layer) + 1)]
    for node, layer in enumerate(chain.layer):
        rows[layer].append(node)
    best, fewest = [row[:] for row in rows], _crossings(chain, rows)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        towards = chain.above if down else chain.below
        place = {node: float(rank) for row in rows for rank, node in enumerate(row)}
        for row in rows if down else reversed(rows):
            centre = {node: _mean([place[other] for other in towards[node]], place[node]) for node in row}
            row.sort(key=centre.__getitem__)
            place.update({node: float(rank) for rank, node in enumerate(row)})
        count = _crossings(chain, rows)
        if count < fewest:
            best, fewest = [row[:] for row in rows], count
    return best


def _crossings(chain: _Chains, rows: Sequence[Sequence[int]]) -> int:
    return sum(_crossings_between(chain, above, row) for above, row in itertools.pairwise(rows))


def _crossings_between(chain: _Chains, above: Sequence[int], row: Sequence[int]) -> int:
    place = {node: rank for rank, node in enumerate(above)}
    seen: list[int] = []
    total = 0
    for node in row:
        ends = sorted(place[other] for other in chain.above[node])
        total += sum(len(seen) - bisect_right(seen, end) for end in ends)
        for end in ends:
            insort(seen, end)
    return total


def _spread(chain: _Chains, order: Sequence[Sequence[int]], sizes: Sequence[float], across: float) -> list[float]:
    """Places across, drawn towards the neighbours above and below in turn; stand-ins pull harder than boxes."""
    x = [0.0] * len(sizes)
    for row in order:
        start = 0.0
        for node in row:
            x[node] = start + sizes[node] / 2
            start += sizes[node] + across
        for node in row:
            x[node] -= (start - across) / 2
    for sweep in range(2 * SWEEPS):
        for row in order if sweep % 2 == 0 else list(reversed(order)):
            wanted = [_mean([x[other] for other in (*chain.above[n], *chain.below[n])], x[n]) for n in row]
            weights = [4.0 if node >= chain.real else 1.0 for node in row]
            for node, value in zip(row, _apart(wanted, weights, [sizes[n] for n in row], across), strict=True):
                x[node] = value
    return x


def _apart(wanted: Sequence[float], weights: Sequence[float], sizes: Sequence[float], across: float) -> list[float]:
    """The places nearest to the wanted ones (weighted squares) that keep the order and the distances.

    Subtracting the smallest possible places turns the distances into plain monotony: isotonic regression, solved by
    pooling adjacent violators.
    """
    packed = [0.0]
    for left, right in itertools.pairwise(sizes):
        packed.append(packed[-1] + (left + right) / 2 + across)
    pools: list[tuple[float, float, int]] = []
    for value, weight, offset in zip(wanted, weights, packed, strict=True):
        pool = (value - offset, weight, 1)
        while pools and pools[-1][0] > pool[0]:
            mean, mass, count = pools.pop()
            joined = mass + pool[1]
            pool = ((mean * mass + pool[0] * pool[1]) / joined, joined, count + pool[2])
        pools.append(pool)
    levels = [mean for mean, _, count in pools for _ in range(count)]
    return [level + offset for level, offset in zip(levels, packed, strict=True)]


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
