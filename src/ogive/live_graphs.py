"""Many graphs at once, without what cannot influence the output and with what only passes tensors on contracted.

Sums over paths are dynamic programmes along the order of the nodes, of all graphs together: no path is listed, so that
cells with thousands of them cost as much as a chain.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ogive.core.graph import Graph

__all__ = ["LiveGraphs"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class LiveGraphs:
    """N live graphs of at most V nodes and O operations, padded.

    `ways` (N, V, V) counts the arrows from node to node, those through contracted nodes included: two where a tensor is
    added to itself. `ops` (N, V, O) is 1 for the operation of a node; inputs and outputs, marked in (N, V), have none,
    dead and contracted nodes neither operation nor arrows.
    """

    ways: Floats
    ops: Floats
    inputs: Bools
    outputs: Bools

    @classmethod
    def of(cls, graphs: Sequence[Graph], ops: Sequence[str], passing: Collection[str]) -> LiveGraphs:
        """Nodes whose operation is in `passing` are contracted; nodes with one outside of `ops` have none."""
        nodes, kinds = max(map(len, graphs), default=0), {op: place for place, op in enumerate(ops)}
        ways = np.zeros((len(graphs), nodes, nodes))
        ops_NVO = np.zeros((len(graphs), nodes, len(ops)))
        inputs, outputs, thin, void = (np.zeros((len(graphs), nodes), np.bool_) for _ in range(4))
        marks = {"input": inputs, "output": outputs, "none": void, **dict.fromkeys(passing, thin)}
        for place, graph in enumerate(graphs):
            for node, op in enumerate(graph.ops):
                if op in marks:
                    marks[op][place, node] = True
                elif op in kinds:
                    ops_NVO[place, node, kinds[op]] = 1
            for source, target in graph.edges:
                ways[place, source, target] = 1
        live = _live(ways, inputs, outputs, ~void)
        ways *= live[:, :, None] & live[:, None, :]
        ops_NVO *= live[:, :, None]
        _contract(ways, thin & live)
        return cls(ways, ops_NVO, inputs, outputs)

    def paths(self) -> Floats:
        """How many paths lead from an input to an output."""
        return self._at_outputs(self.sums(np.zeros((*self.inputs.shape, 0)))[0])

    def sums(self, weights_NVS: Floats) -> tuple[Floats, Floats]:
        """Paths to each node, (N, V), and the sums over these of the weights on them, (N, V, S), its own included."""
        counts = self.inputs.astype(np.float64)
        sums = np.zeros_like(weights_NVS)
        for node in self._order():
            into = self.ways[:, :, node]
            came = (into * counts).sum(axis=1)
            counts[:, node] += came
            if weights_NVS.shape[2]:
                sums[:, node] += np.matmul(into[:, None], sums)[:, 0] + came[:, None] * weights_NVS[:, node]
        return counts, sums

    def mean_on_paths(self, weights_NVS: Floats) -> Floats:
        """The mean over all paths of the weights on them, (N, S); 0 without a path."""
        counts, sums = self.sums(weights_NVS)
        found: Floats = np.einsum("nvs,nv->ns", sums, self.outputs.astype(np.float64)) / self._paths(counts)[:, None]
        return found

    def most_on_a_path(self, weights_NVS: Floats, *, backwards: bool = False) -> Floats:
        """The largest sum of weights on a path to each node, (N, V, S), or on from it; -inf where there is none."""
        present = (self.ways.transpose(0, 2, 1) if backwards else self.ways) > 0
        ends = self.outputs if backwards else self.inputs
        most = np.where(ends[:, :, None], 0.0, -np.inf) + np.zeros_like(weights_NVS)
        for node in self._order(backwards):
            came = np.where(present[:, :, node, None], most, -np.inf).max(axis=1)
            most[:, node] = np.maximum(most[:, node], came + weights_NVS[:, node])
        return most

    def at_outputs(self, most_NVS: Floats, without: float) -> Floats:
        """The largest value at an output, (N, S); `without` where no path leads to one."""
        found = np.where(self.outputs[:, :, None], most_NVS, -np.inf).max(axis=1, initial=-np.inf)
        return np.where(np.isfinite(found), found, without)

    def paths_by_length(self, weighted_NV: Bools, longest: int) -> Floats:
        """How many paths hold 0, 1, … `longest` or more of the marked nodes, (N, longest + 1)."""
        paths = np.zeros((*weighted_NV.shape, longest + 1))
        paths[:, :, 0] = self.inputs
        for node in self._order():
            came = np.matmul(self.ways[:, None, :, node], paths)[:, 0]
            longer = np.concatenate((np.zeros((len(came), 1)), came[:, :-1]), axis=1)
            longer[:, -1] += came[:, -1]
            paths[:, node] += np.where(weighted_NV[:, node, None], longer, came)
        found: Floats = np.einsum("nvk,nv->nk", paths, self.outputs.astype(np.float64))
        return found

    def along(self, places: int, *, longest: bool) -> Floats:
        """The operations on the first places of the shortest or longest paths, (N, places, O).

        Of several such paths each counts with its share.
        """
        step = np.where(self.outputs, 0.0, 1.0)[:, :, None] * (1 if longest else -1)
        # An output has no operation: the place of a node on its path is how many nodes with one lead to it.
        ahead, behind = self.most_on_a_path(step), self.most_on_a_path(step, backwards=True)
        extreme = self.at_outputs(ahead, -np.inf)[:, 0]
        to_N, from_N = self._extreme_counts(ahead, False), self._extreme_counts(behind, True)
        with np.errstate(invalid="ignore"):
            on = ahead[:, :, 0] + behind[:, :, 0] - step[:, :, 0] == extreme[:, None]
        ends = self.outputs & (ahead[:, :, 0] == extreme[:, None])
        total = (to_N * ends).sum(axis=1)
        share = np.where(on, to_N * from_N, 0.0) / np.where(total > 0, total, 1)[:, None]
        place = np.abs(np.where(np.isfinite(ahead[:, :, 0]), ahead[:, :, 0], 0))
        return np.stack(
            [np.matmul((share * (place == k))[:, None], self.ops)[:, 0] for k in range(1, places + 1)], axis=1
        )

    def ends(self) -> tuple[Floats, Floats]:
        """How many arrows lead from inputs into each node and from each node into outputs, (N, V) each."""
        inputs, outputs = self.inputs.astype(np.float64), self.outputs.astype(np.float64)
        return np.matmul(inputs[:, None], self.ways)[:, 0], np.matmul(self.ways, outputs[:, :, None])[:, :, 0]

    def following(self) -> Floats:
        """How many arrows lead from each operation to each other, (N, O, O)."""
        found: Floats = np.matmul(np.matmul(self.ops.transpose(0, 2, 1), self.ways), self.ops)
        return found

    def _extreme_counts(self, most_NV1: Floats, backwards: bool) -> Floats:
        """Over how many of the extreme paths each node is reached."""
        ways = self.ways.transpose(0, 2, 1) if backwards else self.ways
        counts = (self.outputs if backwards else self.inputs).astype(np.float64)
        most = most_NV1[:, :, 0]
        for node in self._order(backwards):
            came = np.where(ways[:, :, node] > 0, most, -np.inf)
            best = came.max(axis=1)
            tied = (came == best[:, None]) & np.isfinite(best)[:, None]
            counts[:, node] += np.where(tied, ways[:, :, node] * counts, 0).sum(axis=1)
        return counts

    def _order(self, backwards: bool = False) -> range:
        nodes = self.inputs.shape[1]
        return range(nodes - 1, -1, -1) if backwards else range(nodes)

    def _at_outputs(self, values_NV: Floats) -> Floats:
        found: Floats = (values_NV * self.outputs).sum(axis=1)
        return found

    def _paths(self, counts_NV: Floats) -> Floats:
        paths = self._at_outputs(counts_NV)
        return np.where(paths > 0, paths, 1)


def _live(ways_NVV: Floats, inputs_NV: Bools, outputs_NV: Bools, allowed_NV: Bools) -> Bools:
    """The nodes on a path from an input to an output through allowed nodes."""
    present = ways_NVV > 0
    reached, reaching = inputs_NV.copy(), outputs_NV.copy()
    for node in range(present.shape[1]):
        reached[:, node] |= (present[:, :, node] & reached).any(axis=1) & allowed_NV[:, node]
    for node in reversed(range(present.shape[1])):
        reaching[:, node] |= (present[:, node] & reaching).any(axis=1) & allowed_NV[:, node]
    return reached & reaching


def _contract(ways_NVV: Floats, thin_NV: Bools) -> None:
    """Replace these nodes by arrows from what they read to what reads them, in place."""
    for node in range(ways_NVV.shape[1]):
        rows = np.flatnonzero(thin_NV[:, node])
        if len(rows):
            some = ways_NVV[rows]
            some += some[:, :, node, None] * some[:, None, node, :]
            some[:, :, node] = some[:, node] = 0
            ways_NVV[rows] = some
