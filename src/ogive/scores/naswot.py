"""NASWOT: how differently an untrained ReLU network reacts to the images of a batch.

Mellor, Turner, Storkey, Crowley, "Neural Architecture Search without Training", ICML 2021. Shape letters: B images,
U units (one ReLU output at one place).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ogive.core.errors import SpecError
from ogive.scores.probe import logits_of, probed, refuse_images, says_nothing

__all__ = ["Rectifications", "activation_kernel", "naswot", "naswot_reference", "naswot_smooth"]

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


def naswot(network: nn.Module, images: Tensor, *, reference_compat: bool = False, smooth: bool = False) -> float:
    """The log-determinant of the kernel of activation codes; -inf if two images have the same code.

    `images` are real ones, normalised and not augmented, shape (B, C, H, W); the paper takes 128. One forward pass in
    training mode, so that batch normalisation uses the batch; no labels, no gradients. The network is left as it was.
    A network that answers the same for all images, as one cut off from its input does, is -inf too, whatever its dead
    branches do.

    With `reference_compat`, units are collected as the authors' release does: from the input of every *module* whose
    class name contains "ReLU". That counts the first ReLU of a container such as ReLUConvBN twice, which shifts the
    score and hardly changes the ranking, and it misses ReLUs that are called as functions.

    With `smooth`, units of GELU, SiLU, ELU, Mish, Hardswish and their like count as well, by the sign of what goes in.
    That is an extension of ours: the paper defines the score for ReLU only.

    Raises SpecError for a network without such units, for fewer than two images, and for images that are no floating
    numbers.
    """
    total, logits = _collected(network, images, reference_compat=reference_compat, smooth=smooth)
    return -math.inf if says_nothing(logits) else _log_determinant(total.kernel())


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
    total, _ = _collected(network, images, reference_compat=reference_compat, smooth=smooth)
    return total.kernel(), total.units


def _collected(
    network: nn.Module, images: Tensor, *, reference_compat: bool, smooth: bool
) -> tuple[_Agreement, Tensor]:
    refuse_images("NASWOT", images)
    if reference_compat and smooth:
        raise SpecError("The release knows no smooth units: give reference_compat or smooth, not both.")
    total = _Agreement(len(images))
    collecting = _from_modules(network, total) if reference_compat else Rectifications(total.add, smooth=smooth)
    with probed(network), torch.no_grad(), collecting:
        logits = logits_of(network, images)
    if not total.units:
        kind = "module whose class name contains ReLU" if reference_compat else "ReLU"
        way = "" if reference_compat or smooth else " (naswot_smooth, an extension of ours, takes GELU and its like)"
        raise SpecError(
            f"NASWOT compares the ReLU units of a network, but {type(network).__name__} ran no {kind}{way}."
        )
    return total, logits


class _Agreement:
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


@contextmanager
def _from_modules(network: nn.Module, total: _Agreement) -> Iterator[None]:
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
