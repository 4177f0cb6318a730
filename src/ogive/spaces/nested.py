"""Networks whose cells all differ: what every node of every cell adds up, and how a few cells make a deep network.

Heuillet, Tabia, Arioui and Youcef-Toumi, "D-DARTS: Distributed Differentiable Architecture Search", 2021
(arXiv:2108.09306); the published code is aheuillet/D-DARTS. As in DARTS, states 0 and 1 of a cell are the outputs of
the two cells before it (k-2 and k-1), and its nodes are numbered from 2. Here a node may add any number of operations,
several on one state among them. A node that adds none does not exist, and the output of a cell joins all that exist.
"""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ogive.core.errors import InvalidArchitecture, SpecError, nearest, quoted
from ogive.spaces.darts import CHOOSABLE
from ogive.spaces.notation import arguments

__all__ = [
    "DARTOPTI_OPERATIONS",
    "DDARTS_OPERATIONS",
    "Entry",
    "NestedCell",
    "NestedGenotype",
    "deepened",
    "depth_map",
    "nodes_of",
    "read_nested",
    "reductions_of",
    "without_orphans",
    "write_nested",
]

logger = logging.getLogger(__name__)

# Both in the order of the published code, which is the order of the columns of the architecture parameters.
DDARTS_OPERATIONS = CHOOSABLE
DARTOPTI_OPERATIONS = (
    "conv_3x1_1x3",
    "conv_7x1_1x7",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "simple_conv_1x1",
    "simple_conv_3x3",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
    "bottleneck_1x3x1",
)
INPUTS = 2
# With fewer cells there is none between the two reductions, or none after them, that could be repeated.
DEEPENED_FROM = 5


class Entry(NamedTuple):
    """An operation, the node that adds its output, and the state that it reads."""

    op: str
    node: int
    state: int


NestedCell = tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class NestedGenotype:
    """The distinct cells of a network, which of them each layer is, and the layers that halve the image.

    `layers` is by default one of its own for each cell, `reductions` a third and two thirds of the way down. Every
    state that is read must exist. Raises InvalidArchitecture.
    """

    cells: tuple[NestedCell, ...]
    layers: tuple[int, ...] = ()
    reductions: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for name, value in (
            ("cells", tuple(tuple(Entry(*entry) for entry in cell) for cell in self.cells)),
            ("layers", tuple(self.layers) or tuple(range(len(self.cells)))),
        ):
            object.__setattr__(self, name, value)
        given = self.reductions
        object.__setattr__(self, "reductions", reductions_of(len(self.layers)) if given is None else tuple(given))
        if not self.cells:
            raise InvalidArchitecture("A network of nested cells needs at least one cell, but got none.")
        for place, cell in enumerate(self.cells):
            _check_cell(place, cell)
        self._check_layers()

    def _check_layers(self) -> None:
        known = range(len(self.cells))
        if not set(self.layers) <= set(known):
            raise InvalidArchitecture(f"A layer is one of the {len(known)} cells, but got the layers {self.layers}.")
        halving = self.halving
        if list(halving) != sorted(set(halving) & set(range(len(self.layers)))):
            raise InvalidArchitecture(
                f"Reductions are layers 0..{len(self.layers) - 1} in ascending order, but got {halving}."
            )

    @property
    def halving(self) -> tuple[int, ...]:
        """The layers that halve the image and double the width."""
        assert self.reductions is not None
        return self.reductions


def reductions_of(layers: int) -> tuple[int, ...]:
    """The layers of a DARTS network that halve the image: a third and two thirds of the way down."""
    return tuple(sorted({layers // 3, 2 * layers // 3}))


def nodes_of(cell: Iterable[Entry]) -> tuple[int, ...]:
    """The nodes of a cell that exist, ascending."""
    return tuple(sorted({node for _, node, _ in cell}))


def without_orphans(cell: Sequence[tuple[str, int, int]]) -> NestedCell:
    """The cell without the entries that read a node which has no input, directly or through others."""
    existing = set(range(INPUTS))
    for node in nodes_of(Entry(*entry) for entry in cell):
        if any(to == node and state in existing for _, to, state in cell):
            existing.add(node)
    return tuple(Entry(*entry) for entry in cell if entry[2] in existing)


# -- depth ------------------------------------------------------------------------------------------------------------


def depth_map(cells: int, layers: int) -> tuple[int, ...]:
    """Which of so many searched cells each layer of a deeper network is, as the published code has it (model.py).

    The two cells searched as reductions are the reductions of the deeper network too; the first third of the layers
    takes cells from the start, the middle and the last third take turns with the cells between and after them. In the
    first third cell number (i mod cells) // 3 is taken for layer i, which is not quite the first third of the cells.
    Raises SpecError.
    """
    if layers == cells:
        return tuple(range(cells))
    if layers < cells:
        raise SpecError(
            f"A network has at least one layer for each of its {cells} distinct cells, but got {layers} layers: ask "
            f"for {cells} or more."
        )
    if cells < DEEPENED_FROM:
        raise SpecError(
            f"A network of {layers} layers repeats cells before, between and after its two reductions, which takes at "
            f"least {DEEPENED_FROM} distinct cells, but got {cells}: ask for {cells} layers."
        )
    first, second = cells // 3, 2 * cells // 3
    third, two_thirds = layers // 3, 2 * layers // 3
    found = []
    for layer in range(layers):
        if layer < third:
            found.append(layer % cells // 3)
        elif layer == third:
            found.append(first)
        elif layer < two_thirds:
            found.append(first + 1 + layer % (second - first - 1))
        elif layer == two_thirds:
            found.append(second)
        else:
            found.append(second + 1 + layer % (cells - second - 1))
    return tuple(found)


def deepened(genotype: NestedGenotype, layers: int) -> NestedGenotype:
    """The network of so many layers from the same cells, with reductions a third and two thirds of the way down.

    The published code keeps the stored reductions at any depth, though its map of cells supposes these. With as many
    layers as cells only the reductions are set anew. Where the map leaves cells out, as it does for some depths that
    are little more than the number of cells, that is logged, once for each depth. Raises SpecError for a network that
    repeats cells already, or that halves its images more than twice.
    """
    if genotype.layers != tuple(range(len(genotype.cells))) or len(genotype.halving) > 2:
        raise SpecError(
            "Only a network in which every layer is a cell of its own and which reduces at most twice can be "
            f"deepened; this one has {len(genotype.layers)} layers of {len(genotype.cells)} cells and the reductions "
            f"{genotype.halving}: build it with {len(genotype.layers)} cells."
        )
    found = depth_map(len(genotype.cells), layers)
    _tell_lost(len(genotype.cells), found)
    return NestedGenotype(genotype.cells, found)


@functools.cache
def _tell_lost(cells: int, layers: tuple[int, ...]) -> None:
    lost = [cell for cell in range(cells) if cell not in layers]
    if lost:
        logger.warning(
            "A network of %d layers from %d cells has no layer for the cells %s, as in the published code: %d layers "
            "or more have all of them.",
            *(len(layers), cells, lost, _whole_from(cells)),
        )


def _whole_from(cells: int) -> int:
    """The least number of layers above that of the cells with which every cell has one."""
    return next(layers for layers in itertools.count(cells + 1) if len(set(depth_map(cells, layers))) == cells)


# -- text -------------------------------------------------------------------------------------------------------------


def read_nested(text: str) -> NestedGenotype:
    """The network of ``Genotype_nested(genes=[[('sep_conv_3x3', 2, 1), ...], ...], concat=..., reductions=...)``.

    With ``Genotype_opt(genes=..., seq=..., concat=..., reductions=...)``, `seq` says which gene each layer is. `concat`
    is not kept: the published networks join all nodes that exist, whatever it says.
    """
    if "Genotype_opt" in text:
        found = arguments(text, "Genotype_opt", ("genes", "seq", "concat", "reductions"))
    else:
        found = arguments(text, "Genotype_nested", ("genes", "concat", "reductions"))
    genes = found["genes"]
    if not isinstance(genes, (list, tuple)):
        raise InvalidArchitecture(f"The genes of a nested genotype are a list of cells; got {quoted(genes)}.")
    layers = _numbers(found.get("seq", ()), "seq")
    return NestedGenotype(tuple(_cell(gene) for gene in genes), layers, _numbers(found["reductions"], "reductions"))


def write_nested(genotype: NestedGenotype) -> str:
    """The text that `read_nested` reads."""
    genes = [[tuple(entry) for entry in cell] for cell in genotype.cells]
    concat = sorted({node for cell in genotype.cells for node in nodes_of(cell)})
    rest = f"concat={concat}, reductions={list(genotype.halving)})"
    if genotype.layers == tuple(range(len(genes))):
        return f"Genotype_nested(genes={genes}, {rest}"
    return f"Genotype_opt(genes={genes}, seq={list(genotype.layers)}, {rest}"


def _numbers(value: object, name: str) -> tuple[int, ...]:
    numbers = value if isinstance(value, (list, tuple)) else (None,)
    if not all(type(number) is int for number in numbers):
        raise InvalidArchitecture(f"The {name} of a nested genotype are whole numbers; got {quoted(value)}.")
    return tuple(numbers)


def _cell(value: object) -> NestedCell:
    triples = value if isinstance(value, (list, tuple)) else (None,)
    entries = [
        Entry(*triple)
        for triple in triples
        if isinstance(triple, (list, tuple)) and [type(part) for part in triple] == [str, int, int]
    ]
    if len(entries) != len(triples):
        raise InvalidArchitecture(f"A nested cell is a list of triples (operation, node, state); got {quoted(value)}.")
    return tuple(entries)


# -- checks -----------------------------------------------------------------------------------------------------------


def _check_cell(place: int, cell: NestedCell) -> None:
    if not cell:
        raise InvalidArchitecture(f"Cell {place} has no operation, but a cell needs at least one to have an output.")
    if len(set(cell)) < len(cell):
        twice = next(entry for entry in cell if cell.count(entry) > 1)
        raise InvalidArchitecture(
            f"Cell {place} has the entry {tuple(twice)} twice; an operation is there or it is not."
        )
    existing = {*range(INPUTS), *nodes_of(cell)}
    for op, node, state in cell:
        if op not in DARTOPTI_OPERATIONS:
            raise InvalidArchitecture(
                f"Cell {place} cannot hold the operation {quoted(op)}. {nearest(op, DARTOPTI_OPERATIONS)}"
            )
        if node < INPUTS or not 0 <= state < node:
            raise InvalidArchitecture(
                f"Nodes of a cell are numbered from {INPUTS} and read states before them, but in cell {place} node "
                f"{node} reads {state}."
            )
        if state not in existing:
            raise InvalidArchitecture(
                f"Node {node} of cell {place} reads node {state}, which has no input: give it one, or drop what reads "
                "it with without_orphans."
            )
