"""How alike the input gradients of different images are: the first version of NASWOT, and EPE-NAS.

Row i of the Jacobian J is the derivative of the sum of all logits by image i, flattened. Shape letters: B images, P
pixels times channels, K classes.
"""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor, nn

from ogive.scores.passes import Matrix, Read, Seen
from ogive.scores.probe import finite_or_last, refuse_images, refuse_labels

__all__ = ["epe_nas", "jacob_cov"]

# Keeps the logarithm of a vanishing eigenvalue or correlation finite; both published codes have this one.
SMALL = 1e-5


def jacob_cov(network: nn.Module, images: Tensor, *, seen: Seen | Read = Read.JACOBIAN) -> float:
    """Minus the sum over the eigenvalues v of J's correlations of log(v + k) + 1 / (v + k), k = 1e-5.

    Mellor et al., arXiv 2006.04647v1 (tag v1.0 of the release, search.py), with a batch of 256; "jacov" elsewhere.
    -inf for a network cut off from its input, or with an image whose gradient is constant.
    """
    jacobian = _jacobian("jacob_cov", network, images, seen)
    if jacobian is None:
        return -math.inf
    eigenvalues = np.linalg.eigvalsh(np.corrcoef(jacobian))
    # Rounding may leave an eigenvalue of zero slightly below it.
    shifted = np.maximum(eigenvalues, 0.0) + SMALL
    return finite_or_last(float(-(np.log(shifted) + 1 / shifted).sum()))


def epe_nas(network: nn.Module, images: Tensor, labels: Tensor, *, seen: Seen | Read = Read.JACOBIAN) -> float:
    """The sum over classes of abs(the sum of log(abs(c) + k)) over the correlations c of J's rows in the class.

    Lopes et al., "EPE-NAS", 2021, in the form for at most 100 classes; k = 1e-5. Only classes with two images or more
    say something. -inf for a network cut off from its input.
    """
    refuse_labels("epe_nas", images, labels)
    jacobian = _jacobian("epe_nas", network, images, seen)
    if jacobian is None:
        return -math.inf
    classes = labels.numpy(force=True)
    total = 0.0
    for label in np.unique(classes):
        correlations = np.atleast_2d(np.corrcoef(jacobian[classes == label]))
        total += abs(float(np.log(np.abs(correlations) + SMALL).sum()))
    return finite_or_last(total)


def _jacobian(score: str, network: nn.Module, images: Tensor, seen: Seen | Read) -> Matrix | None:
    """J, shape (B, P); None if the network is cut off from its input, or a gradient is constant or no number."""
    refuse_images(score, images)
    if isinstance(seen, Read):
        seen = seen.look(score, network, images, None)
    jacobian_BP = seen.jacobian
    if jacobian_BP is None:
        return None
    constant = (jacobian_BP == jacobian_BP[:, :1]).all(axis=1)
    return None if constant.any() or not np.isfinite(jacobian_BP).all() else jacobian_BP
