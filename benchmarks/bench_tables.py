"""Tables: opening, memory and look-ups, on a table of the shape of NAS-Bench-201 with made-up numbers.

``make bench ARGS="-k tables"`` prints the times; the lines with a ratio name the baseline, measured in the same run.
"""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ogive.core.trial import Measurement, Proposal
from ogive.evaluators.tabular import Tabular
from ogive.spaces.nasbench101 import distinct_cells, module_hashes, nasbench101
from ogive.spaces.nasbench201 import nasbench201
from ogive.tables.importers import import_table
from ogive.tables.keys import MixedRadix, SortedDigests
from ogive.tables.store import Column, Table, write_table
from ogive.tables.world import ClosedWorld

Show = Callable[[str], None]

NATS_BENCH = "NATS-tss-v1_0-3ffb9-simple"

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


def seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def test_tables_open_and_read_one_value(benchmark: Any, table: Table, tmp_path: Path, show: Show) -> None:
    """Against a file of the same numbers that is read whole, by pyarrow, and a dict made of the column asked for."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    choices = table.key.all_choices()
    columns = {name: table.column(name) for name in table.columns}
    keys = {f"edge{edge}": choices[:, edge] for edge in range(choices.shape[1])}
    parquet.write_table(arrow.table({**keys, **columns}), tmp_path / "table.parquet")
    arch = table.architecture(77)

    def whole() -> float:
        found = parquet.read_table(tmp_path / "table.parquet")
        rows = zip(*(found[key].to_pylist() for key in keys), strict=True)
        known = dict(zip(rows, found["c3"].to_pylist(), strict=True))
        return float(known[arch.choices])

    assert benchmark(lambda: Table.open(table.folder).value(arch, "c3")) == whole()
    theirs, ours = min(seconds(whole) for _ in range(5)), benchmark.stats.stats.min
    show(
        f"opening a table of {ROWS:,} x {COLUMNS} and one look-up: {1e3 * ours:.2f} ms; pyarrow and a dict: "
        f"{1e3 * theirs:.0f} ms (ratio {theirs / ours:.0f})"
    )


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc")
def test_tables_memory(table: Table, show: Show) -> None:
    command = [sys.executable, "-c", MEMORY, str(table.folder)]
    opened, read = map(float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    show(f"memory for an open table: {opened:.1f} MiB, {read:.1f} MiB after reading every column")


def test_tables_a_million_lookups(benchmark: Any, table: Table, show: Show) -> None:
    choices = np.random.default_rng(1).integers(0, 5, (LOOKUPS, 6))
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
    show(
        f"one look-up: {1e6 * ours:.2f} µs; a dict of architectures: {1e6 * with_dict:.2f} µs "
        f"({ours / with_dict:.2f} x of it)"
    )


def test_tables_evaluate_one_proposal(benchmark: Any, table: Table, show: Show) -> None:
    evaluator = Tabular(table, metric="c3", report="c4")
    proposals = [Proposal(table.architecture(12_345))]
    benchmark(lambda: evaluator.evaluate(proposals))
    pairs = zip(table.column("c3").tolist(), table.column("c4").tolist(), strict=True)
    known = dict(zip(nasbench201(), pairs, strict=True))
    repeats = 20_000

    def with_dict() -> None:
        for _ in range(repeats):
            searched, reported = known[proposals[0].arch]
            Measurement({"c3": searched, "test_c4": reported})

    ours, theirs = benchmark.stats.stats.median, min(seconds(with_dict) for _ in range(5)) / repeats
    show(
        f"tabular evaluation of one proposal: {1e6 * ours:.2f} µs; a dict and the record of the measurement: "
        f"{1e6 * theirs:.2f} µs ({ours / theirs:.2f} x of it)"
    )


# -- against the package of the benchmark's authors -------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Table]:
    """NATS-Bench's own package with three architectures in its own format, and the table that was imported of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package was written for older versions of NumPy
        nats_bench = pytest.importorskip("nats_bench", reason="pip install nats_bench to compare with it")
        folder = shared_data / "nats_sample" / NATS_BENCH
        api = nats_bench.create(str(folder), "tss", fast_mode=True, verbose=False)
        for index in (0, 11, 284):
            # Its look-up of a loaded architecture is timed, not the loading.
            api.get_more_info(index, "cifar10-valid", hp="200", is_random=False)
    return api, import_table(folder, tmp_path_factory.mktemp("tables") / "sample", name="sample")


def test_tables_open_against_the_package(benchmark: Any, table: Table, shared_data: Path, show: Show) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nats_bench = pytest.importorskip("nats_bench", reason="pip install nats_bench to compare with it")
        folder = shared_data / "nats_sample" / NATS_BENCH

        def package() -> None:
            api = nats_bench.create(str(folder), "tss", fast_mode=True, verbose=False)
            for index in (0, 11, 284):
                api.get_more_info(index, "cifar10-valid", hp="200", is_random=False)

        theirs = min(seconds(package) for _ in range(5))
    arch = table.architecture(77)
    benchmark(lambda: Table.open(table.folder).value(arch, "c3"))
    ours = benchmark.stats.stats.median
    show(
        f"opening all {ROWS:,} architectures: {1e3 * ours:.2f} ms (wanted: at most 20 ms); "
        f"nats_bench with three: {1e3 * theirs:.1f} ms"
    )


def test_tables_single_lookup_against_the_package(benchmark: Any, sample: tuple[Any, Table], show: Show) -> None:
    api, imported = sample
    arch = imported.architecture(imported.column("index").tolist().index(11))
    theirs_answer = api.get_more_info(11, "cifar10-valid", hp="200", is_random=False)["valid-accuracy"]
    assert benchmark(lambda: imported.value(arch, "c10v_val_200")) == pytest.approx(theirs_answer, rel=1e-12)
    repeats = 200
    theirs = (
        seconds(lambda: [api.get_more_info(11, "cifar10-valid", hp="200", is_random=False) for _ in range(repeats)])
        / repeats
    )
    ours = benchmark.stats.stats.median
    show(
        f"one look-up of one number: {1e6 * ours:.2f} µs; nats_bench: {1e6 * theirs:.0f} µs "
        f"(ratio {theirs / ours:.0f}, wanted: at least 50)"
    )


def test_tables_full_single_lookup_against_the_package(
    benchmark: Any, table: Table, sample: tuple[Any, Table], show: Show
) -> None:
    """The same look-up in a table of all cells, whose rows are found by arithmetic."""
    api, imported = sample
    arch = imported.architecture(0)
    benchmark(lambda: table.value(arch, "c3"))
    repeats = 200
    text = nasbench201().format(arch)
    theirs = (
        seconds(lambda: [api.get_more_info(text, "cifar10-valid", hp="200", is_random=False) for _ in range(repeats)])
        / repeats
    )
    ours = benchmark.stats.stats.median
    show(
        f"one look-up in the full table: {1e6 * ours:.2f} µs; nats_bench: {1e6 * theirs:.0f} µs "
        f"(ratio {theirs / ours:.0f}, wanted: at least 50)"
    )


def test_tables_batch_lookup_against_the_package(
    benchmark: Any, table: Table, sample: tuple[Any, Table], show: Show
) -> None:
    api, imported = sample
    rows = np.random.default_rng(2).integers(0, imported.rows, 100_000)
    choices = imported.key.all_choices()[rows].astype(np.int64)
    indices = imported.column("index")[rows].tolist()
    repeats = 500
    theirs = (
        seconds(
            lambda: [
                api.get_more_info(index, "cifar10-valid", hp="200", is_random=False) for index in indices[:repeats]
            ]
        )
        / repeats
    )
    values = table.column("c3")
    benchmark(lambda: values[table.rows_of(choices)])
    ours = benchmark.stats.stats.median / len(rows)
    show(
        f"one of {len(rows):,} look-ups at once, of the same architectures: {1e9 * ours:.0f} ns; "
        f"nats_bench: {1e6 * theirs:.0f} µs (ratio {theirs / ours:,.0f}, wanted: at least 1,000)"
    )


# -- tables of some architectures --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """As many cells of NAS-Bench-101 as the published sample has."""
    rng = np.random.default_rng(0)
    every = distinct_cells()
    chosen = every[rng.choice(len(every), 30_001, replace=False)]
    digests = [bytes.fromhex(text.decode()) for text in module_hashes(chosen).tolist()]
    key, _ = SortedDigests.of("nasbench101", chosen, by="module hash", digests=digests)
    columns = {"val": (Column("%", "made up", "float32"), rng.uniform(0, 100, key.rows).astype(np.float32))}
    about = {"name": "cells", "space": "nasbench101", "source": "", "licence": "", "importer": ""}
    return write_table(tmp_path_factory.mktemp("tables") / "cells", columns, key=key, complete=False, **about)


def test_tables_of_cells_open_and_read_one_value(benchmark: Any, cells: Table, show: Show) -> None:
    arch = cells.architecture(77)
    benchmark(lambda: Table.open(cells.folder).value(arch, "val"))
    show(f"opening a table of {cells.rows:,} cells and one look-up: {1e3 * benchmark.stats.stats.median:.2f} ms")


def test_tables_of_cells_single_lookup(benchmark: Any, cells: Table, show: Show) -> None:
    arch = cells.architecture(77)
    benchmark(lambda: cells.value(arch, "val"))
    show(f"one look-up by module hash: {1e6 * benchmark.stats.stats.median:.1f} µs, most of it the hash")


def test_tables_closed_world_mutation(benchmark: Any, cells: Table, show: Show) -> None:
    world = ClosedWorld.of(nasbench101(), cells)
    rng = np.random.default_rng(0)
    arch = cells.architecture(77)
    benchmark(lambda: world.mutate(arch, rng))
    show(f"the nearest unvisited of {cells.rows:,} cells: {1e3 * benchmark.stats.stats.median:.2f} ms")
