"""Numbers of a graph or an architecture: matrices, encoders, and closed forms for the size and work of a network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError
from ogive.core.graph import Graph
from ogive.core.rng import Seed
from ogive.core.space import Choice, Draw, Real, SearchSpace, Variable
from ogive.spaces import ofa_mobilenetv3

__all__ = [
    "REMEMBERED",
    "Adjacency",
    "Layers",
    "OneHot",
    "Ordinal",
    "Paths",
    "Tokens",
    "choice_rows",
    "refuse_draws",
    "sampled_graphs",
]

Integers = npt.NDArray[np.int64]
Rows = npt.NDArray[np.float32]

# Encoders of graphs learn nodes, operations and paths from so many random architectures of the space.
SAMPLED = 1_000
# So many paths through one architecture are no set of columns any more; those of DARTS have a few hundred.
MOST_PATHS = 1_000
# So many rows are remembered by encoders that draw: all of NAS-Bench-201, and a search of any other space.
REMEMBERED = 100_000


class OneHot:
    """A column for each option of each variable; a real variable has one column, scaled to 0 … 1. Fits any space.

    What models leave out, draws and what is fixed, has no column.
    """

    def __init__(self, *, space: SearchSpace) -> None:
        self.space = space
        self._variables = [(place, space.variables[place]) for place in space.modelled]
        widths = [len(v.options) if isinstance(v, Choice) else 1 for _, v in self._variables]
        self._starts = np.cumsum([0, *widths])
        self.width = sum(widths)

    def __call__(self, archs: Sequence[Architecture]) -> Rows:
        """Shape (n, width)."""
        choices_NV = choice_rows(archs, self.space)
        rows = np.zeros((len(archs), self.width), np.float32)
        for (place, variable), start in zip(self._variables, self._starts.tolist(), strict=False):
            column = choices_NV[:, place]
            if isinstance(variable, Choice):
                rows[np.arange(len(archs)), start + column.astype(np.int64)] = 1
            elif isinstance(variable, Real):
                rows[:, start] = (column - variable.low) / (variable.high - variable.low)
        return rows


class Ordinal:
    """A column for each variable that is modelled, its options in their order from 0 to 1, a real one scaled to it.

    Fits any space.
    """

    def __init__(self, *, space: SearchSpace) -> None:
        self.space, self._places = space, list(space.modelled)
        self.width = len(self._places)
        ends = [_ends(space.variables[place]) for place in self._places]
        self._low = np.array([low for low, _ in ends])
        self._range = np.array([high - low or 1 for low, high in ends])

    def __call__(self, archs: Sequence[Architecture]) -> Rows:
        """Shape (n, width)."""
        choices_NV = choice_rows(archs, self.space)[:, self._places]
        rows: Rows = ((choices_NV - self._low) / self._range).astype(np.float32)
        return rows


class Layers:
    """Columns for the kernels and then the expansions of layers, all zeros where a layer is skipped: 120 of them.

    Chen et al., "CTNAS", CVPR 2021, for networks of mobile blocks (chenyaofo/CTNAS, ctnas/core/dataset). Depths have no
    columns, since they are what is not zero. SpecError for any other space.
    """

    def __init__(self, *, space: SearchSpace) -> None:
        if space.name != ofa_mobilenetv3.NAME:
            raise SpecError(
                f"An encoding by layers is one of {ofa_mobilenetv3.NAME}, not of {space.name}: use one_hot."
            )
        self.space = space
        places = ofa_mobilenetv3.UNITS * ofa_mobilenetv3.LAYERS
        self.width = places * (len(ofa_mobilenetv3.KERNELS) + len(ofa_mobilenetv3.EXPANSIONS))

    def __call__(self, archs: Sequence[Architecture]) -> Rows:
        """Shape (n, width)."""
        choices_NV = choice_rows(archs, self.space).astype(np.int64)
        units, layers = ofa_mobilenetv3.UNITS, ofa_mobilenetv3.LAYERS
        depths_NU = np.array(ofa_mobilenetv3.DEPTHS)[choices_NV[:, :units]]
        live_NL = (np.arange(layers) < depths_NU[..., None]).reshape(len(archs), units * layers)
        kinds_NLK = choices_NV[:, units:, None] == np.arange(len(ofa_mobilenetv3.KERNELS))
        rows: Rows = (kinds_NLK & np.tile(live_NL, 2)[..., None]).reshape(len(archs), self.width).astype(np.float32)
        return rows


class Adjacency:
    """The adjacency matrix above its diagonal, then the operation of each node as one column of several.

    Nodes stand in the order in which the space draws them. How many there are, and which operations, is taken from
    1,000 random architectures; a node beyond them has no columns, an operation that none of them has is all zeros.
    """

    def __init__(self, *, space: SearchSpace) -> None:
        graphs = sampled_graphs(space)
        self.nodes = max(map(len, graphs))
        self.operations = tuple(sorted({op for graph in graphs for op in graph.ops}))
        self._place = {op: column for column, op in enumerate(self.operations)}
        self._edges = self.nodes * (self.nodes - 1) // 2
        self.width = self._edges + self.nodes * len(self.operations)
        self._rows = _Remembered(space, self._row)

    def __call__(self, archs: Sequence[Architecture]) -> Rows:
        """Shape (n, width)."""
        return self._rows(archs, self.width)

    def _row(self, graph: Graph) -> Rows:
        square = np.zeros((self.nodes, self.nodes), np.float32)
        kinds = np.zeros((self.nodes, len(self.operations)), np.float32)
        for i, j in graph.edges:
            if j < self.nodes:
                square[i, j] = 1
        for node, op in enumerate(graph.ops[: self.nodes]):
            if op in self._place:
                kinds[node, self._place[op]] = 1
        return np.concatenate((square[np.triu_indices(self.nodes, 1)], kinds.ravel()))


class Paths:
    """A column for each sequence of operations from an input to an output, 1 where an architecture has it.

    White et al., "BANANAS", AAAI 2021, section 3: `columns` are the most frequent paths of random architectures, here
    of 1,000, so that rare ones have none. Raises SpecError where one of these has more than 1,000 paths, and where most
    have none of the frequent ones, as chains in which every path is a whole architecture.
    """

    def __init__(self, *, space: SearchSpace, columns: int = 500) -> None:
        if columns < 1:
            raise SpecError(f"A path encoding has at least one column, but got columns={columns}.")
        graphs = sampled_graphs(space)
        most = max(map(_path_count, graphs))
        if most > MOST_PATHS:
            raise SpecError(
                f"An encoding by paths takes at most {MOST_PATHS:,} of them through one architecture, but one of "
                f"{space.name} has {most:,}: use one_hot."
            )
        held = [set(_paths(graph)) for graph in graphs]
        seen = Counter(path for paths in held for path in sorted(paths))
        # Equally frequent paths stand in alphabetical order, so that columns are the same in every process.
        shared = [path for path, count in seen.items() if count > 1]
        self.paths = tuple(sorted(shared, key=lambda path: (-seen[path], path))[:columns])
        self._place = {path: column for column, path in enumerate(self.paths)}
        self.width = len(self.paths)
        if sum(not paths.isdisjoint(self._place) for paths in held) < len(held) / 2:
            raise SpecError(f"Most architectures of {space.name} share no path from input to output: use one_hot.")
        self._rows = _Remembered(space, self._row)

    def __call__(self, archs: Sequence[Architecture]) -> Rows:
        """Shape (n, width)."""
        return self._rows(archs, self.width)

    def _row(self, graph: Graph) -> Rows:
        row = np.zeros(self.width, np.float32)
        row[[self._place[path] for path in _paths(graph) if path in self._place]] = 1
        return row


class Tokens:
    """The tokens of the space's form as sequences, a column for each place. For models that read sequences."""

    def __init__(self, *, space: SearchSpace) -> None:
        if space.tokens is None:
            raise SpecError(
                f"{space.name} has no form as sequences of tokens (SearchSpace.tokens): use another encoder."
            )
        self.space, self.form, self.width = space, space.tokens, space.tokens.length

    def __call__(self, archs: Sequence[Architecture]) -> Rows:
        """Shape (n, width)."""
        for arch in archs:
            _refuse_foreign(arch, self.space)
        rows = np.array([self.form.written(arch) for arch in archs], np.float32)
        return rows.reshape(len(archs), self.width)


class _Remembered:
    """Rows of drawn architectures, each drawn once: a guided search asks for the same thousands at every fit."""

    def __init__(self, space: SearchSpace, row: Callable[[Graph], Rows]) -> None:
        self.space, self._row = space, row
        self._known: dict[Architecture, Rows] = {}

    def __call__(self, archs: Sequence[Architecture], width: int) -> Rows:
        rows = [self._of(arch) for arch in archs]
        return np.stack(rows) if rows else np.zeros((0, width), np.float32)

    def _of(self, arch: Architecture) -> Rows:
        row = self._known.get(arch)
        if row is None:
            _refuse_foreign(arch, self.space)
            row = self._row(self.space.draw(arch))
            if len(self._known) < REMEMBERED:
                self._known[arch] = row
        return row


def choice_rows(archs: Sequence[Architecture], space: SearchSpace) -> npt.NDArray[np.float64]:
    """The choices of architectures, shape (n, variables); InvalidArchitecture for one of another space."""
    for arch in archs:
        _refuse_foreign(arch, space)
    return np.array([arch.choices for arch in archs], np.float64).reshape(len(archs), len(space.variables))


def _ends(variable: Variable) -> tuple[float, float]:
    """The least and the largest value of a variable that is modelled."""
    if isinstance(variable, Choice):
        return 0, len(variable.options) - 1
    assert isinstance(variable, Real)
    return variable.low, variable.high


def _refuse_foreign(arch: Architecture, space: SearchSpace) -> None:
    if arch.space != space.name or len(arch.choices) != len(space.variables):
        raise InvalidArchitecture(f"{arch} is no architecture of {space.name}, whose encoding was asked for.")


def sampled_graphs(space: SearchSpace) -> list[Graph]:
    """Pictures of random architectures, the same in every process; SpecError for a space that draws none."""
    refuse_draws(space)
    rng = Seed(0).child(space.name).numpy("encoding")
    graphs = [space.draw(space.sample(rng)) for _ in range(SAMPLED)]
    if not any(map(len, graphs)):
        raise SpecError(f"The architectures of {space.name} are not drawn as graphs: encode them with one_hot.")
    return graphs


def refuse_draws(space: SearchSpace) -> None:
    """SpecError for a space whose pictures are random draws: what reads them takes draws for what they are draws of."""
    if any(isinstance(variable, Draw) for variable in space.variables):
        raise SpecError(f"The graphs of {space.name} are random draws of what is searched: encode that with one_hot.")


def _path_count(graph: Graph) -> int:
    """How many paths lead from an input to an output; counted, since there may be too many to list."""
    ways = [int(op == "input") for op in graph.ops]
    for source, target in sorted(graph.edges, key=lambda edge: edge[1]):
        ways[target] += ways[source]
    return sum(count for count, op in zip(ways, graph.ops, strict=True) if op == "output")


def _paths(graph: Graph) -> Iterator[tuple[str, ...]]:
    """The operations on each path from an input to an output, without these two."""
    alive = graph.pruned()
    after: list[list[int]] = [[] for _ in alive.ops]
    for source, target in sorted(alive.edges):
        after[source].append(target)
    open_paths: list[tuple[int, tuple[str, ...]]] = [(n, ()) for n, op in enumerate(alive.ops) if op == "input"]
    while open_paths:
        node, ops = open_paths.pop()
        for target in after[node]:
            if alive.ops[target] == "output":
                yield ops
            else:
                open_paths.append((target, (*ops, alive.ops[target])))
