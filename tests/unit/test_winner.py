"""The winner of a run: trained on all but the test images, kept, exported and measured."""

from __future__ import annotations

import json
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

import ogive
from ogive import session
from ogive.answers import read_answers
from ogive.cli import main
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, StoreError, UnknownName
from ogive.core.rng import Seed
from ogive.core.trial import Budget, Proposal
from ogive.looks import looks_at_test
from ogive.networks.build import build, fitted_skeleton
from ogive.run_store import RunStore
from ogive.runs import read_run
from ogive.training.data import load
from ogive.training.lock import lock
from ogive.training.recipe import Recipe
from ogive.training.supervised import train
from ogive.winner import export_winner, measure_in_runtime, measure_latency, train_winner, winner_facts

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


def network_folder(run: Path, trial: int | None = None) -> Path:
    number = read_run(run).choice.found.number if trial is None else trial
    return run / "artifacts" / "networks" / f"trial-{number}"


def weights_of(run: Path) -> Path:
    return network_folder(run) / "network.safetensors"


def other_than_best(run: Path) -> int:
    best = read_run(run).choice.found
    return next(trial.number for trial in read_run(run).trials if trial.number != best.number)


def surpass(run: Path) -> int:
    """Let the search go on until another trial is its best; the number of that one."""
    before = read_run(run)
    best, arch = before.choice.found, Architecture("nasbench201", (3, 3, 1, 3, 3, 3))
    better = replace(best, number=len(before.trials), proposal=Proposal(arch), scores=(100.0,))
    with RunStore.open(run) as store:
        store.append(better, 99.0)
    return better.number


def test_the_winner_is_trained_on_training_and_validation_images_together(run: Path) -> None:
    data = load("digits", limit=80)
    arch = read_run(run).choice.found.arch
    seed = Seed(5).child("winner")
    skeleton = fitted_skeleton("nasbench201", data.shape, 10, channels=2, cells=1)
    network = build(arch, skeleton, seed=seed.integer(str(arch)))
    train(network, data.joined(), Recipe(epochs=2), seed=seed, validate_every=0)
    kept = load_file(weights_of(run))
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


def test_the_answers_on_the_test_images_are_kept_beside_the_network(run: Path) -> None:
    facts, found = facts_of(run), read_answers(network_folder(run) / "answers.json")
    assert found is not None
    assert (found.count, sum(tally.found for tally in found.tallies)) == (facts["test_images"], facts["test_correct"])
    assert found.confusion is not None
    assert sum(count for *_, count in found.confusion) == facts["test_images"]
    assert not facts["held_out"]
    assert read_run(run).config["data_summary"] == list(load("digits", limit=80).summary)


def test_validation_images_can_be_held_out_and_are_measured_after_each_epoch(run: Path) -> None:
    facts = train_winner(run, recipe="epochs=2", validate=True)
    assert facts["held_out"]
    assert [epoch["val_acc"] is not None for epoch in facts["history"]] == [True, True]
    data, arch = load("digits", limit=80), read_run(run).choice.found.arch
    seed = Seed(5).child("winner")
    skeleton = fitted_skeleton("nasbench201", data.shape, 10, channels=2, cells=1)
    network = build(arch, skeleton, seed=seed.integer(str(arch)))
    train(network, data, Recipe(epochs=2), seed=seed)  # on the training images alone
    kept = load_file(weights_of(run))
    assert all(torch.equal(kept[name], tensor) for name, tensor in network.state_dict().items())


def test_another_recipe_replaces_the_network_of_a_trial_and_another_trial_does_not(run: Path) -> None:
    best = facts_of(run)["trial"]
    assert train_winner(run, recipe="epochs=1")["epochs"] == 1
    assert facts_of(run)["epochs"] == 1
    assert len(list(network_folder(run).glob("training-*"))) == 1
    other = other_than_best(run)
    assert train_winner(run, trial=other, recipe="epochs=1")["trial"] == other
    assert facts_of(run)["trial"] == best
    assert winner_facts(read_run(run), other)["trial"] == other
    assert {path.name for path in (run / "artifacts" / "networks").iterdir()} == {"trial-0", "trial-1"}


def test_the_same_training_again_changes_nothing_and_looks_at_nothing(run: Path) -> None:
    weights, facts = weights_of(run).read_bytes(), facts_of(run)
    again = train_winner(run, recipe="epochs=2")
    assert weights_of(run).read_bytes() == weights
    assert facts_of(run) == facts
    assert again.items() <= facts.items()
    assert len(looks_at_test(run)) == 1


# -- several trained trials, and which of them is the winner ----------------------------------------------------------


def test_two_processes_train_a_trial_once_between_them(searched: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(searched, tmp_path / "run"))
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: train_winner(run, recipe="epochs=2", threads=1), range(2))
    assert (first["test_correct"], first["look"]) == (second["test_correct"], second["look"])
    assert [look.number for look in looks_at_test(run)] == [1]


def test_who_trains_what_another_process_is_training_says_that_it_waits(
    searched: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Path(shutil.copytree(searched, tmp_path / "run"))
    with ThreadPoolExecutor(1) as pool:
        with lock(network_folder(run), "network", None):
            waiting = pool.submit(train_winner, run, recipe="epochs=2", threads=1)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=3)
        assert waiting.result()["look"] == 1
    assert caplog.text.count("another process trains the network in trial-") == 1


def test_a_trained_network_is_no_winner_once_another_trial_is_the_best(run: Path) -> None:
    stale = facts_of(run)["trial"]
    export_winner(run, formats=("torch",))
    best = surpass(run)
    told = (
        f"The winner of {run} today, trial {best}, the best in maximize(val_acc), is not trained, but trial {stale} "
        f"is: ogive train {run} trains the winner, ogive export {run} --trial {stale} exports the other."
    )
    with pytest.raises(StoreError, match=re.escape(told)):
        export_winner(run)
    facts = train_winner(run, recipe="epochs=1")
    assert facts["trial"] == facts_of(run)["trial"] == best
    assert facts_of(run)["rule"] == "the best in maximize(val_acc)"
    (exported,) = export_winner(run, formats=("torch",))
    assert exported.paths[0] == run / "artifacts" / "export" / "winner.py"


def test_a_search_that_goes_on_takes_a_stale_winner_away(run: Path) -> None:
    trained = facts_of(run)["trial"]
    limit = max(trial.metrics["val_acc"] for trial in read_run(run).trials if trial.number != trained)
    session.resume(run, prefer=[f"val_acc<={limit!r}"])
    if read_run(run).choice.found.number != trained:
        assert not (run / "artifacts" / "winner.json").exists()
    session.resume(run, prefer=["knee"])
    assert facts_of(run)["trial"] == trained


def test_a_trial_is_exported_beside_its_weights_under_its_number(run: Path) -> None:
    other = other_than_best(run)
    missing = rf"Trial {other} of .* has no trained network yet: ogive train .* --trial {other}"
    with pytest.raises(StoreError, match=missing):
        export_winner(run, trial=other)
    train_winner(run, trial=other, recipe="epochs=1")
    (exported,) = export_winner(run, trial=other, formats=("torch",))
    assert exported.paths[0] == network_folder(run, other) / "export" / f"trial_{other}.py"
    assert winner_facts(read_run(run), other)["exports"][0]["format"] == "torch"
    assert facts_of(run)["exports"] == []


def test_the_files_of_an_earlier_winner_do_not_stay_among_those_of_todays(run: Path) -> None:
    stale = facts_of(run)["trial"]
    place = run / "artifacts" / "export"
    export_winner(run, formats=("torch", "export"))
    surpass(run)
    train_winner(run, recipe="epochs=1")
    export_winner(run, formats=("torch",))
    assert not (place / "winner.pt2").exists()
    assert winner_facts(read_run(run), stale)["exports"] == []
    assert facts_of(run)["arch"] in (place / "winner.py").read_text()


def test_a_trial_with_the_architecture_of_the_winner_has_its_network(run: Path) -> None:
    trained = facts_of(run)["trial"]
    before = read_run(run)
    with RunStore.open(run) as store:
        store.append(replace(before.choice.found, number=len(before.trials), scores=(100.0,)), 99.0)
    assert read_run(run).choice.found.number != trained
    assert winner_facts(read_run(run))["trial"] == trained


def test_what_is_preferred_when_a_trial_is_trained_decides_who_is_the_winner(run: Path) -> None:
    other = other_than_best(run)
    size = next(trial for trial in read_run(run).trials if trial.number == other).metrics["params"]
    sign = "<=" if size < facts_of(run)["params"] else ">="
    assert train_winner(run, prefer=[f"params{sign}{size}"], recipe="epochs=1")["trial"] == other
    assert facts_of(run)["trial"] == other
    assert facts_of(run)["rule"] == f"the best in maximize(val_acc) with params{sign}{size:g}"


# -- looks at the test set --------------------------------------------------------------------------------------------


def test_each_trained_network_is_a_look_at_the_test_set(run: Path) -> None:
    assert (facts_of(run)["look"], facts_of(run)["looks"]) == (1, 1)
    other = other_than_best(run)
    second = train_winner(run, trial=other, recipe="epochs=1")
    third = train_winner(run, recipe="epochs=1")
    assert (second["look"], third["look"]) == (2, 3)
    assert (facts_of(run)["look"], facts_of(run)["looks"]) == (3, 3)
    looks = looks_at_test(run)
    assert [look.about["trial"] for look in looks] == [third["trial"], other, third["trial"]]
    seen = [None if look.measured is None else look.measured["test_acc"] for look in looks]
    assert seen[1:] == [second["test_acc"], third["test_acc"]]


def test_a_look_whose_result_was_lost_is_still_one(run: Path) -> None:
    weights_of(run).unlink()  # as if it had been killed before they were written
    assert train_winner(run, recipe="epochs=2")["look"] == 2


def test_weights_that_could_not_be_written_leave_no_record_of_others(run: Path) -> None:
    blocked = network_folder(run) / "network.tmp"
    blocked.mkdir()
    with pytest.raises((OSError, SafetensorError)):
        train_winner(run, recipe="epochs=1")
    blocked.rmdir()
    with pytest.raises(StoreError, match="has no trained winner yet"):
        export_winner(run)
    assert train_winner(run, recipe="epochs=1")["look"] == 3


# -- from the command line and from Python ----------------------------------------------------------------------------


def test_the_command_line_says_whose_network_was_trained_and_which_look_that_was(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["ogive", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert not ended.value.code, err
        return out

    best, other = facts_of(run)["trial"], other_than_best(run)
    told = said("train", run, "--trial", other, "--recipe", "epochs=1")
    assert f"look 2 at the test set of {run}" in told
    assert f"Trial {other} is not the winner: that is trial {best}, the best in maximize(val_acc)." in told
    assert f"next: ogive export {run} --trial {other}" in told
    assert f"trial_{other}.safetensors" in said("export", run, "--trial", other)
    told = said("train", run, "--recipe", "epochs=1")
    assert f"look 3 at the test set of {run}" in told
    assert "It is the winner: the best in maximize(val_acc)." in told
    assert f"next: ogive export {run}\n" in told


def test_python_trains_and_exports_any_trial_of_a_stored_search(run: Path) -> None:
    other = other_than_best(run)
    found = ogive.open_run(run)
    assert ogive.train(found, trial=other, recipe="epochs=1")["look"] == 2
    (exported,) = ogive.export(run, trial=other, formats=["torch"])
    assert exported.paths[0].parent == network_folder(run, other) / "export"
    assert ogive.train(run, recipe="epochs=2")["trial"] == found.best.number
    with pytest.raises(SpecError, match=r"nobody stored .* out="):
        ogive.train(replace(found, folder=None))


# -- runs of version 0.1 ----------------------------------------------------------------------------------------------


@pytest.fixture
def old(run: Path) -> Path:
    """The run as version 0.1 left it."""
    facts = {name: value for name, value in facts_of(run).items() if name not in ("look", "looks", "rule", "trials")}
    (run / "artifacts" / "winner").mkdir()
    weights_of(run).rename(run / "artifacts" / "winner" / "winner.safetensors")
    shutil.rmtree(run / "artifacts" / "networks")
    (run / "artifacts" / "winner.json").write_text(json.dumps(facts))
    (run / "looks.jsonl").unlink()
    return run


def test_the_trained_network_of_version_0_1_is_exported_and_kept_like_others(old: Path) -> None:
    number = facts_of(old)["trial"]
    export_winner(old, formats=("torch",))
    kept = {path.name for path in network_folder(old, number).iterdir()}
    assert kept == {"network.json", "network.safetensors"}
    assert facts_of(old)["exports"][0]["format"] == "torch"
    assert not (old / "artifacts" / "winner").exists()
    export_winner(old, formats=("export",))


def test_what_version_0_1_saw_of_the_test_set_counts(old: Path) -> None:
    other = other_than_best(old)
    assert train_winner(old, trial=other, recipe="epochs=1")["look"] == 2
    assert {path.name for path in (old / "artifacts" / "networks").iterdir()} == {"trial-0", "trial-1"}
    assert facts_of(old)["trial"] != other
    export_winner(old, formats=("torch",))


def test_a_stale_winner_of_version_0_1_is_not_exported_as_the_winner(old: Path) -> None:
    surpass(old)
    with pytest.raises(StoreError, match="is not trained, but trial"):
        export_winner(old)


# -- exports and damage -----------------------------------------------------------------------------------------------


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
    (network_folder(run) / "network.json").write_text(text)
    with pytest.raises(StoreError, match=r"network\.json is damaged .*ogive train"):
        export_winner(run)


def test_a_record_that_lacks_something_is_told_as_such(run: Path) -> None:
    record = network_folder(run) / "network.json"
    record.write_text(json.dumps({name: json.loads(record.read_text())[name] for name in ("arch", "trial", "size")}))
    with pytest.raises(StoreError, match=r"is damaged \(it lacks data, epochs, .*ogive train"):
        export_winner(run)


def test_damaged_weights_are_told_as_such(run: Path) -> None:
    weights = weights_of(run)
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(StoreError, match=r"does not hold the network of trial \d .*train it again"):
        export_winner(run)
    weights.unlink()
    with pytest.raises(StoreError, match="does not hold the network"):
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


def test_the_trained_winner_is_measured_with_its_weights_and_its_accuracy_there(run: Path) -> None:
    arch, found = measure_in_runtime(str(run))
    assert str(arch) == facts_of(run)["arch"]
    assert found["val_acc_in_runtime"] == found["val_acc"] > 0
    assert all(found[name] > 0 for name in ("latency_ms", "peak_mb", "file_mb"))


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
