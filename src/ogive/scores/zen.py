"""Zen-Score: how strongly a network with Gaussian weights reacts to a small change of a Gaussian image.

Lin et al., "Zen-NAS: A Zero-Shot NAS for High-Performance Image Recognition", ICCV 2021, algorithm 1; details as in
SLDGroup/ZiCo, compute_zen_score.py. No data and no labels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ogive.core.errors import SpecError
from ogive.scores.probe import finite_or_last, probed, redraw, refuse_images, weights_of

__all__ = ["zen"]


def zen(
    network: nn.Module,
    images: Tensor,
    *,
    seed: int = 0,
    repeats: int = 4,  # the release's default is 32, for eight times the seconds
    change: float = 0.01,  # the release's mixup_gamma
) -> float:
    """The mean over `repeats` of log(mean over images of the L1 distance) + the sum over BN layers of log(deviation).

    Each time, convolutional and linear weights are drawn from N(0, 1), images x and z too, and the distance is that of
    the last feature maps of x and of x + `change` z. The deviation of a batch normalisation is the root of the mean of
    its running variance, which makes up for what it divides by. Of `images` only the shape is used, of at most 16 as in
    the release. The last feature maps are the last output of a module that has four dimensions and more than one pixel,
    or simply four dimensions if none has more. -inf where nothing arrives.
    """
    refuse_images("zen", images, least=1)
    weights_of("zen", network)
    like = images[:16]
    with probed(network, seed=seed), torch.no_grad(), _last_maps(network) as maps:
        found = [_once(network, like, change, maps) for _ in range(repeats)]
    return finite_or_last(math.fsum(found) / repeats) if -math.inf not in found else -math.inf


def _once(network: nn.Module, like: Tensor, change: float, maps: list[Tensor]) -> float:
    redraw(network, lambda weight: 1.0)
    x, z = (torch.randn(like.shape, dtype=like.dtype).to(like.device) for _ in range(2))
    features = []
    for batch in (x, x + change * z):
        maps.clear()
        network(batch)
        features.append(_last(maps, network))
    distance = float((features[0] - features[1]).abs().flatten(1).sum(1).mean())
    if not distance > 0:
        return -math.inf
    variances = [
        float(layer.running_var.mean())
        for layer in network.modules()
        if isinstance(layer, _BatchNorm) and layer.running_var is not None
    ]
    if not all(variance > 0 for variance in variances):
        return -math.inf
    return math.log(distance) + sum(0.5 * math.log(variance) for variance in variances)


@contextmanager
def _last_maps(network: nn.Module) -> Iterator[list[Tensor]]:
    """The outputs of four dimensions of all modules, in the order in which they came out."""
    found: list[Tensor] = []

    def note(_: nn.Module, __: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4:
            # Only the last two kinds are ever asked for: keep one of each.
            wide = output.shape[2] * output.shape[3] > 1
            found[:] = [kept for kept in found if (kept.shape[2] * kept.shape[3] > 1) != wide]
            found.append(output.clone())

    handles = [module.register_forward_hook(note) for module in network.modules()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _last(maps: list[Tensor], network: nn.Module) -> Tensor:
    wide = [output for output in maps if output.shape[2] * output.shape[3] > 1]
    if not maps:
        raise SpecError(f"zen compares the last feature maps of a network, but {type(network).__name__} has none.")
    return (wide or maps)[-1]
