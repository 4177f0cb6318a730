"""Random graphs in random graphs: what a generator of networks draws, as one list of steps.

Ru et al., "Neural Architecture Generator Optimization", NeurIPS 2020, section 3, after Xie et al., "Exploring Randomly
Wired Neural Networks", ICCV 2019. The published code is rubinxin/vega_NAGO, zeus/networks/pytorch/customs; what is
known to be wrong there is not repeated (docs/parts.md lists it).
"""

from __future__ import annotations

import functools
import itertools
import random  # noqa: TID251  local generators: networkx draws six times as fast from them as from numpy's
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from ogive.core.rng import Seed

if TYPE_CHECKING:
    from networkx import Graph

__all__ = ["CONVOLUTIONS", "MERGES", "OPS", "Drawn", "Generator", "Level", "Step", "connected", "drawn", "stages_of"]

Kind = Literal["ws", "er", "ba", "chain"]
Edges = list[tuple[int, int]]

MERGES = ("sum", "attention", "concat")
CONVOLUTIONS = ("conv_3x3", "conv_5x5")
OPS = (*CONVOLUTIONS, "avg_pool_3x3", "avg_pool_5x5")

# So many graphs that are not connected are thrown away before one is repaired; vega_NAGO tries as many seeds.
RESAMPLES = 30


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a generator: the family of its random graphs, and what that takes.

    "ws": Watts and Strogatz, `neighbours` of each of the `nodes` on a ring, each edge rewired with `probability`;
    "er": Erdős and Rényi, each edge with `probability`; "ba": Barabási and Albert, `neighbours` edges for each node
    that joins; "chain": each node reads the one before it.
    """

    kind: Kind
    nodes: int
    neighbours: int = 0
    probability: float = 0.0


@dataclass(frozen=True, slots=True)
class Generator:
    """A distribution of networks: cells in a graph, in each a graph of groups, in each a graph of operations.

    `stages` are the shares of cells in each stage of one resolution, `channels` how the widths of stages are to one
    another; `merges` and `ops` weigh what is drawn of MERGES and OPS.
    """

    top: Level
    middle: Level
    bottom: Level
    stages: tuple[float, ...] = (1.0, 1.0, 1.0)  # NAGO, section 3: a third of the cells each
    channels: tuple[float, ...] = (1.0, 2.0, 4.0)  # the same
    merges: tuple[float, ...] = (1.0, 0.0, 0.0)
    ops: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0)


class Step(NamedTuple):
    """What makes value i + 1 of earlier values, of which 0 is what the stem gives.

    `op` is one of OPS or MERGES, "mean" or "pool"; the result is as wide as stage `width` and as large as stage `side`.
    """

    op: str
    sources: tuple[int, ...]
    width: int
    side: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """One network of a generator. `resampled` graphs were thrown away, `repaired` ones were given edges."""

    steps: tuple[Step, ...]
    resampled: int
    repaired: int


@functools.lru_cache(maxsize=256)
def drawn(generator: Generator, draw: int) -> Drawn:
    """Network number `draw`, the same in every process."""
    drawing = _Drawing(generator, random.Random(Seed(draw).integer("hnag")))
    outputs: list[int] = []
    edges = drawing.graph(generator.top)
    before = _predecessors(generator.top.nodes, edges)
    for cell, stage in enumerate(stages_of(generator.top.nodes, generator.stages)):
        inputs = [outputs[other] for other in before[cell]] or [0]
        outputs.append(drawing.cell(stage, drawing.merged(inputs, stage)))
    drawing.mean([outputs[cell] for cell in _ends(generator.top.nodes, edges)])
    return Drawn(tuple(drawing.steps), drawing.resampled, drawing.repaired)


def stages_of(cells: int, shares: Sequence[float]) -> list[int]:
    """The stage of each cell: as many stages lie before it as have their share of the cells below its number."""
    ends = list(itertools.accumulate(shares))
    return [sum(cell * ends[-1] >= end * cells for end in ends[:-1]) for cell in range(cells)]


def connected(level: Level, rng: random.Random) -> tuple[Edges, int, bool]:
    """The edges of a connected random graph, how many others were thrown away, and whether this one was repaired.

    An edge leads from the lower to the higher node.
    """
    if level.kind == "chain" or level.nodes == 1:
        return [(node, node + 1) for node in range(level.nodes - 1)], 0, False
    import networkx as nx  # takes a third of a second, which listing spaces must not

    make = {"ws": _watts_strogatz, "er": _erdos_renyi, "ba": _barabasi_albert}[level.kind]
    for thrown in range(RESAMPLES):
        graph = make(level, rng)
        if nx.is_connected(graph):
            return _directed(graph), thrown, False
    parts = [sorted(part) for part in nx.connected_components(graph)]
    for place in range(1, len(parts)):
        joined = [node for part in parts[:place] for node in part]
        graph.add_edge(rng.choice(joined), rng.choice(parts[place]))
    return _directed(graph), RESAMPLES - 1, True


def _watts_strogatz(level: Level, rng: random.Random) -> Graph:
    """Of an odd number of neighbours, networkx drops one; here it is an edge for every second node on the ring."""
    import networkx as nx

    nodes, neighbours = level.nodes, min(level.neighbours, level.nodes - 1)
    if neighbours == nodes - 1:
        return nx.complete_graph(nodes)
    graph = nx.watts_strogatz_graph(nodes, neighbours - neighbours % 2, level.probability, seed=rng)
    if neighbours % 2:
        reach = neighbours // 2 + 1
        firsts = range(nodes // 2) if 2 * reach == nodes else range(0, nodes - nodes % 2, 2)
        for node in firsts:
            other = (node + reach) % nodes
            free = [one for one in range(nodes) if one != node and not graph.has_edge(node, one)]
            if free and (graph.has_edge(node, other) or rng.random() < level.probability):
                other = rng.choice(free)
            graph.add_edge(node, other)
    return graph


def _erdos_renyi(level: Level, rng: random.Random) -> Graph:
    import networkx as nx

    return nx.gnp_random_graph(level.nodes, level.probability, seed=rng)


def _barabasi_albert(level: Level, rng: random.Random) -> Graph:
    import networkx as nx

    return nx.barabasi_albert_graph(level.nodes, min(level.neighbours, level.nodes - 1), seed=rng)


def _directed(graph: Graph) -> Edges:
    return sorted((node, other) for node, near in graph.adjacency() for other in near if node < other)


def _predecessors(nodes: int, edges: Edges) -> list[list[int]]:
    before: list[list[int]] = [[] for _ in range(nodes)]
    for source, target in edges:
        before[target].append(source)
    return before


def _ends(nodes: int, edges: Edges) -> list[int]:
    """The nodes that no other reads."""
    read = {source for source, _ in edges}
    return [node for node in range(nodes) if node not in read]


@dataclass(slots=True)
class _Drawing:
    """A network that is being drawn, step after step."""

    generator: Generator
    rng: random.Random
    steps: list[Step] = field(default_factory=list)
    resampled: int = 0
    repaired: int = 0
    pooled: dict[tuple[int, int], int] = field(default_factory=dict)

    def graph(self, level: Level) -> Edges:
        edges, resampled, repaired = connected(level, self.rng)
        self.resampled += resampled
        self.repaired += repaired
        return edges

    def cell(self, stage: int, value: int) -> int:
        """A graph of groups that all read `value` or one another; what it gives is their mean."""
        level = self.generator.middle
        edges = self.graph(level)
        outputs: list[int] = []
        for before in _predecessors(level.nodes, edges):
            inputs = [outputs[other] for other in before]
            outputs.append(self.group(stage, self.merged(inputs, stage) if inputs else value))
        return self.mean([outputs[node] for node in _ends(level.nodes, edges)])

    def group(self, stage: int, value: int) -> int:
        """A graph of operations."""
        level = self.generator.bottom
        edges = self.graph(level)
        ends = _ends(level.nodes, edges)
        plain = not any(self.generator.ops[1:])
        outputs: list[int] = []
        for node, before in enumerate(_predecessors(level.nodes, edges)):
            inputs = [outputs[other] for other in before]
            source = self.merged(inputs, stage) if inputs else value
            op = OPS[0] if plain else self.operation(last=node in ends)
            outputs.append(self._step(op, [source], stage, stage))
        return self.mean([outputs[node] for node in ends])

    def operation(self, *, last: bool) -> str:
        """A random operation; one that ends a graph is no pool, as in vega_NAGO."""
        weights = self.generator.ops[: len(CONVOLUTIONS)] if last else self.generator.ops
        return self.rng.choices(OPS[: len(weights)], weights)[0] if any(weights) else OPS[0]

    def merged(self, sources: list[int], side: int) -> int:
        """Several values as one, as wide as the last of them; a single one as it is, at most pooled."""
        if len(sources) == 1:
            return self._pool(sources[0], side)
        weights = self.generator.merges
        kind = self.rng.choices(MERGES, weights)[0] if any(weights[1:]) else MERGES[0]
        return self._step(kind, sources, self._of(sources[-1])[0], side)

    def mean(self, sources: list[int]) -> int:
        return sources[0] if len(sources) == 1 else self._step("mean", sources, *self._of(sources[-1]))

    def _pool(self, source: int, side: int) -> int:
        width, before = self._of(source)
        if before == side:
            return source
        if (source, side) not in self.pooled:
            self.pooled[source, side] = self._step("pool", [source], width, side)
        return self.pooled[source, side]

    def _of(self, value: int) -> tuple[int, int]:
        """The stages whose width and side a value has."""
        return (self.steps[value - 1].width, self.steps[value - 1].side) if value else (0, 0)

    def _step(self, op: str, sources: list[int], width: int, side: int) -> int:
        self.steps.append(Step(op, tuple(sources), width, side))
        return len(self.steps)
