from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from ogive.core.errors import SpecError
from ogive.tables import rows
from ogive.tables.rows import read_columns

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

MIB = 2**20


def written(path: Path, **columns: object) -> Path:
    parquet.write_table(pyarrow.table(columns), path)
    return path


def test_columns_of_parquet_are_numbers_and_texts(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", whole=[1, 2, 3], holes=[1, None, 3], text=["a", None, "a"], real=[0.5, 1, 2])
    found = read_columns(path)
    assert [str(values.dtype) for values in found.values()] == ["int64", "float64", "object", "float64"]
    assert found["whole"].tolist() == [1, 2, 3]
    assert np.array_equal(found["holes"], [1, np.nan, 3], equal_nan=True)
    assert found["text"].tolist() == ["a", None, "a"]


def test_lists_and_records_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path / "a.parquet", x=[1, 2], lists=[[1], [2, 3]], records=[{"a": 1}, {"a": 2}])
    assert list(read_columns(path)) == ["x"]
    assert "neither numbers nor texts: lists, records" in caplog.text


def test_a_text_that_stands_in_many_rows_is_in_memory_once(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", text=pyarrow.array(["a" * MIB] * 500).dictionary_encode())
    assert path.stat().st_size < 3 * MIB
    tracemalloc.start()
    texts = read_columns(path)["text"]
    assert tracemalloc.get_traced_memory()[1] < 20 * MIB
    tracemalloc.stop()
    assert set(texts.tolist()) == {"a" * MIB}


def test_more_values_than_are_read_are_refused_before_they_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.parquet", x=np.zeros(MIB, np.int64), y=np.zeros(MIB, np.int64))
    assert path.stat().st_size < 50_000
    monkeypatch.setattr(rows, "LARGEST", 16 * MIB)
    assert len(read_columns(path)["x"]) == MIB
    monkeypatch.setattr(rows, "LARGEST", 16 * MIB - 1)
    with pytest.raises(SpecError, match=r"announces 1,048,576 rows of 2 columns"):
        read_columns(path)


def test_one_long_cell_does_not_make_the_others_long(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y\n" + "a" * 100_000 + ",1\n" + "b,\n" * 20_000)
    tracemalloc.start()
    found = read_columns(path)
    assert tracemalloc.get_traced_memory()[1] < 30 * MIB
    tracemalloc.stop()
    assert found["y"][0] == 1
    assert np.isnan(found["y"][1:]).all()
