from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ogive import reproduce as ledger
from ogive.core.errors import SpecError, UnknownName
from ogive.reproduce import CHECKS, PRESETS, Column, Recipe, describe, recipe, recipes, reproduce
from ogive.reproduce.verdict import Target
from ogive.runs import read_run

# What the ledger's rows hold, as later recipes and their readers rely on it.
FIELDS = {
    "schema", "name", "preset", "title", "published", "published_spread", "unit", "source", "source_checked",
    "error", "margin", "ours", "interval", "n_seeds", "baselines", "command", "settings", "hardware", "commit", "date",
    "seconds", "status", "because", "deviation",
}  # fmt: skip

TEXT = """
title = "Local search on an invented table"
published = {published}
published_spread = {spread}
runs = 500
cheap = ["random"]
unit = "%"
source = "nobody, table 0"
source_checked = "{checked}"

[search]
space = "nasbench201"
table = "nasbench201"
strategy = "local_search( )"

[presets.tiny]
budget = 12
seeds = {seeds}
"""


def text(*, published: float = 70.0, spread: float = 0.5, checked: str = "table", seeds: int = 3) -> str:
    return TEXT.format(published=published, spread=spread, checked=checked, seeds=seeds)


def invented_recipe(**given: Any) -> Recipe:
    return ledger._read("invented", text(**given))


def targets(found: Recipe) -> list[Target]:
    columns = found.columns or (Column("", found.published, found.published_spread),)
    return [target for column in columns if (target := column.target(found.runs, found.settings("paper")[1]))]


# -- recipes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("found", recipes(), ids=lambda found: found.name)
def test_every_recipe_of_the_package_can_be_run(found: Recipe) -> None:
    assert found.source_checked in CHECKS
    assert found.cheap or found.published is None
    assert all(target.margin > 0 for target in targets(found))
    assert set(found.presets) == set(PRESETS)
    budgets = []
    for preset in PRESETS:
        settings, seeds = found.settings(preset)
        assert seeds >= 1
        budgets.append(seeds * (settings.budget.trials or 0))
    assert budgets == sorted(budgets)


def test_a_recipe_is_found_by_its_name() -> None:
    assert recipe("nasbench201-evolution").published == 93.92  # Mellor et al., ICML 2021, table 2a, row REA
    with pytest.raises(UnknownName, match=r"no recipe named 'nasbench201-evoluton'. Did you mean"):
        recipe("nasbench201-evoluton")


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(UnknownName, match="Known: tiny"):
        invented_recipe().settings("large")


@pytest.mark.parametrize(
    ("old", "new", "error", "reason"),
    [
        ('unit = "%"', 'unit = "%"\nunits = "%"', UnknownName, "no key of the recipe invented named 'units'"),
        ('strategy = "', 'strateg = "', UnknownName, "no key of the search of invented named 'strateg'"),
        ("budget = 12", "budget = 12\nsed = 1", UnknownName, "no key of the preset tiny of invented named 'sed'"),
        ("[presets.tiny]", "[presets.large]", UnknownName, "no preset named 'large'"),
        ('checked = "table"', 'checked = "hearsay"', UnknownName, "Known: abstract, code"),
        ("published_spread = 0.5", "", SpecError, "must be published_spread in the recipe invented"),
        ("runs = 500", "", SpecError, "must be runs in the recipe invented"),
        ('cheap = ["random"]', 'cheap = ["optimum"]', UnknownName, "no baseline of invented named 'optimum'"),
        ('space = "nasbench201"', "", SpecError, "must be space in the search of invented"),
        ("budget = 12", "", SpecError, "must be budget in the preset tiny of invented"),
        ("title = ", "title : ", SpecError, "is no TOML"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(old: str, new: str, error: type[SpecError], reason: str) -> None:
    assert text().count(old) == 1
    with pytest.raises(error, match=reason):
        ledger._read("invented", text().replace(old, new))


# -- rows -------------------------------------------------------------------------------------------------------------


def test_a_row_holds_all_that_the_ledger_asks_for(table_home: Path, tmp_path: Path) -> None:
    row = reproduce("nasbench201-evolution", preset="tiny", out=tmp_path / "ledger")
    assert json.loads((tmp_path / "ledger" / "nasbench201-evolution-tiny.json").read_text()) == row
    assert set(row) == FIELDS | {"sample", "pairs"}
    assert row["n_seeds"] == 5
    assert row["command"] == "ogive reproduce nasbench201-evolution --preset tiny"
    assert row["settings"]["budget"]["trials"] == 50
    assert set(row["baselines"]) == {"random", "most parameters"}
    assert row["hardware"]["cpu"]
    assert row["commit"] == row["hardware"]["commit"]
    # The numbers of the table are invented, and so far from the published ones.
    assert row["status"] == "differs"
    assert "12,000 simulated seconds" in row["because"]


def test_ours_is_the_mean_over_the_seeds_with_its_interval(table_home: Path, tmp_path: Path) -> None:
    row = reproduce(invented_recipe(), preset="tiny", out=tmp_path)
    runs = [read_run(path.parent) for path in sorted(tmp_path.glob("runs/invented-tiny/local-search*/run.json"))]
    winners = [max(run.trials, key=lambda trial: trial.scores or ()) for run in runs]
    reported = [winner.metrics["test_acc"] for winner in winners]
    assert len(reported) == 3
    assert row["ours"] == pytest.approx(sum(reported) / 3)
    assert (row["sample"]["of"], row["sample"]["ours"]) == ("reported", "local_search")
    assert row["sample"]["values"]["local_search"] == reported
    others = row["sample"]["values"]["random"]
    assert row["pairs"]["random"]["ahead"] == pytest.approx(sum(reported) / 3 - sum(others) / 3)
    low, high = row["pairs"]["random"]["interval"]
    assert low <= row["pairs"]["random"]["ahead"] <= high
    low, high = row["interval"]
    assert low <= row["ours"] <= high
    assert row["seconds"] == pytest.approx(
        sum(read_run(path.parent).elapsed_s for path in tmp_path.glob("runs/**/run.json")), abs=0.05
    )


def test_a_row_holds_where_ours_is_near_enough_and_random_search_is_not(table_home: Path, tmp_path: Path) -> None:
    first = reproduce(invented_recipe(), preset="tiny", out=tmp_path)
    ours, random = first["ours"], first["baselines"]["random"]
    apart = abs(ours - random)
    assert apart > 1
    # The margin of three seeds is 1.96 · spread · √(1/500 + 1/3) = 1.135 spreads.
    for published, spread, told in (
        (ours + 0.4, 0.5, None),
        (ours - 0.4, 0.5, None),
        (ours + 0.4, 0.3, "ours is -0.40 away, more than 0.34"),
        (ours - 0.4, 0.3, "ours is +0.40 away, more than 0.34"),
        (ours, 2 * apart, f"is random ({random:.2f}) too"),
    ):
        row = reproduce(invented_recipe(published=published, spread=spread), preset="tiny", out=tmp_path)
        assert (row["ours"], row["margin"]) == (ours, pytest.approx(1.134949 * spread, rel=1e-4))
        assert row["status"] == ("holds" if told is None else "differs")
        assert row["because"] is None if told is None else told in row["because"]


def test_without_a_published_figure_a_row_tells_how_far_ahead_ours_is(table_home: Path, tmp_path: Path) -> None:
    lines = [line for line in text().splitlines() if not line.startswith(("published", "runs", "cheap"))]
    chosen = ledger._read(
        "invented", "\n".join([*lines, "[baselines]", 'worse = "evolution(population=4, tournament=2)"'])
    )
    assert (chosen.published, chosen.published_text) == (None, "–")
    row = reproduce(chosen, preset="tiny", out=tmp_path)
    assert (row["status"], row["because"]) == ("measured", "nothing was published to compare with")
    assert set(row["pairs"]) == {"evolution(population=4, tournament=2)", "random"}
    said: list[str] = []
    describe(row, said.append)
    assert any("ahead of random" in line for line in said)


def test_a_figure_from_memory_is_no_target(table_home: Path, tmp_path: Path) -> None:
    ours = reproduce(invented_recipe(), preset="tiny", out=tmp_path)["ours"]
    remembered = invented_recipe(published=ours, checked="memory")
    row = reproduce(remembered, preset="tiny", out=tmp_path)
    assert row["status"] == "measured"
    assert "unverified" in row["because"]
    assert remembered.published_text.endswith("(unverified)")
    said: list[str] = []
    describe(row, said.append)
    assert "(unverified: from memory, no target)" in "\n".join(said)
    assert "holds" not in "\n".join(said)


def test_a_missing_table_is_a_row_that_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OGIVE_HOME", str(tmp_path / "empty"))
    row = reproduce("nasbench201-random", preset="tiny", out=tmp_path / "ledger")
    assert set(row) == FIELDS
    assert row["status"] == "data missing"
    assert "ogive tables import" in row["because"]
    assert row["ours"] is None
    assert json.loads((tmp_path / "ledger" / "nasbench201-random-tiny.json").read_text()) == row


def test_a_row_that_measured_nothing_does_not_take_the_place_of_one_that_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OGIVE_HOME", str(tmp_path / "empty"))
    path = tmp_path / "nasbench201-random-tiny.json"
    path.write_text('{"ours": 93.7}')
    row = reproduce("nasbench201-random", preset="tiny", out=tmp_path)
    assert row["status"] == "data missing"
    assert json.loads(path.read_text()) == {"ours": 93.7}
    path.write_text('{"ours": nul')
    reproduce("nasbench201-random", preset="tiny", out=tmp_path)
    assert json.loads(path.read_text())["status"] == "data missing"


def test_a_recipe_for_a_gpu_waits_where_there_is_none(
    table_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    row = reproduce(replace(invented_recipe(), needs_gpu=True), preset="tiny", out=tmp_path)
    assert row["status"] == "pending GPU"
    assert row["ours"] is None
    assert not (tmp_path / "runs").exists()
    assert json.loads((tmp_path / "invented-tiny.json").read_text())["status"] == "pending GPU"


def test_finished_searches_are_not_repeated(table_home: Path, tmp_path: Path) -> None:
    first = reproduce(invented_recipe(), preset="tiny", out=tmp_path)
    shutil.rmtree(tmp_path / "runs" / "invented-tiny" / "random-seed1")
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/*/trials.jsonl")}
    assert len(written) == 5
    again = reproduce(invented_recipe(), preset="tiny", out=tmp_path)
    assert {path: path.stat().st_mtime_ns for path in written} == written
    changing = ("seconds", "date")
    assert {k: v for k, v in again.items() if k not in changing} == {
        k: v for k, v in first.items() if k not in changing
    }


def test_seconds_of_a_row_that_keeps_no_runs_are_those_of_all_sittings(table_home: Path, tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stopping(done: int, total: int) -> None:
        time.sleep(1.1)
        if done == 2:
            raise Stopped

    chosen = replace(invented_recipe(), keep_runs=False)
    with pytest.raises(Stopped):
        reproduce(chosen, preset="tiny", out=tmp_path, progress=stopping)
    assert not (tmp_path / "runs").exists()
    first = float((tmp_path / "invented-tiny.seconds").read_text())
    assert first > 1.1
    began = time.perf_counter()
    row = reproduce(chosen, preset="tiny", out=tmp_path)
    # A row keeps tenths of a second.
    assert round(first, 1) <= row["seconds"] <= first + time.perf_counter() - began + 0.05
    assert not (tmp_path / "invented-tiny.seconds").exists()
    # A row that is made anew costs what it costs now.
    assert reproduce(chosen, preset="tiny", out=tmp_path)["seconds"] < first


def test_lists_of_numbers_stand_in_a_line_of_the_file(table_home: Path, tmp_path: Path) -> None:
    row = reproduce(invented_recipe(), preset="tiny", out=tmp_path)
    text = (tmp_path / "invented-tiny.json").read_text()
    (line,) = (line for line in text.splitlines() if '"local_search": [' in line)
    assert (
        json.loads(f"{{{line.strip().removesuffix(',')}}}")["local_search"] == row["sample"]["values"]["local_search"]
    )


def test_one_seed_has_no_interval(table_home: Path, tmp_path: Path) -> None:
    row = reproduce(invented_recipe(seeds=1), preset="tiny", out=tmp_path)
    assert row["interval"] is None
    assert "one seed has no interval" in row["because"]
    said: list[str] = []
    describe(row, said.append)
    assert any(line.startswith(f"  ours       {row['ours']:.3f} %, 1 seed") for line in said)


def test_a_row_is_described_in_plain_lines() -> None:
    row: dict[str, Any] = {
        "name": "a", "preset": "small", "title": "A", "published": 93.9, "unit": "%", "source": "B, table 1",
        "source_checked": "table", "ours": 93.81, "interval": [93.7, 93.9], "n_seeds": 50,
        "error": 0.03, "margin": 0.08, "baselines": {"random": 93.5}, "status": "holds", "because": None,
        "deviation": "D", "seconds": 12.0,
    }  # fmt: skip
    said: list[str] = []
    describe(row, said.append)
    assert said == [
        "a (small): A",
        "  published  93.9 %; B, table 1",
        "  to hold    within 0.080 of it, as no cheap baseline; its error is 0.030",
        "  ours       93.810 [93.700, 93.900] %, 50 seeds, 95 % bootstrap interval",
        "  random     93.500 %",
        "  deviation  D",
        "  status     holds; 12.0 s",
    ]
