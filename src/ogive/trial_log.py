"""The finished trials of a run as they are read from its file: all of them in memory, or numbers and places only."""

from __future__ import annotations

import itertools
import logging
import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, overload

import numpy as np
import numpy.typing as npt

from ogive.core.errors import StoreError, in_line
from ogive.core.trial import Trial
from ogive.trial_lines import Record, entry_of, record_from, record_of

__all__ = ["Columns", "StoredTrials", "TrialLog", "read_log"]

logger = logging.getLogger(__name__)

STATUSES = ("ok", "failed", "screened", "infeasible")
NOTHING: Mapping[str, float] = {}

Numbers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """What is often asked of all trials, as arrays (n,) in the order in which they finished; `scores` are (n, goals).

    `statuses` are places in `STATUSES`. Of a trial without scores these are NaN. `fidelities` are infinite for whole
    measurements. `wall_s` and `benchmark_s` are what
    proposal and measurement took together, `measured_s` the measurement alone, `at_s` when it finished.
    """

    numbers: Numbers
    statuses: npt.NDArray[np.int8]
    scores: Floats
    fidelities: Floats
    wall_s: Floats
    benchmark_s: Floats
    measured_s: Floats
    at_s: Floats

    def __len__(self) -> int:
        return len(self.numbers)

    def places(self, *statuses: str) -> Numbers:
        """Where the trials of these statuses stand, by their numbers; without any, all of them."""
        order = np.argsort(self.numbers, kind="stable")
        kept = np.isin(self.statuses, [STATUSES.index(status) for status in statuses])
        return order[kept[order]] if statuses else order

    @property
    def costing(self) -> npt.NDArray[np.bool_]:
        """Which trials cost budget: all but the screened-out ones."""
        found: npt.NDArray[np.bool_] = self.statuses != STATUSES.index("screened")
        return found

    def count(self, status: str) -> int:
        """How many trials have the status."""
        return int(np.count_nonzero(self.statuses == STATUSES.index(status)))

    @classmethod
    def of(cls, records: Iterable[Record]) -> Columns:
        """The columns of trials that are in memory."""
        columns = _Growing()
        for record in records:
            trial = record.trial
            columns.add(
                trial.number,
                trial.status,
                trial.scores,
                trial.proposal.height,
                (trial.cost.wall_s, trial.cost.benchmark_s, trial.measurement.cost.wall_s, record.at_s),
            )
        return columns.whole


class _Growing:
    """Columns to which trials are added, to begin with those `before`."""

    def __init__(self, before: Columns | None = None) -> None:
        self._before = before
        self._numbers, self._statuses, self._scores = array("q"), array("b"), array("d")
        self._fidelities = array("d")
        self._clocks = (array("d"), array("d"), array("d"), array("d"))
        self._goals = 0 if before is None else before.scores.shape[1]

    def add(
        self, number: int, status: str, scores: Sequence[float] | None, fidelity: float, clocks: tuple[float, ...]
    ) -> None:
        """Add a trial; `clocks` are the columns of seconds in their order."""
        known = () if scores is None else scores
        if len(known) > self._goals:
            self._widen(len(known))
        self._numbers.append(number)
        self._statuses.append(STATUSES.index(status))
        self._scores.extend(known)
        self._scores.extend(itertools.repeat(np.nan, self._goals - len(known)))
        self._fidelities.append(fidelity)
        for column, seconds in zip(self._clocks, clocks, strict=True):
            column.append(seconds)

    def _widen(self, goals: int) -> None:
        rows = _plain(self._scores).reshape(len(self._numbers), self._goals)
        self._scores = array("d", _widened(rows, goals).ravel())
        self._goals = goals

    @property
    def whole(self) -> Columns:
        """All of them."""
        scores = _plain(self._scores).reshape(len(self._numbers), self._goals)
        clocks = [_plain(column) for column in self._clocks]
        added = (_plain(self._numbers), _plain(self._statuses), scores, _plain(self._fidelities), *clocks)
        if self._before is None:
            return Columns(*added)
        old = self._before
        widened = _widened(old.scores, self._goals)
        before: list[npt.NDArray[Any]] = [old.numbers, old.statuses, widened, old.fidelities]
        before += [old.wall_s, old.benchmark_s, old.measured_s, old.at_s]
        return Columns(*map(_joined, before, added))


def _joined(before: npt.NDArray[Any], added: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.concatenate((before, added))


def _widened(scores: Floats, goals: int) -> Floats:
    """The same with so many columns, of which those that are new are NaN."""
    return np.pad(scores, ((0, 0), (0, goals - scores.shape[1])), constant_values=np.nan)


def _plain(values: array[Any]) -> npt.NDArray[Any]:
    """An array of NumPy that shares its memory, where there is any."""
    return np.frombuffer(values, values.typecode) if values else np.empty(0, values.typecode)


class StoredRecords(Sequence[Record]):
    """The records of a long run, read from their file again each time they are asked for.

    `starts` are the first bytes of all lines, and the end of the last. StoreError for a line that changed since then.
    """

    def __init__(self, path: Path, starts: Numbers) -> None:
        self._path, self.starts = path, starts

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __iter__(self) -> Iterator[Record]:
        return self.at(range(len(self)))

    @overload
    def __getitem__(self, place: int) -> Record: ...

    @overload
    def __getitem__(self, place: slice) -> list[Record]: ...

    def __getitem__(self, place: int | slice) -> Record | list[Record]:
        if isinstance(place, slice):
            return list(self.at(range(len(self))[place]))
        return next(self.at([range(len(self))[place]]))

    def at(self, places: Iterable[int]) -> Iterator[Record]:
        """The records at these places, in this order."""
        try:
            with self._path.open("rb") as file:
                for place in places:
                    start = int(self.starts[place])
                    if file.tell() != start:
                        file.seek(start)
                    line = file.read(int(self.starts[place + 1]) - start)
                    try:
                        record = record_of(line)
                    except ValueError as error:
                        raise _damaged(self._path, place + 1, error) from error
                    yield record
        except OSError as error:
            raise StoreError(f"{self._path} cannot be read ({error.strerror}).") from error


class StoredTrials(Sequence[Trial]):
    """Some trials of a long run, by the places of their records."""

    def __init__(self, records: StoredRecords, places: Numbers) -> None:
        self._records, self._places = records, places

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Trial]:
        return (record.trial for record in self._records.at(map(int, self._places)))

    @overload
    def __getitem__(self, place: int) -> Trial: ...

    @overload
    def __getitem__(self, place: slice) -> StoredTrials: ...

    def __getitem__(self, place: int | slice) -> Trial | StoredTrials:
        if isinstance(place, slice):
            return StoredTrials(self._records, self._places[place])
        return self._records[int(self._places[place])].trial


@dataclass(frozen=True, slots=True, eq=False)
class TrialLog:
    """What a file of trials holds: records and columns in the order of finishing, and how many bytes are whole."""

    records: Sequence[Record]
    columns: Columns
    whole: int

    @classmethod
    def of(cls, records: Sequence[Record]) -> TrialLog:
        """Trials of no file."""
        return cls(records, Columns.of(records), 0)

    @property
    def finished(self) -> Sequence[Trial]:
        """All trials in the order of finishing."""
        return self.trials(np.arange(len(self.columns)))

    def trials(self, places: Numbers) -> Sequence[Trial]:
        """The trials at these places: a list, or of a long run what reads them again."""
        if isinstance(self.records, StoredRecords):
            return StoredTrials(self.records, places)
        return [self.records[place].trial for place in places.tolist()]


def read_log(path: Path, goals: int, *, hold: int | None = None, known: TrialLog | None = None) -> TrialLog:
    """Read a file of trials with so many scores each, 0 for any number; a torn last line is left out with a warning.

    Of more than `hold` trials only the columns are kept in memory. What is `known` of the file since it was read before
    is not read again: it only ever grows. StoreError names the first damaged line.
    """
    known = None if known is None or not _still(path, known) else known
    try:
        with path.open("rb") as file:
            return _read(path, file, goals, hold, known)
    except FileNotFoundError:
        return TrialLog.of(())
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror}).") from error


def _still(path: Path, known: TrialLog) -> bool:
    """Whether the file still ends, or goes on, where it did when a long run was read."""
    if not isinstance(known.records, StoredRecords) or not path.exists() or path.stat().st_size < known.whole:
        return False
    try:
        return known.records[-1].trial.number == int(known.columns.numbers[-1])
    except StoreError:
        return False


def _read(path: Path, file: BinaryIO, goals: int, hold: int | None, known: TrialLog | None) -> TrialLog:
    before = None if known is None else known.columns
    columns, ends = _Growing(before), array("q")
    held: list[Record] | None = [] if known is None else None
    offset = 0 if known is None else known.whole
    file.seek(offset)
    for index, line in enumerate(file, start=1 if before is None else len(before) + 1):
        if not line.endswith(b"\n"):
            logger.warning("The last line of %s is torn (the run was killed while writing it) and is dropped.", path)
            break
        try:
            entry = entry_of(line)
            _refuse_others(path, entry, goals)
            _add(columns, entry)
            record = record_from(entry) if held is not None else None
        except ValueError as error:
            raise _damaged(path, index, error) from error
        offset += len(line)
        ends.append(offset)
        if held is not None and record is not None:
            held.append(record)
            held = None if hold is not None and len(held) > hold else held
    if known is not None and not ends:
        return known
    whole = columns.whole
    _refuse_repeated(path, whole.numbers)
    if held is not None:
        return TrialLog(tuple(held), whole, offset)
    starts = known.records.starts if known is not None and isinstance(known.records, StoredRecords) else [0]
    return TrialLog(StoredRecords(path, np.concatenate([starts, ends]).astype(np.int64)), whole, offset)


def _add(columns: _Growing, entry: Mapping[str, Any]) -> None:
    asked, cost = entry.get("ask_cost", NOTHING), entry["cost"]
    measured_s = cost.get("wall_s", 0.0)
    scores = entry["scores"]
    columns.add(
        entry["number"],
        entry["status"],
        None if scores is None else [float(score) for score in scores],
        math.inf if entry.get("fidelity") is None else float(entry["fidelity"]),
        (
            asked.get("wall_s", 0.0) + measured_s,
            asked.get("benchmark_s", 0.0) + cost.get("benchmark_s", 0.0),
            measured_s,
            entry["at_s"],
        ),
    )


def _refuse_others(path: Path, entry: Mapping[str, Any], goals: int) -> None:
    scores = entry["scores"]
    if goals and scores is not None and len(scores) != goals:
        what = f"has {len(scores)} scores, but the search {goals} objectives"
        raise StoreError(f"Trial {entry['number']} of {path.parent} {what}: restore {path.name}.")


def _refuse_repeated(path: Path, numbers: Numbers) -> None:
    if len(np.unique(numbers)) == len(numbers):
        return
    seen: set[int] = set()
    for index, number in enumerate(numbers.tolist(), start=1):
        if number in seen:
            raise StoreError(f"Line {index} of {path} repeats trial {number}.")
        seen.add(number)


def _damaged(path: Path, index: int, error: ValueError) -> StoreError:
    way = "Restore it, or cut the file before that line and resume."
    return StoreError(f"Line {index} of {path} is damaged ({in_line(error)}). {way}")
