"""Optimisers of a supernet and of its architecture: anything that makes one of torch's for parameters and a rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, optim

__all__ = ["SGD", "Adam", "Clipped", "ClippedDescent", "Optimiser", "adamw"]


class Optimiser(Protocol):
    """What makes the optimiser of some parameters; whatever it remembers of them must be tensors."""

    def __call__(self, parameters: Sequence[Tensor], learning_rate: float) -> optim.Optimizer:
        """The optimiser, which begins at this rate; who trains changes it later."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SGD:
    """Stochastic gradient descent with momentum."""

    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0

    def __call__(self, parameters: Sequence[Tensor], learning_rate: float) -> optim.Optimizer:
        # Not fused: that form fails where a weight gets its first gradient later than others, as single paths give it.
        return optim.SGD(
            parameters,
            lr=learning_rate,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
            foreach=True,
        )


class ClippedDescent(optim.Optimizer):
    """Gradient descent that clips the norm of all gradients together, and decays weights whatever was clipped."""

    def __init__(
        self, parameters: Sequence[Tensor], lr: float, weight_decay: float, clip: float, uncapped: bool
    ) -> None:
        plain = {"lr": lr, "momentum": 0.0, "nesterov": False, "weight_decay": weight_decay}
        super().__init__(parameters, {**plain, "clip": clip, "uncapped": uncapped})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Along the gradients that there are."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            gradients = [weight.grad for weight in weights]
            norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
            scale = torch.clamp(group["clip"] / (norm + 1e-6), max=1.0)
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(weights, torch._foreach_mul(gradients, -group["lr"] * scale))


@dataclass(frozen=True, slots=True, kw_only=True)
class Clipped:
    """Makes a `ClippedDescent`; `uncapped` is the switch of the second order (``bilevel.Unrolling``)."""

    clip: float
    weight_decay: float = 0.0
    uncapped: bool = False

    def __call__(self, parameters: Sequence[Tensor], learning_rate: float) -> optim.Optimizer:
        return ClippedDescent(parameters, learning_rate, self.weight_decay, self.clip, self.uncapped)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adam:
    """Adam (Kingma and Ba, 2015), whose weight decay is part of the gradient unless it is `decoupled`."""

    momentum: float = 0.9
    second_momentum: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    decoupled: bool = False

    def __call__(self, parameters: Sequence[Tensor], learning_rate: float) -> optim.Optimizer:
        kind = optim.AdamW if self.decoupled else optim.Adam
        betas = (self.momentum, self.second_momentum)
        return kind(parameters, lr=learning_rate, betas=betas, eps=self.epsilon, weight_decay=self.weight_decay)


adamw = partial(Adam, decoupled=True, weight_decay=1e-2)
adamw.__doc__ = "AdamW: Adam with a weight decay beside the gradient (Loshchilov and Hutter, 2019)."
