"""Gates: from the architecture parameters of a cell to the weights of its operations, and to those that run at all.

A gate is a small frozen value, separate from the supernet and from the parameters, so that any gate can be used with
any supernet. Shapes: E edges with a choice, A all edges of a cell, O operations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from ogive.core.errors import SpecError

__all__ = ["Drawing", "Gate", "GumbelOneHot", "Mix", "Sigmoid", "SinglePath", "Softmax", "is_independent", "mixing"]


@dataclass(frozen=True, eq=False)
class Mix:
    """How the edges of a cell that have a choice mix their operations in one forward pass.

    * `weights`: factors of the operations, (E, O); None for 1;
    * `active`: the operations of each edge that run; None for all;
    * `offsets`: numbers added to the output of each edge, (E,); None for none;
    * `edges`: factors of all edges of the cell, (A,), those without a choice included; None for 1.
    """

    weights: Tensor | None
    active: tuple[tuple[int, ...], ...] | None = None
    offsets: Tensor | None = None
    edges: Tensor | None = None

    @cached_property
    def factors(self) -> tuple[tuple[Tensor, ...], ...] | None:
        """The weights one by one, taken apart only once."""
        return None if self.weights is None else tuple(row.unbind() for row in self.weights.unbind())


class Gate(Protocol):
    """What weighs the operations of a cell; a value, best a frozen dataclass, by whose fields states are told apart.

    One that runs a draw of the operations is `Drawing`; one without competition among them says ``independent = True``.
    """

    def __call__(self, alphas_EO: Tensor, allowed_EO: Tensor | None, draw: torch.Generator) -> Mix:
        """The mix for one forward pass; `allowed_EO` (bool) says which operations exist, None for all."""
        ...

    def strengths(self, alphas_EO: Tensor, allowed_EO: Tensor | None) -> Tensor:
        """How strong each operation is, (E, O): what a cell is derived from. What is not allowed has no strength."""
        ...

    def at(self, share: float) -> Gate:
        """The gate to use when this share of a search, 0 to 1, is over."""
        ...


@runtime_checkable
class Drawing(Protocol):
    """A gate of which every pass runs other operations, drawn from a mixture of all."""

    @property
    def relaxed(self) -> Gate:
        """The gate of that mixture."""
        ...


@runtime_checkable
class _Independent(Protocol):
    @property
    def independent(self) -> bool: ...


def is_independent(gate: Gate) -> bool:
    """Whether operations do not compete, so that `none` has nothing to win and every gate starts half open."""
    return isinstance(gate, _Independent) and gate.independent


@dataclass(frozen=True)
class Softmax:
    """The operations of an edge compete for a sum of 1 (DARTS, equation 2)."""

    def __call__(self, alphas_EO: Tensor, allowed_EO: Tensor | None, draw: torch.Generator) -> Mix:
        return Mix(self.strengths(alphas_EO, allowed_EO))

    def strengths(self, alphas_EO: Tensor, allowed_EO: Tensor | None) -> Tensor:
        return torch.softmax(_masked(alphas_EO, allowed_EO), dim=1)

    def at(self, share: float) -> Softmax:
        return self


@dataclass(frozen=True)
class Sigmoid:
    """Every operation has a weight between 0 and 1 of its own (Chu et al., "Fair DARTS", ECCV 2020)."""

    independent = True

    def __call__(self, alphas_EO: Tensor, allowed_EO: Tensor | None, draw: torch.Generator) -> Mix:
        return Mix(self.strengths(alphas_EO, allowed_EO))

    def strengths(self, alphas_EO: Tensor, allowed_EO: Tensor | None) -> Tensor:
        return torch.sigmoid(_masked(alphas_EO, allowed_EO))

    def at(self, share: float) -> Sigmoid:
        return self


@dataclass(frozen=True)
class GumbelOneHot:
    """One operation of each edge is drawn and runs alone (Dong and Yang, "GDAS", CVPR 2019).

    The draw is the largest of log-softmax(alpha) + Gumbel noise. Its weight is exactly 1, and its gradient that of the
    relaxed distribution at a `temperature` that falls linearly to `last`. As in the published code, an operation that
    did not run stands for a constant of one in that gradient: it adds its weight, which is zero, as a number.
    """

    temperature: float = 10.0  # D-X-Y/AutoDL-Projects, GDAS: from 10 to 0.1
    last: float = 0.1

    @property
    def relaxed(self) -> Softmax:
        """The shares that the draw is made with."""
        return Softmax()

    def __post_init__(self) -> None:
        if not 0 < self.last <= self.temperature:
            raise SpecError(f"0 < last <= temperature must hold, but got {self.last} and {self.temperature}.")

    def __call__(self, alphas_EO: Tensor, allowed_EO: Tensor | None, draw: torch.Generator) -> Mix:
        uniform_EO = torch.rand(alphas_EO.shape, generator=draw, dtype=torch.float64).clamp_min(1e-300)
        noise_EO = -(-uniform_EO.log()).clamp_min(1e-300).log()
        logits_EO = torch.log_softmax(_masked(alphas_EO, allowed_EO), dim=1) + noise_EO.to(alphas_EO)
        soft_EO = torch.softmax(logits_EO / self.temperature, dim=1)
        chosen_E1 = logits_EO.argmax(dim=1, keepdim=True)
        hard_EO = torch.zeros_like(soft_EO).scatter_(1, chosen_E1, 1.0)
        # Exactly hard_EO, whatever soft_EO is: (hard - soft) + soft would be off by rounding.
        weights_EO = hard_EO + (soft_EO - soft_EO.detach())
        offsets_E = (weights_EO * (1.0 - hard_EO)).sum(dim=1)
        return Mix(weights_EO, tuple((int(op),) for op in chosen_E1[:, 0].tolist()), offsets_E)

    def strengths(self, alphas_EO: Tensor, allowed_EO: Tensor | None) -> Tensor:
        return torch.softmax(_masked(alphas_EO, allowed_EO), dim=1)

    def at(self, share: float) -> GumbelOneHot:
        return replace(self, temperature=self.last + (self.temperature - self.last) * (1.0 - share))


@dataclass(frozen=True)
class SinglePath:
    """One operation of each edge, all equally likely, as if the others did not exist (Guo et al., "SPOS", ECCV 2020).

    The architecture parameters are not read and get no gradient: what is trained are weights for any path.
    """

    @property
    def relaxed(self) -> Softmax:
        """The gate to mix with instead."""
        return Softmax()

    def __call__(self, alphas_EO: Tensor, allowed_EO: Tensor | None, draw: torch.Generator) -> Mix:
        allowed_EO = torch.ones(alphas_EO.shape, dtype=torch.bool) if allowed_EO is None else allowed_EO.cpu()
        chosen_E1 = torch.multinomial(allowed_EO.double(), 1, generator=draw)
        return Mix(None, tuple((op,) for op in chosen_E1[:, 0].tolist()))

    def strengths(self, alphas_EO: Tensor, allowed_EO: Tensor | None) -> Tensor:
        return torch.softmax(_masked(alphas_EO, allowed_EO), dim=1)

    def at(self, share: float) -> SinglePath:
        return self


def mixing(gate: Gate) -> Gate:
    """A gate that runs every operation: itself, or the mixture that it draws from."""
    return gate.relaxed if isinstance(gate, Drawing) else gate


def _masked(alphas_EO: Tensor, allowed_EO: Tensor | None) -> Tensor:
    return alphas_EO if allowed_EO is None else alphas_EO.masked_fill(~allowed_EO, -torch.inf)
