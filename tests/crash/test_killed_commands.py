"""Every command that writes, killed with SIGKILL at any file operation and repeated, leaves what it does without.

Searches, resumes, trainings, exports, pages, imports and scores; see ``sweeping.py``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SWEEPING = Path(__file__).with_name("sweeping.py")

# Kills of each command in `make reproduce`.
KILLS = {
    "import": 60,
    "search": 60,
    "resume": 50,
    "report": 20,
    "score": 20,
    "search of two workers": 15,
    "export": 15,
    "train": 10,
}


def swept(name: str, kills: int, place: Path, seed: int) -> list[dict[str, Any]]:
    command = [sys.executable, str(SWEEPING), name, str(kills), str(seed), str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def assert_all_mended(found: list[dict[str, Any]], kills: int) -> None:
    assert len(found) == kills
    assert all(kill["killed"] for kill in found), "a chosen operation never happened"
    assert [kill for kill in found if kill["different"]] == []


# Of searches, resumes and trainings, `test_killed_runs.py` has dozens already.
@pytest.mark.parametrize(("name", "kills"), [("import", 4), ("report", 2)])
def test_some_kills_leave_what_none_does(name: str, kills: int, tmp_path: Path) -> None:
    assert_all_mended(swept(name, kills, tmp_path, seed=0), kills)


@pytest.mark.slow
@pytest.mark.parametrize("name", KILLS)
def test_two_hundred_kills_leave_what_none_does(name: str, tmp_path: Path) -> None:
    assert sum(KILLS.values()) >= 200
    assert_all_mended(swept(name, KILLS[name], tmp_path, seed=1), KILLS[name])
