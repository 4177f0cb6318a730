"""Two processes that pretend to be machines whose file system keeps locks to itself."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ogive import holding
from ogive.core.errors import RunInUse
from ogive.holding import CLAIM, LOCK, SILENT_S, Held

# The other machine: it takes the folder, says so, and holds it until it is told to give it free, or killed.
OTHER = """
import fcntl, socket, sys
from pathlib import Path
socket.gethostname = lambda: sys.argv[2]
fcntl.flock = lambda *_: None
from ogive.core.errors import RunInUse
from ogive.holding import Held
try:
    held = Held(Path(sys.argv[1]))
    print("holds", flush=True)
    sys.stdin.readline()
    held.close()
except RunInUse as error:
    print(error, flush=True)
"""


def other(folder: Path, host: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", OTHER, str(folder), host]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture(autouse=True)
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    monkeypatch.setattr(fcntl, "flock", lambda *_: None)


def test_a_second_machine_is_refused_until_the_first_gives_the_folder_free(tmp_path: Path) -> None:
    first = other(tmp_path, "one")
    assert said(first) == "holds"
    with pytest.raises(RunInUse, match=r"is being written on 'one' .process \d+, heard \d s ago.; wait for it"):
        Held(tmp_path)
    third = other(tmp_path, "three")
    assert said(third).startswith(f"{tmp_path} is being written on 'one'")
    third.communicate()
    first.communicate("\n")
    Held(tmp_path).close()
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]


def test_a_machine_that_died_is_known_by_its_silence(tmp_path: Path) -> None:
    first = other(tmp_path, "one")
    assert said(first) == "holds"
    first.kill()
    first.communicate()
    with pytest.raises(RunInUse, match=f"until {SILENT_S:.0f} s are over"):
        Held(tmp_path)
    long_ago = time.time() - SILENT_S - 1
    os.utime(tmp_path / LOCK, (long_ago, long_ago))
    Held(tmp_path).close()


def test_a_process_of_this_machine_that_died_holds_nothing(tmp_path: Path) -> None:
    import socket

    first = other(tmp_path, socket.gethostname())
    assert said(first) == "holds"
    first.kill()
    first.communicate()
    Held(tmp_path).close()


def test_of_many_machines_that_begin_at_once_one_holds_the_folder(tmp_path: Path) -> None:
    several = [other(tmp_path, f"host{number}") for number in range(4)]
    told = [said(process) for process in several]
    assert sum(one == "holds" for one in told) == 1
    for process in several:
        process.communicate("\n")


def test_a_claim_of_a_process_that_died_is_swept(tmp_path: Path) -> None:
    (tmp_path / CLAIM).touch()
    long_ago = time.time() - 60
    os.utime(tmp_path / CLAIM, (long_ago, long_ago))
    Held(tmp_path).close()


def test_who_was_silent_and_lost_the_folder_writes_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "BEAT_S", 0.05)
    held = Held(tmp_path)
    held.check()
    (tmp_path / LOCK).write_text('{"host": "two", "process": 1}'.ljust(255) + "\n")
    time.sleep(0.5)
    with pytest.raises(RunInUse, match="was taken by 'two' meanwhile"):
        held.check()
    held.close()
    assert '"two"' in (tmp_path / LOCK).read_text()
