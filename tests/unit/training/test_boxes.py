from __future__ import annotations

import numpy as np
import pytest
import torch
from shapes import pictures

from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.training.augment import Augmentation
from ogive.training.boxes import CLASS, IGNORED, BoxBatches, Boxed, Part, boxed
from ogive.training.distributed import current
from ogive.training.tasks.detection import DetectionRecipe

SIDE = 40


def squares(count: int = 20, *, kind: float = 0) -> Part:
    """Black images with one white square each."""
    rng = np.random.default_rng(0)
    images, objects = np.zeros((count, 1, SIDE, SIDE), np.uint8), []
    for image in images:
        left, top = rng.integers(0, 25, 2)
        image[0, top : top + 12, left : left + 12] = 255
        box = np.array([left, top, left + 12, top + 12]) / SIDE
        objects.append(np.array([[*box, 0, kind, 144]], np.float32))
    return Part(images, objects)


def test_boxes_go_where_their_objects_are_moved_and_mirrored() -> None:
    data = boxed("made", {"train": squares()}, ["square"], augmentation=Augmentation(padding=8, flip=True))
    batches = BoxBatches(data, DetectionRecipe(epochs=1, batch_size=5), torch.device("cpu"), torch.float32, current())
    seen = 0
    for batch in (one for epoch in range(6) for one in batches.epoch(Seed(epoch))):
        for image, objects in zip(batch.images, batch.labels, strict=True):
            rows, columns = torch.nonzero(image[0] > image[0].mean(), as_tuple=True)
            if objects[0, CLASS] < 0:  # its middle left the image: at most half of it is there
                assert len(rows) <= 72
                continue
            left, top, right, bottom = (objects[0, :4] * SIDE).round().int().tolist()
            assert [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] == [left, top, right, bottom]
            seen += 1
    assert seen > 60


def test_parts_are_divided_always_alike() -> None:
    data = boxed("made", {"train": squares(50)}, ["square"])
    assert [len(one) for one in (data.train, data.val, data.test)] == [32, 8, 10]
    assert data.digest == boxed("made", {"train": squares(50)}, ["square"]).digest
    assert data.digest != boxed("made", {"train": squares(50)}, ["circle"]).digest
    assert data.tasks == ("detection",)
    assert data.summary[0] == "50 grey images of 40 x 40 pixels with 50 boxes, classes square 50"
    assert len(data.joined().train) == 40
    assert isinstance(data.joined(), Boxed)


def test_a_part_in_which_nothing_counts_is_refused() -> None:
    parts = {"train": squares(), "val": squares(3, kind=IGNORED)}
    with pytest.raises(SpecError, match=r"made has no boxes in its val part of 3 images: give more images of it"):
        boxed("made", parts, ["square"])


@pytest.mark.parametrize("options", [{"validation": 0.0}, {"validation": 1.5}, {"limit": 0}])
def test_shares_and_limits_are_checked(options: dict[str, float]) -> None:
    with pytest.raises(SpecError, match=r"validation is a share|limit must be"):
        boxed("made", {"train": squares()}, ["square"], **options)  # type: ignore[arg-type]


def test_made_pictures_are_the_same_every_time() -> None:
    one, other = pictures(3, seed=4), pictures(3, seed=4)
    assert all((a.pixels == b.pixels).all() and (a.boxes == b.boxes).all() for a, b in zip(one, other, strict=True))
