"""Change photographs at random as networks for ImageNet are trained on them: resized crops and colour jitter.

The settings are those of torchvision.transforms.RandomResizedCrop and ColorJitter, which the published trainings use;
both work on a whole batch at once, on the device that holds it. Shapes: N images, C channels (1 or 3), H rows, W
columns; images are bytes.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ogive.core.errors import SpecError
from ogive.training.autoaugment import grey

__all__ = ["central", "colour_jitter", "cropped_boxes", "resized", "resized_crop"]

AREA = (0.08, 1.0)  # share of the image, from Szegedy et al., "Going Deeper with Convolutions" (CVPR 2015)
RATIO = (3 / 4, 4 / 3)  # of width to height, the same
TRIES = 10  # boxes that are drawn before the whole image is taken


def central(x_NCHW: Tensor, side: int) -> Tensor:
    """The square of `side` pixels in the middle; SpecError for smaller images."""
    H, W = x_NCHW.shape[2:]
    if min(H, W) < side:
        raise SpecError(
            f"The middle {side}×{side} pixels of images of {H}×{W} do not exist: load them with a larger size."
        )
    top, left = round((H - side) / 2), round((W - side) / 2)
    return x_NCHW[:, :, top : top + side, left : left + side]


def resized_crop(x_NCHW: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """A random part of each image, brought to `side` pixels a side."""
    N, _, H, W = x_NCHW.shape
    return resized(x_NCHW, cropped_boxes(N, H, W, generator), side)


def cropped_boxes(N: int, H: int, W: int, generator: torch.Generator) -> Tensor:
    """Random boxes (N, 4): top, left, height and width, of a uniform area and a log-uniform ratio of the sides."""
    device = generator.device
    draw = torch.rand((4, N, TRIES), generator=generator, device=device, dtype=torch.float64)
    area = H * W * (AREA[0] + (AREA[1] - AREA[0]) * draw[0])
    low, high = (math.log(ratio) for ratio in RATIO)
    ratio = torch.exp(low + (high - low) * draw[1])
    width, height = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
    fits = (width >= 1) & (height >= 1) & (width <= W) & (height <= H)
    first = fits.to(torch.int64).argmax(1, keepdim=True)
    whole = ~fits.any(1)
    height, width, down, across = (one.gather(1, first)[:, 0] for one in (height, width, draw[2], draw[3]))
    height, width = height.masked_fill(whole, H), width.masked_fill(whole, W)
    top, left = (down * (H - height + 1)).floor(), (across * (W - width + 1)).floor()
    return torch.stack((top, left, height, width), dim=1).to(torch.int64)


def resized(x_NCHW: Tensor, boxes_N4: Tensor, side: int) -> Tensor:
    """The part of each image in its box, brought to `side` pixels a side between the four nearest of its pixels."""
    H, W = x_NCHW.shape[2:]
    grids = []
    for start_N, length_N, whole in ((boxes_N4[:, 1], boxes_N4[:, 3], W), (boxes_N4[:, 0], boxes_N4[:, 2], H)):
        start, length = (one.to(torch.float32)[:, None] for one in (start_N, length_N))
        place = (torch.arange(side, device=x_NCHW.device) + 0.5) * length / side
        # Not beyond the middle of the outermost pixels: what is outside the box is not looked at.
        place = start + torch.minimum(place.clamp_min(0.5), length - 0.5)
        grids.append(2 * place / whole - 1)
    across, down = grids
    shape = (len(x_NCHW), side, side)
    grid = torch.stack((across[:, None, :].expand(shape), down[:, :, None].expand(shape)), dim=3)
    found = F.grid_sample(x_NCHW.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return found.round().clamp(0, 255).to(x_NCHW.dtype)


def colour_jitter(x_NCHW: Tensor, strength: float, hue: float, generator: torch.Generator) -> Tensor:
    """Brightness, contrast and saturation changed by factors in 1 ± `strength`, the hue by a share of the circle.

    Each image in an order of its own; fractions are cut off after every change but that of the hue, which is rounded.
    Images of one channel have neither saturation nor hue. SpecError unless bytes.
    """
    if x_NCHW.dtype != torch.uint8 or x_NCHW.shape[1] not in (1, 3):
        raise SpecError(
            f"Colour jitter changes images of bytes with 1 or 3 channels, but got {x_NCHW.dtype} with "
            f"{x_NCHW.shape[1]}: leave it out."
        )
    N, device = len(x_NCHW), generator.device
    order_N4 = torch.rand((N, 4), generator=generator, device=device).argsort(1).to(x_NCHW.device)
    draw_N4 = torch.rand((N, 4), generator=generator, device=device).to(x_NCHW.device)
    factors = (1 - strength + 2 * strength * draw_N4[:, :3]).clamp_min(0)
    turn_N = hue * (2 * draw_N4[:, 3] - 1)
    changed = x_NCHW.clone()
    for place in range(4):
        for kind in range(4 if x_NCHW.shape[1] == 3 else 2):
            where = torch.nonzero(order_N4[:, place] == kind)[:, 0]
            if len(where):
                images = changed[where]
                done = turned(images, turn_N[where]) if kind == 3 else blended(images, kind, factors[where, kind])
                changed[where] = done
    return changed


def blended(x_NCHW: Tensor, kind: int, factor_N: Tensor) -> Tensor:
    """Brighter (0), of more contrast (1) or more saturated (2) by a factor for each image."""
    if kind == 0:
        start = torch.zeros_like(x_NCHW[:, :1]).float()
    elif kind == 1:
        start = (grey(x_NCHW).double().mean((1, 2, 3), keepdim=True) + 0.5).floor().float()
    else:
        start = grey(x_NCHW).float()
    factor = factor_N[:, None, None, None].float()
    return (start + factor * (x_NCHW.float() - start)).clamp(0, 255).to(torch.uint8)


def turned(x_NCHW: Tensor, share_N: Tensor) -> Tensor:
    """The hue of every pixel turned by a share of the circle; value and saturation (HSV) stay."""
    value, _ = x_NCHW.float().max(1)
    low, _ = x_NCHW.float().min(1)
    chroma = value - low
    red, green, blue = x_NCHW.float().unbind(1)
    safe = chroma.clamp_min(1e-6)
    sector = torch.where(
        value == red,
        ((green - blue) / safe) % 6,
        torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    sector = (sector + 6 * share_N[:, None, None].float()) % 6
    # Each channel is `value` less the chroma where the hue is far from it (Smith, 1978).
    channels = [((shift + sector) % 6) for shift in (5, 3, 1)]
    found = [value - chroma * torch.minimum(k, 4 - k).clamp(0, 1) for k in channels]
    return torch.stack(found, dim=1).round().clamp(0, 255).to(torch.uint8)
