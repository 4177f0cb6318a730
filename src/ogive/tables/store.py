"""A benchmark table on disk: a folder with table.json and one memory-mapped .npy file for each column.

Opening reads table.json and looks at the sizes of the files; a column is mapped when it is first asked for. Nothing is
ever unpickled. The digest is what ``LC_ALL=C; sha256sum *.npy | sha256sum`` prints in the folder. What a key needs
beside table.json stands in files of its own, whose names begin with "key.".
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import stat
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, MissingData, OgiveError, SpecError, StoreError, UnknownName, quoted
from ogive.core.metric import Metric, is_of_test_set
from ogive.documents import checked, read_json
from ogive.files import workshop
from ogive.home import tables_folder
from ogive.tables.column import PUBLISHED_ROLES, Column, Role, as_stored, check_column, file_of, settled
from ogive.tables.description import SHAPE, check_description, records_of, roles_of, searched_on
from ogive.tables.keys import Key, key_from
from ogive.tables.names import elsewhere, missing, same
from ogive.tables.published import GETTABLE, PUBLISHED

__all__ = ["FILE", "SCHEMA", "Column", "Table", "open_table", "write_folder", "write_table"]

SCHEMA = 2
FILE = "table.json"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class Table:
    """An opened table: looks up numbers by architecture or by row, and never changes.

    `clock` names the column with the seconds that training took, by which a simulated search is timed, if there is one
    for the whole table; a column may name one of its own. `metric` and `report` are the columns that a search uses
    unless it is told otherwise, `roles` what these are called. `complete` says whether every architecture of the space
    has a row, `predicted` whether the numbers are those of a surrogate, which no array holds.
    """

    def __init__(self, folder: Path, description: Mapping[str, Any]) -> None:
        self.folder = folder
        self.name = str(description["name"])
        self.space = str(description["space"])
        self.rows = int(description["rows"])
        self.digest = str(description["digest"])
        self.source, self.licence = str(description["source"]), str(description["licence"])
        self.importer = str(description["importer"])
        self.clock: str | None = description["clock"]
        self.metric, self.report = searched_on(description)
        self.roles = roles_of(description)
        self.key: Key = key_from(description["key"], self._load)
        self.complete = bool(description.get("complete", True))
        self.predicted = description.get("kind") == "surrogate"
        files = description["columns"]
        self.columns = {name: as_stored(name, file, self.importer) for name, file in files.items()}
        check_description(self.columns, self.key, self.rows, (self.clock, self.metric, self.report))
        files = files | {f"key.{name}": file for name, file in description["key"].get("files", {}).items()}
        self._sizes = {name: int(file["bytes"]) for name, file in files.items()}
        self._sums = {name: str(file["sha256"]) for name, file in files.items()}
        self._mapped: dict[str, npt.NDArray[Any]] = {}

    @classmethod
    def open(cls, folder: Path | str) -> Table:
        """The table in a folder; StoreError if it is none, is damaged, or was written by a newer ogive."""
        folder = Path(folder)
        try:
            description = read_json(folder / FILE, object)
        except (OSError, ValueError) as error:
            raise StoreError(f"There is no table in {folder}: cannot read its {FILE} ({_reason(error)}).") from None
        if not isinstance(description, dict) or not isinstance(description.get("schema"), int):
            raise StoreError(f"{folder / FILE} was not written by ogive: it names no schema.")
        if description["schema"] > SCHEMA:
            raise StoreError(
                f"The table in {folder} has schema {description['schema']}, but this ogive reads up to {SCHEMA}: "
                "update ogive, or import the table again."
            )
        try:
            table = cls(folder, checked(description, SHAPE))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(
                f"{folder / FILE} is damaged ({_reason(error)}): remove the folder and import the table again."
            ) from None
        table._check()
        return table

    def row(self, arch: Architecture) -> int:
        """The row of an architecture; InvalidArchitecture if it is of another space or cannot be in the table."""
        if arch.space != self.space:
            raise InvalidArchitecture(f"The table {self.name} is for the space {self.space}, but got {arch}.")
        return self.key.row(arch.choices)

    def rows_of(self, choices_NV: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """The rows, shape (N,), of N architectures given by their choices, shape (N, V)."""
        return self.key.rows_of(choices_NV)

    def architecture(self, row: int) -> Architecture:
        """The architecture in a row."""
        if not 0 <= row < self.rows:
            raise SpecError(f"The table {self.name} has rows 0..{self.rows - 1}, but row {row} was asked for.")
        return Architecture(self.space, self.key.choices(row))

    def column(self, name: str) -> npt.NDArray[Any]:
        """All values of a column, shape (rows,), read-only and memory-mapped; UnknownName if there is none.

        Of a surrogate, they are worked out when they are looked up.
        """
        name = self.named(name)
        if name not in self._mapped:
            self._mapped[name] = self._map(name)
        return self._mapped[name]

    def named(self, name: str) -> str:
        """The column of this name, or the one that holds the same numbers under another (`ogive.tables.names`).

        MissingData if another publication of the benchmark holds it, UnknownName if none does.
        """
        if name in self.columns:
            return name
        found = same(self.space, name, self.columns) if self.published else None
        if found is not None:
            return found
        way = elsewhere(self.space, name) if self.published else ""
        if way:
            raise MissingData(f"The table {self.name} ({self.source}) has no {name}. {way}")
        raise UnknownName(f"column of the table {self.name}", name, self.columns)

    def about(self, name: str) -> Column:
        """What the numbers of a column are; UnknownName if there is none."""
        return self.columns[self.named(name)]

    def value(self, arch: Architecture, column: str) -> float:
        """One number; nan where the benchmark has none."""
        return float(self.column(column).item(self.row(arch)))

    def best(self, column: str, *, smallest: bool = False) -> tuple[Architecture, float]:
        """The architecture with the largest value of a column (or the smallest), the first of equal ones."""
        if self.predicted:
            raise SpecError(
                f"{self.name} predicts the numbers of all architectures, of which none is known to be best."
            )
        values = self.column(column)
        if values.dtype.kind == "f" and np.isnan(values).all():
            raise SpecError(f"The column {column} of the table {self.name} holds no values.")
        row = int(np.nanargmin(values) if smallest else np.nanargmax(values))
        return self.architecture(row), float(values[row])

    def fidelities(self, column: str) -> dict[int, str]:
        """The columns that hold the same measurement at other fidelities, itself included, by ascending fidelity."""
        about = self.about(column)
        if about.family is None:
            return {} if about.fidelity is None else {about.fidelity: self.named(column)}
        found = {
            other.fidelity: name
            for name, other in self.columns.items()
            if other.family == about.family and other.fidelity is not None
        }
        return dict(sorted(found.items()))

    def trainings(self, column: str) -> dict[int, str]:
        """The columns that hold the single trainings behind a mean, by ascending seed."""
        mean = self.named(column)
        return dict(
            sorted(
                (other.seed, name)
                for name, other in self.columns.items()
                if other.mean == mean and other.seed is not None
            )
        )

    def metric_of(self, column: str, role: Role | None = None) -> Metric:
        """What a column is as a metric: searched on, reported, or, without a role, measured beside these.

        A published accuracy is called by its role, and with ``test_`` before its name where a test set has none.
        Everything else keeps its name. What is of a test set, and whatever is reported, is for the record only.
        """
        about = self.about(column)
        known = self.roles.get(role or "")
        meant = (about.test or column == self.report) == (role == "reported")
        if known is not None and meant and about.better == known.better and about.unit in ("", known.unit):
            return known
        # Beside a role of that name, a published column with the name needs another one.
        plain = is_of_test_set(column) and role is not None
        prefix = "test_" if self.published and about.test and not plain else ""
        return about.metric(f"{prefix}{column}", reported=role == "reported")

    @property
    def published(self) -> bool:
        """Whether it is of a published benchmark, whose accuracies are called by their roles, and not one's own."""
        return bool(self.roles)

    @property
    def timed(self) -> bool:
        """Whether it has the seconds of trainings, by which a simulated search is timed."""
        return self.clock is not None or any(column.clock is not None for column in self.columns.values())

    @property
    def missing(self) -> list[str]:
        """What other publications of the benchmark hold and this table does not; nothing of a table of one's own."""
        return missing(self.space, self.columns) if self.published else []

    def clock_of(self, column: str) -> str | None:
        """The column with the training seconds behind a column, if there is one."""
        return self.about(column).clock or self.clock

    def verify(self) -> None:
        """Read everything and compare it with the digests of the import; StoreError names what differs."""
        for name, total in self._sums.items():
            if _digest_of_file(self._path(name)) != total:
                raise StoreError(
                    f"The column {name} of the table {self.name} is not what was imported: "
                    f"remove {self.folder} and import the table again."
                )
        for name in self.columns:
            self.column(name)
        if _digest(self._sums) != self.digest:
            raise StoreError(f"The digest in {self.folder / FILE} is not that of the columns: import the table again.")

    def __len__(self) -> int:
        return self.rows

    def __repr__(self) -> str:
        return f"Table({self.name!r}, {self.space}, {self.rows:,} rows, {len(self.columns)} columns)"

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process opens the folder itself; the columns need not be sent.
        return Table.open, (self.folder,)

    def _path(self, column: str) -> Path:
        return self.folder / f"{file_of(column)}.npy"

    def _check(self) -> None:
        """What can be said without reading the columns: whether the files are there and have the right sizes."""
        folder = str(self.folder)
        for name, size in self._sizes.items():
            try:
                state = os.lstat(f"{folder}{os.sep}{file_of(name)}.npy")  # one for each column: no Path is made
                if stat.S_ISLNK(state.st_mode):
                    state = self._linked(name).stat()
            except OSError as error:
                raise StoreError(f"The table {self.name} has lost its column {name} ({_reason(error)}).") from None
            if state.st_size != size:
                raise StoreError(
                    f"{self._path(name)} has {state.st_size} bytes instead of {size}: "
                    f"remove {self.folder} and import the table again."
                )

    def _linked(self, name: str) -> Path:
        """The file that a link stands for; StoreError for one outside the folder, whose owner may be somebody else."""
        path = self._path(name).resolve()
        if self.folder.resolve() not in path.parents:
            raise StoreError(
                f"{self._path(name)} is a link to {path}, and a table keeps its columns in its own folder."
            )
        return path

    def _load(self, name: str) -> npt.NDArray[Any]:
        """An array of the key."""
        return np.asarray(self._read(f"key.{name}"))

    def _read(self, name: str) -> npt.NDArray[Any]:
        try:
            values: npt.NDArray[Any] = np.load(self._path(name), mmap_mode="r", allow_pickle=False)
        except Exception as error:  # noqa: BLE001  its header is parsed as Python
            raise StoreError(f"Cannot read the column {name} of the table {self.name} ({_reason(error)}).") from None
        return values

    def _map(self, name: str) -> Any:
        if self.predicted:
            from ogive.tables.predictions import predictions

            return predictions(name, self._read, self.key)
        values = self._read(name)
        if values.shape != (self.rows,) or values.dtype != np.dtype(self.columns[name].dtype):
            raise StoreError(
                f"{self._path(name)} holds {values.dtype} of shape {values.shape}, but {FILE} says "
                f"{self.columns[name].dtype} of shape ({self.rows},): import the table again."
            )
        # A plain view of the map: elements of np.memmap itself are an order of magnitude slower to get at.
        return np.asarray(values)


def open_table(name: str | Path) -> Table:
    """The imported table of that name, or the one in that folder; MissingData says how to get it."""
    if isinstance(name, Path) or Path(name).name != name:
        return Table.open(name)
    for folder in (tables_folder() / name, Path(name)):
        if (folder / FILE).exists():
            return Table.open(folder)
    about = f" ({PUBLISHED[name]})" if name in PUBLISHED else ""
    way = f"ogive tables get {name}, or: " if name in GETTABLE else ""
    called = shlex.quote(str(name))
    imported = sorted(path.parent.name for path in tables_folder().glob(f"*/{FILE}"))
    others = f" Imported are: {', '.join(imported)}." if imported else ""
    raise MissingData(
        f"No table named {quoted(name)} is imported. Run: {way}ogive tables import FILE --as {called}{about}.{others}"
    )


def write_table(
    folder: Path | str,
    columns: Mapping[str, tuple[Column, npt.NDArray[Any]]],
    *,
    name: str,
    space: str,
    key: Key,
    source: str,
    licence: str,
    importer: str,
    clock: str | None = None,
    metric: str | None = None,
    report: str | None = None,
    complete: bool = True,
    roles: Mapping[str, Metric] = PUBLISHED_ROLES,
) -> Table:
    """Write a new table, all of it or nothing, and open it.

    Every column holds ``key.rows`` numbers in the order of the key's rows. `complete` says whether every architecture
    of the space has a row, `roles` what the accuracies are called that are searched on and reported; without any,
    columns keep their names. Raises SpecError if `folder` exists.
    """
    facts = [about for about, _ in columns.values()]
    for named in (clock, metric, report, *(about.clock for about in facts), *(about.mean for about in facts)):
        if named is not None and named not in columns:
            raise UnknownName("column", named, columns)
    for column, (about, values) in columns.items():
        check_column(column, about, values, key.rows)
    description = {
        "rows": key.rows,
        "key": key.description(),
        "complete": complete,
        "clock": clock,
        "metric": metric,
        "report": report,
        "roles": records_of(roles),
        "source": source,
        "licence": licence,
        "importer": importer,
    }
    return write_folder(folder, name, space, description, columns, key.arrays())


def write_folder(
    folder: Path | str,
    name: str,
    space: str,
    description: dict[str, Any],
    columns: Mapping[str, tuple[Column, npt.NDArray[Any]]],
    arrays: Mapping[str, npt.NDArray[Any]],
) -> Table:
    """Write the files of a new table and what table.json says of it, all or nothing, and open it."""
    folder = Path(folder).absolute()
    if not _NAME.fullmatch(name):
        raise SpecError(f"The name of a table is made of letters, digits, '_', '.' and '-', but got {name!r}.")
    if folder.exists():
        raise SpecError(f"{folder} exists already: remove it to import the table again, or give another name (--as).")
    whole = {"schema": SCHEMA, "name": name, "space": space, "roles": records_of(PUBLISHED_ROLES), **description}
    _write_all(folder, whole, columns, arrays)
    return Table.open(folder)


def _write_all(
    folder: Path,
    description: dict[str, Any],
    columns: Mapping[str, tuple[Column, npt.NDArray[Any]]],
    arrays: Mapping[str, npt.NDArray[Any]],
) -> None:
    """Fill a hidden folder beside the wanted one and give it its name when all is on the disk."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with workshop(folder.parent, f".{folder.name}.") as partial:
            _fill(partial, description, columns, arrays)
            # Folders of a workshop can be read by their owner only.
            partial.chmod(0o755)
            partial.rename(folder)
    except OSError as error:
        raise StoreError(f"Cannot write the table {folder}: {_reason(error)}.") from None


def _fill(
    partial: Path,
    description: dict[str, Any],
    columns: Mapping[str, tuple[Column, npt.NDArray[Any]]],
    arrays: Mapping[str, npt.NDArray[Any]],
) -> None:
    files = {
        column: {
            **_without_none(asdict(settled(column, about))),
            **_written(partial / f"{file_of(column)}.npy", values),
        }
        for column, (about, values) in columns.items()
    }
    keys = {name: _written(partial / f"key.{name}.npy", values) for name, values in arrays.items()}
    key = description["key"] | ({"files": keys} if keys else {})
    every = files | {f"key.{name}": file for name, file in keys.items()}
    digest = _digest({name: file["sha256"] for name, file in every.items()})
    whole = {**description, "key": key, "digest": digest, "columns": files}
    text = json.dumps(whole, indent=2, ensure_ascii=False)
    _write(partial / FILE, f"{text}\n".encode())


def _without_none(entries: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entries.items() if value is not None}


def _written(path: Path, values: npt.NDArray[Any]) -> dict[str, Any]:
    with path.open("wb") as file:
        np.lib.format.write_array(file, np.ascontiguousarray(values), version=(1, 0), allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    return {"bytes": path.stat().st_size, "sha256": _digest_of_file(path)}


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _digest_of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StoreError(f"Cannot read {path} ({_reason(error)}).") from None


def _digest(sums: Mapping[str, str]) -> str:
    named = {f"{file_of(column)}.npy": total for column, total in sums.items()}
    lines = (f"{named[file]}  {file}\n" for file in sorted(named))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    detail = str(error).splitlines()[0] if str(error) else ""
    return detail if isinstance(error, OgiveError) else f"{type(error).__name__}: {detail}"
