"""Resuming a long run, and comparing into a folder: seconds and memory against those of the search itself.

``make bench ARGS="-k resume"`` prints the figures. Seconds are those of the processor, since a disk and other programs
make those on the wall differ; runs lie where temporary files do. ``OGIVE_BENCH_TRIALS=152490`` makes a longer run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ogive.tables.keys import MixedRadix
from ogive.tables.store import Column, write_table

Show = Callable[[str], None]

TRIALS = int(os.environ.get("OGIVE_BENCH_TRIALS", "100000"))
MORE = 490  # trials of the resume
PER_100_000_S, MEMORY, COMPARED = 3.0, 1.5, 2.0  # targets


@dataclass(frozen=True)
class Used:
    """What a process used: seconds of the processor and on the wall, and its largest resident memory in MB."""

    processor_s: float
    wall_s: float
    memory_mb: float


def used(*arguments: object) -> Used:
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", "from ogive.cli import main; main()", *map(str, arguments)], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return Used(usage.ru_utime + usage.ru_stime, time.perf_counter() - started, usage.ru_maxrss / 1024)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of the shape of NAS-Bench-201, with made-up numbers."""
    values = np.random.default_rng(0).uniform(0, 95, 5**6).astype(np.float32)
    about = {"name": "made-up", "space": "nasbench201", "source": "", "licence": "", "importer": ""}
    folder = tmp_path_factory.mktemp("tables") / "made-up"
    write_table(
        folder, {"acc": (Column("%", "made up", "float32"), values)}, key=MixedRadix([5] * 6), **about, metric="acc"
    )
    return folder


@pytest.mark.parametrize("strategy", ["evolution", "local_search"])
def test_resume_of_a_long_run(strategy: str, table: Path, tmp_path: Path, show: Show) -> None:
    """Against a run of nothing: what a process of ogive takes anyway."""
    count = TRIALS if strategy == "evolution" else 5**6 - MORE
    settings = ("--space", "nasbench201", "--table", table, "--strategy", strategy)
    short = used("search", *settings, "--budget", 60, "--out", tmp_path / "short")
    whole = used("search", *settings, "--budget", count, "--out", tmp_path / "run")
    again = used("resume", tmp_path / "run", "--budget", count + MORE)
    each_s = (again.processor_s - short.processor_s) / count * 100_000
    show(
        f"{strategy}, {count:,} trials: the search {whole.processor_s:.1f} s and {whole.memory_mb:.0f} MB; one of 60 "
        f"{short.processor_s:.1f} s and {short.memory_mb:.0f} MB; a resume with {MORE} more {again.processor_s:.1f} s "
        f"({again.wall_s:.1f} s on the wall), {each_s:.1f} s for 100,000 of them (target {PER_100_000_S:.0f}), and "
        f"{again.memory_mb:.0f} MB, {again.memory_mb / short.memory_mb:.2f} x of 60 trials, "
        f"{again.memory_mb / whole.memory_mb:.2f} x of the search (target {MEMORY})"
    )
    assert again.memory_mb <= MEMORY * whole.memory_mb


def test_resume_compare_into_a_folder(table: Path, tmp_path: Path, show: Show) -> None:
    """Eighty searches of 150 trials that are kept, against the same that are not."""
    settings = ("compare", "random", "evolution", "local_search", "nsga2", "--space", "nasbench201", "--table", table)
    options = ("--objective", "maximize(val_acc)", "--seeds", 20, "--budget", 150)
    plain, kept = used(*settings, *options), used(*settings, *options, "--out", tmp_path / "out")
    show(
        f"80 searches compared: {plain.wall_s:.1f} s, {plain.processor_s:.1f} s of the processor; kept in a "
        f"folder, with the page, {kept.wall_s:.1f} s and {kept.processor_s:.1f} s, "
        f"{kept.wall_s / plain.wall_s:.1f} x on the wall and {kept.processor_s / plain.processor_s:.1f} x of the "
        f"processor (target {COMPARED:.0f})"
    )
