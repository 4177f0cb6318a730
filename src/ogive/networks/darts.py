"""The evaluation networks of DARTS, for small images and for those of ImageNet."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ogive.networks.ops import (
    Bottleneck,
    ConvBN,
    DilatedConv,
    DilatedSeparableConv,
    FactorizedConv,
    FactorizedReduce,
    ReLUConvBN,
    SeparableConv,
    Zero,
    average_pool_3x3,
    drop_path,
    max_pool,
)
from ogive.spaces.darts import OPS

__all__ = [
    "DARTS_OPERATIONS",
    "AuxiliaryHead",
    "CellStack",
    "DartsCell",
    "DartsNetwork",
    "darts_operation",
    "darts_stem",
]

# The eight of the DARTS space in its order, then those that only the cells of NASNet, AmoebaNet and PNAS hold, then
# what DARTOpti makes ResNet, Xception and Inception of.
DARTS_OPERATIONS = (
    *OPS,
    "sep_conv_7x7",
    "conv_7x1_1x7",
    "conv_3x1_1x3",
    "conv_1x1",
    "conv_3x3",
    "dil_sep_conv_3x3",
    "max_pool_5x5",
    "max_pool_7x7",
    "simple_conv_1x1",
    "simple_conv_3x3",
    "bottleneck_1x3x1",
)


def darts_operation(
    name: str | Callable[[int, int], nn.Module], channels: int, stride: int = 1, affine: bool = True
) -> nn.Module:
    """An operation of DARTS, NASNet, AmoebaNet, PNAS or DARTOpti that keeps the number of channels.

    Pooling is bare here; the search networks of DARTS put a batch normalisation after it. `none` occurs in those and in
    the cells of NDS. In place of a name there may be what makes the module, for channels and a stride.
    """
    if not isinstance(name, str):
        return name(channels, stride)
    if name not in DARTS_OPERATIONS:
        raise ValueError(f"no operation {name!r}")
    if name == "none":
        return Zero(stride)
    if name in ("max_pool_3x3", "max_pool_5x5", "max_pool_7x7"):
        return max_pool(int(name[-1]), stride)
    if name == "avg_pool_3x3":
        return average_pool_3x3(stride)
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, affine)
    if name in ("sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7"):
        return SeparableConv(channels, int(name[-1]), stride, affine)
    if name in ("dil_conv_3x3", "dil_conv_5x5"):
        return DilatedConv(channels, int(name[-1]), stride, affine)
    if name in ("conv_1x1", "conv_3x3", "simple_conv_1x1", "simple_conv_3x3"):
        return ReLUConvBN(channels, channels, int(name[-1]), stride, affine)
    if name == "dil_sep_conv_3x3":
        return DilatedSeparableConv(channels, 3, stride, affine)
    if name == "bottleneck_1x3x1":
        return Bottleneck(channels, stride, affine)
    return FactorizedConv(channels, int(name[-1]), stride, affine)


class DartsCell(nn.Module):
    """Two inputs, nodes that each add some operations on earlier states, and their concatenation.

    `entries` are (operation, state) pairs; `inputs_per_node` of them in a row make a node. States 0 and 1 are the
    outputs of the cell before the last and of the last, state 2 is the first node. A cell that reduces has stride 2 in
    the operations on its inputs; `reduced_before` says that the input of state 0 is twice the size of that of state 1.
    """

    def __init__(
        self,
        entries: Sequence[tuple[str, int]],
        concat: Sequence[int],
        before_last: int,
        last: int,
        channels: int,
        reduction: bool,
        reduced_before: bool,
        inputs_per_node: int = 2,
    ) -> None:
        super().__init__()
        self.concat = list(concat)
        self.states = [state for _, state in entries]
        self.inputs_per_node = inputs_per_node
        self.preprocess0 = (
            FactorizedReduce(before_last, channels) if reduced_before else ReLUConvBN(before_last, channels, 1)
        )
        self.preprocess1 = ReLUConvBN(last, channels, 1)
        self.operations = nn.ModuleList(
            darts_operation(name, channels, stride=2 if reduction and state < 2 else 1) for name, state in entries
        )

    def forward(self, before_last: Tensor, last: Tensor, drop_path_prob: float = 0.0) -> Tensor:
        """The nodes of `concat`, side by side."""
        states = [self.preprocess0(before_last), self.preprocess1(last)]
        for start in range(0, len(self.states), self.inputs_per_node):
            terms = [
                self._applied(index, states, drop_path_prob) for index in range(start, start + self.inputs_per_node)
            ]
            states.append(sum(terms[1:], terms[0]))
        return torch.cat([states[state] for state in self.concat], dim=1)

    def _applied(self, index: int, states: list[Tensor], drop_path_prob: float) -> Tensor:
        operation = self.operations[index]
        term: Tensor = operation(states[self.states[index]])
        # A path without parameters and of stride 1 is never dropped, so that no image loses all of its paths.
        if drop_path_prob > 0.0 and not isinstance(operation, nn.Identity):
            term = drop_path(term, drop_path_prob)
        return term


class AuxiliaryHead(nn.Module):
    """A second classifier two thirds of the way down, which helps training and is not run afterwards.

    The maps it sees should be 8×8 in a network for small images, and 7×7 (of 224×224 images) in one for ImageNet.
    `normalised` says whether a second normalisation follows the last convolution; None is what DARTS does.
    """

    def __init__(self, inputs: int, classes: int, style: str, normalised: bool | None = None) -> None:
        super().__init__()
        # The ImageNet networks of DARTS were trained without the second normalisation; its code keeps it so.
        twice = style == "cifar" if normalised is None else normalised
        self.features = nn.Sequential(
            nn.ReLU(),
            nn.AvgPool2d(5, stride=3 if style == "cifar" else 2, count_include_pad=False),
            nn.Conv2d(inputs, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, 2, bias=False),
            *([nn.BatchNorm2d(768)] if twice else []),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(768, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (N, classes)."""
        logits: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits


class CellStack(nn.Module):
    """Two stems, cells that each read the two before them, and a classifier; `auxiliary_head` may stand on the way.

    A subclass makes the parts. The training loop sets `drop_path_prob`, which is 0 at first, to drop_path · epoch /
    epochs.
    """

    stem0: nn.Module
    stem1: nn.Module
    cells: nn.ModuleList
    auxiliary_head: nn.Module | None
    auxiliary_after: int
    classifier: nn.Module

    def __init__(self, drop_path: float) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.drop_path_prob = 0.0

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Logits (N, classes) of images (N, inputs, H, W); in training with an auxiliary head, its logits as well."""
        drop_path_prob = self.drop_path_prob if self.training else 0.0
        before_last = self.stem0(x)
        last = self.stem1(before_last)
        auxiliary_logits: Tensor | None = None
        for layer, cell in enumerate(self.cells):
            before_last, last = last, cell(before_last, last, drop_path_prob)
            if layer == self.auxiliary_after and self.training and self.auxiliary_head is not None:
                auxiliary_logits = self.auxiliary_head(last)
        logits: Tensor = self.classifier(last.mean((2, 3)))
        return logits if auxiliary_logits is None else (logits, auxiliary_logits)


class DartsNetwork(CellStack):
    """Cells stacked after a stem; those a third and two thirds of the way down halve the image and double the width.

    `normal` and `reduce` are the (operation, state) pairs of a genotype, two for each node, and the `concat`s the
    states that make the output of a cell. The published networks have channels=36 and layers=20 for CIFAR, 48 and 14
    with `style` "imagenet", whose stem halves the image three times. With `auxiliary`, forward gives a pair of logits
    in training. `drop_path` is the probability to reach at the end of training.
    """

    def __init__(
        self,
        normal: Sequence[tuple[str, int]],
        normal_concat: Sequence[int],
        reduce: Sequence[tuple[str, int]],
        reduce_concat: Sequence[int],
        channels: int = 36,  # DARTS, appendix A.2.1 (48 for ImageNet, A.2.3)
        layers: int = 20,  # the same (14 for ImageNet)
        classes: int = 10,
        inputs: int = 3,
        style: str = "cifar",
        auxiliary: bool = False,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__(drop_path)
        self.recipe: dict[str, object] = {
            "normal": tuple((name, state) for name, state in normal),
            "normal_concat": tuple(normal_concat),
            "reduce": tuple((name, state) for name, state in reduce),
            "reduce_concat": tuple(reduce_concat),
            "channels": channels,
            "layers": layers,
            "classes": classes,
            "inputs": inputs,
            "style": style,
            "auxiliary": auxiliary,
            "drop_path": drop_path,
        }
        self.auxiliary_after = 2 * layers // 3
        self.stem0, self.stem1, before_last, last = darts_stem(style, inputs, channels)
        reduced_before = style == "imagenet"
        self.cells = nn.ModuleList()
        auxiliary_inputs = 0
        for layer in range(layers):
            reduction = layer in (layers // 3, 2 * layers // 3)
            channels = 2 * channels if reduction else channels
            entries, concat = (reduce, reduce_concat) if reduction else (normal, normal_concat)
            cell = DartsCell(entries, concat, before_last, last, channels, reduction, reduced_before)
            self.cells.append(cell)
            before_last, last, reduced_before = last, len(concat) * channels, reduction
            if layer == self.auxiliary_after:
                auxiliary_inputs = last
        self.auxiliary_head = AuxiliaryHead(auxiliary_inputs, classes, style) if auxiliary else None
        self.classifier = nn.Linear(last, classes)


def darts_stem(style: str, inputs: int, channels: int, halvings: int = 3) -> tuple[nn.Module, nn.Module, int, int]:
    """The modules that make the two inputs of the first cell, the second from the first, and their widths.

    For ImageNet they halve the image `halvings` times, 2 or 3; otherwise not at all.
    """
    if style == "cifar":
        return ConvBN(inputs, 3 * channels, 3), nn.Identity(), 3 * channels, 3 * channels
    stem0 = nn.Sequential(
        *ConvBN(inputs, channels // 2, 3, stride=2),
        nn.ReLU(),
        *ConvBN(channels // 2, channels, 3, stride=2 if halvings == 3 else 1),
    )
    stem1 = nn.Sequential(nn.ReLU(), *ConvBN(channels, channels, 3, stride=2))
    return stem0, stem1, channels, channels
