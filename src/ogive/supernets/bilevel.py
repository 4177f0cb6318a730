"""The bilevel problem of DARTS: gradients of the architecture for weights that would be trained after it.

Liu, Simonyan and Yang, "DARTS", ICLR 2019, section 2.3. Losses are functions without arguments, so that anything that
has two kinds of parameters can be searched: a supernet, or three lines of arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn, optim

__all__ = ["Unrolling", "first_order", "gradients_of", "kept_buffers", "momentum_of", "second_order"]

Loss = Callable[[], Tensor]
Mean = Callable[[Sequence[Tensor]], list[Tensor]]
RADIUS = 0.01  # DARTS, section 2.3: epsilon = 0.01 / norm of the gradient at the unrolled weights


@dataclass(frozen=True, slots=True)
class Unrolling:
    """The step of training that the second order looks ahead: w' = w - rate (momentum · buffer + gradient + decay · w).

    `buffers` are what the optimiser remembers of each weight, None where it has made no step yet. `clip` is the largest
    norm of the gradient, and of the vector that the Hessian is multiplied with; the correction shrinks as the gradient
    of the step does. `uncapped` lets it grow as well, by clip / norm, where the gradient is shorter than `clip`: so
    does the published code for language models, and no equation. With `nesterov` the step is that of torch's SGD, along
    the gradient and `momentum` times what is remembered after it.
    """

    rate: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    buffers: Sequence[Tensor | None] = ()
    clip: float = math.inf
    uncapped: bool = False
    nesterov: bool = False


def first_order(alphas: Sequence[Tensor], validation: Loss, mean: Mean = list) -> tuple[Tensor, list[Tensor]]:
    """The validation loss, and its gradients in the architecture with the weights held fixed.

    `mean` averages tensors over the processes that search together, here as in ``second_order``.
    """
    return _averaged(validation(), alphas, mean)


def second_order(
    weights: Sequence[Tensor],
    alphas: Sequence[Tensor],
    training: Loss,
    validation: Loss,
    unrolling: Unrolling,
    radius: float = RADIUS,
    mean: Mean = list,
) -> tuple[Tensor, list[Tensor]]:
    """The validation loss of the unrolled weights, and its gradients in the architecture (equation 7).

    The product of a Hessian and a vector is a central difference (equation 8), exact to the order of the squared
    radius where the losses are smooth. A supernet with ReLU and max-pooling is not: there the difference is an average
    over kinks, as in the published code. The weights are moved while this computes and are bit for bit the same
    afterwards; the losses must be the same functions at every call, whatever they draw. Every gradient is averaged by
    `mean` before it is clipped or the weights are moved along it, so that all processes move them alike.
    """
    before = [weight.detach().clone() for weight in weights]
    try:
        gradients, share = _clipped(_averaged(training(), weights, mean)[1], unrolling.clip)
        with torch.no_grad():
            _move(weights, before, _direction(before, gradients, unrolling), -unrolling.rate)
        loss, found = _averaged(validation(), [*alphas, *weights], mean)
        direct, (vector, _) = found[: len(alphas)], _clipped(found[len(alphas) :], unrolling.clip)
        product = _hessian_product(weights, before, alphas, training, vector, radius, mean)
    finally:
        with torch.no_grad():
            torch._foreach_copy_(list(weights), before)
    factor = unrolling.rate * (share if unrolling.uncapped else min(share, 1.0))
    if unrolling.nesterov:  # how far the step follows its gradient
        factor *= 1.0 + unrolling.momentum
    return loss, [own - factor * other for own, other in zip(direct, product, strict=True)]


def _hessian_product(
    weights: Sequence[Tensor],
    before: Sequence[Tensor],
    alphas: Sequence[Tensor],
    training: Loss,
    vector: Sequence[Tensor],
    radius: float,
    mean: Mean,
) -> list[Tensor]:
    """The mixed second derivative of the training loss times the vector; zeros if the vector is zero."""
    norm = float(torch.stack([part.double().norm() for part in vector]).norm())
    if norm == 0.0:
        return [torch.zeros_like(alpha) for alpha in alphas]
    epsilon = radius / norm
    sides = []
    for sign in (1.0, -1.0):
        with torch.no_grad():
            _move(weights, before, vector, sign * epsilon)
        sides.append(_averaged(training(), alphas, mean)[1])
    return [(ahead - behind) / (2.0 * epsilon) for ahead, behind in zip(*sides, strict=True)]


def _clipped(gradients: list[Tensor], clip: float) -> tuple[list[Tensor], float]:
    """Gradients of a norm of at most `clip`, and clip / norm, which may be above 1; 1 if nothing is clipped."""
    if clip == math.inf:
        return gradients, 1.0
    norm = float(torch.stack([part.norm() for part in gradients]).norm())
    share = clip / (norm + 1e-6)
    return [part * share for part in gradients] if share < 1 else gradients, share


def _direction(before: Sequence[Tensor], gradients: Sequence[Tensor], unrolling: Unrolling) -> list[Tensor]:
    buffers, momentum = unrolling.buffers or (None,) * len(before), unrolling.momentum
    decayed = [gradient + unrolling.weight_decay * weight for weight, gradient in zip(before, gradients, strict=True)]
    remembered = [
        own if buffer is None else own + momentum * buffer for own, buffer in zip(decayed, buffers, strict=True)
    ]
    if not unrolling.nesterov:
        return remembered
    return [own + momentum * after for own, after in zip(decayed, remembered, strict=True)]


def _move(weights: Sequence[Tensor], before: Sequence[Tensor], vector: Sequence[Tensor], length: float) -> None:
    """Put the weights at before + length · vector."""
    for weight, start, along in zip(weights, before, vector, strict=True):
        weight.copy_(start).add_(along, alpha=length)


def _averaged(loss: Tensor, leaves: Sequence[Tensor], mean: Mean) -> tuple[Tensor, list[Tensor]]:
    """The loss and its gradients, averaged over processes."""
    value, *gradients = mean([loss.detach(), *gradients_of(leaves, loss)])
    return value, gradients


def gradients_of(leaves: Sequence[Tensor], loss: Tensor, *, again: bool = False) -> list[Tensor]:
    """Gradients, zero for what the loss does not depend on; the ``grad`` of the leaves stays as it is.

    With `again`, what leads to the loss may be differentiated once more.
    """
    if not loss.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    found: Sequence[Tensor | None] = torch.autograd.grad(loss, list(leaves), retain_graph=again, allow_unused=True)
    return [torch.zeros_like(leaf) if one is None else one for leaf, one in zip(leaves, found, strict=True)]


def momentum_of(optimizer: optim.Optimizer, weights: Sequence[Tensor]) -> list[Tensor | None]:
    """What SGD remembers of each weight, None before its first step."""
    state: Any = optimizer.state
    return [state[weight].get("momentum_buffer") if weight in state else None for weight in weights]


@contextmanager
def kept_buffers(module: nn.Module) -> Iterator[None]:
    """Running statistics are as before afterwards, however often the module was run in training mode."""
    buffers = list(module.buffers())
    before = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)
