"""What a search found, as people look at it: a table, a few lines, a few lines of HTML."""

from __future__ import annotations

import inspect
import re
import sys
import types
import typing
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import ogive
from ogive.core.architecture import Architecture
from ogive.core.data import DataSet
from ogive.core.errors import SpecError
from ogive.core.graph import DISCONNECTED
from ogive.core.trial import Measurement, Proposal, Trial
from ogive.showing import EVERY_S
from ogive.tables.store import Table


class Cells(HTMLParser):
    """The texts of the cells of a table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)
        self.close()

    def handle_data(self, data: str) -> None:
        self.found.append(data)


def cheap(arch: ogive.Architecture) -> float:
    if arch.choices[0] == 2:
        raise MemoryError("too wide")
    return float(sum(arch.choices))


@pytest.fixture(scope="module")
def found() -> ogive.Result:
    return ogive.search(space="nasbench201", strategy="random", evaluator=cheap, budget=30)


def test_a_frame_holds_every_trial_in_columns(found: ogive.Result) -> None:
    frame = found.columns()
    names = ["trial", "arch", "status", "fidelity", "value", "wall_s", "benchmark_s", "error"]
    assert list(frame) == [*names[:5], "score: maximize(value)", *names[5:]]
    assert {len(column) for column in frame.values()} == {30}
    assert frame["trial"].tolist() == list(range(30))
    assert np.array_equal(frame["value"], frame["score: maximize(value)"], equal_nan=True)
    failed = frame["status"] == "failed"
    assert 0 < failed.sum() < 30
    assert np.isnan(frame["value"][failed]).all()
    assert set(frame["error"][failed]) == {"MemoryError: too wide"}
    assert set(frame["error"][~failed]) == {""}
    assert frame["arch"][0] == str(found.trials[0].arch)


def test_a_frame_is_of_pandas_where_that_is_installed(found: ogive.Result, monkeypatch: pytest.MonkeyPatch) -> None:
    frame, columns = found.frame(), found.columns()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.columns.tolist() == list(columns)
    assert frame["trial"].tolist() == list(range(30))
    assert frame["value"].max() == found.best.metrics["value"]
    assert frame["value"].isna().sum() == (frame["status"] == "failed").sum() > 0
    monkeypatch.setitem(sys.modules, "pandas", None)  # as where it is not installed
    assert found.frame().keys() == columns.keys()


def test_a_result_fits_a_screen(found: ogive.Result, table_home: Path) -> None:
    lines = repr(found).splitlines()
    failed = sum(trial.status == "failed" for trial in found.trials)
    assert lines[0] == f"Result of 30 trials ({failed} failed)"
    assert lines[1] == "objective  maximize(value)"
    assert lines[2] == f"best       trial {found.best.number}, {found.best.arch}"
    assert lines[3] == f"           value {found.best.metrics['value']:.4g}"
    many = ogive.search(space="nasbench101", strategy="random", evaluator=cheap, budget=3)
    both = ogive.search(
        space="nasbench201", table="nasbench201", evaluator="tabular(also=[params])", strategy="random",
        objective=["val_acc", "params"], budget=200,
    )  # fmt: skip
    for text in map(repr, (found, many, both)):
        assert text.count("\n") < 24
        assert max(map(len, text.splitlines())) <= 100
    assert re.search(r"^front      \d+ trials that no other beats$", repr(both), re.MULTILINE)
    assert re.search(r"^           validation accuracy \d\d\.\d+ %$", repr(both), re.MULTILINE)


def test_nothing_that_worked_is_said_too() -> None:
    nothing = ogive.search(space="nasbench201", strategy="random", evaluator=lambda arch: 1 / 0, budget=2)
    assert "None of the 2 trials succeeded" in repr(nothing)
    assert "None of the 2 trials succeeded" in nothing._repr_html_()


def test_a_notebook_shows_the_best_trials_first_and_what_was_measured_of_them(found: ogive.Result) -> None:
    text = found._repr_html_()
    cells = Cells(text).found
    scored = sorted((t.scores[0] for t in found.trials if t.scores), reverse=True)
    assert cells[1:4] == ["trial", "architecture", "value"]
    assert cells[4:7] == [str(found.best.number), str(found.best.arch), f"{scored[0]:.4g}"]
    assert [float(value) for value in cells[6::3][:10]] == scored[:10]
    assert cells[-1] == f"{len(scored) - 10} more"
    odd = ogive.search(space="nasbench201", strategy="random", evaluator=cheap, budget=3)
    risky = ogive.Result(odd.trials, Path("<script>"), ("maximize(value)",), odd.metrics)
    assert "<script>" not in risky._repr_html_()


def test_tables_and_data_have_types_and_every_argument_is_explained(table_home: Path) -> None:
    assert typing.get_type_hints(ogive.table)["return"] is Table
    assert typing.get_type_hints(ogive.data)["return"] is DataSet
    hints = inspect.signature(ogive.search).parameters
    assert "Any" not in str(hints["data"].annotation) + str(hints["table"].annotation)
    assert isinstance(ogive.data("digits", limit=20), DataSet)
    told = inspect.getdoc(ogive.search) or ""
    for name in hints:
        assert re.search(rf"^    (\*\*)?{name}: ", told, re.MULTILINE), name


def pictures(count: int, seed: int) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    return TensorDataset(torch.randn(count, 1, 8, 8, generator=generator), torch.arange(count) % 2)


def test_torch_datasets_and_loaders_are_data() -> None:
    def trained(data: typing.Any) -> ogive.Result:
        tiny = "trained(epochs=1, batch_size=16, threads=1)"
        return ogive.search(
            space="nasbench201", strategy="random", evaluator=tiny, data=data, channels=2, cells=1, budget=1
        )

    assert trained(pictures(40, 0)).best.metrics["val_acc"] >= 0
    assert trained((pictures(40, 0), pictures(16, 1), pictures(16, 2))).best.metrics["val_acc"] >= 0
    loaders = DataLoader(pictures(40, 0), batch_size=10), DataLoader(pictures(16, 1), batch_size=10)
    assert trained(loaders).best.metrics["val_acc"] >= 0
    with pytest.raises(SpecError, match=r"torch dataset, or two or three loaders .* but got int"):
        trained(3)
    with pytest.raises(SpecError, match=r"torch dataset, or two or three loaders .* but got DataLoader"):
        trained(loaders[0])


class Handle:
    def __init__(self) -> None:
        self.shown: list[str] = []

    def update(self, drawn: str) -> None:
        self.shown.append(drawn)


def test_a_notebook_shows_the_search_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = Handle()

    def display(drawn: str, *, display_id: bool) -> Handle:
        assert display_id
        handle.update(drawn)
        return handle

    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=display, HTML=str))  # type: ignore[arg-type]
    ogive.search(space="nasbench201", strategy="random", evaluator=cheap, budget=12)
    assert "search <progress max='1' value='0.0000'></progress> 0/12 trials" in handle.shown[0]
    assert "12/12 trials" in handle.shown[-1]
    assert "<br>best value" in handle.shown[-1]
    count = len(handle.shown)
    ogive.search(space="nasbench201", strategy="random", evaluator=cheap, budget=12, progress=False)
    assert len(handle.shown) == count


def test_elsewhere_a_search_is_silent_unless_it_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert EVERY_S == 60
    monkeypatch.setattr("ogive.showing.EVERY_S", 0.01)

    def slow(arch: ogive.Architecture) -> float:
        torch.randn(300, 300) @ torch.randn(300, 300)
        return float(sum(arch.choices))

    ogive.search(space="nasbench201", strategy="random", evaluator=slow, budget=50)
    assert capsys.readouterr().err == ""
    ogive.search(space="nasbench201", strategy="random", evaluator=slow, budget=50, progress=True, out=tmp_path / "run")
    assert re.search(r"^search: \d+/50 trials, ", capsys.readouterr().err, re.MULTILINE)


def test_candidates_without_a_path_are_counted() -> None:
    trials = tuple(
        Trial(number, Proposal(Architecture("nasbench201", (0,) * 6)), Measurement(error=reason), "failed")
        for number, reason in enumerate((DISCONNECTED, "MemoryError: too wide", DISCONNECTED))
    )
    found = ogive.Result(trials)
    assert found.disconnected == 2
    assert "3 trials (3 failed, 2 of them with no path from input to output)" in repr(found)
    assert "2 of them with no path" in found._repr_html_()
    assert "no path" not in repr(ogive.Result(trials[1:2]))
