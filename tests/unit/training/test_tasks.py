"""Tasks of one's own: another loss, networks of a space of one's own, and what is wrong with them in one line."""

from __future__ import annotations

import os
import runpy
import signal
import threading
import time
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ogive
from ogive.catalog import task_of
from ogive.core.errors import ProtocolError, SpecError
from ogive.reporting.page import write_page
from ogive.runs import read_run
from ogive.spaces.accel_nasbench import accel_nasbench
from ogive.training.data import Data, load
from ogive.training.recipe import Recipe
from ogive.training.tasks.classification import Classification
from ogive.winner import export_winner, train_winner

pytestmark = pytest.mark.usefixtures("one_thread")

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
OPTIONS = {
    "strategy": "random",
    "evaluator": "trained(epochs=2, batch_size=32)",
    "budget": 2,
    "channels": 4,
    "cells": 1,
}


@pytest.fixture(scope="module")
def digits() -> Data:
    return load("digits", limit=120)


class Squared(Classification):
    """Learns the labels as numbers: a loss that is no cross-entropy."""

    def loss(self, outputs: Tensor, targets: Tensor, recipe: Recipe) -> Tensor:
        return F.mse_loss(outputs.softmax(1), F.one_hot(targets, outputs.shape[1]).to(outputs.dtype))


class Unfinished(Classification):
    def loss(self, outputs: Tensor, targets: Tensor, recipe: Recipe) -> Tensor:
        return F.cross_entropy(outputs, targets, reduction="none")


class Forgetful(Classification):
    metrics = (*Classification.metrics, ogive.Metric("val_f1"))


def draw(arch: ogive.Architecture) -> ogive.Graph:
    return ogive.Graph(("input", f"linear{arch.choices[0]}", "output"), frozenset({(0, 1), (1, 2)}))


SPACE = ogive.SearchSpace("hidden", (ogive.Choice("width", ("8", "16", "32")),), draw)


def built(arch: ogive.Architecture, seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        width = 8 << int(arch.choices[0])
        return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))


def too_few(arch: ogive.Architecture, seed: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 9))


def test_a_loss_of_ones_own_is_what_is_trained(digits: Data) -> None:
    usual, own = (
        ogive.search(space="nasbench201", task=task, seed=3, **OPTIONS)
        for task in (Classification(digits), Squared(digits))
    )
    assert [trial.arch for trial in usual.trials] == [trial.arch for trial in own.trials]
    assert [dict(trial.metrics) for trial in usual.trials] != [dict(trial.metrics) for trial in own.trials]
    plain = ogive.search(space="nasbench201", data=digits, seed=3, **OPTIONS)
    assert [dict(trial.metrics) for trial in plain.trials] == [dict(trial.metrics) for trial in usual.trials]


def test_a_loss_that_is_no_number_ends_the_search_in_one_line(digits: Data) -> None:
    with pytest.raises(SpecError, match=r"one number for a batch, but Unfinished\.loss returned a tensor of the shape"):
        ogive.search(space="nasbench201", task=Unfinished(digits), **OPTIONS)


def test_networks_of_ones_own_go_all_the_way(digits: Data, tmp_path: Path) -> None:
    task, folder = Classification(digits, builder=built), tmp_path / "run"
    options = {**OPTIONS, "channels": None, "cells": None}
    whole = ogive.search(space=SPACE, task=task, out=tmp_path / "whole", **options)
    ogive.search(space=SPACE, task=task, out=folder, **{**options, "budget": 1})
    found = ogive.search(space=SPACE, task=task, out=folder, resume=True, **options)
    assert [dict(trial.metrics) for trial in found.trials] == [dict(trial.metrics) for trial in whole.trials]
    facts = train_winner(folder, task=task, recipe="epochs=20, batch_size=16")
    assert facts["test_acc"] > 60  # chance is 10
    (exported,) = export_winner(folder, task=task, formats=["export"])
    assert exported.largest_difference <= 1e-4
    page = write_page([read_run(folder)], tmp_path / "page.html").read_text(encoding="utf-8")
    assert "validation accuracy" in page


def test_a_task_of_ones_own_goes_all_the_way_through_kill_9(digits: Data, tmp_path: Path) -> None:
    grading = runpy.run_path(str(EXAMPLES / "own_task.py"))["Grading"]
    options = {**OPTIONS, "channels": None, "cells": None, "budget": 3}
    task, folder = grading(digits, builder=built), tmp_path / "run"
    whole = ogive.search(space=SPACE, task=task, out=tmp_path / "whole", **options)
    assert [trial.scores for trial in whole.trials] == [(-trial.metrics["val_off"],) for trial in whole.trials]
    first = whole.trials[0].arch

    def deadly(arch: ogive.Architecture, seed: int) -> nn.Module:
        if arch != first:
            os.kill(os.getpid(), signal.SIGKILL)
        return built(arch, seed)

    child = os.fork()
    if child == 0:
        ogive.search(space=SPACE, task=grading(digits, builder=deadly), out=folder, **options)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert len(read_run(folder).trials) == 1
    found = ogive.search(space=SPACE, task=task, out=folder, resume=True, **options)
    assert [(one.arch, dict(one.metrics)) for one in found.trials] == [
        (one.arch, dict(one.metrics)) for one in whole.trials
    ]
    facts = train_winner(folder, task=task, recipe="epochs=20, batch_size=16")
    assert facts["test_off"] < 2.5  # chance is 3.3, and always saying a middle grade 2.5
    assert facts["reached"] == f"{facts['test_off']:.2f} grades off"
    (exported,) = export_winner(folder, task=task, formats=["export"])
    assert exported.largest_difference <= 1e-4
    page = write_page([read_run(folder)], tmp_path / "page.html").read_text(encoding="utf-8")
    assert "mean distance from the right grade" in page


def test_the_example_of_a_builder_goes_all_the_way_through_kill_9(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    trials = tmp_path / "layers" / "trials.jsonl"

    def kill() -> None:
        while not trials.exists() or not trials.read_text(encoding="utf-8"):
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        threading.Thread(target=kill).start()
        runpy.run_path(str(EXAMPLES / "own_builder.py"), run_name="__main__")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert not (tmp_path / "layers" / "report.html").exists()
    before = read_run(tmp_path / "layers").trials
    runpy.run_path(str(EXAMPLES / "own_builder.py"), run_name="__main__")
    found = read_run(tmp_path / "layers")
    assert found.trials[: len(before)] == before
    assert len(found.trials) == 3
    assert float(capsys.readouterr().out.partition(" % of")[0]) > 60  # chance is 10
    assert (found.artifacts / "export" / "winner.pt2").exists()
    assert "validation accuracy" in (tmp_path / "layers" / "report.html").read_text(encoding="utf-8")


def test_a_task_that_measures_something_else_than_it_promised_is_named(digits: Data) -> None:
    with pytest.raises(
        ProtocolError, match=r"The task Forgetful promised the metrics val_f1, but measured only .*val_acc"
    ):
        ogive.search(space="nasbench201", task=Forgetful(digits), **OPTIONS)


def test_a_builder_whose_networks_answer_something_else_is_refused(digits: Data) -> None:
    task = Classification(digits, builder=too_few)
    with pytest.raises(SpecError, match=r"must give 10 numbers for each image, one a class, but for 2 images it gave"):
        ogive.search(space=SPACE, task=task, **{**OPTIONS, "channels": None, "cells": None})


def test_data_whose_task_no_network_of_the_space_serves_are_refused_with_both_lists(digits: Data) -> None:
    with pytest.raises(SpecError, match=r"digits is data for classification or generation, and networks of accel_nasb"):
        task_of(accel_nasbench(), digits)
