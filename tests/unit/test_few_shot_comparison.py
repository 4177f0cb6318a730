"""The comparison of one-shot with few-shot estimates, on a few images and an invented table."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ogive.tables.keys import MixedRadix
from ogive.tables.store import Column, write_table

SCRIPT = Path(__file__).resolve().parents[2] / "reproductions" / "few_shot.py"

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    columns = {
        name: (Column("%", "invented", "float64"), rng.uniform(10, 90, 5**6))
        for name in ("c10v_val_200", "c100_val_200", "in16_val_200", "params")
    }
    about = {"source": "invented", "licence": "none", "importer": "tests", "metric": "c10v_val_200"}
    write_table(tmp_path / "toy", columns, name="toy", space="nasbench201", key=MixedRadix((5,) * 6), **about)
    return tmp_path / "toy"


def run(out: Path, table: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    names = runpy.run_path(str(SCRIPT))
    main = names["main"]
    preset = names["Preset"]("digits(limit=48)", 2, 1, 1, 1, 8, 1, 24, training=", batch_size=24", reference=2)
    main.__globals__["PRESETS"]["tiny"] = preset
    monkeypatch.setattr(sys, "argv", ["few_shot.py", "--table", str(table), "--out", str(out)])
    main()
    ledger: dict[str, Any] = json.loads((out / "few-shot.json").read_text())
    return ledger


def test_the_comparison_has_all_estimates_and_goes_on_with_what_is_there(
    tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run(tmp_path / "out", table, monkeypatch)
    shown = capsys.readouterr().out
    assert "8 architectures; tau [95 %]" in shown
    assert shown.count("  few-shot, calibrated ") == 3
    assert shown.count("\n| few-shot") == 2 * 3  # two tables
    assert "| one-shot, as many steps | " in shown
    (seed,) = first["seeds"]
    assert len(seed["rows"]) == 3 * 8
    assert {row["proxy"] for row in seed["rows"]} == {*seed["training_s"], "params"}
    assert all(10 <= row["best"] <= 90 for row in seed["rows"])
    # The parent of the parts is the one-shot supernet: one folder for it, one for the control, five for the parts.
    assert len(list((tmp_path / "out" / "seed-0" / "supernets").iterdir())) == 7
    assert seed["training_s"]["few-shot"] == seed["training_s"]["few-shot, calibrated"] > seed["training_s"]["one-shot"]
    assert run(tmp_path / "out", table, monkeypatch) == first
