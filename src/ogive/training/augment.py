"""Change a whole batch of images at random, on the device that holds it: crop, flip, cutout and mixup.

Shapes: N images, C channels, H rows, W columns. Every function draws from the generator that it is given, which must
live on the device of the images, and leaves its argument as it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ogive.core.errors import SpecError

__all__ = [
    "Augmentation",
    "crop",
    "cropped",
    "crops",
    "cutout",
    "flip",
    "mirrored",
    "mirrors",
    "mixing_weight",
    "uncovered",
]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What may be done to the images of a data set without changing what they show.

    `padding` is the greatest shift in pixels, to each side; `flip` says whether a mirror image is as good: it is for a
    cat, and is not for a 7.
    """

    padding: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        if self.padding < 0:
            raise SpecError(f"The padding of a crop must not be negative, but got {self.padding}.")


def crop(x_NCHW: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Each image moved by up to `padding` pixels in each direction; zeros (black in raw pixels) come in."""
    return x_NCHW if padding == 0 else cropped(x_NCHW, padding, crops(x_NCHW, padding, generator))


def crops(x_NCHW: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """How far down and to the right each of N windows begins in images padded on all sides, (2, N) int64."""
    return torch.randint(2 * padding + 1, (2, len(x_NCHW)), generator=generator, device=x_NCHW.device)


def cropped(x_NCHW: Tensor, padding: int, starts_2N: Tensor) -> Tensor:
    """The windows of padded images that begin there."""
    N, _, H, W = x_NCHW.shape
    padded = F.pad(x_NCHW, (padding,) * 4)
    windows = padded.unfold(2, H, 1).unfold(3, W, 1)  # (N, C, 2 padding + 1, 2 padding + 1, H, W), no copy
    return windows[torch.arange(N, device=x_NCHW.device), :, starts_2N[0], starts_2N[1]]


def flip(x_NCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Each image mirrored left to right with probability 1/2."""
    return mirrored(x_NCHW, mirrors(x_NCHW, generator))


def mirrors(x_NCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Which images are mirrored, (N,) bool."""
    return torch.rand(len(x_NCHW), generator=generator, device=x_NCHW.device) < 0.5


def mirrored(x_NCHW: Tensor, which_N: Tensor) -> Tensor:
    """These images mirrored left to right, and the others."""
    return torch.where(which_N[:, None, None, None], x_NCHW.flip(3), x_NCHW)


def cutout(x_NCHW: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Each image with a square of zeros (DeVries and Taylor 2017); on normalised images zero is the mean colour."""
    N, _, H, W = x_NCHW.shape
    return x_NCHW * uncovered(N, H, W, side, generator)[:, None].to(x_NCHW.dtype)


def uncovered(N: int, H: int, W: int, side: int, generator: torch.Generator) -> Tensor:
    """Masks (N, H, W): False in a square of `side` centred at a uniform pixel and clipped at the borders."""
    covered = []
    for length in (H, W):
        centre = torch.randint(length, (N, 1), generator=generator, device=generator.device)
        position = torch.arange(length, device=generator.device)
        covered.append((position >= centre - side // 2) & (position < centre - side // 2 + side))
    return ~(covered[0][:, :, None] & covered[1][:, None, :])


def mixing_weight(alpha: float, generator: torch.Generator) -> float:
    """A draw from Beta(alpha, alpha): the weight of the first image in mixup (Zhang et al. 2018).

    Johnk's method, since torch draws Beta only from its global stream: with u, v uniform, u^(1/a) / (u^(1/a) + v^(1/a))
    is Beta(a, a) whenever the denominator is at most 1. For alpha > 1 it would seldom be; mixup uses 0.1 to 1.
    """
    if not 0 < alpha <= 1:
        raise SpecError(f"mixup must be in (0, 1], but got {alpha}.")
    while True:
        u, v = (
            torch.rand(2, generator=generator, device=generator.device, dtype=torch.float64).log().div(alpha).tolist()
        )
        total = torch.logaddexp(torch.tensor(u, dtype=torch.float64), torch.tensor(v, dtype=torch.float64)).item()
        if total <= 0:
            return float(torch.tensor(u - total, dtype=torch.float64).exp())
