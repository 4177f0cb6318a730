"""Which row of a table belongs to which architecture; a table says in its table.json how its rows are keyed."""

from __future__ import annotations

import hashlib
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError, UnknownName

__all__ = ["Key", "MixedRadix", "SortedDigests", "key_from"]

# NumPy takes numbers of rows apart into so many digits.
DIGITS = 32

Integers = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Arrays = Callable[[str], npt.NDArray[Any]]


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

    def all_choices(self) -> npt.NDArray[Any]:
        """The choices of the architectures in all rows, shape (rows, V)."""
        ...

    def description(self) -> dict[str, Any]:
        """Plain data from which `key_from` makes the key again."""
        ...

    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        """What else `key_from` needs, by names; the table keeps it beside its columns."""
        ...


class MixedRadix:
    """A row for each combination of choices, in lexicographic order: choices are the digits of the row's number."""

    kind = "mixed radix"

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = tuple(operator.index(size) for size in sizes)
        if not (len(self.sizes) <= DIGITS and min(self.sizes, default=1) > 0 and math.prod(self.sizes) < 2**63):
            raise SpecError(f"A row for each combination takes up to {DIGITS} choices and 2^63 rows.")
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

    def all_choices(self) -> npt.NDArray[Any]:
        """The digits of all numbers."""
        return np.stack(np.unravel_index(np.arange(self.rows), self.sizes), axis=1)

    def description(self) -> dict[str, Any]:
        """The kind of key and the number of options of each variable."""
        return {"kind": self.kind, "sizes": list(self.sizes)}

    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        """Nothing: the numbers of the rows say it all."""
        return {}

    def _rule(self) -> str:
        return f"The table is for {len(self.sizes)} integer choices below {', '.join(map(str, self.sizes))}"


# -- tables of some architectures -------------------------------------------------------------------------------------


class SortedDigests:
    """A row for each architecture that was measured, in the order of 128-bit digests, which are searched by bisection.

    `by` says what is digested: "choices", the architecture's text; "module hash", the published hash of
    NAS-Bench-101; "flow", what a cell of NAS-Bench-Graph computes; "blocks", the layers of a mobile network that are
    not skipped. The last three are the same for architectures that are one network, so that each finds the row of its
    class.
    """

    kind = "sorted digests"

    def __init__(self, space: str, by: str, arrays: Arrays, rows: int) -> None:
        if by not in _DIGESTS:
            raise UnknownName("way of digesting architectures", by, _DIGESTS)
        self.space, self.by, self.rows = space, by, rows
        self._digest = cache(_DIGESTS[by])
        self._arrays = cache(arrays)

    @classmethod
    def of(
        cls, space: str, choices_RV: npt.ArrayLike, *, by: str = "choices", digests: Sequence[bytes] | None = None
    ) -> tuple[SortedDigests, Integers]:
        """The key of R architectures, and their order: row r is architecture ``order[r]``; SpecError for doubles.

        `digests` are those of the architectures, 16 bytes each, where they are known already.
        """
        choices = np.asarray(choices_RV)
        if by not in _DIGESTS:
            raise UnknownName("way of digesting architectures", by, _DIGESTS)
        if digests is None:
            digest = _DIGESTS[by]()
            digests = [digest(Architecture(space, tuple(row))) for row in choices.tolist()]
        words = _words(digests)
        order = np.lexsort((words[1], words[0]))
        words = np.ascontiguousarray(words[:, order])
        twice = np.flatnonzero((words[:, 1:] == words[:, :-1]).all(axis=0))
        if twice.size:
            first, second = order[twice[0]], order[twice[0] + 1]
            raise SpecError(
                f"Each architecture has one row, but {Architecture(space, tuple(choices[first].tolist()))} and "
                f"{Architecture(space, tuple(choices[second].tolist()))} are the same one."
            )
        arrays = {"digests": words, "choices": np.ascontiguousarray(choices[order].astype(_small(choices)))}
        return cls(space, by, arrays.__getitem__, len(choices)), order

    def row(self, choices: Sequence[int | float]) -> int:
        """Bisection among the first halves of the digests, then the second halves."""
        self._check_length(len(choices))
        digest = self._digest()(Architecture(self.space, tuple(choices)))
        first, second = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")
        known = self._arrays("digests")
        row = int(np.searchsorted(known[0], np.uint64(first)))
        while row < self.rows and known[0].item(row) == first:
            if known[1].item(row) == second:
                return row
            row += 1
        raise self._absent(choices)

    def rows_of(self, choices_NV: npt.ArrayLike) -> Integers:
        """The same for whole arrays."""
        choices = np.asarray(choices_NV)
        if choices.ndim != 2 or choices.dtype.kind not in "iu":
            raise InvalidArchitecture(
                f"Choices are integers of shape (N, V); got an array of {choices.dtype} of shape {choices.shape}."
            )
        self._check_length(choices.shape[1])
        digest, known = self._digest(), self._arrays("digests")
        words = _words([digest(Architecture(self.space, tuple(row))) for row in choices.tolist()])
        rows: Integers = np.searchsorted(known[0], words[0]).astype(np.int64)
        clipped = np.minimum(rows, self.rows - 1)
        # Two digests that share their first half are so rare that the slow way may find them.
        for place in np.flatnonzero((known[:, clipped] != words).any(axis=0)).tolist():
            rows[place] = self.row(choices[place].tolist())
        return rows

    def choices(self, row: int) -> tuple[int, ...]:
        """The choices that were imported."""
        return tuple(self._arrays("choices")[row].tolist())

    def all_choices(self) -> npt.NDArray[Any]:
        """The choices that were imported, of all rows."""
        return self._arrays("choices")

    def description(self) -> dict[str, Any]:
        """The kind of key, the space and what is digested."""
        return {"kind": self.kind, "space": self.space, "by": self.by, "rows": self.rows}

    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        """The digests as two rows of 64-bit words, and the choices."""
        return {name: self._arrays(name) for name in ("digests", "choices")}

    def _check_length(self, length: int) -> None:
        wanted = self._arrays("choices").shape[1]
        if length != wanted:
            raise InvalidArchitecture(f"The table is for {wanted} choices; got {length}.")

    def _absent(self, choices: Sequence[int | float]) -> InvalidArchitecture:
        arch = Architecture(self.space, tuple(choices))
        return InvalidArchitecture(f"{arch} is none of the {self.rows:,} architectures of the table.")


Digest = Callable[[Architecture], bytes]


def _text_digest() -> Digest:
    return lambda arch: hashlib.blake2b(str(arch).encode(), digest_size=16).digest()


def _module_hash() -> Digest:
    from ogive.spaces.nasbench101 import is_legal, module_hash

    def digest(arch: Architecture) -> bytes:
        if not is_legal(arch.choices):
            raise InvalidArchitecture(f"{arch} is not a legal cell of {arch.space}.")
        return bytes.fromhex(module_hash(arch))

    return digest


def _flow() -> Digest:
    from ogive.spaces.nasbench_graph import flow

    return lambda arch: hashlib.blake2b(repr(flow(arch)).encode(), digest_size=16).digest()


def _blocks() -> Digest:
    from ogive.spaces.ofa_mobilenetv3 import prune

    digest = _text_digest()
    return lambda arch: digest(prune(arch))


_DIGESTS: dict[str, Callable[[], Digest]] = {
    "choices": _text_digest,
    "module hash": _module_hash,
    "flow": _flow,
    "blocks": _blocks,
}


def _words(digests: Sequence[bytes]) -> Words:
    """Digests of 16 bytes as two rows of big-endian numbers."""
    pairs = np.frombuffer(b"".join(digests), ">u8").reshape(-1, 2)
    return np.ascontiguousarray(pairs.T.astype(np.uint64))


def _small(choices: npt.NDArray[Any]) -> type[np.uint8] | type[np.int64]:
    return np.uint8 if choices.size and 0 <= choices.min() <= choices.max() < 256 else np.int64


def key_from(description: dict[str, Any], arrays: Arrays) -> Key:
    """The key that ``Key.description()`` describes; UnknownName if this version of ogive has no such kind.

    `arrays` gives the arrays of ``Key.arrays()`` by name, and is not called before one is needed.
    """
    kinds: dict[str, Callable[[], Key]] = {
        MixedRadix.kind: lambda: MixedRadix(description["sizes"]),
        SortedDigests.kind: lambda: SortedDigests(
            str(description["space"]), str(description["by"]), arrays, int(description["rows"])
        ),
    }
    if description["kind"] not in kinds:
        raise UnknownName("kind of table key", str(description["kind"]), kinds)
    return kinds[description["kind"]]()
