"""Memory: how much a network of each candidate takes for one sample in training, by running it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from torch import nn

from ogive.core.architecture import Architecture
from ogive.core.errors import OgiveError, Oversized, SpecError
from ogive.core.metric import MEMORY
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Cost, Measurement, Proposal
from ogive.evaluators.trained import reason_of
from ogive.networks.build import build, fitted_skeleton
from ogive.training.data import Data
from ogive.training.memory import kept_bytes
from ogive.training.task import Size, Task
from ogive.training.threads import threads as torch_threads

__all__ = ["Memory"]


class Memory:
    """Measures ``memory_mb``: the parameters of a candidate, and what a forward pass keeps of a sample for training.

    The network is built and run on `samples` training inputs, and what autograd then holds is counted and divided by
    them; what several layers share counts once. `channels` and `cells` are its size, by default the published one.
    """

    metrics = (MEMORY,)

    def __init__(
        self,
        *,
        space: SearchSpace,
        data: Data,
        task: Task[Any] | None = None,
        seed: Seed,
        samples: int = 2,  # batch normalisation of a single one has no variance
        channels: int | None = None,
        cells: int | None = None,
        device: str = "cpu",
        threads: int | None = None,
    ) -> None:
        if not 2 <= samples <= len(data.train):
            raise SpecError(f"Between 2 and all {len(data.train)} samples are needed, but got samples={samples}.")
        self.space, self.seed, self.device, self.threads = space, seed, device, threads
        self._skeleton = fitted_skeleton(space.name, data.shape, len(data.classes), channels=channels, cells=cells)
        self._task, self._size = task, Size(channels=channels, cells=cells)
        self._inputs = data.normalised(data.train.images[:samples])

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        """Megabytes, of 1,000,000 bytes, for each proposal."""
        with torch_threads(self.threads):
            return [self._measured(proposal) for proposal in proposals]

    def _measured(self, proposal: Proposal) -> Measurement:
        started, arch = time.perf_counter(), proposal.arch
        metrics: dict[str, float] = {}
        error = None
        try:
            seed = self.seed.child(str(arch)).integer("weights")
            network = self._network(arch, seed).to(self.device)
            inputs = self._inputs.to(self.device)
            kept = sum(kept_bytes(network, inputs))
            weights = sum(parameter.nbytes for parameter in network.parameters())
            metrics[MEMORY.name] = (weights + kept / len(inputs)) / 1e6
        except Oversized as oversized:
            error = str(oversized)
        except OgiveError:
            raise
        except Exception as mishap:  # noqa: BLE001 - whatever one candidate runs into must not cost the others
            error = reason_of(mishap)
        return Measurement(metrics, Cost(time.perf_counter() - started), error)

    def _network(self, arch: Architecture, seed: int) -> nn.Module:
        """That of the task, or without one a classifier."""
        if self._task is not None:
            return self._task.network(arch, self._size, self._task.recipe(), seed=seed)
        return build(arch, self._skeleton, seed=seed, space=self.space)
