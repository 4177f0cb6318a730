"""ResNet-50 as everybody knows it, which the predefined split of DeepNets-1M holds.

He et al., CVPR 2016; with the names of weights that torchvision gives them, so that its files can be loaded.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["ResNet50"]

DEPTHS = (3, 4, 6, 3)
WIDTHS = (64, 128, 256, 512)
EXPANSION = 4


class ResNet50Block(nn.Module):
    """1×1, 3×3 with the stride, 1×1 to four times the width, added to the input or a projection of it."""

    def __init__(self, inputs: int, width: int, stride: int, projected: bool) -> None:
        super().__init__()
        outputs = EXPANSION * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.downsample = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))
            if projected
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Four times the width, the sides divided by the stride."""
        inner = self.relu(self.bn1(self.conv1(x)))
        inner = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(inner)))))
        outer: Tensor = self.relu(inner + self.downsample(x))
        return outer


class ResNet50(nn.Module):
    """ResNet-50; for images of CIFAR its stem is a 3×3 convolution without stride and pooling."""

    def __init__(self, classes: int = 10, style: Literal["cifar", "imagenet"] = "cifar") -> None:
        super().__init__()
        small = style == "cifar"
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False) if small else nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, stride=2, padding=1)
        inputs = 64
        for stage, (depth, width) in enumerate(zip(DEPTHS, WIDTHS, strict=True), start=1):
            blocks = []
            for place in range(depth):
                stride = 2 if stage > 1 and place == 0 else 1
                blocks.append(ResNet50Block(inputs, width, stride, projected=place == 0))
                inputs = EXPANSION * width
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of images (N, 3, H, W)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in range(1, len(DEPTHS) + 1):
            x = self.get_submodule(f"layer{stage}")(x)
        logits: Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return logits
