"""Images from folders: ``images:FOLDER`` with a sub-folder for each class, below train/, val/ and test/ or not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ogive.core.errors import MissingData, SpecError
from ogive.training.memory import refuse_too_large
from ogive.training.pictures import Array, Labelled, Progress, Source

__all__ = ["read_images"]

logger = logging.getLogger(__name__)

ENDINGS = frozenset([".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"])
PARTS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
SIDE = 64  # where the images differ in size and none was asked for


def read_images(
    folder: Path, *, size: int | None = None, channels: int | None = None, progress: Progress | None = None
) -> Source:
    """Images of your own: a sub-folder for each class, in the folder itself or in its train, val and test.

    Each becomes `size` x `size` pixels, cropped at the middle of its long side.
    Without `size`, images that all have one size keep it, and others become 64 x 64. `channels` (1 or 3) converts all
    images; without it, grey and coloured ones must not be mixed. Transparency is dropped and the orientation that a
    camera noted is applied. Raises SpecError for a folder that holds no images, a single class, an unreadable image or
    mixed channels, and MissingData without pillow.
    """
    if not folder.is_dir():
        raise SpecError(f"images:{folder}: there is no such folder.")
    if channels not in (None, 1, 3):
        raise SpecError(f"channels must be 1 or 3, but got {channels}.")
    parts = _parts(folder)
    classes = _classes(parts["train"])
    listed = {part: _listed(top, classes) for part, top in parts.items()}
    paths = [path for pairs in listed.values() for path, _ in pairs]
    decoded = _decoded(paths, size, channels, progress)
    found: dict[str, Labelled] = {}
    start = 0
    for part, pairs in listed.items():
        labels = np.array([label for _, label in pairs], np.int64)
        found[part] = Labelled(decoded[start : start + len(pairs)], labels)
        start += len(pairs)
    return Source(found["train"], classes, found.get("val"), found.get("test"))


def _parts(folder: Path) -> dict[str, Path]:
    """The folders of train, val and test; a folder without a train/ is all train."""
    tops = {PARTS[path.name.lower()]: path for path in _folders(folder) if path.name.lower() in PARTS}
    if "train" not in tops:
        return {"train": folder}
    ignored = [path.name for path in _folders(folder) if path.name.lower() not in PARTS]
    if ignored:
        logger.warning("%s has a train folder, so these beside it are ignored: %s", folder, ", ".join(ignored))
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
    return sorted(path for path in top.rglob("*") if path.suffix.lower() in ENDINGS and not path.name.startswith("."))


def _decoded(paths: Sequence[Path], size: int | None, channels: int | None, progress: Progress | None) -> Array:
    """All images, (N, C, H, W) of uint8; decoded by threads, since pillow releases the interpreter's lock."""
    if size is None:
        size = _common_size(paths)
    if size is not None:
        _refuse_size(len(paths), channels or 1, size)  # grey, as far as is known without decoding one
    read = _reader(size, channels)
    first: Path | None = None
    images: Array | None = None
    with ThreadPoolExecutor() as pool:
        for done, (path, image) in enumerate(_ordered(pool, read, paths)):
            if images is None or first is None:
                _refuse_size(len(paths), image.shape[0], min(image.shape[1:]) if size is None else size)
                images, first = np.empty((len(paths), *image.shape), np.uint8), path
            if image.shape != images.shape[1:]:
                raise SpecError(
                    f"All images must have as many channels, but {first} has {images.shape[1]} and {path} has "
                    f"{image.shape[0]}: convert them, or set channels=1 or channels=3."
                )
            images[done] = image
            if progress is not None:
                progress(done + 1, len(paths))
    assert images is not None
    return images


def _refuse_size(count: int, channels: int, size: int) -> None:
    shape = (count, channels, size, size)
    refuse_too_large("The images of the folder", shape, item=1, way_out="give a smaller size, as in (size=64)")


def _ordered(
    pool: ThreadPoolExecutor, read: Callable[[Path], Array], paths: Sequence[Path], ahead: int = 256
) -> Iterator[tuple[Path, Array]]:
    """Images in the order of `paths`, with a bounded number decoded ahead of their use."""
    for start in range(0, len(paths), ahead):
        chunk = paths[start : start + ahead]
        yield from zip(chunk, pool.map(read, chunk), strict=True)


def _common_size(paths: Sequence[Path]) -> int | None:
    """None where all images have one size and keep it; else the side that they are brought to."""
    image_module, _ = _pillow()
    sizes = set()
    for path in paths:
        try:
            with image_module.open(path) as image:
                sizes.add(image.size)
        except (OSError, SyntaxError, ValueError) as error:
            raise _broken(path, error) from None
        if len(sizes) > 1:
            return SIDE
    return None


def _reader(size: int | None, channels: int | None) -> Callable[[Path], Array]:
    image_module, operations = _pillow()

    def read(path: Path) -> Array:
        try:
            with image_module.open(path) as image:
                image.load()
                upright = operations.exif_transpose(image)
                plain = _plain(upright, channels)
        except (OSError, SyntaxError, ValueError, image_module.DecompressionBombError) as error:
            raise _broken(path, error) from None
        if size is not None:
            plain = operations.fit(plain, (size, size), method=image_module.Resampling.BILINEAR)
        values: Array = np.asarray(plain)
        return values[None] if values.ndim == 2 else values.transpose(2, 0, 1)

    return read


def _plain(image: Any, channels: int | None) -> Any:
    """The image as grey ("L") or colour ("RGB"), as it is by itself or as `channels` asks."""
    if image.mode.startswith("I"):
        # A conversion of 16 bits to "L" would clip at 255 instead of scaling.
        image_module, _ = _pillow()
        image = image_module.fromarray(np.clip(np.asarray(image) // 257, 0, 255).astype(np.uint8))
    grey = image.mode in ("1", "L", "LA", "La", "F") if channels is None else channels == 1
    return image.convert("L" if grey else "RGB")


def _broken(path: Path, error: Exception) -> SpecError:
    return SpecError(f"{path} cannot be read as an image ({str(error).splitlines()[0]}): remove or replace it.")


def _pillow() -> tuple[Any, Any]:
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise MissingData("Folders of images need pillow: pip install 'ogive[images]'") from None
    return Image, ImageOps
