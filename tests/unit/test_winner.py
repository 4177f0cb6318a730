"""The winner of a run: trained on all but the test images, kept, exported and measured."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ogive import session
from ogive.core.errors import SpecError, StoreError, UnknownName
from ogive.core.rng import Seed
from ogive.core.trial import Budget
from ogive.networks.build import build, fitted_skeleton
from ogive.runs import read_run
from ogive.training.data import load
from ogive.training.recipe import Recipe
from ogive.training.supervised import train
from ogive.winner import export_winner, measure_latency, train_winner

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = session.Settings(
    space="nasbench201",
    strategy="random",
    evaluator="trained(epochs=1)",
    data="digits(limit=80)",
    channels=2,
    cells=1,
    budget=Budget(trials=2),
    seed=5,
)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "searched"
    session.search(SETTINGS, folder)
    return folder


@pytest.fixture(scope="module")
def trained(searched: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "trained"
    shutil.copytree(searched, folder)
    train_winner(folder, recipe="epochs=2")
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def facts_of(run: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((run / "artifacts" / "winner.json").read_text())
    return facts


def test_the_winner_is_trained_on_training_and_validation_images_together(run: Path) -> None:
    data = load("digits", limit=80)
    arch = read_run(run).choice.found.arch
    seed = Seed(5).child("winner")
    skeleton = fitted_skeleton("nasbench201", data.shape, 10, channels=2, cells=1)
    network = build(arch, skeleton, seed=seed.integer(str(arch)))
    train(network, data.joined(), Recipe(epochs=2), seed=seed, validate_every=0)
    kept = load_file(run / "artifacts" / "winner" / "winner.safetensors")
    assert kept.keys() == network.state_dict().keys()
    assert all(torch.equal(kept[name], tensor) for name, tensor in network.state_dict().items())


def test_the_figures_are_those_of_the_network_and_the_test_images(run: Path) -> None:
    facts = facts_of(run)
    assert facts["test_images"] == len(load("digits", limit=80).test)
    assert facts["test_correct"] == pytest.approx(facts["test_acc"] / 100 * facts["test_images"])
    assert facts["epochs"] == len(facts["history"]) == 2
    trial = next(trial for trial in read_run(run).trials if trial.number == facts["trial"])
    assert (facts["arch"], facts["params"], facts["macs"]) == (
        str(trial.arch),
        trial.metrics["params"],
        trial.metrics["macs"],
    )


def test_another_recipe_or_trial_replaces_the_winner(run: Path) -> None:
    before = facts_of(run)
    assert train_winner(run, recipe="epochs=1")["epochs"] == 1
    other = next(trial.number for trial in read_run(run).trials if trial.number != before["trial"])
    assert train_winner(run, trial=other, recipe="epochs=1")["trial"] == other
    assert len(list((run / "artifacts" / "winner").glob("training-*"))) == 1


def test_the_same_training_again_changes_nothing(run: Path) -> None:
    weights = (run / "artifacts" / "winner" / "winner.safetensors").read_bytes()
    train_winner(run, recipe="epochs=2")
    assert (run / "artifacts" / "winner" / "winner.safetensors").read_bytes() == weights


def test_formats_that_were_exported_before_stay_on_record(run: Path) -> None:
    export_winner(run, formats=("torch",))
    export_winner(run, formats=("export",))
    assert [entry["format"] for entry in facts_of(run)["exports"]] == ["torch", "export"]
    export_winner(run, formats=("torch",), out=run / "elsewhere")
    paths = {entry["format"]: entry["paths"][0] for entry in facts_of(run)["exports"]}
    assert paths["torch"] == str(run / "elsewhere" / "winner.py")
    with pytest.raises(SpecError, match="needs a format"):
        export_winner(run, formats=())


@pytest.mark.parametrize("text", ["{", "{}", "[]", "\x00"])
def test_a_damaged_record_is_told_as_such(run: Path, text: str) -> None:
    (run / "artifacts" / "winner.json").write_text(text)
    with pytest.raises(StoreError, match=r"winner\.json is damaged .*ogive train"):
        export_winner(run)


def test_damaged_weights_are_told_as_such(run: Path) -> None:
    weights = run / "artifacts" / "winner" / "winner.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(StoreError, match=r"does not hold the winner .*train it again"):
        export_winner(run)
    weights.unlink()
    with pytest.raises(StoreError, match="does not hold the winner"):
        export_winner(run)


def test_without_a_trained_winner_there_is_nothing_to_export(searched: Path) -> None:
    with pytest.raises(StoreError, match="no trained winner yet: ogive train"):
        export_winner(searched)


def test_a_trial_that_is_not_there_is_refused(searched: Path) -> None:
    with pytest.raises(UnknownName, match="no trial named '17'"):
        train_winner(searched, trial=17)


def test_an_option_that_no_training_has_is_refused(searched: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'epochs'"):
        train_winner(searched, recipe="epoch=3")


@pytest.mark.parametrize(
    "text",
    ["nasbench201:3,1,2,0,0,4", "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|none~0|none~1|avg_pool_3x3~2|"],
)
def test_latency_is_measured_of_an_architecture_in_any_form(text: str) -> None:
    arch, report = measure_latency(text, shape=(1, 8, 8), channels=2, cells=1)
    assert str(arch) == "nasbench201:3,1,2,0,0,4"
    assert 0 < report.p10_ms <= report.median_ms <= report.p90_ms


def test_latency_of_a_run_is_that_of_its_winner(run: Path) -> None:
    arch, _ = measure_latency(str(run))
    assert str(arch) == facts_of(run)["arch"]


@pytest.mark.parametrize(
    ("text", "reason"), [("nasbench20:1", "Did you mean 'nasbench201'"), ("what", "neither a run")]
)
def test_what_is_no_architecture_is_refused(text: str, reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        measure_latency(text)


def test_a_network_larger_than_the_memory_is_refused_before_it_is_made() -> None:
    with pytest.raises(SpecError, match=r"weights \(\d+\) would take .* GiB.*smaller --channels or --cells"):
        measure_latency("nasbench201:3,3,3,3,3,3", channels=65_536, cells=5)
