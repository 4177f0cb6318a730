"""The DARTS space: a normal and a reduction cell, each of four nodes that sum two operations on earlier states.

Liu, Simonyan and Yang, "DARTS", ICLR 2019, section 2.1. In a cell, states 0 and 1 are the outputs of the two cells
before it (k-2 and k-1), states 2..5 its nodes, and the output is the concatenation of states 2..5. The two
predecessors of a node are distinct, as DARTS derives them. The operation ``none`` exists in the supernet only (`OPS`
has eight names); a derived cell never holds it, so a choice is among the other seven.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Iterable, Sequence
from typing import Literal

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, nearest, quoted
from ogive.core.graph import Graph, Sketch
from ogive.core.space import Choice, SearchSpace
from ogive.spaces.extended import Operation, extended
from ogive.spaces.notation import arguments, entries_of
from ogive.spaces.sequences import PlaceForm, pair_form

__all__ = [
    "CHOOSABLE",
    "KINDS",
    "NODES",
    "OPS",
    "Addend",
    "Cell",
    "Entry",
    "Kind",
    "addends",
    "append_cells",
    "architecture",
    "cell_of",
    "darts",
    "in_a_row",
]

NAME = "darts"
# In the order of the published code, which is the order of the columns of the architecture parameters.
OPS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
CHOOSABLE = OPS[1:]
NODES = 4
CONCAT = tuple(range(2, 2 + NODES))
# Per node the unordered pairs of earlier states: 1, 3, 6 and 10 of them.
PAIRS = tuple(tuple(itertools.combinations(range(2 + node), 2)) for node in range(NODES))

Kind = Literal["normal", "reduce"]
KINDS: tuple[Kind, ...] = ("normal", "reduce")
Entry = tuple[str, int]  # an operation and the state that it reads
Cell = tuple[Entry, ...]  # two entries for each node, in the order of the nodes
Addend = tuple[str, int, int]  # an operation, the node that adds its output, and the state that it reads
_node = operator.itemgetter(1)


def darts(*, operation: Operation | None = None) -> SearchSpace:
    """The space of two cells with 180 x 7**8 wirings and operations each, about 1.08e18 in all.

    With an `operation` of one's own it has 8 instead of 7.
    """
    if operation is None:
        return _published()
    return extended(
        _published(), operation, CHOOSABLE, variables=_variables, draw=draw, read=read, write=write, tokens=tokens
    )


@functools.cache
def _published() -> SearchSpace:
    return SearchSpace(name=NAME, variables=_variables(CHOOSABLE), draw=draw, read=read, write=write, tokens=tokens())


def cell_of(arch: Architecture, kind: Kind, ops: Sequence[str] = CHOOSABLE) -> Cell:
    """The eight (operation, state) entries of one cell; the two of a node by ascending state."""
    start = KINDS.index(kind) * 3 * NODES
    choices = [int(choice) for choice in arch.choices[start : start + 3 * NODES]]
    entries: list[Entry] = []
    for node, pairs in enumerate(PAIRS):
        pair, first, second = choices[3 * node : 3 * node + 3]
        entries += [(ops[first], pairs[pair][0]), (ops[second], pairs[pair][1])]
    return tuple(entries)


def architecture(normal: Cell, reduce: Cell, *, space: str = NAME, ops: Sequence[str] = CHOOSABLE) -> Architecture:
    """The architecture of two cells; the two entries of a node may come in either order."""
    return Architecture(space, (*_choices(normal, "normal", ops), *_choices(reduce, "reduce", ops)))


# -- pictures ---------------------------------------------------------------------------------------------------------


def draw(arch: Architecture, ops: Sequence[str] = CHOOSABLE) -> Graph:
    """The network of one normal cell and one reduction cell, wired as DARTS wires the first two cells.

    Both inputs of the normal cell are the input, those of the reduction cell the input and the normal cell's output.
    Each passes a "preprocess_0" or "preprocess_1" node, which in a deeper network read different cells. Each node of a
    cell is a "sum" of its two operations, and each cell ends in a "concat" of its four nodes. A preprocess node that
    nobody reads stays in the drawing.
    """
    return in_a_row((addends(cell_of(arch, kind, ops)), CONCAT) for kind in KINDS)


def addends(cell: Cell) -> list[Addend]:
    """The entries of a cell of two operations a node, each with its node."""
    return [(op, 2 + place // 2, state) for place, (op, state) in enumerate(cell)]


def in_a_row(cells: Iterable[tuple[Sequence[Addend], Sequence[int]]]) -> Graph:
    """Cells, each with the states of its output, between "input" and "output"."""
    sketch = Sketch()
    sketch.node("output", append_cells(cells, sketch, 0))
    return sketch.graph()


def append_cells(cells: Iterable[tuple[Sequence[Addend], Sequence[int]]], sketch: Sketch, start: int) -> int:
    """Draw cells, each with the states of its output, one after the other; returns the concat node of the last.

    Node `start` is the output of both cells before the first one.
    """
    older = newer = start
    for cell, concat in cells:
        states = {0: sketch.node("preprocess_0", older), 1: sketch.node("preprocess_1", newer)}
        for state, group in itertools.groupby(sorted(cell, key=_node), _node):
            states[state] = sketch.node("sum", *[sketch.node(op, states[read]) for op, _, read in group])
        older, newer = newer, sketch.node("concat", *(states[state] for state in concat))
    return newer


# -- text -------------------------------------------------------------------------------------------------------------


def read(text: str, space: str = NAME, ops: Sequence[str] = CHOOSABLE) -> Architecture:
    """The cells of ``Genotype(normal=[('sep_conv_3x3', 1), ...], normal_concat=[2, 3, 4, 5], reduce=..., ...)``."""
    found = arguments(text, "Genotype", ("normal", "normal_concat", "reduce", "reduce_concat"))
    for kind in KINDS:
        concat = found[f"{kind}_concat"]
        if not isinstance(concat, (list, tuple)) or tuple(concat) != CONCAT:
            raise InvalidArchitecture(
                f"Cells of darts concatenate the states {list(CONCAT)}; got {kind}_concat={quoted(concat)}."
            )
    return architecture(_entries(found["normal"], "normal"), _entries(found["reduce"], "reduce"), space=space, ops=ops)


def write(arch: Architecture, ops: Sequence[str] = CHOOSABLE) -> str:
    """The genotype, with the entries of each node by ascending state."""
    parts = (f"{kind}={list(cell_of(arch, kind, ops))}, {kind}_concat={list(CONCAT)}" for kind in KINDS)
    return f"Genotype({', '.join(parts)})"


def tokens(space: str = NAME, ops: Sequence[str] = CHOOSABLE) -> PlaceForm:
    """For each addend of each node the state that it reads and its operation: 32 tokens of 13."""
    nodes = [(first, first + 2) for first in range(0, 8 * NODES, 4)]
    return pair_form(
        [range(2 + node) for _ in KINDS for node in range(NODES) for _ in range(2)],
        len(ops),
        values=functools.partial(_values, ops),
        architecture=functools.partial(_of_values, space, ops),
        apart=tuple(nodes),
        cells=(tuple(nodes[:NODES]), tuple(nodes[NODES:])),
    )


def _values(ops: Sequence[str], arch: Architecture) -> list[int]:
    entries = (entry for kind in KINDS for entry in cell_of(arch, kind, ops))
    return [value for op, state in entries for value in (state, ops.index(op))]


def _of_values(space: str, ops: Sequence[str], values: Sequence[int]) -> Architecture:
    entries = tuple((ops[op], state) for state, op in zip(values[::2], values[1::2], strict=True))
    return architecture(entries[: 2 * NODES], entries[2 * NODES :], space=space, ops=ops)


def _entries(value: object, kind: Kind) -> Cell:
    entries = entries_of(value, 2 * NODES)
    if entries is None:
        raise InvalidArchitecture(
            f"A {kind} cell of darts is a list of {2 * NODES} pairs (operation, state); got {quoted(value)}."
        )
    return entries


def _choices(cell: Cell, kind: Kind, ops: Sequence[str]) -> list[int]:
    if len(cell) != 2 * NODES:
        raise InvalidArchitecture(f"A {kind} cell of darts has {2 * NODES} entries, got {len(cell)}.")
    choices = []
    for node, pairs in enumerate(PAIRS):
        (first, lower), (second, upper) = sorted(cell[2 * node : 2 * node + 2], key=lambda entry: entry[1])
        if (lower, upper) not in pairs:
            raise InvalidArchitecture(
                f"State {node + 2} of a darts cell reads two different states of 0..{node + 1}; "
                f"in the {kind} cell it reads {lower} and {upper}."
            )
        choices += [pairs.index((lower, upper)), _operation(first, ops), _operation(second, ops)]
    return choices


def _operation(op: str, ops: Sequence[str]) -> int:
    if op not in ops:
        raise InvalidArchitecture(f"A cell of darts cannot hold the operation {quoted(op)}. {nearest(op, ops)}")
    return ops.index(op)


def _variables(ops: Sequence[str]) -> tuple[Choice, ...]:
    return tuple(
        variable
        for kind in KINDS
        for node, pairs in enumerate(PAIRS)
        for variable in (
            Choice(f"{kind}.{node + 2}.states", tuple(f"{lower}+{upper}" for lower, upper in pairs)),
            Choice(f"{kind}.{node + 2}.lower", tuple(ops)),
            Choice(f"{kind}.{node + 2}.upper", tuple(ops)),
        )
    )
