"""The space of DeepNets-1M: stacks of two cells of up to 15 operations, with stems, heads and normalisation that vary.

Knyazev et al., "Parameter Prediction for Unseen Deep Architectures", NeurIPS 2021, section 3; the published generator
is facebookresearch/ppuda, experiments/net_generator.py. `deepnets_graph.drawn` draws from its distributions: network
`number` of a split is a function of the seed and of these two alone, so that a million of them needs no file.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, UnknownName
from ogive.core.graph import Graph
from ogive.core.rng import Seed
from ogive.core.space import Choice, Choices, SearchSpace
from ogive.spaces.darts import OPS as OPS_OF_DARTS
from ogive.spaces.darts import Cell, in_a_row

__all__ = ["NAME", "OPS", "SPLITS", "Design", "Split", "deepnets", "design_of", "drawn_design", "nodes_of", "of_design"]

NAME = "deepnets"
OPS = (
    *OPS_OF_DARTS,
    "conv_1x1",
    "conv_7x1_1x7",
    "conv_3x3",
    "conv_5x5",
    "conv_7x7",
    "msa",
    "cse",
)
# The first four learn nothing.
FREE = 4
CELLS = tuple(range(4, 37))
KERNELS = (3, 5, 7)
HIDDEN = tuple(range(64, 513, 64))
# Large convolutions, of which a cell has one at most.
LARGE = ("conv_5x5", "conv_7x7")


@dataclass(frozen=True, slots=True)
class Split:
    """What the networks of a split have in common; net_generator.py.

    `cells` from least to most; a network of more cells than one of `deep` is deep, and has `medium` nodes a cell at
    most, else `nodes`; `least` nodes at least. `parameters` at a width of 32 are the most. Normalisation is always
    there (True), never (False) or left out of half of the shallow ones (None).
    """

    cells: tuple[int, int] = (4, 18)
    deep: tuple[int, ...] = (7, 8, 9, 10)
    least: int = 1
    medium: int = 2
    nodes: int = 4
    parameters: float = 1e7
    normalised: bool | None = None
    projected_transformers: float = 0.2


SPLITS = {
    **dict.fromkeys(("train", "val", "test", "wide"), Split()),
    "deep": Split(cells=(10, 36), deep=(18,), parameters=1e8),
    "dense": Split(least=2, medium=6, nodes=10, parameters=1e8),
    "bnfree": Split(normalised=False),
    "search": Split(cells=(6, 20), deep=(10,), medium=3, nodes=6, normalised=True),
}


@dataclass(frozen=True, slots=True)
class Design:
    """One network: two cells, of which `concat` states make the output, and what stands around them.

    `kernel` is that of the first convolution, `widening` the factor of the width at both reductions, `projected`
    whether 1×1 convolutions lead into each cell, `pooled` whether the head reads a mean; `hidden` is the width between
    the `layers` of the head.
    """

    cells: int
    normal: Cell
    reduce: Cell
    concat: tuple[int, ...]
    kernel: int = 3
    widening: int = 1
    projected: bool = True
    pooled: bool = True
    normalised: bool = True
    stem: str = "simple"
    stem_pool: bool = False
    layers: int = 1
    hidden: int = 256

    @property
    def nodes(self) -> int:
        """Nodes of a cell."""
        return len(self.normal) // 2

    @property
    def transformer(self) -> bool:
        """Whether attention is among the operations: then the image is cut into patches, and nothing is halved."""
        return any(op == "msa" for op, _ in (*self.normal, *self.reduce))

    def cell(self, reduction: bool) -> Cell:
        """The operations of a kind of cell and the states that they read."""
        return self.reduce if reduction else self.normal

    def reductions(self) -> tuple[int, ...]:
        """The cells that reduce."""
        return tuple(sorted({self.cells // 3, 2 * self.cells // 3} - {0}))

    def alive(self) -> list[tuple[bool, bool]]:
        """For each cell whether its two inputs are there, and at the end the outputs of the last two cells."""
        reductions = set(self.reductions())
        arrived = [(True, True)]
        for place in range(self.cells):
            out = _reaches(self.cell(place in reductions), self.concat, *arrived[-1])
            arrived.append((arrived[-1][1], out))
        return arrived


@functools.cache
def deepnets(*, nodes: int = 4, cells: int = 18) -> SearchSpace:
    """The space of stacks of 4 to `cells` cells, 36 at most, of up to `nodes` nodes.

    The training split has 4 nodes, search 6, dense 10; the deep split has 36 cells.
    """
    if not 1 <= nodes <= 10:
        raise SpecError(f"Cells of {NAME} have 1 to 10 nodes, but got nodes={nodes}.")
    if cells not in CELLS:
        raise SpecError(f"Networks of {NAME} have at most {CELLS[0]} to {CELLS[-1]} cells, but got cells={cells}.")
    variables = _variables(nodes, cells)
    listing = functools.partial(_listed, variables)
    return SearchSpace(NAME, variables, draw, _is_legal, listing, prune=prune, canonical=prune)


def design_of(arch: Architecture) -> Design:
    """What an architecture says."""
    return _design(arch.choices)


def of_design(design: Design, *, nodes: int = 4) -> Architecture:
    """The architecture of a design, in the space of so many nodes or, if the design has more, of as many."""
    nodes = max(nodes, design.nodes)
    choices = [
        CELLS.index(design.cells),
        design.nodes - 1,
        KERNELS.index(design.kernel),
        design.widening - 1,
        int(design.projected),
        int(design.pooled),
        int(design.normalised),
        int(design.stem == "imagenet"),
        int(design.stem_pool),
        design.layers - 1,
        HIDDEN.index(design.hidden),
    ]
    for node in range(nodes):
        choices.append(int(node + 2 in design.concat and node < design.nodes - 1))
        for cell in (design.normal, design.reduce):
            if node >= design.nodes:
                choices += [0, 0, 0]
                continue
            (first, lower), (second, upper) = sorted(cell[2 * node : 2 * node + 2], key=lambda entry: entry[1])
            choices += [_pairs(node).index((lower, upper)), OPS.index(first), OPS.index(second)]
    return Architecture(NAME, tuple(choices))


def nodes_of(arch: Architecture) -> int:
    """How many nodes a cell has at most in the space that an architecture is of."""
    return min(10, max(1, (len(arch.choices) - _FIXED) // 7))


def draw(arch: Architecture) -> Graph:
    """Its normal and its reduction cell in a row; the whole network is `spaces.deepnets_graph.network_graph`."""
    design = design_of(arch)
    cells = (design.normal, design.reduce)
    return in_a_row(([(op, 2 + n // 2, s) for n, (op, s) in enumerate(cell)], design.concat) for cell in cells)


def prune(arch: Architecture) -> Architecture:
    """The same network with the first option wherever none has an effect, or the one that it has in any case."""
    design = design_of(arch)
    transformer, single = design.transformer, design.layers == 1
    choices = list(of_design(design, nodes=nodes_of(arch)).choices)
    names = [variable.name for variable in _variables(1)]
    unused = {"kernel": transformer, "stem": transformer, "hidden": single}
    unused["stem_pool"] = transformer or design.stem == "imagenet"
    for name, idle in unused.items():
        if idle:
            choices[names.index(name)] = 0
    return Architecture(NAME, tuple(choices))


def drawn_design(split: str, rng: np.random.Generator) -> Design | None:
    """One draw of the published generator; None where it rejects it without looking at the size of the network."""
    rules = split_of(split)
    cells = int(rng.integers(rules.cells[0], rules.cells[1] + 1))
    threshold = int(rng.choice(rules.deep))
    nodes = int(rng.integers(rules.least, (rules.nodes if cells <= threshold else rules.medium) + 1))
    reduce_free, drops = bool(rng.random() > 0.5), nodes > 1 and bool(rng.random() > 0.5)
    normal, reduce = (_drawn_cell(nodes, free, rng) for free in (False, reduce_free))
    concat = tuple(s for s in range(2, 2 + nodes) if s == nodes + 1 or not drops or rng.random() > 0.5)
    transformer = any(op == "msa" for op, _ in (*normal, *reduce))
    widening = int(rng.integers(1, 3))
    free = nodes == 1 and widening == 1
    # Half of the shallow networks are without normalisation.
    shallow = cells <= rules.cells[0] + 1 and nodes <= rules.medium
    normalised = rules.normalised
    if normalised is None:
        normalised = not (shallow and bool(rng.random() > 0.5))
    stem = "imagenet" if rng.random() > 0.5 else "simple"
    design = Design(
        cells=cells,
        normal=normal,
        reduce=reduce,
        concat=concat,
        kernel=int(rng.choice(KERNELS)),
        widening=widening,
        projected=not free or (not transformer and (split != "search" or rng.random() > 0.2)) or _now_and_then(rng),
        pooled=transformer or cells > threshold or bool(rng.random() > 0.1),
        normalised=normalised,
        stem=stem,
        stem_pool=stem == "simple" and bool(rng.random() > 0.5),
        layers=int(rng.integers(1, 3)),
    )
    return design if _is_sound(design) else None


def split_of(name: str) -> Split:
    """The rules of a split; UnknownName if there is none."""
    if name not in SPLITS:
        raise UnknownName("split of DeepNets-1M", name, SPLITS)
    return SPLITS[name]


def stream(split: str, number: int, seed: int) -> np.random.Generator:
    """The random numbers of one network of a split."""
    return Seed(seed).child(NAME).child(split).numpy(str(number))


def _now_and_then(rng: np.random.Generator) -> bool:
    return bool(rng.random() > 0.8)


def _drawn_cell(nodes: int, free: bool, rng: np.random.Generator) -> Cell:
    """A cell as DARTS derives it from random weights: for each node the two best edges, for each edge the best one."""
    entries: list[tuple[str, int]] = []
    for node in range(nodes):
        raw = np.exp(1e-3 * rng.standard_normal((2 + node, len(OPS))))
        raw = raw[:, :FREE] if free else raw
        weights = raw / raw.sum(axis=1, keepdims=True)
        # Where a cell has one node, nothing may be left out.
        kept = weights if nodes > 1 else weights[:, 1:]
        best = kept.max(axis=1)
        states = sorted(np.argsort(-best, kind="stable")[:2].tolist())
        entries += [(OPS[int(kept[state].argmax()) + (nodes == 1)], state) for state in states]
    return tuple(entries)


def _is_sound(design: Design) -> bool:
    """Whether a network is one that the published generator keeps, but for its size."""
    cells = (design.normal, design.reduce)
    both = [op for cell in cells for op, _ in cell]
    gates = [sum(op == "cse" for op, _ in cell) for cell in cells]
    if max(gates) > 1 or any(sum(op in LARGE for op, _ in cell) > 1 for cell in cells):
        return False
    convolutions = any("conv" in op for op in both)
    if (any(gates) and not convolutions) or not (any(gates) or design.transformer or convolutions):
        return False
    return design.alive()[-1][1]


def _is_legal(choices: Choices) -> bool:
    design = _design(choices)
    if not design.projected and (design.nodes > 1 or design.widening > 1):
        return False
    return (design.pooled or not design.transformer) and _is_sound(design)


def _listed(variables: Sequence[Choice]) -> Iterator[Architecture]:
    """Every architecture, beginning with convolutions everywhere: of nothing but `none`, nobody would see the first."""
    first = OPS.index("conv_3x3")
    ranges = [
        [*range(first, len(OPS)), *range(first)] if variable.options == OPS else range(len(variable.options))[::-1]
        for variable in variables
    ]
    legal = (choices for choices in itertools.product(*ranges) if _is_legal(choices))
    return (Architecture(NAME, choices) for choices in legal)


@functools.lru_cache(maxsize=4096)
def _reaches(cell: Cell, concat: tuple[int, ...], first: bool, second: bool) -> bool:
    """Whether anything comes out of a cell."""
    there = [first, second]
    for node in range(len(cell) // 2):
        there.append(any(op != "none" and there[state] for op, state in cell[2 * node : 2 * node + 2]))
    return any(there[state] for state in concat)


def _design(choices: Sequence[int | float]) -> Design:
    numbers = [int(choice) for choice in choices]
    nodes = numbers[1] + 1
    cells: list[list[tuple[str, int]]] = [[], []]
    concat = []
    for node in range(nodes):
        start = _FIXED + 7 * node
        if numbers[start] or node == nodes - 1:
            concat.append(node + 2)
        for kind, cell in enumerate(cells):
            pair, lower, upper = numbers[start + 1 + 3 * kind : start + 4 + 3 * kind]
            first, second = _pairs(node)[pair]
            cell += [(OPS[lower], first), (OPS[upper], second)]
    return Design(
        cells=CELLS[numbers[0]],
        normal=tuple(cells[0]),
        reduce=tuple(cells[1]),
        concat=tuple(concat),
        kernel=KERNELS[numbers[2]],
        widening=numbers[3] + 1,
        projected=bool(numbers[4]),
        pooled=bool(numbers[5]),
        normalised=bool(numbers[6]),
        stem="imagenet" if numbers[7] else "simple",
        stem_pool=bool(numbers[8]) and not numbers[7],
        layers=numbers[9] + 1,
        hidden=HIDDEN[numbers[10]],
    )


# The variables before those of the nodes.
_FIXED = 11


@functools.cache
def _pairs(node: int) -> tuple[tuple[int, int], ...]:
    return tuple(itertools.combinations(range(2 + node), 2))


@functools.cache
def _variables(nodes: int, cells: int = CELLS[-1]) -> tuple[Choice, ...]:
    fixed = (
        Choice("cells", tuple(str(number) for number in CELLS if number <= cells)),
        Choice("nodes", tuple(str(number) for number in range(1, nodes + 1))),
        Choice("kernel", tuple(map(str, KERNELS))),
        Choice("widening", ("1", "2")),
        Choice("projected", ("no", "yes")),
        Choice("head", ("flat", "pooled")),
        Choice("normalisation", ("none", "batch")),
        Choice("stem", ("simple", "imagenet")),
        Choice("stem_pool", ("no", "yes")),
        Choice("layers", ("1", "2")),
        Choice("hidden", tuple(map(str, HIDDEN))),
    )
    assert len(fixed) == _FIXED
    of_nodes = (
        variable
        for node in range(nodes)
        for variable in (
            Choice(f"joined.{node + 2}", ("no", "yes")),
            *(
                Choice(f"{kind}.{node + 2}.{what}", options)
                for kind in ("normal", "reduce")
                for what, options in (
                    ("states", tuple(f"{lower}+{upper}" for lower, upper in _pairs(node))),
                    ("lower", OPS),
                    ("upper", OPS),
                )
            ),
        )
    )
    return (*fixed, *of_nodes)
