"""What searches a recurrent cell on a text: a supernet for ``supernets.search``, and how it is trained.

Liu, Simonyan and Yang, "DARTS", ICLR 2019, section 3.1.2 and appendix A.1.2; the code is quark0/darts,
rnn/train_search.py. Shapes: T moments, B texts side by side, H numbers of a state, E edges, O operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.spaces.darts_rnn import NAME, OPS
from ogive.supernets.alphas import Alphas
from ogive.supernets.gates import Mix
from ogive.supernets.networks import Supernet
from ogive.supernets.plan import CellChoices, Plan
from ogive.supernets.recurrent import EDGES, RecurrentSupernet, fresh_alphas, strongest
from ogive.supernets.search import ArchitectureRecipe
from ogive.training.optimisers import Clipped
from ogive.training.pieces import PieceRecipe

__all__ = ["PLAN", "LanguageSupernet", "TextArchitecture", "TextWeights"]

WHOLE = "The supernet of darts_rnn is one cell whose nodes share what they read, and has no parts"


def _no_modules(name: str, channels: int, stride: int) -> nn.Module:
    raise SpecError(f"{WHOLE}: its operations are activations.")


def _no_choices(arch: Architecture) -> dict[str, CellChoices]:
    raise SpecError(f"{WHOLE}.")


def _derive(strengths: Sequence[Tensor]) -> Architecture:
    return strongest(strengths[0])


PLAN = Plan(NAME, ("cell",), 1, EDGES, OPS, _no_modules, _no_choices, _derive, inputs_per_node=1)


class LanguageSupernet(Supernet):
    """A recurrent supernet as any search has it; one cell, which cannot be taken apart."""

    plan = PLAN
    kinds = ("cell",)

    def __init__(self, model: RecurrentSupernet) -> None:
        super().__init__()
        self.model, self.mixed = model, []

    @property
    def choices(self) -> tuple[CellChoices, ...]:
        """Everything."""
        return (PLAN.everything,)

    def alphas(
        self, draw: torch.Generator, *, scale: float = 1e-3, per_cell: bool = False, edge_logits: bool = False
    ) -> Alphas:
        """Fresh architecture parameters (E, O)."""
        if edge_logits:
            raise SpecError("A recurrent cell has no edges that are weighed: leave edge_normalisation out.")
        made = fresh_alphas(draw, scale=scale, device=str(self.model.bias.device))
        return Alphas(PLAN, (made,), (0,), self.choices)

    def forward(  # type: ignore[override]
        self, x: tuple[Tensor, Tensor | None], mixture: Sequence[Mix] | None = None
    ) -> tuple[Tensor, Tensor]:
        """As `RecurrentSupernet.mixed` of words (T, B) and of the output before them, zeros where that is None."""
        words_TB, hidden_1BH = x
        weights_EO = mixture[0].weights if mixture else None
        if weights_EO is None:
            raise SpecError("A recurrent cell mixes all of its operations: give a gate that weighs them.")
        hidden_1BH = self.model.start(words_TB.shape[1]) if hidden_1BH is None else hidden_1BH
        return self.model.mixed(words_TB, hidden_1BH, weights_EO)

    def path(self, arch: Architecture) -> tuple[Mix, ...]:
        """SpecError: it has none."""
        raise SpecError(f"{WHOLE} and no paths.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextWeights:
    """How the weights are trained on a text; the defaults are those of DARTS on the Penn Treebank.

    Steps read `bptt` words, one time in twenty half of them, and rates are in proportion. `slowness` weighs the squared
    change of the output between two words. `uncapped` is the switch of ``bilevel.Unrolling``. The dropouts are those of
    ``networks.recurrent.LanguageModel``.
    """

    task: ClassVar[str] = "language"
    compiled: ClassVar[bool] = False

    epochs: int = 50  # quark0/darts, rnn/train_search.py, as is all below
    batch_size: int = 256
    bptt: int = 35
    learning_rate: float = 20.0
    weight_decay: float = 5e-7
    gradient_clip: float = 0.25
    slowness: float = 1e-3
    uncapped: bool = False
    dropout: float = 0.75
    dropout_hidden: float = 0.25
    dropout_input: float = 0.75
    dropout_embedding: float = 0.2
    dropout_word: float = 0.0

    def __post_init__(self) -> None:
        _ = self.recipe
        if not self.gradient_clip:
            raise SpecError(f"gradient_clip must be a positive number, but got {self.gradient_clip}.")
        for name, value in self.dropouts.items():
            if not 0 <= value < 1:
                raise SpecError(f"{name} must be in [0, 1), but got {value}.")

    @property
    def dropouts(self) -> dict[str, float]:
        """By their names."""
        return {name: getattr(self, name) for name in self.__slots__ if name.startswith("dropout")}

    @property
    def eager(self) -> TextWeights:
        """The same: nothing is captured."""
        return self

    @property
    def optimiser(self) -> Clipped:
        """What makes the steps, which clips gradients itself."""
        return Clipped(clip=self.gradient_clip, weight_decay=self.weight_decay, uncapped=self.uncapped)

    @property
    def recipe(self) -> PieceRecipe:
        """The same as that of any training; its rate is the same in every epoch."""
        return PieceRecipe(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            final_learning_rate=self.learning_rate,
            momentum=0.0,
            nesterov=False,
            weight_decay=self.weight_decay,
            bptt=self.bptt,
            slowness=self.slowness,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TextArchitecture:
    """How the architecture is trained on a text: `order` is that of ``ArchitectureRecipe``."""

    task: ClassVar[str] = "language"

    order: Literal[1, 2] = 1
    learning_rate: float = 3e-3  # quark0/darts, rnn/train_search.py, as is the next
    weight_decay: float = 1e-3

    def __post_init__(self) -> None:
        _ = self.recipe

    @property
    def recipe(self) -> ArchitectureRecipe:
        """The same as any search has it."""
        if self.order not in (1, 2):
            raise SpecError(f"The order of a search is 1 or 2, but got {self.order}.")
        return ArchitectureRecipe(
            order=self.order, learning_rate=self.learning_rate, momentum=0.9, weight_decay=self.weight_decay
        )
