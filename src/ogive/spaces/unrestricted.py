"""Nested cells in which every edge may hold any operations at once: what the rules `edge` and `complete` derive.

Heuillet et al., "D-DARTS: Distributed Differentiable Architecture Search" (arXiv:2108.09306). Every operation of every
edge is a choice of its own, so that networks such as ResNet50, with a bottleneck and a skip connection on one edge, are
in the space too. `Outline` says what the architectures of any space of nested cells have in common.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError, UnknownName
from ogive.core.graph import Graph
from ogive.core.space import Choice, SearchSpace
from ogive.spaces import ddarts as sparse
from ogive.spaces.darts import NODES
from ogive.spaces.ddarts import drawn
from ogive.spaces.handcrafted import HANDCRAFTED
from ogive.spaces.nested import (
    DARTOPTI_OPERATIONS,
    DDARTS_OPERATIONS,
    INPUTS,
    Entry,
    NestedCell,
    NestedGenotype,
    nodes_of,
    read_nested,
    reductions_of,
    write_nested,
)

__all__ = ["UNRESTRICTED", "Outline", "dartopti_from", "ddarts_dense", "outline_of", "outline_of_architecture"]

# Present comes first, so that a listing, which counts from zeros, begins with a legal cell.
HELD = 0
UNRESTRICTED = ("ddarts_dense", "dartopti_from")

Choices = tuple[int | float, ...]
Slot = tuple[str, int, int]  # an operation, a node, a state


@dataclass(frozen=True, slots=True)
class Outline:
    """What all networks of a space of nested cells have in common.

    The operations of an edge and the nodes of a cell; which distinct cell each layer is, and the layers that halve the
    image; whether an edge may hold several operations; and the handcrafted network that the space was made for.
    """

    space: str
    operations: tuple[str, ...]
    nodes: int
    layers: tuple[int, ...]
    reductions: tuple[int, ...]
    dense: bool
    handcrafted: str | None = None

    @property
    def distinct(self) -> int:
        """How many cells are distinct."""
        return 1 + max(self.layers)

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Every operation that a cell may hold, by node, then state, then operation."""
        return _slots(self.operations, self.nodes)

    @property
    def start(self) -> NestedGenotype | None:
        """The handcrafted network, if the space was made for one."""
        return None if self.handcrafted is None else HANDCRAFTED[self.handcrafted]

    def genotype(self, arch: Architecture) -> NestedGenotype:
        """The cells of an architecture of this space, and where they are."""
        if not self.dense:
            return sparse.genotype_of(arch)
        size = len(self.slots)
        cells = (_cell(arch.choices[first : first + size], self.slots) for first in range(0, len(arch.choices), size))
        return NestedGenotype(tuple(cells), self.layers, self.reductions)

    def architecture(self, genotype: NestedGenotype) -> Architecture:
        """The architecture with the cells of a genotype, which must have as many; its layers are not looked at."""
        if len(genotype.cells) != self.distinct:
            raise InvalidArchitecture(
                f"An architecture of this space has {self.distinct} distinct cells, but got {len(genotype.cells)}."
            )
        if not self.dense:
            return sparse.architecture(NestedGenotype(genotype.cells), self.space)
        return Architecture(self.space, tuple(self._choices(genotype)))

    def _choices(self, genotype: NestedGenotype) -> Iterator[int]:
        for place, cell in enumerate(genotype.cells):
            foreign = set(map(tuple, cell)) - set(self.slots)
            if foreign:
                raise InvalidArchitecture(
                    f"A cell of this space has the nodes 2..{self.nodes + 1} and {len(self.operations)} operations, "
                    f"but cell {place} has {min(foreign)}: build the genotype itself."
                )
            held = set(map(tuple, cell))
            yield from (HELD if slot in held else 1 - HELD for slot in self.slots)


@dataclass(frozen=True, eq=False)
class DenseSpace(SearchSpace):
    """A dense space, from which architectures with one operation an edge on average are drawn.

    With every choice equally likely, half of all operations would be held, and a random network would be many times the
    size of a derived one.
    """

    operations: int = 0
    cell: int = 0  # how many variables a cell has

    def sample(self, rng: np.random.Generator) -> Architecture:
        """A random architecture: every operation held with the same probability, given that the whole is legal."""
        choices: tuple[int, ...] = ()
        while len(choices) < len(self.variables):
            drawn_cell = np.where(rng.random(self.cell) < 1 / self.operations, HELD, 1 - HELD)
            cell = tuple(drawn_cell.tolist())
            # The cells of an architecture are legal one by one, so that only one need be drawn again.
            if self.is_legal(cell * (len(self.variables) // self.cell)):
                choices += cell
        return Architecture(self.name, choices)


def ddarts_dense(*, distinct: int = 8, cells: int | None = None) -> SearchSpace:  # as many as those of ddarts
    """Cells that all differ, with any of the seven operations of DARTS on every edge: about 2^98 of each cell.

    `cells` is another word for `distinct`; how deep a network of them is says its skeleton.
    """
    return _space(_plain(distinct if cells is None else cells))


def dartopti_from(*, network: str = "resnet18") -> SearchSpace:
    """What DARTOpti reaches from a handcrafted network: its layers, with any of twelve operations on every edge.

    `network` is resnet18, resnet50 or xception. Layers that are one cell there stay one.
    """
    if network not in HANDCRAFTED:
        raise UnknownName("handcrafted network", network, HANDCRAFTED)
    return _space(_from(network))


def outline_of(space: SearchSpace) -> Outline:
    """The outline of a space of nested cells; UnknownName for another space."""
    if space.name in UNRESTRICTED:
        return _outline(space.name, len(space.variables))
    if space.name not in sparse.OPERATIONS:
        raise UnknownName("space of nested cells", space.name, (*sparse.OPERATIONS, *UNRESTRICTED))
    layers = tuple(range(len(space.variables) // sparse.WIDTH))
    return Outline(space.name, sparse.OPERATIONS[space.name], NODES, layers, reductions_of(len(layers)), dense=False)


def outline_of_architecture(arch: Architecture) -> Outline:
    """The outline of the dense space that an architecture belongs to, which the number of its choices tells."""
    return _outline(arch.space, len(arch.choices))


def draw(arch: Architecture) -> Graph:
    """All layers in a row; see ``spaces.ddarts``."""
    return drawn(outline_of_architecture(arch).genotype(arch))


def read(text: str) -> Architecture:
    """The cells of ``Genotype_nested(genes=..., concat=..., reductions=...)`` with the operations of DARTS."""
    genotype = read_nested(text)
    return _plain(len(genotype.cells)).architecture(genotype)


def read_from(text: str) -> Architecture:
    """The cells of a genotype with the layers and reductions of a handcrafted network."""
    genotype = read_nested(text)
    for name, known in HANDCRAFTED.items():
        if (genotype.layers, genotype.reductions) == (known.layers, known.reductions):
            return _from(name).architecture(genotype)
    raise InvalidArchitecture(
        f"The layers {genotype.layers} and reductions {genotype.reductions} are those of none of "
        f"{', '.join(HANDCRAFTED)}: build the genotype itself."
    )


def write(arch: Architecture) -> str:
    """The text that `read` and `read_from` read."""
    return write_nested(outline_of_architecture(arch).genotype(arch))


def is_legal(space: str, choices: Choices) -> bool:
    """Whether every cell has an operation, and reads only nodes that have one."""
    outline = _outline(space, len(choices))
    size = len(outline.slots)
    starts = range(0, len(choices), size)
    return all(_cell_is_legal(choices[first : first + size], outline.slots) for first in starts)


# -- outlines ---------------------------------------------------------------------------------------------------------


def _plain(distinct: int) -> Outline:
    if distinct < 1:
        raise SpecError(f"ddarts_dense needs at least one distinct cell, but got distinct={distinct}.")
    layers = tuple(range(distinct))
    return Outline("ddarts_dense", DDARTS_OPERATIONS, NODES, layers, reductions_of(distinct), dense=True)


def _from(network: str) -> Outline:
    known = HANDCRAFTED[network]
    nodes = max(NODES, *(nodes_of(cell)[-1] - INPUTS + 1 for cell in known.cells))
    return Outline("dartopti_from", DARTOPTI_OPERATIONS, nodes, known.layers, known.halving, True, network)


@functools.cache
def _outline(space: str, choices: int) -> Outline:
    """The outline of the dense space with so many choices: no two of them have equally many."""
    plain = len(_slots(DDARTS_OPERATIONS, NODES))
    outlines = map(_from, HANDCRAFTED) if space == "dartopti_from" else iter((_plain(max(1, choices // plain)),))
    for outline in outlines:
        if len(outline.slots) * outline.distinct == choices:
            return outline
    raise InvalidArchitecture(f"No space {space} has {choices} variables.")


@functools.cache
def _slots(operations: tuple[str, ...], nodes: int) -> tuple[Slot, ...]:
    return tuple(
        (op, node, state) for node in range(INPUTS, INPUTS + nodes) for state in range(node) for op in operations
    )


# -- the space --------------------------------------------------------------------------------------------------------


@functools.cache
def _space(outline: Outline) -> SearchSpace:
    return DenseSpace(
        name=outline.space,
        variables=tuple(
            Choice(f"{cell}.{node}.{state}.{op}", ("held", "absent"))
            for cell in range(outline.distinct)
            for op, node, state in outline.slots
        ),
        draw=draw,
        is_legal=functools.partial(is_legal, outline.space),
        count=_legal_cells(len(outline.operations), outline.nodes) ** outline.distinct,
        read=read if outline.handcrafted is None else read_from,
        write=write,
        operations=len(outline.operations),
        cell=len(outline.slots),
    )


@functools.lru_cache(maxsize=1 << 12)
def _cell_is_legal(choices: Choices, slots: tuple[Slot, ...]) -> bool:
    cell = _cell(choices, slots)
    existing = {*range(INPUTS), *nodes_of(cell)}
    return bool(cell) and all(state in existing for _, _, state in cell)


def _cell(choices: Choices, slots: Sequence[Slot]) -> NestedCell:
    return tuple(Entry(*slot) for slot, choice in zip(slots, choices, strict=True) if choice == HELD)


def _legal_cells(operations: int, nodes: int) -> int:
    """How many combinations of choices make a cell: for every set of nodes that may exist, those that make it exist."""
    total = 0
    for chosen in range(1, 1 << nodes):
        ways, before = 1, INPUTS
        for node in range(nodes):
            if chosen >> node & 1:
                ways *= (1 << operations * before) - 1
                before += 1
        total += ways
    return total
