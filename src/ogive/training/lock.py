"""One process at a time trains in a folder, or measures on a machine: the others wait."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ogive.core.errors import StoreError
from ogive.files import lock_file
from ogive.training.distributed import current

__all__ = ["lock", "machine_lock"]

logger = logging.getLogger(__name__)

WAIT_S = 1.0  # between two looks at a folder in which another process trains
LOOK_S = 0.02  # between two looks at whether another process still measures
QUIET_S = 2.0  # of waiting for one that measures, of which nothing is said


@contextmanager
def lock(folder: Path, what: str, tell: Callable[[str], None] | None) -> Iterator[None]:
    """Wait until no other process trains `what` in the folder, such as another worker of the same search.

    Of processes that train together one waits for all.
    """
    ranks = current()
    if not ranks.writes:
        ranks.wait()
        yield
        return
    while (descriptor := _locked(folder)) is None:
        if tell is not None:
            tell(f"another process trains the {what} in {folder.name}; waiting for it")
        time.sleep(WAIT_S)
    try:
        ranks.wait()
        yield
    finally:
        os.close(descriptor)


def _locked(folder: Path) -> int | None:
    """A file of the folder, locked; None where another process holds it, or has removed it with the folder."""
    path = folder / "lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(
            f"{folder} cannot be written ({error.strerror}): make room, or choose another place."
        ) from None
    try:
        lock_file(descriptor)
        if path.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


@contextmanager
def machine_lock(file: Path | None = None) -> Iterator[None]:
    """Wait until no other process of this machine, whoever's it is, measures a time; then keep the others waiting.

    `file` is one of the system's temporary folder: a home may be shared with other machines.
    """
    file = file or Path(tempfile.gettempdir()) / "ogive-latency.lock"
    descriptor = _opened(file)
    try:
        if not _soon_locked(descriptor):
            logger.warning("Another process measures a latency; waiting for it.")
            lock_file(descriptor, wait=True)
        yield
    finally:
        os.close(descriptor)


def _soon_locked(descriptor: int) -> bool:
    """Whether the file could be locked before anybody wonders what is going on."""
    until = time.monotonic() + QUIET_S
    while time.monotonic() < until:
        try:
            lock_file(descriptor)
            return True
        except OSError:
            time.sleep(LOOK_S)
    return False


def _opened(file: Path) -> int:
    """The file, made if need be; one that another user made can only be read, which is enough to lock it."""
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        try:
            return os.open(file, os.O_RDONLY)
        except OSError:
            raise StoreError(
                f"{file} cannot be written ({error.strerror}): latencies are measured one at a time, by a lock on it. "
                "Make room, or set TMPDIR to another folder."
            ) from None
