"""Images from NumPy archives: ``arrays:FILE.npz`` with x_train, y_train, ... or with x and y alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ogive import archives
from ogive.core.errors import SpecError, in_line
from ogive.training.pictures import Array, Integers, Labelled, Source, channels_first, pixels

__all__ = ["encode", "flat", "opened", "read_arrays", "source_of"]


def read_arrays(path: Path) -> Source:
    """Images and labels of your own, as numpy arrays in one file.

    Images are (N, C, H, W), (N, H, W, C) or (N, H, W), labels integers or strings; the keys are as for `opened`.
    """
    return source_of(opened(path), path)


def opened(path: Path) -> dict[str, tuple[Array, Array]]:
    """The x and y of each part of a file, as they are.

    The keys are x_train and y_train with, where there are such, x_val, y_val, x_test, y_test; or x and y.
    SpecError for anything else; pickled objects are never loaded.
    """
    if not path.is_file():
        raise SpecError(f"arrays:{path}: there is no such file.")
    try:
        found = archives.read_arrays(path)
    except (OSError, ValueError) as error:
        raise SpecError(
            f"{path} is no readable .npz archive of plain arrays ({in_line(error)}); write it with numpy.savez."
        ) from None
    train = ("x_train", "y_train") if "x_train" in found else ("x", "y")
    if not set(train) <= set(found):
        raise SpecError(
            f"{path} must hold x_train and y_train (and x_val, y_val, x_test, y_test if it has them) or x and y; "
            f"it holds {', '.join(sorted(found)) or 'nothing'}."
        )
    names = {"train": train, "val": ("x_val", "y_val"), "test": ("x_test", "y_test")}
    for x, y in names.values():
        if (x in found) != (y in found):
            raise SpecError(f"{path} holds one of {x} and {y} without the other.")
    return {part: (found[x], found[y]) for part, (x, y) in names.items() if x in found}


def source_of(found: Mapping[str, tuple[Array, Array]], path: Path) -> Source:
    """The images and labels of each part; SpecError for what is none."""
    images: dict[str, Array] = {}
    labels: dict[str, Array] = {}
    for part, (x, y) in found.items():
        origin = f"{path} ({part})" if part != "train" else str(path)
        images[part], labels[part] = _pair(x, y, f"x of {origin}", f"y of {origin}")
    codes, classes = encode(labels, str(path))
    parts = {part: Labelled(images[part], codes[part]) for part in images}
    return Source(parts["train"], classes, parts.get("val"), parts.get("test"))


def _pair(x: Array, y: Array, x_origin: str, y_origin: str) -> tuple[Array, Array]:
    images = pixels(channels_first(x, x_origin), x_origin)
    labels = flat(y)
    if labels.ndim != 1 or len(labels) != len(images):
        raise SpecError(
            f"There must be one label for each image, but {y_origin} has the shape {y.shape} for {len(images)} images."
        )
    if not images.size:
        raise SpecError(f"There must be an image with a pixel at least, but {x_origin} has the shape {x.shape}.")
    return images, labels


def flat(y: Array) -> Array:
    """Labels (N, 1) as (N,); others as they are."""
    return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y


def encode(labels: dict[str, Array], origin: str) -> tuple[dict[str, Integers], tuple[str, ...]]:
    """Labels as numbers from 0 and the names of the classes, which are the sorted labels of the part "train"."""
    for part, values in labels.items():
        if values.dtype.kind not in "biuUS":
            raise SpecError(f"Labels must be integers or strings, but those of {part} in {origin} are {values.dtype}.")
    known = np.unique(labels["train"])
    codes = {}
    for part, values in labels.items():
        unknown = np.setdiff1d(values, known)
        if len(unknown):
            raise SpecError(f"The {part} part of {origin} has the label {unknown[0]}, which no training image has.")
        codes[part] = np.searchsorted(known, values).astype(np.int64)
    return codes, tuple(value.decode() if isinstance(value, bytes) else str(value) for value in known.tolist())
