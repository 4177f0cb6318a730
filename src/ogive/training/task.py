"""Task: what a network is for, on which data, and how well it does it.

Everything that trains, measures or takes away a network asks its task: nothing else knows of images, words or noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import torch
from torch import nn

from ogive.answers import Answers
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.metric import Metric
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.networks.build import Skeleton
from ogive.networks.plain import Plain
from ogive.training.loop import Tell, Training

__all__ = [
    "Builder",
    "Examined",
    "Judge",
    "Judged",
    "Part",
    "Prepared",
    "Scheduled",
    "Shaped",
    "Size",
    "Task",
    "Validated",
    "mean",
    "refuse_other_space",
]

Part = Literal["val", "test"]
# Makes the network of an architecture with weights that a number seeds, in place of ogive's own networks.
Builder = Callable[[Architecture, int], nn.Module]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What an architecture leaves open of its network; None for the size of the space's paper.

    `channels`: its width; `cells`: its depth; `auxiliary`: whether it has a second head, where networks have one.
    """

    channels: int | None = None
    cells: int | None = None
    auxiliary: bool = False


class Scheduled(Protocol):
    """What every recipe is asked for: how long it trains."""

    @property
    def unit(self) -> str:
        """What its length counts: "epochs" or "steps"."""
        ...

    @property
    def length(self) -> int:
        """How many of them the whole training has: the full fidelity."""
        ...


R = TypeVar("R", bound=Scheduled)


class Task(Protocol[R]):
    """A kind of work on some data. `R` is the frozen dataclass of options that its trainings have."""

    @property
    def name(self) -> str:
        """The word for it that spaces and data use to say what they serve."""
        ...

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What is measured of every candidate, the first being what a search is for unless it says otherwise."""
        ...

    @property
    def recipe(self) -> type[R]:
        """The options of a training."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 of the data."""
        ...

    def fitted(self, recipe: R, size: Size, space: SearchSpace | None) -> R:
        """The recipe for networks of a size; SpecError if it has none, or if nothing of the space can be built."""
        ...

    def network(self, arch: Architecture, size: Size, recipe: R, *, seed: int | None) -> nn.Module:
        """The network of an architecture; without a seed one without weights, on the meta device where possible."""
        ...

    def counted(self, network: nn.Module) -> dict[str, float]:
        """``params`` and ``macs`` of a network, which may be on the meta device."""
        ...

    def memory(self, outline: nn.Module, recipe: R) -> float:
        """Bytes that a step of training takes at its peak, about, of a network that may be without weights."""
        ...

    def training(self, network: nn.Module, recipe: R, *, seed: Seed, device: torch.device) -> Training:
        """The training of a network, not begun yet."""
        ...

    def measured(self, network: nn.Module, part: Part, recipe: R, *, seed: Seed) -> dict[str, float]:
        """Metrics of a trained network on the validation or the test part, named after it; may raise Diverged."""
        ...

    def joined(self) -> Task[R]:
        """The task of a last training, after the search: where it can be, what validated is trained on as well."""
        ...

    def described(self, network: nn.Module, recipe: R, measured: Mapping[str, float]) -> dict[str, Any]:
        """What is to be said of a trained network, on the CPU, beside the metrics that were measured of it.

        `reached` says in words what it reached on the test part.
        """
        ...

    def plain(self, network: nn.Module) -> Plain:
        """What the exported files of a trained network say beside it, and what they are compared and tried on."""
        ...


@runtime_checkable
class Shaped(Protocol):
    """A task whose networks read inputs of one shape, so that their latency can be measured."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, rows and columns of an image, or the length of a row."""
        ...

    def skeleton(self, space: str, size: Size) -> Skeleton:
        """The size of networks of a space for these inputs."""
        ...


@runtime_checkable
class Prepared(Protocol):
    """A task that does something once, before the first candidate, and can say how long that will take."""

    def prepare(self, recipe: Any, *, seed: Seed, device: torch.device, tell: Tell | None) -> None:
        """Do it, unless it is done."""
        ...

    def rehearse(self, recipe: Any, *, seed: Seed, device: torch.device) -> float:
        """About how many seconds it will take; something short stands for it from now on."""
        ...


@runtime_checkable
class Examined(Protocol):
    """A task that can tell what a network answers on each test input, and not only how often it is right."""

    def examined(self, network: nn.Module) -> Answers:
        """Its answers on the test part: those of one look with what is measured there."""
        ...


@runtime_checkable
class Validated(Protocol):
    """A training that measures its network on the validation part so often: after every so many epochs, 0 for never."""

    validate_every: int


class Judge(Protocol):
    """Measures networks whose weights they did not get by a training of their own, on the same samples for all."""

    def prepare(self, tell: Tell | None) -> None:
        """Do what comes once, before the first network, unless it is done."""
        ...

    def rehearse(self) -> float:
        """About how many seconds that takes; something short stands for it from now on."""
        ...

    def recalibrated(self, network: nn.Module) -> nn.Module:
        """The network, in evaluation mode, with batch statistics of its own in place of those of a supernet."""
        ...

    def measured(self, network: nn.Module) -> dict[str, float]:
        """Metrics of the task, of the network as it is, on the validation part; may raise Diverged."""
        ...


@runtime_checkable
class Judged(Protocol):
    """A task that can measure networks with weights of others."""

    @property
    def measuring(self) -> type[Any]:
        """The options of that, a frozen dataclass."""
        ...

    def judge(self, measuring: Any, *, seed: Seed, device: torch.device) -> Judge:
        """What measures, given such options."""
        ...


def refuse_other_space(task: Task[Any], space: SearchSpace | None) -> None:
    """SpecError for a space whose networks are for other tasks; it names both."""
    if space is not None and task.name not in space.tasks:
        raise SpecError(
            f"The task is {task.name}, and networks of {space.name} are for "
            f"{' or '.join(space.tasks) or 'nothing but look-ups in tables'}: give other data, or another space."
        )


def mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of every metric over several trainings."""
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
