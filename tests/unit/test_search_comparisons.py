"""The comparisons of searches in the folder reproductions, on a few images, a few words and an invented table."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.tables.keys import MixedRadix
from ogive.tables.store import Column, write_table

FOLDER = Path(__file__).resolve().parents[2] / "reproductions"

pytestmark = pytest.mark.usefixtures("one_thread")


def run(script: str, arguments: list[str], presets: str, tiny: tuple[Any, ...], patch: pytest.MonkeyPatch) -> None:
    """Run a script as from the command line, with a preset smaller than its own."""
    patch.syspath_prepend(str(FOLDER))
    names = runpy.run_path(str(FOLDER / script))
    names["main"].__globals__[presets]["tiny"] = names["Preset"](*tiny)
    patch.setattr(sys, "argv", [script, *arguments])
    names["main"]()


def test_gradient_searches_are_compared_by_what_they_derive_last_and_are_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    columns = {
        name: (Column("%", "invented", "float64"), rng.uniform(10, 90, 5**6))
        for name in ("c10v_val_200", "c10_test_200", "c100_test_200_nats", "in16_test_200_nats", "params")
    }
    table = write_table(
        tmp_path / "toy",
        columns,
        name="toy",
        space="nasbench201",
        key=MixedRadix((5,) * 6),
        source="invented",
        licence="none",
        importer="tests",
        metric="c10v_val_200",
        report="c10_test_200",
    )
    tiny = ("digits(limit=48)", 4, 1, 2, 1, 2)
    arguments = ["--table", str(tmp_path / "toy"), "--out", str(tmp_path / "out")]
    run("gradient.py", arguments, "PRESETS", tiny, monkeypatch)
    first: dict[str, Any] = json.loads((tmp_path / "out" / "gradient.json").read_text())
    assert {"DARTS, first order", "DARTS, second order", "GDAS", "PC-DARTS"} <= first["methods"].keys()
    # Two epochs of the whole, and one of each of five parts.
    assert first["epochs"]["few-shot DARTS"] == first["epochs"]["DARTS, first order, as many steps"] == 2 + 5
    for name, found in first["methods"].items():
        answers = [
            json.loads((place / "trials.jsonl").read_text().splitlines()[-1])
            for place in sorted((tmp_path / "out" / name.replace(",", "").replace(" ", "-").lower()).iterdir())
        ]
        archs = [answer["arch"] for answer in answers]
        assert found["c10_test_200"]["archs"] == archs
        assert found["c10_test_200"]["values"] == [
            table.value(Architecture.parse(arch), "c10_test_200") for arch in archs
        ]
    truth = columns["c10_test_200"][1]
    assert first["random"]["c10_test_200"]["a random cell"]["mean"] == pytest.approx(truth.mean())
    assert "| DARTS, second order | 2 |" in capsys.readouterr().out
    run("gradient.py", arguments, "PRESETS", tiny, monkeypatch)
    assert json.loads((tmp_path / "out" / "gradient.json").read_text())["methods"] == first["methods"]


@pytest.mark.parametrize("kind", ["images", "words"])
def test_a_derived_cell_is_trained_beside_the_published_and_random_ones(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = " ".join(["one", "two", "three", "two", "one"] * 8) + "\n"
    (tmp_path / "text").mkdir()
    for part in ("train", "valid", "test"):
        (tmp_path / "text" / f"{part}.txt").write_text(words * 8)
    tiny, metric = {
        "images": (("digits(limit=48)", 2, 3, "darts(epochs=1)", "trained(epochs=1)", 1), "val_acc"),
        "words": (
            ("{text}", 8, None, "darts(epochs=1, batch_size=4, bptt=8)", "trained(preset=tiny, epochs=1)", 1),
            "test_ppl",
        ),
    }[kind]
    arguments = [kind, "--out", str(tmp_path / "out"), "--text", str(tmp_path / "text")]
    run("micro_search.py", arguments, kind.upper(), tiny, monkeypatch)
    ledger = tmp_path / "out" / f"micro-{kind}.json"
    first = json.loads(ledger.read_text())["seeds"]
    assert set(first[0]["cells"]) == {"derived", "darts_v1", "darts_v2", "random 0", "random 1"}
    assert all(row[metric] > 0 for row in first[0]["cells"].values())
    assert f"| derived | {first[0]['cells']['derived'][metric]:.2f} |" in capsys.readouterr().out
    run("micro_search.py", arguments, kind.upper(), tiny, monkeypatch)
    assert json.loads(ledger.read_text())["seeds"] == first


def test_nested_cells_are_trained_at_every_depth_beside_darts_and_chance_and_are_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = ("digits(limit=32)", 2, 5, "ddarts(epochs=1)", "darts(epochs=1)", "trained(epochs=1)", (5, 6), 1)
    arguments = ["--out", str(tmp_path / "out")]
    run("nested_cells.py", arguments, "PRESETS", tiny, monkeypatch)
    ledger = tmp_path / "out" / "nested-cells.json"
    first = json.loads(ledger.read_text())["seeds"]
    methods = first[0]["methods"]
    assert set(methods) == {"D-DARTS", "DARTS", "random"}
    for method, found in methods.items():
        assert (found["search_s"] > 0) == (method != "random")
        assert {row["arch"] for row in found["layers"].values()} == {found["arch"]}
        assert found["layers"]["6"]["params"] > found["layers"]["5"]["params"]
    accuracy = methods["D-DARTS"]["layers"]["6"]["val_acc"]
    assert f"| D-DARTS | 6 | {accuracy:.2f} |" in capsys.readouterr().out
    run("nested_cells.py", arguments, "PRESETS", tiny, monkeypatch)
    assert json.loads(ledger.read_text())["seeds"] == first


def test_forms_of_the_ablation_loss_are_compared_also_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = "epochs=1, batch_size=16, alpha_learning_rate=0.1"
    tiny = ("digits(limit=32)", 2, 1, options, "trained(epochs=1)", 1)
    arguments = ["--out", str(tmp_path / "out")]
    run("ablation_forms.py", arguments, "PRESETS", tiny, monkeypatch)
    ledger = tmp_path / "out" / "ablation-forms.json"
    first = json.loads(ledger.read_text())["seeds"]
    forms = first[0]["forms"]
    assert list(forms) == ["none", "literal", "weighted", "differentiable"]
    assert forms["none"]["added_after"] == forms["literal"]["added_after"] == 0.0
    assert forms["none"]["arch"] == forms["literal"]["arch"]
    assert forms["none"]["supernet_val_acc"] == forms["literal"]["supernet_val_acc"]
    assert "| literal | 0.000 | 0.000 |" in capsys.readouterr().out
    (tmp_path / "out" / "seed-0" / "weighted.json").unlink()
    run("ablation_forms.py", arguments, "PRESETS", tiny, monkeypatch)
    assert json.loads(ledger.read_text())["seeds"] == first
