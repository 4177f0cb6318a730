"""A search on a text from its first trial to the exported winner, as the command line runs it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from ogive import session
from ogive.cli import main
from ogive.core.errors import SpecError, StoreError, UnknownName
from ogive.core.trial import Budget
from ogive.networks.recurrent import build_language_model
from ogive.reporting.page import write_page
from ogive.runs import read_run
from ogive.training.language import LanguageProgress, perplexity
from ogive.training.language_recipe import DROPOUTS, PRESETS, LanguageRecipe
from ogive.training.text import load
from ogive.winner import export_winner, measure_latency, train_winner

pytestmark = pytest.mark.usefixtures("one_thread")

RECIPE = "preset=tiny, epochs=3, batch_size=4, bptt=8"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("text")
    for part, times in (("train", 20), ("valid", 12), ("test", 10)):
        (place / f"{part}.txt").write_text("a b c d e f g\nb c d a\ne f g h\n" * times)
    return place


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs") / "trained"
    settings = session.Settings(
        space="darts_rnn",
        strategy="random",
        evaluator="trained(preset=tiny, epochs=1, batch_size=4, bptt=8)",
        data=f"text:{folder}",
        channels=6,
        budget=Budget(trials=2),
    )
    session.search(settings, place)
    train_winner(place, recipe=RECIPE, threads=1)
    return place


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def facts_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "artifacts" / "winner.json").read_text())
    return found


def network_folder(run: Path) -> Path:
    (found,) = (run / "artifacts" / "networks").glob("trial-*")
    return found


def test_the_winner_is_trained_anew_and_measured_on_the_test_text(run: Path, folder: Path) -> None:
    facts, text = facts_of(run), load(f"text:{folder}")
    winner = read_run(run).choice.found
    assert facts["arch"] == str(winner.arch)
    assert facts["val_ppl"] < winner.metrics["val_ppl"]  # three epochs instead of one
    assert facts["recipe"]["width"] == 6  # as in the search
    recipe = LanguageRecipe(**{**PRESETS["tiny"], "width": 6})
    network = build_language_model(
        winner.arch, words=len(text.vocabulary), width=6, **{name: getattr(recipe, name) for name in DROPOUTS}
    )
    network.load_state_dict(load_file(network_folder(run) / "network.safetensors"))
    assert perplexity(network, text.test, batch=10, bptt=8) == pytest.approx(facts["test_ppl"])
    assert perplexity(network, text.val, batch=10, bptt=8) == pytest.approx(facts["val_ppl"])
    assert facts["test_words"] == 10 * (len(text.test) // 10 - 1)


def test_an_interrupted_training_of_the_winner_goes_on(run: Path) -> None:
    def interrupt(report: LanguageProgress) -> None:
        if report.epoch == 3 and report.val_ppl is not None:
            raise KeyboardInterrupt

    expected = facts_of(run)["test_ppl"]
    shutil.rmtree(run / "artifacts" / "networks")
    (run / "artifacts" / "winner.json").unlink()
    with pytest.raises(KeyboardInterrupt):
        train_winner(run, recipe=RECIPE, progress=interrupt)
    seen: list[LanguageProgress] = []
    facts = train_winner(run, recipe=RECIPE, progress=seen.append)
    assert {report.epoch for report in seen} == {3}
    assert facts["test_ppl"] == expected


def test_the_winner_is_exported_as_source_and_noted(run: Path) -> None:
    (exported,) = export_winner(run, formats=["torch"])
    assert exported.largest_difference <= 1e-5
    assert [row["format"] for row in facts_of(run)["exports"]] == ["torch"]
    source = (run / "artifacts" / "export" / "winner.py").read_text()
    assert f"perplexity {facts_of(run)['test_ppl']:.2f} on " in source
    with pytest.raises(SpecError, match="as torch source only, not to onnx: write --to torch"):
        export_winner(run, formats=["onnx"])
    with pytest.raises(SpecError, match="digits is data for classification or generation"):
        export_winner(run, formats=["torch"], data="digits")


def test_weights_of_something_else_are_no_winner(run: Path) -> None:
    (network_folder(run) / "network.safetensors").write_bytes(b"no tensors")
    with pytest.raises(StoreError, match="does not hold the network"):
        export_winner(run, formats=["torch"])


def test_what_a_text_cannot_have_is_refused(run: Path) -> None:
    with pytest.raises(SpecError, match="Latency is measured of networks of images"):
        measure_latency(str(run))
    with pytest.raises(SpecError, match="networks of darts_rnn are for language"):
        train_winner(run, data="digits(limit=20)")
    with pytest.raises(UnknownName, match=r"no preset named 'tyny'\. Did you mean 'tiny'"):
        train_winner(run, recipe="preset=tyny")
    with pytest.raises(SpecError, match="no option of training named 'cutout'"):
        train_winner(run, recipe="cutout=2")


def test_the_page_tells_perplexities(run: Path) -> None:
    page = write_page([read_run(run)], run / "report.html").read_text(encoding="utf-8")
    assert "has a test perplexity of" in page
    assert "test perplexity" in page


def test_the_commands_train_and_export_a_language_model(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["train", run, "--recipe", RECIPE, "--threads", "1"], ["export", run]):
        monkeypatch.setattr(sys, "argv", ["ogive", *map(str, command)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code, capsys.readouterr().err
    said = capsys.readouterr().out
    assert f"perplexity {facts_of(run)['test_ppl']:.2f} on {facts_of(run)['test_words']} test words" in said
    assert "winner.words.txt" in said.replace("\n", "").replace(" ", "")
