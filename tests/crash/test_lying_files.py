"""No file makes a reader take all memory or all time, or end with a traceback; see ``fuzzing.py``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent

pytest.importorskip("pyarrow")
pytest.importorskip("PIL")


def fuzzed(*arguments: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-X", "faulthandler", str(HERE / "fuzzing.py"), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_some_hundred_spoilt_files_are_read_or_refused_in_one_line() -> None:
    *found, counted = fuzzed("--each", "8")
    assert counted["files"] >= 300
    assert not found, json.dumps(found, indent=1)


@pytest.mark.slow
def test_twenty_thousand_spoilt_files_are_read_or_refused_in_one_line() -> None:
    *found, counted = fuzzed("--each", "500", "--seed", "1")
    assert counted["files"] >= 20_000
    assert not found, json.dumps(found, indent=1)
