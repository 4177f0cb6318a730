"""How long a command takes to start: ``ogive list`` and a tabular search, which must not import torch.

The baseline is a Python that starts and imports numpy, measured in the same run.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ogive.tables.importers import import_table

REPEATS = 7


def median_seconds(command: list[str], home: Path) -> float:
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OGIVE_HOME": str(home)})
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def test_start_of_the_commands(
    shared_data: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    import_table(shared_data / "nb201.parquet", tmp_path / "tables" / "nasbench201", name="nasbench201")
    ogive = str(Path(sys.executable).with_name("ogive"))
    search = ["search", "--space", "nasbench201", "--table", "nasbench201", "--budget", "1", "--out"]
    numpy_s = median_seconds([sys.executable, "-c", "import numpy"], tmp_path)
    list_s = median_seconds([ogive, "list"], tmp_path)
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        run = [ogive, *search, str(tmp_path_factory.mktemp("run") / "r")]
        subprocess.run(run, check=True, capture_output=True, env={**os.environ, "OGIVE_HOME": str(tmp_path)})
        times.append(time.perf_counter() - started)
    search_s = statistics.median(times)
    with capsys.disabled():
        print(f"\nstart: import numpy {numpy_s:.3f} s")
        print(f"start: ogive list {list_s:.3f} s, {list_s / numpy_s:.1f} x import numpy (target 0.4 s)")
        print(f"start: ogive search, one table look-up {search_s:.3f} s, {search_s / numpy_s:.1f} x (target 0.4 s)")
