"""Matching and suppression as they are told, box after box: what the batched ones are compared with.

In plain Python with numbers, of which a loop over boxes is faster than one over tensors.
"""

from __future__ import annotations

Box = list[float]


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes as corners."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    shared = wide * high
    return shared / ((one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1]) - shared)


def matched(anchors: list[Box], objects: list[Box], least: float = 0.5) -> list[int]:
    """The object of each anchor of an image, -1 for none: the best above `least`, and for each object its best."""
    found, best = [], [(-1.0, 0)] * len(objects)
    for place, anchor in enumerate(anchors):
        own, highest = -1, 0.0
        for number, box in enumerate(objects):
            shared = overlap(anchor, box)
            if shared > highest:
                own, highest = number, shared
            if shared > best[number][0]:
                best[number] = (shared, place)
        found.append(own if highest >= least else -1)
    for number, (_, place) in enumerate(best):
        found[place] = number
    return found


def remaining(boxes: list[Box], labels: list[int], most: float) -> list[bool]:
    """Which boxes, the best first, stay, where the best stays and takes those of its class that it overlaps."""
    stays = [True] * len(boxes)
    for place, box in enumerate(boxes):
        if not stays[place]:
            continue
        for later in range(place + 1, len(boxes)):
            if stays[later] and labels[later] == labels[place] and overlap(box, boxes[later]) > most:
                stays[later] = False
    return stays
