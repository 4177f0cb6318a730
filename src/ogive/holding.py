"""Holding a run folder: one process writes it, also where several machines see the folder.

The system's lock decides among the processes of one machine, and on file systems that pass it on among machines too.
For those that do not, the holder leaves its machine's name in the file and writes it again and again. Times are
compared by the clock of the file system, so that those of the machines may differ.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ogive.core.errors import RunInUse, quoted
from ogive.files import lock_file

__all__ = ["CLAIM", "LOCK", "Held"]

LOCK, CLAIM = "run.lock", "run.claim"
# So often the holder says that it lives; without a word for so long, it does not.
BEAT_S, SILENT_S = 10.0, 60.0
# A claim is over in milliseconds; one that is older than this was left by a process that died.
STALE_S = 10.0
_BYTES = 256


class Held:
    """A folder that this process holds until it closes this, or dies: RunInUse where another one does."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._host = folder, socket.gethostname()
        self._mine = {"host": self._host, "process": os.getpid(), "since_s": time.time()}
        self.descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        self._over, self._lost, self._turn = threading.Event(), "", threading.Lock()
        try:
            self._lock()
            with _claimed(folder):
                self._refuse_other_host()
                self._write(self._mine)
        except BaseException:
            os.close(self.descriptor)
            raise
        threading.Thread(target=self._beat, daemon=True).start()

    def check(self) -> None:
        """RunInUse if another machine has taken the folder meanwhile, because nothing was heard of this one."""
        if self._lost:
            raise RunInUse(f"{self._folder} was taken by {self._lost} meanwhile: its search goes on there.")

    def close(self) -> None:
        """Give the folder free, at once for everybody."""
        if self.descriptor < 0:
            return
        self._over.set()
        with self._turn:
            with suppress(OSError):
                if _read(self.descriptor) == self._mine:
                    os.ftruncate(self.descriptor, 0)
            os.close(self.descriptor)
            self.descriptor = -1

    def _lock(self) -> None:
        try:
            lock_file(self.descriptor)
        except OSError:
            other = _read(self.descriptor)
            where = f" on {quoted(other['host'])}" if other.get("host") not in (None, self._host) else ""
            raise RunInUse(
                f"{self._folder} is being written by another process{where}; wait for it, or choose another --out."
            ) from None

    def _refuse_other_host(self) -> None:
        other = _read(self.descriptor)
        if other.get("host") in (None, self._host):
            return  # of a process here, which is dead: its lock is free
        silent_s = _now_s(self._folder) - os.fstat(self.descriptor).st_mtime
        if silent_s < SILENT_S:
            raise RunInUse(
                f"{self._folder} is being written on {quoted(other['host'])} (process {other.get('process')}, heard "
                f"{max(0.0, silent_s):.0f} s ago); wait for it, or, if it died, until {SILENT_S:.0f} s are over."
            )

    def _beat(self) -> None:
        while not self._over.wait(BEAT_S):
            with self._turn, suppress(OSError):  # the next one may be heard
                if self.descriptor < 0:
                    return
                other = _read(self.descriptor)
                if other.get("host") not in (None, self._host):
                    self._lost = quoted(other["host"])
                    return
                self._write(self._mine)

    def _write(self, record: dict[str, Any]) -> None:
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        # One call and one length, so that a reader never sees half of two.
        os.write(self.descriptor, json.dumps(record).ljust(_BYTES - 1).encode()[: _BYTES - 1] + b"\n")


def _read(descriptor: int) -> dict[str, Any]:
    """Who holds the folder; nothing where nobody says so, as in runs of before."""
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        found = json.loads(os.read(descriptor, _BYTES))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Nobody else looks and writes meanwhile: to make a file that must be new is one step, on NFS too."""
    claim = folder / CLAIM
    while True:
        try:
            os.close(os.open(claim, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
            break
        except FileExistsError:
            with suppress(FileNotFoundError):
                if _now_s(folder) - claim.stat().st_mtime > STALE_S:
                    claim.unlink()
            time.sleep(0.01)
    try:
        yield
    finally:
        claim.unlink(missing_ok=True)


def _now_s(folder: Path) -> float:
    """The time by the clock of the file system."""
    probe = folder / f"{CLAIM}.{socket.gethostname()}.{os.getpid()}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)
