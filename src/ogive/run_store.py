"""RunStore: writes a search on disk, in a folder that can be killed at any byte and resumed.

What lies in the folder, and how it is read, stands in ``runs``.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ogive.appending import Appending
from ogive.begun import Begun
from ogive.core.errors import StoreError, in_line
from ogive.core.strategy import Checkpointed
from ogive.core.study import OpenChunk, Study
from ogive.core.trial import Trial
from ogive.documents import read_json
from ogive.files import sync, write_json
from ogive.holding import CLAIM, LOCK, Held
from ogive.run_records import STUDY
from ogive.runs import FINALISTS, HOLD, SCHEMA, Run, read_run, require_run, way_to_resume
from ogive.trial_lines import (
    call_entry,
    final_entry,
    line_of,
    proposal_entry,
    read_call,
    read_proposal,
)

__all__ = ["Followed", "RunStore", "refuse_taken"]


class RunStore:
    """The one writer of a run folder. Use it as a context manager: leaving it gives the folder free."""

    def __init__(self, run: Run, lock: Held) -> None:
        self.run = run
        self._lock: Held | None = lock
        self._trials = Appending(run.folder / "trials.jsonl")
        self._begun = Begun(run.artifacts)

    @classmethod
    def create(cls, folder: Path, config: Mapping[str, Any]) -> RunStore:
        """Begin a run in `folder`, which must not hold anything yet."""
        folder = Path(folder)
        way_out = "Nothing was begun; make room, or choose another --out."
        _refuse_file(folder)
        with _explained(folder, way_out):
            folder.mkdir(parents=True, exist_ok=True)
            lock = Held(folder)
        try:
            with _explained(folder, way_out):
                _refuse_used(folder)
                (folder / "artifacts").mkdir(exist_ok=True)
                (folder / "trials.jsonl").touch()
                write_json(folder / "run.json", {"schema": SCHEMA, **config})
            return cls(read_run(folder, hold=HOLD), lock)
        except BaseException:
            lock.close()
            raise

    @classmethod
    def open(cls, folder: Path, *, known: Run | None = None) -> RunStore:
        """Go on with the run in `folder`, reading only what is not `known`; a torn last line is cut off, and told."""
        folder = Path(folder)
        require_run(folder)
        with _explained(folder):
            lock = Held(folder)
        try:
            run = read_run(folder, hold=HOLD, known=known)
            with _explained(folder):
                path = folder / "trials.jsonl"
                if path.exists() and path.stat().st_size != run.log.whole:
                    os.truncate(path, run.log.whole)
                run.artifacts.mkdir(exist_ok=True)
                _sweep(folder, run.artifacts)
            return cls(run, lock)
        except BaseException:
            lock.close()
            raise

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.run.folder

    @property
    def artifacts(self) -> Path:
        """The folder of everything derived from the trials."""
        return self.run.artifacts

    def read(self) -> Run:
        """The run as it stands now; only what was added since it was opened is read."""
        return read_run(self.folder, hold=HOLD, known=self.run)

    def append(self, trial: Trial, at_s: float) -> None:
        """Write one trial; it is on the disk at once, or within a second where trials come faster.

        StoreError if the disk is full; the file is then cut back to the trials before, so that nothing is lost.
        """
        line = line_of(trial, at_s)
        if self._lock is not None:
            self._lock.check()
        if not os.fstat(self._trials.descriptor).st_nlink:
            raise StoreError(f"{self.folder} was removed while it was searched in, and the trials with it.")
        try:
            self._trials.append(line)
        except OSError as error:
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
        """Write the state of the strategy and of the loop; the one before is kept until the new one is complete.

        Both counts name it: a strategy that trains before it proposes is further after being asked than after being
        told.
        """
        fresh = self.artifacts / f"strategy-{study.told:09d}-{study.asked:09d}"
        if fresh.exists():
            return
        scratch = self.artifacts / "strategy.new"
        with _explained(self.folder):
            self._trials.sync()  # a state never knows more trials than the disk
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
            state = {"told": study.told, "asked": study.asked, "open": waiting}
            (scratch / "study.json").write_text(json.dumps(state), encoding="utf-8")
            for path in scratch.rglob("*"):
                if path.is_file():
                    sync(path)
            scratch.rename(fresh)
            sync(self.artifacts)
            for old in self._saved()[:-1]:
                shutil.rmtree(old, ignore_errors=True)

    def load_strategy(self, strategy: Checkpointed, study: Study) -> Sequence[Trial]:
        """Load the last saved state, if there is one; returns the trials still to be replayed, as they finished."""
        saved = self._saved()
        log = self.run.log
        numbers = log.columns.numbers
        if not saved:
            return log.finished
        folder = saved[-1]
        told, asked, waiting = _read_study(folder)
        untold = [number for chunk in waiting for number in chunk.numbers]
        loaded = (numbers < asked) & ~np.isin(numbers, untold)
        if told != np.count_nonzero(loaded):
            raise StoreError(
                f"{folder} knows {told} trials, but trials.jsonl holds {np.count_nonzero(loaded)} of them: lines were "
                f"removed. Delete {folder.name} to replay the rest."
            )
        try:
            strategy.load(folder)
        except Exception as error:
            raise StoreError(f"{in_line(error)} Delete {folder} to replay all the trials instead.") from error
        order = log.columns.places()
        before = order[loaded[order]]
        study.resume_from(log.trials(before), asked, waiting, self.run.spent(study.spent.fidelity, before))
        return log.trials(np.flatnonzero(~loaded))

    def close(self) -> None:
        """Give the folder free."""
        if self._lock is not None:
            self._trials.close()
            self._begun.close()
            self._lock.close()
            self._lock = None

    def __enter__(self) -> RunStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _saved(self) -> list[Path]:
        return sorted(path for path in self.artifacts.glob("strategy-*") if path.is_dir())


class Followed(RunStore):
    """A run that another process writes, for one that searches along with it: it reads, and writes nothing."""

    def __init__(self, run: Run) -> None:
        self.run, self._lock = run, None

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


def _read_study(folder: Path) -> tuple[int, int, list[OpenChunk]]:
    """How many trials a saved loop had told, how many proposals it had asked for, and those that were open."""
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
    return told, asked, waiting


# -- the file system --------------------------------------------------------------------------------------------------


def refuse_taken(folder: Path) -> None:
    """StoreError or RunInUse for a folder in which no run can begin, before anything was read that takes long."""
    _refuse_file(folder)
    if folder.is_dir():
        with _explained(folder):
            if (folder / LOCK).exists():
                Held(folder).close()
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
    return (
        entry.name in (LOCK, "run.json.new")
        or entry.name.startswith(CLAIM)
        or (entry.name == "trials.jsonl" and entry.stat().st_size == 0)
    )


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
