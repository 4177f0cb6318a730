"""SSDLite: a network of images as the trunk of a detector, and detections made of what it says, in batches.

Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016 (anchors, offsets, suppression class by class); Sandler et
al., "MobileNetV2", CVPR 2018, section 6.2 (SSDLite: separable convolutions in the heads). Other than there, a head
reads what a resolution ends with, and not the widened maps inside of a layer, so that any trunk will do.

Shapes: N images, C channels, H x W pixels, A anchors, K candidates. Boxes are corners (left, top, right and bottom), or
centres with a width and a height, as shares of the image's sides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch._higher_order_ops.while_loop import while_loop

__all__ = [
    "FIRST_LOGIT",
    "Detector",
    "SSDLite",
    "Trunk",
    "corners",
    "decoded",
    "encoded",
    "overlaps",
    "remaining",
]

FIRST_LOGIT = 8  # of an anchor's outputs the first four are itself, the next four its offsets
VARIANCES = (0.1, 0.2)  # offsets of centres and of sides are divided by these (SSD's public code)
LARGEST_GROWTH = math.log(1000 / 16)  # of a side: more is no box of any image
RATIOS = (1.0, 2.0, 0.5, 3.0, 1 / 3)  # of width to height (SSD, section 2.2)
ANCHORS = len(RATIOS) + 1  # and a larger square
EXTRAS = (0.4, 0.2, 0.2, 0.1)  # about 512, 256, 256 and 128 channels beside the 1280 of MobileNetV2
LEVELS = 6
PAIRS = 1 << 18  # of boxes that are compared at a time on a CPU: a megabyte


@runtime_checkable
class Trunk(Protocol):
    """A network of images that is a chain of modules before its pooling and its classifier."""

    @property
    def chain(self) -> Sequence[nn.Module]:
        """These modules, each of which reads what the one before it makes."""
        ...


class SSDLite(nn.Module):
    """The trunk of a network, smaller and smaller maps behind it, and at each a head for the classes and the boxes.

    `shape`: channels, height and width of an image. `finest`: maps whose pixels are so many of the image's a side, and
    coarser ones, have heads; of a trunk without such, its last. `scales`: sides of the square anchors of the first and
    of the last level as shares of the image; those between them in equal steps. The trunk's classifier is left behind.

    Of all pairs of an anchor and a class with a score of at least `least_score`, the `candidates` with the highest are
    compared: one goes where a better one of its class overlaps it by more than `overlap`. At most `detections` stay.
    """

    def __init__(
        self,
        trunk: Trunk,
        shape: Sequence[int],
        classes: int,
        finest: int = 16,
        scales: Sequence[float] = (0.2, 0.95),  # MobileNetV2's public code
        candidates: int = 400,  # SSD's public code keeps so many of each class; here they are of all together
        detections: int = 100,  # what COCO counts
        overlap: float = 0.45,  # SSD, section 3
        least_score: float = 0.01,  # the same
    ) -> None:
        super().__init__()
        self.recipe: dict[str, object] = {
            "trunk": trunk,
            "shape": tuple(shape),
            "classes": classes,
            "finest": finest,
            "scales": tuple(scales),
            "candidates": candidates,
            "detections": detections,
            "overlap": overlap,
            "least_score": least_score,
        }
        self.classes, self.finest, self.shape = classes, finest, tuple(shape)
        self.candidates, self.detections = candidates, detections
        self.overlap, self.least_score = overlap, least_score
        self.trunk = nn.ModuleList(trunk.chain)
        maps = self._looked(shape)
        sides, widths = [(one.shape[2], one.shape[3]) for one in maps], [one.shape[1] for one in maps]
        last = widths[-1]
        self.extras = nn.ModuleList()
        for share in EXTRAS:
            if len(sides) == LEVELS or max(sides[-1]) == 1:
                break
            self.extras.append(_halving(widths[-1], max(16, round(share * last / 8) * 8)))
            widths.append(max(16, round(share * last / 8) * 8))
            sides.append((-(-sides[-1][0] // 2), -(-sides[-1][1] // 2)))
        self.class_heads = nn.ModuleList(_head(width, ANCHORS * (classes + 1)) for width in widths)
        self.box_heads = nn.ModuleList(_head(width, ANCHORS * 4) for width in widths)
        # No weights: networks of one recipe have the same.
        self.register_buffer("anchors", _anchors(sides, scales), persistent=False)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Of every anchor (N, A, 8 + 1 + classes): itself, its offsets, and logits, the background's first."""
        maps = _maps(self.trunk, x_NCHW, self.finest)
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        offsets = [_spread(head(x), 4) for head, x in zip(self.box_heads, maps, strict=True)]
        logits = [_spread(head(x), self.classes + 1) for head, x in zip(self.class_heads, maps, strict=True)]
        anchors = self.get_buffer("anchors").expand(x_NCHW.shape[0], -1, -1)  # len() would fix the batch of a graph
        return torch.cat(
            [anchors, torch.cat(offsets, 1), torch.cat(logits, 1)], 2
        )  # float32, whatever heads compute in

    def detected(self, outputs_NAL: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of such outputs the boxes, scores and classes that a `Detector` tells."""
        shares = outputs_NAL[..., FIRST_LOGIT:].softmax(2)[..., 1:]
        scores_NK, places_NK = shares.flatten(1).topk(min(self.candidates, shares.shape[1] * self.classes), dim=1)
        labels_NK = places_NK % self.classes
        rows_NK4 = (places_NK // self.classes)[..., None].expand(-1, -1, 4)
        boxes_NK4 = decoded(outputs_NAL[..., :4].gather(1, rows_NK4), outputs_NAL[..., 4:8].gather(1, rows_NK4))
        boxes_NK4 = boxes_NK4.clamp(0.0, 1.0)
        stays_NK = remaining(boxes_NK4, labels_NK, self.overlap) & (scores_NK >= self.least_score)
        kept, best = scores_NK.where(stays_NK, 0.0).topk(min(self.detections, scores_NK.shape[1]), dim=1)
        found, (_, height, width) = kept > 0, self.shape
        sides = torch.tensor([width, height, width, height], dtype=boxes_NK4.dtype, device=boxes_NK4.device)
        boxes = boxes_NK4.gather(1, best[..., None].expand(-1, -1, 4)) * sides
        return boxes.where(found[..., None], 0.0), kept, labels_NK.gather(1, best).where(found, -1)

    def _looked(self, shape: Sequence[int]) -> list[Tensor]:
        """The trunk's maps, for their shapes: no statistics are changed."""
        like = next(self.trunk.parameters())
        self.trunk.eval()
        with torch.no_grad():
            maps = _maps(self.trunk, torch.zeros(1, *shape, dtype=like.dtype, device=like.device), self.finest)
        self.trunk.train()
        return maps


class Detector(nn.Module):
    """An `SSDLite` that tells boxes in the place of what it says of its anchors."""

    def __init__(self, network: SSDLite) -> None:
        super().__init__()
        self.recipe: dict[str, object] = {"network": network}
        self.network = network

    def forward(self, x_NCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes (N, detections, 4) in pixels, scores and numbers of classes (N, detections), the best first.

        Rows that are left over have the class -1, the score 0 and a box of zeros.
        """
        return self.network.detected(self.network(x_NCHW))


# -- boxes -----------------------------------------------------------------------------------------------------------


def corners(centres: Tensor) -> Tensor:
    """Boxes (..., 4) as left, top, right and bottom, of their centres, widths and heights."""
    centre, half = centres[..., :2], centres[..., 2:] / 2
    return torch.cat([centre - half, centre + half], -1)


def encoded(anchors: Tensor, boxes: Tensor) -> Tensor:
    """Offsets (..., 4) that lead from anchors, as centres, to boxes, as corners, of which no side is 0."""
    centre, side = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    moved = (centre - anchors[..., :2]) / anchors[..., 2:] / VARIANCES[0]
    return torch.cat([moved, (side / anchors[..., 2:]).log() / VARIANCES[1]], -1)


def decoded(anchors: Tensor, offsets: Tensor) -> Tensor:
    """Boxes (..., 4), as corners, to which offsets lead from anchors, as centres."""
    centre = anchors[..., :2] + offsets[..., :2] * VARIANCES[0] * anchors[..., 2:]
    growth = (offsets[..., 2:] * VARIANCES[1]).clamp(max=LARGEST_GROWTH)
    return corners(torch.cat([centre, growth.exp() * anchors[..., 2:]], -1))


def overlaps(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union (..., M, K) of each of M boxes with each of K others, (..., M, 4) and (..., K, 4)."""
    shared = _shared(boxes, others).clamp_min_(0)
    return shared / (_areas(boxes)[..., :, None] + _areas(others)[..., None, :] - shared).clamp_min_(1e-12)


def _areas(boxes: Tensor) -> Tensor:
    left, top, right, bottom = boxes.unbind(-1)
    return (right - left) * (bottom - top)


def _shared(boxes: Tensor, others: Tensor) -> Tensor:
    """The area that both boxes of each pair cover, (..., M, K); not above 0 where they share nothing."""
    # One side after the other, so that a processor takes several pairs at once.
    left, top, right, bottom = (one[..., :, None] for one in boxes.unbind(-1))
    other_left, other_top, other_right, other_bottom = (one[..., None, :].contiguous() for one in others.unbind(-1))
    wide = torch.minimum(right, other_right).sub_(torch.maximum(left, other_left))
    high = torch.minimum(bottom, other_bottom).sub_(torch.maximum(top, other_top)).clamp_min_(0)
    return wide.mul_(high)


def remaining(boxes_NK4: Tensor, labels_NK: Tensor, overlap: float) -> Tensor:
    """Which boxes (N, K), the best first, stay, where the best stays and takes those of its class that it overlaps.

    In rounds over all boxes at once: one stays if no better one that stays takes it. After k rounds the first k are as
    taking one after the other would have them, and mostly all are after three or four; they end when nothing changes.
    """
    if torch.compiler.is_exporting() or boxes_NK4.device.type != "cpu":
        return _remaining(boxes_NK4, labels_NK, overlap)
    # So many images at a time as a processor's cache holds.
    count = max(1, PAIRS // max(1, boxes_NK4.shape[1] ** 2))
    parts = zip(boxes_NK4.split(count), labels_NK.split(count), strict=True)
    return torch.cat([_remaining(boxes, labels, overlap) for boxes, labels in parts])


def _remaining(boxes_NK4: Tensor, labels_NK: Tensor, overlap: float) -> Tensor:
    # shared / (area + other - shared) > overlap, with what is of one box alone brought to one side
    own_NK, labels_NK = _areas(boxes_NK4) * (overlap / (1 + overlap)), labels_NK.to(boxes_NK4.dtype)
    takes_NKK = _shared(boxes_NK4, boxes_NK4) > own_NK[:, :, None] + own_NK[:, None, :]
    takes_NKK &= labels_NK[:, :, None] == labels_NK[:, None, :]
    weights_NKK = takes_NKK.triu(1).to(boxes_NK4.dtype)

    def again(stays_NK: Tensor, changed: Tensor) -> tuple[Tensor, Tensor]:
        after = ((stays_NK[:, None, :] @ weights_NKK)[:, 0] < 0.5).to(stays_NK.dtype)
        return after, (after != stays_NK).any()

    stays_NK, changed = again(torch.ones_like(boxes_NK4[..., 0]), torch.ones((), dtype=torch.bool))
    if torch.compiler.is_exporting():  # a graph has no loop of Python's
        found: tuple[Tensor, Tensor] = while_loop(lambda _, changed: changed.clone(), again, (stays_NK, changed))
        return found[0] > 0.5
    while changed:
        stays_NK, changed = again(stays_NK, changed)
    return stays_NK > 0.5


# -- the parts of the network ----------------------------------------------------------------------------------------


def _maps(trunk: Iterable[nn.Module], x_NCHW: Tensor, finest: int) -> list[Tensor]:
    """What a trunk makes last of each resolution that is to have a head, the finest first."""
    found, most = [], -(-x_NCHW.shape[2] // finest)
    x = x_NCHW
    for module in trunk:
        y = module(x)
        if y.shape[2:] != x.shape[2:] and x.shape[2] <= most:
            found.append(x)
        x = y
    return [*found, x]


def _halving(inputs: int, outputs: int) -> nn.Module:
    """A map of half the sides: narrowed, convolved by channels, and widened again."""
    middle = max(8, outputs // 2)
    return nn.Sequential(
        *(nn.Conv2d(inputs, middle, 1, bias=False), nn.BatchNorm2d(middle), nn.ReLU6()),
        nn.Conv2d(middle, middle, 3, stride=2, padding=1, groups=middle, bias=False),
        *(nn.BatchNorm2d(middle), nn.ReLU6()),
        *(nn.Conv2d(middle, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU6()),
    )


def _head(inputs: int, outputs: int) -> nn.Module:
    """A separable convolution, whose last layer begins with small weights."""
    last = nn.Conv2d(inputs, outputs, 1)
    nn.init.normal_(last.weight, std=0.03)  # MobileNetV2's public code
    if last.bias is not None:
        nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False), nn.BatchNorm2d(inputs), nn.ReLU6(), last
    )


def _spread(x_NCHW: Tensor, length: int) -> Tensor:
    """A head's map as `length` numbers of each anchor, (N, H·W·6, length)."""
    N = x_NCHW.shape[0]
    return x_NCHW.permute(0, 2, 3, 1).reshape(N, -1, length)


def _anchors(sides: Sequence[tuple[int, int]], scales: Sequence[float]) -> Tensor:
    """Anchors (A, 4), as centres, of levels with maps of these heights and widths."""
    first, last = scales
    steps = [first + (last - first) * place / max(1, len(sides) - 1) for place in range(len(sides))] + [1.0]
    found = []
    for (height, width), scale, following in zip(sides, steps, steps[1:], strict=False):
        shapes = [(scale * math.sqrt(ratio), scale / math.sqrt(ratio)) for ratio in RATIOS]
        shapes.append((math.sqrt(scale * following),) * 2)
        down, across = ((torch.arange(side, dtype=torch.float64) + 0.5) / side for side in (height, width))
        centres = torch.stack(torch.meshgrid(across, down, indexing="xy"), 2)[:, :, None].expand(-1, -1, ANCHORS, -1)
        wanted = torch.tensor(shapes, dtype=torch.float64).expand(height, width, -1, -1)
        found.append(torch.cat([centres, wanted], 3).flatten(0, 2))
    return torch.cat(found).float()
