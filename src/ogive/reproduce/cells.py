"""What recipes of many small measurements share: their table, what is kept of them while they run, and their row.

A measurement is a cell, a mapping of JSON: ``spec``, ``column``, ``labels``, ``size`` and ``seed`` tell which it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ogive import catalog
from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, MissingData, SpecError, StoreError, in_line
from ogive.documents import checked, parsed
from ogive.machine import facts
from ogive.reproduce.ledger import empty_row
from ogive.reproduce.predictor_recipe import COUNTS

__all__ = ["Cell", "Kept", "World", "row_of", "told_by", "world_of"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Cell = dict[str, Any]

# Of a cell in cells.jsonl, what a row says once of all.
_SAID_ONCE = ("spec", "labels", "table_digest", "commit")


@dataclass(frozen=True)
class World:
    """The architectures of a table in the order of their text forms, and the numbers in it."""

    archs: tuple[Architecture, ...]
    rows: Integers
    table: Any
    space: Any

    def column(self, name: str) -> Floats:
        """A column for all of them; SpecError where the table has no number for some."""
        values = np.asarray(self.table.column(name), np.float64)[self.rows]
        if not np.isfinite(values).all():
            raise SpecError(f"The column {name} of {self.table.name} lacks numbers, so that nothing can be ranked.")
        return values

    def counts(self) -> dict[str, Floats]:
        """Rankings that take no label: parameters, and those of the pruned architecture where the table knows it."""
        try:
            found = {COUNTS[0]: self.column("params")}
        except (OSError, SpecError, MissingData):
            return {}
        if self.space.prune is not None:
            try:
                pruned = [self.table.row(self.space.prune(arch)) for arch in self.archs]
            except InvalidArchitecture:
                return found
            found[COUNTS[1]] = np.asarray(self.table.column("params"), np.float64)[pruned]
        return found


def world_of(table: Any) -> World:
    """All architectures of a table, sorted by their text forms."""
    space = catalog.build("space", table.space)
    archs = [table.architecture(row) for row in range(table.rows)]
    order = sorted(range(len(archs)), key=lambda row: space.format(archs[row]))
    return World(tuple(archs[row] for row in order), np.array(order), table, space)


# What is read of a line, whatever else it holds.
FIT = {"table_digest": str, "spec": str}


class Kept:
    """The fits that are done, a line of JSON each; a last line that was cut off is overwritten."""

    def __init__(self, path: Path, digest: str) -> None:
        self.path, self.digest = path, digest
        self.commit = facts().get("commit")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._known: dict[tuple[Any, ...], Cell] = {}
        whole = 0
        for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
            if not line.endswith(b"\n"):
                break
            try:
                cell = checked(parsed(line), FIT)
                if cell["table_digest"] == digest:
                    self._known[_key(cell)] = cell
            except (ValueError, KeyError, TypeError) as error:
                raise StoreError(
                    f"A line of {path} is no fit ({in_line(error)}): remove it, and that is done again."
                ) from None
            whole += len(line)
        if path.exists():
            with path.open("r+b") as file:
                file.truncate(whole)

    def get(self, about: Cell) -> Cell | None:
        return self._known.get(_key(about))

    def add(self, cell: Cell) -> None:
        cell |= {"table_digest": self.digest, "commit": self.commit}
        with self.path.open("ab") as file:
            file.write(json.dumps(cell, separators=(",", ":")).encode() + b"\n")
        self._known[_key(cell)] = cell


def _key(cell: Mapping[str, Any]) -> tuple[Any, ...]:
    # Labels of another kind are part of what was fitted on; most cells have none.
    more = json.dumps(cell.get("more"), sort_keys=True)
    return (*(cell[name] for name in ("spec", "column", "labels", "size", "seed")), more)


class Described(Protocol):
    """A recipe, as far as its row repeats it."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def source_checked(self) -> str: ...
    @property
    def deviation(self) -> str | None: ...


def row_of(
    chosen: Described, seeds: int | None, *, unit: str, n_seeds: int, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """The row of a recipe before anything was measured; `seeds` are those of the command, if it had any."""
    return empty_row(
        name=chosen.name,
        preset="paper",
        title=chosen.title,
        published=None,
        published_spread=None,
        unit=unit,
        source=chosen.source,
        source_checked=chosen.source_checked,
        deviation=chosen.deviation,
        n_seeds=n_seeds,
        command=f"ogive reproduce {chosen.name}" + ("" if seeds is None else f" --seeds {seeds}"),
        settings=dict(settings),
    )


def told_by(cells: Sequence[Cell], world: World, *, without: Sequence[str] = ()) -> dict[str, Any]:
    """What a row says of its cells and their table; what it says once, and what is in `without`, is in none of them."""
    once = {*_SAID_ONCE, *without}
    return {
        "rows": len(world.archs),
        "table_digest": world.table.digest,
        "commits": sorted({str(one["commit"]) for one in cells}),
        "cells": [{key: value for key, value in one.items() if key not in once} for one in cells],
    }
