"""The networks of NAS-Bench-201: one cell of six edges, repeated in three stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from ogive.networks.ops import ConvBN, ReLUConvBN, ResidualReduction, Zero, average_pool_3x3

__all__ = ["NasBench201Cell", "NasBench201Network", "nasbench201_operation"]


def nasbench201_operation(
    name: str | Callable[[int, int], nn.Module], inputs: int, outputs: int, affine: bool = True
) -> nn.Module:
    """The operation of an edge from a node of `inputs` channels to one of `outputs`.

    A skip that changes the width is a 1×1 convolution with normalisation (`FactorizedReduce` of stride 1 in the
    published code); it occurs in the networks of natssize only. In place of a name there may be what makes the module,
    for channels and a stride.
    """
    if not isinstance(name, str):
        return name(outputs, 1)
    if name == "nor_conv_3x3":
        return ReLUConvBN(inputs, outputs, 3, affine=affine)
    if name == "nor_conv_1x1":
        return ReLUConvBN(inputs, outputs, 1, affine=affine)
    if name == "skip_connect":
        return nn.Identity() if inputs == outputs else ConvBN(inputs, outputs, 1, affine=affine)
    if name == "avg_pool_3x3" and inputs == outputs:
        return average_pool_3x3()
    if name == "none" and inputs == outputs:
        return Zero()
    raise ValueError(f"no operation {name!r} from {inputs} to {outputs} channels")


class NasBench201Cell(nn.Module):
    """Four nodes; each is the sum of an operation on every node before it.

    `operations` are those of the edges (0>1), (0>2), (1>2), (0>3), (1>3), (2>3), the order of architecture strings.
    """

    def __init__(self, operations: Sequence[str | Callable[[int, int], nn.Module]], inputs: int, outputs: int) -> None:
        super().__init__()
        self.edges = [(source, target) for target in range(1, 4) for source in range(target)]
        self.operations = nn.ModuleList(
            nasbench201_operation(name, inputs if source == 0 else outputs, outputs)
            for name, (source, _) in zip(operations, self.edges, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """The last node."""
        nodes = [x]
        terms: list[Tensor] = []
        for (source, target), operation in zip(self.edges, self.operations, strict=True):
            # Zeros are added in training only: there they give every parameter a gradient, as data-parallel training
            # wants it.
            if self.training or not isinstance(operation, Zero):
                terms.append(operation(nodes[source]))
            if source == target - 1:
                nodes.append(sum(terms[1:], terms[0]) if terms else x * 0.0)
                terms = []
        return nodes[-1]


class NasBench201Network(nn.Module):
    """Stem, N cells, reduction to twice the width, N cells, reduction, N cells, pooling, classifier.

    The published benchmark has channels=16 and cells=5. Any size of image works, down to one pixel.
    """

    def __init__(
        self,
        operations: Sequence[str | Callable[[int, int], nn.Module]],
        channels: int = 16,  # NAS-Bench-201, section 2.1
        cells: int = 5,  # the same
        classes: int = 10,
        inputs: int = 3,
    ) -> None:
        super().__init__()
        self.recipe: dict[str, object] = {
            "operations": tuple(operations),
            "channels": channels,
            "cells": cells,
            "classes": classes,
            "inputs": inputs,
        }
        self.stem = ConvBN(inputs, channels, 3)
        stages: list[nn.Module] = []
        for stage in range(3):
            width = channels * 2**stage
            if stage > 0:
                stages.append(ResidualReduction(width // 2, width))
            stages += [NasBench201Cell(operations, width, width) for _ in range(cells)]
        self.cells = nn.Sequential(*stages)
        self.last = nn.Sequential(nn.BatchNorm2d(4 * channels), nn.ReLU())
        self.classifier = nn.Linear(4 * channels, classes)

    @property
    def chain(self) -> list[nn.Module]:
        """What images pass one after the other before the pooling."""
        return [self.stem, *self.cells, self.last]

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images (N, inputs, H, W), shape (N, classes)."""
        x = self.last(self.cells(self.stem(x)))
        logits: Tensor = self.classifier(x.mean((2, 3)))
        return logits
