"""Networks of MnasNet's space, and those of it and of MobileNetV2 that were published, as data.

Tan et al., "MnasNet", CVPR 2019; details from tensorflow/tpu, models/official/mnasnet (mnasnet_models.py and
mnasnet_model.py): squeeze and excitation by a quarter of the layer's input width with a sigmoid, ReLU, linear
projections, rounded widths, a head that no multiplier widens, normal weights by fan-out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from ogive.networks.mobile import SqueezeExcite, bottleneck, convolution, divisible
from ogive.spaces.mnasnet import REFERENCE, Block

__all__ = [
    "HEAD",
    "PUBLISHED_MOBILE",
    "STEM",
    "MnasLayer",
    "MnasNetwork",
    "PlannedLayer",
    "PublishedMobile",
    "planned",
]

STEM = 32
HEAD = 1280
Row = tuple[str, int, float, str, float, int, int]  # a `Block`, written out


class PlannedLayer(NamedTuple):
    """The first arguments of a `MnasLayer`."""

    op: str
    inputs: int
    width: int
    kernel: int
    stride: int
    squeezed: int
    skip: str


def planned(blocks: Sequence[Row], width: int, multiplier: float, halved: bool) -> Iterator[PlannedLayer]:
    """The layers of blocks behind a stem of a width, in order."""
    spared = 0 if halved else 2
    for op, kernel, excitation, skip, wanted, layers, stride in blocks:
        step = 1 if stride > 1 and spared else stride
        spared -= stride > 1 and spared > 0
        for _ in range(layers):
            squeezed = max(1, int(width * excitation)) if excitation else 0
            outputs = divisible(wanted * multiplier)
            yield PlannedLayer(op, width, outputs, kernel, step, squeezed, skip)
            width, step = outputs, 1


class MnasLayer(nn.Module):
    """One layer of a block: its operation, and the skip where the shapes allow it.

    `squeezed` is the width of the bottleneck of squeeze and excitation, 0 for none. An average pooling stands in for
    the identity where `skip` is "pool", and has the layer's stride.
    """

    def __init__(
        self,
        op: str,
        inputs: int,
        width: int,
        kernel: int,
        stride: int,
        squeezed: int = 0,
        skip: str = "id",
        activation: str = "relu",
        same: bool = False,
    ) -> None:
        super().__init__()
        expansion = 1 if op in ("conv", "sep") else int(op.removeprefix("mb"))
        if op == "conv":
            parts = convolution(inputs, width, kernel, stride, activation, same=same)
            parts += [SqueezeExcite(width, squeezed, False)] if squeezed else []
        else:
            parts = bottleneck(
                inputs,
                width,
                inputs * expansion,
                kernel,
                stride,
                squeezed=squeezed,
                activation=activation,
                hard=False,
                same=same,
            )
        self.transform = nn.Sequential(*parts)
        self.residual = skip == "id" and stride == 1 and inputs == width
        pools = skip == "pool" and inputs == width
        self.pool = nn.AvgPool2d(3, stride, 1, count_include_pad=False) if pools else None

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Shape (N, width, H / stride, W / stride), rounded up."""
        y: Tensor = self.transform(x_NCHW)
        if self.pool is not None:
            y = y + self.pool(x_NCHW)
        return x_NCHW + y if self.residual else y


class MnasNetwork(nn.Module):
    """Stem, blocks of equal layers, expansion to `HEAD` channels, pooling, dropout, classifier.

    `blocks` are rows of `ogive.spaces.mnasnet.Block`. `multiplier` scales the stem and the blocks, not the head; widths
    are rounded to multiples of 8. With `halved` the stem and all strides are as published, which halves the image five
    times; otherwise the stem and the first two strides are left out, for small images. With `same` convolutions are
    padded as in TensorFlow, where the published networks come from: with a stride of 2 that is asymmetric. `momentum`
    and `epsilon` are those of batch normalisation, the share of what is new among the running statistics and what is
    added to the variance.
    """

    def __init__(
        self,
        blocks: Sequence[Row],
        stem: int = STEM,
        multiplier: float = 1.0,
        classes: int = 1000,
        inputs: int = 3,
        halved: bool = True,
        same: bool = False,
        dropout: float = 0.2,  # mnasnet_models.py
        activation: str = "relu",
        momentum: float = 0.1,
        epsilon: float = 1e-3,  # mnasnet_models.py
        scales_head: bool = False,
    ) -> None:
        super().__init__()
        self.recipe: dict[str, object] = {
            "blocks": tuple(tuple(block) for block in blocks),
            "stem": stem,
            "multiplier": multiplier,
            "classes": classes,
            "inputs": inputs,
            "halved": halved,
            "same": same,
            "dropout": dropout,
            "activation": activation,
            "momentum": momentum,
            "epsilon": epsilon,
            "scales_head": scales_head,
        }
        width = divisible(stem * multiplier)
        self.stem = nn.Sequential(*convolution(inputs, width, 3, 2 if halved else 1, activation, same=same))
        self.blocks = nn.Sequential()
        for layer in planned(blocks, width, multiplier, halved):
            self.blocks.append(MnasLayer(*layer, activation, same))
            width = layer.width
        head = divisible(HEAD * max(1.0, multiplier)) if scales_head else HEAD
        self.expansion = nn.Sequential(*convolution(width, head, 1, 1, activation))
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(head, classes)
        _initialise(self.modules(), momentum, epsilon)

    @property
    def chain(self) -> list[nn.Module]:
        """What images pass one after the other before the pooling."""
        return [self.stem, *self.blocks, self.expansion]

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Logits of images (N, inputs, H, W), shape (N, classes)."""
        x = self.expansion(self.blocks(self.stem(x_NCHW)))
        logits: Tensor = self.classifier(self.dropout(x.mean((2, 3))))
        return logits


def _initialise(modules: Iterable[nn.Module], momentum: float, epsilon: float) -> None:
    """Weights as in the public code: normal by the fan-out of a convolution, uniform in the classifier."""
    for module in modules:
        if isinstance(module, nn.Conv2d):
            fan = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
            nn.init.normal_(module.weight, 0.0, math.sqrt(2 / fan))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            bound = 1 / math.sqrt(module.out_features)
            nn.init.uniform_(module.weight, -bound, bound)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.momentum, module.eps = momentum, epsilon


@dataclass(frozen=True, slots=True)
class PublishedMobile:
    """A published network: its blocks, the width of its stem, and what it does otherwise than the others."""

    blocks: tuple[Block, ...]
    stem: int = STEM
    dropout: float = 0.2
    activation: str = "relu"
    scales_head: bool = False


def _rows(text: str) -> tuple[Block, ...]:
    """Blocks written as in mnasnet_models.py, such as ``r3_k5_s2_e3_o40_se noskip``, with commas between them."""
    found = []
    for row in text.split(","):
        words = row.split()
        repeats, kernel, stride, expansion, outputs = (int(word[1:]) for word in words[0].split("_"))
        op = "sep" if expansion == 1 else f"mb{expansion}"
        skip = "none" if "noskip" in words else "id"
        found.append(Block(op, kernel, 0.25 if "se" in words else 0.0, skip, float(outputs), repeats, stride))
    return tuple(found)


# tensorflow/tpu, models/official/mnasnet/mnasnet_models.py; MobileNetV2 of Sandler et al., CVPR 2018, table 2.
PUBLISHED_MOBILE = {
    "mnasnet_a1": PublishedMobile(
        _rows(
            "r1_k3_s1_e1_o16 noskip, r2_k3_s2_e6_o24, r3_k5_s2_e3_o40 se, r4_k3_s2_e6_o80, r2_k3_s1_e6_o112 se, "
            "r3_k5_s2_e6_o160 se, r1_k3_s1_e6_o320"
        )
    ),
    "mnasnet_b1": PublishedMobile(
        _rows(
            "r1_k3_s1_e1_o16 noskip, r3_k3_s2_e3_o24, r3_k5_s2_e3_o40, r3_k5_s2_e6_o80, r2_k3_s1_e6_o96, "
            "r4_k5_s2_e6_o192, r1_k3_s1_e6_o320 noskip"
        )
    ),
    "mnasnet_small": PublishedMobile(
        _rows(
            "r1_k3_s1_e1_o8, r1_k3_s2_e3_o16, r2_k3_s2_e6_o16, r4_k5_s2_e6_o32 se, r3_k3_s1_e6_o32 se, "
            "r3_k5_s2_e6_o88 se, r1_k3_s1_e6_o144"
        ),
        stem=8,
        dropout=0.0,
    ),
    "mobilenet_v2": PublishedMobile(
        tuple(
            Block("sep" if place == 0 else "mb6", 3, 0.0, "id", float(width), layers, stride)
            for place, (width, layers, stride) in enumerate(REFERENCE)
        ),
        activation="relu6",
        scales_head=True,
    ),
}
