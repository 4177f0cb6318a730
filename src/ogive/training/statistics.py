"""Estimate a network with weights of a supernet: statistics of its own first, then its accuracy on fixed images.

The statistics that a supernet has collected are those of a mixture of paths and fit none of them. What a network gets
instead is a function of the network and of fixed images, so that no estimate depends on the order of anything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ogive.training.batches import LAYOUT
from ogive.training.data import Data, Split

__all__ = ["drawn_images", "fixed_batches", "recalibrated", "right_share"]


def drawn_images(split: Split, rng: np.random.Generator, count: int) -> Split:
    """At most so many images of a split, drawn at random."""
    rows = torch.from_numpy(rng.permutation(len(split))[:count])
    return Split(split.images[rows], split.labels[rows])


def fixed_batches(data: Data, split: Split, device: torch.device, size: int = 250) -> list[tuple[Tensor, Tensor]]:
    """The images of a split, normalised and in their order, in equal batches of about `size`, with their labels."""
    batches = []
    for rows in torch.arange(len(split)).tensor_split(math.ceil(len(split) / size)):
        images = split.images[rows].to(device).contiguous(memory_format=LAYOUT)
        batches.append((data.normalised(images), split.labels[rows].to(device)))
    return batches


def recalibrated(network: nn.Module, batches: Sequence[Tensor]) -> nn.Module:
    """Give all batch normalisations the mean statistics of the batches, and put the network in evaluation mode.

    It is changed in place and returned. Normalisations that kept no statistics, as in the cells of the NAS-Bench-201
    supernet, keep them from now on. Weights stay as they are.
    """
    norms = [norm for norm in network.modules() if isinstance(norm, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        _reset(norm, batches[0])
    network.train()
    with torch.no_grad():
        for number, x_NCHW in enumerate(batches, start=1):
            for norm in norms:
                norm.momentum = 1.0 / number  # the mean of all batches so far
            network(x_NCHW)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return network.eval()


def right_share(network: nn.Module, batches: Sequence[tuple[Tensor, Tensor]]) -> float:
    """The share of images, in per cent, whose largest logit is that of their label; the network as it is.

    NaN if a logit is no finite number.
    """
    right, finite = [], []
    with torch.no_grad():
        for x_NCHW, y_N in batches:
            logits = network(x_NCHW)
            right.append((logits.argmax(1) == y_N).sum())
            finite.append(logits.isfinite().all())
    if not torch.stack(finite).all():
        return math.nan
    return 100.0 * float(torch.stack(right).sum()) / sum(len(y_N) for _, y_N in batches)


def _reset(norm: nn.BatchNorm2d, like: Tensor) -> None:
    norm.track_running_stats = True
    norm.running_mean = torch.zeros(norm.num_features, device=like.device, dtype=like.dtype)
    norm.running_var = torch.ones(norm.num_features, device=like.device, dtype=like.dtype)
    norm.num_batches_tracked = torch.zeros((), dtype=torch.long, device=like.device)
