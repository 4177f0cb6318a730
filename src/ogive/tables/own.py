"""Tables of one's own: any parquet or CSV file with one row an architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ogive.core.errors import InvalidArchitecture, SpecError, UnknownName
from ogive.core.metric import Better
from ogive.core.space import Choice, SearchSpace
from ogive.tables.keys import SortedDigests
from ogive.tables.rows import Values, read_columns
from ogive.tables.store import Column, Table, write_table

__all__ = ["Mapped", "import_mapped"]

# Digests that find isomorphic architectures of these spaces.
_BY = {"nasbench101": "module hash", "nasbench_graph": "flow"}


@dataclass(frozen=True)
class Mapped:
    """What a file of one's own means.

    * `space` is the space of the architectures, and `arch_column` the column that names them, in the space's text form
      or in ogive's (``mlp:0,1,2``, or just ``0,1,2``); with `arch_column` empty, each variable of the space is a
      column of its own, which holds options;
    * `columns` become columns of the table, from the name in the table to the name in the file, empty for all numbers;
    * `minimize` are the columns (names in the table) of which smaller is better, such as losses;
    * `metric`, `report` and `clock` are the columns (names in the table) that a search uses; `report`, and columns
      whose name has the word "test", count as measured on a test set.
    """

    space: SearchSpace
    arch_column: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    metric: str | None = None
    report: str | None = None
    clock: str | None = None
    minimize: tuple[str, ...] = ()


def import_mapped(path: Path, folder: Path, name: str, mapped: Mapped) -> Table:
    """Write the table; SpecError if a row is no architecture of the space, or two rows are the same one."""
    columns = read_columns(path)
    choices = _choices(columns, path, mapped)
    wanted = dict(mapped.columns) or {
        column: column
        for column, values in columns.items()
        if values.dtype.kind in "iuf" and column not in {mapped.arch_column, *(v.name for v in mapped.space.variables)}
    }
    if not wanted:
        raise SpecError(f"{path} has no column of numbers for the table: its columns are {', '.join(columns)}.")
    key, order = SortedDigests.of(mapped.space.name, choices, by=_BY.get(mapped.space.name, "choices"))
    found = {}
    for column, source in wanted.items():
        if source not in columns:
            raise UnknownName(f"column of {path.name}", source, columns)
        values = columns[source]
        if values.dtype.kind not in "iuf":
            raise SpecError(f"The column {source} of {path} must hold numbers.")
        test = column == mapped.report or "test" in column.split("_")
        better: Better | None = "smaller" if column in mapped.minimize else None
        about = Column("", f"column {source} of {path.name}", str(values.dtype), test=test, better=better)
        found[column] = about, values[order]
    for column in mapped.minimize:
        if column not in found:
            raise UnknownName("column of the table", column, found)
    size = mapped.space.size
    metric = mapped.metric or next((column for column, (about, _) in found.items() if not about.test), None)
    return write_table(
        folder,
        found,
        name=name,
        space=mapped.space.name,
        key=key,
        source=path.name,
        licence="your own",
        importer="own 1",
        complete=bool(size == len(choices)),
        metric=metric,
        report=mapped.report,
        clock=mapped.clock,
    )


def _choices(
    columns: Mapping[str, Values], path: Path, mapped: Mapped
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    if mapped.arch_column:
        if mapped.arch_column not in columns:
            raise UnknownName(f"column of {path.name}", mapped.arch_column, columns)
        texts = [str(text) for text in columns[mapped.arch_column].tolist()]
    else:
        texts = _spelled(columns, path, mapped.space)
    rows = []
    for number, text in enumerate(texts):
        try:
            rows.append(_architecture(mapped.space, text))
        except InvalidArchitecture as error:
            raise SpecError(f"Row {number} of {path} is no architecture of {mapped.space.name}: {error}") from None
    if not rows:
        raise SpecError(f"{path} has no rows.")
    return np.array(rows, np.int64)


def _architecture(space: SearchSpace, text: str) -> tuple[int | float, ...]:
    """The choices of one architecture, the canonical ones where the space has any."""
    bare = not text.strip().startswith(f"{space.name}:") and (space.read is None)
    arch = space.parse(f"{space.name}:{text.strip()}" if bare else text)
    return (space.canonical(arch) if space.canonical is not None and space.name in _BY else arch).choices


def _spelled(columns: Mapping[str, Values], path: Path, space: SearchSpace) -> list[str]:
    """The architectures as texts of choices, from one column of options for each variable."""
    found = []
    for variable in space.variables:
        if not isinstance(variable, Choice):
            raise SpecError(f"{variable.name} of {space.name} is continuous, and tables hold choices only.")
        if variable.name not in columns:
            raise UnknownName(f"column of {path.name}", variable.name, columns)
        place = {option: str(index) for index, option in enumerate(variable.options)}
        texts = [str(value) for value in columns[variable.name].tolist()]
        unknown = next((text for text in texts if text not in place), None)
        if unknown is not None:
            raise UnknownName(f"option of {variable.name}", unknown, variable.options)
        found.append([place[text] for text in texts])
    return [f"{space.name}:{','.join(choices)}" for choices in zip(*found, strict=True)]
