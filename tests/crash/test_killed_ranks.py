"""A search in two processes, one of which is killed with SIGKILL within an epoch, goes on as the same search."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from ogive.runs import read_run

PROGRAM = """
import os, signal, sys
from pathlib import Path

import torch

from ogive import session
from ogive.core.trial import Budget
from ogive.supernets.networks import Supernet
from ogive.training.distributed import group

torch.set_num_threads(1)
folder, victim, die_at = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
settings = session.Settings(
    space="nasbench201", data="digits(limit=96)", channels=2, cells=1, threads=1, budget=Budget(trials=3),
    strategy="darts(order=2, epochs=3, batch_size=16, alpha_learning_rate=0.1)", evaluator="training_free(params)",
    objectives=("maximize(params)",),
)
calls = []

def die(module, _):
    if isinstance(module, Supernet):
        calls.append(0)
        if len(calls) == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

with group() as ranks:
    if ranks.rank == victim:
        torch.nn.modules.module.register_module_forward_pre_hook(die)
    if (folder / "run.json").exists():
        session.resume(folder)
    else:
        session.search(settings, folder)
"""


def run(program: Path, folder: Path, victim: int = 0, die_at: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(program)]
    return subprocess.run(
        [*command, str(folder), str(victim), str(die_at)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the search that nobody kills."""
    place = tmp_path_factory.mktemp("whole")
    (place / "program.py").write_text(PROGRAM)
    done = run(place / "program.py", place / "run")
    assert done.returncode == 0, done.stderr
    return place / "run"


# The victim that writes the checkpoints is the one that can lose them.
@pytest.mark.parametrize("victim", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_process_that_is_killed_within_an_epoch_costs_that_epoch_alone(
    whole: Path, tmp_path: Path, victim: int
) -> None:
    program, folder = whole.parent / "program.py", tmp_path / "killed"
    # Three steps an epoch, five passes each: the second step of the second epoch.
    killed = run(program, folder, victim, die_at=22)
    assert killed.returncode != 0
    assert "-9" in killed.stderr
    assert 1 <= len(read_run(folder).trials) < 3
    again = run(program, folder)
    assert again.returncode == 0, again.stderr
    first, second = (
        [(trial.number, trial.arch, trial.scores) for trial in read_run(place).trials] for place in (whole, folder)
    )
    assert second == first
    assert len(first) == 3
    ours, theirs = (
        load_file(sorted(place.glob("artifacts/strategy-*/epoch-*.safetensors"))[-1]) for place in (whole, folder)
    )
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() for name in ours)
