"""One pass of a network over a batch, and what scores read from it: several can read from the same pass.

A score says in the default of its parameter `seen` what it reads. If it is given none it makes a pass of its own; the
number is the same to the last bit. Shape letters: B images, C channels, P pixels times channels.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ogive.scores.probe import WEIGHTED, gradients, logits_of, loss_of, probed, says_nothing, weights_of
from ogive.scores.units import Agreement, Patterns, Rectifications

__all__ = ["Matrix", "Read", "Request", "Seen"]

Matrix = npt.NDArray[np.float64]


@runtime_checkable
class Request(Protocol):
    """What the default of a parameter `seen` is. Requests of one class are united by ``|`` and met by one pass."""

    @property
    def stream(self) -> str | None:
        """The name of the random numbers that all scores with requests of this class draw; None if they draw none."""

    def look(self, score: str, network: nn.Module, images: Tensor, labels: Tensor | None, seed: int) -> Any:
        """Make the pass, in the name of `score`, and leave the network as it was."""


class Read(enum.Flag):
    """What a pass of the network as it is can show; requests are united by ``|``."""

    AGREEMENT = enum.auto()
    PATTERNS = enum.auto()
    SLOPES = enum.auto()
    EFFECTS = enum.auto()
    JACOBIAN = enum.auto()

    @property
    def stream(self) -> None:
        """Nothing is drawn."""

    def look(self, score: str, network: nn.Module, images: Tensor, labels: Tensor | None, seed: int = 0) -> Seen:
        """Pass the images through the network, which is left as it was, and back as far as the request needs it.

        Slopes and effects need labels. SpecError, in the name of `score`, for labels that no logit belongs to.
        """
        seen = _looked(score, network, images, labels, self, copies=False)
        if seen is None:
            seen = _looked(score, network, images, labels, self, copies=True)
        assert seen is not None  # what is copied cannot be overwritten
        return seen


@dataclass(frozen=True, slots=True)
class Seen:
    """What one pass in training mode showed, as far as it was asked for; of a silent network only its units."""

    silent: bool  # answers the same for all images, or no number
    agreement: Agreement
    patterns: Patterns
    # Every convolutional and linear weight with the gradient of the mean cross-entropy.
    slopes: tuple[tuple[Tensor, Tensor], ...] = ()
    # Every such layer that ran: the weights of one of its filters, and its output times the derivative of the loss by
    # it, summed over places, (B, C).
    effects: tuple[tuple[int, Tensor], ...] = ()
    # The derivative of the sum of all logits by each image, (B, P).
    jacobian: Matrix | None = None


def _looked(
    score: str, network: nn.Module, images: Tensor, labels: Tensor | None, read: Read, *, copies: bool
) -> Seen | None:
    """None if an activation in place has overwritten an output that is read, which `copies` prevents."""
    agreement, patterns = Agreement(len(images)), Patterns()
    with probed(network), torch.set_grad_enabled(bool(read & (Read.SLOPES | Read.EFFECTS | Read.JACOBIAN))):
        inputs = images.detach().clone().requires_grad_() if Read.JACOBIAN in read else images
        with _units(agreement, patterns, read), _outputs(network, read, copies=copies) as outputs:
            logits = logits_of(network, inputs)
        if says_nothing(logits, images):
            return Seen(True, agreement, patterns)
        if any(output._version != version for _, output, version in outputs):
            return None
        weights = weights_of(score, network) if Read.SLOPES in read else []
        by_weight: list[Tensor] = []
        by_output: list[Tensor] = []
        if labels is not None and (weights or outputs):
            wanted = [*weights, *(output for _, output, _ in outputs)]
            found = gradients(loss_of(score, logits, labels), wanted, again=Read.JACOBIAN in read)
            by_weight, by_output = found[: len(weights)], found[len(weights) :]
        jacobian = gradients(logits.sum(), [inputs])[0].flatten(1) if Read.JACOBIAN in read else None
        return Seen(
            False,
            agreement,
            patterns,
            tuple((weight.detach(), slope) for weight, slope in zip(weights, by_weight, strict=True)),
            tuple(
                (layer.weight[0].numel(), _by_channel(layer, output.detach() * slope))
                for (layer, output, _), slope in zip(outputs, by_output, strict=True)
            ),
            None if jacobian is None else jacobian.double().numpy(force=True),
        )


@contextmanager
def _units(agreement: Agreement, patterns: Patterns, read: Read) -> Iterator[None]:
    collecting: list[Callable[[Tensor], None]] = []
    if Read.AGREEMENT in read:
        collecting.append(agreement.add)
    if Read.PATTERNS in read:
        collecting.append(patterns.add)

    def see(inputs: Tensor) -> None:
        for collect in collecting:
            collect(inputs)

    with Rectifications(see) if collecting else nullcontext():
        yield


@contextmanager
def _outputs(network: nn.Module, read: Read, *, copies: bool) -> Iterator[list[tuple[Any, Tensor, int]]]:
    """Every convolutional and linear layer that is run, with its output and how often that was written to, in order."""
    found: list[tuple[Any, Tensor, int]] = []

    def note(layer: nn.Module, _: Any, output: Tensor) -> Tensor:
        found.append((layer, output, output._version))
        return output.clone() if copies else output

    layers = [layer for layer in network.modules() if isinstance(layer, WEIGHTED)] if Read.EFFECTS in read else []
    handles = [layer.register_forward_hook(note) for layer in layers]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _by_channel(layer: Any, effect: Tensor) -> Tensor:
    """Sums over places, shape (B, C); the channels of a linear layer are last."""
    places = tuple(range(1, effect.ndim - 1)) if isinstance(layer, nn.Linear) else tuple(range(2, effect.ndim))
    return effect.sum(places) if places else effect
