"""A finished run under objectives that it was not searched for, and a run and its data that moved."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import ogive
from ogive import Measurement, Proposal, SpecError
from ogive.core.metric import LATENCY, PARAMS, Metric
from ogive.reranking import reranked
from ogive.runs import read_run


@pytest.fixture
def run(invented_table: Path, tmp_path: Path) -> Path:
    ogive.search(
        space="nasbench201",
        table=str(invented_table),
        evaluator="tabular(also=[params])",
        strategy="random",
        budget=12,
        out=tmp_path / "run",
    )
    return tmp_path / "run"


def test_trials_are_scored_by_what_was_measured(run: Path) -> None:
    before = read_run(run)
    after = reranked(before, ["params"])
    assert after.objectives == ("minimize(params)",)
    assert after.searched_for == before.objectives == ("maximize(val_acc)",)
    assert [trial.scores for trial in after.trials] == [(-trial.metrics["params"],) for trial in before.trials]
    found = ogive.open_run(run, objective="params")
    smallest = min(before.trials, key=lambda trial: trial.metrics["params"])
    assert found.best.number == smallest.number != ogive.open_run(run).best.number
    both = ogive.open_run(run, objective=["val_acc", "params"])
    assert {found.best.number, ogive.open_run(run).best.number} <= {trial.number for trial in both.pareto()}
    assert read_run(run) == before


def test_what_was_not_measured_or_is_reported_ranks_nothing(run: Path) -> None:
    with pytest.raises(SpecError, match="needs the metric 'latency_ms'"):
        ogive.open_run(run, objective="latency_tradeoff(target_ms=2)")
    with pytest.raises(SpecError, match="never sees the test set"):
        ogive.open_run(run, objective="test_acc")


def test_the_page_says_what_was_sought_and_is_made_by_its_command(run: Path) -> None:
    page = ogive.report(run, objective="params")
    text = page.read_text()
    assert page.name == "report-ranked.html"
    assert "The trials are ranked here by minimize(params). They were searched for maximize(val_acc)" in text
    assert f"ogive report {run} --objective &#x27;minimize(params)&#x27; --out" in text or (
        f"ogive report {run} --objective 'minimize(params)' --out" in text
    )
    assert f"trial {ogive.open_run(run, objective='params').best.number} of" in text
    assert "are ranked here by" not in ogive.report(run).read_text()


class Clocked:
    """Measures latencies that are others when they are measured once more, side by side."""

    metrics = (Metric("val_acc"), PARAMS, LATENCY)

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return [Measurement(self.found(proposal, 1.0)) for proposal in proposals]

    def side_by_side(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return [Measurement(self.found(proposal, 10.0)) for proposal in proposals]

    def found(self, proposal: Proposal, factor: float) -> dict[str, float]:
        width = sum(proposal.arch.choices)
        return {"val_acc": float(width), "params": float(100 - width), LATENCY.name: factor * (1 + width)}


def test_latencies_count_as_they_were_measured_last(tmp_path: Path) -> None:
    ogive.search(
        space="natssize",
        strategy="random",
        evaluator=Clocked(),
        objective="latency_tradeoff(target_ms=10)",
        budget=6,
        out=tmp_path / "run",
    )
    before, after = read_run(tmp_path / "run"), reranked(read_run(tmp_path / "run"), ["latency_ms"])
    assert before.remeasured
    for number, trial in after.remeasured.items():
        assert trial.scores == (-before.remeasured[number].metrics["latency_ms"],)


def test_a_moved_run_goes_on_with_moved_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez("mine.npz", x=rng.integers(0, 256, (60, 3, 8, 8), dtype=np.uint8), y=np.arange(60) % 2)
    ogive.search(
        space="nasbench201",
        strategy="random",
        evaluator="trained(epochs=1)",
        data="arrays:mine.npz",
        channels=4,
        cells=1,
        budget=1,
        out="run",
    )
    ogive.train("run", recipe="epochs=1")
    ogive.export("run", formats=["torch"])
    Path("elsewhere").mkdir()
    shutil.move("run", "elsewhere/kept")
    shutil.move("mine.npz", "elsewhere/yours.npz")
    moved = "arrays:elsewhere/yours.npz"
    assert len(ogive.resume("elsewhere/kept", budget=2, data=moved).trials) == 2
    figures = ogive.train("elsewhere/kept", recipe="epochs=1", trial=0, data=moved)
    assert figures["look"] == 1  # it was trained so before, and nothing is measured again
    (exported,) = ogive.export("elsewhere/kept", formats=["torch"], trial=0, data=moved)
    assert all(path.is_file() for path in exported.paths)
    assert "elsewhere/kept" in ogive.report("elsewhere/kept").read_text()
