"""Several graphs of networks, made ready for a hypernetwork: levels of nodes, weights of messages, shapes to decode.

Nodes of one level, those whose longest path from an input is equally long, send each other nothing, even over virtual
edges. So all of them, of all graphs, are computed at once, with the result of one after the other; nothing is padded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ogive.core.errors import SpecError
from ogive.core.network_graph import NetworkGraph, Node
from ogive.hypernets.configuration import Configuration

__all__ = ["Batch", "Target"]

# Operations whose tensors are vectors, whatever ones stand around their length.
VECTORS = ("bias", "bn", "ln")


@dataclass(frozen=True, slots=True)
class Target:
    """A tensor to predict: of which graph and node, its name and shape, and what it is.

    `kind` is "weight" for tensors of the convolutional decoder, "scale" and "bias" for vectors, "classes" and
    "class_bias" for those of the last layer. `four` is the shape that the decoder makes of it before it is tiled.
    """

    graph: int
    node: int
    name: str
    shape: tuple[int, ...]
    kind: str
    four: tuple[int, int, int, int] = (1, 1, 1, 1)
    encoding: bool = False


@dataclass(frozen=True)
class Batch:
    """Graphs in one order of nodes, by levels.

    `types` (N,), `places` (N, 4); `spans` are the first and last nodes of the levels; `near` (N, N) is 1 where a node
    (row) reads another, `far` (N, N) one over the distance, or empty without virtual edges; `rows` says where the nodes
    of each graph are. `apart` holds the distances of each graph in the order of its nodes, 0 for no path.
    """

    types: Tensor
    places: Tensor
    spans: tuple[tuple[int, int], ...]
    near: Tensor
    far: Tensor
    rows: tuple[Tensor, ...]
    targets: tuple[Target, ...]
    apart: tuple[Tensor, ...] = ()

    @classmethod
    def of(cls, graphs: Sequence[NetworkGraph], configuration: Configuration, *, classifier: bool = True) -> Batch:
        """The batch of some graphs; SpecError names a tensor that cannot be predicted.

        Without `classifier`, the tensors of the last layers are left out.
        """
        if not graphs:
            raise SpecError("A hypernetwork needs at least one graph.")
        depths = np.concatenate([graph.depths for graph in graphs])
        order = np.argsort(depths, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        offsets = np.cumsum([0, *(len(graph) for graph in graphs)])
        nodes = [node for graph in graphs for node in graph.nodes]
        bounds = np.flatnonzero(np.diff(depths[order], prepend=-1))
        near, far = _weights(graphs, configuration, place, offsets)
        rows = tuple(torch.from_numpy(place[offsets[n] : offsets[n + 1]]) for n in range(len(graphs)))
        targets: list[Target] = []
        for number, graph in enumerate(graphs):
            targets += _targets(number, graph, rows[number].tolist(), configuration, classifier)
        return cls(
            types=torch.from_numpy(np.concatenate([graph.types for graph in graphs])[order]),
            places=torch.from_numpy(configuration.places([nodes[node].shape for node in order])),
            spans=tuple(zip(bounds.tolist(), [*bounds[1:].tolist(), len(order)], strict=True)),
            near=torch.from_numpy(near),
            far=torch.from_numpy(far),
            rows=rows,
            targets=tuple(targets),
            apart=_apart(graphs, configuration),
        )

    def to(self, device: torch.device | str) -> Batch:
        """The same on a device."""
        return Batch(
            self.types.to(device),
            self.places.to(device),
            self.spans,
            self.near.to(device),
            self.far.to(device),
            tuple(rows.to(device) for rows in self.rows),
            self.targets,
            tuple(distances.to(device) for distances in self.apart),
        )


def _apart(graphs: Sequence[NetworkGraph], configuration: Configuration) -> tuple[Tensor, ...]:
    """How far nodes lie apart, up to the farthest that there are virtual edges of."""
    if configuration.messages != "graphormer":
        return ()
    return tuple(
        torch.from_numpy(np.where(graph.distances <= configuration.farthest, graph.distances, 0).astype(np.int64))
        for graph in graphs
    )


def _weights(
    graphs: Sequence[NetworkGraph], configuration: Configuration, place: np.ndarray, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What each node (row) weighs the messages of all others with, from its edges and from its virtual edges."""
    count = len(place)
    near = np.zeros((count, count), np.float32)
    far = np.zeros((count, count) if configuration.virtual else (0, 0), np.float32)
    if configuration.messages != "gnn":
        return near[:0, :0], far[:0, :0]
    for graph, offset in zip(graphs, offsets, strict=False):
        where = place[offset : offset + len(graph)]
        if graph.edges:
            sources, targets = np.array(graph.edges).T
            near[where[targets], where[sources]] = 1
        if configuration.virtual:
            distances = graph.distances
            least = 1 if configuration.doubled else 2
            sources, targets = np.nonzero((distances >= least) & (distances <= configuration.farthest))
            far[where[targets], where[sources]] = 1 / distances[sources, targets].astype(np.float32)
    return near, far


def _targets(
    number: int, graph: NetworkGraph, places: list[int], configuration: Configuration, classifier: bool
) -> list[Target]:
    last = _last_layer(graph)
    found: list[Target] = []
    for node, place in zip(range(len(graph)), places, strict=True):
        told = graph.nodes[node]
        if node in last:
            if not classifier:
                continue
            if told.shape[0] != configuration.classes:
                raise SpecError(
                    f"{told.parameters[0]} has {told.shape[0]} outputs, but this hypernetwork predicts the last layers "
                    f"of networks of {configuration.classes} classes: leave the last layer out, or take another."
                )
            found.append(Target(number, place, told.parameters[0], told.shape, last[node]))
        elif told.parameters:
            found += _of_node(number, place, told, configuration)
    return found


def _of_node(number: int, place: int, node: Node, configuration: Configuration) -> list[Target]:
    name, shape = node.parameters[0], node.shape
    if node.op in VECTORS:
        kinds = ("bias",) if node.op == "bias" else ("scale", "bias")
        return [Target(number, place, n, shape, kind) for n, kind in zip(node.parameters, kinds, strict=False)]
    if len(node.parameters) > 1:
        raise SpecError(f"The weight of a layer is made of {' and '.join(node.parameters)}: it cannot be predicted.")
    four = _decoded(node)
    if max(four[2:]) > configuration.largest[2]:
        raise SpecError(
            f"{name} has the shape {shape}, but this hypernetwork predicts windows of at most "
            f"{configuration.largest[2]}×{configuration.largest[3]}."
        )
    return [Target(number, place, name, shape, "weight", four, node.op == "pos_enc")]


def _decoded(node: Node) -> tuple[int, int, int, int]:
    """The shape with four sides that a tensor is decoded as."""
    shape = node.shape
    if node.op == "pos_enc" and len(shape) < 4:  # tokens, as on a square that holds them
        tokens = math.prod(shape[:-1])
        side = math.isqrt(max(0, tokens - 1)) + 1
        return 1, shape[-1], side, side
    if len(shape) > 4:
        raise SpecError(f"{node.parameters[0]} has the shape {shape}, but tensors of up to four sides are predicted.")
    padded = (*shape, 1, 1, 1)
    return padded[0], padded[1], padded[2], padded[3]


def _last_layer(graph: NetworkGraph) -> dict[int, str]:
    """The nodes of the linear layer at the end of a network, if there is one."""
    read = {source for source, _ in graph.edges}
    ends = [node for node in range(len(graph)) if node not in read]
    if len(ends) != 1:
        return {}
    (end,) = ends
    found = {}
    if graph.nodes[end].op == "bias" and len(graph.sources[end]) == 1:
        found[end] = "class_bias"
        (end,) = graph.sources[end]
    if graph.nodes[end].op == "conv" and len(graph.nodes[end].shape) == 2 and graph.nodes[end].parameters:
        return {**found, end: "classes"}
    return {}
