"""What data are to everybody who does not look into them: a name, a kind, the tasks that they serve, and a digest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

__all__ = ["DataSet", "Samples", "SomeData"]


@runtime_checkable
class DataSet(Protocol):
    """Data with fixed parts to train, to validate and to test on, as ``ogive.data`` returns them."""

    @property
    def name(self) -> str:
        """What they are called in run.json."""
        ...

    @property
    def kind(self) -> str:
        """What one input is, in the plural: "images", "rows" or "words"."""
        ...

    @property
    def tasks(self) -> tuple[str, ...]:
        """What networks may learn from them; the first that a space serves too is the task of a search."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 of all of them."""
        ...


@runtime_checkable
class Samples(Protocol):
    """A dataset in torch's sense: pairs of an image and a label, by number."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> object: ...


# Data as a search takes them: their name, data that were loaded, a torch dataset, or two or three (train, validation,
# test) torch datasets, or loaders of batches.
SomeData: TypeAlias = str | DataSet | Samples | Sequence[Samples] | Sequence[Iterable[object]]
