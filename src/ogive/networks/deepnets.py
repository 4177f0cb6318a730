"""Networks of DeepNets-1M, as ordinary modules that train: stems, cells with attention and gates, heads.

Knyazev et al., NeurIPS 2021, section 3 and appendix A; facebookresearch/ppuda, deepnets1m/net.py and ops.py. What has
no effect on the output is not built, so that every weight has a node in the graph of the network.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.networks.ops import (
    DilatedConv,
    FactorizedConv,
    FactorizedReduce,
    ReLUConvBN,
    SeparableConv,
    average_pool_3x3,
    max_pool,
)
from ogive.spaces.deepnets import Design
from ogive.spaces.deepnets_graph import ROOM, SIDES, CellPlan, head_side, patches, plans, stem_width, two_stems

__all__ = ["DeepNet", "vit"]

HEADS = 8


class PositionEncoding(nn.Module):
    """Learnt numbers of each place, added; brought to the size of the maps where these are of another."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, channels, side, side).normal_())

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, C, H, W)."""
        encoding: Tensor = self.weight
        if x.shape[2:] != encoding.shape[2:]:
            encoding = F.interpolate(encoding, size=x.shape[2:], mode="bilinear", align_corners=False)
        return x + encoding


class ChannelGate(nn.Module):
    """Squeeze and excitation of half the width; it ends in hard swish, as the published one does."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.fc1 = nn.Linear(channels, channels // 2)
        self.fc2 = nn.Linear(channels // 2, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, C, H / stride, W / stride)."""
        gate_NC = F.hardswish(self.fc2(F.relu(self.fc1(x.mean((2, 3))))))
        gated: Tensor = x * gate_NC[:, :, None, None]
        return gated[:, :, :: self.stride, :: self.stride] if self.stride > 1 else gated


class TransformerLayer(nn.Module):
    """Normalised attention of 8 heads and a normalised perceptron, each added to what it read."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # A width that 8 does not divide, in a small test, has fewer heads.
        self.heads = next(heads for heads in (HEADS, 4, 2, 1) if channels % heads == 0)
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.to_qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.to_out = nn.Linear(channels, channels)
        self.fc1, self.fc2 = nn.Linear(channels, channels), nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, C, H, W), as it came."""
        shape = x.shape
        x_NTC = x.flatten(2).transpose(1, 2)
        qkv = self.to_qkv(self.norm1(x_NTC)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2]).transpose(1, 2).flatten(2)
        x_NTC = self.to_out(mixed) + x_NTC
        out_NTC: Tensor = self.fc2(F.gelu(self.fc1(self.norm2(x_NTC)))) + x_NTC
        return out_NTC.transpose(1, 2).reshape(shape)


class Halved(nn.Module):
    """Every second pixel."""

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, C, H / 2, W / 2)."""
        return x[:, :, ::2, ::2]


class DeepNetCell(nn.Module):
    """The cell of a plan."""

    def __init__(self, plan: CellPlan, projected: bool, transformer: bool) -> None:
        super().__init__()
        self.nodes, self.joined = plan.nodes, plan.joined
        width = plan.channels
        first, second = plan.inputs
        self.preprocess0: nn.Module = nn.Identity()
        self.preprocess1: nn.Module = nn.Identity()
        if first is not None and projected:
            halving = FactorizedReduce(first, width) if plan.halved else ReLUConvBN(first, width, 1)
            self.preprocess0 = halving
        elif plan.halved:
            self.preprocess0 = Halved()
        if second is not None and projected:
            self.preprocess1 = ReLUConvBN(second, width, 1)
        self.read = tuple(inputs is not None for inputs in plan.inputs)
        self.operations = nn.ModuleList(
            operation(op, width, 2 if plan.reduction and state < 2 and not transformer else 1)
            for node in plan.nodes
            for op, state in node
        )

    def forward(self, before_last: Tensor | None, last: Tensor | None) -> Tensor:
        """The states that the cell joins, side by side; what is not read may be None."""
        states: list[Tensor | None] = [
            preprocess(x) if read else None
            for preprocess, x, read in zip(
                (self.preprocess0, self.preprocess1), (before_last, last), self.read, strict=True
            )
        ]
        operations = iter(self.operations)
        for node in self.nodes:
            terms = [next(operations)(states[state]) for _, state in node]
            states.append(sum(terms[1:], terms[0]) if terms else None)
        parts = [None if state is None else states[state] for state in self.joined]
        there = next(part for part in parts if part is not None)
        whole = [there * 0.0 if part is None else part for part in parts]
        return torch.cat(whole, dim=1) if len(whole) > 1 else whole[0]


class DeepNet(nn.Module):
    """The network of a design, for images with a least side, by default that of the style.

    Stems do not halve images of fewer than 16 pixels.
    """

    def __init__(
        self,
        design: Design,
        channels: int = 32,
        classes: int = 10,
        inputs: int = 3,
        style: str = "cifar",
        side: int | None = None,
    ) -> None:
        super().__init__()
        side = SIDES[style] if side is None else side
        made = plans(design, channels, style, side)
        self.stem0 = _first_stem(design, channels, inputs, style, side)
        self.stem1: nn.Module = nn.Identity()
        if two_stems(design, made):
            convolution = nn.Conv2d(channels, channels, 3, 2 if side >= ROOM else 1, 1, bias=False)
            self.stem1 = nn.Sequential(nn.ReLU(), convolution, nn.BatchNorm2d(channels))
        self.cells = nn.ModuleDict({str(p.place): DeepNetCell(p, design.projected, design.transformer) for p in made})
        self.last = made[-1].place
        width = len(design.concat) * made[-1].channels
        self.grid = 1 if design.pooled else head_side(design, side, style)
        width *= self.grid**2
        hidden = [nn.Linear(width, design.hidden), nn.ReLU(), nn.Dropout(0.5)] if design.layers > 1 else []
        self.classifier = nn.Sequential(*hidden, nn.Linear(design.hidden if hidden else width, classes))
        if not design.normalised:
            _remove_normalisation(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of images (N, inputs, H, W)."""
        outputs: dict[int, Tensor] = {-2: self.stem0(x)}
        outputs[-1] = self.stem1(outputs[-2])
        for name, cell in self.cells.items():
            place = int(name)
            outputs[place] = cell(outputs.get(place - 2), outputs.get(place - 1))
        x = outputs[self.last]
        if self.grid == 1 or x.shape[2:] != (self.grid, self.grid):
            x = F.adaptive_avg_pool2d(x, self.grid)
        logits: Tensor = self.classifier(x.flatten(1))
        return logits


def operation(name: str, channels: int, stride: int) -> nn.Module:
    """One of the operations of the space, `none` apart, which is not built."""
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels)
    if name == "max_pool_3x3":
        return max_pool(3, stride)
    if name == "avg_pool_3x3":
        return average_pool_3x3(stride)
    if name == "msa":
        return TransformerLayer(channels)
    if name == "cse":
        return ChannelGate(channels, stride)
    if name == "conv_7x1_1x7":
        return FactorizedConv(channels, 7, stride)
    kernel = int(name[-1])
    if name.startswith("sep_conv"):
        return SeparableConv(channels, kernel, stride)
    if name.startswith("dil_conv"):
        return DilatedConv(channels, kernel, stride)
    return ReLUConvBN(channels, channels, kernel, stride)


def vit() -> Design:
    """The predefined vision transformer: 12 cells, of which the two that would reduce pool; deepnets1m/genotypes.py."""
    normal = (("none", 0), ("msa", 1))
    reduce = (("none", 0), ("avg_pool_3x3", 1))
    return Design(cells=12, normal=normal, reduce=reduce, concat=(2,), projected=False)


def _first_stem(design: Design, channels: int, inputs: int, style: str, side: int) -> nn.Module:
    large, kernel = style == "imagenet", design.kernel
    if design.transformer:
        patch, padding = (16, 0) if large else (3, 1)
        cut = nn.Conv2d(inputs, channels, patch, patch, padding, bias=False)
        return nn.Sequential(cut, PositionEncoding(channels, patches(side, style)))
    if design.stem == "simple":
        width = stem_width(design, channels, style)
        convolution = nn.Conv2d(inputs, width, kernel, 4 if large else 1, kernel // 2, bias=False)
        pool = [max_pool(3, 2 if side >= ROOM else 1)] if design.stem_pool else []
        return nn.Sequential(convolution, nn.BatchNorm2d(width), *pool)
    half, stride = channels // 2, 2 if large else 1
    return nn.Sequential(
        nn.Conv2d(inputs, half, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(half),
        nn.ReLU(),
        nn.Conv2d(half, channels, 3, stride, 1, bias=False),
        nn.BatchNorm2d(channels),
    )


def _remove_normalisation(network: nn.Module) -> None:
    for layer in list(network.modules()):
        for name, inner in layer.named_children():
            if isinstance(inner, nn.BatchNorm2d):
                setattr(layer, name, nn.Identity())
