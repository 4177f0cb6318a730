"""AutoAugment: each image changed by one of 25 pairs of operations that were found for CIFAR-10, or for ImageNet.

Cubuk et al., "AutoAugment: Learning Augmentation Strategies from Data" (CVPR 2019). The pairs, and what a magnitude of
0 to 9 means, are those of torchvision.transforms.AutoAugment; what an operation does is what Pillow's does, on a whole
batch at once. What comes in at the borders is the grey 128, as in DeepVoltaire/AutoAugment.
Shapes: N images, C channels (1 or 3), H rows, W columns; images are bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ogive.core.errors import SpecError

__all__ = ["CIFAR10_POLICY", "IMAGENET_POLICY", "OPERATIONS", "POLICIES", "Policy", "autoaugment", "grey"]

Step = tuple[str, float, int]  # an operation, its probability and its magnitude
Policy = tuple[tuple[Step, Step], ...]
Operation = Callable[[Tensor, float], Tensor]

GREY = 128


def _pair(text: str) -> tuple[Step, Step]:
    words = text.split()
    first, second = ((words[at], float(words[at + 1]), int(words[at + 2])) for at in (0, 3))
    return first, second


# The magnitude of operations that have none is written 0.
CIFAR10_POLICY: Policy = tuple(
    map(
        _pair,
        (
            "invert .1 0 contrast .2 6",
            "rotate .7 2 translate_x .3 9",
            "sharpness .8 1 sharpness .9 3",
            "shear_y .5 8 translate_y .7 9",
            "autocontrast .5 0 equalize .9 0",
            "shear_y .2 7 posterize .3 7",
            "color .4 3 brightness .6 7",
            "sharpness .3 9 brightness .7 9",
            "equalize .6 0 equalize .5 0",
            "contrast .6 7 sharpness .6 5",
            "color .7 7 translate_x .5 8",
            "equalize .3 0 autocontrast .4 0",
            "translate_y .4 3 sharpness .2 6",
            "brightness .9 6 color .2 8",
            "solarize .5 2 invert .0 0",
            "equalize .2 0 autocontrast .6 0",
            "equalize .2 0 equalize .6 0",
            "color .9 9 equalize .6 0",
            "autocontrast .8 0 solarize .2 8",
            "brightness .1 3 color .7 0",
            "solarize .4 5 autocontrast .9 0",
            "translate_y .9 9 translate_y .7 9",
            "autocontrast .9 0 solarize .8 3",
            "equalize .8 0 invert .1 0",
            "translate_y .7 9 autocontrast .9 0",
        ),
    )
)
IMAGENET_POLICY: Policy = tuple(
    map(
        _pair,
        (
            "posterize .4 8 rotate .6 9",
            "solarize .6 5 autocontrast .6 0",
            "equalize .8 0 equalize .6 0",
            "posterize .6 7 posterize .6 6",
            "equalize .4 0 solarize .2 4",
            "equalize .4 0 rotate .8 8",
            "solarize .6 3 equalize .6 0",
            "posterize .8 5 equalize 1 0",
            "rotate .2 3 solarize .6 8",
            "equalize .6 0 posterize .4 6",
            "rotate .8 8 color .4 0",
            "rotate .4 9 equalize .6 0",
            "equalize .0 0 equalize .8 0",
            "invert .6 0 equalize 1 0",
            "color .6 4 contrast 1 8",
            "rotate .8 8 color 1 2",
            "color .8 8 solarize .8 7",
            "sharpness .4 7 invert .6 0",
            "shear_x .6 5 equalize 1 0",
            "color .4 0 equalize .6 0",
            "equalize .4 0 solarize .2 4",
            "solarize .6 5 autocontrast .6 0",
            "invert .6 0 equalize 1 0",
            "color .6 4 contrast 1 8",
            "equalize .8 0 equalize .6 0",
        ),
    )
)
POLICIES: Mapping[str, Policy] = {"cifar10": CIFAR10_POLICY, "imagenet": IMAGENET_POLICY}


def autoaugment(x_NCHW: Tensor, generator: torch.Generator, policy: Policy = CIFAR10_POLICY) -> Tensor:
    """Each image changed by a random pair of the policy; the argument is left as it was. SpecError unless bytes."""
    if x_NCHW.dtype != torch.uint8 or x_NCHW.shape[1] not in (1, 3):
        raise SpecError(
            f"AutoAugment changes images of bytes with 1 or 3 channels, but got {x_NCHW.dtype} with "
            f"{x_NCHW.shape[1]}: leave it out."
        )
    N, device = len(x_NCHW), generator.device
    pair_N = torch.randint(len(policy), (N,), generator=generator, device=device)
    chance_N2 = torch.rand((N, 2), generator=generator, device=device)
    sign_N2 = torch.randint(2, (N, 2), generator=generator, device=device)
    # One copy to the host instead of one for each group of images.
    drawn = list(zip(pair_N.tolist(), chance_N2.tolist(), sign_N2.tolist(), strict=True))
    changed = x_NCHW.clone()
    for place in range(2):
        groups: dict[tuple[str, float], list[int]] = {}
        for row, (pair, chance, sign) in enumerate(drawn):
            name, probability, magnitude = policy[pair][place]
            if chance[place] < probability:
                level = _level(name, magnitude, x_NCHW.shape[3 if name.endswith("_x") else 2])
                signed = -level if name in SIGNED and sign[place] == 0 else level
                groups.setdefault((name, signed), []).append(row)
        for (name, level), rows in groups.items():
            where = torch.tensor(rows, device=x_NCHW.device)
            changed[where] = OPERATIONS[name](changed[where], level)
    return changed


def _level(name: str, magnitude: int, side: int) -> float:
    """What a magnitude of 0 to 9 means: a slope, pixels, degrees, a change of factor, bits, or a threshold."""
    share = magnitude / 9
    if name.startswith("shear"):
        return 0.3 * share
    if name.startswith("translate"):
        return float(int(150 / 331 * side * share))
    levels = {"rotate": 30 * share, "posterize": 8 - round(4 * share), "solarize": 255 - 255 * share}
    return levels.get(name, 0.9 * share)


# -- geometry ---------------------------------------------------------------------------------------------------------


def _affine(x_NCHW: Tensor, matrix: tuple[float, float, float, float, float, float]) -> Tensor:
    """The pixel (x, y) of the result is that at (a x + b y + c, d x + e y + f), the nearest; grey outside."""
    a, b, c, d, e, f = matrix
    H, W = x_NCHW.shape[2:]
    y, x = torch.meshgrid(
        torch.arange(H, device=x_NCHW.device, dtype=torch.float64) + 0.5,
        torch.arange(W, device=x_NCHW.device, dtype=torch.float64) + 0.5,
        indexing="ij",
    )
    column, row = (a * x + b * y + c).floor().long(), (d * x + e * y + f).floor().long()
    inside = (column >= 0) & (column < W) & (row >= 0) & (row < H)
    moved = x_NCHW[:, :, row.clamp(0, H - 1), column.clamp(0, W - 1)]
    return torch.where(inside, moved, torch.full_like(moved, GREY))


def _rotated(x_NCHW: Tensor, degrees: float) -> Tensor:
    """Counter-clockwise around the middle."""
    H, W = x_NCHW.shape[2:]
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    across, down = W / 2, H / 2
    return _affine(
        x_NCHW,
        (cosine, -sine, across - cosine * across + sine * down, sine, cosine, down - sine * across - cosine * down),
    )


# -- colour -----------------------------------------------------------------------------------------------------------


def _blended(x_NCHW: Tensor, other: Tensor, factor: float) -> Tensor:
    """From `other` at factor 0 to the image at 1, and beyond; fractions are cut off."""
    start = other.float()
    return (start + factor * (x_NCHW.float() - start)).clamp(0, 255).to(torch.uint8)


def grey(x_NCHW: Tensor) -> Tensor:
    """Luminance (N, 1, H, W), rounded (ITU-R 601-2)."""
    if x_NCHW.shape[1] == 1:
        return x_NCHW
    weights = torch.tensor([19595, 38470, 7471], device=x_NCHW.device)
    summed = (x_NCHW.long() * weights[:, None, None]).sum(1, keepdim=True)
    return ((summed + (1 << 15)) >> 16).to(torch.uint8)


def _contrast(x_NCHW: Tensor, change: float) -> Tensor:
    mean_N = (grey(x_NCHW).double().mean((1, 2, 3)) + 0.5).floor()
    return _blended(x_NCHW, mean_N[:, None, None, None].expand(x_NCHW.shape), 1 + change)


def _sharpness(x_NCHW: Tensor, change: float) -> Tensor:
    """Away from, or towards, what a 3×3 filter smooths; the outermost pixels have no such neighbourhood."""
    C = x_NCHW.shape[1]
    kernel = torch.ones(3, 3, device=x_NCHW.device)
    kernel[1, 1] = 5
    inner = F.conv2d(x_NCHW.float(), kernel.expand(C, 1, 3, 3) / 13, groups=C)
    smooth = x_NCHW.clone()
    smooth[:, :, 1:-1, 1:-1] = (inner + 0.5).floor().clamp(0, 255).to(torch.uint8)
    return _blended(x_NCHW, smooth, 1 + change)


def _autocontrast(x_NCHW: Tensor, _: float) -> Tensor:
    """Each channel stretched to 0..255, unless it has one value only."""
    values = x_NCHW.double()
    low, high = values.amin((2, 3), keepdim=True), values.amax((2, 3), keepdim=True)
    scale = 255 / (high - low).clamp_min(1)
    stretched = (values * scale - low * scale).clamp(0, 255).to(torch.uint8)
    return torch.where(high > low, stretched, x_NCHW)


def _equalized(x_NCHW: Tensor, _: float) -> Tensor:
    """Each channel's histogram made flat: value v becomes the number of smaller pixels, in steps of 1/255 of all."""
    flat = x_NCHW.flatten(2).long()
    counts = torch.zeros(*flat.shape[:2], 256, dtype=torch.int64, device=flat.device)
    counts.scatter_add_(2, flat, torch.ones_like(flat))
    # The pixels of the largest value that occurs do not count.
    last = (counts > 0).long().mul(torch.arange(256, device=flat.device)).amax(2, keepdim=True)
    step = (flat.shape[2] - counts.gather(2, last)) // 255
    smaller = counts.cumsum(2) - counts + step // 2
    table = (smaller // step.clamp_min(1)).clamp(0, 255)
    equal = table.gather(2, flat).to(torch.uint8).view_as(x_NCHW)
    return torch.where(step[..., None] > 0, equal, x_NCHW)


OPERATIONS: Mapping[str, Operation] = {
    "shear_x": lambda x, slope: _affine(x, (1, slope, 0, 0, 1, 0)),
    "shear_y": lambda x, slope: _affine(x, (1, 0, 0, slope, 1, 0)),
    "translate_x": lambda x, pixels: _affine(x, (1, 0, pixels, 0, 1, 0)),
    "translate_y": lambda x, pixels: _affine(x, (1, 0, 0, 0, 1, pixels)),
    "rotate": _rotated,
    "brightness": lambda x, change: _blended(x, torch.zeros_like(x), 1 + change),
    "color": lambda x, change: _blended(x, grey(x).expand_as(x), 1 + change),
    "contrast": _contrast,
    "sharpness": _sharpness,
    "posterize": lambda x, bits: x & (0xFF << (8 - int(bits)) & 0xFF),
    "solarize": lambda x, threshold: torch.where(x >= threshold, 255 - x, x),
    "autocontrast": _autocontrast,
    "equalize": _equalized,
    "invert": lambda x, _: 255 - x,
}
SIGNED = frozenset(
    {"shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "color", "contrast", "sharpness"}
)
