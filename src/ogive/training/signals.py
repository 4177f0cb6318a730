"""Signals: data of one dimension, such as sounds or movements, each with a label.

Shapes: N signals, C channels, L points in time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from ogive.answers import Shown
from ogive.core.errors import SpecError
from ogive.networks.plain import Plain
from ogive.networks.plain_sequences import of_signals
from ogive.training import data
from ogive.training.arrays import encode, flat
from ogive.training.augment import Augmentation
from ogive.training.checkpoint import save_tensors
from ogive.training.data import Data, of_classes
from ogive.training.pictures import Array, Labelled, Source
from ogive.training.recipe import Recipe, RowRecipe

__all__ = ["Signals", "signals_of"]

DRAWN = 128  # points of a curve on a page


@dataclass(frozen=True, eq=False, kw_only=True)
class Signals(Data):
    """Signals (N, C, L) float32 and labels (N,); `chosen` says why they were taken for such."""

    chosen: str = ""
    tasks: tuple[str, ...] = ("classification",)

    kind: ClassVar[str] = "signals"
    recipe: ClassVar[type[Recipe]] = RowRecipe

    @property
    def summary(self) -> tuple[str, ...]:
        """How many signals of how many channels and points, how many of each class, and how many in each part."""
        labels = torch.cat([split.labels for split in (self.train, self.val, self.test)])
        channels, points = self.shape
        size = f"{channels} channel{'s' if channels > 1 else ''} and {points:,} points"
        return f"{len(labels):,} signals of {size}, {of_classes(self.classes, labels)}", self.divided_into

    def shown(self, place: int) -> Shown:
        """The first channel of a test signal as a curve of few points."""
        curve = self.test.images[place, 0].double()
        step = max(1, -(-len(curve) // DRAWN))
        return Shown(curve=tuple(round(value, 6) for value in curve[::step].tolist()))

    def plain(self) -> Plain:
        """What travels with networks of these signals, and the test signals as they were read."""
        test = {"signals": self.test.images, "labels": self.test.labels}
        return of_signals(
            self.shape,
            classes=self.classes,
            normalise=(self.mean, self.std),
            signals=self.normalised(self.test.images[:256]),
            keep=lambda folder: save_tensors(test, folder / "test.safetensors"),
        )


def signals_of(
    found: Mapping[str, tuple[Array, Array]], name: str, *, chosen: str, validation: float | None, limit: int | None
) -> Signals:
    """The signals of the parts of a file, divided; SpecError for what is none, and for unequal lengths."""
    path = Path(name.partition(":")[2])
    shape = found["train"][0].shape[1:]
    signals, labels = {}, {}
    for part, (x, y) in found.items():
        if x.shape[1:] != shape or x.dtype.kind not in "buif":
            raise SpecError(
                f"All signals of {path} need one shape (C, L) of numbers, but those of train have {shape}, and those "
                f"of {part} {x.shape[1:]} of {x.dtype}: cut or fill them up to one length."
            )
        signals[part], labels[part] = x.astype(np.float32), flat(y)
        if len(labels[part]) != len(x) or labels[part].ndim != 1:
            raise SpecError(f"Each signal needs one label, but {part} of {path} has x {x.shape} and y {y.shape}.")
        if not x.size:
            raise SpecError(f"There must be a signal with a point at least, but x of {part} in {path} is {x.shape}.")
        if not np.isfinite(signals[part]).all():
            row = int(np.argmax(~np.isfinite(signals[part]).all(axis=(1, 2))))
            raise SpecError(f"Signals must be finite, but number {row} of {part} in {path} holds NaN or infinity.")
    codes, classes = encode(labels, str(path))
    parts = {part: Labelled(signals[part], codes[part]) for part in signals}
    source = Source(parts["train"], classes, parts.get("val"), parts.get("test"))
    whole = data.assembled(
        data.divided(source, name, data.FIXED, validation=validation), name, Augmentation(), limit=limit
    )
    same = {field.name: getattr(whole, field.name) for field in fields(Data) if field.name != "tasks"}
    return Signals(**same, chosen=chosen)
