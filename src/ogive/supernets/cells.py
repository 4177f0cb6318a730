"""The search of D-DARTS: every distinct cell learns its architecture from a loss of its own, by an Adam of its own.

Heuillet et al., "D-DARTS" (arXiv:2108.09306); the published code is aheuillet/D-DARTS, architect.py and
train_search.py. Shapes: G distinct cells, E edges of a cell, O operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, optim

from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.supernets.ablation import CellLosses, random_gates, zero_one_loss
from ogive.supernets.alphas import Alphas
from ogive.supernets.bilevel import gradients_of, kept_buffers
from ogive.supernets.gates import Gate, Mix, Sigmoid
from ogive.supernets.history import SearchEpoch
from ogive.supernets.networks import CellStack, Pair
from ogive.supernets.search import ArchitectureRecipe, Search
from ogive.training.batches import Batch
from ogive.training.lossy import Lost, Predicting
from ogive.training.optimisers import Optimiser
from ogive.training.recipe import Recipe

__all__ = ["CellRecipe", "CellSearch", "Coefficients", "cell_learning_rate", "coefficients"]


BETAS = (0.9, 0.999)  # of Adam: train_search.py of the published code


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRecipe:
    """How the architecture of every cell is trained.

    `final_alpha_learning_rate` is where the cosine of each cell ends, whatever it begins with; with the published
    values that is a third of the start. In the first `warm_epochs` only the weights are trained; None is 0, or 5 in a
    search from a handcrafted network. `reference_leaks` brings back two habits of the published code, see `CellSearch`.
    """

    learning_rate: float = 3e-3  # train_search.py of the published code, as are the next two
    final_alpha_learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    warm_epochs: int | None = None
    reference_leaks: bool = False

    def __post_init__(self) -> None:
        for name in ("learning_rate", "final_alpha_learning_rate"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise SpecError(f"The {name} of the architecture must be a positive number, but got {value}.")

    @property
    def waits(self) -> int:
        """The epochs in which only the weights are trained."""
        return self.warm_epochs or 0

    @property
    def architecture(self) -> ArchitectureRecipe:
        """The same as any search has it."""
        return ArchitectureRecipe(
            learning_rate=self.learning_rate,
            momentum=BETAS[0],
            weight_decay=self.weight_decay,
            warm_epochs=self.waits,
        )


def cell_learning_rate(recipe: CellRecipe, epochs: int, epoch: int) -> float:
    """Half a cosine as long as the architecture is trained, from the first of `epochs` in all on, counted from 0.

    So it is at its floor `waits` epochs before the end and rises again, as in train_search.py of the published code.
    """
    passed = epoch / (epochs - recipe.waits)
    span = recipe.learning_rate - recipe.final_alpha_learning_rate
    return recipe.final_alpha_learning_rate + span * (1 + math.cos(math.pi * passed)) / 2


@dataclass(frozen=True, slots=True)
class Coefficients:
    """How the losses of all cells depend on what the network computes, for one batch.

    * `entropy`: the derivative of the loss of each cell in the cross-entropy, (G,);
    * `marginals`: in the marginal contribution of each cell, (G, G), the losses as rows;
    * `direct`: the gradient in the parameters of the cell themselves, which is that of the zero-one loss.
    """

    entropy: Tensor
    marginals: Tensor
    direct: tuple[Tensor, ...]


def coefficients(
    losses: CellLosses, cross_entropy: Tensor, marginals_G: Tensor, alphas: Sequence[Tensor]
) -> Coefficients:
    """Differentiate the cell losses in their arguments, which are taken as numbers."""
    entropy, marginals = cross_entropy.detach().requires_grad_(), marginals_G.detach().requires_grad_()
    own = [alpha.detach().requires_grad_() for alpha in alphas]
    totals = zip(losses(entropy, marginals, own), own, strict=True)
    rows = [gradients_of((entropy, marginals, alpha), total, again=True) for total, alpha in totals]
    by_loss, by_marginal, direct = zip(*rows, strict=True)
    return Coefficients(torch.stack(by_loss), torch.stack(by_marginal), direct)


def own_steps(given: Coefficients, own: Sequence[Tensor], others: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """The gradient of the loss of each cell in its own parameters.

    `own` are the gradients of the cross-entropy in every cell, `others` those of the losses with each cell at random.
    """
    steps = []
    for cell, direct in enumerate(given.direct):
        step = direct + given.entropy[cell] * own[cell]
        for rival, with_rival in enumerate(others):
            step = step + given.marginals[cell, rival] * (own[cell] - with_rival[cell])
        steps.append(step)
    return steps


class CellSearch(Search):
    """A supernet in which every group of architecture parameters is a cell with its own loss, Adam and cosine.

    What a cell contributes is the validation loss minus that with its gates at random; those passes leave no trace in
    running statistics. Adam keeps what it remembers for each tensor, so that one with a group of parameters a cell is
    an Adam for each cell.

    With ``reference_leaks`` gradients are summed up as in the published code. The cells step in turn: cell k when the
    losses of the cells up to k have been differentiated in all parameters, and only its own gradient is then cleared.
    So the losses of the cells after it, and the training loss, are still in it at its next step; and the validation
    gradients of all losses are in the weights when they step.
    """

    supernet: CellStack
    alphas_task: Predicting

    def __init__(
        self,
        supernet: CellStack,
        alphas: Alphas,
        weights_task: Predicting,
        alphas_task: Predicting,
        recipe: Recipe,
        cells: CellRecipe,
        losses: CellLosses,
        *,
        seed: Seed,
        device: torch.device | str = "cpu",
        optimiser: Optimiser | None = None,
    ) -> None:
        if cells.reference_leaks and losses.form == "differentiable":
            raise SpecError(
                "The leaks of the published code go with the forms literal and weighted, not differentiable."
            )
        super().__init__(
            *(supernet, alphas, weights_task, alphas_task, recipe, cells.architecture),
            seed=seed,
            gate=Sigmoid(),
            device=device,
            optimiser=optimiser,
        )
        self.cells, self.losses = cells, losses
        self.architect = optim.Adam(
            [{"params": [alpha]} for alpha in alphas.tensors],
            lr=cells.learning_rate,
            betas=BETAS,
            weight_decay=cells.weight_decay,
        )
        # Of the epoch that came last: the sum of what each cell contributed, and over how many steps.
        self.contributed_G, self._steps = torch.zeros(len(alphas.groups), dtype=torch.float64), 0
        # What the published code has not cleared: in the architecture, and in the weights until they step.
        self.leftovers = [torch.zeros_like(alpha) for alpha in alphas.groups] if cells.reference_leaks else []
        self._leaked: list[Tensor] = []

    @property
    def contributions(self) -> list[float]:
        """What each cell contributed on average in the last epoch, below zero where it helps; 0 without ablation."""
        return [float(total) / max(1, self._steps) for total in self.contributed_G]

    def epoch(self, progress: Callable[[str], None] | None = None) -> SearchEpoch:
        for group in self.architect.param_groups:
            group["lr"] = cell_learning_rate(self.cells, self.recipe.epochs, len(self.history))
        self.contributed_G, self._steps = torch.zeros_like(self.contributed_G), 0
        return super().epoch(progress)

    def _step(self, batch: Batch, other: Batch, gate: Gate, streams: Seed, epoch: int) -> Tensor | None:
        before = [leftover.clone() for leftover in self.leftovers]
        self._leaked = []
        seen = super()._step(batch, other, gate, streams, epoch)
        if seen is None:
            self.leftovers = before
        return seen

    def added(self) -> tuple[float, float]:
        """The norm of what the ablation loss adds to the gradients of all cells, and of what they are without it.

        On one batch of the images for the architecture, with gates at random that depend on the number of epochs alone.
        """
        streams = self.seed.child(f"added {len(self.history)}")
        batch = next(iter(self.valid_batches.epoch(streams)))
        with kept_buffers(self.supernet):
            loss, own, marginals_G, others = self._passes(batch, self.current_gate, streams)
        found = []
        for losses in (self.losses, replace(self.losses, ablation=0.0)):
            given = coefficients(losses, loss, marginals_G, self.alphas.groups)
            steps = own_steps(given, own[: len(self.alphas.groups)], others)
            found.append(torch.cat([step.flatten() for step in steps]))
        return float((found[0] - found[1]).norm()), float(found[1].norm())

    # -- the architecture --------------------------------------------------------------------------------------------

    def _architecture_gradients(
        self, batch: Batch, other: Batch, gate: Gate, streams: Seed
    ) -> tuple[Tensor, list[Tensor]]:
        """The validation loss, and the gradient of the loss of each cell in its own parameters."""
        loss, found, marginals_G, others = self._passes(other, gate, streams)
        own, in_weights = found[: len(self.alphas.groups)], found[len(self.alphas.groups) :]
        self.contributed_G += marginals_G.double().cpu()
        self._steps += 1
        given = coefficients(self.losses, loss, marginals_G, self.alphas.groups)
        return loss, self._leaking(given, own, in_weights) if self.cells.reference_leaks else own_steps(
            given, own, others
        )

    def _passes(
        self, batch: Batch, gate: Gate, streams: Seed
    ) -> tuple[Tensor, list[Tensor], Tensor, list[list[Tensor]]]:
        """The cross-entropy, its gradients in all cells and, where they leak, in the weights; then `_marginals`."""
        mixture = self.alphas.mixture(gate, torch.Generator().manual_seed(streams.integer("validation")))
        seen: list[Pair] = []
        own_loss = self.alphas_task.lost_on(batch, self.supernet(batch.images, mixture, seen), self.recipe)
        wanted = [*self.alphas.groups, *(self.weights if self.cells.reference_leaks else [])]
        loss, *found = self.ranks.mean([own_loss.detach(), *gradients_of(wanted, own_loss)])
        seen = [(before_last.detach(), last.detach()) for before_last, last in seen]
        return loss, found, *self._marginals(own_loss.detach(), batch, gate, streams, seen)

    def _marginals(
        self, loss: Tensor, batch: Batch, gate: Gate, streams: Seed, seen: Sequence[Pair]
    ) -> tuple[Tensor, list[list[Tensor]]]:
        """The loss minus that with each cell at random, (G,), and, if they are needed, the gradients of the latter.

        `seen` are the inputs of all cells in the pass that gave the loss: up to the cell, another pass has the same.
        Without an ablation loss nothing is computed: zeros, and no gradients.
        """
        groups = self.alphas.groups
        if not self.losses.ablation:
            return torch.zeros(len(groups), device=loss.device, dtype=loss.dtype), []
        differentiated = self.losses.form == "differentiable"
        found, with_random = [], []
        for cell, alphas in enumerate(groups):
            draw = torch.Generator().manual_seed(streams.integer(f"without cell {cell}"))
            with torch.set_grad_enabled(differentiated):
                mixture = self._without(cell, random_gates(alphas, draw), gate)
                first = self.alphas.group_of_cell.index(cell)
                logits = (
                    self.supernet(batch.images, mixture)
                    if differentiated
                    else self.supernet.onwards(first, seen[first], mixture)
                )
                without = self.alphas_task.lost_on(batch, logits, self.recipe)
            found.append(loss - without.detach())
            if differentiated:
                with_random.append(self.ranks.mean(gradients_of(groups, without)))
        return self.ranks.mean([torch.stack(found)])[0], with_random

    def _without(self, cell: int, gates: Tensor, gate: Gate) -> tuple[Mix, ...]:
        mixture = self.alphas.mixture(gate, torch.Generator())
        pairs = zip(self.alphas.group_of_cell, mixture, strict=True)
        return tuple(Mix(gates) if group == cell else mix for group, mix in pairs)

    # -- the habits of the published code ----------------------------------------------------------------------------

    def _leaking(self, given: Coefficients, own: Sequence[Tensor], in_weights: Sequence[Tensor]) -> list[Tensor]:
        """What each cell steps with; what is left after that, there and in the weights, is kept."""
        steps = []
        for cell, gradient in enumerate(own):
            before = given.entropy[: cell + 1].sum() * gradient + given.direct[cell]
            steps.append(self.leftovers[cell] + before)
            self.leftovers[cell] = given.entropy[cell + 1 :].sum() * gradient
        self._leaked = [given.entropy.sum() * gradient for gradient in in_weights]
        return steps

    def _weight_gradients(self, batch: Batch, gate: Gate, streams: Seed) -> Lost:
        if not self._leaked:
            return super()._weight_gradients(batch, gate, streams)
        lost = self._lost(batch, gate, streams, "weights")
        decided = zero_one_loss(torch.cat([alpha.flatten() for alpha in self.alphas.groups]), self.losses.power)
        found = gradients_of([*self.weights, *self.alphas.groups], lost.loss + self.losses.zero_one * decided)
        for weight, gradient, leaked in zip(self.weights, found, self._leaked, strict=False):
            weight.grad = gradient + leaked
        here = self.ranks.mean(found[len(self.weights) :])
        self.leftovers = [before + gradient for before, gradient in zip(self.leftovers, here, strict=True)]
        return lost

    # -- the state ---------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        kept = {f"leftovers.{cell}": leftover for cell, leftover in enumerate(self.leftovers)}
        return {**super().tensors(), **kept}

    def restore(self, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        super().restore(tensors, record)
        self.leftovers = [tensors[f"leftovers.{cell}"].to(leftover) for cell, leftover in enumerate(self.leftovers)]
