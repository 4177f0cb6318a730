"""The size of a network as a score, of what it computes or of its weights: the baseline that every other must beat."""

from __future__ import annotations

from torch import Tensor, nn

from ogive.networks import count
from ogive.scores.probe import weights_of

__all__ = ["l2_norm", "macs", "params"]


def params(network: nn.Module, images: Tensor) -> float:
    """The number of trainable parameters."""
    return float(count.parameters(network))


def macs(network: nn.Module, images: Tensor) -> float:
    """Multiply-accumulates for one image of the batch's shape."""
    return float(count.macs(network, tuple(images.shape[1:])))


def l2_norm(network: nn.Module, images: Tensor) -> float:
    """The sum over convolutional and linear layers of the Euclidean norm of their weights (SamsungLabs/zero-cost-nas).

    It looks at no image, so that a network that is cut off from its input has one too, as it has parameters.
    """
    return sum(float(weight.detach().norm()) for weight in weights_of("l2_norm", network))
