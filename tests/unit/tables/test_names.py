from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ogive.core.errors import MissingData, UnknownName
from ogive.core.metric import names_of
from ogive.evaluators.tabular import Tabular
from ogive.tables.keys import MixedRadix
from ogive.tables.names import KINDS, missing, same
from ogive.tables.store import Column, Table, write_table


def table_of(folder: Path, *columns: str, space: str = "nasbench201", own: bool = False) -> Table:
    """A table of two rows whose columns hold the numbers of their places."""
    made = {
        name: (Column("", name, "float64", test="_test_" in name), np.full(2, float(place)))
        for place, name in enumerate(columns)
    }
    about = {"source": "NAS-Bench-201, read from elsewhere", "licence": "", "importer": "tests", "metric": columns[0]}
    key = MixedRadix([2])
    return write_table(folder, made, name="t", space=space, key=key, **about, **({"roles": {}} if own else {}))


def test_names_of_today_and_of_before_name_the_same_numbers(tmp_path: Path) -> None:
    old = table_of(tmp_path / "old", "c10v_val_200", "c10v_params", "c10v_flops", "c100_flops", "c100_test_200")
    new = table_of(tmp_path / "new", "c10v_val_200", "params", "macs", "c100_macs", "c100_test_200_nats")
    for names in (list(old.columns), list(new.columns)):
        assert [old.column(name)[0] for name in names] == [0, 1, 2, 3, 4]
        assert [new.column(name)[0] for name in names] == [0, 1, 2, 3, 4]
    # A search calls numbers as it was told to.
    assert names_of(Tabular(old, report=None, also=("params",)).metrics) == ("val_acc", "params")
    assert names_of(Tabular(new, report=None, also=("c10v_params",)).metrics) == ("val_acc", "c10v_params")


def test_the_extracts_two_means_over_seeds_are_two_columns(tmp_path: Path) -> None:
    both = table_of(tmp_path / "t", "c10v_val_200", "c100_test_200", "c100_test_200_nats")
    assert [both.column(name)[0] for name in ("c100_test_200", "c100_test_200_nats")] == [1, 2]


def test_columns_of_ones_own_and_of_other_benchmarks_have_one_name(tmp_path: Path) -> None:
    for table in (
        table_of(tmp_path / "own", "val", "c10v_params", own=True),
        table_of(tmp_path / "other", "val", "c10v_params", space="darts"),
    ):
        with pytest.raises(UnknownName, match="column of the table t named 'params'"):
            table.column("params")
        assert table.missing == []


def test_what_another_publication_holds_is_said_and_what_none_holds_is_unknown(tmp_path: Path) -> None:
    table = table_of(tmp_path / "t", "c10v_val_200", "params")
    with pytest.raises(MissingData) as refusal:
        table.column("c10_test_200")
    assert str(refusal.value) == (
        "The table t (NAS-Bench-201, read from elsewhere) has no c10_test_200. Tables of the folder "
        "NATS-tss-v1_0-3ffb9-simple of https://github.com/D-X-Y/NATS-Bench have: ogive tables import FOLDER --as NAME."
    )
    with pytest.raises(UnknownName, match="Did you mean 'c10v_val_200'"):
        table.column("c10v_val_20")


def test_what_is_missing_is_told_in_words_or_by_name() -> None:
    everything = [name for names in KINDS.values() for name in names]
    assert missing("nasbench201", everything) == []
    assert missing("darts", []) == []
    assert missing("nasbench201", []) == list(KINDS)
    some = [name for name in everything if name not in ("in16_val_200", "macs")]
    assert missing("nasbench201", some) == ["in16_val_200", "multiply-accumulates"]
    assert missing("nasbench201", [*some, "in16_val_200", "c10v_flops"]) == []
    assert same("nasbench201", "depth", everything) is None
