from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from ogive.core.errors import InvalidArchitecture, MissingData, SpecError
from ogive.spaces import nasbench201
from ogive.tables.importers import import_table, suggested_name

Columns = dict[str, Any]


@pytest.fixture(scope="module")
def published() -> Columns:
    """A file of the published form with made-up accuracies, its rows in the official order."""
    cells = np.argsort(nasbench201.official_indices())
    choices = nasbench201.choices_of(cells)
    return {
        "index": np.arange(15_625, dtype=np.int32),
        "arch_str": [nasbench201.write(nasbench201._architecture(cell)) for cell in cells.tolist()],
        "ops": ["".join(map(str, row)) for row in choices.tolist()],
        "c10v_val_200": (cells / 200).astype(np.float32),
        "c10_test_200": (cells / 160).astype(np.float32),
        "params_M_c10": (np.float32(1e-6) * (70_000 + cells)).astype(np.float32),
    }


def written(folder: Path, columns: Columns) -> Path:
    path = folder / "file.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def test_rows_are_put_in_the_order_of_the_space(published: Columns, tmp_path: Path) -> None:
    table = import_table(written(tmp_path, published), tmp_path / "table", name="mine")
    assert (table.name, table.space, table.rows) == ("mine", "nasbench201", 15_625)
    assert set(table.columns) == {"index", "c10v_val_200", "c10_test_200", "params"}
    every = np.arange(15_625)
    np.testing.assert_array_equal(table.column("c10v_val_200"), (every / 200).astype(np.float32))
    np.testing.assert_array_equal(table.column("index"), nasbench201.official_indices())
    arch = nasbench201.read("|none~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|")
    assert table.value(arch, "c10v_val_200") == np.float32(5 / 200)


def test_millions_of_parameters_become_a_count(published: Columns, tmp_path: Path) -> None:
    table = import_table(written(tmp_path, published), tmp_path / "table", name="mine")
    np.testing.assert_array_equal(table.column("params"), 70_000 + np.arange(15_625))
    assert table.columns["params"].unit == "parameters"


def test_what_was_measured_on_a_test_set_is_marked(published: Columns, tmp_path: Path) -> None:
    table = import_table(written(tmp_path, published), tmp_path / "table", name="mine")
    assert [name for name, column in table.columns.items() if column.test] == ["c10_test_200"]


@pytest.mark.parametrize("kept", [["ops"], ["arch_str"]])
def test_one_way_of_naming_the_cells_is_enough(published: Columns, tmp_path: Path, kept: list[str]) -> None:
    columns = {name: published[name] for name in (*kept, "c10v_val_200")}
    reference = import_table(written(tmp_path, published), tmp_path / "whole", name="whole")
    table = import_table(written(tmp_path, columns), tmp_path / "part", name="part")
    np.testing.assert_array_equal(table.column("c10v_val_200"), reference.column("c10v_val_200"))


def test_the_order_of_the_rows_does_not_matter(published: Columns, tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(15_625)
    shuffled = {name: np.asarray(values)[order] for name, values in published.items()}
    first = import_table(written(tmp_path, published), tmp_path / "first", name="first")
    second = import_table(written(tmp_path, shuffled), tmp_path / "second", name="second")
    assert first.digest == second.digest


def test_missing_numbers_become_nan(published: Columns, tmp_path: Path) -> None:
    values = published["c10v_val_200"].tolist()
    values[0] = None
    table = import_table(written(tmp_path, published | {"c10v_val_200": values}), tmp_path / "table", name="mine")
    first = nasbench201.read(published["arch_str"][0])
    assert np.isnan(table.value(first, "c10v_val_200"))
    assert np.isnan(table.column("c10v_val_200")).sum() == 1


def test_an_unknown_column_is_left_out_and_named(
    published: Columns, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        table = import_table(written(tmp_path, published | {"colour": published["ops"]}), tmp_path / "t", name="mine")
    assert "colour" not in table.columns
    assert "colour" in caplog.text


def damaged(published: Columns, name: str, row: int, value: object) -> Columns:
    values = list(published[name])
    values[row] = value
    return published | {name: values}


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("ops", "000000", "In row 7 of .* the columns ops and arch_str name different cells"),
        ("ops", "00000", "does not name its cells"),
        ("ops", "00000x", r"does not name its cells .* six digits 0\.\.4, but one row has '00000x'"),
        ("ops", None, "does not name its cells"),
        ("arch_str", "8:8:8:8:8", "does not name its cells"),
        ("index", 0, "the columns ops and index name different cells"),
        ("index", 20_000, r"integers in 0\.\.15624"),
        ("index", None, r"integers in 0\.\.15624"),
        ("c10v_val_200", 100.5, "c10v_val_200 of .* cannot be right: accuracies are per cent"),
        ("c10v_val_200", -1.0, "cannot be right"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(
    published: Columns, tmp_path: Path, name: str, value: object, complaint: str
) -> None:
    path = written(tmp_path, damaged(published, name, 7, value))
    with pytest.raises(SpecError, match=complaint):
        import_table(path, tmp_path / "table", name="mine")
    assert not (tmp_path / "table").exists()


def test_numbers_written_as_text_are_refused(published: Columns, tmp_path: Path) -> None:
    path = written(tmp_path, published | {"c10v_val_200": published["ops"]})
    with pytest.raises(SpecError, match=r"c10v_val_200 of .* must hold numbers"):
        import_table(path, tmp_path / "table", name="mine")


def test_a_file_that_names_a_cell_twice_is_refused(published: Columns, tmp_path: Path) -> None:
    twice = damaged({name: published[name] for name in ("ops", "c10v_val_200")}, "ops", 7, published["ops"][8])
    with pytest.raises(SpecError, match="has 15,625 rows for 15,624 cells"):
        import_table(written(tmp_path, twice), tmp_path / "table", name="mine")


def test_a_file_of_some_cells_becomes_a_closed_world(published: Columns, tmp_path: Path) -> None:
    part = {name: values[:1000] for name, values in published.items()}
    table = import_table(written(tmp_path, part), tmp_path / "table", name="mine")
    assert (table.rows, table.complete, table.metric, table.report) == (1000, False, "c10v_val_200", "c10_test_200")
    for text, value in zip(part["arch_str"], part["c10v_val_200"].tolist(), strict=True):
        assert table.value(nasbench201.read(text), "c10v_val_200") == value
    with pytest.raises(InvalidArchitecture, match="none of the 1,000 architectures"):
        table.row(nasbench201.read(published["arch_str"][1000]))


def test_several_files_become_one_table_of_the_cells_of_the_first(published: Columns, tmp_path: Path) -> None:
    seconds = np.arange(15_625) + 0.5
    times = {"index": published["index"][:500], "c100_train_time_s_200": seconds[:500]}
    accuracies = {"index": published["index"], "c100_val_200": published["c10v_val_200"]}
    paths = []
    for name, columns in {"times": times, "accuracies": accuracies}.items():
        (tmp_path / name).mkdir()
        paths.append(written(tmp_path / name, columns))
    few = import_table(paths, tmp_path / "few", name="few")
    assert (few.rows, few.complete, few.clock_of("c100_val_200")) == (500, False, "c100_train_seconds_200")
    rows = np.argsort(few.column("index"))
    np.testing.assert_array_equal(few.column("c100_train_seconds_200")[rows], seconds[:500])
    np.testing.assert_array_equal(few.column("c100_val_200")[rows], published["c10v_val_200"][:500])
    # A clock that is unknown for most rows would make them look free, so it is none.
    many = import_table(paths[::-1], tmp_path / "many", name="many")
    assert (many.rows, many.complete, many.clock_of("c100_val_200")) == (15_625, True, None)
    assert np.isnan(many.column("c100_train_seconds_200")).sum() == 15_125


def test_a_table_that_is_there_already_is_joined_by_its_name(
    published: Columns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OGIVE_HOME", str(tmp_path / "home"))
    tables = tmp_path / "home" / "tables"
    table = import_table(written(tmp_path, published), tables / "cells", name="cells")
    latency = np.arange(15_625, dtype=np.float32)[:500] + 1
    devices = written(tmp_path, {"index": published["index"][:500], "hwnas_c10_fpga_latency": latency})
    both = import_table(["cells", devices], tables / "both", name="both")
    assert (both.rows, both.complete, both.metric, both.report) == (15_625, True, "c10v_val_200", "c10_test_200")
    for column in table.columns:
        np.testing.assert_array_equal(both.column(column), table.column(column))
        assert both.about(column) == table.about(column)
    rows = np.argsort(both.column("index"))
    np.testing.assert_array_equal(both.column("c10_fpga_latency")[rows[:500]], latency)
    assert np.isnan(both.column("c10_fpga_latency")[rows[500:]]).all()
    assert both.source.endswith("read from cells, file.parquet")
    few = import_table([devices, tables / "cells"], tables / "few", name="few")
    assert (few.rows, few.metric) == (500, "c10v_val_200")
    for row in (0, 250, 499):
        assert few.value(few.architecture(row), "params") == table.value(few.architecture(row), "params")
    with pytest.raises(SpecError, match="cells and cells have the column"):
        import_table(["cells", "cells"], tables / "twice", name="twice")
    with pytest.raises(SpecError, match=r"cells is a table already: say what becomes part of it"):
        import_table("cells", tables / "again", name="again")
    with pytest.raises(SpecError, match=r"new table needs a name of its own: --as NAME"):
        suggested_name("cells")


def test_two_files_with_the_same_column_are_refused(published: Columns, tmp_path: Path) -> None:
    path = written(tmp_path, published)
    with pytest.raises(SpecError, match=r"have the column .*c10_test_200|have the column"):
        import_table([path, path], tmp_path / "table", name="mine")


def test_what_cannot_run_on_a_device_is_missing_there(published: Columns, tmp_path: Path) -> None:
    latency = np.full(15_625, 2.5, np.float32)
    latency[7] = -1
    columns = {"index": published["index"], "hwnas_c10_edgetpu_latency": latency}
    table = import_table(written(tmp_path, columns), tmp_path / "table", name="mine")
    cell = nasbench201.read(published["arch_str"][7])
    assert np.isnan(table.value(cell, "c10_edgetpu_latency"))
    assert np.nansum(table.column("c10_edgetpu_latency")) == 2.5 * 15_624


def test_a_file_of_another_benchmark_is_refused(published: Columns, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"none of the benchmark files that ogive reads.*The columns here are hash"):
        import_table(written(tmp_path, {"hash": ["a"], "val": [1.0]}), tmp_path / "table", name="mine")
    with pytest.raises(SpecError, match=r"--arch-column COLUMN.*The columns here are ops\."):
        import_table(written(tmp_path, {"ops": published["ops"]}), tmp_path / "table", name="mine")


def test_one_benchmark_at_a_time_becomes_a_table(published: Columns, tmp_path: Path) -> None:
    path = written(tmp_path, published)
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(SpecError, match="only if all of them are about cells of NAS-Bench-201"):
        import_table([path, other], tmp_path / "table", name="mine")
    with pytest.raises(SpecError, match="at least one file"):
        import_table([], tmp_path / "table", name="mine")


def test_a_file_that_is_no_parquet_file_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "file.parquet"
    with pytest.raises(SpecError, match="There is no file"):
        import_table(path, tmp_path / "table", name="mine")
    path.write_bytes(b"PAR1 and then nothing of the kind")
    with pytest.raises(SpecError, match="as a parquet file") as refusal:
        import_table(path, tmp_path / "table", name="mine")
    assert "\n" not in str(refusal.value)


def test_a_truncated_file_is_refused(published: Columns, tmp_path: Path) -> None:
    path = written(tmp_path, published)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SpecError, match="as a parquet file"):
        import_table(path, tmp_path / "table", name="mine")


def test_without_pyarrow_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingData, match=r"pip install 'ogive\[parquet\]'"):
        import_table(tmp_path / "file.parquet", tmp_path / "table", name="mine")
