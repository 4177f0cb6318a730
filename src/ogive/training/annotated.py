"""Pictures with annotations of what is in them, read into images of one size and objects."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from ogive.core.errors import MissingData, SpecError, in_line, quoted, shortened
from ogive.training.boxes import COUNTS, FIELDS, Boxed, Floats, Part, boxed
from ogive.training.decoding import pillow, side_of
from ogive.training.memory import refuse_too_large
from ogive.training.pictures import Array
from ogive.upright import upright

__all__ = ["Annotated", "Box", "folder_of", "placed", "read"]

logger = logging.getLogger(__name__)

SIDE = 320  # where the images differ in size and none was asked for: MnasNet's SSDLite (section 5.3)
LARGEST_SIDE = 4096
PIXELS = 2**26  # of a picture, of which several are in memory at a time


@dataclass(frozen=True, slots=True)
class Box:
    """A box in pixels of its picture, from its upper left corner, and how it counts."""

    label: str
    left: float
    top: float
    width: float
    height: float
    area: float
    kind: int = COUNTS


@dataclass(slots=True)
class Annotated:
    """A picture, its width and height as its annotation has them, and its boxes."""

    path: Path
    sides: tuple[int, int] | None
    boxes: list[Box] = field(default_factory=list)


def folder_of(name: str) -> Path:
    """The folder of data that are written KIND:FOLDER; MissingData without one."""
    folder = Path(name.partition(":")[2]).expanduser()
    if not name.partition(":")[2] or not folder.is_dir():
        raise MissingData(f"{shortened(name, 200)}: there is no such folder.")
    return folder


LONGEST = 255  # bytes of the name of a file or a folder


def placed(places: Sequence[Path], name: str) -> Path:
    """Where an image lies, or would."""
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or "\0" in name:
        raise SpecError(f"The name of an image must lead into its folder, but {quoted(name)} leads out of it.")
    if any(len(part.encode("utf-8", "replace")) > LONGEST for part in pure.parts):
        raise SpecError(f"No file can be called as long as an image is here: {quoted(name)}.")
    return next((place / pure for place in places if (place / pure).is_file()), places[-1] / pure)


def read(
    name: str,
    parts: Mapping[str, list[Annotated]],
    classes: tuple[str, ...],
    *,
    size: int | None,
    channels: int,
    validation: float | None,
    limit: int | None,
) -> Boxed:
    """The pictures of all parts, decoded."""
    if channels not in (1, 3):
        raise SpecError(f"channels must be 1 or 3, but got {channels}.")
    if size is not None and not 1 <= size <= LARGEST_SIDE:
        raise SpecError(f"size must be 1 to {LARGEST_SIDE} pixels a side, but got {size}.")
    if limit is not None:
        parts = {part: pictures[: max(1, limit) * (1 if len(parts) > 1 else 3)] for part, pictures in parts.items()}
    everything = [one for pictures in parts.values() for one in pictures]
    missing = [one.path for one in everything if not one.path.is_file()]
    if missing:
        raise MissingData(
            f"{len(missing)} of {len(everything)} images of {name} are missing, such as {quoted(str(missing[0]))}."
        )
    if not any(one.boxes for one in everything):
        raise SpecError(f"{name} has {len(everything)} images and no boxes: a detector learns from boxes.")
    pillow()
    side = _common_side(everything) if size is None else size
    shape = (len(everything), channels, side, side)
    refuse_too_large(f"The images of {shortened(name)}", shape, item=1, way_out="give a smaller size, as in (size=96)")
    with ThreadPoolExecutor() as pool:
        decoded = iter(list(pool.map(partial(_picture, side=side, channels=channels, classes=classes), everything)))
    found, skipped = {}, 0
    for part, pictures in parts.items():
        own = [next(decoded) for _ in pictures]
        images = np.stack([one.image for one in own]) if own else np.zeros((0, *shape[1:]), np.uint8)
        found[part] = Part(images, [one.objects for one in own])
        skipped += sum(one.skipped for one in own)
    if skipped:
        boxes = sum(len(one.boxes) for one in everything)
        logger.warning("%d of %d boxes of %s have no area in their image and are left out.", skipped, boxes, name)
    return boxed(name, found, classes, validation=validation, limit=limit, skipped=skipped)


def _common_side(pictures: Sequence[Annotated]) -> int:
    """The side of pictures that are all square and of one size, or else that to which they are brought."""
    sizes = set()
    for one in pictures:
        sizes.add(side_of(one.path))
        if len(sizes) > 1:
            return SIDE
    only = next(iter(sizes))
    return only[0] if only is not None and only[0] == only[1] else SIDE


@dataclass(frozen=True, eq=False)
class _Decoded:
    image: Array
    objects: Floats
    skipped: int


def _picture(one: Annotated, *, side: int, channels: int, classes: Sequence[str]) -> _Decoded:
    """An image of `side` pixels a side, and its boxes as shares of its sides."""
    from PIL import Image

    try:
        with Image.open(one.path) as head:
            stored: tuple[int, int] = head.size
        # Boxes are of the pixels as they are stored, unless the size that is told says otherwise.
        turns = one.sides is not None and one.sides != stored
        plain, _ = upright(one.path, None, channels, PIXELS, turned=turns)
    except Exception as error:  # noqa: BLE001  whatever the decoder of a format raises for what is none
        raise SpecError(f"{one.path} cannot be read as an image ({in_line(error)}).") from None
    width, height = plain.size
    if one.sides is not None and (width, height) != one.sides:
        told, there = (" x ".join(map(str, sides)) for sides in (one.sides, stored))
        raise SpecError(f"{one.path} has {there} pixels, but its annotation is of {told}: its boxes would be wrong.")
    values = np.asarray(plain.resize((side, side), Image.Resampling.BILINEAR))
    image = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    objects = [found for box in one.boxes if (found := _object(box, width, height, classes)) is not None]
    return _Decoded(image, np.array(objects, np.float32).reshape(-1, FIELDS), len(one.boxes) - len(objects))


def _object(box: Box, width: int, height: int, classes: Sequence[str]) -> tuple[float, ...] | None:
    """The seven numbers of an object; None for a box without area in its image."""
    numbers = (box.left, box.top, box.width, box.height)
    if not all(map(math.isfinite, numbers)) or min(box.width, box.height) <= 0:
        return None
    left, right = (min(max(place / width, 0.0), 1.0) for place in (box.left, box.left + box.width))
    top, bottom = (min(max(place / height, 0.0), 1.0) for place in (box.top, box.top + box.height))
    # A box of a thousandth of a pixel is one, but single precision must tell its sides apart.
    if np.float32(right) <= np.float32(left) or np.float32(bottom) <= np.float32(top):
        return None
    area = box.area if math.isfinite(box.area) and box.area > 0 else box.width * box.height
    return left, top, right, bottom, float(classes.index(box.label)), float(box.kind), area
