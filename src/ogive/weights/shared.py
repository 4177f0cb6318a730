"""Weights that networks share: a supernet, or the parts that it is split into, trained before the first candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.networks.build import WeightSource
from ogive.training.loop import Tell
from ogive.training.task import Task
from ogive.training.threads import threads as torch_threads
from ogive.weights.cells import CellSplitting, CellTraining
from ogive.weights.generators import GeneratorSplitting, GeneratorTraining
from ogive.weights.source import Calibrated, Correction, Divided, Holds, Measure, Place

__all__ = ["SharedParts", "SharedWeights", "Trainer", "parts", "supernet"]


class Trainer(Protocol):
    """How a source of weights comes about for one kind of networks, into a folder where there is one."""

    @property
    def spent(self) -> Mapping[str, float]:
        """Seconds that each supernet trained, now or in an earlier run."""
        ...

    def trained(self, tell: Tell | None) -> WeightSource:
        """Train all that is to be trained, or go on with it, or read it back."""
        ...

    def rehearsed(self) -> tuple[float, WeightSource]:
        """About how many seconds that takes, and a source with hardly trained weights; nothing is kept of it."""
        ...


class SharedWeights:
    """A source of weights that is trained when it is first asked: once, and on after an interruption."""

    def __init__(self, trainer: Trainer, *, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise SpecError(f"threads must be at least 1, but got {threads}.")
        self._trainer, self._threads = trainer, threads
        self._made: WeightSource | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Another process reads what was trained from the folder, or trains it again.
        return {**self.__dict__, "_made": None}

    def prepare(self, tell: Tell | None) -> None:
        """Train, unless it is done."""
        if self._made is None:
            with torch_threads(self._threads):
                self._made = self._trainer.trained(tell)

    @property
    def source(self) -> WeightSource:
        """The supernet or its parts, trained when first asked for."""
        self.prepare(None)
        assert self._made is not None
        return self._made

    def network(self, arch: Architecture) -> nn.Module:
        """The network of an architecture, whose weights are those of the supernet or of its part."""
        return self.source.network(arch)

    @property
    def training_s(self) -> float:
        """Seconds that the supernet and its parts trained, now or in an earlier run; 0 before they are there."""
        return sum(self._trainer.spent.values())

    def rehearse(self) -> float:
        """About how many seconds the trainings take; weights from now on are hardly trained."""
        if self._made is not None:
            return 0.0
        with torch_threads(self._threads):
            seconds, self._made = self._trainer.rehearsed()
        return seconds

    def calibration(self, measure: Measure, tell: Tell | None) -> Correction | None:
        """As the parts have it; None for a single supernet."""
        source = self.source
        return source.calibration(measure, tell) if isinstance(source, Calibrated) else None


class SharedParts(SharedWeights):
    """A source of several parts, all trained when one of them is first asked."""

    def holdings(self) -> Sequence[tuple[str, Holds]]:
        """The name of each part, and what it holds; of a supernet that is left in one piece, one for all."""
        source = self.source
        return source.holdings() if isinstance(source, Divided) else [("whole supernet", lambda arch: True)]


def supernet(
    *,
    space: SearchSpace,
    task: Task[Any],
    seed: Seed,
    training: CellTraining | GeneratorTraining = CellTraining(),  # noqa: B008 - frozen
    channels: int | None = None,
    cells: int | None = None,
    device: str = "cpu",
    threads: int | None = None,
    folder: Path | None = None,
) -> SharedWeights:
    """A supernet, trained on uniform random paths before the first candidate.

    It stands in `folder` under a name that says all that decided its weights, so that whatever begins alike is trained
    once. `training` is that of cells or, in the space autogan, of generators; `channels` and `cells` are its size, None
    for the published one.
    """
    place = Place(space, task, seed, channels, cells, device, folder)
    return SharedWeights(training.trainer(place), threads=threads)


def parts(
    *,
    space: SearchSpace,
    task: Task[Any],
    seed: Seed,
    training: CellSplitting | GeneratorSplitting,
    channels: int | None = None,
    cells: int | None = None,
    device: str = "cpu",
    threads: int | None = None,
    folder: Path | None = None,
) -> SharedParts:
    """The parts that a supernet is split into, each trained further from its weights (few-shot NAS).

    As `supernet`, whose options it shares; `training` says on what is split, too.
    """
    place = Place(space, task, seed, channels, cells, device, folder)
    return SharedParts(training.trainer(place), threads=threads)
