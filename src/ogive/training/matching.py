"""What a detector learns: which anchor stands for which object, and the loss of boxes and of the hardest background.

Liu et al., "SSD", ECCV 2016, section 2.2: each object is matched with its best anchor and with all that overlap it by
half, and of the others those with the highest loss are background, three for each that is matched. All in batches.

Shapes: N images, M objects of `ogive.training.boxes`, A anchors; outputs are those of `networks.detection.SSDLite`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ogive.networks.detection import FIRST_LOGIT, corners, decoded, encoded, overlaps
from ogive.training.boxes import CLASS, COUNTS, KIND

__all__ = ["BACKGROUND", "NEITHER", "detection_loss", "matched", "recall"]

BACKGROUND, NEITHER = -1, -2
FOUND = 0.5  # overlap at which an object is


def matched(anchors_A4: Tensor, targets_NMF: Tensor, least: float = 0.5) -> Tensor:
    """The object of each anchor (N, A): its place among the image's, `BACKGROUND`, or `NEITHER` where that is open.

    Where two objects have one best anchor, the later one gets it. An anchor that overlaps an object which counts
    neither way by `least`, and none that counts, is `NEITHER`.
    """
    counts_NM = (targets_NMF[..., CLASS] >= 0) & (targets_NMF[..., KIND] == COUNTS)
    aside_NM = (targets_NMF[..., CLASS] >= 0) & ~counts_NM
    shared_NMA = overlaps(targets_NMF[..., :4], corners(anchors_A4))
    among = shared_NMA.masked_fill(~counts_NM[..., None], -1.0)
    most_NA, place_NA = among.max(1)
    found = torch.where(most_NA >= least, place_NA, BACKGROUND)
    covered = (shared_NMA.masked_fill(~aside_NM[..., None], -1.0) >= least).any(1)
    found = torch.where((found == BACKGROUND) & covered, NEITHER, found)
    places_NM = torch.arange(targets_NMF.shape[1], device=found.device).expand(counts_NM.shape)
    own = torch.full_like(found, BACKGROUND)
    own = own.scatter_reduce(1, among.argmax(2), torch.where(counts_NM, places_NM, BACKGROUND), "amax")
    return torch.where(own >= 0, own, found)


def detection_loss(
    outputs_NAL: Tensor, targets_NMF: Tensor, *, negatives: float = 3.0, least: float = 0.5, smoothing: float = 0.0
) -> Tensor:
    """Smooth L1 of the offsets and cross-entropy of the classes, their sum over a batch for each matched anchor.

    Of an image without objects as many anchors are background as of one with a single matched anchor.
    """
    anchors_A4, offsets, logits = outputs_NAL[0, :, :4], outputs_NAL[..., 4:FIRST_LOGIT], outputs_NAL[..., FIRST_LOGIT:]
    found_NA = matched(anchors_A4, targets_NMF.to(outputs_NAL.dtype), least)
    positive_NA = found_NA >= 0
    own = targets_NMF.gather(1, found_NA.clamp_min(0)[..., None].expand(-1, -1, targets_NMF.shape[2]))
    wanted = encoded(anchors_A4, torch.where(positive_NA[..., None], own[..., :4], corners(anchors_A4)))
    moved = F.smooth_l1_loss(offsets, wanted.to(offsets.dtype), reduction="none").sum(2) * positive_NA
    classes_NA = torch.where(positive_NA, own[..., CLASS].long() + 1, 0)
    entropy = F.cross_entropy(
        logits.flatten(0, 1), classes_NA.flatten(), reduction="none", label_smoothing=smoothing
    ).view_as(moved)
    background = found_NA == BACKGROUND
    hardness = entropy.detach().masked_fill(~background, -torch.inf)
    rank = hardness.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    count_N = negatives * positive_NA.sum(1).clamp_min(1)
    counted = positive_NA | (background & (rank < count_N[:, None]))
    return (moved + entropy * counted).sum() / positive_NA.sum().clamp_min(1)


def recall(outputs_NAL: Tensor, targets_NMF: Tensor) -> Tensor:
    """The share of each image's objects that an anchor of their class, its likeliest, overlaps by half, (N,) float64.

    Boxes are taken before any goes for another; of an image without objects all are found.
    """
    boxes = decoded(outputs_NAL[..., :4], outputs_NAL[..., 4:FIRST_LOGIT])
    likeliest_NA = outputs_NAL[..., FIRST_LOGIT:].argmax(2) - 1
    counts_NM = (targets_NMF[..., CLASS] >= 0) & (targets_NMF[..., KIND] == COUNTS)
    alike = likeliest_NA[:, None, :] == targets_NMF[..., CLASS, None]
    found_NM = (alike & (overlaps(targets_NMF[..., :4].to(boxes.dtype), boxes) >= FOUND)).any(2) & counts_NM
    total_N = counts_NM.sum(1).double()
    return torch.where(total_N > 0, found_NM.sum(1) / total_N.clamp_min(1), 1.0)
