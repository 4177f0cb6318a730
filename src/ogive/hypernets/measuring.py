"""How good predicted networks are: accuracy on fixed images, with the statistics of each batch of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ogive.core.rng import Seed
from ogive.hypernets.ghn import GHN, predicted
from ogive.hypernets.population import Member
from ogive.training.data import Data, Split
from ogive.training.statistics import drawn_images, fixed_batches, without_statistics
from ogive.training.supervised import Accuracy

__all__ = ["IMAGES", "accuracies", "looked_at", "of_random_weights", "with_weights"]

# Batch statistics are those of so many images, as in evaluation by the authors: their order matters, and is fixed here.
IMAGES = 64


def looked_at(split: Split, count: int) -> Split:
    """The images that networks are measured on: the same for everybody, of all classes."""
    return drawn_images(split, Seed(0).numpy("images of predicted networks"), count)


def accuracies(ghn: GHN, members: Sequence[Member], data: Data, split: Split) -> list[float]:
    """Accuracy in per cent of each network with predicted parameters, on a split."""
    device = ghn.embed.weight.device
    batches = fixed_batches(data, split, device, IMAGES)
    mode = ghn.training
    ghn.eval()
    found = [_accuracy(member, predicted(ghn, [member.graph])[0], batches) for member in members]
    ghn.train(mode)
    return found


def of_random_weights(members: Sequence[Member], data: Data, split: Split, seed: Seed) -> list[float]:
    """The same with the weights that each network is initialised with, as torch draws them."""
    batches = fixed_batches(data, split, torch.device("cpu"), IMAGES)
    found = []
    for number, member in enumerate(members):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed.integer(f"network {number}"))  # noqa: TID251 - forked
            weights = dict(member.module("cpu").named_parameters())
        found.append(_accuracy(member, weights, batches))
    return found


def with_weights(module: nn.Module, weights: Mapping[str, Tensor], x_NCHW: Tensor) -> Tensor:
    """The outputs of a module with other weights than its own, through which gradients flow; it is not changed."""
    outputs: Tensor = functional_call(module, dict(weights), (x_NCHW,))
    return outputs


def _accuracy(member: Member, weights: Mapping[str, Tensor], batches: Sequence[tuple[Tensor, Tensor]]) -> float:
    module = member.module().eval()
    without_statistics(module)
    right = sum(float(Accuracy().each(_outputs(module, weights, x_NCHW), y_N).sum()) for x_NCHW, y_N in batches)
    return Accuracy().told(right, sum(len(y_N) for _, y_N in batches))


def _outputs(module: nn.Module, weights: Mapping[str, Tensor], x_NCHW: Tensor) -> Tensor:
    with torch.no_grad():
        return with_weights(module, weights, x_NCHW)
