"""Several processes train one network or search one supernet: each takes a part of every batch, gradients are averaged.

Started by ``torchrun``; with ``torch.distributed`` not initialised, everything here is a no-op. BatchNorm sees the part
of its own process in training; its running statistics are averaged at the end of every epoch. Since a running statistic
is linear in what is put into it, the average is the one that would have come of averaging at every step.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ogive.core.errors import MissingData, StoreError

__all__ = ["ALONE", "Ranks", "current", "group"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ranks:
    """The place of this process among those that train together."""

    rank: int
    count: int

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes files and reports."""
        return self.rank == 0

    def share(self, rows: Tensor) -> Tensor:
        """The part of a batch that this process takes; all parts have one size, up to count - 1 rows are left out."""
        size = len(rows) // self.count
        return rows[self.rank * size : (self.rank + 1) * size]

    def average_gradients(self, network: nn.Module, extra: Tensor) -> Tensor:
        """Replace every gradient by its mean over the processes; returns the mean of `extra`, a vector."""
        if self.count == 1:
            return extra
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        *means, mean = self.mean([*gradients, extra])
        for gradient, value in zip(gradients, means, strict=True):
            gradient.copy_(value)
        return mean

    def average_buffers(self, network: nn.Module) -> None:
        """Replace every floating-point buffer (BatchNorm's running statistics) by its mean over the processes."""
        buffers = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
        if self.count > 1:
            for buffer, value in zip(buffers, self.mean(buffers), strict=True):
                buffer.copy_(value)

    def start_equal(self, network: nn.Module, more: Iterable[Tensor] = ()) -> None:
        """Every process takes over the weights and buffers of the first one, and `more` tensors, wherever these are."""
        if self.count > 1:
            device = next(network.parameters()).device  # the only kind whose tensors can be sent
            for tensor in (*network.parameters(), *network.buffers(), *more):
                first = tensor.detach().to(device).contiguous()
                dist.broadcast(first, src=0)
                tensor.detach().copy_(first)

    def told(self, value: T) -> T:
        """What the first process has in place of this value, in every process; anything that can be pickled."""
        if self.count == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def wait(self) -> None:
        """Until every process is here."""
        if self.count > 1:
            dist.barrier()

    def total(self, value: float, device: torch.device) -> float:
        """The sum of a number over the processes."""
        if self.count == 1:
            return value
        summed = torch.tensor([value], dtype=torch.float64, device=device)
        dist.all_reduce(summed)
        return float(summed.item())

    def check_same_epoch(self, epoch: int, device: torch.device) -> None:
        """Refuse to go on from different checkpoints, as when a machine does not see the folder of the others."""
        if self.total(epoch, device) != epoch * self.count:
            raise StoreError(
                f"Process {self.rank} resumes after epoch {epoch}, others elsewhere: all need the same folder."
            )

    def mean(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The means over the processes, the same bits in all of them; one message for each type of number."""
        means = list(tensors)
        if self.count == 1:
            return means
        for dtype in sorted({tensor.dtype for tensor in tensors}, key=str):
            places = [place for place, tensor in enumerate(tensors) if tensor.dtype == dtype]
            flat = torch.cat([tensors[place].detach().reshape(-1) for place in places])
            dist.all_reduce(flat)
            flat /= self.count
            parts = flat.split([tensors[place].numel() for place in places])
            for place, part in zip(places, parts, strict=True):
                means[place] = part.view(tensors[place].shape)
        return means


ALONE = Ranks(0, 1)


def current() -> Ranks:
    """The place of this process, or ALONE where nothing has been initialised."""
    if not (dist.is_available() and dist.is_initialized()):
        return ALONE
    return Ranks(dist.get_rank(), dist.get_world_size())


@contextmanager
def group(device: torch.device | str = "cpu") -> Iterator[Ranks]:
    """Join the processes that ``torchrun`` started (WORLD_SIZE > 1), and leave them at the end.

    Without torchrun, or where the group exists already, this only says where this process stands.
    """
    wanted = int(os.environ.get("WORLD_SIZE", "1")) > 1 and current() == ALONE
    if not wanted:
        yield current()
        return
    if not dist.is_available():
        raise MissingData("This torch was built without torch.distributed: install another build of torch.")
    # torch.optim imports this at its first step. If that happens while the group exists, something in it keeps the
    # group's threads beyond destroy_process_group, and now and then one of them aborts the interpreter at its end.
    importlib.import_module("torch._dynamo")
    cuda = torch.device(device).type == "cuda"
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield current()
        dist.barrier()  # who leaves early closes connections that others still read
    finally:
        dist.destroy_process_group()
