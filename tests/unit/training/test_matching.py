from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ogive.networks.detection import corners, encoded
from ogive.training.boxes import CLASS, COUNTS, CROWD, KIND
from ogive.training.matching import BACKGROUND, NEITHER, detection_loss, matched, recall


def drawn(seed: int, images: int = 3, most: int = 5, anchors: int = 80) -> tuple[Tensor, Tensor]:
    """Anchors (A, 4) and objects (N, M, 7), some of them crowds, some rows empty."""
    generator = torch.Generator().manual_seed(seed)

    def centres(*shape: int) -> Tensor:
        middle = torch.rand(*shape, 2, generator=generator)
        return torch.cat([middle, 0.1 + 0.5 * torch.rand(*shape, 2, generator=generator)], -1)

    targets = torch.zeros(images, most, 7)
    targets[..., :4] = corners(centres(images, most))
    targets[..., CLASS] = torch.randint(-1, 3, (images, most), generator=generator)
    targets[..., KIND] = (torch.rand(images, most, generator=generator) < 0.2).float() * CROWD
    return centres(anchors), targets


def overlap(one: list[float], other: list[float]) -> float:
    wide = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    high = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return wide * high / (sum(areas) - wide * high)


def one_by_one(anchors: Tensor, objects: Tensor) -> list[int]:
    """The same matching of one image, anchor after anchor and object after object."""
    places = corners(anchors).tolist()
    rows = [(m, row) for m, row in enumerate(objects.tolist()) if row[CLASS] >= 0]
    found = []
    for anchor in places:
        counted = [(overlap(anchor, row[:4]), -m) for m, row in rows if row[KIND] == COUNTS]
        aside = [overlap(anchor, row[:4]) for _, row in rows if row[KIND] != COUNTS]
        best = max(counted, default=(0.0, 0))
        found.append(-best[1] if best[0] >= 0.5 else NEITHER if max(aside, default=0.0) >= 0.5 else BACKGROUND)
    for m, row in rows:
        if row[KIND] == COUNTS:
            shared = [overlap(anchor, row[:4]) for anchor in places]
            found[shared.index(max(shared))] = m
    return found


@pytest.mark.parametrize("seed", range(6))
def test_anchors_are_matched_as_one_after_the_other(seed: int) -> None:
    anchors, targets = drawn(seed)
    told = matched(anchors, targets)
    assert told.tolist() == [one_by_one(anchors, objects) for objects in targets]
    assert (told >= 0).any()


def test_every_object_that_counts_has_an_anchor() -> None:
    anchors = torch.tensor([[0.5, 0.5, 1.0, 1.0], [0.1, 0.1, 0.1, 0.1]])
    targets = torch.zeros(1, 2, 7)
    targets[0, :, :4] = torch.tensor([[0.7, 0.7, 0.75, 0.75], [0.0, 0, 0, 0]])
    targets[0, 1, CLASS] = -1
    assert matched(anchors, targets).tolist() == [[0, BACKGROUND]]  # it overlaps none by half


def outputs_of(anchors: Tensor, offsets: Tensor, logits: Tensor) -> Tensor:
    return torch.cat([anchors.expand(len(logits), -1, -1), offsets, logits], 2)


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_is_of_matched_anchors_and_three_of_the_hardest_for_each(seed: int) -> None:
    anchors, targets = drawn(seed)
    generator = torch.Generator().manual_seed(seed + 100)
    offsets, logits = (torch.randn(3, 80, count, generator=generator) for count in (4, 4))
    total, positives = 0.0, 0
    for n, objects in enumerate(targets):
        found = one_by_one(anchors, objects)
        background = []
        for a, m in enumerate(found):
            wanted = 0 if m < 0 else int(objects[m, CLASS]) + 1
            entropy = float(F.cross_entropy(logits[n, a], torch.tensor(wanted)))
            if m >= 0:
                exact = encoded(anchors[a], objects[m, :4])
                total += entropy + float(F.smooth_l1_loss(offsets[n, a], exact, reduction="sum"))
                positives += 1
            elif m == BACKGROUND:
                background.append(entropy)
        count = sum(m >= 0 for m in found)
        total += sum(sorted(background, reverse=True)[: 3 * max(1, count)])
    lost = detection_loss(outputs_of(anchors, offsets, logits), targets)
    assert float(lost) == pytest.approx(total / positives, rel=1e-5)


def test_an_image_without_objects_has_a_finite_loss_and_gradient() -> None:
    anchors, targets = drawn(0)
    targets[..., CLASS] = -1
    offsets, logits = torch.zeros(3, 80, 4, requires_grad=True), torch.zeros(3, 80, 4, requires_grad=True)
    lost = detection_loss(outputs_of(anchors, offsets, logits), targets)
    lost.backward()
    assert lost.item() == pytest.approx(9 * math.log(4), rel=1e-6)  # three of the background of each
    assert offsets.grad is not None
    assert logits.grad is not None
    assert not offsets.grad.any()
    assert logits.grad.isfinite().all()


def test_recall_counts_objects_with_a_box_of_their_class() -> None:
    anchors = torch.tensor([[0.25, 0.25, 0.5, 0.5], [0.75, 0.75, 0.5, 0.5]])
    targets = torch.zeros(3, 2, 7)
    targets[..., :4] = torch.tensor([[0.0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]])
    targets[1, 1, KIND] = CROWD
    targets[2, :, CLASS] = -1
    logits = torch.tensor([[0.0, 9, 0], [0, 0, 9]]).expand(3, -1, -1)  # classes 0 and 1 where both objects are of 0
    told = recall(outputs_of(anchors, torch.zeros(3, 2, 4), logits), targets)
    assert told.tolist() == [0.5, 1.0, 1.0]
