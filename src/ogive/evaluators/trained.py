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
from ogive.core.capabilities import Guessed
from ogive.core.errors import OgiveError, Oversized, ProtocolError, SpecError
from ogive.core.graph import DISCONNECTED
from ogive.core.metric import MACS, PARAMS, Guess
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Cost, Fidelity, Measurement, Proposal
from ogive.training.distributed import current
from ogive.training.lock import lock
from ogive.training.loop import Diverged, Tell, drive
from ogive.training.memory import capacity, is_out_of_memory
from ogive.training.task import Part, Prepared, Scheduled, Size, Task, mean
from ogive.training.threads import threads as torch_threads

__all__ = ["Trained", "own_folder", "reason_of"]

logger = logging.getLogger(__name__)

MEGABYTE = 1 << 20


class Trained:
    """Trains every candidate; the fidelity of a proposal is how many epochs, or steps, of the whole training it gets.

    Measures what its task measures (the mean over `repeats` trainings with different weights and batches), ``params``
    and ``macs``. What comes out depends on the seed, the architecture and the fidelity alone. A candidate that diverges
    or runs out of memory is a failed measurement, and so is, untrained, one whose graph in `space` has no path from
    input to output. At a lower fidelity, a rung, a candidate is trained to there on the schedule of the whole and its
    state is kept in `folder`: a higher rung goes on from it, and ends with the weights of one training without a pause,
    to the bit.

    `recipe`: how it trains, by default as the task does.
    `size`: of the networks. `threads`: of torch, while this evaluator works. `memory_limit_mb`: candidates that would
    need more are failed before they are trained; None for what the device has. `folder`: where trainings that are not
    whole leave checkpoints, so that a killed run goes on in the middle of one, too; without it a rung starts at 0.
    `progress` is told where a training stands.
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
        self._device, self._space = torch.device(device), space
        self._recipe = task.fitted(task.recipe() if recipe is None else recipe, size, space)
        limit = capacity(self._device) if memory_limit_mb is None else memory_limit_mb * MEGABYTE
        self._limit: float = math.inf if limit is None else limit

    def __getstate__(self) -> dict[str, Any]:
        # Who watches stays in the process that watches: a callback cannot be sent to a worker.
        return {**self.__dict__, "progress": None}

    def rehearse(self) -> float:
        """About how many seconds the task takes before its first candidate."""
        if not isinstance(self._task, Prepared):
            return 0.0
        with torch_threads(self.threads):
            return self._task.rehearse(self._recipe, seed=self._seed, device=self._device)

    @property
    def fidelity(self) -> Fidelity:
        """Its epochs or steps, of which any number is a rung of the whole training."""
        return Fidelity(self._recipe.unit, int(self._recipe.length), continued=True)

    @property
    def guesses(self) -> Sequence[Guess]:
        """What guessing reaches on the validation part, as the task knows it."""
        return self._task.guesses if isinstance(self._task, Guessed) else ()

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        with torch_threads(self.threads):
            if proposals and isinstance(self._task, Prepared):  # outside: its failure is no failure of a candidate
                self._task.prepare(self._recipe, seed=self._seed, device=self._device, tell=self.progress)
            return [self._measured(proposal) for proposal in proposals]

    def forget(self, arch: Architecture) -> None:
        """Remove the rungs of an architecture, from which no higher one will go on."""
        place = None if self._folder is None else own_folder(self._folder, arch, int(self._recipe.length))
        if place is not None and place.is_dir():
            with lock(place, "same architecture", self.progress):
                shutil.rmtree(place, ignore_errors=True)

    def _measured(self, proposal: Proposal) -> Measurement:
        full = int(self._recipe.length)
        rung = full if proposal.fidelity is None else proposal.fidelity
        if not 1 <= rung <= full:
            return Measurement(error=f"a whole training has {full} {self._recipe.unit}, but {rung} were asked")
        if self._folder is None:
            return self._measured_in(None, proposal.arch, rung)
        place = own_folder(self._folder, proposal.arch, full)
        with lock(place, "same architecture", self.progress):
            found = self._measured_in(place, proposal.arch, rung)
            if current().writes and (rung == full or found.error is not None):
                shutil.rmtree(place, ignore_errors=True)
        return found

    def _measured_in(self, place: Path | None, arch: Architecture, rung: int) -> Measurement:
        started, recipe = time.perf_counter(), self._recipe
        metrics: dict[str, float] = {}
        error = None
        try:
            if self._space is not None and self._space.draw(arch).is_disconnected:
                return Measurement(error=DISCONNECTED)
            outline = self._task.network(arch, self._size, recipe, seed=None)
            metrics |= self._task.counted(outline)
            self._refuse_too_large(outline, recipe)
            metrics |= mean([self._trained(arch, rung, repeat, place) for repeat in range(self.repeats)])
        except Diverged as diverged:
            error = f"diverged: {diverged}"
        except Oversized as oversized:
            error = str(oversized)
        except OgiveError:
            raise
        except Exception as mishap:  # noqa: BLE001 - whatever one candidate runs into must not cost the others
            error = reason_of(mishap)
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

    def _trained(self, arch: Architecture, rung: int, repeat: int, place: Path | None) -> dict[str, float]:
        """The metrics of one training: what it found itself, and what its task promises beside that."""
        task, recipe, seed = self._task, self._recipe, self._seed.child(str(arch)).child(f"repeat {repeat}")
        network = task.network(arch, self._size, recipe, seed=seed.integer("weights"))
        training = task.training(network, recipe, seed=seed, device=self._device)
        folder, lower = (None, []) if place is None else _rungs(place, rung, recipe.length, f"repeat-{repeat}")
        found = dict(drive(training, folder=folder, until=rung, lower=lower, tell=self.progress))
        parts: tuple[tuple[Part, bool], ...] = (("val", False), ("test", True))
        for part, test in parts:
            if any(metric.name not in found for metric in task.metrics if metric.reported == test):
                found |= task.measured(network, part, recipe, seed=self._seed)
        missing = sorted({metric.name for metric in task.metrics} - found.keys())
        if missing:
            raise ProtocolError(
                f"The task {type(task).__name__} promised the metrics {', '.join(missing)}, but measured only "
                f"{', '.join(sorted(found))}: its metrics must be what its method measured returns."
            )
        return found

    def _give_memory_back(self) -> None:
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def own_folder(folder: Path, arch: Architecture, length: int) -> Path:
    """A folder of an architecture's own inside `folder`: another process may be training another one."""
    return folder / hashlib.sha256(f"{arch} {length}".encode()).hexdigest()[:16]


def _rungs(place: Path, rung: int, full: int, name: str) -> tuple[Path, list[Path]]:
    """Where a rung keeps what has this name, and where those below it do that are there, the highest first.

    Each rung has a folder of its own, since another process may be training another one; the whole training is in the
    folder around them.
    """
    own = f"rung-{rung:06d}"
    below = (path for path in place.glob("rung-*") if rung == full or path.name < own)
    lower = [path / name for path in sorted(below, reverse=True)]
    return (place if rung == full else place / own) / name, lower


def reason_of(mishap: Exception) -> str:
    """Why a candidate failed, in one line."""
    kind = "out of memory" if is_out_of_memory(mishap) else type(mishap).__name__
    return f"{kind}: {mishap}".splitlines()[0]
