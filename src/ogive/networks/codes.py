"""Any module as a block in BlockQNN's Network Structure Code: what an expert network looks like to a search."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.core.network_graph import NetworkGraph, Node
from ogive.networks.trace import trace
from ogive.spaces.blockqnn import KERNELS, Layer

__all__ = ["code_of"]

# Types of nodes that change nothing of the topology.
PASSING = ("bn", "ln", "bias")
TYPES = {"conv": "conv", "sep_conv": "conv", "max_pool": "max", "avg_pool": "avg"}


def code_of(module: nn.Module, inputs: Sequence[int] | Tensor) -> tuple[Layer, ...]:
    """The layers of a module for one input, or one of zeros of a shape (C, H, W).

    A depthwise convolution and the 1×1 convolution that alone reads it are one layer, as in a separable convolution;
    normalisations and biases are none; a sum or concatenation of several is a chain of them. A concatenation at the end
    of what nothing else reads is left out, since the output of a block is one. SpecError names what has no code.
    """
    graph = trace(module, inputs)
    writer = _Writer(graph)
    for place, node in enumerate(graph.nodes):
        writer.take(place, node)
    if not writer.layers:
        raise SpecError("A block has at least one layer, but the module changes nothing: give another one.")
    return tuple(writer.layers)


class _Writer:
    """Writes the layers of a graph, node after node."""

    def __init__(self, graph: NetworkGraph) -> None:
        self.graph = graph
        self.layers: list[Layer] = []
        self.index: dict[int, int] = {}  # of a node, what it is in the code
        self.readers: dict[int, list[int]] = {place: [] for place in range(len(graph))}
        for source, target in graph.edges:
            self.readers[source].append(target)

    def take(self, place: int, node: Node) -> None:
        """Write what a node is."""
        reads = sorted({self.index[source] for source in self.graph.sources[place]}, reverse=True)
        if node.op == "input":
            if place:
                raise SpecError("A block reads one input, but the module has several: give one of its parts.")
            self.index[place] = 0
        elif node.op in PASSING or self._is_pointwise_of_separable(place):
            (self.index[place],) = reads
        elif node.op in ("sum", "concat"):
            self.index[place] = self._joined(place, "add" if node.op == "sum" else "concat", reads)
        else:
            self.index[place] = self._single(node, reads)

    def _single(self, node: Node, reads: list[int]) -> int:
        kind = TYPES.get(node.op)
        said = f"{node.op} ({', '.join(node.parameters)})" if node.parameters else node.op
        if kind is None or len(node.shape) != 4 or len(reads) != 1:
            raise SpecError(
                f"The code of a block has convolutions, poolings, sums and concatenations of images, but the module "
                f"computes {said}: give a part of it without that."
            )
        rows, columns = node.shape[2:]
        if rows != columns or rows not in KERNELS[kind]:
            allowed = ", ".join(map(str, KERNELS[kind]))
            raise SpecError(
                f"The code of a block has kernels of {allowed} pixels for {kind}, but the module has {said} of {rows}×"
                f"{columns}: give a part of it without that."
            )
        return self._added(Layer(kind, rows, reads[0]))

    def _joined(self, place: int, kind: str, reads: list[int]) -> int:
        if len(reads) < 2:
            raise SpecError(
                f"The code of a block joins different layers, but the module joins one with itself ({kind})."
            )
        is_last = place == len(self.graph) - 1
        if is_last and kind == "concat" and self._unread() == set(reads) and 0 not in reads:
            return reads[0]
        joined, *others = reversed(reads)
        for other in others:
            joined = self._added(Layer(kind, 0, max(joined, other), min(joined, other)))
        return joined

    def _added(self, layer: Layer) -> int:
        self.layers.append(layer)
        return len(self.layers)

    def _unread(self) -> set[int]:
        read_ones = {index for layer in self.layers for index in layer.reads}
        return set(range(1, len(self.layers) + 1)) - read_ones

    def _is_pointwise_of_separable(self, place: int) -> bool:
        """Whether a node is the 1×1 convolution that is the only one to read a depthwise one."""
        node = self.graph.nodes[place]
        if node.op != "conv" or node.shape[2:] != (1, 1):
            return False
        while len(self.graph.sources[place]) == 1:
            (place,) = self.graph.sources[place]
            if len(self.readers[place]) != 1:
                return False
            before = self.graph.nodes[place]
            if before.op not in PASSING:
                return before.op == "sep_conv" and before.shape[1] == 1
        return False
