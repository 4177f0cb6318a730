"""Kernels of activation codes, kept in an ``.npz`` file: what NASWOT sees of a few networks, for pages to show.

Shape letters: K networks, B images.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.archives import read_arrays
from ogive.core.architecture import Architecture
from ogive.core.errors import StoreError, in_line
from ogive.files import write_whole

Values = npt.NDArray[Any]

__all__ = ["Kernel", "read_kernels", "three_of", "write_kernels"]


@dataclass(frozen=True, eq=False)
class Kernel:
    """What a network makes of a batch: for every two images, the share of its ReLU units that are in the same state.

    `shares`, shape (B, B), lies between 0 and 1, in a file in steps of 1/255; `units` is the number of units, `labels`,
    shape (B,), are the classes of the images.
    """

    arch: Architecture
    units: int
    shares: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]

    @property
    def agreement(self) -> float:
        """The mean share over all pairs of different images."""
        images = len(self.shares)
        return float((self.shares.sum() - np.trace(self.shares)) / (images * (images - 1)))


def write_kernels(kernels: Sequence[Kernel], path: Path) -> None:
    """Write kernels of one batch, a byte for each pair of images."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = io.BytesIO()
    np.savez_compressed(
        found,
        archs=np.array([str(kernel.arch) for kernel in kernels]),
        units=np.array([kernel.units for kernel in kernels], np.int64),
        shares=np.rint(255 * np.stack([kernel.shares for kernel in kernels])).astype(np.uint8),
        labels=kernels[0].labels,
    )
    write_whole(path, found.getvalue())


def read_kernels(path: Path) -> list[Kernel]:
    """The kernels in a file; StoreError if it is damaged or none of ours."""
    try:
        found = read_arrays(path)
        archs, units, shares_KBB, labels_B = (found[name] for name in ("archs", "units", "shares", "labels"))
        return _kernels(archs, units, shares_KBB, labels_B, path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"{path} holds no kernels ({in_line(error)}): delete it, and make it again.") from error


def _kernels(archs: Values, units: Values, shares_KBB: Values, labels_B: Values, path: Path) -> list[Kernel]:
    if (
        shares_KBB.ndim != 3
        or shares_KBB.dtype != np.uint8
        or shares_KBB.shape[1:] != (len(labels_B),) * 2
        or len(archs) != len(shares_KBB)
    ):
        raise StoreError(f"{path} holds kernels of the shape {shares_KBB.shape}: delete it, and make it again.")
    return [
        Kernel(Architecture.parse(str(arch)), int(count), shares_BB / 255, labels_B)
        for arch, count, shares_BB in zip(archs, units, shares_KBB, strict=True)
    ]


def three_of(values: dict[Architecture, float]) -> list[Architecture]:
    """The best, the median and the worst architecture by their values; fewer if there are not three."""
    ordered = sorted(values, key=lambda arch: values[arch], reverse=True)
    places = dict.fromkeys((0, (len(ordered) - 1) // 2, len(ordered) - 1)) if ordered else {}
    return [ordered[place] for place in places]
