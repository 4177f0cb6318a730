"""Images with boxes of what is in them, divided into train, validation and test, and their batches.

Shapes: N images, C channels, H x W pixels, M objects at most. An object is seven numbers: left, top, right and bottom
as shares of the image, its class, how it counts, and its area in pixels of the picture as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ogive.core.errors import SpecError
from ogive.training import augment
from ogive.training.augment import Augmentation
from ogive.training.batches import Batches
from ogive.training.data import FIXED, SHARE, Data, Split, normalisation, of_classes
from ogive.training.pictures import Array, stratified

__all__ = ["AREA", "CLASS", "COUNTS", "CROWD", "FIELDS", "IGNORED", "KIND", "BoxBatches", "Boxed", "Part", "boxed"]

CLASS, KIND, AREA, FIELDS = 4, 5, 6, 7
COUNTS, CROWD, IGNORED = 0, 1, 2  # how an object counts
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Boxed(Data):
    """Images of which each has any number of objects: labels (N, M, 7) float32, with the class -1 where one has fewer.

    `skipped` counts the boxes that were left out, as they have no area in the image.
    """

    skipped: int = 0
    tasks: tuple[str, ...] = ("detection",)

    @property
    def objects(self) -> Tensor:
        """All objects of all parts that count, (O, 7)."""
        found = torch.cat([split.labels.flatten(0, 1) for split in (self.train, self.val, self.test)])
        return found[(found[:, CLASS] >= 0) & (found[:, KIND] == COUNTS)]

    @property
    def summary(self) -> tuple[str, ...]:
        """How many images of which size, how many objects of each class, and how many images in each part."""
        channels, height, width = self.shape
        images = sum(map(len, (self.train, self.val, self.test)))
        colour = {1: "grey ", 3: "RGB "}.get(channels, "")
        told = of_classes(self.classes, self.objects[:, CLASS].long())
        left_out = f"; {self.skipped:,} without area left out" if self.skipped else ""
        first = f"{images:,} {colour}images of {width} x {height} pixels with {len(self.objects):,} boxes, {told}"
        return first + left_out, self.divided_into


@dataclass(frozen=True, eq=False)
class Part:
    """Images (N, C, H, W), and the objects (M, 7) of each, classes being numbers."""

    images: Array
    objects: Sequence[Floats]


def boxed(
    name: str,
    parts: Mapping[str, Part],
    classes: Sequence[str],
    *,
    validation: float | None = None,
    limit: int | None = None,
    skipped: int = 0,
    augmentation: Augmentation | None = None,
) -> Boxed:
    """Data of parts "train" and perhaps "val" and "test", which are divided off it by chance where they are missing.

    Of images with objects and of those without, each part gets its share. By default images are moved and mirrored in
    training. SpecError for a part in which nothing counts.
    """
    share = SHARE if validation is None else validation
    if not 0 < share < 1:
        raise SpecError(f"validation is a share of the training images, between 0 and 1, but got {share}.")
    if limit is not None and limit < 1:
        raise SpecError(f"limit must be at least 1, but got {limit}.")
    most = max((len(one) for part in parts.values() for one in part.objects), default=0)
    found = {word: _split(part, max(1, most)) for word, part in parts.items()}
    streams = FIXED.child(name.partition(":")[0])
    for word, wanted in (("test", SHARE), ("val", share)):
        if word not in found:
            found["train"], found[word] = _divided(found["train"], wanted, streams.numpy(f"{word} split"))
    if limit is not None:
        found = {word: Split(split.images[:limit], split.labels[:limit]) for word, split in found.items()}
    for word, split in found.items():
        if not _counts(split.labels).any():
            raise SpecError(f"{name} has no boxes in its {word} part of {len(split)} images: give more images of it.")
    train, val, test = (found[word] for word in ("train", "val", "test"))
    mean, std = normalisation(train.images)
    moved = Augmentation(padding=min(train.images.shape[2:]) // 8, flip=True) if augmentation is None else augmentation
    return Boxed(name, train, val, test, tuple(classes), mean, std, moved, skipped=skipped)


def _split(part: Part, most: int) -> Split:
    labels = np.zeros((len(part.images), most, FIELDS), np.float32)
    labels[:, :, CLASS] = -1
    for own, objects in zip(labels, part.objects, strict=True):
        own[: len(objects)] = objects
    return Split(torch.from_numpy(np.ascontiguousarray(part.images)), torch.from_numpy(labels))


def _divided(split: Split, share: float, rng: np.random.Generator) -> tuple[Split, Split]:
    """Images kept and images split off, ascending."""
    kept, off = stratified(_counts(split.labels).any(1).numpy().astype(np.int64), round(share * len(split)), rng)
    both = (torch.from_numpy(rows) for rows in (kept, off))
    one, other = (Split(split.images[rows], split.labels[rows]) for rows in both)
    return one, other


def _counts(labels_NMF: Tensor) -> Tensor:
    """Which objects are to be found, (N, M)."""
    return (labels_NMF[..., CLASS] >= 0) & (labels_NMF[..., KIND] == COUNTS)


class BoxBatches(Batches):
    """Batches of images whose boxes are moved with them; objects whose middle leaves the image are left out."""

    def _placed(self, images: Tensor, targets: Tensor, drawn: torch.Generator) -> tuple[Tensor, Tensor]:
        H, W = images.shape[2:]
        if self.padding:
            starts_2N = augment.crops(images, self.padding, drawn)
            images = augment.cropped(images, self.padding, starts_2N)
            down, across = (self.padding - starts_2N).to(targets.dtype)
            targets = moved(targets, across / W, down / H)
        if self.flips:
            which_N = augment.mirrors(images, drawn)
            images = augment.mirrored(images, which_N)
            turned = torch.cat([1 - targets[..., [2]], targets[..., [1]], 1 - targets[..., [0]], targets[..., 3:]], 2)
            targets = torch.where(which_N[:, None, None], turned, targets)
        return images, targets


def moved(targets_NMF: Tensor, across_N: Tensor, down_N: Tensor) -> Tensor:
    """Objects moved by shares of the image's sides, cut at its borders, without those whose middle is outside."""
    shift = torch.stack([across_N, down_N, across_N, down_N], 1)[:, None]
    boxes = targets_NMF[..., :4] + shift
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    inside = ((middle > 0) & (middle < 1)).all(2)
    changed = torch.cat([boxes.clamp(0, 1), targets_NMF[..., 4:]], 2)
    changed[..., CLASS] = torch.where(inside, changed[..., CLASS], -1.0)
    return changed
