"""How much memory a training takes, told before it starts, and how much a machine has."""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch
from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.networks.outlines import Shapes
from ogive.training.recipe import Recipe

__all__ = ["capacity", "is_out_of_memory", "kept_bytes", "refuse_too_large", "training_bytes"]

CPU = torch.device("cpu")
CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def training_bytes(network: nn.Module, shape: tuple[int, ...], recipe: Recipe) -> int:
    """Bytes that a step of training holds at its peak, of a network on the "meta" device; nothing is computed.

    `shape` is that of one input: of an image, or of the noise that a generator reads.

    Counted are weights, gradients, what the optimiser remembers, the moving average, what one forward pass of a batch
    keeps for the backward pass, and the largest of these twice more for gradients in flight. The work space of
    convolutions is not, nor the images of the data set.
    """
    weights = sum(tensor.nbytes for tensor in (*network.parameters(), *network.buffers()))
    copies = 2 + (2 if recipe.optimizer == "adamw" else recipe.momentum > 0) + (recipe.average > 0)
    dtype = next(network.parameters()).dtype
    images = torch.empty(recipe.batch_size, *shape, dtype=dtype, device="meta")
    sizes = kept_bytes(network, images)
    return copies * weights + images.nbytes + sum(sizes) + 2 * max(sizes, default=0)


def kept_bytes(network: nn.Module, inputs: Tensor) -> list[int]:
    """The sizes of what a forward pass in training mode keeps for the backward pass, beside weights.

    On the "meta" device nothing is computed. Of a network with values, what it counts in passing, such as running
    statistics, is changed.
    """
    own = {_key(tensor) for tensor in (*network.parameters(), *network.buffers())}
    # Storages, not their sizes: one that is freed, as of a branch that leads nowhere, could lend its key to another.
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        if _key(tensor) not in own:
            kept[_key(tensor)] = tensor.untyped_storage()
        return tensor.detach()  # an output saved by its own graph would be a cycle that no garbage collection sees

    mode = network.training
    network.train()
    with Shapes(), torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(inputs)
    network.train(mode)
    return [storage.nbytes() for storage in kept.values()]


def _key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def capacity(device: torch.device) -> int | None:
    """Bytes of memory that a device has in all, None where it cannot be known; a container's limit counts."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    if device.type != "cpu" or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in CGROUP_LIMITS:
        text = path.read_text().strip() if path.is_file() else ""
        limits += [int(text)] if text.isdigit() else []
    return min(limits)


def refuse_too_large(what: str, shape: tuple[int, ...], *, item: int, way_out: str, device: torch.device = CPU) -> None:
    """SpecError if a tensor of this shape, with `item` bytes an element, is larger than the device's whole memory."""
    limit, needed = capacity(device), math.prod(shape) * item
    if limit is not None and needed > limit:
        text = "×".join(str(side) for side in shape)
        raise SpecError(
            f"{what} ({text}) would take {needed / (1 << 30):,.1f} GiB, but {device} has {limit / (1 << 30):,.1f} GiB "
            f"in all: {way_out}."
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory could not be had, on a GPU or on a CPU."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    # torch's allocator for CPUs raises a plain RuntimeError.
    words = ("not enough memory", "can't allocate memory", "out of memory")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)
