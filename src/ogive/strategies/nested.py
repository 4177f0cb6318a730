"""D-DARTS as a strategy: one `ask` trains a supernet of cells that all differ, and proposes what it would derive now.

Heuillet, Tabia, Arioui and Youcef-Toumi, "D-DARTS: Distributed Differentiable Architecture Search", 2021
(arXiv:2108.09306); the published code is aheuillet/D-DARTS.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Self

import torch

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import counted
from ogive.spaces.encoding import RULES, Rule, distance
from ogive.spaces.nested import NestedGenotype
from ogive.spaces.unrestricted import outline_of
from ogive.strategies.gradient import Darts
from ogive.supernets.ablation import CellLosses, Form
from ogive.supernets.cells import CellRecipe, CellSearch
from ogive.supernets.nested import NestedSupernet, genotype_from, starting_alphas
from ogive.supernets.networks import Supernet
from ogive.supernets.search import halved
from ogive.training.data import Data

__all__ = ["DDarts"]

logger = logging.getLogger(__name__)

SETTLED = 4  # train_search.py of the published code: how many distances before the last are compared with it


class DDarts(Darts):
    """D-DARTS in ddarts, ddarts_dense or dartopti; DARTOpti, from a handcrafted network, in dartopti_from.

    Images, epochs, restarts and steps without a finite loss are those of `Darts`. Every distinct cell has architecture
    parameters, an Adam, a cosine and a loss of its own: cross-entropy, `zero_one` times the loss that pushes gates to 0
    or 1, and `ablation` times what the cell contributes to the network, in one of three forms (`CellLosses`): weighted,
    differentiable, or literal, which is the published one and has no effect on what is learnt.

    A cell is derived by a `rule` from gates of at least `threshold`: sparse (two edges a node, one operation each), or,
    in a dense space, edge (two operations an edge) or complete (all). A cell in which no gate passes, as after a short
    search, has the strongest operation on each of the two strongest edges of every node.

    The architecture waits for `warm_epochs`, which come on top of `epochs`; None is 5 from a handcrafted network and 0
    otherwise. That network's own operations start at `start`. The search from it ends early when the distance to it has
    changed by `least_change` at most against each of the four epochs before. `final_alpha_learning_rate` is where every
    cosine ends, not a share of its start. `reference_leaks` sums up gradients as published (see `CellSearch`).
    """

    def __init__(
        self,
        *,
        space: SearchSpace,
        data: Data,
        seed: Seed,
        device: str = "cpu",
        threads: int | None = None,
        channels: int | None = None,  # aheuillet/D-DARTS, README: 16
        rule: Rule = "sparse",  # train_search.py there, as are the next three
        threshold: float = 0.85,
        zero_one: float = 9.0,
        ablation: float = 0.7,
        form: Form = "weighted",
        reference_leaks: bool = False,
        start: float = 10.0,  # architecture_processing.py there
        least_change: float = 1e-3,  # train_search.py there, as are all that follow
        warm_epochs: int | None = None,
        epochs: int = 50,
        batch_size: int = 72,
        learning_rate: float = 0.005,
        final_learning_rate: float = 0.001,
        momentum: float = 0.9,
        weight_decay: float = 3e-4,
        gradient_clip: float = 5.0,
        alpha_learning_rate: float = 3e-3,
        final_alpha_learning_rate: float = 1e-3,
        alpha_weight_decay: float = 1e-3,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self._outline = outline_of(space)
        if rule not in RULES or (rule != "sparse" and not self._outline.dense):
            raise SpecError(
                f"Cells of {space.name} have two operations a node, which is the rule sparse, but got rule={rule}: "
                "give --space ddarts_dense or dartopti_from."
            )
        if not 0 < threshold < 1:
            raise SpecError(f"The threshold of gates must be between 0 and 1, but got {threshold}.")
        if warm_epochs is None:
            warm_epochs = 5 if self._outline.handcrafted else 0
        self._losses = CellLosses(zero_one=zero_one, ablation=ablation, form=form)
        self._cells = CellRecipe(
            learning_rate=alpha_learning_rate,
            final_learning_rate=final_alpha_learning_rate,
            weight_decay=alpha_weight_decay,
            warm_epochs=warm_epochs,
            leaks=reference_leaks,
        )
        if not 0 < start < math.inf:
            raise SpecError(f"start must be a positive number, but got {start}.")
        self._rule: Rule = rule
        self._threshold, self._start, self._least_change = threshold, start, least_change
        super().__init__(
            space=space,
            data=data,
            seed=seed,
            device=device,
            threads=threads,
            channels=channels,
            gate="sigmoid",
            warm_epochs=warm_epochs,
            epochs=epochs + warm_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            final_learning_rate=final_learning_rate,
            momentum=momentum,
            weight_decay=weight_decay,
            gradient_clip=gradient_clip,
            alpha_learning_rate=alpha_learning_rate,
            alpha_weight_decay=alpha_weight_decay,
            progress=progress,
        )
        self._options |= {
            "losses": asdict(self._losses),
            "cells": {**asdict(self._cells), "betas": list(self._cells.betas)},
            "rule": rule,
            "threshold": threshold,
            "start": start,
            "least_change": least_change,
        }

    @property
    def genotype(self) -> NestedGenotype:
        """The network that would be derived now, to be deepened or written down."""
        search = self.search
        return genotype_from(
            search.alphas.strengths(search.gate), self._outline, rule=self._rule, threshold=self._threshold
        )

    def within(self, network: Supernet, name: str, epochs: int) -> Self:
        part = super().within(network, name, epochs)
        part._cells = replace(self._cells, warm_epochs=part._architecture.warm_epochs)
        return part

    def derived(self) -> Architecture:
        return self._outline.architecture(self.genotype)

    def _answer(self) -> Architecture:
        self._found.append(self.derived())
        return self._found[-1]

    def _is_trained(self) -> bool:
        return len(self.search.history) >= self.epochs or self._is_settled()

    def _is_settled(self) -> bool:
        """Whether the search from a handcrafted network stays about as far from it as it was."""
        start = self._outline.start
        if start is None or len(self._found) < self._cells.warm_epochs + SETTLED + 1:
            return False
        *before, last = (distance(self._outline.genotype(arch), start) for arch in self._found[-1 - SETTLED :])
        return all(abs(last - earlier) <= self._least_change for earlier in before)

    def _report(self, told: str, arch: Architecture) -> None:
        search = self.search
        strongest = [float(own.max()) for own in search.alphas.strengths(search.gate)]
        passing = sum(gate >= self._threshold for gate in strongest)
        entries = sum(len(cell) for cell in self._outline.genotype(arch).cells)
        told = (
            f"{told}, {counted(entries, 'operation')} in {counted(len(strongest), 'cell')}, of which {passing} with "
            f"gates of {self._threshold:g} or more (strongest {max(strongest):.2f})"
        )
        logger.info("%s: %s", told, self.space.format(arch))
        if self.progress is not None:
            self.progress(told)

    # -- what is searched --------------------------------------------------------------------------------------------

    def _search(self) -> CellSearch:
        network = self._network()
        assert isinstance(network, NestedSupernet)
        return CellSearch(
            network,
            starting_alphas(network, self._outline, self._start),
            *halved(self.data, self._halves),
            self._recipe,
            self._cells,
            self._losses,
            seed=self.seed,
            device=torch.device(self.device),
        )
