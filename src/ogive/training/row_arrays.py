"""Data of ``arrays:FILE.npz``: images, or rows where x has two dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from ogive.core.errors import SpecError
from ogive.training import data
from ogive.training.arrays import flat, opened, source_of
from ogive.training.augment import Augmentation
from ogive.training.data import Data
from ogive.training.labelled import LabelledImages, labelled_of
from ogive.training.pictures import Array
from ogive.training.preparation import Cells
from ogive.training.rows import Rows, RowsOf, TaskName, divided
from ogive.training.signals import Signals, signals_of

__all__ = ["load"]

Kind = Literal["auto", "signals", "images"]


def load(
    name: str,
    *,
    size: int | None = None,
    task: TaskName = "auto",
    unit: str = "",
    kind: Kind = "auto",
    validation: float | None = None,
    limit: int | None = None,
) -> Data | Rows | Signals | LabelledImages:
    """Images, signals or rows in one file of numpy arrays, x_train, y_train, ... or x and y: ``arrays:mine.npz``.

    Three-dimensional x are signals (N, channels, points), unless they are bytes or squares: then they are grey images
    (N, rows, columns). `kind` says which (signals or images) where that is not meant. Two-dimensional x are rows, whose
    y are quantities in some `unit`, or classes: `task` says which, by default as for csv:FILE. NaN is missing there.
    Images (N, C, H, W) whose y is (N, labels) of 0 and 1 have any number of labels each. `size` resizes images;
    `validation` and `limit` are as for other data. Raises SpecError.
    """
    path = Path(name.partition(":")[2]).expanduser()
    found = opened(path)
    shape = found["train"][0].shape
    if len(shape) == 2:
        if size is not None:
            raise SpecError(f"size is of images, and the x of {path} are rows: leave it out.")
        return divided(_rows(path, found, unit), task=task, validation=validation, limit=limit)
    if len(shape) != 3 and kind != "auto":
        raise SpecError(
            f"kind is of x with three dimensions, and those of {path} have the shape {shape}: leave it out."
        )
    if task != "auto" or unit:
        raise SpecError(f"task and unit are options of rows, and the x of {path} have the shape {shape}.")
    y = found["train"][1]
    if len(shape) == 4 and y.ndim == 2 and y.shape[1] > 1:
        return labelled_of(found, name, validation=validation, limit=limit, size=size)
    if len(shape) == 3:
        grey = found["train"][0].dtype == np.uint8 or shape[1] == shape[2]
        if kind == "signals" or (kind == "auto" and not grey):
            if size is not None:
                raise SpecError(f"size is of images, and the x of {path} are signals: leave it out.")
            why = f"x of the shape {shape} are read as signals of {shape[1]} channel(s) (kind=images to change)."
            told = why if kind == "auto" else ""
            return signals_of(found, name, chosen=told, validation=validation, limit=limit)
    source = data.divided(source_of(found, path), name, data.FIXED, validation=validation)
    return data.assembled(source, name, Augmentation(), size=size, limit=limit)


def _rows(path: Path, found: Mapping[str, tuple[Array, Array]], unit: str) -> RowsOf:
    """The rows of each part, whose columns are called x0, x1, ... and whose target y."""
    cells, targets, width = {}, {}, found["train"][0].shape[1]
    for part, (x, y) in found.items():
        quantities = flat(y)
        if x.shape[1:] != (width,) or quantities.shape != x.shape[:1]:
            raise SpecError(
                f"Each part of {path} needs x of the shape (N, {width}) and y of the shape (N,), but {part} has "
                f"{x.shape} and {y.shape}."
            )
        if x.dtype.kind not in "buif" or quantities.dtype.kind not in "buifUS":
            raise SpecError(
                f"Rows are numbers, and targets numbers or text, but {part} of {path} has {x.dtype} and {y.dtype}."
            )
        numbers = x.astype(np.float64)
        if np.isinf(numbers).any():
            raise SpecError(f"Rows must be finite, or NaN where a value is missing, but {part} of {path} has infinity.")
        cells[part] = Cells(numbers, np.empty((len(x), 0), object))
        texts = quantities.astype(str) if quantities.dtype.kind == "S" else quantities
        targets[part] = texts.astype(object)
    places = {part: [f"row {row} of {part} of {path}" for row in range(len(y))] for part, y in targets.items()}
    names = tuple(f"x{column}" for column in range(width))
    return RowsOf(str(path), names, (), "y", cells, targets, places, unit)
