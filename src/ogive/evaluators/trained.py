"""Trained: build the network of a candidate, train it for its task and measure it on the validation part."""

from __future__ import annotations

import gc
import hashlib
import logging
import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ogive.core.architecture import Architecture
from ogive.core.errors import OgiveError, SpecError
from ogive.core.metric import MACS, PARAMS
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Cost, Fidelity, Measurement, Proposal
from ogive.training.distributed import current
from ogive.training.loop import Diverged, Tell, drive
from ogive.training.memory import capacity, is_out_of_memory
from ogive.training.task import Part, Prepared, Scheduled, Size, Task, mean
from ogive.training.threads import threads as torch_threads

__all__ = ["Trained", "own_folder", "reason_of"]

logger = logging.getLogger(__name__)

MEGABYTE = 1 << 20


class Trained:
    """Trains every candidate from scratch; the fidelity of a proposal is a number of epochs, or steps, of the recipe.

    Measures what its task measures (the mean over `repeats` trainings with different weights and batches), ``params``
    and ``macs``. What comes out depends on the seed, the architecture and the fidelity alone. A candidate that diverges
    or runs out of memory is a failed measurement.

    `recipe`: how it trains, by default as the task does; with another fidelity the warm-up takes the same share.
    `size`: of the networks. `threads`: of torch, while this evaluator works. `memory_limit_mb`: candidates that would
    need more are failed before they are trained; None for what the device has. `folder`: where unfinished trainings
    leave checkpoints, so that a killed run goes on in the middle of one. `progress` is told where a training stands.
    """

    def __init__(
        self,
        *,
        task: Task[Any],
        seed: Seed,
        recipe: Scheduled | None = None,
        size: Size = Size(),  # noqa: B008 - frozen
        space: SearchSpace | None = None,
        device: str = "cpu",
        threads: int | None = None,
        folder: Path | None = None,
        repeats: int = 1,
        memory_limit_mb: int | None = None,
        progress: Tell | None = None,
    ) -> None:
        for word, value in (("repeats", repeats), ("threads", threads), ("memory_limit_mb", memory_limit_mb)):
            if value is not None and value < 1:
                raise SpecError(f"{word} must be at least 1, but got {value}.")
        self.metrics = (*task.metrics, PARAMS, MACS)
        self.repeats, self.threads, self.progress = repeats, threads, progress
        self._task, self._size, self._seed, self._folder = task, size, seed, folder
        self._device = torch.device(device)
        self._recipe = task.fitted(task.recipe() if recipe is None else recipe, size, space)
        limit = capacity(self._device) if memory_limit_mb is None else memory_limit_mb * MEGABYTE
        self._limit: float = math.inf if limit is None else limit

    def __getstate__(self) -> dict[str, Any]:
        # Who watches stays in the process that watches: a callback cannot be sent to a worker.
        return {**self.__dict__, "progress": None}

    @property
    def epochs(self) -> int:
        """The full fidelity: epochs, or steps."""
        return int(self._recipe.length)

    def rehearse(self) -> float:
        """About how many seconds the task takes before its first candidate."""
        if not isinstance(self._task, Prepared):
            return 0.0
        with torch_threads(self.threads):
            return self._task.rehearse(self._recipe, seed=self._seed, device=self._device)

    @property
    def fidelity(self) -> Fidelity:
        """Its epochs or steps; each number of them is a training with a schedule of its own."""
        return Fidelity(self._recipe.unit, self.epochs)

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        with torch_threads(self.threads):
            if proposals and isinstance(self._task, Prepared):  # outside: its failure is no failure of a candidate
                self._task.prepare(self._recipe, seed=self._seed, device=self._device, tell=self.progress)
            return [self._measured(proposal) for proposal in proposals]

    def _measured(self, proposal: Proposal) -> Measurement:
        started = time.perf_counter()
        arch, recipe = proposal.arch, self._recipe
        if proposal.fidelity is not None:
            recipe = recipe.lasting(proposal.fidelity)
        place = own_folder(self._folder, arch, recipe.length)
        metrics: dict[str, float] = {}
        error = None
        try:
            outline = self._task.network(arch, self._size, recipe, seed=None)
            metrics |= self._task.counted(outline)
            self._refuse_too_large(outline, recipe)
            metrics |= mean([self._trained(arch, recipe, repeat, place) for repeat in range(self.repeats)])
        except Diverged as diverged:
            error = f"diverged: {diverged}"
        except OgiveError:
            raise
        except Exception as mishap:  # noqa: BLE001 - whatever one candidate runs into must not cost the others
            error = reason_of(mishap)
        if place is not None and current().writes:
            shutil.rmtree(place, ignore_errors=True)
        if error is not None:
            logger.info("%s failed: %s", arch, error)
            self._give_memory_back()
        return Measurement(metrics, Cost(time.perf_counter() - started), error)

    def _refuse_too_large(self, outline: nn.Module, recipe: Any) -> None:
        needed = self._task.memory(outline, recipe)
        if needed > self._limit:
            raise MemoryError(
                f"training would take about {needed / MEGABYTE:,.0f} MiB, "
                f"and the limit is {self._limit / MEGABYTE:,.0f} MiB"
            )

    def _trained(self, arch: Architecture, recipe: Any, repeat: int, place: Path | None) -> dict[str, float]:
        """The metrics of one training: what it found itself, and what its task promises beside that."""
        task, seed = self._task, self._seed.child(str(arch)).child(f"repeat {repeat}")
        network = task.network(arch, self._size, recipe, seed=seed.integer("weights"))
        training = task.training(network, recipe, seed=seed, device=self._device)
        folder = None if place is None else place / f"repeat-{repeat}"
        found = dict(drive(training, folder=folder, tell=self.progress))
        parts: tuple[tuple[Part, bool], ...] = (("val", False), ("test", True))
        for part, test in parts:
            if any(metric.name not in found for metric in task.metrics if metric.test == test):
                found |= task.measured(network, part, recipe, seed=self._seed)
        return found

    def _give_memory_back(self) -> None:
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def own_folder(folder: Path | None, arch: Architecture, length: int) -> Path | None:
    """A folder of a proposal's own inside `folder`: another process may be training another one."""
    return None if folder is None else folder / hashlib.sha256(f"{arch} {length}".encode()).hexdigest()[:16]


def reason_of(mishap: Exception) -> str:
    """Why a candidate failed, in one line."""
    kind = "out of memory" if is_out_of_memory(mishap) else type(mishap).__name__
    return f"{kind}: {mishap}".splitlines()[0]
