"""Which row of a table belongs to which architecture; a table says in its table.json how its rows are keyed."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ogive.core.errors import InvalidArchitecture, UnknownName

__all__ = ["Key", "MixedRadix", "key_from"]

Integers = npt.NDArray[np.int64]


class Key(Protocol):
    """The rows of architectures, and the architectures of rows."""

    @property
    def rows(self) -> int:
        """How many rows a table with this key has."""
        ...

    def row(self, choices: Sequence[int | float]) -> int:
        """The row of one architecture; raises InvalidArchitecture if there is none."""
        ...

    def rows_of(self, choices_NV: npt.ArrayLike) -> Integers:
        """The rows, shape (N,), of N architectures of V choices each; raises InvalidArchitecture."""
        ...

    def choices(self, row: int) -> tuple[int, ...]:
        """The choices of the architecture in a row."""
        ...

    def description(self) -> dict[str, Any]:
        """Plain data from which `key_from` makes the key again."""
        ...


class MixedRadix:
    """A row for each combination of choices, in lexicographic order: choices are the digits of the row's number."""

    kind = "mixed radix"

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = tuple(operator.index(size) for size in sizes)
        self.rows = math.prod(self.sizes)
        weights = [math.prod(self.sizes[place + 1 :]) for place in range(len(self.sizes))]
        self._weights = np.array(weights, np.int64)

    def row(self, choices: Sequence[int | float]) -> int:
        """Horner's rule."""
        row: int | float = 0
        try:
            for choice, size in zip(choices, self.sizes, strict=True):
                if not 0 <= choice < size:
                    raise ValueError
                row = row * size + choice
            return operator.index(row)  # type: ignore[arg-type]  # a float is refused here
        except (ValueError, TypeError):
            raise InvalidArchitecture(f"{self._rule()}; got {tuple(choices)}.") from None

    def rows_of(self, choices_NV: npt.ArrayLike) -> Integers:
        """The same for whole arrays of integers."""
        choices = np.asarray(choices_NV)
        if choices.ndim != 2 or choices.shape[1] != len(self.sizes) or choices.dtype.kind not in "iu":
            raise InvalidArchitecture(f"{self._rule()}; got an array of {choices.dtype} of shape {choices.shape}.")
        outside = (choices < 0) | (choices >= np.array(self.sizes))
        if outside.any():
            first = int(outside.any(axis=1).argmax())
            raise InvalidArchitecture(f"{self._rule()}; row {first} of the array is {tuple(choices[first].tolist())}.")
        rows: Integers = choices.astype(np.int64, copy=False) @ self._weights
        return rows

    def choices(self, row: int) -> tuple[int, ...]:
        """The digits of the row's number."""
        return tuple(int(digit) for digit in np.unravel_index(row, self.sizes))

    def description(self) -> dict[str, Any]:
        """The kind of key and the number of options of each variable."""
        return {"kind": self.kind, "sizes": list(self.sizes)}

    def _rule(self) -> str:
        return f"The table is for {len(self.sizes)} integer choices below {', '.join(map(str, self.sizes))}"


def key_from(description: dict[str, Any]) -> Key:
    """The key that ``Key.description()`` describes; UnknownName if this version of ogive has no such kind."""
    if description["kind"] != MixedRadix.kind:
        raise UnknownName("kind of table key", str(description["kind"]), [MixedRadix.kind])
    return MixedRadix(description["sizes"])
