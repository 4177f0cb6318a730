"""Closed worlds: a search among the architectures that a table has, where it has only part of its space.

Distances are counted in variables that differ. Isomorphic cells of NAS-Bench-101 are the same one, so there the
distance is the smallest over all orders of the vertices; mobile networks are compared as they are pruned.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.capabilities import Reading, walk
from ogive.core.errors import InvalidArchitecture, SpecError
from ogive.core.evaluator import Evaluator
from ogive.core.space import Choice, SearchSpace
from ogive.tables.store import Table

__all__ = ["ClosedWorld", "closing", "tables_of"]

Choices = tuple[int | float, ...]
Integers = npt.NDArray[np.int64]
KEPT_BYTES = 2**24  # of distances
# All the ways in which an architecture can be written, shape (W, V).
Spellings = Callable[[Architecture], npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class ClosedWorld(SearchSpace):
    """The space of the rows of a table, for one search.

    `sample` draws from all rows; `mutate` returns one of the nearest rows that were not visited, `neighbours` as many
    of the nearest as an architecture has neighbours in the open space, and `project` the nearest one to any
    architecture of the open space; `projections` counts how often that was another one. Once every row was visited,
    all of them count as unvisited. `ogive.strategies.closed_world` calls `visit` with each proposal.
    """

    table: Table | None = None
    _visited: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool), repr=False)
    _projections: list[int] = field(default_factory=lambda: [0], repr=False)
    _latest: dict[Architecture, tuple[npt.NDArray[np.float32], int | None]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, space: SearchSpace, table: Table) -> ClosedWorld:
        """The world of a table's rows, none of them visited; SpecError if the table is for another space."""
        if table.space != space.name:
            raise SpecError(f"The table {table.name} is for the space {table.space}, not for {space.name}.")
        if not all(isinstance(variable, Choice) for variable in space.variables):
            raise SpecError(f"{space.name} has continuous variables, whose edit distance is not defined.")
        same = {one.name: getattr(space, one.name) for one in fields(SearchSpace)}
        changed = {
            "is_legal": functools.partial(_has, table),
            "listing": functools.partial(_rows, table),
            "count": table.rows,
        }
        return cls(**{**same, **changed}, table=table, _visited=np.zeros(table.rows, bool))

    def __str__(self) -> str:
        return f"closed world of {len(self):,} rows"

    # -- rows ---------------------------------------------------------------------------------------------------------

    @property
    def visited(self) -> list[int]:
        """The rows that were visited, ascending."""
        return np.flatnonzero(self._visited).tolist()

    def visit(self, arch: Architecture) -> None:
        """Note that an architecture of this world was proposed."""
        self._visited[self._table.row(arch)] = True

    @property
    def projections(self) -> int:
        """How often an architecture from outside was replaced by a row."""
        return self._projections[0]

    def revisit(self, rows: list[int], projections: int) -> None:
        """Take over what `visited` and `projections` returned."""
        self._visited[:] = False
        self._visited[rows] = True
        self._projections[0] = projections

    def __contains__(self, arch: Architecture) -> bool:
        return arch.space == self.name and _has(self._table, arch.choices)

    def project(self, arch: Architecture) -> Architecture:
        """The row of the architecture if it is in this world, otherwise the nearest unvisited one, the first of equals.

        An isomorphic architecture is in this world too, and becomes the one of the row.
        """
        if arch in self:
            return self._table.architecture(self._table.row(arch))
        self._projections[0] += 1
        return self._table.architecture(int(self._nearest(arch, 1)[0]))

    # -- what strategies use ------------------------------------------------------------------------------------------

    def sample(self, rng: np.random.Generator) -> Architecture:
        """A random row."""
        return self._table.architecture(int(rng.integers(len(self))))

    def mutate(self, arch: Architecture, rng: np.random.Generator) -> Architecture:
        """One of the nearest unvisited rows, drawn uniformly among equally near ones."""
        distances = self._distances(arch)
        nearest = np.flatnonzero(distances == distances.min())
        return self._table.architecture(int(nearest[rng.integers(len(nearest))]))

    def cross(self, a: Architecture, b: Architecture, rng: np.random.Generator) -> Architecture:
        """The row nearest to a mixture of two; a parent itself if they differ in less than two variables."""
        mask = rng.random(len(self.variables)) < 0.5
        choices = tuple(x if first else y for x, y, first in zip(a.choices, b.choices, mask.tolist(), strict=True))
        if choices in (a.choices, b.choices):
            return a
        return self.project(Architecture(self.name, choices))

    def neighbours(self, arch: Architecture) -> list[Architecture]:
        """The nearest unvisited rows, as many as there are one-step changes of an architecture."""
        steps = sum(len(variable.options) - 1 for variable in self.variables if isinstance(variable, Choice))
        return [self._table.architecture(row) for row in self._nearest(arch, steps).tolist()]

    # -- distances ----------------------------------------------------------------------------------------------------

    @property
    def _table(self) -> Table:
        if self.table is None:
            raise SpecError("A closed world is made by ClosedWorld.of(space, table).")
        return self.table

    @functools.cached_property
    def _known(self) -> npt.NDArray[Any]:
        """The choices of all rows, shape (rows, V)."""
        return np.asarray(self._table.key.all_choices())

    @functools.cached_property
    def _flags(self) -> npt.NDArray[np.float32]:
        """The choices of all rows as ones and zeros, shape (rows, sum of options)."""
        return self._coded(self._known)

    def _nearest(self, arch: Architecture, count: int) -> Integers:
        """At most `count` unvisited rows, by distance and then by number."""
        distances = self._distances(arch)
        order: Integers = np.argsort(distances, kind="stable")
        return order[: min(count, int(np.isfinite(distances).sum()))]

    def _distances(self, arch: Architecture) -> npt.NDArray[np.float32]:
        """The distance of every row; infinite for visited ones, and for the architecture itself."""
        kept, own = self._apart(arch)
        distances = kept.copy()
        hidden = self._visited.copy()
        if own is not None:
            hidden[own] = True
        if hidden.all():
            # Everything was visited: all but the architecture itself may be visited again.
            hidden[:] = False
            hidden[own or 0] = own is not None and len(hidden) > 1
        distances[hidden] = np.inf
        return distances

    def _apart(self, arch: Architecture) -> tuple[npt.NDArray[np.float32], int | None]:
        """The distance of every row, visited or not, and the row of the architecture itself, if it has one.

        Those of the latest architectures are kept, since a search mutates the same few parents hundreds of times.
        """
        known = self._latest.pop(arch, None)
        if known is None:
            equal = self._flags @ self._coded(_spellings(self.name)(arch)).T
            distances: npt.NDArray[np.float32] = len(self.variables) - equal.max(axis=1)
            known = distances, self._table.key.row(arch.choices) if arch in self else None
            while len(self._latest) >= max(1, KEPT_BYTES // distances.nbytes):
                del self._latest[next(iter(self._latest))]
        self._latest[arch] = known
        return known

    def _coded(self, choices_NV: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        widths = [len(variable.options) for variable in self.variables if isinstance(variable, Choice)]
        starts = np.cumsum([0, *widths[:-1]])
        coded = np.zeros((len(choices_NV), sum(widths)), np.float32)
        coded[np.arange(len(choices_NV))[:, None], starts + choices_NV.astype(np.int64)] = 1
        return coded


def closing(space: SearchSpace, evaluator: Evaluator) -> ClosedWorld | None:
    """The closed world of a search, if its evaluator reads a table that has only part of the space."""
    partial_tables = {table.digest: table for table in tables_of(evaluator) if not table.complete}
    if len(partial_tables) > 1:
        raise SpecError(
            "A search is closed by one table that has only part of its space, but the evaluator reads several: "
            f"{', '.join(table.name for table in partial_tables.values())}."
        )
    return ClosedWorld.of(space, *partial_tables.values()) if partial_tables else None


def tables_of(evaluator: Evaluator) -> list[Table]:
    """The tables that an evaluator, or one of its parts, reads."""
    read = [part.table for part in walk(evaluator) if isinstance(part, Reading)]
    return [table for table in read if isinstance(table, Table)]


def _has(table: Table, choices: Choices) -> bool:
    try:
        table.key.row(choices)
    except InvalidArchitecture:
        return False
    return True


def _rows(table: Table) -> Iterator[Architecture]:
    return (table.architecture(row) for row in range(table.rows))


@functools.cache
def _spellings(space: str) -> Spellings:
    if space == "nasbench101":
        from ogive.spaces.nasbench101 import is_legal, spellings

        return lambda arch: spellings(arch) if is_legal(arch.choices) else np.array([arch.choices])
    if space == "ofa_mobilenetv3":
        from ogive.spaces.ofa_mobilenetv3 import prune

        return lambda arch: np.array([prune(arch).choices])
    return lambda arch: np.array([arch.choices])
