"""The losses of D-DARTS: gates that decide, and what every single cell contributes to the network.

Heuillet et al., "D-DARTS" (arXiv:2108.09306); the published code is aheuillet/D-DARTS, architect.py and
separate_loss.py. Shapes: G cells that own architecture parameters, E edges of a cell, O operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ogive.core.errors import SpecError, UnknownName

__all__ = ["FORMS", "CellLosses", "Form", "random_gates", "relative_contributions", "zero_one_loss"]

Form = Literal["literal", "weighted", "differentiable"]
FORMS: tuple[Form, ...] = ("literal", "weighted", "differentiable")


def zero_one_loss(alphas: Tensor, power: Literal[1, 2] = 2) -> Tensor:
    """Minus the mean of |sigmoid(alpha) - 1/2| to a power: least where every gate is open or shut.

    Chu et al., "Fair DARTS" (ECCV 2020). Where all gates are at 1/2, as at the start of a search, it
    is zero and so is its gradient: only the other losses bring them from there.
    """
    return -(torch.sigmoid(alphas) - 0.5).abs().pow(power).mean()


def random_gates(alphas: Tensor, draw: torch.Generator) -> Tensor:
    """What a cell is run with to see what it contributes: a gate for each operation, uniform between 0 and 1."""
    return torch.rand(alphas.shape, generator=draw, dtype=torch.float64).to(alphas)


def relative_contributions(
    marginals_G: Tensor, normaliser: Literal["mean", "mean absolute"] = "mean absolute"
) -> Tensor:
    """How much more than the average cell each contributes, shape (G,); they sum to zero.

    `marginals_G` are the loss of the whole network minus that with the cell's gates at random, so that a cell which
    helps has a negative one. The published code divides by their mean, (M_C - mean M) / mean M. That mean may be close
    to zero, which makes the numbers arbitrarily large, and where it is positive they change their sign: the most
    harmful cell comes out on top. Division by the mean of |M| is the same where all cells help, is at most G in size,
    and keeps its sign. Either is zero where the divisor is.
    """
    mean = marginals_G.mean()
    divisor = mean if normaliser == "mean" else -marginals_G.abs().mean()
    divisor = divisor.detach()
    return (marginals_G - mean) / torch.where(divisor == 0, torch.inf, divisor)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellLosses:
    """The loss of each cell: cross-entropy, the zero-one loss and the ablation loss, minus its relative contribution.

    `form` says how the ablation loss acts on the architecture:

    * "literal": it is a number, as in the published code. It is added to what is logged and has no gradient at all;
    * "weighted": it changes the weight of the cross-entropy, to max(0, 1 - ablation · contribution), so that a cell
      which contributes less than the others learns faster, and the most useful cells more slowly;
    * "differentiable": its own gradient is taken, for which the graphs of all marginal contributions must be kept. In
      the parameters of a cell it is the mean gradient of the losses with another cell at random, over the mean of |M|:
      a cell learns to be of use also where the others are not.

    The last two are not in the paper; both normalise by the mean of |M|.
    """

    zero_one: float = 9.0  # train_search.py of the published code, as the next
    ablation: float = 0.7
    form: Form = "weighted"
    power: Literal[1, 2] = 2

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise UnknownName("form of the ablation loss", self.form, FORMS)
        for name in ("zero_one", "ablation"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise SpecError(f"The weight {name} must be 0 or a positive number, but got {getattr(self, name)}.")
        if self.power not in (1, 2):
            raise SpecError(f"The power of the zero-one loss is 1 or 2, but got {self.power}.")

    def __call__(self, cross_entropy: Tensor, marginals_G: Tensor, alphas: Sequence[Tensor]) -> list[Tensor]:
        """One loss for each cell, each to be differentiated in the parameters (E, O) of that cell alone."""
        if len(marginals_G) != len(alphas):
            raise SpecError(
                f"Each of the {len(alphas)} cells needs one marginal contribution, but got {len(marginals_G)}."
            )
        if self.form == "weighted":
            relative_G = relative_contributions(marginals_G.detach())
            terms = (1.0 - self.ablation * relative_G).clamp_min(0.0) * cross_entropy
        elif self.form == "differentiable":
            terms = cross_entropy - self.ablation * relative_contributions(marginals_G)
        else:
            terms = cross_entropy - self.ablation * relative_contributions(marginals_G.detach(), "mean")
        return [term + self.zero_one * zero_one_loss(own, self.power) for term, own in zip(terms, alphas, strict=True)]
