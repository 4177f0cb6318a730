"""A file to which lines are appended: each outlives the process at once, and the machine a moment later."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["SYNC_S", "Appending"]

# A failure of power may cost the lines of so many seconds. To wait for the disk takes milliseconds, which is more than
# a trial that is looked up.
SYNC_S = 1.0


class Appending:
    """The writer of such a file.

    A line is handed to the system at once, so that nothing that kills the process can lose it. The disk is waited for
    where the last time is `SYNC_S` seconds ago, and for lines that come faster once for all of them, in a thread.
    """

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._lock = threading.Lock()
        self._synced_s = -SYNC_S
        self._waiting: threading.Timer | None = None
        self._error: OSError | None = None

    def append(self, line: bytes) -> None:
        """Write a line; OSError if it, or one before it, cannot reach the disk: then nothing of this one is left."""
        before = os.fstat(self.descriptor).st_size
        try:
            # One call for the whole line: Ctrl-C cannot come between its bytes.
            written = os.write(self.descriptor, line)
            while written < len(line):  # the disk is full, or nearly: the rest can be written or says why not
                written += os.write(self.descriptor, line[written:])
            if time.monotonic() - self._synced_s >= SYNC_S:
                self.sync()
            else:
                self._sync_later()
        except OSError:
            os.ftruncate(self.descriptor, before)
            raise

    def sync(self) -> None:
        """Wait until all that was written is on the disk; OSError where it cannot be."""
        with self._lock:
            if self._waiting is not None:
                self._waiting.cancel()
                self._waiting = None
            error, self._error = self._error, None
            if error is not None:
                raise error
            os.fsync(self.descriptor)
            self._synced_s = time.monotonic()

    def close(self) -> None:
        """Wait for the disk once more, and close the file."""
        if self.descriptor < 0:
            return
        with suppress(OSError):  # the last trials are kept by the system, and whoever closes has other errors to tell
            self.sync()
        with self._lock:
            os.close(self.descriptor)
            self.descriptor = -1

    def _sync_later(self) -> None:
        with self._lock:
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            if self._waiting is None:
                self._waiting = threading.Timer(SYNC_S, self._sync_now)
                self._waiting.daemon = True
                self._waiting.start()

    def _sync_now(self) -> None:
        with self._lock:
            self._waiting = None
            if self.descriptor < 0:
                return
            try:
                os.fsync(self.descriptor)
                self._synced_s = time.monotonic()
            except OSError as error:
                self._error = error
