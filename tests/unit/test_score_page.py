"""Pages with kernels, from the command line on: of a table of scores, and of a run."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ogive.cli import main
from ogive.core.errors import SpecError
from ogive.core.trial import Budget
from ogive.runs import read_run
from ogive.scoring import Scoring, keep_kernels, keep_kernels_of_run
from ogive.session import Settings, search
from ogive.spaces.nasbench201 import nasbench201
from ogive.tables.kernels import read_kernels
from ogive.tables.scores import read_scores
from ogive.tables.store import Table

pytestmark = pytest.mark.usefixtures("one_thread")
DATA = "digits(limit=24)"
SMALL: dict[str, Any] = {"data": DATA, "channels": 4, "cells": 1}
FLAGS = ("--data", DATA, "--channels", 4, "--cells", 1, "--batch-size", 12, "--space", "nasbench201")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ogive(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ogive", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


def charts(page: str) -> list[dict[str, Any]]:
    found = re.search(r'id="ogive-data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])["charts"]


def test_a_page_about_scores_shows_every_score_against_every_column_and_three_kernels(
    ogive: Run, tmp_path: Path, invented_table: Path
) -> None:
    more = (*FLAGS, "--sample", 25, "--out", "t.csv", "--table", invented_table)
    code, out, _ = ogive("score", *more, "--against", "c10_test_200,c10v_val_200", "--page")
    assert code == 0
    assert "page: t.html" in out
    page = (tmp_path / "t.html").read_text()
    (chart,) = charts(page)
    assert [pick["options"] for pick in chart["picks"]] == [
        ["NASWOT score", "parameters"],
        ["c10_test_200", "c10v_val_200"],
    ]
    table, (_, rows) = Table.open(invented_table), read_scores(tmp_path / "t.csv")
    finite = {row.arch: row.scores for row in rows if row.scores is not None and np.isfinite(row.scores).all()}
    points = {
        (float(f"{scores[1]:.6g}"), float(f"{table.value(arch, 'c10v_val_200'):.6g}"))
        for arch, scores in finite.items()
    }
    trace = chart["views"][3]["traces"][0]
    assert points <= set(zip(trace["x"], trace["y"], strict=True))
    known = sorted(finite, key=lambda arch: -table.value(arch, "c10_test_200"))
    shown = [kernel.arch for kernel in read_kernels(tmp_path / "t.kernels.npz")]
    assert shown == [known[0], known[(len(known) - 1) // 2], known[-1]]
    for arch in shown:
        assert f"c10_test_200 {table.value(arch, 'c10_test_200'):.2f} %" in page
    assert page.count('<img src="data:image/png;base64,') == 4
    assert "25, 0 of which could not be scored" in page
    assert "ogive score --data" in page


def test_kernels_that_are_there_are_not_made_again(tmp_path: Path) -> None:
    settings = Scoring("nasbench201", DATA, batch_size=12, channels=4, cells=1)
    archs = [nasbench201().parse(text) for text in ("nasbench201:3,1,2,3,0,4", "nasbench201:2,2,2,2,2,2")]
    first = keep_kernels(settings, archs, tmp_path / "k.npz")
    written = (tmp_path / "k.npz").stat().st_mtime_ns
    assert [kernel.arch for kernel in keep_kernels(settings, archs, tmp_path / "k.npz")] == archs
    assert (tmp_path / "k.npz").stat().st_mtime_ns == written
    assert [kernel.arch for kernel in keep_kernels(settings, archs[:1], tmp_path / "k.npz")] == archs[:1]
    assert first[0].shares.shape == (12, 12)


def test_a_page_needs_a_table(ogive: Run) -> None:
    code, _, err = ogive("score", *FLAGS, "--sample", 2, "--page")
    assert code == 2
    assert "give --out scores.csv" in err


@pytest.mark.parametrize(
    ("strategy", "evaluator", "table"),
    [("random", "training_free([naswot, params], batch_size=12)", False), ("naswot({}, scored=5)", "tabular", True)],
)
def test_a_run_shows_what_naswot_sees_of_three_of_its_candidates(
    ogive: Run, tmp_path: Path, invented_table: Path, strategy: str, evaluator: str, table: bool
) -> None:
    settings = Settings(
        "nasbench201",
        strategy.format("training_free(naswot, batch_size=12)"),
        evaluator=evaluator,
        objectives=("maximize(val_acc)" if table else "maximize(naswot)",),
        table=str(invented_table) if table else None,
        budget=Budget(trials=5),
        **SMALL,
    )
    run = search(settings, tmp_path / "run")
    assert ogive("report", "run")[0] == 0
    assert 'id="kernels"' not in (tmp_path / "run" / "report.html").read_text()
    assert ogive("report", "run", "--kernels")[0] == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert '<section id="kernels"' in page
    assert 'href="#kernels"' in page
    working = {trial.arch: trial.scores[0] for trial in run.trials if trial.scores is not None}
    ordered = sorted(working, key=lambda arch: -working[arch])
    shown = [kernel.arch for kernel in read_kernels(read_run(tmp_path / "run").artifacts / "kernels.npz")]
    assert (shown[0], shown[-1]) == (ordered[0], ordered[-1])


def test_a_run_without_untrained_networks_says_that_it_has_no_kernels(tmp_path: Path, invented_table: Path) -> None:
    settings = Settings("nasbench201", "random", table=str(invented_table), budget=Budget(trials=2))
    run = search(settings, tmp_path / "run")
    with pytest.raises(SpecError, match="builds untrained networks"):
        keep_kernels_of_run(run, tmp_path / "k.npz")
