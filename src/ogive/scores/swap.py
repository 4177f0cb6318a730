"""SWAP-Score: how many different patterns over the images the units of an untrained ReLU network show.

Peng et al., "SWAP-NAS: Sample-Wise Activation Patterns for Ultra-fast NAS", ICLR 2024. Provenance: the definition was
taken from the abstract and from third-party descriptions; the authors' code was not read, so that its choice of layers
and of initial weights may differ. Shape letters: B images, U units, Y bytes.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.scores.naswot import Rectifications
from ogive.scores.probe import logits_of, probed, refuse_images, says_nothing

__all__ = ["swap"]


def swap(network: nn.Module, images: Tensor) -> float:
    """The number of different columns of the matrix (images × ReLU units) of on and off; -inf for a network cut off.

    Linear regions count its different rows. Raises SpecError for a network without ReLU.
    """
    refuse_images("swap", images)
    patterns: list[npt.NDArray[np.uint8]] = []

    def note(inputs: Tensor) -> None:
        on_UB = (inputs.detach() > 0).flatten(1).T.numpy(force=True)
        # Eight images a byte, and each pattern once already here: the whole matrix is large.
        patterns.append(np.unique(_rows(np.packbits(on_UB, axis=1))))

    with probed(network), torch.no_grad(), Rectifications(note):
        logits = logits_of(network, images)
    if not patterns:
        raise SpecError(f"swap looks at the ReLU units of a network, but {type(network).__name__} ran no ReLU.")
    if says_nothing(logits):
        return -math.inf
    return float(len(np.unique(np.concatenate(patterns))))


def _rows(bytes_UY: npt.NDArray[np.uint8]) -> npt.NDArray[np.void]:
    """Each row as one opaque value, which numpy sorts as a whole."""
    packed = np.ascontiguousarray(bytes_UY)
    return packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
