"""How much the loss depends on the weights: scores that were made to choose which weights to prune.

The definitions are those of Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021 (SamsungLabs/
zero-cost-nas, foresight/pruners), which turn criteria of pruning into scores of whole networks. θ are the weights of
the convolutional and linear layers as they are, g the gradient of the mean cross-entropy of one batch in training mode.
They take a batch of 64. Shape letters: B images, C channels.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from ogive.scores.passes import Read, Seen
from ogive.scores.probe import (
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

__all__ = ["fisher", "grad_norm", "grasp", "live_params", "plain", "snip"]

# So many images show which layers have a gradient.
FEW = 8


def grad_norm(network: nn.Module, images: Tensor, labels: Tensor, *, seen: Seen | Read = Read.SLOPES) -> float:
    """The sum over layers of the Euclidean norm of the gradient; -inf for a network cut off from its input."""
    seen = _seen("grad_norm", network, images, labels, seen)
    return -math.inf if seen.silent else finite_or_last(sum(float(g.norm()) for _, g in seen.slopes))


def snip(network: nn.Module, images: Tensor, labels: Tensor, *, seen: Seen | Read = Read.SLOPES) -> float:
    """The sum of abs(g θ) (Lee et al., ICLR 2019); -inf for a network cut off from its input."""
    seen = _seen("snip", network, images, labels, seen)
    return -math.inf if seen.silent else finite_or_last(sum(float((g * w).abs().sum()) for w, g in seen.slopes))


def plain(network: nn.Module, images: Tensor, labels: Tensor, *, seen: Seen | Read = Read.SLOPES) -> float:
    """The sum of g θ, with its sign; -inf for a network cut off from its input."""
    seen = _seen("plain", network, images, labels, seen)
    return -math.inf if seen.silent else finite_or_last(sum(float((g * w).sum()) for w, g in seen.slopes))


def live_params(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The number of weights whose layer has a gradient; -inf for a network cut off from its input.

    A layer whose output reaches no logit, or whose input is always zero, has none: unlike `params`, this counts no dead
    branch. Whether there is a gradient, the first few images say as well as all of them.
    """
    _refuse("live_params", images, labels)
    seen = Read.SLOPES.look("live_params", network, images[:FEW], labels[:FEW])
    return -math.inf if seen.silent else float(sum(w.numel() for w, g in seen.slopes if bool(g.any())))


def grasp(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The sum of -θ (H g), H the Hessian of the loss (Wang et al., ICLR 2020); -inf for a network cut off.

    The sign is that of the score of networks, the opposite of the criterion of pruning.
    """
    _refuse("grasp", images, labels)
    weights = weights_of("grasp", network)
    with probed(network):
        logits = logits_of(network, images)
        if says_nothing(logits, images):
            return -math.inf
        first = gradients(loss_of("grasp", logits, labels), weights, create_graph=True)
        # The derivative of the product of g, held fixed, with g is H g.
        product = sum(((g.detach() * g).sum() for g in first), first[0].new_zeros(()))
        second = gradients(product, weights)
        return finite_or_last(sum(float((-w.detach() * hg).sum()) for w, hg in zip(weights, second, strict=True)))


def fisher(network: nn.Module, images: Tensor, labels: Tensor, *, seen: Seen | Read = Read.EFFECTS) -> float:
    """The sum over channels of their Fisher information, each counted once for every weight of its filter.

    With the output a (B, C, ...) of a convolutional or linear layer, that of a channel is half the mean over images of
    (the sum over places of a times the derivative of the loss by a) squared (Theis et al., 2018; Turner et al., ICLR
    2020). -inf for a network cut off from its input.
    """
    seen = _seen("fisher", network, images, labels, seen)
    total = 0.0
    for filter_weights, effect_BC in seen.effects:
        total += float(0.5 * effect_BC.square().mean(0).sum()) * filter_weights
    return -math.inf if seen.silent else finite_or_last(total)


def _seen(score: str, network: nn.Module, images: Tensor, labels: Tensor, seen: Seen | Read) -> Seen:
    _refuse(score, images, labels)
    weights_of(score, network)
    return seen.look(score, network, images, labels) if isinstance(seen, Read) else seen


def _refuse(score: str, images: Tensor, labels: Tensor) -> None:
    refuse_images(score, images)
    refuse_labels(score, images, labels)
