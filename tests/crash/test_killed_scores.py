"""``ogive score`` killed or interrupted at any moment, and gone on with: the table ends up the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ogive.scoring import Row, Scoring, planned, read_scores, score
from ogive.spaces.nasbench201 import nasbench201

SPACE = nasbench201()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 4 x 4 noise, so that a network takes milliseconds."""
    path = tmp_path_factory.mktemp("images") / "noise.npz"
    rng = np.random.default_rng(0)
    np.savez(path, x=rng.integers(0, 256, (60, 3, 4, 4), np.uint8), y=np.arange(60) % 2)
    return path


COMMAND = "from ogive.cli import main; main()"
SIZE = ("--batch-size", "8", "--channels", "4", "--cells", "1")


def started(folder: Path, images: Path, *more: object) -> subprocess.Popen[str]:
    arguments = ["-c", COMMAND, "score", "--space", "nasbench201", "--sample", "60", "--out", str(folder / "t.csv")]
    return subprocess.Popen(
        [sys.executable, *arguments, *SIZE, "--data", f"arrays:{images}", *map(str, more)],
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for_rows(path: Path, count: int, process: subprocess.Popen[str]) -> None:
    while process.poll() is None and (not path.exists() or path.read_bytes().count(b"\n") <= count):
        time.sleep(0.005)


@pytest.mark.parametrize(("workers", "moments"), [(1, (0, 20)), (2, (20,))])
def test_killed_at_any_moment_the_table_ends_up_the_same(
    images: Path, tmp_path: Path, workers: int, moments: tuple[int, ...]
) -> None:
    path = tmp_path / "t.csv"
    for rows in moments:
        process = started(tmp_path, images, "--workers", workers)
        wait_for_rows(path, rows, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    settings = Scoring("nasbench201", f"arrays:{images}", batch_size=8, channels=4, cells=1)
    score(settings, planned(SPACE, 60, 0), path)
    score(settings, planned(SPACE, 60, 0), tmp_path / "whole.csv")
    killed, whole = (read_scores(tmp_path / name)[1] for name in ("t.csv", "whole.csv"))
    assert killed == whole  # but for the processor seconds, which no two runs share


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is another signal there")
@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_keeps_the_rows_and_says_how_to_go_on(images: Path, tmp_path: Path, patience_s: float) -> None:
    path = tmp_path / "t.csv"
    process = started(tmp_path, images, "--workers", 2)
    wait_for_rows(path, 3, process)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=patience_s)
    assert process.returncode == 130
    assert f"Interrupted. The rows in {path} are kept; the same command goes on." in said
    rows = read_scores(path)[1]
    assert 3 <= len(rows) < 60
    assert isinstance(rows[0], Row)
