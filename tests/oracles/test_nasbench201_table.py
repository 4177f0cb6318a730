"""The imported NAS-Bench-201 table holds what was published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from ogive.spaces import nasbench201
from ogive.tables.importers import NASBENCH201, import_table
from ogive.tables.store import Table


@pytest.fixture(scope="module")
def table(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Table:
    folder = tmp_path_factory.mktemp("tables") / "nasbench201"
    return import_table(shared_data / "nb201.parquet", folder, name="nasbench201")


# Best of each column and the official indices of all cells that reach it, read from the published data (NATS-Bench,
# topology space, means over seeds). The best CIFAR-10 test accuracy is reached by two cells.
@pytest.mark.parametrize(
    ("column", "best", "official"),
    [
        ("c10_test_200", 94.3733, {6111, 13714}),
        ("c100_test_200_nats", 73.5133, {9930}),
        ("in16_test_200_nats", 47.3111, {857}),
        ("c10v_val_200", 91.6067, {6111}),
        ("c100_val_200", 73.4933, {9930}),
        ("in16_val_200", 46.7333, {10676}),
    ],
)
def test_the_best_accuracies_are_the_published_ones(table: Table, column: str, best: float, official: set[int]) -> None:
    arch, value = table.best(column)
    assert value == pytest.approx(best, abs=5e-5)
    reached = np.flatnonzero(table.column(column) == np.float32(value))
    assert set(table.column("index")[reached].tolist()) == official
    assert int(table.value(arch, "index")) in official


def test_parameters_range_from_73306_to_1531546(table: Table) -> None:
    params = table.column("params")
    assert (params.min(), params.max()) == (73_306, 1_531_546)


def test_naslib_counts_222_86_million_flops_for_3x3_convolutions_everywhere(table: Table) -> None:
    arch, flops = table.best("flops")
    assert nasbench201.write(arch).count("nor_conv_3x3") == 6
    assert flops == pytest.approx(222.86e6, abs=5e3)


def test_every_published_number_is_in_the_row_of_its_cell(table: Table, shared_data: Path) -> None:
    published = pyarrow.parquet.read_table(shared_data / "nb201.parquet")
    rows = table.rows_of([[int(digit) for digit in ops] for ops in published["ops"].to_pylist()])
    known = {entry.source: name for name, entry in NASBENCH201.items()}
    columns = set(published.column_names) - {"index", "arch_str", "ops"}
    assert columns == set(known)
    for column in columns:
        scale = {"params_M_c10": 1e-6, "flops_M_c10": 1e-6}.get(column, 1.0)
        found = table.column(known[column])[rows] * scale
        np.testing.assert_allclose(found, published[column].to_numpy(), rtol=1e-7)
    np.testing.assert_array_equal(table.column("index")[rows], published["index"].to_numpy())


def test_the_digest_of_the_import_is_right(table: Table) -> None:
    table.verify()
