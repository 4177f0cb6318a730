"""Mobile inverted bottlenecks, and the networks of MobileNetV3's large form that Once-for-all searches among.

Howard et al., "Searching for MobileNetV3", ICCV 2019, sections 4 and 5; Cai et al., "Once-for-All", ICLR 2020.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "InvertedResidual",
    "MobileNetworkV3",
    "SameConv2d",
    "SqueezeExcite",
    "bottleneck",
    "convolution",
    "divisible",
]

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "relu6": nn.ReLU6, "hard_swish": nn.Hardswish}
# Table 1 of the paper: channels of the stages, their strides, whether blocks squeeze and excite, what activates them.
STAGES = (
    (24, 2, False, "relu"),
    (40, 2, True, "relu"),
    (80, 2, False, "hard_swish"),
    (112, 1, True, "hard_swish"),
    (160, 2, True, "hard_swish"),
)
STEM = 16
HEAD = 960
LAST = 1280


def divisible(width: float, by: int = 8) -> int:
    """The multiple of `by` next to a width, that is at least `by` and not more than a tenth below the width."""
    rounded = max(by, int(width + by / 2) // by * by)
    return rounded if rounded >= 0.9 * width else rounded + by


class SqueezeExcite(nn.Module):
    """Channels scaled by what a bottleneck of `squeezed` channels makes of their means.

    The scale is a sigmoid, or, if `hard`, MobileNetV3's piecewise linear form of it.
    """

    def __init__(self, width: int, squeezed: int, hard: bool = True) -> None:
        super().__init__()
        self.hard = hard
        self.squeeze = nn.Conv2d(width, squeezed, 1)
        self.relu = nn.ReLU()
        self.excite = nn.Conv2d(squeezed, width, 1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Features of the same shape."""
        excited: Tensor = self.excite(self.relu(self.squeeze(x_NCHW.mean((2, 3), keepdim=True))))
        # torch's hardsigmoid has no second derivative, which some scores take.
        return x_NCHW * (F.relu6(excited + 3) / 6 if self.hard else torch.sigmoid(excited))


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution with the stride, squeeze and excitation, projection; the input where it fits.

    `middle` is the expanded width; equal to `inputs` there is no expansion. `squeezed` is the width of the bottleneck
    of squeeze and excitation, and 0 leaves it out. `activation` is one of "relu" and "hard_swish".
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        middle: int,
        kernel: int = 3,
        stride: int = 1,
        squeezed: int = 0,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        self.residual = stride == 1 and inputs == width
        self.transform = nn.Sequential(
            *bottleneck(inputs, width, middle, kernel, stride, squeezed=squeezed, activation=activation)
        )

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Shape (N, width, H / stride, W / stride), rounded up."""
        y: Tensor = self.transform(x_NCHW)
        return x_NCHW + y if self.residual else y


class MobileNetworkV3(nn.Module):
    """Stem, a first block, five stages of inverted residuals, expansion, pooling, a hidden layer, classifier.

    `kernels` and `expansions` hold a tuple for each stage, with a number for each of its blocks. `stem` is the width of
    the first convolution, 16 as published; all widths are in proportion to it, rounded to multiples of 8. With
    `halved` the stem and the first two stages halve the image, as published; otherwise they do not, for small images.
    """

    def __init__(
        self,
        kernels: Sequence[Sequence[int]],
        expansions: Sequence[Sequence[int]],
        stem: int = 16,
        classes: int = 10,
        inputs: int = 3,
        halved: bool = True,
    ) -> None:
        super().__init__()
        self.recipe: dict[str, object] = {
            "kernels": tuple(tuple(stage) for stage in kernels),
            "expansions": tuple(tuple(stage) for stage in expansions),
            "stem": stem,
            "classes": classes,
            "inputs": inputs,
            "halved": halved,
        }
        factor = stem / STEM
        width, hidden = divisible(stem), divisible(LAST * factor)
        self.stem = nn.Sequential(*convolution(inputs, width, 3, 2 if halved else 1, "hard_swish"))
        self.blocks = nn.Sequential(InvertedResidual(width, width, width))
        for place, (outputs, stride, squeezes, activation) in enumerate(STAGES):
            step = stride if place > 1 or halved else 1
            for kernel, expansion in zip(kernels[place], expansions[place], strict=True):
                wanted, middle = divisible(outputs * factor), divisible(width * expansion)
                squeezed = divisible(middle // 4) if squeezes else 0
                self.blocks.append(InvertedResidual(width, wanted, middle, kernel, step, squeezed, activation))
                width, step = wanted, 1
        expanded = divisible(HEAD * factor)
        self.expansion = nn.Sequential(*convolution(width, expanded, 1, 1, "hard_swish"))
        self.hidden = nn.Sequential(nn.Linear(expanded, hidden, bias=False), nn.Hardswish())
        self.classifier = nn.Linear(hidden, classes)

    @property
    def chain(self) -> list[nn.Module]:
        """What images pass one after the other before the pooling."""
        return [self.stem, *self.blocks, self.expansion]

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Logits of images (N, inputs, H, W), shape (N, classes)."""
        x = self.expansion(self.blocks(self.stem(x_NCHW)))
        logits: Tensor = self.classifier(self.hidden(torch.mean(x, (2, 3))))
        return logits


def bottleneck(
    inputs: int,
    width: int,
    middle: int,
    kernel: int,
    stride: int,
    *,
    squeezed: int,
    activation: str,
    hard: bool = True,
    same: bool = False,
) -> list[nn.Module]:
    """Expansion where `middle` differs from `inputs`, depthwise convolution, squeeze and excitation, projection."""
    parts = convolution(inputs, middle, 1, 1, activation) if middle != inputs else []
    parts += convolution(middle, middle, kernel, stride, activation, groups=middle, same=same)
    if squeezed:
        parts.append(SqueezeExcite(middle, squeezed, hard))
    return [*parts, nn.Conv2d(middle, width, 1, bias=False), nn.BatchNorm2d(width)]


def convolution(
    inputs: int, outputs: int, kernel: int, stride: int, activation: str, groups: int = 1, same: bool = False
) -> list[nn.Module]:
    """Convolution, batch normalisation and activation; `same` as of `SameConv2d`, which differs with a stride only."""
    made: nn.Module
    if same and stride > 1:
        made = SameConv2d(inputs, outputs, kernel, stride=stride, groups=groups, bias=False)
    else:
        made = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)
    return [made, nn.BatchNorm2d(outputs), ACTIVATIONS[activation]()]


class SameConv2d(nn.Conv2d):
    """A convolution that is padded as TensorFlow's "SAME" is: by what the last window needs, more of it at the end."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Shape (N, outputs, H / stride, W / stride), rounded up."""
        rows, columns = (
            max(0, (-(-side // stride) - 1) * stride + kernel - side)
            for side, stride, kernel in zip(x_NCHW.shape[2:], self.stride, self.kernel_size, strict=True)
        )
        return super().forward(F.pad(x_NCHW, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)))
