"""What the units of ReLUs do: which are on for which images, collected while a network runs.

Shape letters: B images, U units (one ReLU output at one place), Y bytes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ogive.core.errors import SpecError

__all__ = ["Agreement", "Kernel", "Patterns", "Rectifications"]

# ReLU and its relatives: what they do to a unit depends on whether its input is positive. Some are reached from nn.ReLU
# and so on, the others from code that calls the function.
RECTIFIERS = frozenset(
    {
        torch.relu,
        torch.relu_,
        Tensor.relu,
        Tensor.relu_,
        F.relu,
        F.relu6,
        F.leaky_relu,
        F.rrelu,
        F.prelu,
        torch.prelu,
        Tensor.prelu,
    }
)

# Smooth relatives, whose units lean to one side or the other of the same zero.
SMOOTH = frozenset({F.gelu, F.silu, F.elu, F.selu, F.celu, F.mish, F.hardswish, torch.selu, torch.celu})

# Sums of this many products of 0 and 1 are exact in float32, whose integers end at 2**24.
EXACT = 2**22
# Narrower layers cost nothing either way, and torch 2.13 gets a product of bytes over a single column wrong.
WIDE = 256

Kernel = npt.NDArray[np.float64]


class Agreement:
    """Sums over layers: for every two images, how many units are on for both."""

    def __init__(self, batch: int) -> None:
        self.batch, self.units = batch, 0
        self._both_on_BB: Tensor | None = None

    def add(self, inputs: Tensor) -> None:
        """Take in what goes into one ReLU layer."""
        if len(inputs) != self.batch:
            raise SpecError(
                f"A ReLU must see one row for each of the {self.batch} images, but got the shape {tuple(inputs.shape)}."
            )
        on_BU = (inputs.detach() > 0).flatten(1)
        for part_BU in on_BU.split(EXACT, dim=1):
            both_on_BB = _counted(part_BU).double()
            self._both_on_BB = both_on_BB if self._both_on_BB is None else self._both_on_BB + both_on_BB
        self.units += on_BU.shape[1]

    def kernel(self) -> Kernel:
        """Units that agree: all but those that are on for one image only."""
        assert self._both_on_BB is not None
        both_on = self._both_on_BB.cpu().numpy()
        on = np.diag(both_on)
        kernel: Kernel = self.units - (on[:, None] + on[None, :] - 2 * both_on)
        return kernel


def _counted(on_BU: Tensor) -> Tensor:
    """For every two rows, in how many columns both are true: one exact product."""
    if on_BU.device.type == "cpu" and on_BU.shape[1] >= WIDE and _multiplies_bytes():
        codes_BU = on_BU.contiguous().view(torch.int8)
        return torch._int_mm(codes_BU, codes_BU.T)
    codes_BU = on_BU.to(torch.float32)
    return codes_BU @ codes_BU.T


@functools.cache
def _multiplies_bytes() -> bool:
    """Whether this processor has instructions for products of bytes, which take a third of the seconds of float32.

    Both functions are private to torch: where a version lacks one, or computes something else, float32 gives the same
    numbers.
    """
    supported = getattr(torch.cpu, "_is_vnni_supported", None)
    if not hasattr(torch, "_int_mm") or supported is None or not supported():
        return False
    codes_BU = (torch.arange(33 * 1000).reshape(33, 1000) % 7 < 3).to(torch.int8)
    return torch.equal(torch._int_mm(codes_BU, codes_BU.T).float(), codes_BU.float() @ codes_BU.float().T)


class Rectifications(TorchFunctionMode):
    """Shows the input of every ReLU that is run to `see`, whether a module or a function does it; also smooth ones."""

    def __init__(self, see: Callable[[Tensor], None], *, smooth: bool = False) -> None:
        super().__init__()
        self.see = see
        self.kinds = RECTIFIERS | SMOOTH if smooth else RECTIFIERS

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        # nn.ReLU6 is a hardtanh from 0 to 6.
        if func in self.kinds or (func is F.hardtanh and _lower_end(args, kwargs or {}) == 0):
            # Before the call, because an in-place ReLU overwrites its input.
            self.see(args[0] if args else (kwargs or {})["input"])
        return func(*args, **(kwargs or {}))


def _lower_end(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args[1] if len(args) > 1 else kwargs.get("min_val", -1.0)


class Patterns:
    """The different patterns over the images that units show, each once."""

    def __init__(self) -> None:
        self._found: list[npt.NDArray[np.void]] = []

    def add(self, inputs: Tensor) -> None:
        """Take in what goes into one ReLU layer."""
        on_UB = (inputs.detach() > 0).flatten(1).T.numpy(force=True)
        # Eight images a byte, and each pattern once already here: the whole matrix is large.
        self._found.append(np.unique(_rows(np.packbits(on_UB, axis=1))))

    def count(self) -> int:
        """How many there are; 0 if no layer was seen."""
        return len(np.unique(np.concatenate(self._found))) if self._found else 0


def _rows(bytes_UY: npt.NDArray[np.uint8]) -> npt.NDArray[np.void]:
    """Each row as one opaque value, which numpy sorts as a whole."""
    packed = np.ascontiguousarray(bytes_UY)
    return packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
