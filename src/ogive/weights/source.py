"""What a source of weights may offer beside `network`, which makes it one (``networks.build.WeightSource``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import nn

from ogive.core.architecture import Architecture
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.training.loop import Tell
from ogive.training.task import Task

__all__ = ["Calibrated", "Correction", "Divided", "Holds", "Measure", "Place", "Prepared"]

# The estimate of a network that a source of weights gave; it may raise.
Measure = Callable[[nn.Module], float]
# What an estimate of an architecture becomes once it is brought to the scale of all others.
Correction = Callable[[Architecture, float], float]
# Whether a part holds an architecture.
Holds = Callable[[Architecture], bool]


@dataclass(frozen=True)
class Place:
    """For what weights are trained, of which size, and where; None for the published size."""

    space: SearchSpace
    task: Task[Any]
    seed: Seed
    channels: int | None = None
    cells: int | None = None
    device: str = "cpu"
    folder: Path | None = None


@runtime_checkable
class Prepared(Protocol):
    """A source that works once, before the first network; from then on its weights stay as they are."""

    def prepare(self, tell: Tell | None) -> None:
        """Do that work, unless it is done; `network` does it too."""
        ...

    def rehearse(self) -> float:
        """About how many seconds it takes; weights that are hardly trained stand for its own from now on."""
        ...

    @property
    def training_s(self) -> float:
        """Seconds that the weights trained, now or in an earlier run; 0 before they are there."""
        ...


@runtime_checkable
class Calibrated(Protocol):
    """A source whose parts share fewer weights than others, so that their estimates may need one scale."""

    def calibration(self, measure: Measure, tell: Tell | None) -> Correction | None:
        """What brings estimates of that kind to one scale; None where they stay as they are."""
        ...


@runtime_checkable
class Divided(Protocol):
    """A source of several parts, each with weights of its own for the architectures that it holds."""

    def holdings(self) -> Sequence[tuple[str, Holds]]:
        """The name of each part, and what it holds; it may work first, as for the first network."""
        ...
