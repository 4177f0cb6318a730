from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ogive import catalog
from ogive.context import Context
from ogive.core.errors import SpecError, UnknownName
from ogive.core.rng import Seed
from ogive.reproduce import describe, queries, reproduce
from ogive.reproduce.queries import Queries, judged_queries, queries_of
from ogive.spaces.nasbench201 import nasbench201
from ogive.tables.store import open_table

TEXT = """
title = "Searches of an invented table"
source = "nobody"
source_checked = "code"
table = "nasbench201"
most = {most}
seeds = 3
seeds_of = {{ slow = 1 }}

[targets]
c10v_val_200 = [{median}, 15000]

[strategies]
random = "random"
slow = "local_search(step=first)"
"""


def made(most: int = 40, median: int = 20) -> Queries:
    return queries_of("invented", TEXT.format(most=most, median=median))


def test_a_search_that_does_not_find_the_best_counts_as_the_most_queries(table_home: Path, tmp_path: Path) -> None:
    row = reproduce(made(), out=tmp_path)
    assert [(one["strategy"], one["seed"]) for one in row["cells"]] == [
        ("random", 0),
        ("slow", 0),
        ("random", 1),
        ("random", 2),
    ]
    assert all(one["queries"] == 40 and not one["found"] and one["regret"] > 0 for one in row["cells"])
    assert (row["ours"], row["baselines"], row["status"]) == (40, {"slow": 40}, "differs")
    assert "the median is 40, more than 20" in row["because"]
    assert "| random | 3 | 40 | 40 | 3 |" in row["markdown"][2]
    told: list[str] = []
    describe(row, told.append)
    assert "40.000 queries" in "\n".join(told)


def test_what_is_reported_is_that_of_the_best_so_far(table_home: Path, tmp_path: Path) -> None:
    text = TEXT.format(most=40, median=20).replace("seeds_of", "after = [1, 7, 40]\nseeds_of")
    text += '\n[reported]\nc10v_val_200 = "c10_test_200"\n'
    chosen = queries_of("invented", text)
    reproduce(made(), out=tmp_path)  # searches of which nothing was reported are done again
    row = reproduce(chosen, out=tmp_path)
    table = open_table("nasbench201")
    searched, tested = (table.column(name) for name in ("c10v_val_200", "c10_test_200"))
    context = Context({"space": nasbench201}, Seed(1))
    strategy = catalog.build("strategy", "random", context)
    asked = [strategy.ask()[0].arch for _ in range(40)]
    rows = [table.row(arch) for arch in asked]
    (cell,) = (one for one in row["cells"] if (one["strategy"], one["seed"]) == ("random", 1))
    for count in (1, 7, 40):
        best = max(rows[:count], key=lambda place: searched[place])
        assert cell["reported"][str(count)] == pytest.approx(float(tested[best]), abs=1e-4)
    values = [one["reported"]["7"] for one in row["cells"] if one["strategy"] == "random"]
    assert f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}" in row["markdown"][-2]
    assert row["markdown"][4:6] == [
        "",
        "| strategy | seeds | `c10_test_200` after 1 | `c10_test_200` after 7 | `c10_test_200` after 40 |",
    ]


def test_a_search_that_found_the_best_reports_it_from_then_on(table_home: Path, tmp_path: Path) -> None:
    text = TEXT.format(most=15_625, median=15_625).replace("seeds_of", "after = [15625]\nseeds_of")
    row = reproduce(
        queries_of("invented", text + '\n[reported]\nc10v_val_200 = "c10v_val_200"\n'), out=tmp_path, seeds=1
    )
    best = float(open_table("nasbench201").column("c10v_val_200").max())
    assert all(one["queries"] < 15_625 for one in row["cells"])
    assert [one["reported"] for one in row["cells"]] == [{"15625": round(best, 4)}] * 2


@pytest.mark.parametrize(
    ("added", "words"),
    [
        ("after = [5]", "is told together"),
        ("after = [0]\nreported = { c10v_val_200 = 'c10_test_200' }", "after 1 to 40 queries"),
        ("after = [41]\nreported = { c10v_val_200 = 'c10_test_200' }", "after 1 to 40 queries"),
        ("after = [5]\nreported = { c100_val_200 = 'c10_test_200' }", "is told together"),
    ],
)
def test_what_is_reported_of_nothing_is_refused(added: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        queries_of("invented", TEXT.format(most=40, median=1).replace("seeds_of", f"{added}\nseeds_of"))


def test_a_search_ends_with_the_best(table_home: Path, tmp_path: Path) -> None:
    row = reproduce(made(most=15_625, median=15_625), out=tmp_path, seeds=1)
    found = row["cells"]
    assert all(one["found"] and one["regret"] == 0 and one["queries"] < 15_625 for one in found)
    assert (row["status"], row["because"]) == ("holds", None)
    assert row["n_seeds"] == 1


def test_what_was_searched_is_not_searched_again(table_home: Path, tmp_path: Path) -> None:
    first = reproduce(made(), out=tmp_path)
    path = tmp_path / "runs" / "invented" / "cells.jsonl"
    lines = path.read_text().splitlines()
    cell = json.loads(lines[0]) | {"queries": 7}
    path.write_text("\n".join([json.dumps(cell), *lines[1:]]) + "\n")
    again = reproduce(made(), out=tmp_path)
    assert [one["queries"] for one in again["cells"]] == [7, *(one["queries"] for one in first["cells"][1:])]
    assert len(path.read_text().splitlines()) == 4


def test_what_was_searched_in_another_table_is_searched_again(table_home: Path, tmp_path: Path) -> None:
    first = reproduce(made(), out=tmp_path)
    path = tmp_path / "runs" / "invented" / "cells.jsonl"
    cells = [json.loads(line) | {"queries": 7, "table_digest": "of another"} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(cell) + "\n" for cell in cells))
    again = reproduce(made(), out=tmp_path)
    assert [one["queries"] for one in again["cells"]] == [one["queries"] for one in first["cells"]]
    assert len(path.read_text().splitlines()) == 8


def test_the_status_follows_from_the_cells() -> None:
    cells = [
        {"strategy": "random", "column": "c10v_val_200", "seed": n, "queries": n, "found": True, "seconds": 0.1}
        for n in (5, 9, 30)
    ]
    cells.append(cells[0] | {"strategy": "slow"})
    assert judged_queries({"cells": cells}, made(median=9))["status"] == "holds"
    judged = judged_queries({"cells": cells}, made(median=8))
    assert judged["status"] == "differs"
    assert judged["columns"][0]["late"] == pytest.approx(27.9)


def test_recipes_that_cannot_be_are_refused() -> None:
    with pytest.raises(SpecError, match="positive numbers of seeds and queries"):
        made(most=0)
    with pytest.raises(SpecError, match="a median and a 95th percentile"):
        queries_of("invented", TEXT.format(most=5, median=1).replace("[1, 15000]", "[1]"))
    with pytest.raises(UnknownName, match="slwo"):
        queries_of("invented", TEXT.format(most=5, median=1).replace("slow = 1", "slwo = 1"))
    with pytest.raises(SpecError, match="seeds=0"):
        made().with_seeds(0)


def test_the_recipes_of_the_package_can_be_read() -> None:
    assert {one.headline for one in queries()} == {"ogive"}
