"""The supernets of DARTS and of NAS-Bench-201: mixed cells in the skeletons of the published searches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.networks.build import Skeleton
from ogive.networks.ops import ConvBN, FactorizedReduce, ReLUConvBN, ResidualReduction
from ogive.spaces.nested import reductions_of
from ogive.supernets.alphas import Alphas, alphas_for
from ogive.supernets.gates import Mix
from ogive.supernets.mixed import MixedCell
from ogive.supernets.plan import DARTS, NASBENCH201, CellChoices, Plan
from ogive.supernets.twins import twin
from ogive.training.statistics import without_statistics

__all__ = ["CellStack", "DartsSupernet", "NasBench201Supernet", "Pair", "StagedSupernet", "Supernet"]

Pair = tuple[Tensor, Tensor]  # what a cell reads: the outputs of the cell before the last, and of the last
# The multiplier of the published search networks, model_search.py of quark0/darts and of aheuillet/D-DARTS alike.
JOINED = 4


class Supernet(nn.Module, ABC):
    """Every network of a cell space in one, with the weights that they share.

    `mixed` are its cells in their order, `kinds` what kind each of them is. It is a source of weights: `network` gives
    that of an architecture. Architecture parameters are not part of it: `alphas` makes some.
    """

    plan: Plan
    mixed: list[MixedCell]
    kinds: tuple[str, ...]

    @abstractmethod
    def forward(self, x: Tensor, mixture: Sequence[Mix] | None = None) -> Tensor:
        """Logits (N, classes) of images (N, C, H, W), with one mix for each cell."""

    @property
    def choices(self) -> tuple[CellChoices, ...]:
        """What the edges of each cell may hold."""
        return tuple(cell.choices for cell in self.mixed)

    def alphas(
        self, draw: torch.Generator, *, scale: float = 1e-3, per_cell: bool = False, edge_logits: bool = False
    ) -> Alphas:
        """Fresh architecture parameters, on the device of the weights; see `alphas_for`."""
        return alphas_for(
            self.plan,
            self.kinds,
            self.choices,
            draw,
            scale=scale,
            per_cell=per_cell,
            edge_logits=edge_logits,
            like=next(self.parameters()),
        )

    def network(self, arch: Architecture) -> Supernet:
        """The network of an architecture, whose weights are this supernet's own; see `restricted`.

        SpecError where an edge cannot hold what the architecture wants, as in a part of a supernet.
        """
        self.path(arch)  # refuses an architecture of another part
        by_kind = self.plan.choices(arch)
        return self.restricted([by_kind[kind] for kind in self.kinds])

    def path(self, arch: Architecture) -> tuple[Mix, ...]:
        """The mix of every cell that runs an architecture alone: as `network`, without making one.

        SpecError where an edge cannot hold what the architecture wants, as in a part of a supernet.
        """
        by_kind = self.plan.choices(arch)
        found = []
        for cell, kind in zip(self.mixed, self.kinds, strict=True):
            rows = by_kind[kind]
            for edge, (known, wanted) in enumerate(zip(cell.choices, rows, strict=True)):
                if not set(wanted) <= set(known) or (len(known) == 1 and not wanted):
                    raise SpecError(
                        f"Edge {edge} of this supernet holds the operations {known}, but {arch} has {wanted}."
                    )
            found.append(Mix(None, tuple(rows[edge] for edge in cell.row_of_edge)))
        return tuple(found)

    def holds(self, arch: Architecture) -> bool:
        """Whether an architecture is one of this supernet's, which it need not be of a part's."""
        try:
            self.path(arch)
        except SpecError:
            return False
        return True

    def restricted(self, choices: Sequence[CellChoices]) -> Self:
        """The part of this supernet that a smaller choice in each cell leaves.

        The weights are the same tensors: who trains one trains the other. Running statistics are copies, so that they
        can be estimated anew for the part alone.
        """
        memo: dict[int, object] = {id(weight): weight for weight in self.parameters()} | {id(self.plan): self.plan}
        nothing = nn.Identity()
        for cell, rows in zip(self.mixed, choices, strict=True):
            # What is left out need not be copied first, which is most of the work for a single path.
            memo |= {id(module): nothing for module in cell.left_out(rows)}
        part = twin(self, memo)
        for cell, rows in zip(part.mixed, choices, strict=True):
            cell.keep(rows)
        return part


class DartsCell(nn.Module):
    """A cell of the search network of DARTS: two preprocessed inputs, and nodes, the last of which are concatenated.

    Those are four, or all where there are fewer.
    """

    def __init__(
        self,
        plan: Plan,
        choices: CellChoices,
        before_last: int,
        last: int,
        channels: int,
        reduction: bool,
        reduced_before: bool,
        partial: int,
    ) -> None:
        super().__init__()
        make = FactorizedReduce if reduced_before else _pointwise
        self.preprocess0 = make(before_last, channels, affine=False)
        self.preprocess1 = _pointwise(last, channels, affine=False)
        strides = [2 if reduction and source < plan.inputs else 1 for source, _ in plan.edges]
        self.mixed = MixedCell(plan, choices, channels, strides, partial)
        self.joined = _joined(plan)

    def forward(self, before_last: Tensor, last: Tensor, mix: Mix | None) -> Tensor:
        """The last nodes, side by side: all of them, but in the cells of six nodes of a ResNet50 of DARTOpti."""
        nodes = self.mixed([self.preprocess0(before_last), self.preprocess1(last)], mix)
        return torch.cat(nodes[-self.joined :], dim=1)


class CellStack(Supernet):
    """Cells that read the two before them, on a stem; the layers in `reductions` halve the image, double the width."""

    def __init__(
        self,
        skeleton: Skeleton,
        plan: Plan,
        kinds: tuple[str, ...],
        reductions: Collection[int],
        choices: Mapping[str, CellChoices] | Sequence[CellChoices],
        partial: int = 1,
    ) -> None:
        super().__init__()
        channels = skeleton.channels
        self.plan, self.kinds = plan, kinds
        before_last = last = 3 * channels
        self.stem = ConvBN(skeleton.inputs, last, 3)
        self.cells = nn.ModuleList()
        reduced_before = False
        for layer, rows in enumerate(_each(choices, kinds)):
            reduction = layer in reductions
            channels = 2 * channels if reduction else channels
            self.cells.append(DartsCell(plan, rows, before_last, last, channels, reduction, reduced_before, partial))
            before_last, last, reduced_before = last, _joined(plan) * channels, reduction
        self.classifier = nn.Linear(last, skeleton.classes)

    @property
    def mixed(self) -> list[MixedCell]:  # type: ignore[override]  # derived from the cells
        """The mixed part of each cell."""
        return [cell.mixed for cell in self.cells]  # type: ignore[misc]  # a ModuleList forgets what it holds

    def forward(self, x: Tensor, mixture: Sequence[Mix] | None = None, seen: list[Pair] | None = None) -> Tensor:
        """As of any supernet; `seen` is given the two inputs of every cell."""
        stem = self.stem(x)
        return self.onwards(0, (stem, stem), mixture, seen)

    def onwards(
        self, layer: int, inputs: Pair, mixture: Sequence[Mix] | None = None, seen: list[Pair] | None = None
    ) -> Tensor:
        """Logits from the two inputs of a cell on; the mixture is that of all cells."""
        for place in range(layer, len(self.cells)):
            if seen is not None:
                seen.append(inputs)
            inputs = inputs[1], self.cells[place](*inputs, None if mixture is None else mixture[place])
        logits: Tensor = self.classifier(inputs[1].mean((2, 3)))
        return logits


class DartsSupernet(CellStack):
    """The search network of DARTS (section 3.1.1): reduction cells a third and two thirds of the way down."""

    def __init__(
        self,
        skeleton: Skeleton,
        choices: Mapping[str, CellChoices] | Sequence[CellChoices],
        partial: int = 1,
        plan: Plan = DARTS,
    ) -> None:
        reductions = reductions_of(skeleton.cells)
        kinds = tuple("reduce" if layer in reductions else "normal" for layer in range(skeleton.cells))
        super().__init__(skeleton, plan, kinds, reductions, choices, partial)


class StagedSupernet(Supernet):
    """Three stages of one cell with one input, and residual blocks between, which halve the image.

    Batch normalisations of the cells keep no running statistics.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        plan: Plan,
        choices: Mapping[str, CellChoices] | Sequence[CellChoices],
        partial: int = 1,
    ) -> None:
        super().__init__()
        self.plan = plan
        self.kinds = plan.kinds * (3 * skeleton.cells)
        rows = iter(_each(choices, self.kinds))
        width = skeleton.channels
        self.stem = ConvBN(skeleton.inputs, width, 3)
        self.cells = nn.ModuleList()
        for stage in range(3):
            if stage > 0:
                self.cells.append(ResidualReduction(width, 2 * width))
                width *= 2
            strides = [1] * len(self.plan.edges)
            for _ in range(skeleton.cells):
                cell = MixedCell(self.plan, next(rows), width, strides, partial)
                without_statistics(cell)
                self.cells.append(cell)
        self.last = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU())
        self.classifier = nn.Linear(width, skeleton.classes)

    @property
    def mixed(self) -> list[MixedCell]:  # type: ignore[override]  # derived from the cells
        """The cells, without the residual blocks."""
        return [cell for cell in self.cells if isinstance(cell, MixedCell)]

    def forward(self, x: Tensor, mixture: Sequence[Mix] | None = None) -> Tensor:
        mixes = iter(mixture if mixture is not None else (None,) * len(self.kinds))
        x = self.stem(x)
        for cell in self.cells:
            x = cell([x], next(mixes))[-1] if isinstance(cell, MixedCell) else cell(x)
        logits: Tensor = self.classifier(self.last(x).mean((2, 3)))
        return logits


class NasBench201Supernet(StagedSupernet):
    """The search network of NAS-Bench-201 (D-X-Y/AutoDL-Projects)."""

    def __init__(
        self,
        skeleton: Skeleton,
        choices: Mapping[str, CellChoices] | Sequence[CellChoices],
        partial: int = 1,
        plan: Plan = NASBENCH201,
    ) -> None:
        super().__init__(skeleton, plan, choices, partial)


def _each(choices: Mapping[str, CellChoices] | Sequence[CellChoices], kinds: Sequence[str]) -> list[CellChoices]:
    """The choices of every cell."""
    found = [choices[kind] for kind in kinds] if isinstance(choices, Mapping) else list(choices)
    if len(found) != len(kinds):
        raise SpecError(f"A supernet of {len(kinds)} cells needs choices for each, but got {len(found)}.")
    return found


def _joined(plan: Plan) -> int:
    return min(JOINED, len({target for _, target in plan.edges}))


def _pointwise(inputs: int, outputs: int, affine: bool) -> nn.Module:
    return ReLUConvBN(inputs, outputs, 1, affine=affine)
