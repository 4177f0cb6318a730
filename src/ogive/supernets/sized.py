"""The supernet of a space at a size, for a task: all that a search needs to make it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch

from ogive.core.errors import SpecError
from ogive.core.space import SearchSpace
from ogive.networks.build import Skeleton
from ogive.spaces.darts_rnn import NAME as RECURRENT
from ogive.supernets.networks import Supernet
from ogive.supernets.plan import CellChoices, Plan
from ogive.supernets.recurrent import RecurrentSupernet
from ogive.supernets.recurrent_search import PLAN, WHOLE, LanguageSupernet, TextWeights
from ogive.supernets.search import WeightsRecipe
from ogive.supernets.sharing import Sharing, sharing_of, supernet
from ogive.training.lossy import Lossy, predicting
from ogive.training.tasks.language import Language

__all__ = ["OfCells", "Size", "Sized", "sized"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """The size of a supernet, None for that of the space's paper; 1/partial of the channels take part (PC-DARTS)."""

    channels: int | None = None
    cells: int | None = None
    partial: int = 1


class Sized(Protocol):
    """What makes a supernet of one size."""

    @property
    def plan(self) -> Plan:
        """The cells that it has."""
        ...

    @property
    def record(self) -> Mapping[str, Any]:
        """What it is made of, as JSON."""
        ...

    def refuse_parts(self) -> None:
        """SpecError if it cannot be restricted to a part of its operations."""
        ...

    def made(self, seed: int, choices: Sequence[CellChoices] | None = None) -> Supernet:
        """One with fresh weights, of everything or of what the cells of a part may choose."""
        ...


@dataclass(frozen=True)
class OfCells:
    """That of a cell space."""

    sharing: Sharing
    skeleton: Skeleton
    partial: int
    without: Collection[str]

    @property
    def plan(self) -> Plan:
        """That of the space."""
        return self.sharing.plan

    @property
    def record(self) -> Mapping[str, Any]:
        """The skeleton."""
        return asdict(self.skeleton)

    def refuse_parts(self) -> None:
        """Nothing to refuse."""

    def made(self, seed: int, choices: Sequence[CellChoices] | None = None) -> Supernet:
        """As ``sharing.supernet``."""
        return supernet(
            self.sharing, self.skeleton, seed=seed, choices=choices, partial=self.partial, without=self.without
        )


@dataclass(frozen=True)
class OfText:
    """That of recurrent cells: a language model of so many words and of a width."""

    words: int
    width: int
    dropouts: Mapping[str, float]

    @property
    def plan(self) -> Plan:
        """That of all recurrent cells."""
        return PLAN

    @property
    def record(self) -> Mapping[str, Any]:
        """All of it."""
        return asdict(self)

    def refuse_parts(self) -> None:
        """It has none."""
        raise SpecError(f"{WHOLE}: few_shot, and select=perturbation, are of supernets that read images.")

    def made(self, seed: int, choices: Sequence[CellChoices] | None = None) -> Supernet:
        """The whole cell; SpecError for less."""
        if choices is not None:
            self.refuse_parts()
        model = RecurrentSupernet(self.words, width=self.width, **self.dropouts)
        model.reset(torch.Generator().manual_seed(seed))
        return LanguageSupernet(model)


def sized(
    space: SearchSpace,
    task: Lossy,
    size: Size,
    weights: WeightsRecipe | TextWeights,
    *,
    without: Collection[str] = (),
    sharing: Sharing | None = None,
) -> Sized:
    """What makes the supernet of a space, or of that of a `sharing`, but for the operations in `without`.

    SpecError for a size that cannot be.
    """
    if space.name == RECURRENT:
        if without:
            raise SpecError("Operations of a recurrent cell compete: leave out the sigmoid gate, or write gate=gumbel.")
        return _of_text(task, size, weights)
    known = predicting(task)
    if not isinstance(weights, WeightsRecipe):
        raise SpecError(f"The weights of a supernet of {space.name} are trained by a WeightsRecipe.")
    sharing = sharing_of(space) if sharing is None else sharing
    skeleton = sharing.sized(known.data.shape, len(known.data.classes), channels=size.channels, cells=size.cells)
    sharing.check(skeleton, size.partial)
    return OfCells(sharing, skeleton, size.partial, without)


def _of_text(task: Lossy, size: Size, weights: WeightsRecipe | TextWeights) -> OfText:
    if not isinstance(task, Language):
        raise SpecError(
            f"A recurrent cell is searched on a text, but the task is {task.name}: give --data text:FOLDER."
        )
    if not isinstance(weights, TextWeights):
        raise SpecError("The weights of a recurrent supernet are trained by TextWeights.")
    if size.cells is not None or size.partial != 1:
        raise SpecError("The size of a recurrent supernet is its channels: leave out cells and partial.")
    width = 300 if size.channels is None else size.channels  # DARTS, appendix A.1.2
    if width < 1:
        raise SpecError(f"channels must be at least 1, but got {width}.")
    return OfText(len(task.data.vocabulary), width, weights.dropouts)
