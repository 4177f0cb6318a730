"""Operations that a published space of cells does not have: one's own, checked, or those of other published spaces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ogive.core.errors import SpecError, UnknownName
from ogive.networks.darts import DARTS_OPERATIONS, darts_operation
from ogive.spaces.extended import Operation

__all__ = ["OwnOperation", "Published", "own_module", "own_operation"]


@dataclass(frozen=True)
class Published:
    """An operation of DARTS, NASNet, AmoebaNet, PNAS or DARTOpti, for a space that is without it."""

    name: str

    def __post_init__(self) -> None:
        if self.name not in DARTS_OPERATIONS:
            raise UnknownName("published operation", self.name, DARTS_OPERATIONS)

    def __call__(self, channels: int, stride: int) -> nn.Module:
        return darts_operation(self.name, channels, stride)


class _Own(nn.Module):
    """A module that nobody looks into, as is done with published ones to compute them faster."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """The module itself."""
        found: Tensor = self.inner(x)
        return found


@dataclass(frozen=True)
class OwnOperation:
    """Makes the modules of an operation in a network; plain, so that it can be written as source with the network."""

    operation: Callable[[int, int], nn.Module]

    def __call__(self, channels: int, stride: int) -> nn.Module:
        return _Own(self.operation(channels, stride))


def own_operation(operation: Operation, widths: Sequence[int]) -> OwnOperation:
    """What makes the modules of a checked operation; SpecError as of `own_module`, for each of the widths."""
    with torch.random.fork_rng(devices=[]):
        for channels in widths:
            for stride in (1, 2):
                own_module(operation, channels, stride)
    return OwnOperation(operation)


def own_module(operation: Operation, channels: int, stride: int, affine: bool = True) -> nn.Module:
    """The module of an operation; without `affine` its normalisations have no weights, as supernets want it.

    SpecError unless it is a module that keeps the channels of an image and divides its sides by the stride.
    """
    inner = operation(channels, stride)
    wanted = (2, channels, 8 // stride, 8 // stride)
    if not isinstance(inner, nn.Module):
        raise SpecError(f"The operation {operation.name} must make a torch module, but made a {type(inner).__name__}.")
    if not affine:
        for norm in inner.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.affine = False
                norm.register_parameter("weight", None)
                norm.register_parameter("bias", None)
    like = next(inner.parameters(), torch.zeros(()))
    try:
        with torch.no_grad():
            shape = tuple(inner.eval()(torch.zeros(2, channels, 8, 8, device=like.device)).shape)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise SpecError(f"The operation {operation.name} cannot take {channels} channels: {reason}.") from error
    inner.train()
    if shape != wanted:
        raise SpecError(
            f"The operation {operation.name} must make {wanted} of images (2, {channels}, 8, 8) with stride {stride}, "
            f"but made {shape}."
        )
    return _Own(inner)
