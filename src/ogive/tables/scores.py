"""Read tables of training-free scores, the CSV files that ``ogive score`` writes; packed with gzip they are read too.

``FILE.csv`` has one row an architecture: its text form, one column a score (-inf ranks last, empty if it could not be
found), the processor seconds that building and scoring took, and the reason of a failure. ``FILE.json`` beside it
holds the settings. ``FILE.csv.gz`` stands for ``FILE.csv`` where that is not there.
"""

from __future__ import annotations

import csv
import functools
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.archives import read_gzip
from ogive.core.architecture import Architecture
from ogive.core.errors import MissingData, StoreError, in_line, quoted
from ogive.documents import checked, read_json
from ogive.frames import frame_of

__all__ = [
    "ARCH",
    "ERROR",
    "SCHEMA",
    "SECONDS",
    "Row",
    "Scores",
    "beside",
    "open_scores",
    "read_rows",
    "read_scores",
    "read_settings",
]

SCHEMA = 2  # since 2 with the seconds of every row
_SETTINGS = {"proxies": [str], "space": str, "machine?": {"cpu?": (str, None), "commit?": (str, None)}}
ARCH, SECONDS, ERROR = "arch", "cpu_seconds", "error"


@dataclass(frozen=True, slots=True)
class Row:
    """One architecture with its scores, in the order of the proxies; None, and a reason, if it could not be scored.

    `cpu_seconds` are those of the process that built and scored it, whatever else the machine was busy with.
    """

    arch: Architecture
    scores: tuple[float, ...] | None
    cpu_seconds: float = field(default=0.0, compare=False)
    error: str = ""


def read_scores(path: Path) -> tuple[dict[str, Any], list[Row]]:
    """The settings and the rows of a table of scores."""
    path = Path(path)
    settings = read_settings(path)
    return settings, read_rows(path, tuple(settings["proxies"]))[0]


@dataclass(frozen=True, repr=False)
class Scores:
    """A table of scores in memory: `proxies` are the names of its columns."""

    settings: Mapping[str, Any]
    rows: tuple[Row, ...]
    by_arch: Mapping[Architecture, Row]

    @property
    def proxies(self) -> tuple[str, ...]:
        """The names of the scores, in the order of the columns."""
        return tuple(self.settings["proxies"])

    @property
    def space(self) -> str:
        """The space of the architectures; the settings hold how it was written, options and all."""
        return self.rows[0].arch.space if self.rows else str(self.settings["space"])

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """The table as arrays (N,) by name: ``arch`` as text, the scores, NaN where there is none, seconds, errors."""
        rows, missing = self.rows, (math.nan,) * len(self.proxies)
        scores = np.array([missing if row.scores is None else row.scores for row in rows], np.float64)
        return {
            ARCH: np.array([str(row.arch) for row in rows], object),
            **dict(zip(self.proxies, scores.reshape(len(rows), len(self.proxies)).T, strict=True)),
            SECONDS: np.array([row.cpu_seconds for row in rows], np.float64),
            ERROR: np.array([row.error for row in rows], object),
        }

    def frame(self) -> Any:
        """The same as a pandas DataFrame; without pandas, the arrays."""
        return frame_of(self.columns())

    def __repr__(self) -> str:
        failed = sum(row.scores is None for row in self.rows)
        return f"Scores of {len(self.rows):,} architectures of {self.space}, {failed} failed: {', '.join(self.proxies)}"


def open_scores(path: Path, made_by: str) -> Scores:
    """The table, read once by a process as long as both files stay as they are.

    MissingData names the file and the command that makes it, `made_by`.
    """
    found = _found(Path(path))
    if not found.exists():
        raise MissingData(f"There is no table of scores {path} here. This command makes it: {made_by}")
    about = beside(Path(path))
    states = tuple((file.stat().st_mtime_ns, file.stat().st_size) for file in (found, about) if file.exists())
    return _remembered(Path(path), states)


@functools.lru_cache(maxsize=4)
def _remembered(path: Path, states: tuple[tuple[int, int], ...]) -> Scores:
    settings, rows = read_scores(path)
    return Scores(settings, tuple(rows), {row.arch: row for row in rows})


def read_rows(path: Path, proxies: tuple[str, ...]) -> tuple[list[Row], int]:
    """The whole rows of the file, and how many bytes they take with the header; a torn last line does not count."""
    content = _content(path)
    whole = content.rfind(b"\n") + 1
    try:
        lines = list(csv.reader(io.StringIO(content[:whole].decode("utf-8", errors="replace"))))
    except csv.Error as error:
        raise StoreError(f"{path} is damaged ({in_line(error)}): restore it.") from error
    if not lines:
        return [], 0
    if lines[0] != [ARCH, *proxies, SECONDS, ERROR]:
        raise StoreError(
            f"{path} has the columns {quoted(', '.join(lines[0]))}, but the settings beside it name other proxies."
        )
    return [_row(path, number, line, len(proxies)) for number, line in enumerate(lines[1:], start=2)], whole


def read_settings(path: Path) -> dict[str, Any]:
    """What stands beside the table; StoreError if that is missing or of another schema."""
    try:
        found = read_json(beside(path), object)
    except FileNotFoundError:
        raise StoreError(
            f"{path} is no table of scores: {beside(path)} is missing. `ogive score` makes both."
        ) from None
    except (OSError, ValueError) as error:
        raise StoreError(f"{beside(path)} is damaged: {in_line(error)}.") from error
    if not isinstance(found, dict) or found.get("schema") != SCHEMA or not isinstance(found.get("proxies"), list):
        raise StoreError(f"{beside(path)} does not hold the settings of a table of scores of schema {SCHEMA}.")
    try:
        settings: dict[str, Any] = checked(found, _SETTINGS)
    except ValueError as error:
        raise StoreError(f"{beside(path)} is damaged: {error}.") from error
    return settings


def beside(path: Path) -> Path:
    """Where the settings of a table are."""
    return path.with_name(path.name.removesuffix(".gz")).with_suffix(".json")


def _found(path: Path) -> Path:
    packed = path.with_name(f"{path.name}.gz")
    return packed if not path.exists() and packed.exists() else path


def _content(path: Path) -> bytes:
    found = _found(path)
    if found.suffix != ".gz":
        return found.read_bytes()
    try:
        return read_gzip(found)
    except (OSError, ValueError) as error:
        raise StoreError(f"{found} is damaged ({error}): restore it.") from error


def _row(path: Path, number: int, line: list[str], proxies: int) -> Row:
    try:
        arch, *cells, seconds, error = line
        scores = None if error else tuple(float(cell) for cell in cells)
        if len(cells) != proxies or any(map(math.isnan, scores or ())):
            raise ValueError("not as many numbers as proxies")
        return Row(Architecture.parse(arch), scores, float(seconds), error)
    except ValueError as reason:
        raise StoreError(f"Line {number} of {path} is damaged ({reason}): delete it and all after it.") from reason
