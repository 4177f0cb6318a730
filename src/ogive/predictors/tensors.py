"""Architectures as feature tensors: matrices in which an arc carries a number of the node that it leads to.

Xu et al., "ReNAS: Relativistic Evaluation of Neural Architecture Search", CVPR 2021, section 3.1, have a matrix of
types, and of each cell of the network one of the work and one of the parameters. Entry (i, j) is that of node j if
it hears node i, and 0 otherwise; a smaller graph has no arcs in the places before the last, which is that of its last
node. Shapes: B architectures, C channels, D different ones, N nodes, V vertices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.space import SearchSpace
from ogive.features import choice_rows
from ogive.predictors.graphs import GraphBatch, GraphEncoder
from ogive.spaces import nasbench101, nasbench201

__all__ = ["MOST_CHANNELS", "MOST_NODES", "FeatureTensors", "vertex_widths"]

Rows = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# The network that reads a matrix of so many nodes has 98 million weights after its convolutions.
MOST_NODES = 80
MOST_CHANNELS = 64

SIDE = 32  # pixels of an image of CIFAR, of which the published networks are
STAGES = 3  # each half as large as the one before, and twice as wide


class FeatureTensors:
    """Writes architectures of a space as tensors.

    NAS-Bench-101 has 19 channels of 7 x 7, of its published networks of 128 channels: types, multiply-accumulates of
    each of the nine cells, parameters of each. A node's projections of the cell's input are its own. NAS-Bench-201 has
    31 of 8 x 8, of networks of 16 channels with 15 cells. Other spaces have no sizes: a channel for each operation of
    each graph is 1 where an arc leads to it; nodes are those of `ogive.predictors.graphs`, and nodes beyond the most
    that 1,000 random architectures have are left out. SpecError for a space that draws no graph, or too large ones.

    Channels that are equal for every architecture are one in `distinct`, of which `channels` (C,) names the place.
    """

    def __init__(self, *, space: SearchSpace) -> None:
        self.space = space
        self._write = _LAYOUTS.get(space.name, _Drawn)(space)
        self.channels: Integers = self._write.channels
        self.nodes: int = self._write.nodes
        if self.nodes > MOST_NODES or len(self.channels) > MOST_CHANNELS:
            raise SpecError(
                f"A feature tensor has at most {MOST_CHANNELS} channels of {MOST_NODES} nodes, but one of {space.name} "
                f"would have {len(self.channels)} of {self.nodes}: use the predictor trees or nac."
            )

    def __call__(self, archs: Sequence[Architecture]) -> Rows:
        """Shape (B, C, N, N); InvalidArchitecture for an architecture of another space."""
        return self.distinct(archs)[:, self.channels]

    def distinct(self, archs: Sequence[Architecture]) -> Rows:
        """Shape (B, D, N, N)."""
        return self._write(archs)


class _NASBench101:
    nodes = nasbench101.VERTICES
    channels = np.array([0, *(1, 1, 1, 2, 3, 3, 4, 5, 5), *(6, 6, 6, 7, 8, 8, 9, 10, 10)])
    # Channels in and out, and the side of images, of cells that differ (NAS-Bench-101, section 2.1): the first of a
    # later stack is unlike the others.
    CELLS = ((128, 128, 32), (128, 256, 16), (256, 256, 16), (256, 512, 8), (512, 512, 8))

    def __init__(self, space: SearchSpace) -> None:
        self.space = space

    def __call__(self, archs: Sequence[Architecture]) -> Rows:
        choices = choice_rows(archs, self.space).astype(np.int64)
        matrices, labels = _with_output_last(*nasbench101.pruned_cells(choices))
        # The input is 1, the operations are 2, 3 and 4, the output is 5.
        types = np.where(labels >= 0, labels + 2, np.where(labels == nasbench101.OUTPUT, 5, 1))
        work, parameters = [], []
        for inputs, outputs, side in self.CELLS:
            weights, others = self._weights(matrices, labels, inputs, outputs)
            work.append(weights * side**2)
            parameters.append(weights + others)
        values = np.stack([types, *work, *parameters], axis=1)
        return (values[:, :, None, :] * matrices[:, None]).astype(np.float32)

    @staticmethod
    def _weights(matrices: Bools, labels: Integers, inputs: int, outputs: int) -> tuple[Integers, Integers]:
        """The weights of convolutions of each vertex, its projections included, and those of normalisation, (B, V)."""
        widths = vertex_widths(matrices, inputs, outputs)
        kernel = np.select([labels == 0, labels == 1], [9, 1], 0)  # conv3x3, conv1x1
        projected = matrices[:, 0]
        weights = kernel * widths**2 + projected * inputs * widths
        return weights, 2 * widths * ((kernel > 0) + projected.astype(np.int64))


class _NASBench201:
    nodes = len(nasbench201.EDGES) + 2
    CELLS = 5  # NAS-Bench-201, section 2.1, as is the width
    WIDTH = 16
    channels = np.array([0, *[1] * STAGES * CELLS, *np.repeat(2 + np.arange(STAGES), CELLS)])

    def __init__(self, space: SearchSpace) -> None:
        self._graphs = GraphEncoder(space=space)
        kernels = {"nor_conv_1x1": 1, "nor_conv_3x3": 9}
        kernel = np.array([kernels.get(op, 0) for op in self._graphs.vocabulary])
        widths = self.WIDTH * 2 ** np.arange(STAGES)
        # Half the side and twice the width leave the work of a convolution as it is.
        work = kernel * self.WIDTH**2 * SIDE**2
        parameters = [kernel * width**2 + 2 * width * (kernel > 0) for width in widths]
        self._values = np.stack([np.arange(len(kernel)), work, *parameters]).astype(np.float32)

    def __call__(self, archs: Sequence[Architecture]) -> Rows:
        batch = self._graphs(archs)
        values = np.moveaxis(self._values[:, batch.operations[:, 0]], 0, 1)
        tensors: Rows = values[:, :, None, :] * batch.adjacency.astype(np.float32)
        return tensors


class _Drawn:
    """Any other space: for each graph, and each operation of the vocabulary, whether an arc leads to it."""

    def __init__(self, space: SearchSpace) -> None:
        self._graphs = GraphEncoder(space=space)
        self.nodes = self._graphs.nodes
        self._operations = len(self._graphs.vocabulary) - 1
        self.channels = np.arange(self._graphs.graphs * self._operations)

    def __call__(self, archs: Sequence[Architecture]) -> Rows:
        batch = self._last_in_place(self._graphs(archs))
        is_BGON = batch.operations[:, :, None] == 1 + np.arange(self._operations)[:, None]
        tensors = is_BGON[..., None, :] & batch.adjacency[:, :, None]
        shape = (len(batch), len(self.channels), self.nodes, self.nodes)
        return np.asarray(tensors.reshape(shape), np.float32)

    def _last_in_place(self, batch: GraphBatch) -> GraphBatch:
        """The batch with the last node of each graph in the last of `nodes` places."""
        count, graphs, nodes = batch.operations.shape
        flat = batch.adjacency.reshape(count * graphs, nodes, nodes), batch.operations.reshape(count * graphs, nodes)
        matrices, operations = _moved(*flat, batch.mask.reshape(count * graphs, nodes).sum(axis=1), self.nodes)
        return GraphBatch(
            operations.reshape(count, graphs, -1), matrices.reshape(count, graphs, self.nodes, -1), self.nodes
        )


_LAYOUTS: dict[str, type[_NASBench101 | _NASBench201]] = {
    nasbench101.NAME: _NASBench101,
    nasbench201.NAME: _NASBench201,
}


def vertex_widths(matrices: Bools, inputs: int, outputs: int) -> Integers:
    """Channels of the vertices of cells of NAS-Bench-101, whose output is the last vertex, shape (B, V).

    As `ogive.networks.nasbench101.vertex_channels`, of many cells at once; a vertex without arcs has 0.
    """
    last = matrices.shape[1] - 1
    ends = matrices[:, :, last].copy()
    ends[:, 0] = False
    count = np.maximum(ends.sum(axis=1, keepdims=True), 1)
    widths = np.where(ends, outputs // count + (np.cumsum(ends, axis=1) <= outputs % count), 0)
    for vertex in reversed(range(1, last)):
        after = (matrices[:, vertex, :last] * widths[:, :last]).max(axis=1)
        widths[:, vertex] = np.where(ends[:, vertex], widths[:, vertex], after)
    widths[:, 0], widths[:, last] = inputs, outputs
    return widths


def _with_output_last(matrices: Bools, labels: Integers) -> tuple[Bools, Integers]:
    return _moved(matrices, labels, (labels != nasbench101.PADDING).sum(axis=1), matrices.shape[1], nasbench101.PADDING)


def _moved(matrices: Bools, labels: Integers, sizes: Integers, places: int, nothing: int = 0) -> tuple[Bools, Integers]:
    """Graphs, which stand in the first places, with their last node in the last of `places`, and the padding before.

    Of a graph of more nodes the first ones stay, and the last.
    """
    if matrices.shape[1] < places:
        more = places - matrices.shape[1]
        matrices = np.pad(matrices, ((0, 0), (0, more), (0, more)))
        labels = np.pad(labels, ((0, 0), (0, more)), constant_values=nothing)
    order = np.broadcast_to(np.arange(places), (len(labels), places)).copy()
    order[:, -1] = sizes - 1
    # A node that was moved away leaves a place of padding, which is where the last one was.
    moved = (sizes < places)[:, None] & (np.arange(places) == (sizes - 1)[:, None])
    rows = np.arange(len(labels))[:, None]
    found = matrices[rows[:, :, None], order[:, :, None], order[:, None, :]]
    empty = moved & (np.arange(places) < places - 1)
    found &= ~(empty[:, :, None] | empty[:, None, :])
    return found, np.where(empty, nothing, labels[rows, order])
