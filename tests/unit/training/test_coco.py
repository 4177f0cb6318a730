from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from shapes import pictures, write_coco

import ogive
from ogive.core.errors import MissingData, OgiveError, SpecError
from ogive.training.boxes import AREA, CLASS, CROWD, KIND

Told = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_coco(tmp_path / "made", pictures(12, side=48))


def annotations(folder: Path) -> Path:
    return folder / "annotations" / "instances.json"


def changed(folder: Path, change: Callable[[Told], object]) -> str:
    """The name of the data after a change of the annotation file."""
    told = json.loads(annotations(folder).read_text())
    change(told)
    annotations(folder).write_text(json.dumps(told))
    return f"coco:{folder}"


def test_pictures_are_resized_with_their_boxes(folder: Path) -> None:
    exact = ogive.data(f"coco:{folder}")
    assert exact.shape == (3, 48, 48)  # all are square, and of one size
    assert exact.classes == ("circle", "square", "triangle")
    made = pictures(12, side=48)
    split = torch.cat([exact.train.images, exact.val.images, exact.test.images])
    labels = torch.cat([exact.train.labels, exact.val.labels, exact.test.labels])
    for image, objects in zip(split, labels, strict=True):
        one = next(one for one in made if (one.pixels.transpose(2, 0, 1) == image.numpy()).all())
        own = objects[objects[:, CLASS] >= 0]
        left, top, width, height = one.boxes.T
        assert np.allclose(own[:, :4] * 48, np.stack([left, top, left + width, top + height], 1), atol=1e-4)
        assert own[:, CLASS].tolist() == one.labels.tolist()
        assert np.allclose(own[:, AREA], width * height)
    halved = ogive.data(f"coco:{folder}", size=24)
    assert halved.shape == (3, 24, 24)
    assert torch.equal(halved.train.labels, exact.train.labels)  # boxes are shares of the sides
    assert ogive.data(f"coco:{folder}", channels=1).shape == (1, 48, 48)


def test_pictures_that_differ_become_320_pixels(folder: Path) -> None:
    path = folder / "images" / "00003.png"
    Image.open(path).resize((96, 48)).save(path)

    def wider(told: Told) -> None:
        told["images"][3]["width"] = 96

    data = ogive.data(changed(folder, wider), limit=2)
    assert data.shape == (3, 320, 320)


def test_parts_are_those_of_the_annotation_files(tmp_path: Path) -> None:
    folder = tmp_path / "coco"
    for part, count in (("train2017", 6), ("val2017", 3)):
        made = write_coco(tmp_path / part, pictures(count, side=32, seed=count))
        (folder / "annotations").mkdir(parents=True, exist_ok=True)
        annotations(made).rename(folder / "annotations" / f"instances_{part}.json")
        (made / "images").rename(folder / part)
    (folder / "annotations" / "captions_train2017.json").write_text("{}")
    data = ogive.data(f"coco:{folder}")
    assert [len(one) for one in (data.train, data.val, data.test)] == [5, 3, 1]
    assert data.name == f"coco:{folder}"


def test_crowds_are_kept_and_boxes_without_area_are_counted(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    def add(told: Told) -> None:
        first = told["annotations"][0]
        boxes = [[3, 3, 0, 5], [3, 3, 5, -1], [60, 3, 5, 5], [3, 3, float("nan"), 5]]
        told["annotations"] += [{**first, "id": 1000 + place, "bbox": box} for place, box in enumerate(boxes)]
        told["annotations"].append({**first, "id": 2000, "bbox": [1, 1, 9, 9], "iscrowd": 1})
        told["annotations"].append({**first, "id": 2001, "bbox": [40, 40, 30, 30]})  # beyond the border

    name = changed(folder, add)
    with caplog.at_level(logging.WARNING):
        data = ogive.data(name)
    assert data.skipped == 4
    assert "4 of " in caplog.text
    assert "have no area in their image and are left out" in caplog.text
    assert "4 without area left out" in data.summary[0]
    labels = torch.cat([data.train.labels, data.val.labels, data.test.labels]).flatten(0, 1)
    assert (labels[:, KIND] == CROWD).sum() == 1
    assert labels[:, :4].max() == 1.0


def drop(key: str) -> Callable[[Told], object]:
    return lambda told: told.pop(key)


def put(key: str, value: object, place: str = "annotations") -> Callable[[Told], object]:
    return lambda told: told[place][0].__setitem__(key, value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (drop("categories"), "it needs lists of images, categories and annotations"),
        (put("category_id", 99), "has the category_id 99, which is not listed"),
        (put("image_id", 77), "has the image_id 77, which is not listed"),
        (put("image_id", [1]), r"image_id must be a whole number, but is \[1\]"),
        (put("bbox", [1, 2, 3]), r"a bbox is left, top, width and height in pixels, but one is \[1, 2, 3\]"),
        (put("bbox", "1,2,3,4"), "a bbox is left, top, width and height"),
        (put("file_name", 5, "images"), "file_name must be a text, but is 5"),
        (put("file_name", "../../secret.png", "images"), "leads out of it"),
        (put("file_name", "/etc/hosts", "images"), "leads out of it"),
        (put("id", 1, "images"), "has two images with the id 1"),
        (put("width", 50, "images"), "has 48 x 48 pixels, but its annotation is of 50 x 48"),
        (lambda told: told["annotations"].clear(), "12 images and no boxes"),
        (lambda told: [row.update(bbox=[1, 1, 0, 0]) for row in told["annotations"]], "no boxes in its"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(folder: Path, change: Callable[[Told], object], told: str) -> None:
    with pytest.raises(OgiveError, match=told) as raised:
        ogive.data(changed(folder, change))
    assert "\n" not in str(raised.value)
    assert isinstance(raised.value, SpecError)


def test_missing_and_broken_files_are_told_in_one_line(folder: Path, tmp_path: Path) -> None:
    path = annotations(folder)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SpecError, match=r"cannot be read as JSON .*it may have been cut off"):
        ogive.data(f"coco:{folder}")
    path.write_bytes(b"[" * 200_000)
    with pytest.raises(SpecError, match="cannot be read as JSON"):
        ogive.data(f"coco:{folder}")
    path.write_bytes(whole)
    (folder / "images" / "00004.png").write_bytes(b"none")
    with pytest.raises(SpecError, match=r"00004.png cannot be read as an image"):
        ogive.data(f"coco:{folder}")
    (folder / "images" / "00004.png").unlink()
    with pytest.raises(MissingData, match=r"1 of 12 images of coco:.* are missing, such as .*00004.png"):
        ogive.data(f"coco:{folder}")
    path.unlink()
    with pytest.raises(SpecError, match="there is no annotation file"):
        ogive.data(f"coco:{folder}")
    with pytest.raises(MissingData, match="there is no such folder"):
        ogive.data(f"coco:{tmp_path / 'absent'}")


def test_spaces_without_detectors_name_both(folder: Path) -> None:
    data = ogive.data(f"coco:{folder}")
    with pytest.raises(SpecError, match="is data for detection, and networks of darts are for classification"):
        ogive.search(space="darts", data=data, budget=1)


def test_an_image_whose_name_no_file_can_have_is_one_line(folder: Path) -> None:
    name = changed(folder, lambda told: told["images"][0].update(file_name="x" * 5000))
    with pytest.raises(SpecError, match="No file can be called as long as an image is here") as refused:
        ogive.data(name)
    assert len(str(refused.value)) < 400
