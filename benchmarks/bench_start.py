"""How long a command takes to start: help, ``ogive list`` and a tabular search, which must not import torch.

The baselines are a Python that starts and imports numpy, and one that imports torch. All take turns, so that a busy
moment hits all, and the seconds are the processor's, of the command and what it started.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from ogive.tables.importers import import_table

REPEATS = 7


def processor_seconds(command: list[str], home: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OGIVE_HOME": str(home)})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_start_of_the_commands(shared_data: Path, tmp_path: Path, show: Callable[[str], None]) -> None:
    import_table(shared_data / "nb201.parquet", tmp_path / "tables" / "nasbench201", name="nasbench201")
    ogive = str(Path(sys.executable).with_name("ogive"))
    search = [ogive, "search", "--space", "nasbench201", "--table", "nasbench201", "--budget", "1", "--out"]
    numpy, torch = ("import numpy", "import torch")
    commands = {
        numpy: [sys.executable, "-c", numpy],
        torch: [sys.executable, "-c", torch],
        "ogive --help": [ogive, "--help"],
        "ogive list": [ogive, "list"],
        "ogive search, one table look-up": search,
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(REPEATS + 1):
        for name, command in commands.items():
            own = [*command, str(tmp_path / f"run-{turn}")] if command is search else command
            times[name].append(processor_seconds(own, tmp_path))
    found = {name: statistics.median(seconds[1:]) for name, seconds in times.items()}
    for name in (numpy, torch):
        show(f"start: {name} {found[name]:.3f} s")
    for name in list(commands)[2:]:
        show(
            f"start: {name} {found[name]:.3f} s, {found[name] / found[numpy]:.1f} x {numpy}, "
            f"{found[name] / found[torch]:.2f} x {torch}"
        )
