"""A column of a table: what its numbers are, which file holds them, and what they are as a metric."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ogive.core.errors import SpecError, quoted
from ogive.core.metric import TEST_ACC, VAL_ACC, Better, Metric, better_of, of_version_1

__all__ = [
    "PUBLISHED_ROLES", "Cell", "Column", "Role", "Seeds", "as_stored", "check_column", "file_of", "settled", "usable",
]  # fmt: skip

# What a search does with a column that it goes by, or reports.
Role = Literal["searched", "reported"]
# Which of the published trainings of an architecture a number stands for: the mean over all of them; over some, not the
# same ones for every architecture; or one.
Seeds = Literal["all", "some", "one"]
# Whether architectures were measured as they are written, or without their dead branches.
Cell = Literal["raw", "pruned"]
# What published accuracies are called there, whichever of them it is; tables of one's own keep their names.
PUBLISHED_ROLES: Mapping[str, Metric] = {"searched": VAL_ACC, "reported": TEST_ACC}

# Units that only say what is counted, as the name of the column does.
_COUNTED = ("1", "parameters", "MACs")
# Formats of whose trainings every epoch was measured.
_OF_CURVES = ("nasbench301-results ",)
# File systems hold names of 255 bytes.
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Column:
    """What the numbers of a column are; `test` marks what was measured on a test set and is for the record only.

    `meaning` says it at length and `words` in a word or two; `better` says which way is. None, before it is written,
    stands for as its name and unit say (`settled`).

    Columns of one `family` are the same measurement at several fidelities (epochs), and `curve` marks those that were
    measured on the way through one longer training instead of at the end of a training of their own. `clock` names
    the column with the seconds that the training behind this one took.

    `seeds` says which trainings a number stands for and `seed` which one, by its seed or its number, where it is the
    same for all architectures; `mean` names the column with the mean over this training and others. `cell` says what
    was trained or counted. None stands for what nobody published.
    """

    unit: str
    meaning: str
    dtype: str
    test: bool = False
    family: str | None = None
    fidelity: int | None = None
    clock: str | None = None
    curve: bool = False
    better: Better | None = None
    words: str | None = None
    seeds: Seeds | None = None
    seed: int | None = None
    mean: str | None = None
    cell: Cell | None = None

    def metric(self, name: str, *, reported: bool = False) -> Metric:
        """The metric that a column is, under a name; for the record only if it is of a test set or is `reported`."""
        unit = "" if self.unit in _COUNTED else self.unit
        words = self.meaning if self.words is None else self.words
        return Metric(name, unit, self.better or better_of(name, unit), words, reported or self.test)


# What table.json says of a column.
_ENTRIES = frozenset(entry.name for entry in fields(Column))


def settled(name: str, column: Column) -> Column:
    """The column with its direction and words, which schema 1 did not say, nor whoever writes a table has to."""
    if column.better is not None and column.words is not None:
        return column
    return replace(
        column,
        better=column.better or better_of(name, column.unit),
        words=(of_version_1(name).words or column.meaning) if column.words is None else column.words,
    )


def as_stored(name: str, entries: Mapping[str, Any], importer: str) -> Column:
    """The column that table.json describes, settled.

    Version 0.1 could not say what is of a learning curve, which is then known by what imported it.
    """
    told = {entry: value for entry, value in entries.items() if entry in _ENTRIES}
    if "curve" not in told:
        told["curve"] = importer.startswith(_OF_CURVES) and told.get("family", name) != name
    return settled(name, Column(**told))


def usable(name: str) -> bool:
    """Whether a column may have this name: any that can be printed, but those of the files of a key."""
    return name.isprintable() and 0 < len(file_of(name)) <= _LONGEST and not name.startswith("key.")


def file_of(name: str) -> str:
    """The name of the file of a column: the column's own, but for what no shell or file system takes, as in URLs."""
    if name.isascii() and name.isidentifier():  # nearly all, for which a table is opened twice as fast
        return name
    escaped = urllib.parse.quote(name, safe="@+")
    return f"%{ord(escaped[0]):02X}{escaped[1:]}" if escaped[:1] in (".", "-", "~") else escaped


def check_column(name: str, about: Column, values: npt.NDArray[Any], rows: int) -> None:
    """SpecError if a column cannot be written: its name, or other numbers than it says."""
    if not usable(name):
        raise SpecError(
            f"A column's name is up to {_LONGEST} letters, digits and signs, and does not begin with 'key.', "
            f"but got {quoted(name)}."
        )
    if values.shape != (rows,) or values.dtype.kind not in "iuf" or values.dtype != np.dtype(about.dtype):
        raise SpecError(
            f"The column {name} must be an array of {about.dtype} of shape ({rows},), "
            f"but is one of {values.dtype} of shape {values.shape}."
        )
