"""VKDNW: how evenly the Fisher information of a network is spread over its weights, and how many layers there are.

Tybl and Neumann, "Training-free Neural Architecture Search through Variance of Knowledge of Deep Network Weights", CVPR
2025; details as in ondratybl/VKDNW, compute_vkdnw_score.py. No data and no labels. The release takes one entry, the
first, of each tensor of parameters. Shape letters: B images, K classes, P tensors of parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ogive.core.errors import SpecError
from ogive.scores.probe import gradients, logits_of, probed, redraw, refuse_images, says_nothing

__all__ = ["vkdnw", "vkdnw_entropy"]

LAYERS = (nn.Conv2d, nn.Linear, _BatchNorm)


def vkdnw(network: nn.Module, images: Tensor, *, seed: int = 0, smoothing: float = 0.05) -> float:
    """The number of layers with parameters plus `vkdnw_entropy`, at most log(11), which orders equally deep ones."""
    entropy = vkdnw_entropy(network, images, seed=seed, smoothing=smoothing)
    layers = sum(any(True for _ in layer.parameters(recurse=False)) for layer in network.modules())
    return layers + entropy


def vkdnw_entropy(
    network: nn.Module,
    images: Tensor,
    *,
    seed: int = 0,
    smoothing: float = 0.05,  # the share of a uniform distribution in the answers, as in the release
) -> float:
    """The entropy of the 11 quantiles 0, 0.1 … 1 of the eigenvalues of the Fisher information, divided by their sum.

    Gaussian images of the shape of `images`, Gaussian weights of deviation sqrt(2 / fan-in), evaluation mode (of fresh
    networks, in which batch normalisation changes nothing), so that no image looks at another. The information is the
    mean over images of Jᵀ (diag(p) − p pᵀ) J with the smoothed softmax p and the derivatives J (K, P) of the logits by
    one entry of each tensor of parameters of convolutions, linear layers and batch normalisations; other layers do not
    count. -inf for a network cut off from its input. One pass forward and one back for each class.
    """
    refuse_images("vkdnw", images)
    if not any(isinstance(layer, LAYERS) and next(layer.parameters(), None) is not None for layer in network.modules()):
        raise SpecError(
            "vkdnw takes derivatives by parameters of convolutions, linear layers and batch normalisations, but "
            f"{type(network).__name__} has none."
        )
    with probed(network, seed=seed):
        redraw(network, lambda weight: math.sqrt(2 / weight[0].numel()))
        _forget_statistics(network)
        network.eval()
        drawn = torch.randn(images.shape, dtype=images.dtype).to(images.device)
        # No image looks at another, and few at a time stay in the processor's caches.
        parts = [_derived(network, part) for part in drawn.split(16)]
    logits_BK, jacobian_BKP = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    if says_nothing(logits_BK, drawn):
        return -math.inf
    return _entropy(_eigenvalues(logits_BK, jacobian_BKP, smoothing))


def _forget_statistics(network: nn.Module) -> None:
    """Inside `probed`: batch normalisations as fresh ones, of mean 0 and variance 1."""
    for layer in network.modules():
        if isinstance(layer, _BatchNorm):
            if layer.running_mean is None or layer.running_var is None:
                raise SpecError("vkdnw looks at single images, but a batch normalisation keeps no running statistics.")
            layer.running_mean.zero_()
            layer.running_var.fill_(1)


def _derived(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """The logits (B, K), and their derivatives by the first entry of each tensor of weights, (B, K, P) in float64."""
    with _seen_layers(network) as seen:
        logits_BK = logits_of(network, images)
    outputs = [output for _, _, output in seen]
    rows = []
    for answers in logits_BK.unbind(1):
        slopes = gradients(answers.sum(), outputs, again=True)
        by_entry: dict[nn.Parameter, Tensor] = {}
        for (layer, entered, _), slope in zip(seen, slopes, strict=True):
            for parameter, derivative in _by_first_entries(layer, entered, slope):
                # A layer that is passed twice has the sum of both derivatives.
                by_entry[parameter] = by_entry[parameter] + derivative if parameter in by_entry else derivative
        rows.append(torch.stack(list(by_entry.values()), 1))
    return logits_BK.detach(), torch.stack(rows, 1).double()


def _eigenvalues(logits_BK: Tensor, jacobian_BKP: Tensor, smoothing: float) -> Tensor:
    """The P eigenvalues of the Fisher information, ascending, in float64."""
    answers_BK = (1 - smoothing) * logits_BK.double().softmax(1) + smoothing / logits_BK.shape[1]
    # The root of diag(p) − p pᵀ without decomposing it: rows weighed by √p, from which the mean by p was taken.
    centred_BKP = jacobian_BKP - torch.einsum("bk,bkp->bp", answers_BK, jacobian_BKP)[:, None]
    stacked = (answers_BK.sqrt()[:, :, None] * centred_BKP).flatten(0, 1) / math.sqrt(len(logits_BK))
    eigenvalues: Tensor = torch.linalg.eigvalsh(stacked.T @ stacked)
    return eigenvalues.clamp(min=0)


def _entropy(eigenvalues: Tensor) -> float:
    shares = torch.linspace(0, 1, 11, dtype=eigenvalues.dtype, device=eigenvalues.device)
    quantiles = torch.quantile(eigenvalues, shares)
    if not bool(quantiles.isfinite().all()) or not float(quantiles.sum()) > 0:
        return -math.inf
    quantiles = quantiles / quantiles.sum()
    return -float((quantiles * (quantiles + 1e-10).log()).sum())


def _by_first_entries(layer: nn.Module, entered: Tensor, slope: Tensor) -> Iterator[tuple[nn.Parameter, Tensor]]:
    """For each parameter of the layer, (B,): the derivative of each image's answer by the parameter's first entry."""
    first = _first_channel(slope, last=isinstance(layer, nn.Linear))
    if isinstance(layer.weight, nn.Parameter):
        yield layer.weight, (first * _SEEN_BY[_kind(layer)](layer, entered)).sum(1)
    if isinstance(layer.bias, nn.Parameter):
        yield layer.bias, first.sum(1)


def _kind(layer: nn.Module) -> type[nn.Module]:
    return next(kind for kind in LAYERS if isinstance(layer, kind))


def _seen_by_convolution(layer: Any, entered: Tensor) -> Tensor:
    """What the first weight of the first filter is multiplied with at each place, (B, places)."""
    single = torch.zeros_like(layer.weight[:1])
    single[0, 0, 0, 0] = 1
    group = entered[:, : layer.weight.shape[1]]
    if layer.padding_mode != "zeros":
        group = F.pad(group, layer._reversed_padding_repeated_twice, mode=layer.padding_mode)
        return F.conv2d(group, single, None, layer.stride, 0, layer.dilation).flatten(1)
    return F.conv2d(group, single, None, layer.stride, layer.padding, layer.dilation).flatten(1)


def _seen_by_linear(layer: Any, entered: Tensor) -> Tensor:
    return _first_channel(entered, last=True)


def _seen_by_normalisation(layer: Any, entered: Tensor) -> Tensor:
    return _first_channel(entered, last=False) / math.sqrt(1 + layer.eps)


def _first_channel(tensor: Tensor, *, last: bool) -> Tensor:
    """(B, places) of a tensor (B, C, …), or (B, …, C) where the `last` dimension is that of channels."""
    return (tensor[..., 0] if last else tensor[:, 0]).reshape(len(tensor), -1)


_SEEN_BY: dict[type[nn.Module], Callable[[Any, Tensor], Tensor]] = {
    nn.Conv2d: _seen_by_convolution,
    nn.Linear: _seen_by_linear,
    _BatchNorm: _seen_by_normalisation,
}


@contextmanager
def _seen_layers(network: nn.Module) -> Iterator[list[tuple[nn.Module, Tensor, Tensor]]]:
    """Every pass through a layer with parameters: the layer, what entered it and what it answered."""
    found: list[tuple[nn.Module, Tensor, Tensor]] = []

    def note(layer: nn.Module, entered: tuple[Tensor, ...], answered: Tensor) -> Tensor:
        found.append((layer, entered[0].detach().clone(), answered))
        return answered.clone()  # what follows may change it in place

    layers = [layer for layer in network.modules() if isinstance(layer, LAYERS)]
    handles = [layer.register_forward_hook(note) for layer in layers]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
