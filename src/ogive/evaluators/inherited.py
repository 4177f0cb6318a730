"""Inherited: estimate an architecture with weights of somebody else, such as a supernet or the parts of one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.metric import VAL_ACC
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Cost, Measurement, Proposal
from ogive.networks.build import WeightSource
from ogive.supernets.agreement import CHOSEN, agreement_batches, check_split, chosen_levels
from ogive.supernets.mixed import without_statistics
from ogive.supernets.networks import Supernet
from ogive.supernets.partition import Key, Maker, Partition, partition, splits_of
from ogive.supernets.paths import check_paths, drawn
from ogive.supernets.plan import CellChoices, Plan
from ogive.supernets.sequential import Level, UniformTraining, split_and_trained, trained
from ogive.supernets.sharing import Sharing, sharing_of, supernet
from ogive.training.batches import LAYOUT
from ogive.training.data import Data
from ogive.training.recipe import Recipe
from ogive.training.statistics import drawn_images, fixed_batches, recalibrated, right_share
from ogive.training.threads import threads as torch_threads

__all__ = ["Inherited"]


@dataclass
class _Weights:
    """Where weights come from; for few-shot weights also the supernet that was split."""

    source: WeightSource
    parent: Supernet | None = None


class Inherited:
    """Estimates candidates with the weights of a supernet, or of the parts that it is split into (few-shot NAS).

    The supernet is trained on ``data.train`` when the first candidate comes, into `folder`: once, and on from the last
    epoch after an interruption. Accuracy is measured on ``data.val``, or on `validation_images` of them, the same for
    all; the test images are never looked at. Every candidate gets batch statistics of its own, from `statistics_images`
    training images that are the same for all; with ``statistics_images=0`` those of each batch of validation images are
    taken, as the published code has it.

    `split`: the edges on which the supernet is split, one after the other: numbers as in ``split=[0, 3]``, or
    "normal:0" where there are several kinds of cells; "random" or "agreement" (the edges whose operations disagree most
    about the gradients of shared weights) choose `splits` of them. `groups`: two parts for each edge, of operations
    that agree, instead of one for each operation. `calibration`: "parent" moves the estimates of each part to the scale
    of the parent, by location and spread over `reference` architectures that are alike outside the split edges.
    `metric` is what the estimate is called. `per_cell`: a random path for each cell in training, as the published code
    has it, instead of one for all. `partial`: 1/partial of the channels take part (PC-DARTS), but all on a split edge,
    whose weights then begin anew. `source`, from Python: weights that are there already; nothing is trained then.
    """

    def __init__(
        self,
        *,
        space: SearchSpace,
        data: Data,
        seed: Seed,
        device: str = "cpu",
        threads: int | None = None,
        channels: int | None = None,
        cells: int | None = None,
        folder: Path | None = None,
        source: WeightSource | None = None,
        metric: str = "val_acc",
        partial: int = 1,
        split: int | str | list[int] | list[str] | None = None,
        splits: int = 1,
        groups: bool = False,
        calibration: Literal["none", "parent"] = "none",
        reference: int = 20,
        statistics_images: int = 2000,
        validation_images: int | None = None,
        per_cell: bool = False,
        epochs: int = 600,  # aoiang/few-shot-NAS, exps/supernet, as are all that follow
        part_epochs: int = 300,
        batch_size: int = 48,
        learning_rate: float = 0.025,
        final_learning_rate: float = 0.001,
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        for word, value, least in (
            ("splits", splits, 1),
            ("reference", reference, 2),
            ("validation_images", validation_images, 1),
            ("threads", threads, 1),
        ):
            if value is not None and value < least:
                raise SpecError(f"{word} must be at least {least}, but got {value}.")
        if statistics_images < 2 and statistics_images != 0:
            raise SpecError(
                "Batch statistics need at least 2 statistics_images, or 0 for those of the validation batches, but got "
                f"{statistics_images}."
            )
        self.metrics = (replace(VAL_ACC, name=metric),)
        self.space, self.data, self.seed, self.progress = space, data, seed, progress
        self.device, self.threads = torch.device(device), threads
        self._skeleton = self._sharing.sized(data.shape, len(data.classes), channels=channels, cells=cells)
        self._sharing.check(self._skeleton, partial)
        check_paths(self._plan)
        self._split = splits_of(self._plan, split, CHOSEN)
        self._options: dict[str, Any] = {
            "splits": splits,
            "groups": groups,
            "calibration": calibration,
            "reference": reference,
        }
        if groups and self._plan.inputs_per_node is not None:
            raise SpecError(f"Groups need a space where every edge is used, but in {space.name} edges may be absent.")
        if calibration == "parent" and not self._split:
            raise SpecError("A calibration is between the parts of a supernet: give split=0, say.")
        if calibration == "parent" and source is not None:
            raise SpecError("A calibration compares parts with the supernet that was split here: leave out source.")
        recipe = Recipe(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            final_learning_rate=final_learning_rate,
            momentum=momentum,
            nesterov=True,
            weight_decay=weight_decay,
        )
        self._training = UniformTraining(
            data=data,
            seed=seed,
            recipe=recipe,
            part_recipe=replace(recipe, epochs=part_epochs),
            origin={"space": space.name, "skeleton": asdict(self._skeleton), "partial": partial},
            per_cell=per_cell,
            device=str(device),
            folder=folder,
        )
        self._statistics_images, self._validation_images = statistics_images, validation_images
        self._given = source is not None
        self._made = None if source is None else _Weights(source)
        self._fixed: tuple[list[Tensor], list[tuple[Tensor, Tensor]]] | None = None
        self._scales: dict[Key, tuple[float, float]] | None = None

    @property
    def _sharing(self) -> Sharing:
        return sharing_of(self.space)  # no attribute: it holds functions, which another process cannot be sent

    @property
    def _plan(self) -> Plan:
        return self._sharing.plan

    def __getstate__(self) -> dict[str, Any]:
        # Another process reads the supernet from the folder, or trains it again; who watches stays in this one.
        made = self._made if self._given else None
        return {**self.__dict__, "progress": None, "_made": made, "_fixed": None}

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        """An estimate of each proposal, whatever its fidelity."""
        with torch_threads(self.threads):
            return [self._measured(proposal.arch) for proposal in proposals]

    @property
    def source(self) -> WeightSource:
        """The supernet or its parts, trained when first asked for."""
        return self._weights().source

    @property
    def training_s(self) -> float:
        """Seconds that the supernet and its parts trained, now or in an earlier run; 0 before they are there."""
        return sum(self._training.spent.values())

    def network(self, arch: Architecture) -> nn.Module:
        """The network of an architecture with inherited weights and statistics of its own, in evaluation mode."""
        return self._calibrated(self.source, self.space.admit(arch))

    def rehearse(self) -> float:
        """About how many seconds the trainings take; what is measured from now on has hardly trained weights.

        For an estimate of a whole search: one epoch is trained, and nothing is kept.
        """
        if self._made is not None:
            return 0.0
        started = time.perf_counter()
        training = self._training
        short = replace(training, recipe=replace(training.recipe, epochs=1), folder=None)
        with torch_threads(self.threads):
            parent = trained(self._whole(), "", short)
        epoch_s = time.perf_counter() - started
        levels = self._levels(parent)
        self._made = _Weights(parent)
        if levels:
            first = levels[0]
            self._made = _Weights(partition(parent, first.edge, groups=first.groups, make=self._maker))
        self._scales = {}
        parts = [2.0 if self._options["groups"] else float(len(self._plan.operations))] * len(levels)
        trainings = sum(math.prod(parts[: level + 1]) for level in range(len(levels)))
        return epoch_s * (training.recipe.epochs + trainings * training.part_recipe.epochs)

    # -- one candidate -----------------------------------------------------------------------------------------------

    def _measured(self, arch: Architecture) -> Measurement:
        started = time.perf_counter()
        weights = self._weights()  # outside: a training that fails is no failure of the candidate
        scales = self._scale_of_parts(weights)
        try:
            admitted = self.space.admit(arch)
            value = self._accuracy(weights.source, admitted)
            if scales and isinstance(weights.source, Partition):
                shift, factor = scales[weights.source.route(admitted)]
                value = shift + factor * value
        except Exception as error:  # noqa: BLE001 - whatever one candidate runs into must not cost the others
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            return Measurement(cost=Cost(time.perf_counter() - started), error=reason)
        cost = Cost(time.perf_counter() - started)
        if not math.isfinite(value):
            return Measurement(cost=cost, error="the network gives no finite numbers with the weights of the supernet")
        return Measurement({self.metrics[0].name: value}, cost)

    def _accuracy(self, source: WeightSource, arch: Architecture) -> float:
        return right_share(self._calibrated(source, arch), self._images()[1])

    def _calibrated(self, source: WeightSource, arch: Architecture) -> nn.Module:
        network = source.network(arch).to(self.device)
        if self._statistics_images:
            return recalibrated(network, self._images()[0])
        without_statistics(network)
        return network.eval()

    def _images(self) -> tuple[list[Tensor], list[tuple[Tensor, Tensor]]]:
        """Training images for statistics, and labelled validation images."""
        if self._fixed is None:
            statistics: list[Tensor] = []
            if self._statistics_images:
                few = drawn_images(self.data.train, self.seed.numpy("statistics"), self._statistics_images)
                statistics = [x_NCHW for x_NCHW, _ in fixed_batches(self.data, few, self.device)]
            looked_at = self.data.val
            if self._validation_images is not None:
                looked_at = drawn_images(looked_at, self.seed.numpy("validation"), self._validation_images)
            self._fixed = statistics, fixed_batches(self.data, looked_at, self.device)
        return self._fixed

    # -- the weights -------------------------------------------------------------------------------------------------

    def _weights(self) -> _Weights:
        if self._made is None:
            training = replace(self._training, progress=self.progress, make=self._maker)
            parent = trained(self._whole(), "", training)
            levels = self._levels(parent)
            source = split_and_trained(parent, levels, training) if levels else parent
            self._made = _Weights(source, parent)
        return self._made

    def _whole(self) -> Supernet:
        """The supernet before its training; SpecError if it cannot be split as asked."""
        made = self._fresh()
        check_split(made, self._split, self._options["splits"])
        return made

    def _fresh(self, choices: Sequence[CellChoices] | None = None) -> Supernet:
        """A supernet with random weights, of everything or of what the cells of a part may hold."""
        made = supernet(
            self._sharing,
            self._skeleton,
            seed=self.seed.integer("weights") if choices is None else self.seed.child("part").integer(str(choices)),
            choices=choices,
            partial=self._partial,
        )
        return made.to(self.device).to(memory_format=LAYOUT)  # type: ignore[call-overload,no-any-return]

    @property
    def _partial(self) -> int:
        return int(self._training.origin["partial"])

    @property
    def _maker(self) -> Maker | None:
        """Parts of partial channels are made anew: they have all channels on their split edges."""
        return None if self._partial == 1 else self._fresh

    def _levels(self, parent: Supernet) -> list[Level]:
        """The edges to split, and how."""
        size = self._training.recipe.batch_size
        return chosen_levels(
            parent,
            self._split,
            count=self._options["splits"],
            grouped=self._options["groups"],
            batches=lambda: agreement_batches(self.data, self.seed, self.device, size),
            seed=self.seed,
        )

    # -- one scale for all parts -------------------------------------------------------------------------------------

    def _scale_of_parts(self, weights: _Weights) -> dict[Key, tuple[float, float]]:
        """For each part the shift and the factor that bring its estimates to the scale of the parent; {} for none."""
        if self._scales is None:
            self._scales = {}
            source, parent = weights.source, weights.parent
            if self._options["calibration"] == "parent" and isinstance(source, Partition) and parent is not None:
                self._scales = self._compared(source, parent)
        return self._scales

    def _compared(self, parts: Partition, parent: Supernet) -> dict[Key, tuple[float, float]]:
        """Location and spread of the same architectures in each part and in the parent, but for the split edges."""
        scales = {}
        for number, (key, part) in enumerate(parts, start=1):
            if self.progress is not None:
                self.progress(f"reference architectures of part {number} of {len(parts)}")
            archs = [self._reference(part, place) for place in range(self._options["reference"])]
            own, whole = (np.array([self._accuracy(one, arch) for arch in archs]) for one in (part, parent))
            factor = float(whole.std() / own.std()) if own.std() > 0 else 1.0
            scales[key] = (float(whole.mean()) - factor * float(own.mean()), factor)
        return scales

    def _reference(self, part: Supernet, number: int) -> Architecture:
        """A random architecture of a part; the same one of other parts, but for the split edges."""
        draw = torch.Generator().manual_seed(self.seed.child("reference").integer(str(number)))
        strengths = []
        for kind in self._plan.kinds:
            rows = part.choices[part.kinds.index(kind)] if kind in part.kinds else self._plan.everything
            held = drawn(self._plan, rows, draw)
            strengths.append(
                torch.tensor([[float(op in row) for op in range(len(self._plan.operations))] for row in held])
            )
        return self._plan.derive(strengths)
