"""The picture of a file as 8 bits of grey or RGB, upright, without transparency; its functions travel with networks.

Exported files of networks of images hold the source of these functions, so that a picture is to them what it was to the
search: they import nothing but Python, and NumPy and Pillow where a picture is read.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

__all__ = ["upright"]


def upright(
    path: Path, sides: tuple[int, int] | None, channels: int | None, most: int = 2**26, turned: bool = True
) -> tuple[Any, bool]:
    """The picture of a file as grey ("L") or colour ("RGB") of 8 bits, and whether it was the first of several.

    It is `turned` as the camera noted, laid on white where it is transparent, scaled where it has more than 8 bits,
    brought from CMYK to RGB by its own colour profile where it has one, and cropped at the middle of its long side to
    `sides`, its width and height in pixels. A grey one stays grey unless `channels` is 3. Raises ValueError for more
    than `most` pixels, and whatever the decoder of a format does.
    """
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        if image.width * image.height > most:
            raise ValueError(f"it announces {image.width:,}×{image.height:,} pixels, but up to {most:,} are read")
        animated = bool(getattr(image, "is_animated", False))
        image.load()
        plain = _plain(ImageOps.exif_transpose(image) if turned else image, channels)
    if sides is not None:
        plain = ImageOps.fit(plain, sides, method=Image.Resampling.BILINEAR)
    return plain, animated


def _plain(image: Any, channels: int | None) -> Any:
    """The image as grey ("L") or colour ("RGB"), as it is by itself or as `channels` asks."""
    grey = image.mode in ("1", "L", "LA", "La", "F", "I") or image.mode.startswith("I;")
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
    import numpy as np
    from PIL import Image

    values = np.asarray(image).astype(np.float64)
    floats = image.mode == "F"
    white = 65535.0 if not floats else 1.0 if np.nanmax(values, initial=0.0) <= 1 else 255.0
    levels = np.nan_to_num(np.clip(values / white, 0, 1)) * 255
    return Image.fromarray(levels.round().astype(np.uint8))


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
    from PIL import Image

    image = image.convert(mode)
    white = Image.new(mode, image.size, (255,) * len(mode))
    if mode == "RGBA":
        return Image.alpha_composite(white, image)
    return Image.composite(image.convert("L"), white.convert("L"), image.getchannel("A"))
