"""RunStore: a search on disk, as a folder that can be killed at any byte and resumed.

A run folder holds ``run.json`` (what was asked for, written once), ``trials.jsonl`` (one line a finished trial,
append-only, synced to the disk before the search goes on) and ``artifacts/`` (everything derived: strategy state,
unfinished trainings, the winner). Every line carries a checksum, so a flipped bit is found and named.
"""

from __future__ import annotations

import logging
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ogive.begun import Begun
from ogive.choice import Chosen, Limit, check_limits, choose_last, limits_of
from ogive.core.capabilities import Answer
from ogive.core.errors import RunInUse, SpecError, StoreError, in_line
from ogive.core.metric import LATENCY, LATENCY_SPREAD, Metric, metrics_from, of_version_1
from ogive.core.strategy import Checkpointed
from ogive.core.study import OpenChunk, Study
from ogive.core.trial import Trial
from ogive.documents import checked, read_json
from ogive.files import lock_file, sync, write_json
from ogive.run_records import CONFIG, FOUND, LIMITS, STUDY
from ogive.trial_lines import (
    Record,
    call_entry,
    final_entry,
    line_of,
    proposal_entry,
    read_call,
    read_final,
    read_proposal,
    record_of,
)

__all__ = ["Followed", "Record", "Run", "RunStore", "read_run", "refuse_taken", "way_to_resume"]

logger = logging.getLogger(__name__)

# A larger budget that was given after the search began, among the artifacts.
BUDGET = "budget.json"
# The limits of the choice, among the artifacts, where they were given after the search began.
PREFERENCE = "prefer.json"
# What was measured side by side after the search, among the artifacts.
FINALISTS = "finalists.json"

SCHEMA = 2  # 1, of version 0.1, held no metrics and no answer; it is read as well


@dataclass(frozen=True, slots=True)
class Run:
    """What a run folder holds, read once."""

    folder: Path
    config: dict[str, Any]
    records: tuple[Record, ...]

    @property
    def trials(self) -> list[Trial]:
        """The finished trials by number: in the order in which they were proposed, and told to the strategy."""
        return sorted((record.trial for record in self.records), key=lambda trial: trial.number)

    @property
    def evaluated(self) -> list[Trial]:
        """The trials that cost budget: all but the screened-out ones."""
        return [trial for trial in self.trials if trial.status != "screened"]

    @property
    def answer(self) -> Answer:
        """What the search answers with, as its strategy said.

        Version 0.1 did not store that. There it was the last proposal where every one cost time, as an epoch of a
        supernet does. A single proposal does not tell: a search that ranks candidates before its first one spends time
        on it too.
        """
        stored = self.config.get("answer")
        if stored is not None:
            return "last" if stored == "last" else "best"
        costs = [trial.proposal.cost.wall_s for trial in self.evaluated]
        return "last" if len(costs) > 1 and min(costs) > 0 else "best"

    @property
    def objectives(self) -> tuple[str, ...]:
        """The objectives as they were written."""
        return tuple(str(text) for text in self.config.get("objectives") or ())

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Within which its best trial is chosen: as was said last, by the search or after it."""
        path = self.artifacts / PREFERENCE
        try:
            later = read_json(path, [str]) if path.exists() else None
            return limits_of(self.config.get("prefer") or () if later is None else later)
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} is damaged ({in_line(error)}): delete it and give --prefer again.") from error

    @property
    def choice(self) -> Chosen:
        """The trial that is the best of all that are there today, and by which rule."""
        return self.chosen(self.limits)

    def chosen(self, limits: Sequence[Limit]) -> Chosen:
        """The same within these limits; latencies count as they were measured last."""
        return choose_last(self.trials, self.remeasured, self.objectives, limits)

    def prefer(self, written: Sequence[str]) -> None:
        """Choose the best trial within these limits from now on; SpecError for one of nothing that was measured."""
        limits = limits_of(written)
        check_limits(limits, tuple(self.metrics.values()))
        if limits != self.limits:
            write_json(self.artifacts / PREFERENCE, [str(limit) for limit in limits])

    @property
    def granted(self) -> dict[str, Any] | None:
        """The last budget that a resume was given, as JSON; None if none was: run.json is written once."""
        path = self.artifacts / BUDGET
        try:
            return dict(read_json(path, LIMITS)) if path.exists() else None
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} is damaged ({in_line(error)}): delete it and give --budget again.") from error

    @property
    def metrics(self) -> dict[str, Metric]:
        """What was measured, by name, in the evaluator's order; of a run of version 0.1, what the names stood for."""
        stored = self.config.get("metrics")
        if stored is None:
            names = dict.fromkeys(name for trial in self.trials for name in trial.metrics)
            return {name: of_version_1(name) for name in names}
        try:
            return {metric.name: metric for metric in metrics_from(stored)}
        except (TypeError, SpecError) as error:
            raise StoreError(f"{self.folder / 'run.json'} does not hold the metrics of a search: {error}.") from error

    @property
    def remeasured(self) -> dict[int, Trial]:
        """By number, the trials whose latencies were measured once more, side by side, with what was found then."""
        path = self.artifacts / FINALISTS
        if not path.exists():
            return {}
        trials = {trial.number: trial for trial in self.trials}
        try:
            entries = read_json(path, FOUND)["finalists"]
            found = {entry["trial"]: read_final(trials[entry["trial"]], entry) for entry in entries}
        except (OSError, ValueError, KeyError) as error:
            way = f"delete it; `{way_to_resume(self.folder)}` measures again"
            raise StoreError(f"{path} is damaged ({in_line(error)}): {way}.") from error
        return found

    def final(self, trial: Trial) -> Trial:
        """One of its trials, with its latency as it was measured last."""
        return self.remeasured.get(trial.number, trial)

    @property
    def final_trials(self) -> list[Trial]:
        """All trials, with their latencies as they were measured last."""
        final = self.remeasured
        return [final.get(trial.number, trial) for trial in self.trials]

    @property
    def is_settled(self) -> bool:
        """Whether its finalists were measured after its last trial."""
        try:
            told = read_json(self.artifacts / FINALISTS, {"trials": int})
        except (OSError, ValueError):
            return False
        return bool(told["trials"] == len(self.records))

    @property
    def chances(self) -> tuple[str, ...]:
        """Why a second search with these settings may find something else, a sentence each."""
        names, ahead = self.config.get("unrepeatable"), self.config.get("in_flight", 1)
        if names is None:  # of version 0.1, which measured only latencies twice as long as the percentiles of one
            timed = LATENCY_SPREAD[0].name in self.metrics and "latency" in str(self.config.get("objectives"))
            names = [LATENCY.name] if timed else []
        told = []
        if names:
            titles = ", ".join(self.metrics[name].title if name in self.metrics else str(name) for name in names)
            told.append(f"What it finds depends on {titles}, which no second measurement repeats.")
        if self.config.get("order") == "finish" and ahead != 1:
            told.append("Its trials are told in the order in which they finish, which no second run repeats.")
        return tuple(told)

    @property
    def elapsed_s(self) -> float:
        """Seconds of searching until the last finished trial."""
        return self.records[-1].at_s if self.records else 0.0

    @property
    def artifacts(self) -> Path:
        """The folder of everything derived from the trials."""
        return self.folder / "artifacts"

    @property
    def projections(self) -> int:
        """How many proposals of a finished search were projected onto rows of a closed world."""
        try:
            return int(read_json(self.artifacts / "world.json", {"projections": int})["projections"])
        except FileNotFoundError:
            return 0
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.artifacts / 'world.json'} is damaged ({in_line(error)}): delete it.") from error


class RunStore:
    """The one writer of a run folder. Use it as a context manager: leaving it gives the folder free."""

    def __init__(self, run: Run, lock: int) -> None:
        self.run = run
        self._lock = lock
        self._trials = os.open(run.folder / "trials.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._begun = Begun(run.artifacts)

    @classmethod
    def create(cls, folder: Path, config: Mapping[str, Any]) -> RunStore:
        """Begin a run in `folder`, which must not hold anything yet."""
        folder = Path(folder)
        way_out = "Nothing was begun; make room, or choose another --out."
        _refuse_file(folder)
        with _explained(folder, way_out):
            folder.mkdir(parents=True, exist_ok=True)
            lock = _locked(folder)
        try:
            with _explained(folder, way_out):
                _refuse_used(folder)
                (folder / "artifacts").mkdir(exist_ok=True)
                (folder / "trials.jsonl").touch()
                write_json(folder / "run.json", {"schema": SCHEMA, **config})
            return cls(read_run(folder), lock)
        except BaseException:
            os.close(lock)
            raise

    @classmethod
    def open(cls, folder: Path) -> RunStore:
        """Go on with the run in `folder`; a torn last line is cut off with a warning."""
        folder = Path(folder)
        _require_run(folder)
        with _explained(folder):
            lock = _locked(folder)
        try:
            run, whole = _read(folder)
            with _explained(folder):
                path = folder / "trials.jsonl"
                if path.exists() and path.stat().st_size != whole:
                    os.truncate(path, whole)
                run.artifacts.mkdir(exist_ok=True)
                _sweep(folder, run.artifacts)
            return cls(run, lock)
        except BaseException:
            os.close(lock)
            raise

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.run.folder

    @property
    def artifacts(self) -> Path:
        """The folder of everything derived from the trials."""
        return self.run.artifacts

    def append(self, trial: Trial, at_s: float) -> None:
        """Write one trial and wait until it is on the disk.

        StoreError if the disk is full; the file is then cut back to the trials before, so that nothing is lost.
        """
        line = line_of(trial, at_s)
        state = os.fstat(self._trials)
        before = state.st_size
        if not state.st_nlink:
            raise StoreError(f"{self.folder} was removed while it was searched in, and the trials with it.")
        try:
            # One call for the whole line: Ctrl-C cannot come between its bytes.
            written = os.write(self._trials, line)
            while written < len(line):  # the disk is full, or nearly: the rest can be written or says why not
                written += os.write(self._trials, line[written:])
            os.fsync(self._trials)
        except OSError as error:
            os.ftruncate(self._trials, before)
            raise StoreError(
                f"Trial {trial.number} could not be written to {self.folder} ({error.strerror}). All trials before it "
                f"are kept; make room and go on with `{way_to_resume(self.folder)}`."
            ) from error

    def begin(self, number: int) -> str | None:
        """Note that a trial begins in this process; why it must not, if the process died twice in the middle of it."""
        with _explained(self.folder):
            return self._begun.begin(number)

    def interrupted(self) -> None:
        """Note that the search ends otherwise than by the death of its process."""
        with _explained(self.folder):
            self._begun.interrupted()

    def note(self, name: str, value: object) -> None:
        """Write a JSON file among the artifacts."""
        write_json(self.artifacts / name, value)

    def note_finalists(self, found: Sequence[Trial], trials: int) -> None:
        """Write what was measured side by side after so many trials, beside the trials, which stay as they are."""
        entries = [final_entry(trial) for trial in found]
        self.note(FINALISTS, {"trials": trials, "finalists": entries})

    def save_strategy(self, strategy: Checkpointed, study: Study) -> None:
        """Write the state of the strategy and of the loop; the one before is kept until the new one is complete."""
        fresh = self.artifacts / f"strategy-{study.told:09d}"
        if fresh.exists():
            return
        scratch = self.artifacts / "strategy.new"
        with _explained(self.folder):
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            strategy.save(scratch)
            waiting = [
                {
                    "first": chunk.first,
                    "proposals": [proposal_entry(one) for one in chunk.proposals],
                    **call_entry(chunk.call),
                }
                for chunk in study.open
            ]
            write_json(scratch / "study.json", {"told": study.told, "asked": study.asked, "open": waiting})
            for path in scratch.rglob("*"):
                if path.is_file():
                    sync(path)
            scratch.rename(fresh)
            sync(self.artifacts)
            for old in self._saved()[:-1]:
                shutil.rmtree(old, ignore_errors=True)

    def load_strategy(self, strategy: Checkpointed, study: Study) -> frozenset[int]:
        """Load the last saved state, if there is one; returns the numbers of the trials that need not be replayed."""
        saved = self._saved()
        if not saved:
            return frozenset()
        folder = saved[-1]
        try:
            state = read_json(folder / "study.json", STUDY)
            told, asked = state["told"], state["asked"]
            waiting = [
                OpenChunk(chunk["first"], [read_proposal(entry) for entry in chunk["proposals"]], read_call(chunk))
                for chunk in state["open"]
            ]
            if told != asked - sum(len(chunk.numbers) for chunk in waiting):
                raise ValueError(f"{asked} proposals are not {told} and those that are open")
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{folder} is damaged ({in_line(error)}); delete it to replay all the trials instead."
            ) from error
        untold = frozenset[int]().union(*(chunk.numbers for chunk in waiting))
        before = [trial for trial in self.run.trials if trial.number < asked and trial.number not in untold]
        if told != len(before):
            raise StoreError(
                f"{folder} knows {told} trials, but trials.jsonl holds {len(before)} of them: lines were removed. "
                f"Delete {folder.name} to replay the rest."
            )
        try:
            strategy.load(folder)
        except Exception as error:
            raise StoreError(f"{in_line(error)} Delete {folder} to replay all the trials instead.") from error
        study.resume_from(before, asked, waiting)
        return frozenset(trial.number for trial in before)

    def close(self) -> None:
        """Give the folder free."""
        if self._trials >= 0:
            os.close(self._trials)
            os.close(self._lock)
            self._begun.close()
            self._trials = -1

    def __enter__(self) -> RunStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _saved(self) -> list[Path]:
        return sorted(path for path in self.artifacts.glob("strategy-*") if path.is_dir())


class Followed(RunStore):
    """A run that another process writes, for one that searches along with it: it reads, and writes nothing."""

    def __init__(self, run: Run) -> None:
        self.run, self._lock, self._trials = run, -1, -1

    def append(self, trial: Trial, at_s: float) -> None:
        """Nothing: the other process writes the trial."""

    def begin(self, number: int) -> str | None:
        """Nothing, likewise: every trial is measured."""
        return None

    def interrupted(self) -> None:
        """Nothing, likewise."""

    def note(self, name: str, value: object) -> None:
        """Nothing, likewise."""

    def save_strategy(self, strategy: Checkpointed, study: Study) -> None:
        """Nothing, likewise."""


def read_run(folder: Path) -> Run:
    """Read a run folder without touching it; a torn last line is left out with a warning.

    Raises StoreError for a folder that holds no run, a run of a newer schema, or a damaged line (which it names).
    """
    return _read(Path(folder))[0]


# -- reading ----------------------------------------------------------------------------------------------------------


def _require_run(folder: Path) -> None:
    if not (folder / "run.json").is_file():
        what = "is not a run folder: it has no run.json" if folder.is_dir() else "does not exist"
        raise StoreError(f"{folder} {what}. `ogive search … --out FOLDER` makes one.")


def _read(folder: Path) -> tuple[Run, int]:
    """The run, and how many bytes of trials.jsonl are whole lines."""
    _require_run(folder)
    try:
        config = read_json(folder / "run.json", object)
    except (OSError, ValueError) as error:
        raise StoreError(f"{folder / 'run.json'} cannot be read: {in_line(error)}.") from error
    schema = config.get("schema") if isinstance(config, dict) else None
    if not isinstance(schema, int):
        raise StoreError(f"{folder / 'run.json'} was not written by ogive: it has no schema number.")
    if schema > SCHEMA:
        raise StoreError(
            f"{folder} was written by a newer ogive (schema {schema}; this one reads up to {SCHEMA}): upgrade ogive."
        )
    try:
        checked(config, CONFIG)
    except ValueError as error:
        raise StoreError(f"{folder / 'run.json'} is damaged: {error}. Restore it.") from error
    records, whole = _read_lines(folder / "trials.jsonl")
    wanted = len(config.get("objectives") or ())
    for trial in (record.trial for record in records):
        if wanted and trial.scores is not None and len(trial.scores) != wanted:
            what = f"has {len(trial.scores)} scores, but the search {wanted} objectives"
            raise StoreError(f"Trial {trial.number} of {folder} {what}: restore trials.jsonl.")
    return Run(folder, config, tuple(records)), whole


def _read_lines(path: Path) -> tuple[list[Record], int]:
    data = path.read_bytes() if path.exists() else b""
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        logger.warning("The last line of %s is torn (the run was killed while writing it) and is dropped.", path)
    records, seen = [], set()
    for index, line in enumerate(data[:whole].splitlines(), start=1):
        try:
            record = record_of(line)
        except ValueError as error:
            raise StoreError(
                f"Line {index} of {path} is damaged ({in_line(error)}). Restore it, or cut the file "
                "before that line and resume."
            ) from error
        if record.trial.number in seen:
            raise StoreError(f"Line {index} of {path} repeats trial {record.trial.number}.")
        seen.add(record.trial.number)
        records.append(record)
    return records, whole


def way_to_resume(folder: Path) -> str:
    """The command that goes on with a run, as a shell takes it."""
    return shlex.join(["ogive", "resume", str(folder)])


# -- the file system --------------------------------------------------------------------------------------------------

LOCK = "run.lock"


def refuse_taken(folder: Path) -> None:
    """StoreError or RunInUse for a folder in which no run can begin, before anything was read that takes long."""
    _refuse_file(folder)
    if folder.is_dir():
        with _explained(folder):
            if (folder / LOCK).exists():
                os.close(_locked(folder))
            _refuse_used(folder)


def _refuse_file(folder: Path) -> None:
    file = next((path for path in (folder, *folder.parents) if path.is_file()), None)
    if file is not None:
        raise StoreError(f"The run needs a folder, but {file} is a file: choose another --out.")


def _refuse_used(folder: Path) -> None:
    present = sorted(entry.name for entry in folder.iterdir() if not _is_debris(entry))
    if "run.json" in present:
        way = f"`{way_to_resume(folder)}` goes on with it"
        raise StoreError(f"A run begins in an empty folder, but {folder} holds run.json; {way}.")
    if present:
        raise StoreError(f"A run begins in an empty folder, but {folder} holds {present[0]}; choose another --out.")


def _sweep(*folders: Path) -> None:
    """Remove what a process that died had not finished writing."""
    for left in (entry for folder in folders for entry in folder.glob("*.new")):
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def _is_debris(entry: Path) -> bool:
    """Whether this is all that a run killed in its first milliseconds leaves behind."""
    if entry.name == "artifacts":
        return entry.is_dir() and not any(entry.iterdir())
    return entry.name in (LOCK, "run.json.new") or (entry.name == "trials.jsonl" and entry.stat().st_size == 0)


def _locked(folder: Path) -> int:
    """Hold the folder's lock until the descriptor is closed; the kernel gives it free even after kill -9."""
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        lock_file(descriptor)
    except OSError:
        os.close(descriptor)
        raise RunInUse(f"{folder} is being written by another process; wait for it, or choose another --out.") from None
    return descriptor


@contextmanager
def _explained(folder: Path, way_out: str | None = None) -> Iterator[None]:
    """Turn an error of the file system into one line that says what to do."""
    try:
        yield
    except OSError as error:
        if way_out is None and not (folder / "run.json").exists():
            way_out = "The run folder was removed, and the trials with it."
        way_out = way_out or f"The finished trials are kept; mend it and go on with `{way_to_resume(folder)}`."
        raise StoreError(f"{error.filename or folder} cannot be written ({error.strerror}). {way_out}") from error
