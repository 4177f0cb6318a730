"""Decoding of picture files: each as 8 bits of grey or RGB, upright, without transparency."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ogive.core.errors import MissingData, in_line
from ogive.training.pictures import Array

__all__ = ["Picture", "decoded", "pillow", "side_of"]

PIXELS = 2**26  # of a picture, of which several are in memory at a time
GREY = ("1", "L", "LA", "La", "F", "I")  # and I;16 and its kin


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
    from PIL import ImageOps

    image_module = pillow()
    try:
        with image_module.open(path) as image:
            if image.width * image.height > PIXELS:
                raise ValueError(f"it announces {image.width:,}×{image.height:,} pixels, but up to {PIXELS:,} are read")
            animated = bool(getattr(image, "is_animated", False))
            image.load()
            plain = _plain(ImageOps.exif_transpose(image), channels)
    except Exception as error:  # noqa: BLE001  as above
        return Picture(path, broken=in_line(error))
    if size is not None:
        plain = ImageOps.fit(plain, (size, size), method=image_module.Resampling.BILINEAR)
    values: Array = np.asarray(plain)
    return Picture(path, values[None] if values.ndim == 2 else values.transpose(2, 0, 1), animated)


def _plain(image: Any, channels: int | None) -> Any:
    """The image as grey ("L") or colour ("RGB"), as it is by itself or as `channels` asks."""
    grey = image.mode in GREY or image.mode.startswith("I;")
    if grey and image.mode not in ("1", "L", "LA", "La"):
        image = _scaled(image)
    elif image.mode == "CMYK":
        image = _from_ink(image)
    elif image.has_transparency_data:
        image = _on_white(image, "LA" if grey else "RGBA")
    wanted = grey if channels is None else channels == 1
    return image.convert("L" if wanted else "RGB")


def _scaled(image: Any) -> Any:
    """Grey of more than 8 bits, which a conversion would clip at 255; of floats, 1 is white unless some are larger."""
    values = np.asarray(image).astype(np.float64)
    floats = image.mode == "F"
    white = 65535.0 if not floats else 1.0 if np.nanmax(values, initial=0.0) <= 1 else 255.0
    levels = np.nan_to_num(np.clip(values / white, 0, 1)) * 255
    return pillow().fromarray(levels.round().astype(np.uint8))


def _from_ink(image: Any) -> Any:
    """RGB of CMYK, by the profile that the file brings, which says what its inks look like."""
    from PIL import ImageCms

    profile = image.info.get("icc_profile")
    if profile:
        try:
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):  # a profile of something else, or a damaged one
            pass
    return image.convert("RGB")


def _on_white(image: Any, mode: str) -> Any:
    """The image over white where it is transparent, which otherwise shows colours that nobody sees."""
    image = image.convert(mode)
    white = pillow().new(mode, image.size, (255,) * len(mode))
    if mode == "RGBA":
        return pillow().alpha_composite(white, image)
    return pillow().composite(image.convert("L"), white.convert("L"), image.getchannel("A"))
