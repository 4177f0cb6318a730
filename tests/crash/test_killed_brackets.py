"""A search of brackets that is killed with SIGKILL in the middle of a rung ends as one that was not."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from warm import begun, ended

from ogive.runs import read_run
from ogive.session import unfinished

PROGRAM = """
import sys
from pathlib import Path
from ogive.session import Settings, budget_of, resume, search

folder = Path(sys.argv[1])
settings = Settings(space="nasbench201", strategy=sys.argv[2], evaluator="trained(epochs=4, batch_size=8)", in_flight=2,
                    data="digits(limit=24)", budget=budget_of("10 epochs"), channels=4, cells=1, threads=1)
search(settings, folder, save_every=2) if not (folder / "run.json").exists() else resume(folder, save_every=2)
"""


def started(folder: Path, strategy: str) -> BaseProcess:
    return begun(PROGRAM, folder, strategy, said=folder.parent / "said.txt")


def comparable(folder: Path) -> list[tuple[Any, ...]]:
    return [
        (t.number, str(t.arch), t.proposal.fidelity, t.scores, t.measurement.error) for t in read_run(folder).trials
    ]


def has_second_rung(folder: Path) -> bool:
    with suppress(FileNotFoundError):  # folders of rungs come and go
        return any("rung-000002" in str(path) for path in folder.rglob("*.safetensors"))
    return False


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is of Unix")
@pytest.mark.parametrize(
    "strategy",
    [
        "bohb(eta=2, lowest=1, start=3)",
        *(pytest.param(f"{name}(eta=2, lowest=1)", marks=pytest.mark.slow) for name in ("hyperband", "asha")),
    ],
)
def test_brackets_survive_a_kill_in_a_rung_that_goes_on_from_another(
    strategy: str, tmp_path: Path, patience_s: float
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert ended(started(whole, strategy), patience_s) == 0
    process = started(killed, strategy)
    deadline = time.monotonic() + patience_s
    # The second rung has a checkpoint of its own as soon as its first epoch is over.
    while not has_second_rung(killed):
        assert process.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    assert ended(process, patience_s) == -signal.SIGKILL
    assert ended(started(killed, strategy), patience_s) == 0
    assert comparable(killed) == comparable(whole)
    assert {fidelity for *_, fidelity, _, _ in comparable(whole)} >= {1, 2}
    assert not unfinished(killed).is_dir() or not any(unfinished(killed).iterdir())
