"""``ogive correlate``: how well the metrics of a run rank its architectures."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ogive.cli import main
from ogive.core.errors import UnknownName
from ogive.core.trial import Budget
from ogive.metrics import kendall_tau
from ogive.runs import Run, read_run
from ogive.scoring import correlations, measured
from ogive.session import Settings, search

Ogive = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Random residual networks, scored on noise."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    parts = {f"x_{part}": rng.integers(0, 256, (24, 3, 4, 4), np.uint8) for part in ("train", "test")}
    np.savez(folder / "noise.npz", **parts, **{f"y_{part}": np.arange(24) % 2 for part in ("train", "test")})
    return search(
        Settings(
            space="nds_resnext(variant=a, max_params=40000)",
            strategy="random",
            evaluator="training_free([naswot, params, macs], batch_size=8)",
            objectives=("maximize(naswot)",),
            data=f"arrays:{folder / 'noise.npz'}",
            budget=Budget(trials=12),
        ),
        folder / "run",
    )


@pytest.fixture
def ogive(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ogive:
    def command(*arguments: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ogive", *map(str, arguments)])
        with pytest.raises(SystemExit) as raised:
            main()
        said = capsys.readouterr()
        return int(raised.value.code or 0), said.out, said.err

    return command


def test_the_figures_are_those_of_the_finished_trials(run: Run, ogive: Ogive, tmp_path: Path) -> None:
    kept = tmp_path / "tau.json"
    code, out, err = ogive("correlate", run.folder, "--truth", "naswot", "--metrics", "params, macs", "--out", kept)
    assert (code, err) == (0, "")
    assert "rank correlation with naswot of 12 architectures" in out
    truth, params, macs = (
        np.array([trial.metrics[name] for trial in run.trials]) for name in ("naswot", "params", "macs")
    )
    found = json.loads(kept.read_text())
    assert (found["run"], found["column"], found["n"]) == ("run", "naswot", 12)
    assert [score["proxy"] for score in found["scores"]] == ["params", "macs"]
    assert [score["tau"] for score in found["scores"]] == [kendall_tau(params, truth), kendall_tau(macs, truth)]
    low, high = found["scores"][0]["tau_interval"]
    assert low < found["scores"][0]["tau"] < high


def test_trials_below_a_truth_may_be_left_out(run: Run, ogive: Ogive) -> None:
    middle = sorted(trial.metrics["naswot"] for trial in run.trials)[5]
    code, out, _ = ogive("correlate", run.folder, "--truth", "naswot", "--metrics", "params", "--above", middle)
    assert code == 0
    assert "of 6 architectures, those above" in out


def test_what_cannot_be_correlated_is_one_line(run: Run, ogive: Ogive, tmp_path: Path) -> None:
    for arguments, message in (
        ((run.folder, "--metrics", "naswott", "--truth", "params"), "named 'naswott'. Did you mean 'naswot'?"),
        ((run.folder, "--metrics", "naswot"), "named 'val_acc'"),
        ((run.folder, "--metrics", "naswot", "--truth", "naswot"), "other than the truth"),
        ((run.folder, "--metrics", ",", "--truth", "naswot"), "other than the truth"),
        ((run.folder, "--metrics", "params", "--truth", "naswot", "--above", "1e9"), "at least 3"),
        ((tmp_path, "--metrics", "naswot"), "run"),
    ):
        code, out, err = ogive("correlate", *arguments)
        assert (code, out) == (2, "")
        assert message in err
        assert err.count("\n") == 1


def test_a_run_knows_which_metrics_it_has(run: Run) -> None:
    rows, truth = measured(read_run(run.folder), "macs", ["naswot"])
    assert [row.arch for row in rows] == [trial.arch for trial in run.trials] == list(truth)
    assert correlations(["naswot"], rows, truth)[1] == 12
    with pytest.raises(UnknownName, match="latency"):
        measured(run, "latency", ["naswot"])
