"""Decoding of picture files: each as 8 bits of grey or RGB, upright, without transparency."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ogive.core.errors import MissingData, in_line
from ogive.training.pictures import Array
from ogive.upright import upright

__all__ = ["Picture", "decoded", "pillow", "side_of"]

PIXELS = 2**26  # of a picture, of which several are in memory at a time


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture (C, H, W) of uint8, C being 1 or 3, or why there is none; `animated` if it was the first of several."""

    path: Path
    values: Array | None = None
    animated: bool = False
    broken: str = ""


def pillow() -> Any:
    """The package; MissingData where it is not installed."""
    try:
        from PIL import Image
    except ImportError:
        raise MissingData("Folders of images need pillow: pip install 'ogive[images]'") from None
    return Image


def side_of(path: Path) -> tuple[int, int] | None:
    """Width and height as the head of a file says; None if it says nothing."""
    try:
        with pillow().open(path) as image:
            size: tuple[int, int] = image.size
            return size
    except Exception:  # noqa: BLE001  whatever the decoder of a format raises for what is none
        return None


def decoded(path: Path, size: int | None, channels: int | None) -> Picture:
    """The picture of a file, cropped at the middle of its long side to `size` x `size` pixels if that is given.

    It is turned as the camera noted, laid on white where it is transparent, scaled where it has more than 8 bits, and
    brought from CMYK to RGB by its own colour profile where it has one. Grey pictures stay grey unless `channels` is 3.
    """
    pillow()
    try:
        plain, animated = upright(path, None if size is None else (size, size), channels, PIXELS)
    except Exception as error:  # noqa: BLE001  as above
        return Picture(path, broken=in_line(error))
    values: Array = np.asarray(plain)
    return Picture(path, values[None] if values.ndim == 2 else values.transpose(2, 0, 1), animated)
