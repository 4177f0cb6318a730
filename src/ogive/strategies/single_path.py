"""One-shot search: train a supernet on random paths, and look for the best path with the weights that they share.

Guo et al., "Single Path One-Shot Neural Architecture Search with Uniform Sampling", ECCV 2020.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Measurement, Trial
from ogive.strategies.gradient import Darts, path_s
from ogive.strategies.local import RegularizedEvolution
from ogive.supernets.gates import Gate, SinglePath
from ogive.supernets.paths import check_paths
from ogive.supernets.search import shared_accuracy
from ogive.training.data import Data

__all__ = ["SinglePathOneShot"]


class SinglePathOneShot(Darts):
    """Uniform single paths for an epoch, then evolution on the accuracies of `candidates` paths; the best is proposed.

    The weights learn from one half of the training images, one random path a step; paths are compared on the other
    half, each with batch statistics of its own. No architecture parameters are trained. The options are those of
    `Darts`; `population` and `tournament` are those of the evolution, which begins anew after each epoch.
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
        candidates: int = 100,  # the paper draws them once, after training
        population: int = 50,  # the same
        tournament: int = 10,
        epochs: int = 50,  # quark0/darts, cnn/train_search.py, as are all that follow
        batch_size: int = 64,
        learning_rate: float = 0.025,
        final_learning_rate: float = 0.001,
        momentum: float = 0.9,
        weight_decay: float = 3e-4,
        gradient_clip: float = 5.0,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        for word, value in (("candidates", candidates), ("population", population), ("tournament", tournament)):
            if value < 1:
                raise SpecError(f"{word} must be at least 1, but got {value}.")
        if tournament > population:
            raise SpecError(f"A tournament is held within the population of {population}, but got {tournament}.")
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
        self._options |= {"candidates": candidates, "population": population, "tournament": tournament}

    def rehearse(self) -> float:
        """About how many seconds all the proposals take, of which one path is evaluated, and the others counted."""
        left_out = self.epochs * (int(self._options["candidates"]) - 1) * self._whole_s(path_s)
        return super().rehearse() + left_out

    def _short(self, steps: int) -> Self:
        short = super()._short(steps)
        short._options = {**self._options, "candidates": 1}
        return short

    def _gate(self) -> Gate:
        return SinglePath()

    def derived(self) -> Architecture:
        """The best path that evolution finds now; what it draws depends on the number of epochs alone."""
        search, options = self.search, self._options
        seed = self.seed.child(f"selection {len(search.history)}")
        evolution = RegularizedEvolution(
            self._paths(), seed, population=options["population"], tournament=options["tournament"]
        )
        found: dict[Architecture, float] = {}
        for number in range(options["candidates"]):
            (proposal,) = evolution.ask()
            arch = proposal.arch
            if arch not in found:
                found[arch] = shared_accuracy(search.supernet, search.supernet.path(arch), search.alphas_data)
            measured = Measurement({"val_acc": found[arch]})
            evolution.tell([Trial(number, proposal, measured, "ok", (found[arch],))])
        return max(found, key=found.__getitem__)

    def _paths(self) -> SearchSpace:
        """What is searched for the best path: in a part of a supernet the architectures that it holds.

        A closed world may have none of those, and draws from all of its rows: a part is searched as if it were open.
        """
        if self._given is None:
            return self.space
        space, holds = self.space, self._given.holds
        return SearchSpace(
            space.name, space.variables, space.draw, lambda choices: holds(Architecture(space.name, choices))
        )
