"""A search of rungs that is killed with SIGKILL goes on in the middle of a rung, and from the rungs it has reached."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from warm import begun, ended

from ogive.runs import read_run

# Each architecture is trained for one epoch, for three, and for all five.
PROGRAM = """
import sys
import ogive
from ogive.core.rng import Seed
from ogive.core.trial import Proposal

class Rungs:
    def __init__(self):
        self.left, self.rng = [], Seed(3).numpy("rungs")
    def ask(self, n=1):
        if not self.left:
            arch = ogive.space("nasbench201").sample(self.rng)
            self.left = [Proposal(arch, rung) for rung in (1, 3, None)]
        return [self.left.pop(0)]
    def tell(self, trials):
        pass

size = {"channels": 4, "cells": 1, "threads": 1}
ogive.search(space="nasbench201", strategy=Rungs(), evaluator="trained(epochs=5, batch_size=8)",
             data="digits(limit=120)", budget="10 epochs", out=sys.argv[1], resume=True, **size)
"""


def started(folder: Path) -> BaseProcess:
    return begun(PROGRAM, folder, said=folder.parent / "said.txt")


def comparable(folder: Path) -> list[tuple[Any, ...]]:
    trials = read_run(folder).trials
    return [(t.number, str(t.arch), t.proposal.fidelity, t.scores, t.measurement.error) for t in trials]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, patience_s: float) -> list[tuple[Any, ...]]:
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert ended(started(folder), patience_s) == 0
    return comparable(folder)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is of Unix")
@pytest.mark.parametrize("moment", ["rung-000003/repeat-0/epoch-000002", "repeat-0/epoch-000004"])
def test_a_search_of_rungs_survives_a_kill(
    whole: list[tuple[Any, ...]], tmp_path: Path, patience_s: float, moment: str
) -> None:
    run = tmp_path / "run"
    process = started(run)
    wait_for(lambda: any(moment in str(path) for path in run.rglob("*.safetensors")), process, patience_s)
    process.kill()
    assert ended(process, patience_s) == -signal.SIGKILL
    assert ended(started(run), patience_s) == 0
    assert comparable(run) == whole
    assert len(whole) == 6


def wait_for(ready: Callable[[], bool], process: BaseProcess, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while not ready():
        assert process.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.001)
