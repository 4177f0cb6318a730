"""What a network costs: its parameters and its multiply-accumulates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ogive.core.errors import SpecError

__all__ = ["macs", "parameters"]

LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def parameters(module: nn.Module) -> int:
    """The number of trainable parameters; running statistics of batch normalisation are none."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def macs(module: nn.Module, shape: Sequence[int]) -> int:
    """Multiply-accumulates of convolutions and linear layers for one input of `shape` (C, H, W), in evaluation mode.

    Counted are Conv2d, ConvTranspose2d and Linear; a network that reads other shapes, such as noise, is given one.

    Biases, normalisation, pooling and activations count nothing, nor does a head that only training runs. Published
    "FLOPs" of mobile-sized networks are mostly such multiply-accumulates, but of differing counters. The module is
    left as it was, running statistics and modes included.
    """
    if not shape or any(side < 1 for side in shape):
        raise SpecError(f"The shape of an input has positive sides, such as (3, 32, 32), but got {tuple(shape)}.")
    counted: list[int] = []
    layers = [layer for layer in module.modules() if isinstance(layer, LAYERS)]
    modes = {layer: layer.training for layer in module.modules()}
    handles = [layer.register_forward_hook(_counter(counted)) for layer in layers]
    module.eval()
    try:
        with torch.no_grad():
            module(_blank(module, shape))
    finally:
        for handle in handles:
            handle.remove()
        for layer, training in modes.items():
            layer.training = training
    return sum(counted)


def _counter(counted: list[int]) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer, LAYERS)
        # Every output element is a product of one filter, or one row of the matrix, with what it sees of the input;
        # where a convolution is transposed, every input element is one with what sees it of the output.
        elements = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        counted.append(elements.numel() * layer.weight[0].numel())

    return count


def _blank(module: nn.Module, shape: Sequence[int]) -> Tensor:
    for parameter in module.parameters():
        if parameter.is_floating_point():
            return torch.zeros(1, *shape, dtype=parameter.dtype, device=parameter.device)
    return torch.zeros(1, *shape)
