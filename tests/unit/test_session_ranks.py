"""Two processes that torchrun started run one search: one run folder, as of one process, that either can go on with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ogive.cli.application import application
from ogive.core.errors import SpecError
from ogive.core.trial import Budget
from ogive.runs import read_run
from ogive.session import Settings, search

PROGRAM = """
import sys
from pathlib import Path

import torch

from ogive.core.trial import Budget
from ogive.session import Settings, resume, search
from ogive.training.distributed import group

torch.set_num_threads(1)
folder = Path(sys.argv[1])
settings = Settings(
    space="nasbench201", data="digits(limit=64)", channels=4, cells=1, budget=Budget(trials=2),
    strategy="darts(epochs=3, batch_size=16)",
    evaluator="together(trained(epochs=1, batch_size=16), latency(min_runs=3, min_seconds=0.01, max_seconds=0.01))",
)
with group() as ranks:
    # Each process has a name of its own in mind for the folder: that of the first one counts.
    first = search(settings, folder / f"run-{ranks.rank}")
    second = resume(first.folder, budget=Budget(trials=3))
    (folder / f"seen-{ranks.rank}").write_text(
        repr([(str(t.arch), sorted(t.metrics.items()), t.scores) for t in second.trials]) + repr(first.folder.name)
    )
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    program = folder / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(program)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command.append(str(folder))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_two_processes_store_one_run_and_both_read_the_same_one(place: Path) -> None:
    assert sorted(path.name for path in place.iterdir() if path.is_dir()) == ["run-0"]
    run = read_run(place / "run-0")
    assert [trial.number for trial in run.trials] == [0, 1, 2]
    assert all(trial.status == "ok" for trial in run.trials)
    assert (place / "seen-0").read_text() == (place / "seen-1").read_text()
    assert not (run.artifacts / "unfinished").exists() or not any((run.artifacts / "unfinished").iterdir())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"workers": 2}, "each has one worker"),
        ({"data": "text:folder", "space": "darts_rnn"}, "for language are not shared by processes"),
        ({"space": "autogan"}, "for generation are not shared by processes"),
        ({"budget": Budget(wall_s=5.0)}, "which no clock tells"),
    ],
)
def test_what_processes_cannot_share_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    plain: dict[str, object] = {"space": "nasbench201", "data": "digits"}
    with pytest.raises(SpecError, match=reason):
        search(Settings(**{**plain, **changes}), tmp_path / "run")  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_commands_of_one_process_refuse_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SpecError, match="ogive compare runs in one process, but torchrun started 2"):
        CliRunner().invoke(application("compare"), ["compare", "random"], catch_exceptions=False)
