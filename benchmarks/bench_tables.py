"""Tables: opening, memory and look-ups, on a table of the shape of NAS-Bench-201 with made-up numbers.

``make bench ARGS="-k tables"`` prints the times; the lines with a ratio name the baseline, measured in the same run.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ogive.core.trial import Proposal
from ogive.evaluators.tabular import Tabular
from ogive.spaces.nasbench201 import nasbench201
from ogive.tables.keys import MixedRadix
from ogive.tables.store import Column, Table, write_table

Show = Callable[[str], None]

ROWS, COLUMNS, LOOKUPS = 5**6, 23, 1_000_000

MEMORY = """
import sys
from ogive.core.architecture import Architecture
from ogive.tables.store import Table

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1024

before = resident()
table = Table.open(sys.argv[1])
one = table.value(table.architecture(0), "c0")
opened = resident()
total = sum(float(table.column(name).sum()) for name in table.columns)
print(opened - before, resident() - before)
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    rng = np.random.default_rng(0)
    columns = {
        f"c{number}": (Column("%", "made up", "float32"), rng.uniform(0, 100, ROWS).astype(np.float32))
        for number in range(COLUMNS)
    }
    about = {"name": "made-up", "space": "nasbench201", "source": "", "licence": "", "importer": ""}
    return write_table(tmp_path_factory.mktemp("tables") / "made-up", columns, key=MixedRadix([5] * 6), **about)


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str]) -> Show:
    def line(text: str) -> None:
        with capsys.disabled():
            print(f"\n  {text}", flush=True)

    return line


def seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def test_tables_open_and_read_one_value(benchmark: Any, table: Table, show: Show) -> None:
    arch = table.architecture(77)
    benchmark(lambda: Table.open(table.folder).value(arch, "c3"))
    show(f"opening a table of {ROWS:,} x {COLUMNS} and one look-up: {1e3 * benchmark.stats.stats.median:.2f} ms")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc")
def test_tables_memory(table: Table, show: Show) -> None:
    command = [sys.executable, "-c", MEMORY, str(table.folder)]
    opened, read = map(float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    show(f"memory for an open table: {opened:.1f} MiB, {read:.1f} MiB after reading every column")


def test_tables_a_million_lookups(benchmark: Any, table: Table, show: Show) -> None:
    choices = nasbench201().sample_choices(np.random.default_rng(1), LOOKUPS)
    values = table.column("c3")
    known = {arch.choices: float(value) for arch, value in zip(nasbench201(), values, strict=True)}
    keys = [tuple(row) for row in choices.tolist()]
    found = benchmark(lambda: values[table.rows_of(choices)])
    assert [known[key] for key in keys[:1000]] == found[:1000].tolist()
    slow, ours = seconds(lambda: [known[key] for key in keys]), benchmark.stats.stats.median
    show(f"{LOOKUPS:,} look-ups in arrays: {ours:.3f} s; a dict of tuples: {slow:.3f} s (ratio {slow / ours:.1f})")


def test_tables_single_lookup(benchmark: Any, table: Table, show: Show) -> None:
    arch = table.architecture(12_345)
    known = {arch: float(value) for arch, value in zip(nasbench201(), table.column("c3"), strict=True)}
    assert benchmark(lambda: table.value(arch, "c3")) == known[arch]
    ours = benchmark.stats.stats.median
    with_dict = seconds(lambda: [known[arch] for _ in range(100_000)]) / 100_000
    show(f"one look-up: {1e6 * ours:.2f} µs; a dict of architectures: {1e6 * with_dict:.2f} µs")


def test_tables_evaluate_one_proposal(benchmark: Any, table: Table, show: Show) -> None:
    evaluator = Tabular(table, metric="c3", report="c4")
    proposals = [Proposal(table.architecture(12_345))]
    benchmark(lambda: evaluator.evaluate(proposals))
    show(f"tabular evaluation of one proposal: {1e6 * benchmark.stats.stats.median:.2f} µs")
