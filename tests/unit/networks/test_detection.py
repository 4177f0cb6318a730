from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ogive.networks.build import build, build_mobile, default_skeleton, drawing_from
from ogive.networks.detection import Detector, SSDLite, Trunk, corners, decoded, encoded, overlaps, remaining
from ogive.networks.export import export, imported
from ogive.networks.plain_boxes import apart, of_boxes
from ogive.spaces.mnasnet import mnasnet
from ogive.spaces.nasbench101 import nasbench101
from ogive.spaces.nasbench201 import nasbench201
from ogive.spaces.natssize import natssize
from ogive.spaces.nds_residual import nds_resnet
from ogive.spaces.ofa_mobilenetv3 import ofa_mobilenetv3

SHAPE = (3, 32, 32)


def boxes(count: int, seed: int, classes: int = 3) -> tuple[Tensor, Tensor]:
    """Boxes (1, count, 4) that overlap a lot, the best first, and their classes."""
    drawn = torch.Generator().manual_seed(seed)
    centre = torch.rand(count, 2, generator=drawn)
    side = 0.1 + 0.4 * torch.rand(count, 2, generator=drawn)
    labels = torch.randint(classes, (1, count), generator=drawn)
    return corners(torch.cat([centre, side], 1))[None], labels


def one_by_one(boxes_K4: Tensor, labels_K: Tensor, overlap: float) -> list[bool]:
    """Suppression as it is told: the best stays and takes those of its class, then the best of the rest."""
    stays: list[bool] = []
    for place, box in enumerate(boxes_K4.tolist()):
        taken = False
        for earlier in range(place):
            if stays[earlier] and labels_K[earlier] == labels_K[place]:
                other = boxes_K4[earlier].tolist()
                wide = max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
                high = max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
                areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, other)]
                taken |= wide * high / (sum(areas) - wide * high) > overlap
        stays.append(not taken)
    return stays


@pytest.mark.parametrize("seed", range(5))
def test_boxes_that_stay_are_those_of_one_after_the_other(seed: int) -> None:
    found, labels = boxes(60, seed)
    told = remaining(found, labels, 0.3)[0].tolist()
    assert told == one_by_one(found[0], labels[0], 0.3)
    assert 5 < sum(told) < 55


def test_a_box_that_went_takes_no_other() -> None:
    # Each overlaps the next only, so that every second one stays: as many rounds as boxes.
    left = torch.arange(9.0) * 0.5
    row = torch.stack([left, torch.zeros(9), left + 1, torch.ones(9)], 1)[None]
    assert remaining(row, torch.zeros(1, 9), 0.2)[0].tolist() == [place % 2 == 0 for place in range(9)]
    assert remaining(row, torch.arange(9)[None], 0.2).all()


def test_offsets_lead_from_anchors_to_boxes() -> None:
    anchors = torch.tensor([[0.5, 0.5, 0.2, 0.4], [0.1, 0.9, 0.3, 0.1]])
    wanted = torch.tensor([[0.3, 0.2, 0.9, 0.7], [0.0, 0.85, 0.2, 0.99]])
    assert torch.allclose(decoded(anchors, encoded(anchors, wanted)), wanted, atol=1e-6)
    assert torch.allclose(decoded(anchors, torch.zeros(2, 4)), corners(anchors))
    # Liu et al.: (0.6 - 0.5) / 0.2 / 0.1, and ln(0.6 / 0.2) / 0.2
    assert torch.allclose(encoded(anchors, wanted)[0, [0, 2]], torch.tensor([5.0, math.log(3) / 0.2]))


def test_overlaps_are_intersection_over_union() -> None:
    one, others = (
        torch.tensor([[0.0, 0, 2, 2]]),
        torch.tensor([[1.0, 0, 3, 2], [0, 0, 1, 1], [3, 3, 4, 4], [0, 0, 2, 2]]),
    )
    assert torch.allclose(overlaps(one, others), torch.tensor([[1 / 3, 1 / 4, 0, 1]]))


def test_anchors_at_320_pixels_are_those_of_ssdlite() -> None:
    # 20, 10, 5, 3, 2 and 1 cells a side with 6 anchors each: 3,234, as in torchvision's ssdlite320_mobilenet_v3_large.
    with torch.device("meta"):
        network = SSDLite(build_mobile("mnasnet_a1"), (3, 320, 320), 90)
    assert network.anchors.shape == (6 * (400 + 100 + 25 + 9 + 4 + 1), 4)
    assert [head[0].in_channels for head in network.box_heads] == [112, 1280, 512, 256, 256, 128]


def test_anchors_are_in_the_order_of_the_maps() -> None:
    anchors = tiny().anchors
    assert torch.allclose(anchors[:6, :2], torch.tensor([1 / 16, 1 / 16]))
    assert torch.allclose(anchors[6:12, :2], torch.tensor([3 / 16, 1 / 16]))  # along the row first
    assert torch.allclose(anchors[0, 2:], torch.tensor([0.2, 0.2]))
    assert torch.allclose(anchors[1, 2:], torch.tensor([0.2 * math.sqrt(2), 0.2 / math.sqrt(2)]))


@pytest.mark.parametrize(
    ("space", "channels", "cells"),
    [
        (mnasnet(), 8, 0),
        (ofa_mobilenetv3(), 8, 0),
        (nasbench201(), 4, 1),
        (nasbench101(), 8, 1),
        (natssize(), 0, 1),
        (nds_resnet(), 0, 0),
    ],
)
def test_networks_of_spaces_for_detection_are_trunks(space, channels: int, cells: int) -> None:
    import numpy as np

    assert "detection" in space.tasks
    skeleton = default_skeleton(space.name, channels=channels, cells=cells)
    with torch.device("meta"):
        trunk = build(space.sample(np.random.default_rng(0)), skeleton)
        assert isinstance(trunk, Trunk)
        outputs = SSDLite(trunk, SHAPE, 2, finest=8)(torch.zeros(2, *SHAPE))
    assert outputs.shape[0] == 2
    assert outputs.shape[2] == 8 + 3


def tiny(seed: int = 0) -> SSDLite:
    """A detector of three classes at 8 by 8 cells and coarser ones, that tells something of every image."""
    arch = nasbench201().parse("nasbench201:3,1,3,3,0,3")
    trunk = build(arch, default_skeleton("nasbench201", channels=4, cells=1), seed=seed)
    with drawing_from(seed):
        network = SSDLite(trunk, SHAPE, 3, finest=4, candidates=50, detections=20)
        for head in network.class_heads:
            nn.init.normal_(head[-1].weight, std=0.3)
    return network.eval()


def test_what_is_told_is_the_best_of_what_the_network_says() -> None:
    network = tiny()
    images = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        outputs = network(images)
        found, scores, labels = Detector(network)(images)
    assert found.shape == (3, 20, 4)
    assert (scores[:, :-1] >= scores[:, 1:]).all()
    assert ((labels == -1) == (scores == 0)).all()
    assert found.min() >= 0
    assert found.max() <= 32
    best = outputs[..., 8:].softmax(2)[..., 1:].flatten(1).max(1)
    assert torch.equal(best.values, scores[:, 0])
    assert torch.equal(best.indices % 3, labels[:, 0])
    own = outputs[0, best.indices[0] // 3]
    assert torch.allclose(decoded(own[:4], own[4:8]).clamp(0, 1) * 32, found[0, 0])


def test_no_detections_are_rows_of_nothing() -> None:
    network = tiny()
    outputs = network(torch.zeros(1, *SHAPE))
    outputs[..., 8] = 50.0  # all of it background
    found, scores, labels = network.detected(outputs)
    assert not found.any()
    assert not scores.any()
    assert (labels == -1).all()


def test_exported_detectors_tell_the_same_boxes(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    import onnxruntime

    network, images = tiny(), torch.randn(5, *SHAPE, generator=torch.Generator().manual_seed(2))
    plain = of_boxes(SHAPE, classes="abc", normalise=((0.0,) * 3, (1.0,) * 3), images=images, detections=20)
    written = export(network, tmp_path, plain, name="found", formats=("torch", "onnx"))
    assert all(one.largest_difference < 1e-3 for one in written)
    with torch.no_grad():
        expected = Detector(network)(images)
    session = onnxruntime.InferenceSession(tmp_path / "found.onnx", providers=["CPUExecutionProvider"])
    told = tuple(map(torch.from_numpy, session.run(["boxes", "scores", "labels"], {"images": images.numpy()})))
    assert apart(told, expected) < 1e-3
    assert (expected[2] >= 0).sum() > 20
    again = imported(tmp_path / "found.py").load()(images)
    assert all(torch.equal(one, other) for one, other in zip(again, expected, strict=True))


def test_detections_in_another_order_are_the_same_and_others_are_not() -> None:
    told = (
        torch.tensor([[[0.0, 0, 4, 4], [5, 5, 9, 9], [0, 0, 1, 1]]]),
        torch.tensor([[0.8, 0.5, 0.2]]),
        torch.tensor([[0, 1, 0]]),
    )
    turned = tuple(one[:, [1, 0, 2]] for one in told)
    assert apart(told, turned) == 0
    assert apart(told, (told[0] + 0.25, *told[1:])) == pytest.approx(0.25)
    assert apart(told, (told[0], told[1], torch.tensor([[1, 1, 0]]))) > 1
    fewer = (told[0], told[1], torch.tensor([[0, -1, -1]]))
    assert apart(told, fewer) == math.inf
    assert apart(fewer, told) == math.inf
    last = (told[0], told[1] * torch.tensor([1, 1, 0]), torch.tensor([[0, 1, -1]]))
    assert apart(told, last) == 0  # next to the least that is told
