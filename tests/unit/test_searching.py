"""Searching from Python with objects of one's own: going on with a search, and comparing strategies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ogive
from ogive import Measurement, Proposal, SpecError, StoreError, Trial
from ogive.core.metric import Metric


class Widths:
    """Rewards wide layers, and measures two things of them."""

    metrics = (Metric("val_acc"), Metric("params"))

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return [Measurement({"val_acc": float(sum(p.arch.choices)), "params": p.arch.choices[0]}) for p in proposals]


class Downhill:
    """Walks from the widest architecture to narrower ones, with a step that is its seed and 1."""

    def __init__(self, space: ogive.SearchSpace, seed: int) -> None:
        self.space, self.place = space, 1
        self.step = seed + 1

    def ask(self, n: int = 1) -> list[Proposal]:
        first, self.place = self.place, self.place + n * self.step
        places = range(len(self.space) - first, len(self.space) - self.place, -self.step)
        every = list(self.space)
        return [Proposal(every[place]) for place in places]

    def tell(self, trials: Sequence[Trial]) -> None:
        pass


def test_a_search_goes_on_with_its_objects_and_more_budget(tmp_path: Path) -> None:
    parts: dict[str, Any] = {"evaluator": Widths(), "objective": ogive.Maximize("params")}
    begun = ogive.search(space="natssize", strategy=Downhill, budget=2, out=tmp_path / "run", **parts)
    seen: list[int] = []
    longer = ogive.resume(begun, strategy=Downhill, budget=5, on_trial=lambda trial: seen.append(trial.number), **parts)
    assert seen == [2, 3, 4]
    assert longer.trials[:2] == begun.trials
    assert longer.objectives == ("maximize(params)",)
    alone = ogive.search(space="natssize", strategy=Downhill, budget=5, **parts)
    assert [trial.arch for trial in longer.trials] == [trial.arch for trial in alone.trials]


def test_a_search_of_names_goes_on_without_any(invented_table: Path, tmp_path: Path) -> None:
    ogive.search(space="nasbench201", table=str(invented_table), budget=4, prefer="val_acc>=1", out=tmp_path / "run")
    found = ogive.resume(tmp_path / "run", budget="6")
    assert len(found.trials) == 6
    assert [str(limit) for limit in found.limits] == ["val_acc>=1"]
    assert len(ogive.resume(found).trials) == 6


def test_a_search_does_not_go_on_with_another_part(tmp_path: Path) -> None:
    ogive.search(space="natssize", strategy=Downhill, evaluator=Widths(), budget=2, out=tmp_path / "run")
    with pytest.raises(StoreError, match="holds a search with the strategy Downhill, but now it is random"):
        ogive.resume(tmp_path / "run", strategy="random", evaluator=Widths(), budget=5)
    with pytest.raises(TypeError, match="unexpected keyword argument 'spaces'"):
        ogive.resume(tmp_path / "run", spaces="natssize")


def test_what_was_not_stored_does_not_go_on() -> None:
    with pytest.raises(SpecError, match=r"give ogive\.search an out="):
        ogive.resume(ogive.search(space="natssize", evaluator=Widths(), budget=2))


@pytest.mark.parametrize("workers", [1, 2])
def test_strategies_of_ones_own_are_compared_on_seeds_of_their_own(tmp_path: Path, workers: int) -> None:
    over: list[tuple[int, int]] = []
    strategies = [Downhill, "evolution(population=2, tournament=1)"]
    wanted: dict[str, Any] = {"space": "natssize", "evaluator": Widths(), "budget": 4, "seeds": 2, "seed": 1}
    found = ogive.compare(
        strategies,
        workers=workers,
        out=tmp_path if workers == 1 else None,
        on_search=lambda done, total: over.append((done, total)),
        **wanted,
    )
    assert found.strategies == ("random", "Downhill", "evolution(population=2, tournament=1)")
    assert over == [(done, 6) for done in range(1, 7)]
    # The widest is number 32,767 with 7 in all five layers; one step of 2 is 5 in the last.
    assert [outcome.curve for outcome in found.of("Downhill")] == [(35.0, 35.0, 35.0, 35.0)] * 2
    assert found.of("Downhill")[0].arch == "natssize:7,7,7,7,7"
    assert found.rows()[0].strategy == "Downhill"
    lines = repr(found).splitlines()
    assert lines[0] == "maximize(val_acc) after 4 trials, 2 seeds, mean and 95 % t-interval"
    assert lines[1].split() == ["Downhill", "35.000", "[35.000,", "35.000]"]
    assert len(lines) == 4
    if workers == 1:
        kept = json.loads((tmp_path / "comparison.json").read_text())
        assert [row["strategy"] for row in kept["rows"]] == [row.strategy for row in found.rows()]
        assert (tmp_path / "report.html").exists()
        assert [trial.arch.choices[-1] for trial in ogive.open_run(tmp_path / "Downhill-seed1").trials] == [7, 5, 3, 1]
        again = ogive.compare(strategies, out=tmp_path, **wanted)
        assert again.to_json() == found.to_json()


def test_an_objective_of_ones_own_is_that_of_every_search() -> None:
    class Narrow:
        needs = ("params",)

        def __call__(self, arch: ogive.Architecture, metrics: Any) -> float:
            return -float(metrics["params"])

    found = ogive.compare(["random"], space="natssize", evaluator=Widths(), objective=Narrow(), budget=30, seeds=2)
    for outcome in found.of("random"):
        assert outcome.arch is not None
        assert outcome.score == -float(outcome.arch.partition(":")[2].partition(",")[0])
    assert found.settings.objectives == ("Narrow",)


def test_a_strategy_without_a_name_is_refused() -> None:
    with pytest.raises(SpecError, match="needs a name to be told by"):
        ogive.compare([lambda space, seed: Downhill(space, seed + 1)], space="natssize", evaluator=Widths(), budget=2)
    with pytest.raises(TypeError, match=r"compare\(\) got an unexpected keyword argument 'in_flight'"):
        ogive.compare(["random"], space="natssize", in_flight=2)  # type: ignore[call-arg]


# -- scores -----------------------------------------------------------------------------------------------------------


def test_architectures_and_samples_are_scored_on_data_of_ones_own(tmp_path: Path) -> None:
    import torch
    from torch.utils.data import TensorDataset

    images = torch.randint(0, 256, (40, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mine = TensorDataset(images, torch.arange(40) % 2)
    small: dict[str, Any] = {"data": mine, "channels": 4, "cells": 1, "batch_size": 8}
    space = ogive.space("nasbench201")
    found = ogive.score(space=space, sample=3, proxies=["naswot", "params"], out=tmp_path / "scores.csv", **small)
    columns = found.columns()
    assert list(columns) == ["arch", "naswot", "params", "cpu_seconds", "error"]
    assert len(columns["arch"]) == 3
    assert np.isfinite(columns["params"]).all()
    texts = [space.format(row.arch) for row in found.rows]
    again = ogive.score(texts, space="nasbench201", proxies=["naswot", "params"], **small)
    assert [row.scores for row in again.rows] == [row.scores for row in found.rows]
    assert repr(again) == "Scores of 3 architectures of nasbench201, 0 failed: naswot, params"
    with pytest.raises(SpecError, match="Give architectures, or space="):
        ogive.score(texts, space="nasbench201", sample=3, **small)
    with pytest.raises(SpecError, match="Give architectures, or space="):
        ogive.score(**small)


# -- the winner -------------------------------------------------------------------------------------------------------


def test_a_search_on_a_torch_dataset_goes_all_the_way_to_files_and_page(tmp_path: Path) -> None:
    import torch
    from torch.utils.data import TensorDataset

    images = torch.randint(0, 256, (60, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mine = TensorDataset(images, torch.arange(60) % 2)
    found = ogive.search(
        space="nasbench201",
        strategy="random",
        evaluator="trained(epochs=1)",
        data=mine,
        channels=4,
        cells=1,
        budget=2,
        out=tmp_path / "run",
    )
    with pytest.raises(SpecError, match="were objects, called 'TensorDataset': give them again as data="):
        ogive.train(found, recipe="epochs=1")
    figures = ogive.train(found, recipe="epochs=1", data=mine, prefer="val_acc>=0")
    assert figures["look"] == 1
    assert figures["data"] == "TensorDataset"
    (exported,) = ogive.export(found, formats=["torch"], data=mine, out=tmp_path / "files", name="mine")
    assert exported.format == "torch"
    assert tmp_path / "files" / "mine.py" in exported.paths
    page = ogive.report(found, title="Two kinds of noise")
    assert page == tmp_path / "run" / "report.html"
    assert "Two kinds of noise" in page.read_text()
    assert ogive.report(tmp_path / "run", found, out=tmp_path / "both.html") == tmp_path / "both.html"
    assert len(ogive.resume(found, data=mine, budget=3).trials) == 3


def test_a_page_needs_a_run() -> None:
    with pytest.raises(SpecError, match="needs at least one run folder"):
        ogive.report()
