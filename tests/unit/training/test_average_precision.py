from __future__ import annotations

import contextlib
import io
import math

import numpy as np
import pytest

from ogive.training.average_precision import AREAS, Found, Present, average_precision

CLASSES = 3


def made(seed: int) -> tuple[list[Found], list[Present]]:
    """Pictures, some of them empty, with crowds, odd areas, and detections near objects with few different scores."""
    rng = np.random.default_rng(seed)
    found, truth = [], []
    for _ in range(rng.integers(1, 12)):
        objects, told = rng.integers(0, 7), rng.integers(0, 12)
        boxes = np.hstack([rng.integers(0, 100, (objects, 2)), rng.integers(5, 150, (objects, 2))]).astype(float)
        near = boxes[rng.integers(0, objects, told)] if objects else np.full((told, 4), 20.0)
        near = near + rng.integers(-8, 9, (told, 4))
        near[:, 2:] = near[:, 2:].clip(2)
        found.append(Found(near, rng.integers(1, 8, told) / 8, rng.integers(0, CLASSES, told)))
        areas = boxes[:, 2] * boxes[:, 3] * rng.choice([1, 0.5], objects)
        crowds = rng.random(objects) < 0.2
        truth.append(Present(boxes, rng.integers(0, CLASSES, objects), areas, crowds, np.zeros(objects, bool)))
    return found, truth


def of_pycocotools(found: list[Found], truth: list[Present]) -> np.ndarray:
    """Its twelve statistics."""
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    objects = [
        {"image_id": place, "category_id": int(label), "bbox": box.tolist(), "area": float(area), "iscrowd": int(crowd)}
        for place, one in enumerate(truth)
        for box, label, area, crowd in zip(one.boxes, one.labels, one.areas, one.crowds, strict=True)
    ]
    told = [
        {"image_id": place, "category_id": int(label), "bbox": box.tolist(), "score": float(score)}
        for place, one in enumerate(found)
        for box, score, label in zip(one.boxes, one.scores, one.labels, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        api = coco.COCO()
        api.dataset = {
            "images": [{"id": place} for place in range(len(truth))],
            "categories": [{"id": label} for label in range(CLASSES)],
            "annotations": [{"id": number, **one} for number, one in enumerate(objects, start=1)],
        }
        api.createIndex()
        judge = evaluation.COCOeval(api, api.loadRes(told), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    statistics: np.ndarray = judge.stats
    return statistics


@pytest.mark.parametrize("seed", range(25))
def test_the_precision_is_that_of_pycocotools_to_the_last_digit(seed: int) -> None:
    found, truth = made(seed)
    if not any(len(one.scores) for one in found):
        found[0] = Found(np.array([[1.0, 1, 9, 9]]), np.array([0.5]), np.array([0]))
    expected = of_pycocotools(found, truth)
    whole = average_precision(found, truth, CLASSES)
    own = [whole.mean, whole.at_50, whole.at_75]
    own += [average_precision(found, truth, CLASSES, area=AREAS[area]).mean for area in ("small", "medium", "large")]
    own += [average_precision(found, truth, CLASSES, most=most).recall for most in (1, 10, 100)]
    assert [-1.0 if math.isnan(value) else value for value in own] == expected[:9].tolist()


def one_picture(boxes: list[list[float]], ignored: list[bool]) -> list[Present]:
    whole, labels = np.array(boxes, float), np.zeros(len(boxes), int)
    return [Present(whole, labels, whole[:, 2] * whole[:, 3], np.zeros(len(boxes), bool), np.array(ignored))]


def told(*rows: tuple[float, list[float]]) -> list[Found]:
    boxes = np.array([box for _, box in rows], float).reshape(-1, 4)
    return [Found(boxes, np.array([score for score, _ in rows]), np.zeros(len(rows), int))]


def test_a_wrong_box_before_the_right_one_halves_the_precision() -> None:
    truth = one_picture([[0, 0, 10, 10]], [False])
    assert average_precision(told((0.9, [0, 0, 10, 10])), truth, 1).mean == pytest.approx(1.0)
    found = told((0.9, [50, 50, 10, 10]), (0.8, [0, 0, 10, 10]))
    assert average_precision(found, truth, 1).mean == pytest.approx(0.5)
    # An overlap of .81 is right at seven of the ten: .5 to .8
    assert average_precision(told((0.9, [0, 0, 10, 8.1])), truth, 1).mean == pytest.approx(0.7)


def test_an_ignored_object_takes_one_detection_that_counts_neither_way() -> None:
    truth = one_picture([[0, 0, 10, 10], [50, 50, 10, 10]], [False, True])
    once = told((0.9, [50, 50, 10, 10]), (0.8, [0, 0, 10, 10]))
    assert average_precision(once, truth, 1).mean == pytest.approx(1.0)
    twice = told((0.95, [50, 50, 10, 10]), (0.9, [50, 50, 10, 10]), (0.8, [0, 0, 10, 10]))
    assert average_precision(twice, truth, 1).mean == pytest.approx(0.5)


def test_nothing_to_be_found_has_no_precision_and_nothing_found_has_none() -> None:
    nothing = one_picture([[0, 0, 10, 10]], [True])
    assert math.isnan(average_precision(told(), nothing, 1).mean)
    assert average_precision(told(), one_picture([[0, 0, 10, 10]], [False]), 1).mean == 0.0


def test_of_two_objects_that_are_overlapped_alike_the_later_one_is_taken() -> None:
    truth = one_picture([[0, 0, 10, 10], [4, 0, 10, 10]], [False, False])
    found = told((0.9, [2, 0, 10, 10]), (0.8, [0, 0, 10, 10]))  # the second one fits the first object alone
    assert average_precision(found, truth, 1).at_50 == pytest.approx(1.0)
