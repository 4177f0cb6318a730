"""The size of a network as a score: the baseline that every other training-free score must beat."""

from __future__ import annotations

from torch import Tensor, nn

from ogive.networks import count

__all__ = ["macs", "params"]


def params(network: nn.Module, images: Tensor) -> float:
    """The number of trainable parameters."""
    return float(count.parameters(network))


def macs(network: nn.Module, images: Tensor) -> float:
    """Multiply-accumulates for one image of the batch's shape."""
    return float(count.macs(network, tuple(images.shape[1:])))
