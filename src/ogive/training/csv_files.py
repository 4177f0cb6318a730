"""Rows from a file of separated values: a line a row, the first one names the columns; also two-dimensional arrays."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ogive.core.errors import SpecError, UnknownName, in_line, long_name, quoted, shortened
from ogive.training.preparation import Cells
from ogive.training.rows import Rows, RowsOf, TaskName, divided, is_missing, is_number

__all__ = ["Lines", "lines_of", "load"]

SEPARATORS = (",", ";", "\t", "|")
LARGEST_SHARE = 0.5  # a column of words with more different ones than this share of the rows tells rows apart, no more
FEW = 100  # ... unless there are no more than so many


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a file: names of the columns, the cells of each row, and the number of each row's line."""

    path: Path
    names: tuple[str, ...]
    rows: list[list[str]]
    numbers: list[int]

    def column(self, name: str) -> list[str]:
        """The cells of a column."""
        place = self.names.index(name)
        return [row[place] for row in self.rows]


def load(
    name: str,
    *,
    target: str | None = None,
    task: TaskName = "auto",
    separator: str | None = None,
    test: Path | None = None,
    drop: Sequence[str] = (),
    categories: Sequence[str] = (),
    unit: str = "",
    validation: float | None = None,
    limit: int | None = None,
) -> Rows:
    """Rows of a file whose first line names the columns, one of which is predicted: csv:houses.csv(target=price).

    `task`: by default regression if the target is numbers with fractions, or with more than 20 different values.
    `separator`: one character, by default whichever of comma, semicolon, tab and bar the header has most of. `test`: a
    file with the test rows; else they are divided off, always the same. `drop`: columns to leave out, such as an index;
    `categories`: columns of numbers that are codes. `unit`: of the target. `validation`: the share of the training rows
    to compare candidates on; `limit`: at most so many rows of each part. An empty cell, NA, NaN, null, none and ?
    are missing. Raises SpecError, which names the line.
    """
    path = Path(name.partition(":")[2]).expanduser()
    if path == Path():
        raise SpecError("A table of rows is written csv:FILE(target=COLUMN), such as csv:houses.csv(target=price).")
    lines = lines_of(path, separator)
    goal = _target(lines, target)
    kept = _kept(lines, goal, drop, categories)
    others = None if test is None else _matching(lines_of(test.expanduser(), separator), lines, kept, goal)
    numeric = [column for column in kept if column not in categories and _is_numeric(lines.column(column))]
    words = [column for column in kept if column not in numeric]
    for column in words:
        _refuse_endless(lines, column, chosen=column in categories)
    parts = {"train": lines} if others is None else {"train": lines, "test": others}
    source = RowsOf(
        name=str(path),
        numbers=tuple(numeric),
        words=tuple(words),
        target=goal,
        cells={part: _cells(found, numeric, words) for part, found in parts.items()},
        targets={part: np.array(found.column(goal), object) for part, found in parts.items()},
        places={part: [f"line {number} of {found.path}" for number in found.numbers] for part, found in parts.items()},
        unit=unit,
    )
    return divided(source, task=task, validation=validation, limit=limit)


def lines_of(path: Path, separator: str | None, kind: str = "csv") -> Lines:
    """All lines of the file, with as many cells in each as the first one names; `kind` is what it was called by."""
    if separator is not None and (len(separator) != 1 or separator in '"\r\n'):
        raise SpecError(f"A separator is one character, such as separator=';', but got {quoted(separator)}.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SpecError(f"{kind}:{path}: there is no such file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{shortened(str(path), 200)} cannot be read as text in UTF-8 ({in_line(error)}).") from None
    if not text.strip():
        raise SpecError(f"{path} is empty: its first line names the columns, and each other one is a row.")
    header = text.lstrip().splitlines()[0]
    chosen = separator or max(SEPARATORS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=chosen, strict=True)
    found = _numbered(reader, path)
    _, first = next(found)
    names = tuple(first)
    _refuse_header(path, names)
    rows, numbers = [], []
    for number, row in found:
        if len(row) != len(names):
            raise SpecError(f"Line {number} of {path} has {len(row)} cells, but its header names {len(names)} columns.")
        rows.append(row)
        numbers.append(number)
    if not rows:
        raise SpecError(f"{path} has no rows below its header.")
    return Lines(path, names, rows, numbers)


def _numbered(reader: Any, path: Path) -> Iterator[tuple[int, list[str]]]:
    """The number of the last line of each row, and its cells without blanks around; empty lines are no rows."""
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise SpecError(f"Line {reader.line_num} of {path} is no row of cells ({error}).") from None
        if any(cell.strip() for cell in row):
            yield reader.line_num, [cell.strip() for cell in row]


def _refuse_header(path: Path, names: tuple[str, ...]) -> None:
    if all(is_number(name) for name in names):
        raise SpecError(f"The first line of {path} must name the columns, but it holds numbers: {shortened(names[0])}.")
    if "" in names:
        raise SpecError(
            f"Column {names.index('') + 1} of {path} has no name in the header: name it, or, where it is an index, "
            "write the file without it."
        )
    if (long := long_name(names)) is not None:
        raise SpecError(f"A column of {path} has a name of more than 200 characters: {quoted(long)}.")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SpecError(f"The header of {path} names the column {twice!r} twice.")


def _target(lines: Lines, target: str | None) -> str:
    if target is None:
        last = lines.names[-1]
        raise SpecError(
            f"Which column of {lines.path} is to be predicted? Write csv:{lines.path}(target={last}); "
            f"the columns are {shortened(', '.join(lines.names))}."
        )
    if target not in lines.names:
        columns = shortened(", ".join(lines.names))
        raise SpecError(f"The target {quoted(target)} is no column of {lines.path}, whose columns are {columns}.")
    return target


def _kept(lines: Lines, target: str, drop: Sequence[str], categories: Sequence[str]) -> list[str]:
    """The columns to predict from."""
    for name in (*drop, *categories):
        if name not in lines.names:
            raise UnknownName(f"column of {lines.path}", name, lines.names)
    if target in drop or target in categories:
        raise SpecError(f"The target {target} can be neither in drop nor in categories.")
    kept = [name for name in lines.names if name != target and name not in drop]
    if not kept:
        raise SpecError(f"{lines.path} has no column beside the target {target} to predict it from.")
    return kept


def _matching(test: Lines, lines: Lines, kept: Sequence[str], target: str) -> Lines:
    """The test rows, which must have all columns that are used."""
    for name in (*kept, target):
        if name not in test.names:
            raise SpecError(f"The test rows of {test.path} lack the column {name} of {lines.path}.")
    return test


def _is_numeric(cells: Sequence[str]) -> bool:
    """Whether all cells are numbers or missing."""
    return all(is_missing(cell) or is_number(cell) for cell in cells)


def _refuse_endless(lines: Lines, column: str, *, chosen: bool) -> None:
    """SpecError for words that tell hardly anything but which row it is, most often a name or an index."""
    cells = lines.column(column)
    different = len(set(cells))
    if different <= max(FEW, LARGEST_SHARE * len(cells)):
        return
    spoilt = next((place for place, cell in enumerate(cells) if not (is_missing(cell) or is_number(cell))), None)
    if not chosen and spoilt is not None and sum(map(is_number, cells)) > len(cells) / 2:
        raise SpecError(
            f"The column {column} of {lines.path} holds numbers but for {shortened(cells[spoilt])!r} in line "
            f"{lines.numbers[spoilt]}: correct it, or leave the column out with drop=[{column}]."
        )
    raise SpecError(
        f"The column {column} of {lines.path} has {different:,} categories in {len(cells):,} rows, too many to learn "
        f"from: leave it out with drop=[{column}]."
    )


def _cells(lines: Lines, numeric: Sequence[str], words: Sequence[str]) -> Cells:
    numbers = np.empty((len(lines.rows), len(numeric)))
    for place, name in enumerate(numeric):
        numbers[:, place] = [
            _number(cell, lines, row, name) if not is_missing(cell) else math.nan
            for row, cell in enumerate(lines.column(name))
        ]
    held = np.empty((len(lines.rows), len(words)), object)
    for place, name in enumerate(words):
        held[:, place] = ["" if is_missing(cell) else cell for cell in lines.column(name)]
    return Cells(numbers, held)


def _number(cell: str, lines: Lines, row: int, name: str) -> float:
    if not is_number(cell) or not math.isfinite(float(cell)):
        raise SpecError(
            f"Line {lines.numbers[row]} of {lines.path} has {shortened(cell)!r} in the column {name}, which holds "
            "finite numbers."
        )
    return float(cell)
