"""The networks of NAS-Bench-101: a cell of at most seven vertices, three times in each of three stacks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ogive.networks.ops import ConvBNReLU, max_pool

__all__ = ["NasBench101Cell", "NasBench101Network", "vertex_channels"]


def vertex_channels(matrix: Sequence[Sequence[int]], inputs: int, outputs: int) -> list[int]:
    """The width of every vertex, first to last (`compute_vertex_channels` of the published code).

    The vertices that lead to the output share its channels, the first ones taking what is left over; any other is as
    wide as the widest that it leads to. `matrix` is upper triangular, without vertices that lead nowhere.
    """
    last = len(matrix) - 1
    widths = [inputs] + [0] * (last - 1) + [outputs]
    ends = [vertex for vertex in range(1, last) if matrix[vertex][last]]
    for place, vertex in enumerate(ends):
        widths[vertex] = outputs // len(ends) + (place < outputs % len(ends))
    for vertex in range(last - 1, 0, -1):
        if vertex not in ends:
            widths[vertex] = max(widths[target] for target in range(vertex + 1, last) if matrix[vertex][target])
    return widths


class NasBench101Cell(nn.Module):
    """Vertices add what flows in; the output concatenates, and adds the input if there is an edge from it.

    What leaves the input is brought to the width of its target by a 1×1 convolution; between the other vertices a
    width can only fall, by one channel, and then the last channel is left out.
    """

    def __init__(self, matrix: Sequence[Sequence[int]], operations: Sequence[str], inputs: int, outputs: int) -> None:
        super().__init__()
        self.last = len(matrix) - 1
        self.widths = vertex_channels(matrix, inputs, outputs)
        self.sources = [
            [source for source in range(1, target) if matrix[source][target]] for target in range(self.last + 1)
        ]
        self.projections = nn.ModuleDict(
            {
                str(target): ConvBNReLU(inputs, self.widths[target], 1)
                for target in range(1, self.last + 1)
                if matrix[0][target]
            }
        )
        self.operations = nn.ModuleList(
            _operation(name, width) for name, width in zip(operations, self.widths[1:-1], strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """The output vertex."""
        tensors = [x]
        for vertex, operation in enumerate(self.operations, start=1):
            terms = [tensors[source][:, : self.widths[vertex]] for source in self.sources[vertex]]
            tensors.append(operation(self._added(terms, vertex, x)))
        ends = [tensors[source] for source in self.sources[self.last]]
        return self._added([torch.cat(ends, dim=1)] if ends else [], self.last, x)

    def _added(self, terms: list[Tensor], target: int, x: Tensor) -> Tensor:
        if str(target) in self.projections:
            terms = [*terms, self.projections[str(target)](x)]
        return sum(terms[1:], terms[0])


def _operation(name: str, channels: int) -> nn.Module:
    if name == "conv3x3-bn-relu":
        return ConvBNReLU(channels, channels, 3)
    if name == "conv1x1-bn-relu":
        return ConvBNReLU(channels, channels, 1)
    if name == "maxpool3x3":
        return max_pool(3)
    raise ValueError(f"no operation {name!r}")


class NasBench101Network(nn.Module):
    """Stem, then three stacks of cells with a halving of the image and a doubling of the width between them.

    `matrix` is the upper triangular adjacency of the pruned cell, input first and output last; `operations` label the
    vertices in between. The published benchmark has channels=128 and cells=3. The batch normalisations keep torch's
    momentum: TensorFlow's 0.997, made for 108 epochs, leaves the running statistics of a short training at their start.
    """

    def __init__(
        self,
        matrix: Sequence[Sequence[int]],
        operations: Sequence[str],
        channels: int = 128,  # NAS-Bench-101, section 2.1
        cells: int = 3,  # the same
        classes: int = 10,
        inputs: int = 3,
    ) -> None:
        super().__init__()
        self.recipe: dict[str, object] = {
            "matrix": tuple(tuple(row) for row in matrix),
            "operations": tuple(operations),
            "channels": channels,
            "cells": cells,
            "classes": classes,
            "inputs": inputs,
        }
        self.stem = ConvBNReLU(inputs, channels, 3)
        stacks: list[nn.Module] = []
        before = channels
        for stack in range(3):
            width = channels * 2**stack
            if stack > 0:
                stacks.append(nn.MaxPool2d(2, stride=2, ceil_mode=True))
            for _ in range(cells):
                stacks.append(NasBench101Cell(matrix, operations, before, width))
                before = width
        self.cells = nn.Sequential(*stacks)
        self.classifier = nn.Linear(before, classes)

    @property
    def chain(self) -> list[nn.Module]:
        """What images pass one after the other before the pooling."""
        return [self.stem, *self.cells]

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images (N, inputs, H, W), shape (N, classes)."""
        x = self.cells(self.stem(x))
        logits: Tensor = self.classifier(x.mean((2, 3)))
        return logits
