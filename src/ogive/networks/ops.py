"""The operations that networks are made of, as ordinary modules that take plain numbers.

No convolution here has a bias, since a batch normalisation follows each. `affine=False` leaves that normalisation
without parameters, as weight-sharing networks want it. Every operation that halves the image takes odd sizes too: a
side of n becomes (n + 1) // 2, whichever operation does it, so that their outputs can be added.

These classes import torch only, so that an exported network can carry their source along.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "Bottleneck",
    "ConvBN",
    "ConvBNReLU",
    "DilatedConv",
    "DilatedSeparableConv",
    "FactorizedConv",
    "FactorizedReduce",
    "ReLUConvBN",
    "ResidualReduction",
    "SampledConv2d",
    "SeparableConv",
    "Zero",
    "average_pool_3x3",
    "drop_path",
    "max_pool",
]


def max_pool(kernel: int, stride: int = 1) -> nn.MaxPool2d:
    """Maximum over a window of an odd side, padded by half of it."""
    return nn.MaxPool2d(kernel, stride=stride, padding=kernel // 2)


def average_pool_3x3(stride: int = 1) -> nn.AvgPool2d:
    """Mean over the pixels of a 3×3 window that lie inside the image."""
    return nn.AvgPool2d(3, stride=stride, padding=1, count_include_pad=False)


def drop_path(x_NCHW: Tensor, probability: float) -> Tensor:
    """Each image's features set to zero with `probability`, and those kept scaled up to the same mean."""
    keep = 1.0 - probability
    mask_N111 = x_NCHW.new_empty((x_NCHW.shape[0], 1, 1, 1)).bernoulli_(keep)
    return x_NCHW * (mask_N111 / keep)


class Zero(nn.Module):
    """The operation `none`: nothing comes out, but gradients of zero go in."""

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Zeros of the shape that the other operations of this stride give."""
        if self.stride > 1:
            x = x[:, :, :: self.stride, :: self.stride]
        return x * 0.0


class SampledConv2d(nn.Conv2d):
    """A 1×1 convolution with a stride, computed as one without on the pixels that it reads: the same sums.

    On a CPU, torch's gradient of the weights with a stride (2.13, oneDNN, images in channels_last, fewer than
    16 input channels, a batch that its threads cannot share equally) writes outside its memory: the process dies.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, outputs, H / stride, W / stride), rounded up."""
        rows, columns = self.stride
        return F.conv2d(x[:, :, ::rows, ::columns], self.weight, self.bias)


def _convolution(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Conv2d:
    make = SampledConv2d if kernel == 1 and stride > 1 else nn.Conv2d
    return make(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)


class ConvBN(nn.Sequential):
    """Convolution, batch normalisation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, affine: bool = True) -> None:
        super().__init__(
            _convolution(inputs, outputs, kernel, stride),
            nn.BatchNorm2d(outputs, affine=affine),
        )


class ConvBNReLU(nn.Sequential):
    """Convolution, batch normalisation, ReLU: the order of NAS-Bench-101."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, affine: bool = True) -> None:
        super().__init__(
            _convolution(inputs, outputs, kernel, stride),
            nn.BatchNorm2d(outputs, affine=affine),
            nn.ReLU(),
        )


class ReLUConvBN(nn.Sequential):
    """ReLU, convolution, batch normalisation: the order of DARTS and NAS-Bench-201."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, affine: bool = True) -> None:
        super().__init__(
            nn.ReLU(),
            _convolution(inputs, outputs, kernel, stride),
            nn.BatchNorm2d(outputs, affine=affine),
        )


class SeparableConv(nn.Sequential):
    """ReLU, depthwise, pointwise, batch normalisation; all of it twice, and only the first time with the stride."""

    def __init__(self, channels: int, kernel: int, stride: int = 1, affine: bool = True) -> None:
        padding = kernel // 2
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel, stride=stride, padding=padding, groups=channels, bias=False),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels, affine=affine),
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel, padding=padding, groups=channels, bias=False),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels, affine=affine),
        )


class DilatedConv(nn.Sequential):
    """ReLU, depthwise with dilation 2, pointwise, batch normalisation; once."""

    def __init__(self, channels: int, kernel: int, stride: int = 1, affine: bool = True) -> None:
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(
                channels,
                channels,
                kernel,
                stride=stride,
                padding=2 * (kernel // 2),
                dilation=2,
                groups=channels,
                bias=False,
            ),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels, affine=affine),
        )


class DilatedSeparableConv(nn.Sequential):
    """`SeparableConv` with dilation 2 in both of its depthwise convolutions: the `dil_sep_conv_3x3` of NDS."""

    def __init__(self, channels: int, kernel: int, stride: int = 1, affine: bool = True) -> None:
        def depthwise(step: int) -> nn.Conv2d:
            padding = 2 * (kernel // 2)
            return nn.Conv2d(
                channels, channels, kernel, stride=step, padding=padding, dilation=2, groups=channels, bias=False
            )

        super().__init__(
            nn.ReLU(),
            depthwise(stride),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels, affine=affine),
            nn.ReLU(),
            depthwise(1),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels, affine=affine),
        )


class FactorizedConv(nn.Sequential):
    """ReLU, 1×k, k×1, batch normalisation: the `conv_7x1_1x7` of AmoebaNet for 7, NASNet's `conv_3x1_1x3` for 3."""

    def __init__(self, channels: int, kernel: int, stride: int = 1, affine: bool = True) -> None:
        side = kernel // 2
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(channels, channels, (1, kernel), stride=(1, stride), padding=(0, side), bias=False),
            nn.Conv2d(channels, channels, (kernel, 1), stride=(stride, 1), padding=(side, 0), bias=False),
            nn.BatchNorm2d(channels, affine=affine),
        )


class Bottleneck(nn.Sequential):
    """ReLU; 1×1, 3×3 with the stride and 1×1 to four times the width, each normalised; ReLU, 1×1 back, normalised."""

    def __init__(self, channels: int, stride: int = 1, affine: bool = True) -> None:
        wide = 4 * channels
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels, affine=affine),
            nn.Conv2d(channels, channels, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(channels, affine=affine),
            nn.Conv2d(channels, wide, 1, bias=False),
            nn.BatchNorm2d(wide, affine=affine),
            nn.ReLU(),
            nn.Conv2d(wide, channels, 1, bias=False),
            nn.BatchNorm2d(channels, affine=affine),
        )


class FactorizedReduce(nn.Module):
    """ReLU; two pointwise convolutions of stride 2, one shifted by a pixel; their concatenation, normalised."""

    def __init__(self, inputs: int, outputs: int, affine: bool = True) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.conv_1 = SampledConv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.conv_2 = SampledConv2d(inputs, outputs - outputs // 2, 1, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(outputs, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """Half the size, `outputs` channels."""
        x = self.relu(x)
        # The row and column of zeros that replace the pixels shifted out are sampled only where the side is odd.
        shifted = F.pad(x, (-1, 1, -1, 1))
        halves: Tensor = self.bn(torch.cat([self.conv_1(x), self.conv_2(shifted)], dim=1))
        return halves


class ResidualReduction(nn.Module):
    """The block between two stages of a NAS-Bench-201 network: halves the image, changes the width."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv_a = ReLUConvBN(inputs, outputs, 3, stride=2)
        self.conv_b = ReLUConvBN(outputs, outputs, 3)
        self.downsample = nn.Sequential(
            nn.AvgPool2d(2, stride=2, ceil_mode=True, count_include_pad=False),
            nn.Conv2d(inputs, outputs, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Half the size, `outputs` channels."""
        reduced: Tensor = self.downsample(x) + self.conv_b(self.conv_a(x))
        return reduced
