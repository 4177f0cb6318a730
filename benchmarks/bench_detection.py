"""Matching and suppression of boxes in batches beside a plain loop, box after box, that agrees in output.

One thread; the loop is of Python's numbers, and reads lists that are made before it is timed. ``make bench`` runs it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import plain_detection as plain
import pytest
import torch

from ogive.networks.build import build_mobile
from ogive.networks.detection import SSDLite, corners, remaining
from ogive.training.boxes import CLASS
from ogive.training.matching import matched

LEAST = 5.0  # times as fast
IMAGES, OBJECTS, CANDIDATES = 16, 8, 400
GENERATOR = torch.Generator().manual_seed(0)


def drawn(*shape: int) -> torch.Tensor:
    """Boxes as corners."""
    middle = torch.rand(*shape, 2, generator=GENERATOR)
    return corners(torch.cat([middle, 0.05 + 0.4 * torch.rand(*shape, 2, generator=GENERATOR)], -1)).clamp(0, 1)


def seconds(call: Callable[[], Any], repeats: int) -> float:
    """The median of so many calls, the processor's own time."""
    found = []
    for _ in range(repeats):
        started = time.process_time()
        call()
        found.append(time.process_time() - started)
    return statistics.median(found)


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    """As the loop has."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_matching_is_five_times_as_fast_as_a_loop(record_property: Callable[[str, object], None]) -> None:
    anchors = SSDLite(build_mobile("mnasnet_small", seed=0), (3, 320, 320), 20).anchors
    targets = torch.zeros(IMAGES, OBJECTS, 7)
    targets[..., :4] = drawn(IMAGES, OBJECTS)
    targets[..., CLASS] = 1
    places, objects = corners(anchors).tolist(), targets[..., :4].tolist()

    def loop() -> list[list[int]]:
        return [plain.matched(places, rows) for rows in objects]

    assert matched(anchors, targets).tolist() == loop()
    times = seconds(loop, 3) / seconds(lambda: matched(anchors, targets), 7)
    record_property("times", times)
    print(f"\nmatching of {IMAGES} images with {len(anchors):,} anchors: {times:.1f} times as fast as the loop")
    assert times >= LEAST


def test_suppression_is_five_times_as_fast_as_a_loop(record_property: Callable[[str, object], None]) -> None:
    boxes, labels = drawn(IMAGES, CANDIDATES), torch.randint(20, (IMAGES, CANDIDATES), generator=GENERATOR)
    rows, names = boxes.tolist(), labels.tolist()

    def loop() -> list[list[bool]]:
        return [plain.remaining(one, own, 0.45) for one, own in zip(rows, names, strict=True)]

    assert remaining(boxes, labels, 0.45).tolist() == loop()
    times = seconds(loop, 3) / seconds(lambda: remaining(boxes, labels, 0.45), 7)
    record_property("times", times)
    print(f"\nsuppression among {CANDIDATES} boxes of {IMAGES} images: {times:.1f} times as fast as the loop")
    assert times >= LEAST
