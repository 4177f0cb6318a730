"""A search in two processes, one of which is killed with SIGKILL within an epoch, goes on as the same search."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from safetensors.torch import load_file
from warm import ranks

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


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, patience_s: float) -> Path:
    """The folder of the search that nobody kills."""
    place = tmp_path_factory.mktemp("whole")
    statuses = ranks(PROGRAM, place / "run", 0, 0, said=place / "said.txt", patience_s=patience_s)
    assert statuses == [0, 0], (place / "said.txt").read_text()
    return place / "run"


# The victim that writes the checkpoints is the one that can lose them.
@pytest.mark.parametrize("victim", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_process_that_is_killed_within_an_epoch_costs_that_epoch_alone(
    whole: Path, tmp_path: Path, victim: int, patience_s: float
) -> None:
    folder, said = tmp_path / "killed", tmp_path / "said.txt"
    # Three steps an epoch, five passes each: the second step of the second epoch.
    killed = ranks(PROGRAM, folder, victim, 22, said=said, patience_s=patience_s)
    assert killed[victim] == -signal.SIGKILL
    assert killed[1 - victim] != 0
    assert 1 <= len(read_run(folder).trials) < 3
    assert ranks(PROGRAM, folder, 0, 0, said=said, patience_s=patience_s) == [0, 0], said.read_text()
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
