"""Rewards of accuracy and latency in a table: what is told of samples, and who is ahead by the rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ogive.core.errors import SpecError
from ogive.experiments.reward_fronts import EVOLUTION, RANDOM, Size, beside, told
from ogive.figures import available
from ogive.metrics import hypervolume
from ogive.reproduce import reproduce
from ogive.reproduce.figure import draw_row
from ogive.reproduce.recipe import experiment_of
from ogive.runs import read_run
from ogive.tables.keys import MixedRadix
from ogive.tables.store import Column, Table, write_table

BESIDE: dict[str, Any] = {
    "targets_ms": [5.0, 9.0],
    "latency": "ms",
    "accuracy": "acc",
    "networks": 100,
    "trials": 40,
    "under": [0.3, 0.7],
    "median_ms": 6.0,
    "front_acc": [60.0, 70.0],
    "front_ms": [1.0, 9.0],
}


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Accuracy grows with latency; a few networks lack one."""
    rng = np.random.default_rng(0)
    latency = rng.uniform(1, 20, 5**6)
    latency[7::1000] = np.nan
    accuracy = 50 + np.nan_to_num(latency) + rng.uniform(0, 20, 5**6)
    columns = {
        "acc": (Column("%", "invented", "float64"), accuracy),
        "ms": (Column("ms", "invented", "float64", better="smaller"), latency),
    }
    about = {"source": "invented", "licence": "none", "importer": "tests", "metric": "acc"}
    return write_table(tmp_path / "toy", columns, name="toy", space="nasbench201", key=MixedRadix((5,) * 6), **about)


def test_samples_of_every_reward_are_told_beside_random_search_and_evolution(table: Table, tmp_path: Path) -> None:
    size = {"table": str(table.folder), "accuracy": "acc", "latency": "ms", "targets_ms": [5.0, 9.0], "trials": 32}
    size |= {"seeds": 1, "controller": "mnasnet(batch=8)", "evolution": "nsga2(population=8)"}
    text = (
        'title = ""\nunit = "%"\nsource = ""\nsource_checked = "code"\ncomparison = "reward_fronts"\n[presets.tiny]\n'
    )
    text += "\n".join(f"{key} = {json.dumps(value)}" for key, value in size.items())
    chosen, out = experiment_of("invented", text), tmp_path / "out"
    row = reproduce(chosen, preset="tiny", out=out)
    found = row["seeds"][0]["searches"]
    kinds = [f"{name}, T = {target} ms" for target in (5, 9) for name in ("hard", "soft", "TuNAS")]
    assert list(found) == [*kinds, EVOLUTION, RANDOM]
    trials = read_run(out / "runs" / "invented-tiny" / "seed-0" / "random").trials
    points = np.array([[one.metrics["val_acc"], -one.metrics["ms"]] for one in trials if one.status == "ok"])
    late = -points[-(len(points) // 4) :, 1]
    assert found[RANDOM]["under_late"] == pytest.approx([(late <= 5).mean(), (late <= 9).mean()], abs=1e-4)
    assert found[RANDOM]["late_ms"][1] == pytest.approx(np.median(late), abs=1e-4)
    whole = np.stack([table.column("acc"), -table.column("ms")], axis=1)
    whole = whole[np.isfinite(whole).all(axis=1)]
    share = hypervolume(points, whole.min(axis=0)) / hypervolume(whole, whole.min(axis=0))
    assert found[RANDOM]["hypervolume"] == pytest.approx(100 * share, abs=1e-3)
    assert found[RANDOM]["front_acc"] == sorted(found[RANDOM]["front_acc"])
    assert row["beside"]["networks"] == len(whole) < table.rows
    assert row["ours"] == found[kinds[0]]["hypervolume"]
    if available():
        assert draw_row(chosen, "tiny", out, tmp_path / "fronts.svg").read_text().lstrip().startswith("<?xml")


def made(seeds: int, levels: dict[str, tuple[float, float, float]]) -> list[dict[str, Any]]:
    """Of each search: share of late samples under both targets, late median, hypervolume; with noise."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(seeds):
        noise = rng.normal(0, 0.02)
        found = {
            label: {
                "under_early": [0.3, 0.7],
                "under_late": [round(share + noise, 4), 0.7],
                "late_ms": [median / 2, round(median * (1 + noise), 4), 2 * median],
                "late_acc": 60.0,
                "hypervolume": round(float(volume + rng.normal(0, 0.5)), 4),
            }
            for label, (share, median, volume) in levels.items()
        }
        rows.append({"seed": number, "searches": found})
    return rows


def test_the_rules_tell_a_reward_that_aims_and_who_is_ahead() -> None:
    levels = {f"{name}, T = {target} ms": (0.3, 6.0, 90.0) for target in (5, 9) for name in ("hard", "soft", "TuNAS")}
    levels |= {"hard, T = 9 ms": (0.3, 9.0, 90.0), "hard, T = 5 ms": (0.6, 4.5, 95.0)}
    rows = made(20, {**levels, EVOLUTION: (0.3, 6.0, 95.0), RANDOM: (0.3, 6.0, 90.0)})
    result = told(rows, BESIDE)
    assert any("* hard: the late median at 9 ms over that at 5 ms: 2.00 [2.00, 2.00]" in one for one in result.markdown)
    assert "* soft: the late median at 9 ms over that at 5 ms: 1.00 [1.00, 1.00]" in result.markdown
    assert any(
        line.startswith("* hard, T = 5 ms: late samples under it, points more than in random search: 30.00")
        for line in result.markdown
    )
    lines = [line for line in result.markdown if line.startswith("* hypervolume")]
    assert len(lines) == 13
    words = {line.partition("hypervolume, ")[2].partition(":")[0]: line.rpartition(": ")[2] for line in lines}
    assert words["hard, T = 5 ms minus random"] == "ahead"
    assert words["soft, T = 5 ms minus NSGA-II"] == "behind"
    assert words["soft, T = 5 ms minus random"] == words["hard, T = 5 ms minus NSGA-II"] == "not told apart"
    assert words["NSGA-II minus random"] == "ahead"
    assert np.mean(result.ours) == pytest.approx(95, abs=0.5)


def test_a_comparison_without_a_target_is_refused() -> None:
    with pytest.raises(SpecError, match="a target and 4 trials"):
        Size(table="t", accuracy="a", latency="l", targets_ms=(), trials=100, seeds=1)


def test_the_front_beside_is_that_of_the_table(table: Table) -> None:
    found = beside(Size(str(table.folder), "acc", "ms", (5.0,), 8, 1))
    assert found["front_acc"] == sorted(found["front_acc"])
    assert found["front_acc"][-1] == pytest.approx(float(np.nanmax(table.column("acc"))), abs=1e-3)
