"""Images with any number of labels each: from arrays whose y has a column a label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch

from ogive.core.errors import SpecError
from ogive.networks.plain import Plain
from ogive.networks.plain_images import of_labels
from ogive.training import data
from ogive.training.augment import Augmentation
from ogive.training.data import FIXED, SHARE, Data, Split
from ogive.training.pictures import Array, Integers, Labelled, Source, channels_first, pixels

__all__ = ["LabelledImages", "labelled_of"]


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelledImages(Data):
    """Images (N, C, H, W) and labels (N, K) float32, 1 where an image has a label; `classes` are the labels' names."""

    tasks: tuple[str, ...] = ("labelling",)

    @property
    def summary(self) -> tuple[str, ...]:
        """How many images of which size, how many have each label, and how many are in each part."""
        labels = torch.cat([split.labels for split in (self.train, self.val, self.test)])
        counts = labels.sum(0).int().tolist()
        named = ", ".join(f"{name} {count:,}" for name, count in list(zip(self.classes, counts, strict=True))[:12])
        more = f" and {len(counts) - 12} more" if len(counts) > 12 else ""
        channels, height, width = self.shape
        size = f"{width} x {height} pixels and {channels} channel(s)"
        about = f"{len(labels):,} images of {size}, {float(labels.sum(1).mean()):.3g} labels each on average"
        return f"{about}: {named}{more}", self.divided_into

    def plain(self) -> Plain:
        """As of images, with the labels that are said in the place of the likeliest class."""
        return of_labels(super().plain())


def labelled_of(
    found: Mapping[str, tuple[Array, Array]],
    name: str,
    *,
    validation: float | None,
    limit: int | None,
    size: int | None,
) -> LabelledImages:
    """The images of the parts of a file, divided by chance; SpecError for labels that are none, and unknown ones."""
    path = Path(name.partition(":")[2])
    labels = found["train"][1].shape[1]
    parts: dict[str, Array] = {}
    for part, (x, y) in found.items():
        if y.shape != (len(x), labels) or y.dtype.kind not in "buif" or not np.isin(y, (0, 1)).all():
            raise SpecError(
                f"y of {part} in {path} must hold 0 or 1 for each of {labels} labels of {len(x)} images, but has the "
                f"shape {y.shape} of {y.dtype}, or other numbers."
            )
        parts[part] = pixels(channels_first(x, f"x of {part} in {path}"), f"x of {part} in {path}")
    streams, share = FIXED.child("labels"), SHARE if validation is None else validation
    if not 0 < share < 1:
        raise SpecError(f"validation is a share of the training images, between 0 and 1, but got {share}.")
    rows: dict[str, tuple[str, Integers]] = {part: (part, np.arange(len(x))) for part, x in parts.items()}
    for part, portion in (("test", SHARE), ("val", share)):
        if part not in rows:
            order = streams.numpy(f"{part} split").permutation(rows["train"][1])
            off = max(1, round(portion * len(order)))
            rows |= {part: ("train", np.sort(order[:off])), "train": ("train", np.sort(order[off:]))}
    rows = {part: (of, kept[:limit]) for part, (of, kept) in rows.items()}
    # Places stand for labels meanwhile, since what puts images together knows one class each.
    made = {part: Labelled(parts[of][kept], np.arange(len(kept)) % 2) for part, (of, kept) in rows.items()}
    source = Source(made["train"], ("0", "1"), made["val"], made["test"])
    whole = data.assembled(source, name, Augmentation(), size=size)
    told = {part: torch.from_numpy(found[of][1][kept].astype(np.float32)) for part, (of, kept) in rows.items()}
    splits = {part: Split(getattr(whole, part).images, told[part]) for part in ("train", "val", "test")}
    names = tuple(f"label {place}" for place in range(labels))
    same = {field.name: getattr(replace(whole, classes=names), field.name) for field in fields(Data)}
    return LabelledImages(**{**same, **splits, "tasks": ("labelling",)})
