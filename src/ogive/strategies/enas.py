"""ENAS: a controller writes architectures, and learns which are good with weights that all of them share.

Pham et al., "Efficient Neural Architecture Search via Parameter Sharing", ICML 2018.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Self

import torch

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.strategies.gradient import Darts, path_s
from ogive.supernets.controlled import ControlledSearch, ControllerRecipe
from ogive.supernets.controller import controlled_paths
from ogive.supernets.history import REPORT_S
from ogive.supernets.paths import check_paths
from ogive.supernets.search import Search, shared_accuracy
from ogive.training.data import Data
from ogive.training.threads import threads as torch_threads

__all__ = ["Enas"]


class Enas(Darts):
    """Each epoch trains shared weights on sampled paths, then the controller that samples them; the best is proposed.

    The weights learn from one half of the training images, one path of the controller a step. The controller, an LSTM
    of `hidden` units, then takes `controller_steps` steps of policy gradient, each on `controller_samples` paths whose
    reward is the accuracy on a batch of the other half; see `ControllerRecipe` for the rest of its options. Then
    `candidates` paths are sampled, after the last epoch `final_candidates`, and the one with the best accuracy on all
    of the other half is proposed, each with batch statistics of its own. The published code compares them on a batch
    each. No architecture parameters are trained.

    `swing_epochs`: the learning rate falls along a cosine for so many epochs, and then rises again as long, in turn;
    none for one fall over all epochs.
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
        partial: int = 1,
        candidates: int = 10,  # D-X-Y/AutoDL-Projects, NAS-Bench-201-algos/ENAS.py
        final_candidates: int = 100,  # the same, its script
        hidden: int = 32,  # the same, search_model_enas_utils.py
        controller_steps: int = 50,  # the same, its script, as are the next five
        controller_samples: int = 20,
        controller_learning_rate: float = 1e-3,
        controller_epsilon: float = 1e-3,
        entropy_weight: float = 1e-4,
        baseline_decay: float = 0.99,
        epochs: int = 310,  # the same, configs/nas-benchmark/algos/ENAS.config, as are all that follow
        batch_size: int = 128,
        learning_rate: float = 0.05,
        final_learning_rate: float = 0.0005,
        swing_epochs: int | None = 10,
        momentum: float = 0.9,
        nesterov: bool = True,
        weight_decay: float = 2.5e-4,
        gradient_clip: float = 5.0,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        for word, value in (
            ("candidates", candidates),
            ("final_candidates", final_candidates),
            ("hidden", hidden),
            ("controller_steps", controller_steps),
            ("controller_samples", controller_samples),
        ):
            if value < 1:
                raise SpecError(f"{word} must be at least 1, but got {value}.")
        super().__init__(
            space=space,
            data=data,
            seed=seed,
            device=device,
            threads=threads,
            channels=channels,
            cells=cells,
            partial=partial,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            final_learning_rate=final_learning_rate,
            momentum=momentum,
            weight_decay=weight_decay,
            gradient_clip=gradient_clip,
            order=0,
            progress=progress,
        )
        check_paths(self.sharing.plan)
        self._recipe = replace(self._recipe, nesterov=nesterov)
        self._rule = ControllerRecipe(
            learning_rate=controller_learning_rate,
            epsilon=controller_epsilon,
            entropy_weight=entropy_weight,
            baseline_decay=baseline_decay,
            steps=controller_steps,
            samples=controller_samples,
            swing_epochs=swing_epochs,
        )
        rule = {f"controller {name}": value for name, value in asdict(self._rule).items() if name != "betas"}
        self._options |= {"candidates": candidates, "final_candidates": final_candidates, "hidden": hidden, **rule}

    def derived(self) -> Architecture:
        """The best of the paths that the controller samples now, by draws that depend on the number of epochs."""
        search, done = self._controlled, len(self._controlled.history)
        count = self._options["final_candidates" if done >= self.epochs else "candidates"]
        draw = torch.Generator().manual_seed(self.seed.child(f"selection {done}").integer("candidates"))
        with torch.no_grad():
            written = search.paths.controller.sample(count, draw)
        found: dict[Architecture, float] = {}
        reported = time.perf_counter()
        for number, cells in enumerate(written.cells):
            arch = search.paths.architecture(cells)
            if arch not in found:
                found[arch] = shared_accuracy(search.supernet, search.supernet.path(arch), search.alphas_data)
            if self.progress is not None and time.perf_counter() - reported > REPORT_S:
                reported = time.perf_counter()
                self.progress(f"candidate {number + 1} of {count} after epoch {done}")
        return max(found, key=found.__getitem__)

    def rehearse(self) -> float:
        """About how many seconds all the proposals take; of paths and steps of the controller few are tried."""
        plenty, last = int(self._options["candidates"]), int(self._options["final_candidates"])
        paths = self.epochs * (plenty - 1) + last - plenty
        left_out_s = self.epochs * self._left_out_s(self._short(1)) + paths * self._whole_s(path_s)
        return super().rehearse() + left_out_s

    def _left_out_s(self, short: Self) -> float:
        """Seconds of the steps of the controller in an epoch, but for the one of a short search."""
        search, steps = short._controlled, self._rule.steps - 1
        search.rule = replace(self._rule, steps=min(2, steps))
        started = time.perf_counter()
        if search.rule.steps and search.paths.controller.decisions:
            with torch_threads(self.threads):
                search.teach(0)
        return (time.perf_counter() - started) / max(1, search.rule.steps) * steps

    def _short(self, steps: int) -> Self:
        short = super()._short(steps)
        short._options, short._rule = {**self._options, "candidates": 1}, replace(self._rule, steps=1)
        return short

    @property
    def _controlled(self) -> ControlledSearch:
        search = self.search
        assert isinstance(search, ControlledSearch)
        return search

    def _search(self) -> Search:
        plain = super()._search()
        paths = controlled_paths(plain.supernet, seed=self.seed.integer("controller"), hidden=self._options["hidden"])
        return ControlledSearch(
            plain.supernet,
            paths,
            plain.weights_data,
            plain.alphas_data,
            self._recipe,
            self._rule,
            seed=self.seed,
            device=self.device,
        )

    def _trained(self) -> str:
        told = super()._trained()
        accuracy = self._controlled.accuracy
        return told if math.isnan(accuracy) else f"{told}, paths of the controller {accuracy:.1f} % right"
