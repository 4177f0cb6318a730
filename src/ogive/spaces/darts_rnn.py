"""The recurrent DARTS space: a cell of eight nodes, each one activation of one earlier state.

Liu, Simonyan and Yang, "DARTS", ICLR 2019, section 3.1.2. State 0 mixes the input of a moment with the output of the
moment before; states 1..8 are the nodes, each of which reads one earlier state past a highway gate; the output
is the mean of the nodes. The operation ``none`` exists in the supernet only (`OPS` has five names), so a node chooses
among the other four.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, nearest, quoted
from ogive.core.graph import Graph
from ogive.core.space import Choice, SearchSpace
from ogive.spaces.notation import arguments, entries_of, short
from ogive.spaces.sequences import PlaceForm, pair_form

__all__ = [
    "CHOOSABLE",
    "CONCAT",
    "NODES",
    "OPS",
    "PUBLISHED",
    "Cell",
    "Genotype",
    "architecture",
    "cell_of",
    "darts_rnn",
]

NAME = "darts_rnn"
# In the order of the published code, which is the order of the columns of the architecture parameters.
OPS = ("none", "tanh", "relu", "sigmoid", "identity")
CHOOSABLE = OPS[1:]
NODES = 8
CONCAT = tuple(range(1, 1 + NODES))

Entry = tuple[str, int]  # an operation and the state that it reads
Cell = tuple[Entry, ...]  # one entry for each node, in the order of the nodes


class Genotype(NamedTuple):
    """A recurrent cell: (operation, state) pairs, one for each node, and the states whose mean is the output."""

    recurrent: Cell
    concat: tuple[int, ...]


@functools.cache
def darts_rnn() -> SearchSpace:
    """The space of recurrent cells with 8! wirings and 4**8 choices of activations, 2,642,411,520 in all."""
    return SearchSpace(
        name=NAME,
        variables=_variables(),
        draw=draw,
        read=read,
        write=write,
        tokens=tokens(),
        tasks=("language",),
        inputs=("words",),
    )


def cell_of(arch: Architecture) -> Cell:
    """The eight (operation, state) entries of an architecture."""
    choices = [int(choice) for choice in arch.choices]
    return tuple((CHOOSABLE[op], state) for state, op in zip(choices[::2], choices[1::2], strict=True))


def architecture(cell: Cell) -> Architecture:
    """The architecture of a cell; InvalidArchitecture where the space does not hold it."""
    if len(cell) != NODES:
        raise InvalidArchitecture(f"A cell of {NAME} has {NODES} nodes, got {len(cell)}.")
    choices: list[int] = []
    for node, (op, state) in enumerate(cell, start=1):
        if op not in CHOOSABLE:
            raise InvalidArchitecture(
                f"A cell of {NAME} cannot hold the operation {quoted(op)}. {nearest(op, CHOOSABLE)}"
            )
        if not 0 <= state < node:
            raise InvalidArchitecture(
                f"State {node} of a {NAME} cell reads one of the states 0..{node - 1}, got {state}."
            )
        choices += [state, CHOOSABLE.index(op)]
    return Architecture(NAME, tuple(choices))


# -- pictures ---------------------------------------------------------------------------------------------------------


def draw(arch: Architecture) -> Graph:
    """One moment of the cell: "input", "state_0", the eight activations, their "mean", and "output".

    The highway gate of each node, and the way of the output into the next moment's state 0, are the same in every
    architecture and are left out.
    """
    cell = cell_of(arch)
    edges = {(0, 1)} | {(1 + state, 2 + node) for node, (_, state) in enumerate(cell)}
    mean = 2 + NODES
    edges |= {(2 + node, mean) for node in range(NODES)} | {(mean, mean + 1)}
    return Graph(("input", "state_0", *(op for op, _ in cell), "mean", "output"), frozenset(edges))


# -- text -------------------------------------------------------------------------------------------------------------


def read(text: str) -> Architecture:
    """The cell of ``Genotype(recurrent=[('relu', 0), ...], concat=range(1, 9))``."""
    found = arguments(text, "Genotype", ("recurrent", "concat"))
    concat, value = found["concat"], found["recurrent"]
    if not isinstance(concat, (list, tuple)) or tuple(concat) != CONCAT:
        raise InvalidArchitecture(
            f"The output of a {NAME} cell is the mean of the states 1..{NODES}; got concat={concat}."
        )
    entries = entries_of(value, NODES)
    if entries is None:
        raise InvalidArchitecture(
            f"A cell of {NAME} is a list of {NODES} pairs (operation, state); got {quoted(value)}."
        )
    return architecture(entries)


def write(arch: Architecture) -> str:
    """The genotype as published code writes it."""
    return f"Genotype(recurrent={list(cell_of(arch))}, concat={list(CONCAT)})"


def tokens() -> PlaceForm:
    """For each node the state that it reads and its activation: 16 tokens of 13."""
    return pair_form(
        [range(node) for node in range(1, 1 + NODES)], len(CHOOSABLE), values=_values, architecture=_of_values
    )


def _values(arch: Architecture) -> tuple[int | float, ...]:
    return arch.choices


def _of_values(values: Sequence[int]) -> Architecture:
    return Architecture(NAME, tuple(values))


def _variables() -> tuple[Choice, ...]:
    return tuple(
        variable
        for node in range(1, 1 + NODES)
        for variable in (
            Choice(f"{node}.state", tuple(str(state) for state in range(node))),
            Choice(f"{node}.op", CHOOSABLE),
        )
    )


# -- published cells --------------------------------------------------------------------------------------------------


# Of DARTS and ENAS as in quark0/darts, rnn/genotypes.py. The cell of ENAS (Pham et al., ICML 2018) has eleven nodes and
# reads its output from the six that nobody else reads; those of NAO (Luo et al., NeurIPS 2018), without and with shared
# weights, read it from all eleven. Networks are built from these genotypes, but they are no architectures of the space.
PUBLISHED: Mapping[str, Genotype] = {
    "darts_v1": Genotype(short("relu~0 relu~1 tanh~2 relu~3 relu~4 identity~1 relu~5 relu~1"), CONCAT),
    "darts_v2": Genotype(short("sigmoid~0 relu~1 relu~1 identity~1 tanh~2 sigmoid~5 tanh~3 relu~5"), CONCAT),
    "enas": Genotype(
        short("tanh~0 tanh~1 relu~1 tanh~3 tanh~3 relu~3 relu~4 relu~7 relu~8 relu~8 relu~8"), (2, 5, 6, 9, 10, 11)
    ),
    "nao": Genotype(
        short("relu~0 relu~0 relu~1 tanh~3 relu~4 relu~4 relu~5 relu~1 relu~7 relu~1 identity~1"), tuple(range(1, 12))
    ),
    "nao_ws": Genotype(
        short("relu~0 relu~1 sigmoid~2 sigmoid~1 relu~4 relu~4 relu~4 relu~7 sigmoid~8 tanh~1 relu~4"),
        tuple(range(1, 12)),
    ),
}
