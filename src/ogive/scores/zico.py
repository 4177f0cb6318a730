"""ZiCo: how large the gradients of a network are, compared with how much they vary from batch to batch.

Li et al., "ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on Gradients", ICLR 2023; details as in SLDGroup/
ZiCo, compute_zico.py.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.scores.probe import (
    finite_or_last,
    gradients,
    logits_of,
    loss_of,
    probed,
    refuse_images,
    refuse_labels,
    says_nothing,
    weights_of,
)

__all__ = ["zico"]


def zico(network: nn.Module, images: Tensor, labels: Tensor, *, batches: int = 2) -> float:
    """The sum over layers of log(sum over weights of mean(abs(g)) / deviation(g)), over `batches` parts of the images.

    g is the gradient of the mean cross-entropy of one part, the deviation that of a population. Weights whose gradient
    is the same in all parts, and layers of nothing else, do not count. -inf for a network cut off from its input.
    """
    if batches < 2:
        raise SpecError(f"zico compares the gradients of at least 2 batches, but got batches={batches}.")
    refuse_images("zico", images, least=2 * batches)
    refuse_labels("zico", images, labels)
    weights = weights_of("zico", network)
    with probed(network):
        found: list[list[Tensor]] = []
        size = len(images) // batches
        for start in range(0, size * batches, size):
            part = slice(start, start + size)
            logits = logits_of(network, images[part])
            if says_nothing(logits, images[part]):
                return -math.inf
            found.append(gradients(loss_of("zico", logits, labels[part]), weights))
    layers = [_signal(torch.stack(layer)) for layer in zip(*found, strict=True)]
    heard = [signal for signal in layers if signal != 0]
    return finite_or_last(sum(math.log(signal) for signal in heard)) if heard else -math.inf


def _signal(parts: Tensor) -> float:
    """The sum of mean / deviation over the weights of a layer whose gradients vary."""
    deviation = parts.std(0, correction=0)
    varying = deviation > 0
    return float((parts.abs().mean(0)[varying] / deviation[varying]).sum())
