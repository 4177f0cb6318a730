"""Rows of files of one's own: several files joined on a column, and several rows about one architecture."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, UnknownName
from ogive.tables.rows import Values, mean_of_rows, read_columns

__all__ = ["DUPLICATES", "joined", "merged", "without_infinities"]

logger = logging.getLogger(__name__)

Integers = npt.NDArray[np.int64]
Merge = Callable[[Values, Integers, Integers], Values]

_LABELS = re.compile(r"__index_level_\d+__")
# A number this many times as large as the median of its column is said: it may stand for "diverged".
_HUGE = 1e6


def joined(paths: Sequence[Path], on: str, duplicates: str) -> dict[str, Values]:
    """The columns of all files, in the rows of the first one; what another file has no row for is missing.

    Several rows for a key in one of the others become one in a way of `DUPLICATES`. Raises SpecError if none is given
    there, or if files have a column in common beside `on`.
    """
    if len(paths) > 1 and not on:
        raise SpecError(
            f"Several files of your own become one table by a column that they all have: give --on COLUMN, or import "
            f"{paths[1]} under a name of its own."
        )
    found = _columns(paths[0], on)
    keys = _keys(found, on, paths[0]) if on else []
    for path in paths[1:]:
        others = _once(_columns(path, on), on, duplicates, path)
        place = {key: row for row, key in enumerate(_keys(others, on, path))}
        both = [name for name in others if name in found and name != on]
        if both:
            raise SpecError(f"Both {paths[0].name} and {path.name} have the column {both[0]}: rename one of them.")
        rows = np.array([place.get(key, -1) for key in keys], np.int64)
        missing = int((rows < 0).sum())
        if missing == len(rows):
            raise SpecError(f"No {on} of {paths[0].name} is in {path.name}: the files do not belong together.")
        if missing:
            logger.warning("%s has no row for %s of %s rows.", path.name, f"{missing:,}", f"{len(rows):,}")
        found |= {name: _aligned(values, rows) for name, values in others.items() if name != on}
    return found


def _columns(path: Path, on: str) -> dict[str, Values]:
    """The columns of a file, without the labels of rows that pandas adds where they are not just counted."""
    return {name: values for name, values in read_columns(path).items() if name == on or not _LABELS.fullmatch(name)}


def _keys(columns: Mapping[str, Values], on: str, path: Path) -> list[str]:
    if on not in columns:
        raise UnknownName(f"column of {path.name}", on, columns)
    return [str(key).strip() for key in columns[on].tolist()]


def _once(columns: Mapping[str, Values], on: str, how: str, path: Path) -> Mapping[str, Values]:
    """One row for each key: numbers merged as asked, and of texts the first."""
    _, first, place = np.unique(_keys(columns, on, path), return_index=True, return_inverse=True)
    merge = _merging(how)
    if len(first) == len(columns[on]):
        return columns
    what = f"{path.name} has {len(place):,} rows for {len(first):,} different {on}"
    if merge is None:
        raise SpecError(f"{what}: give --duplicates mean or --duplicates first, or join on others.")
    logger.warning("%s: of each, the %s is kept.", what, "first row" if how == "first" else "mean")
    return {
        name: merge(without_infinities(values, name), first, place.reshape(-1))
        if values.dtype.kind in "iuf" and name != on
        else values[first]
        for name, values in columns.items()
    }


def _aligned(values: Values, rows: Integers) -> Values:
    if (rows >= 0).all():
        return values[rows]
    if values.dtype.kind in "iuf":
        values = values.astype(np.promote_types(values.dtype, np.float32))
        return np.where(rows >= 0, values[rows], np.nan).astype(values.dtype)
    return np.where(rows >= 0, values.astype(object)[rows], "")


def _first(values: Values, first: Integers, place: Integers) -> Values:
    return values[first]


def _mean(values: Values, first: Integers, place: Integers) -> Values:
    """Means of what was measured, in floating point unless the rows agree anyway; nan where nothing was."""
    if values.dtype.kind in "iu" and np.array_equal(values, values[first][place]):
        return values[first]
    return mean_of_rows(values, place, len(first))


# What becomes of several rows about one architecture.
DUPLICATES: Mapping[str, Merge | None] = {"refuse": None, "first": _first, "mean": _mean}


def _merging(how: str) -> Merge | None:
    if how not in DUPLICATES:
        raise UnknownName("way to merge duplicates", how, DUPLICATES)
    return DUPLICATES[how]


def merged(
    space: str, choices_RV: Integers, columns: Mapping[str, Values], how: str, file: str
) -> tuple[Integers, dict[str, Values]]:
    """One row for each architecture, by a way of `DUPLICATES`; SpecError if there are more and none may be."""
    merge = _merging(how)
    distinct, first, place = np.unique(choices_RV, axis=0, return_index=True, return_inverse=True)
    place = place.reshape(-1)
    if len(distinct) == len(choices_RV):
        return choices_RV, dict(columns)
    if merge is None:
        twice = Architecture(space, tuple(distinct[int(np.bincount(place).argmax())].tolist()))
        raise SpecError(
            f"Each architecture has one row, but {file} has {len(choices_RV):,} rows for {len(distinct):,} "
            f"architectures, several of them for {twice}: give --duplicates mean or --duplicates first."
        )
    logger.warning(
        "%s has %s rows for %s architectures: of each, %s is kept.",
        file, f"{len(choices_RV):,}", f"{len(distinct):,}", "the first row" if how == "first" else "the mean",
    )  # fmt: skip
    return distinct, {name: merge(values, first, place) for name, values in columns.items()}


def without_infinities(values: Values, column: str) -> Values:
    """The numbers with nan for infinite ones, which are no measurements; what is missing, infinite or huge is said."""
    if values.dtype.kind == "f":
        infinite = np.isinf(values)
        missing = int(np.isnan(values).sum())
        values = np.where(infinite, np.nan, values).astype(values.dtype)
    else:
        infinite, missing = np.zeros(len(values), bool), 0
    sizes = np.abs(values.astype(np.float64))
    median = float(np.nanmedian(sizes)) if not np.isnan(sizes).all() else 0.0
    huge = int((sizes > _HUGE * median).sum()) if median > 0 else 0
    said = [
        f"{number:,} {words}"
        for number, words in (
            (missing, "missing"),
            (int(infinite.sum()), "infinite and taken as missing"),
            (huge, f"beyond {_HUGE * median:.3g}, a million times the median"),
        )
        if number
    ]
    if said:
        logger.warning("Of the %s cells of %s, %s.", f"{len(values):,}", column, ", ".join(said))
    return values
