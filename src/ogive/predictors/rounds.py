"""What makes a predictor `Lasting`: by the epochs of its recipe, or by the rounds of the predictor inside it."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, Protocol, Self

from ogive.core.capabilities import lasting, rounds_of

__all__ = ["RoundsInside", "RoundsOfRecipe"]


class _Epochs(Protocol):
    """A dataclass with a field of that name."""

    @property
    def epochs(self) -> int: ...


class RoundsOfRecipe:
    """For a predictor whose `recipe`, a frozen dataclass, says for how many `epochs` it is fitted."""

    recipe: Any

    @property
    def rounds(self) -> int:
        """The epochs."""
        recipe: _Epochs = self.recipe
        return recipe.epochs

    def lasting(self, rounds: int) -> Self:
        """The same with so many epochs."""
        other = copy.copy(self)
        other.recipe = replace(self.recipe, epochs=rounds)
        return other


class RoundsInside:
    """For a predictor around another one, its only part."""

    predictor: Any
    parts: tuple[Any, ...]

    @property
    def rounds(self) -> int:
        """Those of the predictor inside."""
        return rounds_of(self.predictor)

    def lasting(self, rounds: int) -> Self:
        """The same with a predictor of so many rounds inside."""
        other = copy.copy(self)
        other.predictor = lasting(self.predictor, rounds)
        other.parts = (other.predictor,)
        return other
