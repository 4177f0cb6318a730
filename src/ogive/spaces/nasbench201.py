"""NAS-Bench-201, also NATS-Bench's topology space: a cell of four nodes and one of five operations on each edge.

Dong and Yang, "NAS-Bench-201", ICLR 2020, section 2.1. Node 0 is the input of the cell, node 3 its output; every node
sums what its edges bring. Choices are in the order of the published strings: edges (0>1), (0>2), (1>2), (0>3), (1>3),
(2>3). The *index* of a cell is its place in the lexicographic listing: the choices read as a number in base 5.
"""

from __future__ import annotations

import functools
import random  # noqa: TID251  one local generator, which replays a published shuffle: see official_indices
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, nearest, quoted
from ogive.core.graph import Graph
from ogive.core.space import Choice, SearchSpace
from ogive.spaces.extended import Operation, extended
from ogive.spaces.sequences import PlaceForm, pair_form

__all__ = [
    "EDGES",
    "OPS",
    "choices_of",
    "index_of",
    "nasbench201",
    "official_indices",
]

NAME = "nasbench201"
OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
SIZE = len(OPS) ** len(EDGES)
NONE = OPS.index("none")

# An edge's weight in the base-5 number; the first edge counts most.
_WEIGHTS = tuple(len(OPS) ** (len(EDGES) - 1 - place) for place in range(len(EDGES)))
# Where each edge goes when nodes 1 and 2 change places; (1>2) itself must then be none.
_SWAPPED = (1, 0, 2, 3, 5, 4)
_NODE = re.compile(r"\|(?:[a-z0-9_]+~\d\|)+")
_ENTRY = re.compile(r"([a-z0-9_]+)~(\d)")

Integers = npt.NDArray[np.int64]


def nasbench201(*, operation: Operation | None = None) -> SearchSpace:
    """The space of 6 edges with 5 operations each: 15,625 cells; with an `operation` of one's own 6 each, 46,656."""
    if operation is None:
        return _published()
    return extended(
        _published(), operation, OPS, variables=_variables, draw=draw, read=read, write=write, tokens=tokens
    )


@functools.cache
def _published() -> SearchSpace:
    return SearchSpace(
        name=NAME,
        variables=_variables(OPS),
        draw=draw,
        read=read,
        write=write,
        prune=prune,
        canonical=canonical,
        tokens=tokens(),
        tasks=("classification", "detection"),
    )


def _variables(ops: Sequence[str]) -> tuple[Choice, ...]:
    return tuple(Choice(f"{source}>{target}", tuple(ops)) for source, target in EDGES)


# -- pictures and text ------------------------------------------------------------------------------------------------


def draw(arch: Architecture, ops: Sequence[str] = OPS) -> Graph:
    """Operations as nodes, in the order of the edges, between "input" and "output"; arrows into a node are summed.

    An edge whose operation is none carries nothing and is not drawn; an edge that leads nowhere is.
    """
    edges = [(*edge, ops[int(choice)]) for edge, choice in zip(EDGES, arch.choices, strict=True) if choice != NONE]
    # In the order of EDGES whatever leaves a node comes after all that enters it.
    nodes = [(-1, 0, "input"), *edges, (3, 4, "output")]
    arrows = ((i, j) for i, (_, end, _) in enumerate(nodes) for j, (start, _, _) in enumerate(nodes) if end == start)
    return Graph(tuple(op for _, _, op in nodes), frozenset(arrows))


def read(text: str, space: str = NAME, ops: Sequence[str] = OPS) -> Architecture:
    """The cell of a string such as ``|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|avg_pool_3x3~2|``."""
    nodes = text.strip().split("+")
    if len(nodes) != 3 or not all(_NODE.fullmatch(node) for node in nodes):
        raise InvalidArchitecture(
            f"A cell of {space} is written |op~0|+|op~0|op~1|+|op~0|op~1|op~2| "
            f"with op one of {', '.join(ops)}; got {quoted(text)}."
        )
    found = {
        (int(source), target): op for target, node in enumerate(nodes, start=1) for op, source in _ENTRY.findall(node)
    }
    entries = sum(len(_ENTRY.findall(node)) for node in nodes)
    if set(found) != set(EDGES) or entries != len(EDGES):
        raise InvalidArchitecture(
            f"Node i of a {space} cell names each of its inputs ~0..~(i-1) once; got {quoted(text)}."
        )
    for op in found.values():
        if op not in ops:
            raise InvalidArchitecture(f"{space} has no operation {quoted(op)}. {nearest(op, ops)}")
    return Architecture(space, tuple(ops.index(found[edge]) for edge in EDGES))


def write(arch: Architecture, ops: Sequence[str] = OPS) -> str:
    """The published string of a cell."""
    entries = {edge: f"{ops[int(choice)]}~{edge[0]}|" for edge, choice in zip(EDGES, arch.choices, strict=True)}
    return "+".join("|" + "".join(entries[source, target] for source in range(target)) for target in (1, 2, 3))


def tokens(space: str = NAME, ops: Sequence[str] = OPS) -> PlaceForm:
    """For each edge the state that it reads, which is always the same, and its operation: 12 tokens of 9."""
    return pair_form(
        [(source,) for source, _ in EDGES],
        len(ops),
        values=_values,
        architecture=functools.partial(_of_values, space),
    )


def _values(arch: Architecture) -> list[int | float]:
    return [value for choice in arch.choices for value in (0, choice)]


def _of_values(space: str, values: Sequence[int]) -> Architecture:
    return Architecture(space, tuple(values[1::2]))


# -- one cell at a time -----------------------------------------------------------------------------------------------


def prune(arch: Architecture) -> Architecture:
    """The cell with none on every edge that lies on no path of operations from node 0 to node 3."""
    return _architecture(int(_table().pruned[_index(arch)]))


def canonical(arch: Architecture) -> Architecture:
    """The pruned cell, or its mirror image in nodes 1 and 2 if that is isomorphic and its index smaller."""
    return _architecture(int(_table().canonical[_index(arch)]))


# -- many cells at once -----------------------------------------------------------------------------------------------


def index_of(choices_NV: npt.ArrayLike) -> Integers:
    """Indices, shape (N,), of cells given by their choices, shape (N, 6); raises InvalidArchitecture."""
    choices = np.asarray(choices_NV)
    if choices.ndim != 2 or choices.shape[1] != len(EDGES) or choices.dtype.kind not in "iu":
        raise InvalidArchitecture(
            f"Choices of nasbench201 are integers of shape (N, {len(EDGES)}), got {choices.dtype} {choices.shape}."
        )
    if choices.size and not 0 <= choices.min() <= choices.max() < len(OPS):
        raise InvalidArchitecture(
            f"Choices of nasbench201 lie in 0..{len(OPS) - 1}, got {choices.min()}..{choices.max()}."
        )
    return choices.astype(np.int64, copy=False) @ np.array(_WEIGHTS, np.int64)


def choices_of(indices: npt.ArrayLike) -> Integers:
    """Choices, shape (N, 6), of cells given by their indices, shape (N,); the inverse of `index_of`."""
    found: Integers = _table().choices[_checked(indices)].astype(np.int64)
    return found


@functools.cache
def official_indices() -> Integers:
    """The benchmark's own number of each cell, shape (15625,): ``official_indices()[index]``.

    The authors numbered the cells by shuffling the lexicographic listing with Python's generator seeded with 88
    (AutoDL-Projects, exps/NAS-Bench-201/main.py); ``np.argsort(official_indices())`` is the inverse.
    """
    order = list(range(SIZE))
    random.Random(88).shuffle(order)
    official = np.empty(SIZE, np.int64)
    official[order] = np.arange(SIZE)
    official.flags.writeable = False
    return official


# -- the look-up tables -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Table:
    choices: npt.NDArray[np.int8]  # (15625, 6)
    pruned: Integers  # (15625,)
    canonical: Integers  # (15625,)


@functools.cache
def _table() -> _Table:
    """All cells, pruned and canonical: a few milliseconds, once."""
    cells = np.stack(np.unravel_index(np.arange(SIZE), (len(OPS),) * len(EDGES)), axis=1)
    weights = np.array(_WEIGHTS)
    pruned = np.where(_alive(cells != NONE), cells, NONE)
    swapped = pruned[:, _SWAPPED]
    symmetric = pruned[:, EDGES.index((1, 2))] == NONE
    index, mirror = pruned @ weights, swapped @ weights
    return _Table(cells.astype(np.int8), index, np.where(symmetric, np.minimum(index, mirror), index))


def _alive(present: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which edges, of those present, lie on a path from node 0 to node 3; shapes (N, 6)."""
    reached = np.zeros((len(present), 4), bool)
    reaching = np.zeros_like(reached)
    reached[:, 0] = reaching[:, 3] = True
    for place, (source, target) in enumerate(EDGES):
        reached[:, target] |= reached[:, source] & present[:, place]
    for place, (source, target) in reversed(list(enumerate(EDGES))):
        reaching[:, source] |= reaching[:, target] & present[:, place]
    sources, targets = zip(*EDGES, strict=True)
    return present & reached[:, sources] & reaching[:, targets]


def _checked(indices: npt.ArrayLike) -> npt.NDArray[np.integer]:
    checked = np.asarray(indices)
    if checked.dtype.kind not in "iu" or (checked.size and not 0 <= checked.min() <= checked.max() < SIZE):
        raise InvalidArchitecture(f"Indices of nasbench201 are integers in 0..{SIZE - 1}, got {indices!r}.")
    return checked


def _index(arch: Architecture) -> int:
    return sum(int(choice) * weight for choice, weight in zip(arch.choices, _WEIGHTS, strict=True))


def _architecture(index: int) -> Architecture:
    return Architecture(NAME, tuple(_table().choices[index].tolist()))
