"""Batches: the training images of a data set on a device, shuffled and changed at random, epoch after epoch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.training import augment
from ogive.training.autoaugment import POLICIES, autoaugment
from ogive.training.data import Data
from ogive.training.distributed import Ranks
from ogive.training.photographs import colour_jitter, resized_crop
from ogive.training.recipe import Recipe

__all__ = ["LAYOUT", "Batch", "Batches", "laid_out", "layout_for", "placed"]

# Channels of a pixel side by side: what tensor cores want, and on a CPU a step of a small network takes a third less.
LAYOUT = torch.channels_last


def layout_for(network: nn.Module, device: torch.device) -> torch.memory_format:
    """The order of memory to train a network in: `LAYOUT`, but where torch would write outside its memory in that.

    On a CPU, that is the gradient of a 1×1 convolution with a stride and fewer than 16 input channels (2.13,
    oneDNN) for a batch that its threads cannot share equally; networks of ours have none (`ops.SampledConv2d`).
    """
    fails = device.type == "cpu" and any(
        type(layer) is nn.Conv2d
        and layer.kernel_size == (1, 1)
        and layer.stride != (1, 1)
        and layer.in_channels < 16 * layer.groups
        for layer in network.modules()
    )
    return torch.contiguous_format if fails else LAYOUT


def laid_out(inputs: Tensor, layout: torch.memory_format = LAYOUT) -> Tensor:
    """The inputs in an order of memory, which rows have only one of."""
    return inputs.contiguous(memory_format=layout) if inputs.ndim == 4 else inputs.contiguous()


@dataclass(frozen=True, slots=True)
class Batch:
    """Normalised images (N, C, H, W) and labels (N,); for mixup, also the labels of the images mixed in.

    `weight` is the weight of the first images and labels.
    """

    images: Tensor
    labels: Tensor
    others: Tensor | None = None
    weight: float = 1.0

    def rate(self, rate: float) -> float:
        """The learning rate of a step on it: that of all."""
        return rate

    def measured(self, outputs: Tensor, measure: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """What `measure` says of outputs, in at least float32, and targets; of both where two images are mixed."""
        exact = outputs if outputs.dtype == torch.float64 else outputs.float()
        loss = measure(exact, self.labels)
        if self.others is None:
            return loss
        return self.weight * loss + (1 - self.weight) * measure(exact, self.others)

    def share(self, ranks: Ranks) -> Batch:
        """The part of one process."""
        if ranks.count == 1:
            return self
        others = None if self.others is None else ranks.share(self.others)
        return Batch(ranks.share(self.images), ranks.share(self.labels), others, self.weight)


class Batches:
    """Makes the batches of each epoch from streams of random numbers that are named after the epoch.

    Every process makes the whole batch and takes its part of it: that costs little beside the network, and the images
    do not depend on the number of processes.
    """

    def __init__(
        self,
        data: Data,
        recipe: Recipe,
        device: torch.device,
        dtype: torch.dtype,
        ranks: Ranks,
        layout: torch.memory_format = LAYOUT,
    ) -> None:
        count, self.layout = len(data.train), layout
        self.data, self.recipe, self.device, self.dtype, self.ranks = data, recipe, device, dtype, ranks
        self.steps = math.ceil(count / recipe.batch_size)
        if count // self.steps < ranks.count:
            raise SpecError(f"{count} images in {self.steps} steps cannot be shared by {ranks.count} processes.")

    def epoch(self, streams: Seed) -> Iterator[Batch]:
        """All training images once, in `steps` batches of equal size, give or take one.

        Equal batches instead of a short last one, whose gradient and batch norms would be the noisiest.
        """
        order = torch.Generator().manual_seed(streams.integer("order"))
        drawn = torch.Generator(self.device).manual_seed(streams.integer("images"))
        mixed = torch.Generator().manual_seed(streams.integer("mixup"))
        for rows in torch.randperm(len(self.data.train), generator=order).tensor_split(self.steps):
            yield self._mixed(self._batch(rows, drawn), mixed).share(self.ranks)

    def beside(self, streams: Seed) -> Iterator[Batch]:
        """Batches without an end: should they run out, they begin anew in another order."""
        for turn in itertools.count():
            yield from self.epoch(streams.child(f"validation {turn}"))

    def _batch(self, rows: Tensor, drawn: torch.Generator) -> Batch:
        recipe, split = self.recipe, self.data.train
        rows = rows.to(split.labels.device)
        images, y_N = self._placed(split.images[rows].to(self.device), split.labels[rows].to(self.device), drawn)
        if recipe.autoaugment:
            images = autoaugment(images, drawn, POLICIES[recipe.policy])
        if recipe.jitter or recipe.hue:
            images = colour_jitter(images, recipe.jitter, recipe.hue, drawn)
        x_NCHW = self.data.normalised(laid_out(images, self.layout), self.dtype)
        if recipe.cutout:
            x_NCHW = augment.cutout(x_NCHW, recipe.cutout, drawn)
        return Batch(x_NCHW, y_N)

    def _placed(self, images: Tensor, targets: Tensor, drawn: torch.Generator) -> tuple[Tensor, Tensor]:
        """Images moved and mirrored, and their targets, which that is nothing to."""
        recipe = self.recipe
        if recipe.resized_crop:
            images = resized_crop(images, recipe.resized_crop, drawn)
        else:
            images = augment.crop(images, self.padding, drawn)
        return (augment.flip(images, drawn) if self.flips else images), targets

    @property
    def padding(self) -> int:
        """How far images are moved, at most."""
        return self.data.augmentation.padding if self.recipe.padding is None else self.recipe.padding

    @property
    def flips(self) -> bool:
        """Whether images are mirrored."""
        return self.data.augmentation.flip if self.recipe.flip is None else self.recipe.flip

    def _mixed(self, batch: Batch, mixed: torch.Generator) -> Batch:
        if not self.recipe.mixup:
            return batch
        weight = augment.mixing_weight(self.recipe.mixup, mixed)
        partner = torch.randperm(len(batch.labels), generator=mixed).to(self.device)
        x_NCHW = weight * batch.images + (1 - weight) * batch.images[partner]
        return Batch(x_NCHW, batch.labels, batch.labels[partner], weight)


def placed(data: Data, device: torch.device) -> Data:
    """Train and validation images on a GPU, unless they would take more than half of the memory that is free there."""
    if device.type != "cuda":
        return data
    free, _ = torch.cuda.mem_get_info(device)
    if sum(split.images.nbytes for split in (data.train, data.val)) > free // 2:
        return data
    return replace(data, train=data.train.to(device), val=data.val.to(device))
