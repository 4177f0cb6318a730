"""A note of the trial that begins in this process, so that one that kills the process is not measured for ever."""

from __future__ import annotations

import json
import os
from pathlib import Path

__all__ = ["DIED_TWICE", "UNFINISHED", "Begun"]

# Trainings in the middle and other work that a resumed run takes up again, among the artifacts.
UNFINISHED = "unfinished"

_NAME, _BYTES = "begun.json", 128
DIED_TWICE = "the process died twice"


class Begun:
    """Which trial began last, how often, and when work in the middle of trials had been saved last.

    The note is not synced: it outlives the process, which is all that a candidate can kill, and costs microseconds.
    """

    def __init__(self, artifacts: Path) -> None:
        self._artifacts = artifacts
        self._unfinished = os.fspath(artifacts / UNFINISHED)
        self._last = _read(artifacts / _NAME)
        self._descriptor = -1

    def begin(self, number: int) -> str | None:
        """Note that a trial begins in this process; why it must not, if the process died twice in the middle of it.

        A training that had saved more each time is going on, and may be killed as often as it likes.
        """
        saved_ns = _last_saved_ns(self._unfinished)
        again = self._last.get("trial") == number and self._last.get("saved_ns") == saved_ns
        times = self._last["times"] if again else 0
        if times >= 2:
            return DIED_TWICE
        self._write({"trial": number, "times": times + 1, "saved_ns": saved_ns})
        return None

    def interrupted(self) -> None:
        """Note that the search ends otherwise than by the death of its process, whose trial is to blame for nothing."""
        self._write({})

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, note: dict[str, int]) -> None:
        self._last = note
        if self._descriptor < 0:
            self._descriptor = os.open(self._artifacts / _NAME, os.O_WRONLY | os.O_CREAT, 0o644)
        # One call and one length, so that a new note replaces the whole of the last one.
        os.write(self._descriptor, json.dumps(note).ljust(_BYTES - 1).encode() + b"\n")
        os.lseek(self._descriptor, 0, os.SEEK_SET)


def _read(path: Path) -> dict[str, int]:
    """The last note; nothing where none can be read, as in runs of version 0.1."""
    try:
        with path.open("rb") as file:
            note = json.loads(file.read(_BYTES))
        return {key: int(note[key]) for key in ("trial", "times", "saved_ns")}
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return {}


def _last_saved_ns(folder: str) -> int:
    """When a file in the folder was written last, in nanoseconds; 0 where there is none."""
    if not os.path.isdir(folder):  # noqa: PTH112 - quicker; of candidates that are looked up there are many
        return 0
    return max((path.stat().st_mtime_ns for path in Path(folder).rglob("*") if path.is_file()), default=0)
