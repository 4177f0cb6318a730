from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from ogive.core.errors import SpecError, UnknownName
from ogive.core.rng import Seed
from ogive.reproduce import Recipe, describe, draw_courses, recipe, recipes, reproduce
from ogive.reproduce.cost_curve import course_svg
from ogive.reproduce.recipe import read
from ogive.spaces.nasbench201 import nasbench201
from ogive.tables.scores import open_scores
from ogive.tables.store import Table

SPACE = nasbench201()

TEXT = """
title = "NASWOT on an invented table"
unit = "%"
source = "nobody, table 0"
source_checked = "table"
runs = 50
cheap = ["random", "most parameters"]
label = "N = 20"
keep_runs = false
seconds_a_trial = {seconds}

[search]
space = "nasbench201"
table = "nasbench201"
strategy = "{strategy}"

[baselines]
"most parameters" = "naswot(score_table('{scores}'), scored=20, by=params)"
"optimum" = "naswot(tabular, scored=20)"

[[columns]]
column = "c10_test_200"
published = {published}
spread = 0.5

[[columns]]
column = "c10v_val_200"
published = 80.0
spread = 30.0

[[columns]]
column = "params"

[presets.tiny]
budget = {budget}
seeds = 6

[presets.small]
budget = {budget}
seeds = 7
"""


def made(
    scores: Path, *, published: float = 70.0, strategy: str | None = None, budget: int = 1, seconds: float = 0.0
) -> Recipe:
    told = strategy or f"naswot(score_table('{scores}'), scored=20)"
    text = TEXT.format(scores=scores, published=published, strategy=told, budget=budget, seconds=seconds)
    return read("invented", text)


def found(scores: Path, column: int, seed: int) -> Any:
    """The best of the 20 architectures that a seed draws, by one of the scores."""
    rng = Seed(seed).child("strategy").numpy("scored")
    drawn = list(dict.fromkeys(SPACE.sample(rng) for _ in range(20)))
    known = open_scores(scores, "").by_arch
    return max(drawn, key=lambda arch: (known[arch].scores or ())[column])


@pytest.fixture
def table(table_home: Path) -> Table:
    return Table.open(table_home / "tables" / "nasbench201")


def test_every_column_is_the_mean_over_what_the_searches_found(
    table: Table, invented_scores: Path, tmp_path: Path
) -> None:
    row = reproduce(made(invented_scores), preset="tiny", out=tmp_path)
    assert row == json.loads((tmp_path / "invented-tiny.json").read_text())
    for column in row["columns"]:
        name = column["column"]
        own = np.array([table.value(found(invented_scores, 0, seed), name) for seed in range(6)])
        largest = np.array([table.value(found(invented_scores, 1, seed), name) for seed in range(6)])
        assert column["ours"] == pytest.approx(own.mean())
        assert column["spread"] == pytest.approx(own.std(ddof=1))
        assert column["interval"][0] <= own.mean() <= column["interval"][1]
        assert column["baselines"]["most parameters"] == pytest.approx(largest.mean())
        assert set(column["baselines"]) == {"random", "most parameters", "optimum"}
    validated = row["columns"][1]
    assert validated["baselines"]["optimum"] >= max(validated["ours"], validated["baselines"]["random"])
    assert (row["ours"], row["interval"]) == (row["columns"][0]["ours"], row["columns"][0]["interval"])
    # 1.96 · spread · √(1/50 + 1/6) of the published figures
    assert [column["margin"] for column in row["columns"]] == [
        pytest.approx(0.423416, rel=1e-4), pytest.approx(25.405, rel=1e-4), None,
    ]  # fmt: skip
    assert "are random" in " ".join(validated["doubts"])  # 30 % is a spread that everything would meet
    assert row["columns"][2]["doubts"] == []


def test_a_row_holds_only_if_all_its_columns_do(table: Table, invented_scores: Path, tmp_path: Path) -> None:
    first = made(invented_scores)
    found = reproduce(first, preset="tiny", out=tmp_path)
    ours, validated = found["ours"], found["columns"][1]["ours"]

    def row(published: float, validated: float) -> dict[str, Any]:
        columns = [
            replace(first.columns[0], published=published),
            replace(first.columns[1], published=validated, spread=0.1),
        ]
        return reproduce(replace(first, published=published, columns=tuple(columns)), preset="tiny", out=tmp_path)

    assert (row(ours + 0.3, validated)["status"], row(ours + 0.3, validated)["because"]) == ("holds", None)
    assert row(ours + 0.3, validated + 9)["status"] == "differs"
    differs = row(ours + 0.6, validated)
    assert differs["status"] == "differs"
    assert differs["because"].startswith("c10_test_200: ours is -0.60 away, more than 0.42")
    said: list[str] = []
    describe(differs, said.append)
    assert any(re.match(rf"  \| `c10_test_200` \| {ours + 0.6:.2f} ± 0.50 \| {ours:.2f} ± ", line) for line in said)


def test_the_course_of_a_search_counts_scoring_and_training(
    table: Table, invented_scores: Path, tmp_path: Path
) -> None:
    area = f"area(score_table('{invented_scores}'), population=4, tournament=2, scored=8)"
    row = reproduce(made(invented_scores, strategy=area, budget=12, seconds=100.0), preset="tiny", out=tmp_path)
    seconds, accuracy = row["course"]["seconds"], row["course"]["test_acc"]
    assert len(seconds) == len(accuracy) == 12
    # Eight scored at a quarter of a second; the invented table has a clock, 10 to 34 s a training, and so the recipe's
    # own seconds a training, which stand in for one, are not counted as well.
    assert 2 + 10 - 0.26 <= seconds[0] <= 2 + 34
    steps = np.diff(seconds)
    assert ((steps >= 10) & (steps <= 34)).all()
    assert accuracy[-1] == pytest.approx(row["ours"], abs=1e-3)


def test_a_missing_table_of_scores_is_a_row_that_names_it(table: Table, tmp_path: Path) -> None:
    row = reproduce(made(tmp_path / "nowhere.csv"), preset="tiny", out=tmp_path)
    assert row["status"] == "data missing"
    assert "nowhere.csv" in row["because"]
    assert "ogive score --space nasbench201 --all" in row["because"]


def test_searches_of_milliseconds_are_not_stored(table: Table, invented_scores: Path, tmp_path: Path) -> None:
    text = TEXT.format(scores=invented_scores, published=70, strategy="random", budget=2, seconds=0)
    kept = read("invented", text.replace("keep_runs = false", "").replace("seeds = 6", "seeds = 2"))
    stored = reproduce(kept, preset="tiny", out=tmp_path / "b")
    assert len(list((tmp_path / "b" / "runs").glob("invented-tiny/*/run.json"))) == 6
    row = reproduce(replace(kept, keep_runs=False), preset="tiny", out=tmp_path / "a")
    assert not (tmp_path / "a" / "runs").exists()
    assert row["columns"] == stored["columns"]


@pytest.mark.parametrize(
    ("old", "new", "error", "reason"),
    [
        ('column = "params"', 'colum = "params"', UnknownName, "no key of a column of invented named 'colum'"),
        ("spread = 0.5", "", SpecError, "published figure of c10_test_200 needs a spread"),
        ("spread = 0.5", "error = 1\nmargin = 1", SpecError, "a mean over searches and needs a spread"),
        ("published = 70.0\nspread = 0.5", "", SpecError, "a published figure for the first"),
        ('table = "nasbench201"\n', "", SpecError, "need a table in its search"),
        ("label", "published = 3.0\nlabel", UnknownName, "no key of the recipe invented named 'published'"),
    ],
)
def test_columns_that_make_no_sense_are_refused(old: str, new: str, error: type[SpecError], reason: str) -> None:
    text = TEXT.format(scores="a.csv", published="70.0", strategy="random", budget=1, seconds=0)
    assert text.count(old) == 1
    with pytest.raises(error, match=reason):
        read("invented", text.replace(old, new))


def test_published_rows_draw_and_compare_as_they_say() -> None:
    """Mellor et al., ICML 2021, table 2a: three sizes of NASWOT on six columns, each beside the same baselines."""
    headlines = {10: 92.44, 100: 92.81, 1000: 92.96}
    for count, test_acc in headlines.items():
        chosen = recipe(f"nasbench201-naswot-{count}")
        assert chosen.published == test_acc
        assert len(chosen.columns) == 6
        assert chosen.settings("paper")[1] == 500
        assert all(f"scored={count}" in text for text in (chosen.search["strategy"], *chosen.baselines.values()))
        assert set(chosen.baselines) == {"most parameters", "optimum"}
    assert recipe("nasbench201-area").published == 91.20
    assert recipe("nasbench201-evolution-12").published == 93.92
    assert recipe("nasbench201-reinforce-12").published == 93.85
    budgets = {one.settings("paper")[0].budget.trials for one in recipes() if one.seconds_a_trial}
    assert budgets == {int(12_000 / recipe("nasbench201-area").seconds_a_trial)}


# -- the figure -------------------------------------------------------------------------------------------------------


def rows_of_the_ledger() -> list[dict[str, Any]]:
    common = {"n_seeds": 50, "preset": "small", "interval": [92.0, 92.6], "baselines": {"most parameters": 92.5}}
    dot = {**common, "name": "dot", "ours": 92.3}
    line = {**common, "name": "line", "ours": 94.0, "baselines": {}}
    dot["course"] = {"label": "<dot>", "seconds_a_trial": 0.0, "seconds": [8.0], "test_acc": [92.3]}
    line["course"] = {"label": "l", "seconds_a_trial": 100.0, "seconds": [100.0, 1000.0], "test_acc": [85.0, 94.0]}
    return [dot, line]


def test_the_figure_shows_dots_lines_and_the_baseline_where_they_are() -> None:
    drawing = ElementTree.fromstring(course_svg(rows_of_the_ledger(), title="A & B", notes=["n < m"]))
    space = "{http://www.w3.org/2000/svg}"
    texts = ["".join(text.itertext()) for text in drawing.iter(f"{space}text")]
    assert {"A & B", "n < m", "<dot>", "l", "10", "100", "1,000"} <= set(texts)
    line = next(drawing.iter(f"{space}polyline")).attrib["points"].split()
    points = [tuple(map(float, pair.split(","))) for pair in line]
    dot = next(one for one in drawing.iter(f"{space}circle") if "cx" in one.attrib and float(one.attrib["cx"]) > 20)
    assert points[0][0] < points[1][0]
    assert points[1][1] < float(dot.attrib["cy"]) < points[0][1]  # y grows downwards
    # One decade is one distance: the dot lies log10(100 / 8) decades before the line begins.
    decade = points[1][0] - points[0][0]
    assert float(dot.attrib["cx"]) == pytest.approx(points[0][0] - decade * math.log10(100 / 8), abs=0.2)
    assert len(list(drawing.iter(f"{space}path"))) == 2  # the baseline, and its place in the legend


def test_the_figure_takes_the_largest_preset_of_each_recipe(tmp_path: Path) -> None:
    dot, line = rows_of_the_ledger()
    for row, name in ((dot, "dot-small"), (line, "line-small"), ({**dot, "preset": "paper", "ours": 92.4}, "dot")):
        (tmp_path / f"{name}.json").write_text(json.dumps({**row, "status": "holds"}))
    (tmp_path / "other.json").write_text(json.dumps({"name": "other", "preset": "paper"}))
    text = draw_courses(tmp_path, tmp_path / "figures" / "cost.svg").read_text()
    assert text == (tmp_path / "figures" / "cost.svg").read_text()
    assert text.count("&lt;dot&gt;") == 1
    assert "100 s a training" in text
    with pytest.raises(SpecError, match="reproduce some of them first"):
        draw_courses(tmp_path / "figures", tmp_path / "none.svg")
