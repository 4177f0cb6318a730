"""TokenForm: how a space writes its architectures as sequences of tokens, for models that read and write sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture

__all__ = ["START", "TokenForm"]

Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

# The token before every sequence, which also fills up those that are shorter than others of their space.
START = 0


class TokenForm(Protocol):
    """Architectures as sequences of one length, of tokens 0 … `vocabulary` - 1. A frozen value that can be pickled.

    ``read(written(arch))`` is the architecture, up to what the form leaves out because no network depends on it, and
    ``written(read(tokens))`` the tokens. Whatever is written token by token within `legal` is an architecture.
    """

    @property
    def length(self) -> int:
        """T, how many tokens a sequence has."""
        ...

    @property
    def vocabulary(self) -> int:
        """V, how many tokens there are, `START` included."""
        ...

    @property
    def step(self) -> int:
        """So many tokens belong together, such as an operation and what it reads; divides the length."""
        ...

    def written(self, arch: Architecture) -> tuple[int, ...]:
        """The T tokens of a legal architecture."""
        ...

    def read(self, tokens: Sequence[int]) -> Architecture:
        """The architecture of T tokens; InvalidArchitecture where `legal` would not have let them be written."""
        ...

    def legal(self, tokens_NP: Integers) -> Booleans:
        """Which tokens may come next after the first P < T of N sequences, shape (N, V); at least one of each row."""
        ...

    def mirrored(self, tokens_NT: Integers, rng: np.random.Generator) -> Integers:
        """Sequences of the same networks, written another way at random where there is one: sums have no order."""
        ...
