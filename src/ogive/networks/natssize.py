"""The networks of the NATS-Bench size space: a fixed cell, and five widths to choose."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ogive.networks.nasbench201 import NasBench201Cell
from ogive.networks.ops import ConvBN, ResidualReduction

__all__ = ["NatsSizeNetwork"]

# |nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|
# The published files name it for every network of the space; in the topology space it is the best cell on CIFAR-100.
CELL = ("nor_conv_3x3", "nor_conv_3x3", "nor_conv_3x3", "skip_connect", "nor_conv_3x3", "nor_conv_3x3")


class NatsSizeNetwork(nn.Module):
    """Cells of width c1, reduction to c2, cells of c3, reduction to c4, cells of c5, pooling, classifier.

    `widths` are c1 to c5. The published benchmark has one cell in each of the three stages.
    """

    def __init__(self, widths: Sequence[int], cells: int = 1, classes: int = 10, inputs: int = 3) -> None:
        super().__init__()
        self.recipe: dict[str, object] = {
            "widths": tuple(widths),
            "cells": cells,
            "classes": classes,
            "inputs": inputs,
        }
        first, reduced, second, reduced_again, third = widths
        self.stem = ConvBN(inputs, first, 3)
        self.cells = nn.Sequential(
            *_stage(first, first, cells),
            ResidualReduction(first, reduced),
            *_stage(reduced, second, cells),
            ResidualReduction(second, reduced_again),
            *_stage(reduced_again, third, cells),
        )
        self.last = nn.Sequential(nn.BatchNorm2d(third), nn.ReLU())
        self.classifier = nn.Linear(third, classes)

    @property
    def chain(self) -> list[nn.Module]:
        """What images pass one after the other before the pooling."""
        return [self.stem, *self.cells, self.last]

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images (N, inputs, H, W), shape (N, classes)."""
        x = self.last(self.cells(self.stem(x)))
        logits: Tensor = self.classifier(x.mean((2, 3)))
        return logits


def _stage(inputs: int, width: int, cells: int) -> list[nn.Module]:
    return [NasBench201Cell(CELL, width if index else inputs, width) for index in range(cells)]
