"""The spaces of D-DARTS: as many distinct cells as asked for, in each of which a node adds up to two operations.

Heuillet et al., "D-DARTS: Distributed Differentiable Architecture Search" (arXiv:2108.09306). A cell is one of DARTS in
which an operation may be missing: what the rule `threshold_sparse` of the paper's code derives from gates. A node
without any does not exist and may not be read. Cells that hold more (several operations on an edge, more than two
states a node, more than four nodes) are those of the spaces in ``spaces.dense``.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError
from ogive.core.graph import Graph
from ogive.core.space import Choice, SearchSpace
from ogive.spaces.darts import NODES, PAIRS, in_a_row
from ogive.spaces.nested import (
    DARTOPTI_OPERATIONS,
    DDARTS_OPERATIONS,
    Entry,
    NestedCell,
    NestedGenotype,
    nodes_of,
    read_nested,
)

__all__ = ["OPERATIONS", "architecture", "dartopti", "ddarts", "drawn", "genotype_of"]

OPERATIONS: dict[str, tuple[str, ...]] = {"ddarts": DDARTS_OPERATIONS, "dartopti": DARTOPTI_OPERATIONS}
NONE = "none"
# Of each node: which two states, and the operation on the lower and on the upper of them.
WIDTH = 3 * NODES

Choices = tuple[int | float, ...]


def ddarts(*, distinct: int = 8, cells: int | None = None) -> SearchSpace:  # train_search.py of aheuillet/D-DARTS
    """Cells that all differ, of the seven operations of DARTS: 5.5e75 networks of eight cells.

    `cells` is another word for `distinct`; how deep a network of them is says its skeleton.
    """
    return _space("ddarts", distinct if cells is None else cells)


def dartopti(*, distinct: int = 4, cells: int | None = None) -> SearchSpace:  # as many as ResNets have stages
    """The same with twelve operations, which make ResNet, Xception and Inception too: 4.4e44 of four cells."""
    return _space("dartopti", distinct if cells is None else cells)


def genotype_of(arch: Architecture) -> NestedGenotype:
    """The cells of an architecture of `ddarts` or `dartopti`, a layer each."""
    operations = OPERATIONS[arch.space]
    starts = range(0, len(arch.choices), WIDTH)
    return NestedGenotype(tuple(_entries(arch.choices[start : start + WIDTH], operations) for start in starts))


def architecture(genotype: NestedGenotype, space: str = "ddarts") -> Architecture:
    """The architecture with the cells of a genotype, whose reductions it does not keep.

    Raises InvalidArchitecture for cells that the space does not have, and for a network that repeats cells.
    """
    if genotype.layers != tuple(range(len(genotype.cells))):
        raise InvalidArchitecture(
            f"In an architecture of {space} every layer is a cell of its own, but the layers are {genotype.layers}: "
            "build the genotype itself."
        )
    operations = OPERATIONS[space]
    choices = tuple(choice for place, cell in enumerate(genotype.cells) for choice in _choices(place, cell, operations))
    return Architecture(space, choices)


def prune(arch: Architecture) -> Architecture:
    """The same cells, in which a state that nobody reads is named in one way only."""
    return architecture(genotype_of(arch), arch.space)


def draw(arch: Architecture) -> Graph:
    """All distinct cells in a row."""
    return drawn(genotype_of(arch))


def drawn(genotype: NestedGenotype) -> Graph:
    """All layers in a row, each reading the two before it; the first two also read the input.

    As in the drawings of `darts`, every node of a cell is a "sum" and a cell ends in a "concat" of its nodes. A
    preprocess node that nobody reads stays in the drawing.
    """
    return in_a_row((cell, nodes_of(cell)) for cell in (genotype.cells[which] for which in genotype.layers))


def read(text: str, space: str = "ddarts") -> Architecture:
    """The cells of ``Genotype_nested(genes=..., concat=..., reductions=...)``."""
    return architecture(read_nested(text), space)


def is_legal(choices: Choices, operations: int = len(DDARTS_OPERATIONS)) -> bool:
    """Whether every cell has an operation, and reads only nodes that have one."""
    return all(_cell_is_legal(choices[start : start + WIDTH], operations) for start in range(0, len(choices), WIDTH))


# -- the space --------------------------------------------------------------------------------------------------------


# Far more than any network has layers.
MOST = 1000


@functools.cache
def _space(name: str, distinct: int) -> SearchSpace:
    if distinct < 1:
        raise SpecError(f"{name} needs at least one distinct cell, but got distinct={distinct}.")
    if distinct > MOST:
        raise SpecError(f"A network of {name} has at most {MOST} distinct cells, but got distinct={distinct}.")
    operations = OPERATIONS[name]
    return SearchSpace(
        name=name,
        variables=_variables(distinct, operations),
        draw=draw,
        is_legal=functools.partial(is_legal, operations=len(operations)),
        count=_legal_cells(len(operations)) ** distinct,
        read=functools.partial(read, space=name),
        prune=prune,
    )


def _variables(distinct: int, operations: Sequence[str]) -> tuple[Choice, ...]:
    # `none` is the last option, so that a listing, which counts from zeros, begins with legal cells.
    options = (*operations, NONE)
    return tuple(
        variable
        for cell in range(distinct)
        for node, pairs in enumerate(PAIRS)
        for variable in (
            Choice(f"{cell}.{node + 2}.states", tuple(f"{lower}+{upper}" for lower, upper in pairs)),
            Choice(f"{cell}.{node + 2}.lower", options),
            Choice(f"{cell}.{node + 2}.upper", options),
        )
    )


@functools.lru_cache(maxsize=1 << 16)
def _cell_is_legal(choices: Choices, none: int) -> bool:
    existing = {0, 1}
    for node, pairs in enumerate(PAIRS):
        pair, *ops = choices[3 * node : 3 * node + 3]
        read = {state for state, op in zip(pairs[int(pair)], ops, strict=True) if op != none}
        if not read <= existing:
            return False
        if read:
            existing.add(node + 2)
    return len(existing) > 2


def _legal_cells(operations: int) -> int:
    """How many combinations of choices make a cell: for every set of nodes that may exist, those that make it exist."""
    total = 0
    for chosen in range(1, 1 << NODES):
        existing = {0, 1} | {node + 2 for node in range(NODES) if chosen >> node & 1}
        ways = 1
        for node, pairs in enumerate(PAIRS):
            reading = [(operations + 1) ** len(existing & set(pair)) - 1 for pair in pairs]
            ways *= sum(reading) if node + 2 in existing else len(pairs)
        total += ways
    return total


# -- cells and choices ------------------------------------------------------------------------------------------------


def _entries(choices: Choices, operations: Sequence[str]) -> NestedCell:
    entries = []
    for node, pairs in enumerate(PAIRS):
        pair, *ops = (int(choice) for choice in choices[3 * node : 3 * node + 3])
        for state, op in zip(pairs[pair], ops, strict=True):
            if op < len(operations):
                entries.append(Entry(operations[op], node + 2, state))
    return tuple(entries)


def _choices(place: int, cell: NestedCell, operations: Sequence[str]) -> list[int]:
    beyond = [node for node in nodes_of(cell) if node >= 2 + NODES]
    foreign = [op for op, _, _ in cell if op not in operations]
    if beyond or foreign:
        raise InvalidArchitecture(
            f"A cell of this space has the nodes 2..{NODES + 1} and {len(operations)} operations, but cell {place} has "
            f"{f'node {beyond[0]}' if beyond else foreign[0]}: build the genotype itself."
        )
    choices: list[int] = []
    for node, pairs in enumerate(PAIRS):
        held = [(state, operations.index(op)) for op, to, state in cell if to == node + 2]
        states = sorted({state for state, _ in held})
        if len(states) < len(held) or len(states) > 2:
            raise InvalidArchitecture(
                f"A node of this space reads at most two states with one operation each, but node {node + 2} of cell "
                f"{place} has {len(held)} operations on the states {states}: build the genotype itself."
            )
        pair = next(pair for pair in pairs if set(states) <= set(pair))
        ops = dict(held)
        choices += [pairs.index(pair), *(ops.get(state, len(operations)) for state in pair)]
    return choices
