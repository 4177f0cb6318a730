"""How the supernet of a cell space is trained and split.

Zhao et al., "Few-shot Neural Architecture Search", ICML 2021.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from ogive.core.errors import SpecError
from ogive.networks.build import WeightSource
from ogive.supernets.agreement import CHOSEN, Compared, check_split, chosen_levels
from ogive.supernets.networks import Supernet
from ogive.supernets.partition import Edge, Maker, partition, splits_of
from ogive.supernets.paths import check_paths
from ogive.supernets.plan import CellChoices, Plan
from ogive.supernets.sequential import Level, UniformTraining, split_and_trained, trained
from ogive.supernets.sharing import Sharing, sharing_of, supernet
from ogive.training.batches import LAYOUT
from ogive.training.loop import Tell
from ogive.training.lossy import predicting
from ogive.training.recipe import Recipe
from ogive.weights.calibration import OnOneScale
from ogive.weights.source import Place

__all__ = ["CellSplitting", "CellTrainer", "CellTraining"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellTraining:
    """How a supernet of cells is trained.

    `partial`: 1/partial of the channels take part (PC-DARTS). `per_cell`: a random path for each cell, as the published
    code has it, instead of one for all.
    """

    epochs: int = 600  # aoiang/few-shot-NAS, exps/supernet, as are all that follow
    batch_size: int = 48
    learning_rate: float = 0.025
    final_learning_rate: float = 0.001
    momentum: float = 0.9
    weight_decay: float = 1e-4
    partial: int = 1
    per_cell: bool = False

    @property
    def recipe(self) -> Recipe:
        """The recipe of the supernet."""
        return Recipe(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            final_learning_rate=self.final_learning_rate,
            momentum=self.momentum,
            nesterov=True,
            weight_decay=self.weight_decay,
        )

    def trainer(self, place: Place) -> CellTrainer:
        """What trains the supernet there; SpecError for what cannot be."""
        return CellTrainer(place, self)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellSplitting(CellTraining):
    """How it is trained, split and trained further.

    `split`: the edges on which the supernet is split, one after the other: numbers as in ``split=[0, 3]``, or
    "normal:0" where there are several kinds of cells; "random" or "agreement" (the edges whose operations disagree most
    about the gradients of shared weights) choose `splits` of them. `groups`: two parts for each edge, of operations
    that agree, instead of one for each operation. `calibration`: "parent" moves the estimates of each part to the scale
    of the parent, by location and spread over `reference` architectures that are alike outside the split edges. With
    partial channels all of them take part on a split edge, whose weights then begin anew.
    """

    split: int | str | list[int] | list[str] | None = None
    splits: int = 1
    groups: bool = False
    calibration: Literal["none", "parent"] = "none"
    reference: int = 20
    part_epochs: int = 300

    def __post_init__(self) -> None:
        for word, least in (("splits", 1), ("reference", 2)):
            if getattr(self, word) < least:
                raise SpecError(f"{word} must be at least {least}, but got {getattr(self, word)}.")
        if self.split is None or self.split == []:
            raise SpecError(
                "Parts are those of a supernet that is split on an edge: write parts(split=0), or supernet."
            )


class CellTrainer:
    """Trains a supernet of cells into a folder, and the parts that it is split into."""

    def __init__(self, place: Place, training: CellTraining) -> None:
        self.place, self.training = place, training
        space, self._task = place.space, predicting(place.task)
        data = self._task.data
        self._skeleton = self._sharing.sized(data.shape, len(data.classes), channels=place.channels, cells=place.cells)
        self._sharing.check(self._skeleton, training.partial)
        check_paths(self._plan)
        self._parts = training if isinstance(training, CellSplitting) else None
        self._split: str | tuple[Edge, ...] = ()
        part_epochs = training.epochs
        if self._parts is not None:
            part_epochs = self._parts.part_epochs
            self._split = splits_of(self._plan, self._parts.split, CHOSEN)
            if self._parts.groups and self._plan.inputs_per_node is not None:
                raise SpecError(
                    f"Groups need a space where every edge is used, but in {space.name} edges may be absent."
                )
        self._uniform = UniformTraining(
            task=self._task,
            seed=place.seed,
            recipe=training.recipe,
            part_recipe=replace(training.recipe, epochs=part_epochs),
            origin={"space": space.name, "skeleton": asdict(self._skeleton), "partial": training.partial},
            per_cell=training.per_cell,
            device=str(place.device),
            folder=place.folder,
        )

    @property
    def spent(self) -> Mapping[str, float]:
        """Seconds that each supernet trained, by its name."""
        return self._uniform.spent

    def trained(self, tell: Tell | None) -> WeightSource:
        """The supernet, or its parts on one scale if that was asked for."""
        uniform = replace(self._uniform, progress=tell, make=self._maker)
        parent = trained(self._whole(), "", uniform)
        levels = self._levels(parent)
        if self._parts is None or not levels:
            return parent
        divided = split_and_trained(parent, levels, uniform)
        if self._parts.calibration == "none":
            return divided
        return OnOneScale(divided, parent, self._parts.reference, self.place.seed)

    def rehearsed(self) -> tuple[float, WeightSource]:
        """One epoch is trained, and stands for all of them."""
        started = time.perf_counter()
        uniform = self._uniform
        short = replace(uniform, recipe=replace(uniform.recipe, epochs=1), folder=None)
        parent = trained(self._whole(), "", short)
        epoch_s = time.perf_counter() - started
        levels = self._levels(parent)
        if self._parts is None or not levels:
            return epoch_s * uniform.recipe.epochs, parent
        whole = levels[0].groups is None  # groups are split one level at a time
        edges = [level.edge for level in levels] if whole else levels[0].edge
        divided = partition(parent, edges, groups=levels[0].groups, make=self._maker)
        width = 2 if self._parts.groups else len(self._plan.operations)
        trainings = sum(width ** (level + 1) for level in range(len(levels)))
        return epoch_s * (uniform.recipe.epochs + trainings * uniform.part_recipe.epochs), divided

    @property
    def _sharing(self) -> Sharing:
        return sharing_of(self.place.space)  # no attribute: it holds functions, which another process cannot be sent

    @property
    def _plan(self) -> Plan:
        return self._sharing.plan

    def _whole(self) -> Supernet:
        """The supernet before its training; SpecError if it cannot be split as asked."""
        made = self._fresh()
        check_split(made, self._split, 1 if self._parts is None else self._parts.splits)
        return made

    def _fresh(self, choices: Sequence[CellChoices] | None = None) -> Supernet:
        """A supernet with random weights, of everything or of what the cells of a part may hold."""
        seed = self.place.seed
        made = supernet(
            self._sharing,
            self._skeleton,
            seed=seed.integer("weights") if choices is None else seed.child("part").integer(str(choices)),
            choices=choices,
            partial=self.training.partial,
        )
        return made.to(self.place.device).to(memory_format=LAYOUT)  # type: ignore[call-overload,no-any-return]

    @property
    def _maker(self) -> Maker | None:
        """Parts of partial channels are made anew: they have all channels on their split edges."""
        return None if self.training.partial == 1 else self._fresh

    def _levels(self, parent: Supernet) -> list[Level]:
        """The edges to split, and how."""
        if self._parts is None:
            return []
        seed, device = self.place.seed, next(parent.parameters()).device
        return chosen_levels(
            parent,
            self._split,
            count=self._parts.splits,
            grouped=self._parts.groups,
            batches=lambda: Compared.drawn(self._task, self.training.batch_size, seed, device),
            seed=seed,
        )
