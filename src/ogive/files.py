"""Files that are whole or absent whenever the process dies, and locks that end with it."""

from __future__ import annotations

import json
import os
from pathlib import Path

__all__ = ["lock_file", "sync", "write_json", "write_whole"]


def write_json(path: Path, value: object) -> None:
    """Write a JSON file that is either complete or absent, whatever happens meanwhile."""
    write_whole(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_whole(path: Path, text: str) -> None:
    """The same of any text."""
    scratch = path.with_name(f"{path.name}.new")
    with scratch.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
    sync(path.parent)


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
