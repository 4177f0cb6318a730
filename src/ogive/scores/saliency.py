"""How much the loss depends on the weights: scores that were made to choose which weights to prune.

The definitions are those of Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021 (SamsungLabs/
zero-cost-nas, foresight/pruners), which turn criteria of pruning into scores of whole networks. θ are the weights of
the convolutional and linear layers as they are, g the gradient of the mean cross-entropy of one batch in training mode.
They take a batch of 64. Shape letters: B images, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from ogive.scores.probe import (
    WEIGHTED,
    finite_or_last,
    gradients,
    logits_of,
    loss_of,
    probed,
    refuse_images,
    refuse_labels,
    says_nothing,
    weights_of,
)

__all__ = ["fisher", "grad_norm", "grasp", "plain", "snip"]


def grad_norm(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The sum over layers of the Euclidean norm of the gradient; -inf for a network cut off from its input."""
    found = _weights_and_gradients("grad_norm", network, images, labels)
    return -math.inf if found is None else finite_or_last(sum(float(g.norm()) for _, g in found))


def snip(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The sum of abs(g θ) (Lee et al., ICLR 2019); -inf for a network cut off from its input."""
    found = _weights_and_gradients("snip", network, images, labels)
    return -math.inf if found is None else finite_or_last(sum(float((g * w).abs().sum()) for w, g in found))


def plain(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The sum of g θ, with its sign; -inf for a network cut off from its input."""
    found = _weights_and_gradients("plain", network, images, labels)
    return -math.inf if found is None else finite_or_last(sum(float((g * w).sum()) for w, g in found))


def grasp(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The sum of -θ (H g), H the Hessian of the loss (Wang et al., ICLR 2020); -inf for a network cut off.

    The sign is that of the score of networks, the opposite of the criterion of pruning.
    """
    _refuse("grasp", images, labels)
    weights = weights_of("grasp", network)
    with probed(network):
        logits = logits_of(network, images)
        if says_nothing(logits):
            return -math.inf
        first = gradients(loss_of("grasp", logits, labels), weights, create_graph=True)
        # The derivative of the product of g, held fixed, with g is H g.
        product = sum(((g.detach() * g).sum() for g in first), first[0].new_zeros(()))
        second = gradients(product, weights)
        return finite_or_last(sum(float((-w.detach() * hg).sum()) for w, hg in zip(weights, second, strict=True)))


def fisher(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The sum over channels of their Fisher information, each counted once for every weight of its filter.

    With the output a (B, C, ...) of a convolutional or linear layer, that of a channel is half the mean over images of
    (the sum over places of a times the derivative of the loss by a) squared (Theis et al., 2018; Turner et al., ICLR
    2020). -inf for a network cut off from its input.
    """
    _refuse("fisher", images, labels)
    weights_of("fisher", network)
    with probed(network), _outputs(network) as outputs:
        logits = logits_of(network, images)
        if says_nothing(logits):
            return -math.inf
        slopes = gradients(loss_of("fisher", logits, labels), [output for _, output in outputs])
        total = 0.0
        for (layer, output), slope in zip(outputs, slopes, strict=True):
            effect_BC = _by_channel(layer, output.detach() * slope)
            total += float(0.5 * effect_BC.square().mean(0).sum()) * layer.weight[0].numel()
        return finite_or_last(total)


def _by_channel(layer: Any, effect: Tensor) -> Tensor:
    """Sums over places, shape (B, C); the channels of a linear layer are last."""
    places = tuple(range(1, effect.ndim - 1)) if isinstance(layer, nn.Linear) else tuple(range(2, effect.ndim))
    return effect.sum(places) if places else effect


@contextmanager
def _outputs(network: nn.Module) -> Iterator[list[tuple[Any, Tensor]]]:
    """Every convolutional and linear layer that is run, with its output, in order."""
    found: list[tuple[Any, Tensor]] = []

    def note(layer: nn.Module, _: Any, output: Tensor) -> Tensor:
        found.append((layer, output))
        return output.clone()  # an activation that works in place must not overwrite what was noted

    handles = [layer.register_forward_hook(note) for layer in network.modules() if isinstance(layer, WEIGHTED)]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _weights_and_gradients(
    score: str, network: nn.Module, images: Tensor, labels: Tensor
) -> list[tuple[Tensor, Tensor]] | None:
    """Each weight with its gradient; None for a network cut off from its input."""
    _refuse(score, images, labels)
    weights = weights_of(score, network)
    with probed(network):
        logits = logits_of(network, images)
        if says_nothing(logits):
            return None
        found = gradients(loss_of(score, logits, labels), weights)
        return [(weight.detach(), gradient) for weight, gradient in zip(weights, found, strict=True)]


def _refuse(score: str, images: Tensor, labels: Tensor) -> None:
    refuse_images(score, images)
    refuse_labels(score, images, labels)
