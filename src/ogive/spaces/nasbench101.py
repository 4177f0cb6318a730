"""NAS-Bench-101: cells of at most 7 vertices and 9 edges, with one of three operations on each inner vertex.

Ying et al., "NAS-Bench-101", ICML 2019, section 2. A cell is the upper triangle of a 7 x 7 matrix, row by row, and
the operations of vertices 1..5; vertex 0 is the input and vertex 6 the output. What counts is the cell after pruning
(vertices on no path from input to output go, with their edges), so a cell of fewer vertices is one in which some have
no edges. As the nasbench package has it, a cell is legal if pruning leaves the input, the output and at most 9 edges.

There are 423,624 legal cells that differ by more than the order of their vertices. The *canonical* one of a class has
its unused vertices last before the output and, under that condition, the smallest choices.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, nearest, quoted
from ogive.core.graph import Graph
from ogive.core.space import Choice, SearchSpace
from ogive.spaces.fingerprint import fingerprint, fingerprints
from ogive.spaces.notation import arguments
from ogive.spaces.sequences import MatrixForm

__all__ = [
    "INPUT",
    "OPS",
    "OUTPUT",
    "PADDING",
    "Cell",
    "distinct_cells",
    "enumerate_cells",
    "module_hash",
    "module_hashes",
    "nasbench101",
    "pruned_cell",
    "pruned_cells",
    "spellings",
]

NAME = "nasbench101"
OPS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
VERTICES = 7
MOST_EDGES = 9
DISTINCT = 423_624

PAIRS = tuple(itertools.combinations(range(VERTICES), 2))
INNER = VERTICES - 2
# The labels of the input and the output in the module hash; an inner vertex has the index of its operation.
INPUT, OUTPUT = -1, -2
PADDING = -3  # no vertex, in arrays of cells of different sizes

Choices = tuple[int | float, ...]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cell:
    """A pruned cell: `matrix[i][j]` is 1 for an edge from vertex i to j, i < j; `ops` are those of the inner vertices.

    The first vertex is the input, the last the output.
    """

    matrix: tuple[tuple[int, ...], ...]
    ops: tuple[int, ...]


@functools.cache
def nasbench101() -> SearchSpace:
    """The space of 423,624 distinct cells; listing it yields the canonical ones."""
    edges = tuple(Choice(f"{source}>{target}", ("no", "yes")) for source, target in PAIRS)
    operations = tuple(Choice(f"op{vertex}", OPS) for vertex in range(1, VERTICES - 1))
    return SearchSpace(
        name=NAME,
        variables=edges + operations,
        draw=draw,
        is_legal=is_legal,
        listing=_listing,
        count=DISTINCT,
        read=read,
        write=write,
        prune=prune,
        canonical=canonical,
        tokens=tokens(),
        tasks=("classification", "detection"),
    )


# -- one cell at a time -----------------------------------------------------------------------------------------------


def is_legal(choices: Choices) -> bool:
    """Whether pruning leaves the input, the output and at most 9 edges."""
    rows = _rows(choices)
    live = _live(rows)
    return live != 0 and sum((row & live).bit_count() for v, row in enumerate(rows) if live >> v & 1) <= MOST_EDGES


def pruned_cell(arch: Architecture) -> Cell:
    """The matrix and operations of a legal cell after pruning, with the order of the vertices kept."""
    rows = _rows(arch.choices)
    live = _live(rows)
    kept = [vertex for vertex in range(VERTICES) if live >> vertex & 1]
    matrix = tuple(tuple(rows[source] >> target & 1 for target in kept) for source in kept)
    return Cell(matrix, tuple(int(arch.choices[len(PAIRS) + vertex - 1]) for vertex in kept[1:-1]))


def module_hash(arch: Architecture) -> str:
    """The published hash of a legal cell, the key of the benchmark's tables: 32 hexadecimal digits."""
    cell = pruned_cell(arch)
    return fingerprint(cell.matrix, (INPUT, *cell.ops, OUTPUT))


def prune(arch: Architecture) -> Architecture:
    """The cell without the edges of vertices on no path from input to output; those get the first operation."""
    live = _live(_rows(arch.choices))
    edges = (
        int(choice) if live >> source & live >> target & 1 else 0
        for (source, target), choice in zip(PAIRS, arch.choices, strict=False)
    )
    ops = (int(choice) if live >> v & 1 else 0 for v, choice in enumerate(arch.choices[len(PAIRS) :], start=1))
    return Architecture(NAME, (*edges, *ops))


def canonical(arch: Architecture) -> Architecture:
    """The representative of all cells that equal this one up to pruning and the order of the vertices."""
    cell = pruned_cell(arch)
    orders = _orders(len(cell.matrix))
    bits = functools.reduce(lambda number, bit: 2 * number + bit, _upper(cell.matrix), 0)
    moved = orders.moved(np.array([bits]))[:, 0]
    labels = orders.labels[:, functools.reduce(lambda number, op: len(OPS) * number + op, cell.ops, 0)]
    best = moved[moved >= 0].min()
    label = labels[moved == best].min()
    return Architecture(NAME, tuple(orders.choices(np.array([best]), np.array([label]))[0].tolist()))


def spellings(arch: Architecture) -> npt.NDArray[np.int8]:
    """The choices of all cells that equal this one up to pruning and the order of the vertices, shape (N, 26).

    As in the canonical one, unused vertices are last before the output.
    """
    cell = pruned_cell(arch)
    orders = _orders(len(cell.matrix))
    bits = functools.reduce(lambda number, bit: 2 * number + bit, _upper(cell.matrix), 0)
    moved = orders.moved(np.array([bits]))[:, 0]
    labels = orders.labels[:, functools.reduce(lambda number, op: len(OPS) * number + op, cell.ops, 0)]
    return orders.choices(moved[moved >= 0], labels[moved >= 0])


def draw(arch: Architecture) -> Graph:
    """The vertices as they stand, except inner ones without any edge; dead ends are drawn."""
    edges = [pair for pair, choice in zip(PAIRS, arch.choices, strict=False) if choice]
    touched = {0, VERTICES - 1}.union(*edges)
    kept = sorted(touched)
    place = {vertex: k for k, vertex in enumerate(kept)}
    inner = (OPS[int(arch.choices[len(PAIRS) + vertex - 1])] for vertex in kept[1:-1])
    return Graph(("input", *inner, "output"), frozenset((place[i], place[j]) for i, j in edges))


def _rows(choices: Choices) -> list[int]:
    """For each vertex the set of its successors, as bits."""
    rows = [0] * VERTICES
    for (source, target), choice in zip(PAIRS, choices, strict=False):
        if choice:
            rows[source] |= 1 << target
    return rows


def _live(rows: list[int]) -> int:
    """The vertices on a path from input to output, as bits; 0 if there is no path."""
    reached, reaching = 1, 1 << len(rows) - 1
    for vertex, row in enumerate(rows):
        if reached >> vertex & 1:
            reached |= row
    for vertex in reversed(range(len(rows) - 1)):
        if rows[vertex] & reaching:
            reaching |= 1 << vertex
    return reached & reaching if reaching & 1 else 0


def _upper(matrix: tuple[tuple[int, ...], ...]) -> list[int]:
    return [matrix[i][j] for i, j in itertools.combinations(range(len(matrix)), 2)]


# -- text -------------------------------------------------------------------------------------------------------------


def read(text: str) -> Architecture:
    """The cell of ``ModelSpec(matrix=[[0, 1, 1], [0, 0, 1], [0, 0, 0]], ops=['input', 'maxpool3x3', 'output'])``.

    A smaller matrix keeps its output last; the vertices that it lacks have no edges and the first operation. A matrix
    of more than 7 vertices is pruned, as the nasbench package does with any.
    """
    found = arguments(text, "ModelSpec", ("matrix", "ops"))
    matrix, ops = _matrix(found["matrix"]), found["ops"]
    if not isinstance(ops, (list, tuple)) or len(ops) != len(matrix) or (ops[0], ops[-1]) != ("input", "output"):
        raise InvalidArchitecture(
            f"A cell of {len(matrix)} vertices has as many ops, 'input' to 'output'; got {quoted(ops)}."
        )
    for op in ops[1:-1]:
        if op not in OPS:
            raise InvalidArchitecture(f"nasbench101 has no operation {quoted(op)}. {nearest(str(op), OPS)}")
    kept = list(range(len(matrix)))
    if len(matrix) > VERTICES:
        live = _live([sum(bit << target for target, bit in enumerate(row)) for row in matrix])
        kept = [vertex for vertex in kept if live >> vertex & 1]
        if not 2 <= len(kept) <= VERTICES:
            raise InvalidArchitecture(f"Pruning must leave 2 to {VERTICES} vertices of a cell, but leaves {len(kept)}.")
    smaller = [[matrix[source][target] for target in kept] for source in kept]
    return _architecture(smaller, [OPS.index(ops[vertex]) for vertex in kept[1:-1]])


def _architecture(matrix: Sequence[Sequence[int]], inner: Sequence[int]) -> Architecture:
    """The cell of a matrix and inner operations; vertices that it lacks come last before the output."""
    full = np.zeros((VERTICES, VERTICES), int)
    where = [*range(len(matrix) - 1), VERTICES - 1]
    full[np.ix_(where, where)] = np.array(matrix)
    return Architecture(NAME, (*(int(full[pair]) for pair in PAIRS), *inner, *[0] * (INNER - len(inner))))


def tokens() -> MatrixForm:
    """The columns of the pruned cell: 27 tokens of 7, in the order of the operations of Semi-Supervised NAS."""
    return MatrixForm(VERTICES, len(OPS), MOST_EDGES, _columns, _of_columns)


# That order is conv1x1, conv3x3, maxpool; it is its own inverse.
_ORDER = (1, 0, 2)


def _columns(arch: Architecture) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]:
    cell = pruned_cell(arch)
    return cell.matrix, tuple(_ORDER[op] for op in cell.ops)


def _of_columns(matrix: Sequence[Sequence[int]], inner: Sequence[int]) -> Architecture:
    return _architecture(matrix, [_ORDER[op] for op in inner])


def write(arch: Architecture) -> str:
    """The whole 7 x 7 matrix and all operations, as the nasbench package takes them."""
    matrix = [[0] * VERTICES for _ in range(VERTICES)]
    for (source, target), choice in zip(PAIRS, arch.choices, strict=False):
        matrix[source][target] = int(choice)
    ops = ["input", *(OPS[int(choice)] for choice in arch.choices[len(PAIRS) :]), "output"]
    return f"ModelSpec(matrix={matrix}, ops={ops})"


def _matrix(value: object) -> list[list[int]]:
    outer = value if isinstance(value, (list, tuple)) else ()
    rows = [list(row) for row in outer if isinstance(row, (list, tuple))]
    square = 2 <= len(rows) == len(outer) and all(len(row) == len(rows) for row in rows)
    entries = ((entry, i < j) for i, row in enumerate(rows) for j, entry in enumerate(row))
    if not square or not all(entry == 0 or (entry == 1 and above) for entry, above in entries):
        raise InvalidArchitecture(
            f"The matrix of a cell of nasbench101 is square and holds ones above its diagonal only; "
            f"got {quoted(value)}."
        )
    return [[int(entry) for entry in row] for row in rows]


# -- many cells at once -----------------------------------------------------------------------------------------------


def module_hashes(choices_NV: npt.ArrayLike) -> npt.NDArray[np.bytes_]:
    """The published hashes of N legal cells given by their choices, shape (N, 26), as N byte strings."""
    full, labels = _cells(np.asarray(choices_NV))
    live = _live_many(full)
    if not live[:, 0].all():
        raise InvalidArchitecture(
            f"Cell {int(np.flatnonzero(~live[:, 0])[0])} has no path from its input to its output."
        )
    found = np.empty(len(full), "S32")
    counts = live.sum(axis=1)
    for size in np.unique(counts).tolist():
        rows = np.flatnonzero(counts == size)
        kept = np.nonzero(live[rows])[1].reshape(-1, size)
        matrices = full[rows[:, None, None], kept[:, :, None], kept[:, None, :]]
        found[rows] = fingerprints(matrices, labels[rows[:, None], kept])
    return found


def pruned_cells(choices_NV: npt.ArrayLike) -> tuple[npt.NDArray[np.bool_], Integers]:
    """Matrices (N, 7, 7) and labels (N, 7) of legal cells after pruning, by their choices, shape (N, 26).

    What is left of a cell stands first, in its order; in the places behind it are no edges, and the label `PADDING`.
    The labels are those of the module hash.
    """
    full, labels = _cells(np.asarray(choices_NV))
    live = _live_many(full)
    order = np.argsort(~live, axis=1, kind="stable")
    full &= live[:, :, None] & live[:, None, :]
    rows = np.arange(len(full))[:, None]
    return full[rows[:, :, None], order[:, :, None], order[:, None, :]], np.where(live, labels, PADDING)[rows, order]


def _cells(choices_NV: npt.NDArray[np.number]) -> tuple[npt.NDArray[np.bool_], Integers]:
    """Matrices (N, 7, 7) and labels (N, 7) of cells as they stand."""
    full = np.zeros((len(choices_NV), VERTICES, VERTICES), bool)
    full[:, *np.transpose(PAIRS)] = choices_NV[:, : len(PAIRS)] != 0
    labels = np.full((len(choices_NV), VERTICES), INPUT, np.int64)
    labels[:, 1:-1], labels[:, -1] = choices_NV[:, len(PAIRS) :], OUTPUT
    return full, labels


def enumerate_cells() -> Iterator[tuple[Architecture, str]]:
    """All 423,624 canonical cells with their published hashes, by size and then by choices."""
    cells = distinct_cells()
    for start in range(0, len(cells), 65_536):
        part = cells[start : start + 65_536]
        for choices, digest in zip(part.tolist(), module_hashes(part).tolist(), strict=True):
            yield Architecture(NAME, tuple(choices)), digest.decode()


@functools.cache
def distinct_cells() -> npt.NDArray[np.int8]:
    """The choices of all canonical cells, shape (423624, 26), in the order of `enumerate_cells`."""
    cells = np.concatenate([_distinct(size) for size in range(2, VERTICES + 1)])
    cells.flags.writeable = False
    return cells


def _listing() -> Iterator[Architecture]:
    for start in range(0, DISTINCT, 4096):
        for choices in distinct_cells()[start : start + 4096].tolist():
            yield Architecture(NAME, tuple(choices))


def _distinct(size: int) -> npt.NDArray[np.int8]:
    """The canonical cells of exactly `size` vertices."""
    orders = _orders(size)
    graphs = _connected(size)
    moved = [orders.moved_by(order, graphs) for order in range(len(orders.labels))]
    first = np.logical_and.reduce([(other < 0) | (other >= graphs) for other in moved])
    labellings = np.arange(len(OPS) ** (size - 2))
    smallest = np.ones((np.count_nonzero(first), len(labellings)), bool)
    for order, other in enumerate(moved):
        # An order that keeps the graph as it is exchanges equal vertices; of their labellings the smallest stays.
        smallest[other[first] == graphs[first]] &= orders.labels[order] >= labellings
    graph, labelling = np.nonzero(smallest)
    return orders.choices(graphs[first][graph], labelling)


def _connected(size: int) -> Integers:
    """Graphs, as numbers, of `size` vertices and at most 9 edges with each vertex on a path from first to last."""
    graphs = np.arange(2 ** (size * (size - 1) // 2))
    edges = np.zeros(len(graphs), np.int8)
    into = np.zeros((size, len(graphs)), bool)
    out_of = np.zeros_like(into)
    for place, (source, target) in enumerate(_pairs_of(size)):
        present = graphs >> place & 1
        edges += present.astype(np.int8)
        into[target] |= present != 0
        out_of[source] |= present != 0
    return graphs[into[1:].all(axis=0) & out_of[:-1].all(axis=0) & (edges <= MOST_EDGES)]


def _live_many(matrices_NVV: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which vertices lie on a path from first to last, shape (N, V)."""
    vertices = matrices_NVV.shape[1]
    reached = np.zeros(matrices_NVV.shape[:2], bool)
    reaching = np.zeros_like(reached)
    reached[:, 0] = reaching[:, -1] = True
    for vertex in range(1, vertices):
        reached[:, vertex] = (matrices_NVV[:, :, vertex] & reached).any(axis=1)
    for vertex in reversed(range(vertices - 1)):
        reaching[:, vertex] = (matrices_NVV[:, vertex, :] & reaching).any(axis=1)
    return reached & reaching


# -- orders of the inner vertices -------------------------------------------------------------------------------------


class _Orders:
    """All orders of the inner vertices of a graph of `size` vertices, applied to numbers that stand for graphs.

    A graph's number has one bit for each pair of vertices, the first pair's most significant; a labelling's number has
    one digit in base 3 for each inner vertex, the first's most significant.
    """

    HALF = 11  # a graph's number has at most 21 bits, looked up in two parts

    def __init__(self, size: int) -> None:
        self.size = size
        inner = range(1, size - 1)
        moves = [(0, *order, size - 1) for order in itertools.permutations(inner)]
        self.low = np.stack([self._images(move, range(self.HALF)) for move in moves])
        self.high = np.stack([self._images(move, range(self.HALF, 2 * self.HALF)) for move in moves])
        digits = np.stack(np.unravel_index(np.arange(len(OPS) ** len(inner)), (len(OPS),) * len(inner) or (1,)), axis=1)
        weights = len(OPS) ** np.arange(len(inner))[::-1]
        self.labels = np.stack([digits[:, : len(inner)] @ weights[np.array(move[1:-1], int) - 1] for move in moves])

    def moved_by(self, order: int, graphs: Integers) -> Integers:
        """The graphs with their vertices in another order; negative where an edge would point backwards."""
        found: Integers = self.low[order][graphs & 2**self.HALF - 1] + self.high[order][graphs >> self.HALF]
        return found

    def moved(self, graphs: Integers) -> Integers:
        """The same for all orders, shape (orders, graphs)."""
        found: Integers = self.low[:, graphs & 2**self.HALF - 1] + self.high[:, graphs >> self.HALF]
        return found

    def choices(self, graphs: Integers, labellings: Integers) -> npt.NDArray[np.int8]:
        """The choices of labelled graphs: their output becomes vertex 6, unused vertices come before it."""
        found = np.zeros((len(graphs), len(PAIRS) + INNER), np.int8)
        for place, (source, target) in enumerate(_pairs_of(self.size)):
            pair = (source, VERTICES - 1 if target == self.size - 1 else target)
            found[:, PAIRS.index(pair)] = graphs >> place & 1
        for vertex in range(self.size - 2):
            found[:, len(PAIRS) + vertex] = labellings // len(OPS) ** (self.size - 3 - vertex) % len(OPS)
        return found

    def _images(self, move: tuple[int, ...], places: range) -> Integers:
        """For every pattern of the bits at `places`, what it becomes; strongly negative if an edge turns around."""
        pairs = _pairs_of(self.size)
        patterns = np.arange(2 ** len(places))
        images = np.zeros(len(patterns), np.int64)
        for bit, place in enumerate(places):
            if place < len(pairs):
                source, target = (move[vertex] for vertex in pairs[place])
                image = 2 ** pairs.index((source, target)) if source < target else -(2**40)
                images += np.where(patterns >> bit & 1, image, 0)
        return images


@functools.cache
def _orders(size: int) -> _Orders:
    return _Orders(size)


@functools.cache
def _pairs_of(size: int) -> tuple[tuple[int, int], ...]:
    """The pairs of vertices by the bit that stands for them in a graph's number, least significant first."""
    return tuple(reversed(list(itertools.combinations(range(size), 2))))
