"""Networks on the "meta" device, run for the shapes alone: what most of their layers are is told at once.

torch derives the shapes of a normalisation, of an activation and of a sum from decompositions written in Python, which
take longer than the computation itself where a network is small: two thirds of the time in which a candidate was
counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Shapes"]

_ATEN = torch.ops.aten
_LOW_PRECISION = (torch.bfloat16, torch.float16)


class Shapes(TorchDispatchMode):
    """As long as it is entered, tensors without values come out of usual layers as tensors without values.

    All else, tensors with values among it, is computed as ever. What autograd keeps for a backward pass is the same.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        known = _KNOWN.get(func)
        if known is None or kwargs or not args[0].is_meta:
            return func(*args, **(kwargs or {}))
        found = known(args)
        return func(*args) if found is None else found


def _normalised(args: Sequence[Any]) -> tuple[Tensor, Tensor, Tensor]:
    """The output, and the means and deviations of its channels."""
    inputs = args[0]
    dtype = torch.float32 if inputs.dtype in _LOW_PRECISION else inputs.dtype
    mean, deviation = (inputs.new_empty(inputs.shape[1], dtype=dtype) for _ in range(2))
    return torch.empty_like(inputs), mean, deviation


def _summed(args: Sequence[Any]) -> Tensor | None:
    """None where the two have to be brought to one shape or type first."""
    one, other = args
    alike = isinstance(other, Tensor) and (one.shape, one.dtype) == (other.shape, other.dtype)
    return torch.empty_like(one) if alike else None


_KNOWN = {
    _ATEN.native_batch_norm.default: _normalised,
    _ATEN.relu.default: lambda args: torch.empty_like(args[0]),
    _ATEN.relu_.default: lambda args: args[0],
    _ATEN.add.Tensor: _summed,
}
