"""Look into a network without leaving a trace: training mode, gradients and random numbers for a while, then as before.

Shape letters: B images.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ogive.core.errors import SpecError

__all__ = [
    "WEIGHTED",
    "finite_or_last",
    "gradients",
    "logits_of",
    "loss_of",
    "probed",
    "redraw",
    "refuse_images",
    "refuse_labels",
    "says_nothing",
    "weights_of",
]

# The layers whose weights the published scores look at.
WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


@contextmanager
def probed(network: nn.Module, *, seed: int = 0) -> Iterator[None]:
    """Training mode with gradients and a random state of its own; everything is put back.

    Modes, buffers, weights, ``requires_grad``, ``grad`` and torch's global random state are as before afterwards.
    Inside, buffers are copies, and a weight is changed by giving ``parameter.data`` another tensor, never in place.
    """
    modes = [(module, module.training) for module in network.modules()]
    buffers = [(module, dict(module._buffers)) for module in network.modules()]
    parameters = [(parameter, parameter.data, parameter.requires_grad) for parameter in network.parameters()]
    device = _device(network)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.enable_grad():
        _seed(seed, device)
        try:
            network.train()
            for parameter, _, _ in parameters:
                parameter.requires_grad_(parameter.is_floating_point())
            for module, named in buffers:
                module._buffers.update({name: _copy(buffer) for name, buffer in named.items()})
            yield
        finally:
            for module, named in buffers:
                module._buffers.update(named)
            for parameter, data, required in parameters:
                parameter.data = data
                parameter.requires_grad_(required)
            for module, training in modes:
                module.training = training


def redraw(network: nn.Module, deviation: Callable[[Tensor], float]) -> None:
    """Inside `probed`: Gaussian weights of that deviation, biases of zero, normalisations that do nothing more.

    Drawn on the CPU, so that a GPU scores the same networks.
    """
    for layer in network.modules():
        if isinstance(layer, WEIGHTED):
            weight = layer.weight
            drawn = deviation(weight) * torch.randn(weight.shape, dtype=weight.dtype)
            weight.data = drawn.to(weight.device)
        elif isinstance(layer, (_BatchNorm, nn.GroupNorm)) and layer.weight is not None:
            layer.weight.data = torch.ones_like(layer.weight.data)
        else:
            continue
        if layer.bias is not None:
            layer.bias.data = torch.zeros_like(layer.bias.data)


def refuse_images(score: str, images: Tensor, *, least: int = 2) -> None:
    """SpecError for images that are no floating numbers, and for fewer than `least`."""
    if not images.is_floating_point():
        raise SpecError(f"{score} takes normalised images of floating numbers, but got {images.dtype}.")
    if images.ndim < 2 or len(images) < least:
        number = {1: "one image", 2: "two images"}.get(least, f"{least} images")
        raise SpecError(f"{score} needs at least {number}, but got the shape {tuple(images.shape)}.")


def refuse_labels(score: str, images: Tensor, labels: Tensor) -> None:
    """SpecError for labels that are no whole numbers, one for each image."""
    if labels.shape != images.shape[:1] or labels.is_floating_point() or labels.is_complex():
        raise SpecError(
            f"{score} takes one whole number as the label of each of the {len(images)} images, but got {labels.dtype} "
            f"of the shape {tuple(labels.shape)}."
        )


def weights_of(score: str, network: nn.Module) -> list[nn.Parameter]:
    """The weights of the convolutional and linear layers, each once; SpecError if there is none."""
    found = [layer.weight for layer in network.modules() if isinstance(layer, WEIGHTED)]
    if not found:
        raise SpecError(
            f"{score} looks at the weights of convolutional and linear layers, but {type(network).__name__} has none."
        )
    return [weight for weight in dict.fromkeys(found) if isinstance(weight, nn.Parameter)]


def logits_of(network: nn.Module, images: Tensor) -> Tensor:
    """What the network answers, shape (B, ...); of a network with a second head, the answer of the first."""
    answer = network(images)
    logits: Tensor = answer[0] if isinstance(answer, (tuple, list)) else answer
    return logits


def says_nothing(logits: Tensor, images: Tensor) -> bool:
    """Whether the answer is no number, or the same for all images, as that of a network cut off from its input is.

    Images that are all the same say nothing either, although dropout may answer them differently.
    """
    same = bool((logits == logits[:1]).all()) or bool((images == images[:1]).all())
    return same or not bool(logits.isfinite().all())


def loss_of(score: str, logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy; SpecError for a label that no logit belongs to."""
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise SpecError(
            f"{score}: the network tells {logits.shape[1]} classes apart, but the labels go from {int(labels.min())} "
            f"to {int(labels.max())}."
        )
    return F.cross_entropy(logits, labels)


def gradients(of: Tensor, by: Sequence[Tensor], *, create_graph: bool = False, again: bool = False) -> list[Tensor]:
    """The derivative by each tensor; zeros where there is none. `again` keeps the graph for a further call."""
    if not of.requires_grad:
        return [torch.zeros_like(tensor) for tensor in by]
    keep = again or create_graph
    return list(torch.autograd.grad(of, by, create_graph=create_graph, retain_graph=keep, materialize_grads=True))


def finite_or_last(value: float) -> float:
    """The score, and -inf in the place of what is no number, which would be neither above nor below anything."""
    return -math.inf if math.isnan(value) else value


def _copy(buffer: Tensor | None) -> Tensor | None:
    return None if buffer is None else buffer.clone()


def _device(network: nn.Module) -> torch.device:
    tensors: Iterator[Tensor] = itertools.chain(network.parameters(), network.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def _seed(seed: int, device: torch.device) -> None:
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
