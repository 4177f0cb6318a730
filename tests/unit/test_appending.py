"""Lines outlive the process at once, and the machine within a second."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ogive.appending import SYNC_S, Appending


class Disk:
    """Counts how often it is waited for, and how much was written by then; it may be full."""

    def __init__(self, path: Path) -> None:
        self.path, self.full, self.held = path, False, list[int]()

    def fsync(self, descriptor: int) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.held.append(os.fstat(descriptor).st_size)

    def waits_for(self, size: int) -> bool:
        """Whether it held so much within the time in which it must."""
        until = time.monotonic() + 10 * SYNC_S
        while time.monotonic() < until and self.held[-1:] != [size]:
            time.sleep(0.01)
        return self.held[-1:] == [size]


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(tmp_path / "lines")
    monkeypatch.setattr(os, "fsync", disk.fsync)
    return disk


@pytest.fixture
def file(disk: Disk) -> Iterator[Appending]:
    opened = Appending(disk.path)
    yield opened
    opened.close()


def test_a_thousand_fast_lines_wait_for_the_disk_twice(file: Appending, disk: Disk) -> None:
    for _ in range(1000):
        file.append(b"a line\n")
    assert disk.path.read_bytes() == 1000 * b"a line\n"  # the system has them all
    assert len(disk.held) <= 2
    assert disk.waits_for(7000)
    assert len(disk.held) <= 3


def test_lines_that_come_slowly_are_on_the_disk_at_once(file: Appending, disk: Disk) -> None:
    file.append(b"one\n")
    assert disk.held == [4]
    time.sleep(1.05 * SYNC_S)
    file.append(b"two\n")
    assert disk.held == [4, 8]


def test_closing_waits_for_the_disk(file: Appending, disk: Disk) -> None:
    file.append(b"one\n")
    file.append(b"two\n")
    file.close()
    file.close()
    assert disk.held == [4, 8]


def test_what_a_full_disk_refused_in_the_meantime_is_told_by_the_next_line(file: Appending, disk: Disk) -> None:
    file.append(b"one\n")
    file.append(b"two\n")
    disk.full = True
    time.sleep(1.5 * SYNC_S)
    with pytest.raises(OSError, match="No space left"):
        file.append(b"three\n")
    assert disk.path.read_bytes() == b"one\ntwo\n"
    disk.full = False
    file.append(b"three\n")
    assert disk.path.read_bytes() == b"one\ntwo\nthree\n"
