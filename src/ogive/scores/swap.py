"""SWAP-Score: how many different patterns over the images the units of an untrained ReLU network show.

Peng et al., "SWAP-NAS: Sample-Wise Activation Patterns for Ultra-fast NAS", ICLR 2024. Provenance: the definition was
taken from the abstract and from third-party descriptions; the authors' code was not read, so that its choice of layers
and of initial weights may differ.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.scores.passes import Read, Seen
from ogive.scores.probe import refuse_images

__all__ = ["swap"]


def swap(network: nn.Module, images: Tensor, *, seen: Seen | Read = Read.PATTERNS) -> float:
    """The number of different columns of the matrix (images × ReLU units) of on and off; -inf for a network cut off.

    Linear regions count its different rows. Raises SpecError for a network without ReLU.
    """
    refuse_images("swap", images)
    if isinstance(seen, Read):
        seen = seen.look("swap", network, images, None)
    count = seen.patterns.count()
    if not count:
        raise SpecError(f"swap looks at the ReLU units of a network, but {type(network).__name__} ran no ReLU.")
    return -math.inf if seen.silent else float(count)
