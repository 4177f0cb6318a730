"""Images from folders: ``images:FOLDER`` with a sub-folder for each class, below train/, val/ and test/ or not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ogive.core.errors import MissingData, SpecError
from ogive.training.decoding import Picture, decoded, pillow, side_of
from ogive.training.memory import refuse_too_large
from ogive.training.pictures import Array, Labelled, Progress, Source

__all__ = ["read_images"]

logger = logging.getLogger(__name__)

ENDINGS = frozenset([".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"])
PARTS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
MOST_NAMED = 20  # broken files that a message names
SIDE = 64  # where the images differ in size and none was asked for


def read_images(
    folder: Path,
    *,
    size: int | None = None,
    channels: int | None = None,
    skip_broken: bool = False,
    progress: Progress | None = None,
) -> Source:
    """Images of your own: a sub-folder for each class, in the folder itself or in its train, val and test.

    `size`: each image becomes so many pixels a side, cropped at the middle of its long side; by default images that
    all have one size keep it, and others become 64 x 64. `channels`: 1 makes all images grey, 3 makes all RGB; by
    default all are RGB, unless all are grey. Images are turned as the camera noted and laid on white where they are
    transparent; 16 bits are scaled to 8, CMYK is converted, and of an animation the first image is taken.
    `skip_broken`: leave out files that cannot be read, and say how many; otherwise all of them are named. `validation`:
    the share of the training images to compare candidates on; `limit`: at most so many images of each part. Raises
    SpecError for a folder that holds no images, a single class or unreadable files, and MissingData without the folder
    or pillow.
    """
    if not folder.is_dir():
        raise MissingData(
            f"images:{folder}: there is no such folder. Put images into {folder}/train/CLASS, those to validate and to "
            f"test on into {folder}/val/CLASS and {folder}/test/CLASS, or give another folder."
        )
    if channels not in (None, 1, 3):
        raise SpecError(f"channels must be 1 or 3, but got {channels}.")
    parts = _parts(folder)
    classes = _classes(parts["train"])
    listed = {part: _listed(top, classes) for part, top in parts.items()}
    paths = [path for pairs in listed.values() for path, _ in pairs]
    images, whole = _decoded(paths, size, channels, skip_broken, progress)
    found: dict[str, Labelled] = {}
    start = 0
    for part, pairs in listed.items():
        own = slice(start, start + len(pairs))
        read = Labelled(images[own], np.array([label for _, label in pairs], np.int64))
        found[part] = read if whole[own].all() else read.take(np.flatnonzero(whole[own]))
        start += len(pairs)
    _refuse_emptied(found["train"], classes)
    return Source(found["train"], classes, found.get("val"), found.get("test"))


def _refuse_emptied(train: Labelled, classes: Sequence[str]) -> None:
    counts = np.bincount(train.labels, minlength=len(classes))
    if not counts.min():
        raise SpecError(f"Nothing is left of the class {classes[int(counts.argmin())]!r} without its broken images.")


def _parts(folder: Path) -> dict[str, Path]:
    """The folders of train, val and test; a folder without a train/ of class folders is all train.

    A folder called train that holds images itself, beside others that are no parts, is a class of that name.
    """
    tops = {PARTS[path.name.lower()]: path for path in _folders(folder) if path.name.lower() in PARTS}
    others = [path.name for path in _folders(folder) if path.name.lower() not in PARTS]
    if "train" not in tops or (others and not any(_images(path) for path in _folders(tops["train"]))):
        return {"train": folder}
    if others:
        logger.warning("%s has a train folder, so these beside it are ignored: %s", folder, ", ".join(others))
    return tops


def _classes(top: Path) -> tuple[str, ...]:
    classes = tuple(path.name for path in _folders(top))
    if not any(_images(top / name) for name in classes):
        raise SpecError(
            f"{top} holds no images: every class needs a sub-folder with files ending in {', '.join(sorted(ENDINGS))}."
        )
    if len(classes) == 1:
        raise SpecError(f"{top} holds one class, {classes[0]!r}, but two are the least that can be told apart.")
    empty = [name for name in classes if not _images(top / name)]
    if empty:
        raise SpecError(f"The class folder {top / empty[0]} holds no images: fill it or remove it.")
    return classes


def _listed(top: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    """Image paths with their labels, in an order that does not depend on the file system."""
    unknown = [path.name for path in _folders(top) if path.name not in classes]
    if unknown:
        raise SpecError(f"{top / unknown[0]} is a class that the training folder does not have.")
    listed = [(path, label) for label, name in enumerate(classes) for path in _images(top / name)]
    if not listed:
        raise SpecError(f"{top} holds no images.")
    return listed


def _folders(top: Path) -> list[Path]:
    return sorted(path for path in top.iterdir() if path.is_dir() and not path.name.startswith("."))


def _images(top: Path) -> list[Path]:
    found = (path for path in top.rglob("*") if path.suffix.lower() in ENDINGS and not path.name.startswith("."))
    return sorted(path for path in found if path.is_file())  # a pipe would be waited for


def _decoded(
    paths: Sequence[Path], size: int | None, channels: int | None, skip_broken: bool, progress: Progress | None
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """All images, (N, C, H, W) of uint8, and which of them were read, (N,).

    Threads decode them, since pillow releases the interpreter's lock.
    """
    pillow()
    if size is None:
        size = _common_size(paths)
    if size is not None:
        _refuse_size(len(paths), channels or 1, size)  # grey, as far as is known without decoding one
    images: Array | None = None
    grey, animated, broken = 0, 0, []
    with ThreadPoolExecutor() as pool:
        for done, picture in enumerate(_ordered(pool, partial(decoded, size=size, channels=channels), paths)):
            if picture.values is None:
                broken.append(picture)
            else:
                images = _fitting(images, picture.values, len(paths), size)
                images[done] = picture.values
                grey += len(picture.values) == 1
                animated += picture.animated
            if progress is not None:
                progress(done + 1, len(paths))
    _tell_broken(broken, len(paths), skip_broken)
    assert images is not None
    if animated:
        logger.warning("%d of %d images are animated: the first picture of each is taken.", animated, len(paths))
    if 0 < grey < len(paths) - len(broken):
        logger.warning("%d of %d images are grey: all are taken as RGB (channels=1 for grey).", grey, len(paths))
    whole = np.ones(len(paths), bool)
    whole[[paths.index(picture.path) for picture in broken]] = False
    return images, whole


def _fitting(images: Array | None, values: Array, count: int, size: int | None) -> Array:
    """The array of all images, made for the first of them, and made RGB for the first that is."""
    channels, *sides = values.shape
    if images is None:
        _refuse_size(count, channels, min(sides) if size is None else size)
        return np.empty((count, *values.shape), np.uint8)
    if tuple(sides) != images.shape[2:]:
        raise SpecError("Cameras noted that some images are to be turned, so that sizes differ: give size=64, say.")
    if channels > images.shape[1]:
        _refuse_size(count, channels, min(sides))
        return np.repeat(images, channels, axis=1)
    return images


def _tell_broken(broken: Sequence[Picture], count: int, skip_broken: bool) -> None:
    """SpecError that names the broken files, or a warning that counts them where they are to be skipped."""
    if not broken:
        return
    named = "; ".join(f"{picture.path} ({picture.broken})" for picture in broken[:MOST_NAMED])
    more = f"; and {len(broken) - MOST_NAMED} more" if len(broken) > MOST_NAMED else ""
    if len(broken) == count or not skip_broken:
        raise SpecError(
            f"{len(broken)} of {count} images cannot be read: {named}{more}. Remove or replace them, or leave them out "
            "with --skip-broken."
        )
    logger.warning("%d of %d images cannot be read and are left out: %s%s", len(broken), count, named, more)


def _refuse_size(count: int, channels: int, size: int) -> None:
    shape = (count, channels, size, size)
    refuse_too_large("The images of the folder", shape, item=1, way_out="give a smaller size, as in (size=64)")


def _ordered(
    pool: ThreadPoolExecutor, read: Callable[[Path], Picture], paths: Sequence[Path], ahead: int = 256
) -> Iterator[Picture]:
    """Images in the order of `paths`, with a bounded number decoded ahead of their use."""
    for start in range(0, len(paths), ahead):
        yield from pool.map(read, paths[start : start + ahead])


def _common_size(paths: Sequence[Path]) -> int | None:
    """None where all images have one size and keep it; else the side that they are brought to."""
    sizes = set()
    for path in paths:
        sizes |= {side_of(path)} - {None}
        if len(sizes) > 1:
            return SIDE
    return None
