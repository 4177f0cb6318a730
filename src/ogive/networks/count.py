"""What a network costs: its parameters and its multiply-accumulates."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ogive.networks.outlines import Shapes
from ogive.networks.trace import multiplications

__all__ = ["macs", "parameters"]


def parameters(module: nn.Module) -> int:
    """The number of trainable parameters; running statistics of batch normalisation are none."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def macs(module: nn.Module, shape: Sequence[int]) -> int:
    """Multiply-accumulates of one input of `shape` (C, H, W) in evaluation mode.

    Counted is what multiplies by something learnt: convolutions, transposed ones too, linear layers and the projections
    of attention, whether modules or functions do it. A network that reads other shapes, such as noise, is given one.

    Biases, normalisation, pooling and activations count nothing, nor does a head that only training runs. Published
    "FLOPs" of mobile-sized networks are mostly such multiply-accumulates, but of differing counters. The module is
    left as it was, running statistics and modes included.
    """
    with Shapes():
        return multiplications(module, shape)
