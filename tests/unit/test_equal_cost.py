"""Comparisons at equal cost in epochs: what answers reach, who is ahead, and the figure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import MissingData, SpecError, UnknownName
from ogive.experiments.equal_cost import Size, told
from ogive.figures import available
from ogive.reproduce import reproduce
from ogive.reproduce.figure import draw_row
from ogive.reproduce.recipe import experiment_of, experiments
from ogive.result import result_of
from ogive.runs import read_run
from ogive.tables.keys import MixedRadix
from ogive.tables.store import Column, Table, write_table

BESIDE = {
    "optimum": 95.0,
    "searched": "val_9",
    "reported": "test_9",
    "reported_optimum": 94.0,
    "whole": 9,
    "after": [9, 90],
    "epochs": 90,
    "rows": 3,
}


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Short trainings say as much as half of what whole ones reach."""
    rng = np.random.default_rng(0)
    whole, other = rng.uniform(60, 95, 5**6), rng.uniform(60, 95, 5**6)

    def column(epochs: int, test: bool = False) -> Column:
        return Column("%", "invented", "float64", test=test, family="test" if test else "val", fidelity=epochs)

    columns = {
        "val_1": (column(1), 0.5 * whole + 0.5 * other - 20),
        "val_9": (column(9), whole),
        "test_9": (column(9, test=True), whole - 1),
    }
    about = {"source": "invented", "licence": "none", "importer": "tests", "metric": "val_9", "report": "test_9"}
    return write_table(tmp_path / "toy", columns, name="toy", space="nasbench201", key=MixedRadix((5,) * 6), **about)


def size_of(table: Table) -> dict[str, Any]:
    return {
        "table": str(table.folder),
        "metric": "val_9",
        "report": "test_9",
        "epochs": 90,
        "after": [18, 90],
        "strategies": {"brackets": "hyperband", "random": "random", "expensive": "asha"},
        "seeds": 3,
        "seeds_of": {"expensive": 2},
    }


def test_answers_are_those_of_the_search_and_told_by_their_whole_trainings(table: Table, tmp_path: Path) -> None:
    size = size_of(table)
    text = 'title = ""\nunit = "%"\nsource = ""\nsource_checked = "code"\ncomparison = "equal_cost"\n[presets.tiny]\n'
    text += "\n".join(f"{key} = {json.dumps(value)}" for key, value in size.items() if not isinstance(value, dict))
    for name in ("strategies", "seeds_of"):
        text += f"\n[presets.tiny.{name}]\n" + "\n".join(f'"{key}" = {json.dumps(v)}' for key, v in size[name].items())
    chosen, out = experiment_of("invented", text), tmp_path / "out"
    row = reproduce(chosen, preset="tiny", out=out)
    assert [list(seed["strategies"]) for seed in row["seeds"]] == [["brackets", "random", "expensive"]] * 2 + [
        ["brackets", "random"]
    ]
    for number, seed in enumerate(row["seeds"]):
        for label, found in seed["strategies"].items():
            run = read_run(out / "runs" / "invented-tiny" / f"seed-{number}" / label)
            assert found["trials"] == len(run.trials)
            assert found["searched"][-1] == pytest.approx(table.value(result_of(run).best.arch, "val_9"), abs=1e-4)
            assert found["reported"][-1] == pytest.approx(found["searched"][-1] - 1, abs=1e-3)
            assert found["epochs"] == sorted(found["epochs"])
            shortest = 1 if label != "random" else 9
            assert found["epochs"][0] == shortest
            first = table.value(Architecture.parse(str(run.trials[0].arch)), "val_9")
            assert found["searched"][0] == pytest.approx(first, abs=1e-4)
    assert row["beside"]["whole"] == 9
    assert any(line.startswith("| expensive | 2 |") for line in row["markdown"])
    if not available():
        return
    path = draw_row(chosen, "tiny", out, tmp_path / "curves.svg")
    assert path.read_text().lstrip().startswith("<?xml")
    with pytest.raises(MissingData, match="Nothing was measured"):
        draw_row(chosen, "paper", out, tmp_path / "curves.svg")
    with pytest.raises(SpecError, match=r"in \.svg"):
        draw_row(chosen, "tiny", out, tmp_path / "curves.png")


def made(levels: dict[str, float], seeds: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(seeds):
        found = {}
        for label, level in levels.items():
            value = round(float(level + rng.normal(0, 0.3)), 4)
            found[label] = {"trials": 10, "epochs": [5, 50], "searched": [80.0, value], "reported": [79.0, value - 1]}
        rows.append({"seed": number, "strategies": found})
    return rows


def test_who_is_ahead_is_said_by_the_rule_and_nobody_where_nothing_differs() -> None:
    levels = {"good": 93.0, "random": 90.0, "level": 90.0, "bad": 85.0}
    result = told(made(levels, 30), BESIDE)
    lines = {line.split(" | ")[0][2:]: line for line in result.markdown if line.startswith("| ")}
    assert lines["good"].count("↑") == 1
    assert lines["bad"].count("↓") == 1
    assert not {"↑", "↓"} & {*lines["level"], *lines["random"]}
    assert "| 15.00 [15.00, 15.00] |" in lines["good"]
    assert np.mean(result.ours) == pytest.approx(92.0, abs=0.3)
    assert set(result.baselines) == {"random", "level", "bad"}
    few = told(made(levels, 6), BESIDE)  # the least p of six pairs is 2 / 64, before it is corrected for six tests
    assert not {"↑", "↓"} & {*"".join(line for line in few.markdown if line.startswith("| "))}


def test_an_answer_that_is_not_there_yet_is_refused() -> None:
    with pytest.raises(SpecError, match="no answer after 4 epochs"):
        told(made({"good": 93.0, "random": 90.0}, 3), BESIDE | {"after": [4]})


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"strategies": {"asha": "asha"}}, SpecError, "random search among its strategies"),
        ({"seeds_of": {"bohb": 3}}, UnknownName, "bohb"),
        ({"after": (91,)}, SpecError, "after 1 to 90 epochs"),
    ],
)
def test_sizes_that_compare_nothing_are_refused(changed: dict[str, Any], error: type[Exception], words: str) -> None:
    given = {"table": "t", "metric": "m", "epochs": 90, "after": (9,), "strategies": {"random": "random"}, "seeds": 1}
    with pytest.raises(error, match=words):
        Size(**{**given, **changed})


def test_only_comparisons_at_equal_cost_have_curves(tmp_path: Path) -> None:
    other = next(one for one in experiments() if one.comparison == "gradient")
    with pytest.raises(SpecError, match="has no curves"):
        draw_row(other, "small", tmp_path, tmp_path / "curves.svg")
