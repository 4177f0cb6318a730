"""Networks of equal blocks: three stages of them for small images, or IRLAS-mobile's four for large ones.

The block and its ImageNet network follow gmh14/IRLAS, models/IRLAS_mobile.py (Guo et al., "IRLAS", CVPR 2019). Small
images have three stages of equal depth whose width doubles (Zhong et al., BlockQNN, CVPR 2018); that a 1×1 convolution
to the width of the next stage and a maximum pooling stand between them is ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["Block", "BlockNetwork", "block_widths", "network_widths"]

Row = tuple[str, int, int, int]  # type, kernel, first and second predecessor, as of ogive.spaces.blockqnn.Layer
# Of IRLAS-mobile, its four widths relative to the first, and its blocks; the third stage has as many as are asked for.
LARGE_WIDTHS = (1, 4, 8, 16)


def block_widths(layers: Sequence[Row], inputs: int, channels: int) -> list[int]:
    """The channels of the input, of every layer and, last, of the output of a block."""
    widths = [inputs]
    read_ones: set[int] = set()
    for kind, _, first, second in layers:
        joins = kind in ("add", "concat")
        read_ones.update((first, second) if joins else (first,))
        if kind == "conv":
            widths.append(channels)
        elif kind == "concat":
            widths.append(widths[first] + widths[second])
        else:
            widths.append(max(widths[first], widths[second]) if joins else widths[first])
    return [*widths, sum(width for index, width in enumerate(widths) if index not in read_ones)]


def network_widths(layers: Sequence[Row], channels: int, cells: int, large: bool) -> list[int]:
    """The channels of the output of every block of a network; those of its stages are `stages_of`."""
    found = []
    for width, depth in stages_of(channels, cells, large):
        inputs = width
        for _ in range(depth):
            inputs = block_widths(layers, inputs, width)[-1]
            found.append(inputs)
    return found


def stages_of(channels: int, cells: int, large: bool) -> list[tuple[int, int]]:
    """Width of the convolutions and number of blocks of every stage."""
    if large:
        return [(channels * times, cells if times == LARGE_WIDTHS[2] else 1) for times in LARGE_WIDTHS]
    return [(channels * 2**stage, cells) for stage in range(3)]


class Convolution(nn.Sequential):
    """ReLU, convolution, batch normalisation; or, if `separable`, a depthwise and a pointwise convolution.

    A separable one of more than one pixel works at its output's width, to which a 1×1 convolution brings its input
    first if that has another.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, separable: bool) -> None:
        parts: list[nn.Module] = [nn.ReLU()]
        if separable and kernel > 1 and inputs != outputs:
            parts += [nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
            inputs = outputs
        if separable:
            parts.append(nn.Conv2d(inputs, inputs, kernel, padding=kernel // 2, groups=inputs, bias=False))
            kernel = 1
        parts.append(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False))
        super().__init__(*parts, nn.BatchNorm2d(outputs))


class Sum(nn.Module):
    """The sum of two tensors, the narrower of which is brought to the width of the other by a 1×1 convolution."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__()
        self.first = _projection(first, second) if first < second else nn.Identity()
        self.second = _projection(second, first) if second < first else nn.Identity()

    def forward(self, x_NCHW: Tensor, y_NCHW: Tensor) -> Tensor:
        """The shape of the wider one."""
        total: Tensor = self.first(x_NCHW) + self.second(y_NCHW)
        return total


class Concatenation(nn.Module):
    """The channels of two tensors."""

    def forward(self, x_NCHW: Tensor, y_NCHW: Tensor) -> Tensor:
        """First those of the first one."""
        return torch.cat((x_NCHW, y_NCHW), dim=1)


def _projection(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


class Block(nn.Module):
    """A block of layers; its output holds the channels of all that no layer reads.

    Convolutions have `channels`, poolings and identities the width of what they read.
    """

    def __init__(self, layers: Sequence[Row], inputs: int, channels: int, separable: bool) -> None:
        super().__init__()
        widths = block_widths(layers, inputs, channels)
        self.reads = [(first, second) if kind in ("add", "concat") else (first,) for kind, _, first, second in layers]
        read_ones = {index for reads in self.reads for index in reads}
        self.unread = [index for index in range(len(layers) + 1) if index not in read_ones]
        self.layers = nn.ModuleList(
            _layer(row, [widths[index] for index in reads], channels, separable)
            for row, reads in zip(layers, self.reads, strict=True)
        )

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """The same rows and columns."""
        found = [x_NCHW]
        for layer, reads in zip(self.layers, self.reads, strict=True):
            found.append(layer(*(found[index] for index in reads)))
        return torch.cat([found[index] for index in self.unread], dim=1)


def _layer(row: Row, widths: Sequence[int], channels: int, separable: bool) -> nn.Module:
    kind, kernel = row[:2]
    if kind == "conv":
        return Convolution(widths[0], channels, kernel, separable)
    if kind == "max":
        return nn.MaxPool2d(kernel, stride=1, padding=kernel // 2)
    if kind == "avg":
        return nn.AvgPool2d(kernel, stride=1, padding=kernel // 2, count_include_pad=False)
    if kind == "add":
        return Sum(*widths)
    return Concatenation() if kind == "concat" else nn.Identity()


class BlockNetwork(nn.Module):
    """Stem, stages of equal blocks, mean over the image, classifier.

    `layers` are the rows of one block. With `large` the network is that of IRLAS-mobile, which halves images five times
    and has stages of 1, 1, `cells` and 1 blocks, 1, 4, 8 and 16 times `channels` wide; otherwise there are three stages
    of `cells` blocks, whose width doubles, and images are halved between them.
    """

    def __init__(
        self,
        layers: Sequence[Row],
        separable: bool = True,
        channels: int = 32,
        cells: int = 4,
        classes: int = 10,
        inputs: int = 3,
        large: bool = False,
    ) -> None:
        super().__init__()
        self.recipe: dict[str, object] = {
            "layers": tuple(tuple(layer) for layer in layers),
            "separable": separable,
            "channels": channels,
            "cells": cells,
            "classes": classes,
            "inputs": inputs,
            "large": large,
        }
        self.stem = nn.Sequential(
            nn.Conv2d(inputs, channels, 3, stride=2 if large else 1, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )
        self.stages = nn.Sequential()
        before = channels
        for stage, (width, depth) in enumerate(stages_of(channels, cells, large)):
            parts = _halving(before, width, first=stage == 0, large=large)
            before = width
            for _ in range(depth):
                parts.append(Block(layers, before, width, separable))
                before = block_widths(layers, before, width)[-1]
            self.stages.append(nn.Sequential(*parts))
        self.classifier = nn.Linear(before, classes)

    @property
    def chain(self) -> list[nn.Module]:
        """What images pass one after the other before the pooling."""
        return [self.stem, *(part for stage in self.stages for part in stage.children())]

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Logits of images (N, inputs, H, W), shape (N, classes)."""
        logits: Tensor = self.classifier(self.stages(self.stem(x_NCHW)).mean((2, 3)))
        return logits


def _halving(inputs: int, outputs: int, *, first: bool, large: bool) -> list[nn.Module]:
    """What brings the image to half its sides and to the width of a stage; nothing before the first of a small one."""
    if first and not large:
        return []
    parts: list[nn.Module] = []
    if not first:
        parts += [nn.ReLU(), nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs)]
    if not large:
        return [*parts, nn.MaxPool2d(2, stride=2, ceil_mode=True)]
    return [*parts, nn.ReLU(), nn.Conv2d(outputs, outputs, 3, stride=2, padding=1), nn.BatchNorm2d(outputs)]
