"""Mean average precision of detections, as COCO counts it: to the last digit what pycocotools says.

Lin et al., "Microsoft COCO", ECCV 2014, and its public evaluation (cocodataset/cocoapi, PythonAPI/pycocotools,
cocoeval.py): precision at 101 recalls, the mean over ten overlaps from .5 to .95 and over the classes that occur. What
it leaves open, which of equal scores and equal overlaps counts first, is here as there. Boxes are left, top, width and
height. Shapes: D detections and T true boxes of a picture, O overlaps, R recalls.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["AREAS", "Found", "Precision", "Present", "average_precision"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

OVERLAPS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MOST = 100  # detections of a class in a picture
AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
NOTHING = np.spacing(1)  # keeps the precision of no detection from being 0 / 0


@dataclass(frozen=True, eq=False)
class Found:
    """What was found in a picture: boxes (D, 4), scores (D,) and classes (D,)."""

    boxes: Floats
    scores: Floats
    labels: Integers


@dataclass(frozen=True, eq=False)
class Present:
    """What is in a picture: boxes (T, 4), classes, areas, and which are crowds, or are to be ignored, (T,) each.

    A crowd takes any number of detections, which count neither for nor against; what is ignored takes one.
    """

    boxes: Floats
    labels: Integers
    areas: Floats
    crowds: Flags
    ignored: Flags


@dataclass(frozen=True, slots=True)
class Precision:
    """Shares from 0 to 1, NaN where no box counts: the mean over overlaps, at .5, at .75, and the mean recall."""

    mean: float
    at_50: float
    at_75: float
    recall: float


@dataclass(frozen=True, eq=False)
class _Matched:
    """Detections of a class in a picture, the best first: scores (D,), which are right and which ignored (O, D).

    `wanted` is how many boxes are to be found.
    """

    scores: Floats
    right: Flags
    ignored: Flags
    wanted: int


def average_precision(
    found: Sequence[Found],
    truth: Sequence[Present],
    classes: int,
    *,
    area: tuple[float, float] = AREAS["all"],
    most: int = MOST,
) -> Precision:
    """The precision of what was found in pictures, of boxes with an area in a range; others are ignored."""
    precisions, recalls = [], []
    for label in range(classes):
        matched = [_matched(f, t, label, area, most) for f, t in zip(found, truth, strict=True)]
        wanted = sum(one.wanted for one in matched)
        if wanted:
            precision, recall = _curve(matched, wanted)
            precisions.append(precision)
            recalls.append(recall)
    if not precisions:
        return Precision(math.nan, math.nan, math.nan, math.nan)
    of_all = np.stack(precisions, axis=2)  # O, R, classes: numbers are summed in this order there
    means = (part.flatten().mean() for part in (of_all, of_all[:1], of_all[5:6], np.stack(recalls, axis=1)))
    return Precision(*map(float, means))


def _matched(found: Found, truth: Present, label: int, area: tuple[float, float], most: int) -> _Matched:
    """Detections of a class in a picture, each with the true box that it overlaps most of those that are left."""
    own = np.flatnonzero(found.labels == label)
    own = own[np.argsort(-found.scores[own], kind="stable")][:most]
    boxes, scores = found.boxes[own], found.scores[own]
    there = np.flatnonzero(truth.labels == label)
    outside = (truth.areas[there] < area[0]) | (truth.areas[there] > area[1])
    ignored = truth.crowds[there] | truth.ignored[there] | outside
    order = np.argsort(ignored, kind="stable")  # what counts comes first
    there, ignored = there[order], ignored[order]
    crowds = truth.crowds[there]
    shared = _overlaps(boxes, truth.boxes[there], crowds)
    taken = np.zeros((len(OVERLAPS), len(there)), bool)
    right = np.zeros((len(OVERLAPS), len(own)), bool)
    aside = np.zeros_like(right)
    least = np.minimum(OVERLAPS, 1 - 1e-10)[:, None]
    for place, overlap_T in enumerate(shared):
        fits = (overlap_T >= least) & (crowds | ~taken)
        counted = fits & ~ignored
        fits = np.where(counted.any(1, keepdims=True), counted, fits)
        any_O = fits.any(1)
        # The last of equal ones, as there.
        best_O = fits.shape[1] - 1 - np.where(fits, overlap_T, -1.0)[:, ::-1].argmax(1) if fits.shape[1] else any_O * 0
        rows = np.flatnonzero(any_O)
        taken[rows, best_O[rows]] = True
        aside[rows, place] = ignored[best_O[rows]]
        right[rows, place] = ~aside[rows, place]
    sizes = boxes[:, 2] * boxes[:, 3]
    aside |= ~right & ~aside & ((sizes < area[0]) | (sizes > area[1]))
    return _Matched(scores, right, aside, int((~ignored).sum()))


def _overlaps(boxes: Floats, others: Floats, crowds: Flags) -> Floats:
    """Intersection over union (D, T); of a crowd, over the detection alone."""
    one, other = boxes[:, None], others[None]
    ends = np.minimum(one[..., :2] + one[..., 2:], other[..., :2] + other[..., 2:])
    sides = (ends - np.maximum(one[..., :2], other[..., :2])).clip(0)
    shared = sides[..., 0] * sides[..., 1]
    area, areas = boxes[:, 2] * boxes[:, 3], others[:, 2] * others[:, 3]
    whole = np.where(crowds[None], area[:, None], area[:, None] + areas[None] - shared)
    found: Floats = np.divide(shared, whole, out=np.zeros_like(shared), where=shared > 0)
    return found


def _curve(matched: Sequence[_Matched], wanted: int) -> tuple[Floats, Floats]:
    """The precision (O, R) at each recall, and the recall (O,) of all detections together."""
    order = np.argsort(-np.concatenate([one.scores for one in matched]), kind="stable")
    right = np.concatenate([one.right for one in matched], axis=1)[:, order]
    ignored = np.concatenate([one.ignored for one in matched], axis=1)[:, order]
    hits = np.cumsum(right, axis=1).astype(np.float64)
    misses = np.cumsum(~right & ~ignored, axis=1).astype(np.float64)
    precision = np.zeros((len(OVERLAPS), len(RECALLS)))
    recall = np.zeros(len(OVERLAPS))
    for place, (hit, miss) in enumerate(zip(hits, misses, strict=True)):
        if not len(hit):
            continue
        share = hit / wanted
        exact = np.maximum.accumulate((hit / (hit + miss + NOTHING))[::-1])[::-1]
        at = np.searchsorted(share, RECALLS, side="left")
        precision[place, at < len(hit)] = exact[at[at < len(hit)]]
        recall[place] = share[-1]
    return precision, recall
