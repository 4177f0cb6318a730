"""Labelled images as plain arrays: what every reader of a data set hands over, and how they are divided fairly.

Shapes: N images, C channels, H rows, W columns. Pixels are uint8 (0..255) or float32 on a scale of the user's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ogive.core.errors import SpecError

__all__ = ["Labelled", "Progress", "Source", "channels_first", "first_of_each", "stratified"]

Progress = Callable[[int, int], None]  # (images done, images in all)
Array = npt.NDArray[np.generic]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images of shape (N, C, H, W), uint8 or float32, and their labels (N,) from 0."""

    images: Array
    labels: Integers

    def take(self, rows: Integers) -> Labelled:
        """The images at `rows`, in that order."""
        return Labelled(self.images[rows], self.labels[rows])


@dataclass(frozen=True, eq=False)
class Source:
    """What a reader found: the parts that its data set defines; the others are still to be split off `train`."""

    train: Labelled
    classes: tuple[str, ...]
    val: Labelled | None = None
    test: Labelled | None = None

    tasks: ClassVar[tuple[str, ...]] = ("classification", "generation")
    kind: ClassVar[str] = "images"


def stratified(labels: Integers, count: int, rng: np.random.Generator) -> tuple[Integers, Integers]:
    """Rows kept and rows split off, both ascending: `count` rows are split off, every class by its share.

    Shares are rounded by the largest remainder, ties in favour of the lower class, and every class gives at least one
    row and keeps at least one where it has two.
    """
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    quotas = _shares([len(rows) for rows in members], count, leave=1)
    off = np.concatenate([rng.permutation(rows)[:quota] for rows, quota in zip(members, quotas, strict=True)])
    kept = np.setdiff1d(np.arange(len(labels)), off)
    return kept, np.sort(off)


def first_of_each(labels: Integers, count: int) -> Integers:
    """At most `count` rows, ascending: the first ones of each class, by its share."""
    if count >= len(labels):
        return np.arange(len(labels))
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    quotas = _shares([len(rows) for rows in members], count, leave=0)
    return np.sort(np.concatenate([rows[:quota] for rows, quota in zip(members, quotas, strict=True)]))


def _shares(sizes: Sequence[int], count: int, *, leave: int) -> list[int]:
    """Whole numbers in proportion to `sizes` that add up to `count`, as far as one to each and `leave` allow."""
    exact = [count * size / sum(sizes) for size in sizes]
    most = [max(0, size - leave) for size in sizes]
    shares = [min(limit, max(1, int(value))) for value, limit in zip(exact, most, strict=True)]
    while sum(shares) != count:
        step = 1 if sum(shares) < count else -1
        open_ = [i for i, share in enumerate(shares) if (share < most[i] if step > 0 else share > 1)]
        if not open_:
            break
        best = max(open_, key=lambda i: (step * (exact[i] - shares[i]), -i))
        shares[best] += step
    return shares


def channels_first(images: Array, origin: str) -> Array:
    """Images as (N, C, H, W): (N, H, W) gets one channel, (N, H, W, C) is turned when only its last axis can be C."""
    if images.ndim == 3:
        return images[:, None]
    if images.ndim != 4:
        raise SpecError(
            f"Images must have the shape (N, C, H, W), (N, H, W, C) or (N, H, W), but {origin} has {images.shape}."
        )
    if images.shape[1] not in (1, 3, 4) and images.shape[3] in (1, 3, 4):
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return images


def pixels(images: Array, origin: str) -> Array:
    """The same values as uint8, where they were, or float32; refuses what is no finite number."""
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind not in "buif":
        raise SpecError(f"Images must be numbers, but {origin} holds {images.dtype}.")
    converted = images.astype(np.float32)
    if not np.isfinite(converted).all():
        raise SpecError(f"Images must be finite, but {origin} holds NaN or infinity.")
    return converted
