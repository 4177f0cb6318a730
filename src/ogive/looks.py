"""How often the test set was looked at: every look is on record before anything is seen, so that none can be forgotten.

A folder has ``looks.jsonl``, appended and synced: one line as a look begins and another with what was seen. A process
that is killed between them leaves a look without a result; two processes never take the same number.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ogive.core.errors import StoreError, in_line
from ogive.documents import checked, parsed
from ogive.files import lock_file, sync

__all__ = ["LOOKS", "Look", "begin_look", "end_look", "looks_at_test"]

LOOKS = "looks.jsonl"
_LOOK = {"look": int, "began?": str, "measured?": {...: float}, "trial?": (int, None)}


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the test set: its number, of what it was, when it began, and what was seen, None if nobody knows."""

    number: int
    about: Mapping[str, Any]
    began: str
    measured: Mapping[str, float] | None = None


def begin_look(folder: Path, *, earlier: int = 0, **about: Any) -> int:
    """Put a look on record, before it is taken; its number, from 1.

    `earlier` are looks that were taken when nobody counted them. StoreError if it cannot be written.
    """
    began = datetime.now(UTC).isoformat(timespec="seconds")

    def line(looks: list[Look]) -> dict[str, Any]:
        return {"look": max([earlier, *(look.number for look in looks)]) + 1, "began": began, **about}

    return int(_append(folder, line)["look"])


def end_look(folder: Path, number: int, measured: Mapping[str, float]) -> None:
    """Put on record what was seen."""
    _append(folder, lambda _: {"look": number, "measured": dict(measured)})


def looks_at_test(folder: Path) -> list[Look]:
    """The looks on record, by number; one that is being written is left out. StoreError for a damaged line."""
    path = Path(folder) / LOOKS
    return _read(path, path.read_bytes())[0] if path.exists() else []


def _append(folder: Path, line: Any) -> dict[str, Any]:
    """Add the line that `line` makes of the looks so far, while no other process adds one."""
    path = Path(folder) / LOOKS
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            lock_file(descriptor, wait=True)
            looks, whole = _read(path, path.read_bytes())
            os.ftruncate(descriptor, whole)  # whoever began the rest of it was killed before it was on record
            entry: dict[str, Any] = line(looks)
            os.write(descriptor, f"{json.dumps(entry, ensure_ascii=False, allow_nan=False)}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync(path.parent)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written ({error.strerror}), and no look at the test set is taken without it: make room, "
            "and give the command again."
        ) from error
    return entry


def _read(path: Path, data: bytes) -> tuple[list[Look], int]:
    """The looks, and how many bytes are whole lines."""
    whole = data.rfind(b"\n") + 1
    looks: dict[int, Look] = {}
    for index, line in enumerate(data[:whole].splitlines(), start=1):
        try:
            entry = checked(parsed(line), _LOOK)
            number = entry.pop("look")
            if "measured" in entry:
                looks[number] = replace(looks[number], measured=entry["measured"])
            else:
                looks[number] = Look(number, entry, entry.pop("began"))
        except (ValueError, KeyError) as error:
            raise StoreError(f"Line {index} of {path} is damaged ({in_line(error)}): restore the file.") from error
    return [looks[number] for number in sorted(looks)], whole
