"""A search that is killed with SIGKILL at any moment and then resumed holds the trials of an uninterrupted one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

KILLING = Path(__file__).with_name("killing.py")

TABULAR = {"space": "nasbench201", "evaluator": "tabular"}
TRAINED = {
    "space": "nasbench201",
    "strategy": "evolution(population=2, tournament=2)",
    "evaluator": "trained(epochs=2, threads=1)",
    "data": "digits(limit=60)",
    "channels": 2,
    "cells": 1,
}


def killed_and_resumed(place: Path, **config: Any) -> list[dict[str, Any]]:
    # Another hash seed in every run: nothing may depend on the order of a set.
    done = subprocess.run(
        [sys.executable, str(KILLING), json.dumps(config), str(place)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": "random"},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def assert_all_survived(kills: list[dict[str, Any]], expected: int) -> None:
    assert len(kills) == expected
    assert all(kill["killed"] for kill in kills), "a chosen operation never happened"
    assert [kill["at"] for kill in kills if not kill["same"]] == []


@pytest.mark.parametrize("kind", ["trials.jsonl", "strategy"])
@pytest.mark.parametrize(
    ("strategy", "objectives"),
    [
        ("evolution(population=10, tournament=3)", ["maximize(val_acc)"]),
        ("nsga2(population=8)", ["maximize(val_acc)", "minimize(params)"]),
    ],
    ids=["evolution", "nsga2"],
)
def test_a_table_search_survives_20_kills(
    tmp_path: Path, invented_table: Path, strategy: str, objectives: list[str], kind: str
) -> None:
    settings = {
        **TABULAR,
        "evaluator": "tabular(also=[params])",
        "strategy": strategy,
        "objectives": objectives,
        "table": str(invented_table),
    }
    kills = killed_and_resumed(tmp_path, settings=settings, trials=40, save_every=5, kind=kind, kills=20, seed=0)
    assert_all_survived(kills, 20)


def test_a_training_search_survives_20_kills_within_trials_checkpoints_and_saves(tmp_path: Path) -> None:
    kills = killed_and_resumed(tmp_path, settings=TRAINED, trials=4, save_every=1, kind="", kills=20, seed=0)
    assert_all_survived(kills, 20)
    struck = " ".join(kill["at"] for kill in kills)
    assert "unfinished" in struck
    assert "strategy" in struck


def test_a_search_on_rows_survives_12_kills(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    rows = (f"{n % 7},{'' if n % 5 else 'word'},{n % 11 / 4}" for n in range(60))
    file.write_text("\n".join(("number,word,quantity", *rows)))
    settings = {
        "space": "mlp",
        "strategy": "evolution(population=2, tournament=2)",
        "evaluator": "trained(epochs=2, threads=1)",
        "data": f"csv:{file}(target=quantity)",
    }
    kills = killed_and_resumed(tmp_path, settings=settings, trials=4, save_every=1, kind="", kills=12, seed=0)
    assert_all_survived(kills, 12)
