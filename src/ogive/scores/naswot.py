"""NASWOT: how differently an untrained ReLU network reacts to the images of a batch.

Mellor, Turner, Storkey, Crowley, "Neural Architecture Search without Training", ICML 2021. Shape letters: B images,
U units (one ReLU output at one place).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.scores.passes import Read, Seen
from ogive.scores.probe import logits_of, probed, refuse_images, says_nothing
from ogive.scores.units import Agreement, Kernel, Rectifications

__all__ = ["activation_kernel", "agreement_of", "naswot", "naswot_reference", "naswot_smooth"]


def naswot(
    network: nn.Module,
    images: Tensor,
    *,
    reference_compat: bool = False,
    smooth: bool = False,
    seen: Seen | Read = Read.AGREEMENT,
) -> float:
    """The log-determinant of the kernel of activation codes; -inf if two images have the same code.

    `images` are real ones, normalised and not augmented, shape (B, C, H, W); the paper takes 128. One forward pass in
    training mode, so that batch normalisation uses the batch; no labels, no gradients. The network is left as it was.
    A network that answers the same for all images, as one cut off from its input does, is -inf too, whatever its dead
    branches do.

    With `reference_compat`, units are collected as the authors' release does: from the input of every *module* whose
    class name contains "ReLU". That counts the first ReLU of a container such as ReLUConvBN twice, which shifts the
    score and hardly changes the ranking, and it misses ReLUs that are called as functions.

    With `smooth`, units of GELU, SiLU, ELU, Mish, Hardswish and their like count as well, by the sign of what goes in.
    That is an extension of ours: the paper defines the score for ReLU only. With either, `seen` is not read.

    Raises SpecError for a network without such units, for fewer than two images, and for images that are no floating
    numbers.
    """
    if reference_compat or smooth:
        total, silent = _collected(network, images, reference_compat=reference_compat, smooth=smooth)
    else:
        total, silent = agreement_of("NASWOT", network, images, seen)
    return -math.inf if silent else _log_determinant(total.kernel())


def naswot_reference(network: nn.Module, images: Tensor) -> float:
    """NASWOT with the units that the authors' release counts: ``naswot(..., reference_compat=True)``."""
    return naswot(network, images, reference_compat=True)


def naswot_smooth(network: nn.Module, images: Tensor) -> float:
    """NASWOT with GELU, SiLU and their like, an extension of ours: ``naswot(..., smooth=True)``."""
    return naswot(network, images, smooth=True)


def activation_kernel(
    network: nn.Module, images: Tensor, *, reference_compat: bool = False, smooth: bool = False
) -> tuple[Kernel, int]:
    """The kernel of the paper's equation 1, shape (B, B), and the number U of units; options as in `naswot`.

    Entry (i, j) counts the units that are on for both images or off for both, so the diagonal is U.
    """
    if reference_compat or smooth:
        total, _ = _collected(network, images, reference_compat=reference_compat, smooth=smooth)
    else:
        total, _ = agreement_of("NASWOT", network, images)
    return total.kernel(), total.units


def agreement_of(
    score: str, network: nn.Module, images: Tensor, seen: Seen | Read = Read.AGREEMENT
) -> tuple[Agreement, bool]:
    """What the ReLU units do, each counted once, and whether the network is silent; SpecError for one without ReLU."""
    refuse_images(score, images)
    if isinstance(seen, Read):
        seen = seen.look(score, network, images, None)
    if not seen.agreement.units:
        way = " (naswot_smooth, an extension of ours, takes GELU and its like)" if score == "NASWOT" else ""
        raise _without_units(score, network, "ReLU", way)
    return seen.agreement, seen.silent


def _collected(network: nn.Module, images: Tensor, *, reference_compat: bool, smooth: bool) -> tuple[Agreement, bool]:
    refuse_images("NASWOT", images)
    if reference_compat and smooth:
        raise SpecError("The release knows no smooth units: give reference_compat or smooth, not both.")
    total = Agreement(len(images))
    collecting = _from_modules(network, total) if reference_compat else Rectifications(total.add, smooth=smooth)
    with probed(network), torch.no_grad(), collecting:
        logits = logits_of(network, images)
    if not total.units:
        kind = "module whose class name contains ReLU" if reference_compat else "ReLU, GELU or their like"
        raise _without_units("NASWOT", network, kind)
    return total, says_nothing(logits, images)


def _without_units(score: str, network: nn.Module, kind: str, way: str = "") -> SpecError:
    return SpecError(f"{score} compares the ReLU units of a network, but {type(network).__name__} ran no {kind}{way}.")


@contextmanager
def _from_modules(network: nn.Module, total: Agreement) -> Iterator[None]:
    named = [module for module in network.modules() if "ReLU" in type(module).__name__]
    handles = [module.register_forward_pre_hook(lambda _, inputs: total.add(inputs[0])) for module in named]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _log_determinant(kernel: Kernel) -> float:
    # Equal codes make the determinant zero, which a factorisation with rounding may miss.
    agreements = kernel - np.diag(np.diag(kernel))
    if agreements.max() >= kernel[0, 0]:
        return -math.inf
    eigenvalues = np.linalg.eigvalsh(kernel)
    if eigenvalues[0] <= eigenvalues[-1] * len(kernel) * np.finfo(np.float64).eps:
        return -math.inf  # fewer units than images: the kernel has no full rank
    return float(np.linalg.slogdet(kernel)[1])
