"""Pieces: a text read from its beginning to its end, several parts of it side by side, for a supernet.

Shapes: T moments, B texts side by side.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.training.recipe import Recipe
from ogive.training.text import columns

__all__ = ["Perplexity", "Piece", "PieceRecipe", "Pieces"]

SHORT = 0.05  # how often a step reads half as many words: quark0/darts, rnn/train_search.py


@dataclass(frozen=True, slots=True, kw_only=True)
class PieceRecipe(Recipe):
    """A recipe of steps that read `bptt` words, one time in twenty half of them.

    `slowness` weighs the squared change of the output between two words.
    """

    bptt: int = 35
    slowness: float = 1e-3

    def __post_init__(self) -> None:
        Recipe.__post_init__(self)
        if self.bptt < 1:
            raise SpecError(f"bptt must be at least 1, but got {self.bptt}.")
        if not 0 <= self.slowness < math.inf:
            raise SpecError(f"slowness must be 0 or a positive number, but got {self.slowness}.")


@dataclass(frozen=True, slots=True)
class Piece:
    """Words (T, B), those that follow each of them, and the share of the usual length for which a step is taken."""

    words: Tensor
    following: Tensor
    length: int
    usual: int

    def rate(self, rate: float) -> float:
        """The learning rate of a step on it, in proportion to its length."""
        return rate * self.length / self.usual


class Pieces:
    """The pieces of an epoch; of another text beside it, those from the same places."""

    def __init__(self, words: Tensor, recipe: PieceRecipe, device: torch.device) -> None:
        self.words_TB, self.bptt = columns(words, recipe.batch_size).to(device), recipe.bptt
        self.steps = math.ceil(len(words) / recipe.batch_size / recipe.bptt)

    def epoch(self, streams: Seed) -> Iterator[Piece]:
        """The text once; a last word alone has no next one to be predicted."""
        for position, length in self._places(streams):
            if position >= max(len(self.words_TB) - 2, 1):
                return
            yield self._piece(position, length)

    def beside(self, streams: Seed) -> Iterator[Piece]:
        """The text again and again, from places that move with those of the other one."""
        for position, _ in self._places(streams):
            yield self._piece(position % (len(self.words_TB) - 1), self.bptt)

    def _places(self, streams: Seed) -> Iterator[tuple[int, int]]:
        """Where steps begin, and how long they are."""
        drawn, position = streams.numpy("lengths"), 0
        while True:
            length = max(1, self.bptt if drawn.random() < 1 - SHORT else self.bptt // 2)
            yield position, length
            position += length

    def _piece(self, position: int, length: int) -> Piece:
        """At most `length` words, if so many have a next one."""
        target = self.words_TB[position + 1 : position + 1 + length]
        return Piece(self.words_TB[position : position + len(target)], target, length, self.bptt)


@dataclass(frozen=True, slots=True)
class Perplexity:
    """What a mean loss in nats a word says of a language model."""

    def told(self, total: float, count: int = 1) -> float:
        """Its exponential."""
        return math.exp(min(total / count, 700.0))

    def words(self, told: float) -> str:
        """In words."""
        return f"perplexity {told:.4g}"
