"""What `ogive compare --out` keeps for papers."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from pyarrow import parquet

import ogive
from ogive.comparison_files import _csv, _tex

STRATEGIES = ["random", "evolution(population=4, tournament=2)"]


@pytest.fixture
def kept(invented_table: Path, tmp_path: Path) -> Path:
    where = {"space": "nasbench201", "table": str(invented_table), "budget": 6, "seeds": 3}
    ogive.compare(["local_search"], **{**where, "seeds": 1}, out=tmp_path)  # an earlier one in the same folder
    ogive.compare(STRATEGIES, **where, out=tmp_path)
    return tmp_path


def test_every_trial_and_every_strategy_has_a_row(kept: Path) -> None:
    found = json.loads((kept / "comparison.json").read_text())
    trials = parquet.read_table(kept / "trials.parquet").to_pylist()
    wanted = {(name, seed) for name in STRATEGIES for seed in range(3)}
    assert {(row["strategy"], row["seed"]) for row in trials} == wanted
    assert len(trials) == 6 * 6
    for outcome in found["outcomes"]:
        scores = [
            row["score: maximize(val_acc)"]
            for row in trials
            if (row["strategy"], row["seed"]) == (outcome["strategy"], outcome["seed"])
        ]
        assert max(scores) == outcome["score"]
    with (kept / "summary.csv").open() as file:
        summary = list(csv.DictReader(file))
    for row, expected in zip(summary, found["rows"], strict=True):
        assert row["strategy"] == expected["strategy"]
        assert float(row["score"]) == expected["score"]
        assert [float(row["reported_low"]), float(row["reported_high"])] == expected["reported_interval"]


def test_the_table_for_latex_has_the_best_in_bold_and_escapes(kept: Path) -> None:
    text = (kept / "summary.tex").read_text()
    found = json.loads((kept / "comparison.json").read_text())
    lines = text.splitlines()
    assert lines[0] == "% Means and 95 % t-intervals over 3 seeds; budget 6 trials."
    assert lines[1] == r"\begin{tabular}{lrrrr}"
    assert lines[3] == r"strategy & objective & regret & test accuracy & regret \\"
    best = found["rows"][0]
    assert f"\\textbf{{{best['reported']:.2f}}}" in lines[5]
    assert text.count("textbf") == 1
    assert lines[-1] == r"\end{tabular}"
    assert (text.count("{"), text.count(r"\\")) == (text.count("}"), 3)


def worth(arch: ogive.Architecture) -> float:
    return float(sum(arch.choices))


def test_signs_of_latex_are_letters() -> None:
    found = ogive.compare(["random(without_replacement=true)"], space="natssize", evaluator=worth, budget=2, seeds=1)
    text = _tex(found)
    assert "\nrandom(without\\_replacement=true) & \\textbf{" in text
    assert r"[" not in text.splitlines()[5]  # one seed has no interval


def test_without_pyarrow_trials_are_text(kept: Path) -> None:
    code = (
        "import importlib.util, sys\nfind = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'pyarrow' else find(name, *rest)\n"
        "import ogive\nfrom ogive.comparison_files import _kept_trials\nfrom pathlib import Path\n"
        "print(_kept_trials({'a': [1, 2], 'b': [float('nan'), None], 'c': [None, 'x,y']}, Path(sys.argv[1])))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(kept)], capture_output=True, text=True, check=False)
    assert done.stdout == f"{kept / 'trials.csv'}\n", done.stderr
    assert (kept / "trials.csv").read_text() == 'a,b,c\n1,,\n2,,"x,y"\n'
    assert not (kept / "trials.parquet").exists()


def test_nothing_is_a_table_without_rows() -> None:
    assert _csv([]) == "\n"
