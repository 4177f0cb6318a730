"""AZ-NAS: three scores of how features change from block to block; with the size, they rank a set of networks.

Lee and Ham, "AZ-NAS: Assembling Zero-Cost Proxies for Network Architecture Search", CVPR 2024, as in its release,
cvlab-yonsei/AZ-NAS, NB201/ZeroShotProxy/compute_az_nas_score.py. The total of a network is the sum of log(rank / number
of networks) over the scores; ``ranked(training_free([az_expressivity, az_progressivity, az_trainability, macs]),
combine=log)`` is that among random networks of the space.

No data and no labels: weights are drawn from Kaiming's normal distribution by the fan in, images from N(0, 1). Shape
letters: B images, C channels, H and W pixels, S places (those of all images), I and O channels before and after.
"""

from __future__ import annotations

import enum
import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.scores.probe import (
    WEIGHTED,
    finite_or_last,
    gradients,
    logits_of,
    probed,
    redraw,
    refuse_images,
    says_nothing,
    weights_of,
)

__all__ = ["Blocks", "Flow", "az_expressivity", "az_progressivity", "az_trainability"]

# Keep a logarithm and a quotient finite; the release has these.
SMALL_SHARE, SMALL_NORM = 1e-8, 1e-6
# What the release draws on NAS-Bench-201.
BATCH = 64


@dataclass(frozen=True, slots=True)
class Flow:
    """What a pass showed of the blocks, in order, as far as it was asked for."""

    silent: bool
    entropies: tuple[float, ...] = ()  # of each block's features, nan where they do not vary
    norms: tuple[float, ...] = ()  # of each block but the first, nan where it changes nothing


class Blocks(enum.Flag):
    """A request for a pass of Gaussian images through a network with Kaiming weights."""

    ENTROPIES = enum.auto()
    NORMS = enum.auto()

    @property
    def stream(self) -> str:
        """All of them look at the same weights and images."""
        return "az_nas"

    def look(self, score: str, network: nn.Module, images: Tensor, labels: Tensor | None, seed: int) -> Flow:
        """Make the pass; SpecError if fewer than two blocks of the network give feature maps."""
        refuse_images(score, images)
        weights_of(score, network)
        like = images[:BATCH]
        with probed(network, seed=seed), torch.set_grad_enabled(Blocks.NORMS in self), _features(network) as features:
            redraw(network, lambda weight: math.sqrt(2 / weight[0].numel()))
            drawn = torch.randn(like.shape, dtype=like.dtype).to(like.device)
            if says_nothing(logits_of(network, drawn), drawn):
                return Flow(True)
            if len(features) < 2:
                raise SpecError(
                    f"{score} compares the feature maps of blocks, the convolutions and modules with parts that "
                    f"{type(network).__name__} is made of, but {len(features)} of them gave any: at least 2 are needed."
                )
            entropies = [_entropy(feature) for feature in features] if Blocks.ENTROPIES in self else []
            pairs = list(itertools.pairwise(features)) if Blocks.NORMS in self else []
            return Flow(False, tuple(entropies), tuple(_norm(score, before, after) for before, after in pairs))


def az_expressivity(
    network: nn.Module, images: Tensor, *, seed: int = 0, seen: Flow | Blocks = Blocks.ENTROPIES
) -> float:
    """The sum over blocks of the entropy of the principal components' shares of the variance of the features.

    Of `images` only the shape is used, of at most 64. -inf for a network cut off from its input.
    """
    flow = _flow("az_expressivity", network, images, seed, seen)
    return -math.inf if flow.silent else finite_or_last(math.fsum(flow.entropies))


def az_progressivity(
    network: nn.Module, images: Tensor, *, seed: int = 0, seen: Flow | Blocks = Blocks.ENTROPIES
) -> float:
    """The least rise of that entropy from a block to the next; -inf for a network cut off from its input."""
    flow = _flow("az_progressivity", network, images, seed, seen)
    if flow.silent or any(map(math.isnan, flow.entropies)):
        return -math.inf
    return min(after - before for before, after in itertools.pairwise(flow.entropies))


def az_trainability(network: nn.Module, images: Tensor, *, seed: int = 0, seen: Flow | Blocks = Blocks.NORMS) -> float:
    """The mean over blocks of 2 - s - 1 / (s + 1e-6), largest where s is 1, which keeps the size of gradients.

    s is the spectral norm of an estimate of the block's Jacobian: the mean over places of the product of random signs
    at its output with the gradient that they give at its input. -inf if a block hands its input on as it is, as in the
    release, and for a network cut off from its input.
    """
    flow = _flow("az_trainability", network, images, seed, seen)
    if flow.silent:
        return -math.inf
    return finite_or_last(math.fsum(2 - s - 1 / (s + SMALL_NORM) for s in flow.norms) / len(flow.norms))


def _flow(score: str, network: nn.Module, images: Tensor, seed: int, seen: Flow | Blocks) -> Flow:
    refuse_images(score, images)
    return seen.look(score, network, images, None, seed) if isinstance(seen, Blocks) else seen


# -- blocks -----------------------------------------------------------------------------------------------------------


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """What a network is made of: its parts that have parts or weights, those of plain sequences and lists one by one.

    Of the networks of ogive: the stem, the cells and the reductions between them.
    """
    for part in module.children():
        if type(part) in (nn.Sequential, nn.ModuleList):
            yield from _blocks(part)
        elif isinstance(part, WEIGHTED) or next(part.children(), None) is not None:
            yield part


@contextmanager
def _features(network: nn.Module) -> Iterator[list[Tensor]]:
    """The feature maps, (B, C, H, W), of the blocks in the order in which they came out."""
    found: list[Tensor] = []

    def note(_: nn.Module, __: Any, output: Any) -> Any:
        if not isinstance(output, Tensor) or output.ndim != 4:
            return None
        found.append(output)
        return output.clone()  # an activation that works in place must not overwrite what was noted

    inner = network
    while len(parts := list(inner.children())) == 1 and next(parts[0].children(), None) is not None:
        inner = parts[0]
    handles = [block.register_forward_hook(note) for block in dict.fromkeys(_blocks(inner))]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _places(maps_BCHW: Tensor) -> Tensor:
    """One row a place, (S, C)."""
    return maps_BCHW.detach().movedim(1, 3).flatten(0, 2).double()


def _entropy(features_BCHW: Tensor) -> float:
    rows_SC = _places(features_BCHW)
    centred_SC = rows_SC - rows_SC.mean(0)
    covariance_CC = centred_SC.T @ centred_SC / len(rows_SC)
    if not bool(covariance_CC.isfinite().all()):
        return math.nan
    # Rounding may leave an eigenvalue of zero slightly below it.
    variances = torch.linalg.eigvalsh(covariance_CC).clamp(min=0)
    if not variances.sum() > 0:
        return math.nan
    shares = variances / variances.sum()
    return float(-(shares * (shares + SMALL_SHARE).log()).sum())


def _norm(score: str, before: Tensor, after: Tensor) -> float:
    """The spectral norm of the estimate of the Jacobian."""
    signs = torch.empty(after.shape, dtype=after.dtype).bernoulli_(0.5).mul_(2).sub_(1).to(after.device)
    slopes = gradients((after * signs).sum(), [before], again=True)[0]
    if torch.equal(slopes, signs):
        return math.nan
    estimate_IO = _places(_folded(score, slopes, after)).T @ _places(signs) / (len(signs) * signs[0, 0].numel())
    return float(torch.linalg.matrix_norm(estimate_IO, 2)) if bool(estimate_IO.isfinite().all()) else math.nan


def _folded(score: str, slopes: Tensor, after: Tensor) -> Tensor:
    """The gradients at the places of smaller maps: those of the pixels that each of these covers become channels."""
    sides, smaller = slopes.shape[2:], after.shape[2:]
    if sides == smaller:
        return slopes
    stride = max(-(-side // small) for side, small in zip(sides, smaller, strict=True))
    if any(small > side for side, small in zip(sides, smaller, strict=True)):
        raise SpecError(
            f"{score} follows feature maps that shrink, but a block makes {tuple(smaller)} of {tuple(sides)}."
        )
    below, right = (stride * small - side for side, small in zip(sides, smaller, strict=True))
    return F.pixel_unshuffle(F.pad(slopes, (0, right, 0, below)), stride)
