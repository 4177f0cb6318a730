"""What a network is made of, read off its graph: counts, paths and ends of what can influence the output.

Nothing here knows the names of a space's variables: two spaces that draw equal graphs have equal numbers.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.graph import Graph
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.features import REMEMBERED, SAMPLED, Ordinal, choice_rows, refuse_draws
from ogive.live_graphs import LiveGraphs

__all__ = ["LiveWeight", "Structure", "live_weight", "structure", "weight_of"]

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float32]
Columns = dict[str, Floats]

# Operations whose output is their input, or the sum of their inputs.
PASSING = frozenset({"skip_connect", "skip", "identity", "sum", "add"})
# Operations without weights beside those.
_FREE = re.compile(r"input|output|none|pool|concat|mean|relu$|gelu|tanh|sigmoid|swish|silu")
_KERNEL = re.compile(r"(\d+)x(\d+)")
# Numbers of all arrows of the graphs that are described at once, about 30 MB.
BLOCK = 4_000_000
# Of so many operations every set has columns; of more, each operation and all together.
FEW_OPS = 4
# Of so many operations every pair has a column that says how often one follows the other.
PAIRED_OPS = 10
# Columns of the operations on the first places of a path, and of paths with so many weighted operations or more.
PLACES = 3
WEIGHTED = 4


def weight_of(op: str) -> float:
    """Weights of an operation in those of a 1x1 convolution between as many channels, as its name says: 9 for 3x3.

    A separable or dilated convolution of k x k is a depthwise one of k * k / 16 and a 1x1, twice if separable. What has
    a name that tells nothing counts as one, unless it is known to have no weights.
    """
    kernel = _KERNEL.search(op)
    if "conv" in op and kernel is not None:
        area = float(int(kernel[1]) * int(kernel[2]))
        return {"sep_": 2, "dil_": 1}[op[:4]] * (1 + area / 16) if op.startswith(("sep_", "dil_")) else area
    return 0.0 if op in PASSING or _FREE.search(op) else 1.0


def structure(*, space: SearchSpace) -> Structure:
    """The encoder `Structure` of a space, made and filled once for all predictors of a process that read it."""
    return _structure(space)


def live_weight(*, space: SearchSpace) -> LiveWeight:
    """The encoder `LiveWeight` of a space, as `structure`."""
    return _live_weight(space)


class Structure:
    """Numbers of an architecture's live graph: its operations, paths, depths and ends. Fits spaces that draw graphs.

    What reaches no output is left out, and what only passes tensors on is contracted, so that networks that compute the
    same have the same numbers however they are written. Columns: for each operation, each set of them where they are
    few, the weighted ones and their weights, how many there are, and the least, mean and largest number on a path; how
    many paths there are, also by the number of weighted operations on them; which operations stand at the ends, follow
    each other, and stand first, second, third on the shortest and longest paths. All are put through sign(x) log(1 +
    |x|) and scaled to mean 0 and deviation 1 over 1,000 random architectures; a column in which these agree is left
    out. Where every graph is a chain, each variable is a column too: along a chain it is the place that tells.
    """

    def __init__(self, *, space: SearchSpace) -> None:
        archs, graphs = _sampled(space)
        self.space = space
        self._ops = _operations(graphs)
        chains = all(graph.edges == set(itertools.pairwise(range(len(graph)))) for graph in graphs)
        self._variables = Ordinal(space=space) if chains else None
        names, raw = self._raw(archs, graphs)
        deviation = raw.std(axis=0)
        kept = np.flatnonzero(deviation > 1e-9)
        if not len(kept):
            raise SpecError(f"The graphs of {space.name} are all alike: encode its architectures with one_hot.")
        self._kept, self._mean, self._deviation = kept, raw.mean(axis=0)[kept], deviation[kept]
        self.columns = tuple(names[place] for place in kept)
        self.width = len(kept)
        self._rows = Remembered(space, self._scaled, self.width)

    def __call__(self, archs: Sequence[Architecture]) -> Rows:
        """Shape (n, width)."""
        return self._rows(archs)

    def _scaled(self, archs: Sequence[Architecture], graphs: Sequence[Graph]) -> Rows:
        rows: Rows = ((self._raw(archs, graphs)[1][:, self._kept] - self._mean) / self._deviation).astype(np.float32)
        return rows

    def _raw(self, archs: Sequence[Architecture], graphs: Sequence[Graph]) -> tuple[list[str], Floats]:
        columns = _columns(graphs, self._ops)
        raw = np.stack(list(columns.values()), axis=1)
        raw = np.sign(raw) * np.log1p(np.abs(raw))
        if self._variables is None:
            return list(columns), raw
        names = [variable.name for variable in self.space.variables]
        return [*columns, *names], np.concatenate((raw, self._variables(archs)), axis=1)


class LiveWeight:
    """How many weights an architecture has that can influence its output, as a rank among 1,000 random ones.

    The rank is that of a normal distribution, about -3 to 3: what is thought of an architecture before any label, since
    of networks without any training larger ones are the better ones (in NAS-Bench-201 with Kendall's tau 0.65). Spaces
    that draw no graphs, and those whose graphs all have as many weights, have 0 for everything. One column.
    """

    width = 1

    def __init__(self, *, space: SearchSpace) -> None:
        from scipy.special import ndtri

        self.space = space
        try:
            graphs = _sampled(space)[1]
        except SpecError:
            graphs = []
        self._ops = _operations(graphs)
        known = np.sort(_weights(graphs, self._ops))
        self._values, first, count = np.unique(known, return_index=True, return_counts=True)
        self._scores = ndtri((first + count / 2) / max(1, len(known)))
        self._rows = Remembered(space, self._row, 1)

    def __call__(self, archs: Sequence[Architecture]) -> Rows:
        """Shape (n, 1)."""
        return self._rows(archs)

    def _row(self, archs: Sequence[Architecture], graphs: Sequence[Graph]) -> Rows:
        if len(self._values) < 2:
            return np.zeros((len(archs), 1), np.float32)
        found = np.interp(_weights(graphs, self._ops), self._values, self._scores)
        return found[:, None].astype(np.float32)


class Remembered:
    """Rows of drawn architectures, each drawn once: a guided search asks for the same thousands at every fit."""

    def __init__(
        self,
        space: SearchSpace,
        rows: Callable[[Sequence[Architecture], Sequence[Graph]], Rows],
        width: int,
    ) -> None:
        self.space, self._made = space, rows
        self._place: dict[Architecture, int] = {}
        self._known: Rows = np.zeros((0, width), np.float32)

    def __call__(self, archs: Sequence[Architecture]) -> Rows:
        new = list(dict.fromkeys(arch for arch in archs if arch not in self._place))
        if len(self._place) + len(new) > REMEMBERED:
            self._place.clear()
            self._known, new = self._known[:0], list(dict.fromkeys(archs))
        if new:
            choice_rows(new, self.space)  # refuses what is of another space
            self._place.update(zip(new, itertools.count(len(self._place)), strict=False))
            self._known = np.concatenate((self._known, *self._blocks(new)))
        return self._known[[self._place[arch] for arch in archs]]

    def _blocks(self, archs: Sequence[Architecture]) -> list[Rows]:
        """In blocks of about equal memory, since graphs of all sizes are squared."""
        nodes = max(1, len(self.space.draw(archs[0])))
        size = max(1, BLOCK // nodes**2)
        blocks = [archs[start : start + size] for start in range(0, len(archs), size)]
        return [self._made(block, [self.space.draw(arch) for arch in block]) for block in blocks]


@functools.lru_cache(maxsize=8)
def _structure(space: SearchSpace) -> Structure:
    return Structure(space=space)


@functools.lru_cache(maxsize=8)
def _live_weight(space: SearchSpace) -> LiveWeight:
    return LiveWeight(space=space)


def _sampled(space: SearchSpace) -> tuple[list[Architecture], list[Graph]]:
    """Random architectures and their graphs, the same in every process; SpecError for a space that draws none."""
    refuse_draws(space)
    rng = Seed(0).child(space.name).numpy("encoding")
    archs = [space.sample(rng) for _ in range(SAMPLED)]
    graphs = [space.draw(arch) for arch in archs]
    if not any(map(len, graphs)):
        raise SpecError(f"The architectures of {space.name} are not drawn as graphs: encode them with one_hot.")
    return archs, graphs


def _operations(graphs: Sequence[Graph]) -> tuple[str, ...]:
    """What a node may do, beside passing on what it reads."""
    return tuple(sorted({op for graph in graphs for op in graph.ops} - PASSING - {"input", "output", "none"}))


def _weights(graphs: Sequence[Graph], ops: Sequence[str]) -> Floats:
    live = LiveGraphs.of(graphs, ops, PASSING)
    found: Floats = live.ops.sum(axis=1) @ np.array([weight_of(op) for op in ops])
    return found


def _columns(graphs: Sequence[Graph], ops: Sequence[str]) -> dict[str, Floats]:
    """Every column by its name, before scaling."""
    live = LiveGraphs.of(graphs, ops, PASSING)
    kinds = _kinds(ops)
    counted = live.ops @ np.stack(list(kinds.values()), axis=1)
    alive = live.paths() > 0
    columns = {"alive": alive.astype(np.float64), "paths": live.paths(), "arrows": live.ways.sum(axis=(1, 2))}
    for words, found in (
        ("all", counted.sum(axis=1)),
        ("mean", np.where(alive[:, None], live.mean_on_paths(counted), -1)),
        ("most", live.at_outputs(live.most_on_a_path(counted), -1)),
        ("least", -live.at_outputs(live.most_on_a_path(-counted), 1)),
    ):
        columns |= {f"{words} {kind}": found[:, place] for place, kind in enumerate(kinds)}
    lengths = live.paths_by_length(counted[:, :, list(kinds).index("weighted")] > 0, WEIGHTED)
    columns |= {f"paths with {number} weighted": lengths[:, number] for number in range(WEIGHTED + 1)}
    return columns | _ends(live, ops) | _places(live, ops)


def _kinds(ops: Sequence[str]) -> dict[str, Floats]:
    """What is counted: for each kind of operation, how much each operation is of it."""
    weights = np.array([weight_of(op) for op in ops])
    kinds = {op: np.eye(len(ops))[place] for place, op in enumerate(ops)}
    kinds |= {"weighted": (weights > 0).astype(np.float64), "weights": weights, "operations": np.ones(len(ops))}
    if len(ops) <= FEW_OPS:
        for size in range(2, len(ops)):
            for several in itertools.combinations(ops, size):
                kinds["|".join(several)] = sum((kinds[op] for op in several), np.zeros(len(ops)))
    return kinds


def _ends(live: LiveGraphs, ops: Sequence[str]) -> Columns:
    first_NV, last_NV = live.ends()
    columns = {
        "first": first_NV.sum(axis=1),
        "last": last_NV.sum(axis=1),
        "through": (first_NV * live.outputs).sum(axis=1),
    }
    for place, op in enumerate(ops):
        columns[f"first {op}"] = (first_NV * live.ops[:, :, place]).sum(axis=1)
        columns[f"last {op}"] = (last_NV * live.ops[:, :, place]).sum(axis=1)
    if len(ops) <= PAIRED_OPS:
        following = live.following()
        for (i, one), (j, other) in itertools.product(enumerate(ops), repeat=2):
            columns[f"{one} > {other}"] = following[:, i, j]
    return columns


def _places(live: LiveGraphs, ops: Sequence[str]) -> Columns:
    columns: Columns = {}
    for words, longest in (("shortest", False), ("longest", True)):
        along = live.along(PLACES, longest=longest)
        for place in range(PLACES):
            columns |= {f"{words} {place + 1} {op}": along[:, place, number] for number, op in enumerate(ops)}
    return columns
