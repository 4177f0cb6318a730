"""The residual networks of NDS: a stem, stages of basic blocks or of grouped bottlenecks, and a classifier."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ogive.networks.ops import ConvBN, ConvBNReLU

__all__ = ["ResidualBlock", "ResidualNetwork"]


class ResidualBlock(nn.Module):
    """ReLU of a sum: two 3×3 convolutions, or a bottleneck, and the input, projected where its shape differs.

    With `middle` channels the block is a bottleneck 1×1, 3×3 in `groups`, 1×1, of which the 3×3 has the stride; with 0
    it is basic.
    """

    def __init__(self, inputs: int, width: int, stride: int, middle: int = 0, groups: int = 1) -> None:
        super().__init__()
        changes = inputs != width or stride > 1
        self.shortcut = ConvBN(inputs, width, 1, stride) if changes else nn.Identity()
        if middle:
            self.transform = nn.Sequential(
                *ConvBNReLU(inputs, middle, 1),
                nn.Conv2d(middle, middle, 3, stride=stride, padding=1, groups=groups, bias=False),
                nn.BatchNorm2d(middle),
                nn.ReLU(),
                *ConvBN(middle, width, 1),
            )
        else:
            self.transform = nn.Sequential(*ConvBNReLU(inputs, width, 3, stride), *ConvBN(width, width, 3))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, width, H / stride, W / stride)."""
        activated: Tensor = self.relu(self.shortcut(x) + self.transform(x))
        return activated


class ResidualNetwork(nn.Module):
    """A 3×3 convolution, stages of residual blocks, pooling, classifier; each stage begins with its stride.

    `middles` and `groups` are those of bottlenecks, as in `ResidualBlock`; 0 and 1 for basic blocks.
    """

    def __init__(
        self,
        depths: Sequence[int],
        widths: Sequence[int],
        strides: Sequence[int],
        middles: Sequence[int],
        groups: Sequence[int],
        stem: int = 16,
        classes: int = 10,
        inputs: int = 3,
    ) -> None:
        super().__init__()
        self.recipe: dict[str, object] = {
            "depths": tuple(depths),
            "widths": tuple(widths),
            "strides": tuple(strides),
            "middles": tuple(middles),
            "groups": tuple(groups),
            "stem": stem,
            "classes": classes,
            "inputs": inputs,
        }
        self.stem = ConvBNReLU(inputs, stem, 3)
        self.stages = nn.Sequential()
        width = stem
        for depth, wanted, stride, middle, count in zip(depths, widths, strides, middles, groups, strict=True):
            blocks = nn.Sequential()
            for block in range(depth):
                blocks.append(ResidualBlock(width, wanted, stride if block == 0 else 1, middle, count))
                width = wanted
            self.stages.append(blocks)
        self.classifier = nn.Linear(width, classes)

    @property
    def chain(self) -> list[nn.Module]:
        """What images pass one after the other before the pooling."""
        return [self.stem, *(block for stage in self.stages for block in stage.children())]

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images (N, inputs, H, W), shape (N, classes)."""
        x = self.stages(self.stem(x))
        logits: Tensor = self.classifier(x.mean((2, 3)))
        return logits
