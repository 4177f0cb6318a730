"""TE-NAS: how well a network could be trained (neural tangent kernel), and how finely it cuts up its input (regions).

Chen et al., "Neural Architecture Search on ImageNet in Four GPU Hours: A Theoretically Inspired Perspective", ICLR 2021
(VITA-Group/TENAS). The paper draws Kaiming weights first; here both scores take the weights as they are. Shape letters:
B images, W weights.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.scores.naswot import agreement_of
from ogive.scores.passes import Read, Seen
from ogive.scores.probe import gradients, logits_of, probed, refuse_images, says_nothing

__all__ = ["linear_regions", "ntk"]


def ntk(
    network: nn.Module,
    images: Tensor,
    *,
    samples: int = 16,  # the paper takes 72 on NAS-Bench-201; the seconds grow with the square
) -> float:
    """Minus the condition number of the neural tangent kernel of the first `samples` images: larger is better.

    The kernel holds the inner products of the gradients of each image's summed logits, by all parameters named
    "weight", from one pass in training mode. -inf for a network cut off from its input and for a singular kernel.
    Costs one backward pass for each image.
    """
    refuse_images("ntk", images)
    batch = images[: max(2, samples)]
    weights = [p for name, p in network.named_parameters() if name.rpartition(".")[2] == "weight"]
    if not weights:
        raise SpecError(f"ntk takes gradients by parameters named weight, but {type(network).__name__} has none.")
    with probed(network):
        logits = logits_of(network, batch)
        if says_nothing(logits, batch):
            return -math.inf
        rows = [_flat(gradients(answer.sum(), weights, again=True)) for answer in logits]
    rows_BW = torch.stack(rows)
    if not bool(rows_BW.isfinite().all()):
        return -math.inf
    kernel = (rows_BW @ rows_BW.T).double().numpy(force=True)
    eigenvalues = np.linalg.eigvalsh(kernel)
    # What lies below the rounding of the products is zero.
    if eigenvalues[0] <= eigenvalues[-1] * len(batch) * np.finfo(np.float32).eps:
        return -math.inf
    return -float(eigenvalues[-1] / eigenvalues[0])


def linear_regions(network: nn.Module, images: Tensor, *, seen: Seen | Read = Read.AGREEMENT) -> float:
    """The number of different codes of ReLUs, on or off, that the images have; -inf for a network cut off.

    A whole network gives each of a hundred photographs a code of its own; the paper counts regions of thin networks and
    tiny images. Raises SpecError for a network without ReLU.
    """
    total, silent = agreement_of("linear_regions", network, images, seen)
    if silent:
        return -math.inf
    # An image counts if none before it has the same code.
    return float((np.tril(total.kernel() == total.units, -1).sum(axis=1) == 0).sum())


def _flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])
