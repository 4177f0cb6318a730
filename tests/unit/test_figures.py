"""Figures and ranks of comparisons: what is drawn are the numbers, and the tests are those of the literature."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import ogive
from ogive.across import across, nemenyi
from ogive.cli import main
from ogive.comparison import Comparison
from ogive.comparison_files import keep_across
from ogive.core.errors import SpecError
from ogive.figures import bands_of, cliques, draw_comparison

STRATEGIES = ["random", "local_search", "evolution(population=4, tournament=2)"]


@pytest.fixture(scope="module")
def found(invented_table: Path) -> Comparison:
    return ogive.compare(STRATEGIES, space="nasbench201", table=str(invented_table), budget=12, seeds=4)


def test_a_band_is_the_mean_of_the_curves_with_a_t_interval(found: Comparison) -> None:
    band = bands_of(found, "local_search")
    curves = np.array([outcome.reported_curve for outcome in found.of("local_search")])
    assert band.at.tolist() == list(range(1, 13))
    np.testing.assert_allclose(band.mean, curves.mean(axis=0))
    low, high = stats.t.interval(0.95, 3, loc=curves[:, -1].mean(), scale=stats.sem(curves[:, -1]))
    assert (band.low[-1], band.high[-1]) == pytest.approx((low, high))


def test_a_regret_is_the_distance_to_the_optimum_and_hours_are_the_tables(found: Comparison) -> None:
    optimum = found.reported_optimum
    assert optimum is not None
    band, regret = bands_of(found, "random"), bands_of(found, "random", optimum=optimum)
    np.testing.assert_allclose(regret.mean, optimum - band.mean)
    hours = bands_of(found, "random", hours=True)
    ends = [outcome.benchmark_s[-1] / 3600 for outcome in found.of("random")]
    assert hours.at[-1] == pytest.approx(min(ends))
    assert hours.at[0] == pytest.approx(max(outcome.benchmark_s[0] / 3600 for outcome in found.of("random")))


def test_figures_are_written_as_svg_and_pdf_and_are_the_same_every_time(found: Comparison, tmp_path: Path) -> None:
    paths = draw_comparison(found, tmp_path)
    assert [path.name for path in paths] == [
        f"{name}.{kind}" for name in ("anytime", "regret", "hours") for kind in ("svg", "pdf")
    ]
    before = [path.read_bytes() for path in paths]
    assert before[0].lstrip().startswith(b"<?xml")
    assert before[1].startswith(b"%PDF")
    assert [path.read_bytes() for path in draw_comparison(found, tmp_path)] == before


def test_without_an_optimum_no_regret_is_drawn(found: Comparison, tmp_path: Path) -> None:
    unknown = replace(found, reported_optimum=None)
    assert {path.stem for path in draw_comparison(unknown, tmp_path)} == {"anytime", "hours"}


def test_the_critical_difference_is_that_of_the_paper() -> None:
    # Demsar, JMLR 2006, table 5(a): q at 5 % of 2, 4 and 10 classifiers is 1.960, 2.569 and 3.164;
    # section 3.2.2, its example: four classifiers on 14 data sets differ at 1.25.
    for strategies, quantile in ((2, 1.960), (4, 2.569), (10, 3.164)):
        assert nemenyi(strategies, 6) == pytest.approx(quantile * (strategies * (strategies + 1) / 36) ** 0.5, abs=1e-3)
    assert nemenyi(4, 14) == pytest.approx(1.25, abs=5e-3)


def test_bars_join_the_longest_runs_that_lie_less_than_the_difference_apart() -> None:
    assert cliques([1.0, 1.5, 2.4, 4.0], 1.0) == [(1.0, 1.5), (1.5, 2.4)]
    assert cliques([1.0, 1.5, 1.9, 4.0], 1.0) == [(1.0, 1.9)]
    assert cliques([1.0, 3.0], 1.0) == []


def _shifted(found: Comparison, by: dict[str, float]) -> Comparison:
    return replace(
        found, outcomes=tuple(replace(one, reported=one.reported + by[one.strategy]) for one in found.outcomes)
    )


def test_ranks_over_tables_and_their_tests(found: Comparison, tmp_path: Path) -> None:
    names = found.strategies
    rng = np.random.default_rng(0)
    tables = {f"t{n}": _shifted(found, dict(zip(names, rng.normal([0, 10, 20], 1), strict=True))) for n in range(8)}
    joined, paths = keep_across(tables, tmp_path)
    assert joined.mean_ranks == {names[2]: 1.0, names[1]: 2.0, names[0]: 3.0}
    assert joined.friedman_p == pytest.approx(stats.chi2.sf(16.0, 2))  # 8 tables that agree: chi2 = N (k - 1)
    assert joined.critical_difference == pytest.approx(2.343 * (12 / 48) ** 0.5, abs=1e-3)  # table 5(a), 3 classifiers
    assert [pair.p_value for pair in joined.pairs] == pytest.approx([2 * 0.5**8] * 3)
    assert [pair.adjusted_p_value for pair in joined.pairs] == pytest.approx([6 * 0.5**8] * 3)
    assert f"ranks before {names[0]} by more than chance" in joined.verdict
    kept = json.loads((tmp_path / "across.json").read_text())
    assert kept["mean_ranks"] == joined.mean_ranks
    with (tmp_path / "ranks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["table"] for row in rows] == [*tables, "mean rank"]
    tex = (tmp_path / "ranks.tex").read_text()
    assert len(re.findall(r" \\\\$", tex, flags=re.MULTILINE)) == 10
    assert {path.name for path in paths} >= {"critical-difference.svg", "critical-difference.pdf"}


def test_losses_are_ranked_the_other_way_round(found: Comparison) -> None:
    assert found.reported is not None
    losses = replace(found, reported=replace(found.reported, better="smaller"))
    more, less = across({"a": found, "b": found}), across({"a": losses, "b": losses})
    assert list(more.mean_ranks) == list(less.mean_ranks)[::-1]


def test_strategies_that_are_equal_everywhere_are_not_told_apart(found: Comparison) -> None:
    same = replace(found, outcomes=tuple(replace(one, reported=50.0) for one in found.outcomes))
    joined = across({"a": same, "b": same})
    assert set(joined.mean_ranks.values()) == {2.0}
    assert (joined.friedman_p, {pair.p_value for pair in joined.pairs}) == (1.0, {1.0})
    assert "no strategy is told from the best" in joined.verdict


def test_the_command_compares_on_several_tables(
    invented_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(invented_table, tmp_path / "other")
    command = [
        "ogive",
        "compare",
        "random",
        "local_search",
        "--budget",
        "4",
        "--seeds",
        "2",
        "--out",
        str(tmp_path / "o"),
    ]
    monkeypatch.setattr("sys.argv", [*command, "--table", str(invented_table), "--table", str(other)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    said = capsys.readouterr().out
    assert "mean rank" in said
    assert "Nemenyi's critical difference at 5 %: 1.39." in said  # q of two is 1.960, by sqrt(6 / 12)
    kept = json.loads((tmp_path / "o" / "across.json").read_text())
    assert kept["tables"] == [str(invented_table), str(other)]
    assert len(list((tmp_path / "o").glob("*/comparison.json"))) == 2
    monkeypatch.setattr("sys.argv", [*command, "--table", str(other), "--table", str(other)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "is given twice" in capsys.readouterr().err


def test_one_table_and_other_strategies_are_refused(found: Comparison) -> None:
    with pytest.raises(SpecError, match="at least two tables"):
        across({"a": found})
    other = replace(found, strategies=found.strategies[:2])
    with pytest.raises(SpecError, match="same strategies, but b"):
        across({"a": found, "b": other})
    nothing = replace(found, outcomes=tuple(replace(one, score=np.nan, reported=np.nan) for one in found.outcomes))
    with pytest.raises(SpecError, match="found nothing in b"):
        across({"a": found, "b": nothing})
