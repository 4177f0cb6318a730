"""Files that are whole or absent whenever the process dies, and locks that end with it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

__all__ = ["lock_file", "sync", "workshop", "write_json", "write_whole"]


def write_json(path: Path, value: object) -> None:
    """Write a JSON file that is either complete or absent, whatever happens meanwhile."""
    write_whole(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_whole(path: Path, content: str | bytes) -> None:
    """The same of any text or bytes; an OSError names the file, and nothing is left of it."""
    scratch = path.with_name(f"{path.name}.new")
    try:
        with scratch.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
        sync(path.parent)
    except OSError as error:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def workshop(parent: Path, prefix: str) -> Iterator[Path]:
    """A hidden folder beside what is made in it, gone in the end; those of processes that died are removed before.

    Its name begins with `prefix`. Whoever works in it holds a lock, which the system gives free when the process ends.
    """
    place: Path | None = None
    with ExitStack() as locks:
        with _locked_folder(parent, wait=True):  # nobody sweeps between the making of a folder and its lock
            for left in parent.glob(f"{prefix}*"):
                with suppress(OSError), _locked_folder(left, wait=False):
                    shutil.rmtree(left, ignore_errors=True)
            place = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            locks.enter_context(_locked_folder(place, wait=True))
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _locked_folder(folder: Path, *, wait: bool) -> Iterator[None]:
    """Hold the lock of a folder, where the system has locks of folders; OSError if another process holds it."""
    if os.name == "nt":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        lock_file(descriptor, wait=wait)
        yield
    finally:
        os.close(descriptor)


def lock_file(descriptor: int, *, wait: bool = False) -> None:
    """Lock an open file until it is closed; if another process holds it, wait for that, or OSError.

    The system gives the file free when the process ends, even after kill -9.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
