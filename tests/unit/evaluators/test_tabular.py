from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, UnknownName
from ogive.core.metric import TEST_ACC, VAL_ACC, Metric, names_of
from ogive.core.rng import Seed
from ogive.core.trial import Cost, Fidelity, Measurement, Proposal
from ogive.evaluators.tabular import Tabular
from ogive.tables.keys import MixedRadix
from ogive.tables.store import Column, Table, write_table

VAL = np.array([90, 91.5, np.nan, 89], np.float32)
TEST = np.array([80, 81.5, 82, np.nan], np.float32)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    columns = {
        "val": (Column("%", "", "float32"), VAL),
        "test": (Column("%", "", "float32", test=True), TEST),
        "other_test": (Column("%", "", "float32", test=True), VAL),
        "params": (Column("", "", "int64"), np.arange(4)),
        "seconds": (Column("s", "", "float64"), np.array([1, 2, 3, np.nan])),
    }
    about = {"space": "toy", "source": "", "licence": "", "importer": ""}
    return write_table(tmp_path / "toy", columns, name="toy", key=MixedRadix([2, 2]), clock="seconds", **about)


def proposal(*choices: int, space: str = "toy") -> Proposal:
    return Proposal(Architecture(space, choices))


def test_one_column_is_searched_on_and_one_reported(table: Table) -> None:
    evaluator = Tabular(table, metric="val", report="test")
    assert names_of(evaluator.metrics) == ("val_acc", "test_acc")
    found = evaluator.evaluate([proposal(0, 1), proposal(0, 0)])
    assert found == [
        Measurement({"val_acc": 91.5, "test_acc": 81.5}, Cost(benchmark_s=2.0)),
        Measurement({"val_acc": 90.0, "test_acc": 80.0}, Cost(benchmark_s=1.0)),
    ]
    assert all(type(value) is float for value in found[0].metrics.values())


def test_more_columns_keep_their_names_and_those_of_a_test_set_are_hidden_from_strategies(table: Table) -> None:
    evaluator = Tabular(table, metric="val", report=None, also=("params", "other_test"))
    assert names_of(evaluator.metrics) == ("val_acc", "params", "test_other_test")
    assert evaluator.evaluate([proposal(0, 1)])[0].metrics == {"val_acc": 91.5, "params": 1.0, "test_other_test": 91.5}


def forgotten(folder: Path, *names: str, schema: int = 1) -> Table:
    """The table in a folder as an earlier version wrote it, which did not say this of it."""
    path = folder / "table.json"
    described = json.loads(path.read_text())
    for name in names:
        del described[name]
    for column in described["columns"].values():
        del column["words"]
        if schema == 1:
            del column["better"]
    path.write_text(json.dumps(described | {"schema": schema}))
    return Table.open(folder)


def test_what_a_table_of_version_1_does_not_say_is_decided_when_it_is_read(tmp_path: Path) -> None:
    columns = {
        "c10v_val_200": (Column("%", "", "float32"), VAL),
        "c10_test_200": (Column("%", "", "float32", test=True), TEST),
        "params": (Column("parameters", "trainable parameters", "int64"), np.arange(4)),
    }
    about = {"space": "toy", "source": "", "licence": "", "importer": ""}
    written = write_table(tmp_path / "toy", columns, name="toy", key=MixedRadix([2, 2]), **about)
    with pytest.raises(SpecError, match=r"does not say what to search on: .* one of c10v_val_200, params"):
        Tabular(written)
    table = forgotten(written.folder, "metric", "report", "roles")
    assert (table.metric, table.report) == ("c10v_val_200", "c10_test_200")
    evaluator = Tabular(table, also=("params",))
    assert evaluator.metrics == (VAL_ACC, TEST_ACC, Metric("params", "", "smaller", "parameters"))
    # A table without a clock costs no simulated time.
    expected = Measurement({"val_acc": 91.5, "test_acc": 81.5, "params": 1.0})
    assert evaluator.evaluate([proposal(0, 1)]) == [expected]


def test_a_table_of_ones_own_of_an_earlier_version_is_searched_as_it_was(tmp_path: Path) -> None:
    columns = {"loss": (Column("", "column loss of mine.csv", "float32"), VAL)}
    about = {"space": "toy", "source": "", "licence": "", "importer": "own 1", "metric": "loss"}
    written = write_table(tmp_path / "toy", columns, name="toy", key=MixedRadix([2, 2]), roles={}, **about)
    assert names_of(Tabular(written).metrics) == ("loss",)
    table = forgotten(written.folder, "roles", "report")
    assert (table.metric, table.report) == ("loss", None)
    assert Tabular(table).metrics == (VAL_ACC,)


def test_only_accuracies_of_which_more_is_better_are_called_by_their_roles(table: Table) -> None:
    assert names_of(Tabular(table, metric="params", report="other_test").metrics) == ("params", "test_acc")
    _, params = Tabular(table, metric="seconds", report="params").metrics
    assert (params.name, params.reported, params.better) == ("params", True, "smaller")


def test_what_a_metric_is_comes_from_the_record_of_its_column(tmp_path: Path) -> None:
    columns = {
        "val_acc": (Column("points", "what it means", "float32", better="smaller", words="penalty"), VAL),
        "test_acc": (Column("points", "", "float32", test=True, better="smaller", words="final penalty"), TEST),
    }
    about = {"space": "toy", "source": "", "licence": "", "importer": "", "metric": "val_acc", "report": "test_acc"}
    table = write_table(tmp_path / "toy", columns, name="toy", key=MixedRadix([2, 2]), roles={}, **about)
    assert Tabular(table).metrics == (
        Metric("val_acc", "points", "smaller", "penalty"),
        Metric("test_acc", "points", "smaller", "final penalty"),
    )


def test_what_is_not_in_the_table_is_a_failed_measurement_with_its_reason(table: Table) -> None:
    evaluator = Tabular(table, metric="val", report="test")
    cases = [proposal(0, 0, space="other"), proposal(0, 2), proposal(1, 0), proposal(1, 1)]
    errors = [measurement.error or "" for measurement in evaluator.evaluate(cases)]
    assert "for the space toy, but got other:0,0" in errors[0]
    assert "below 2, 2; got (0, 2)" in errors[1]
    assert errors[2] == "toy has no val for toy:1,0"
    assert errors[3] == "toy has no test for toy:1,1"


def test_a_fidelity_is_not_silently_ignored(table: Table) -> None:
    asked = Proposal(Architecture("toy", (0, 0)), fidelity=12)
    assert "no fidelities for val, but 12 was asked" in (
        Tabular(table, metric="val", report=None).evaluate([asked])[0].error or ""
    )


def test_an_unknown_training_time_costs_nothing(table: Table) -> None:
    found = Tabular(table, metric="val", report=None).evaluate([proposal(1, 1)])
    assert found == [Measurement({"val_acc": 89.0})]


def test_a_search_on_the_test_set_is_refused(table: Table) -> None:
    with pytest.raises(SpecError, match="never sees the test set, but test was measured"):
        Tabular(table, metric="test", report=None)


def test_unknown_and_repeated_columns_are_refused(table: Table) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'val'"):
        Tabular(table, metric="vall", report=None)
    with pytest.raises(UnknownName, match="Did you mean 'test'"):
        Tabular(table, metric="val", report="tset")
    with pytest.raises(UnknownName, match="Did you mean 'params'"):
        Tabular(table, metric="val", report=None, also=("param",))
    with pytest.raises(SpecError, match="params is given twice"):
        Tabular(table, metric="val", report=None, also=("params", "params"))


def test_it_travels_to_another_process_without_its_columns(table: Table) -> None:
    evaluator = Tabular(table, metric="val", report=None, also=("params",))
    sent = pickle.dumps(evaluator)
    assert len(sent) < 1000
    again = pickle.loads(sent)
    assert again.metrics == evaluator.metrics
    assert again.evaluate([proposal(0, 1)]) == evaluator.evaluate([proposal(0, 1)])


def test_looking_up_needs_neither_torch_nor_pyarrow(table: Table) -> None:
    program = (
        "import sys\n"
        "from ogive.core.architecture import Architecture\n"
        "from ogive.core.trial import Fidelity, Proposal\n"
        "from ogive.evaluators.tabular import Tabular\n"
        "from ogive.tables.store import open_table\n"
        "evaluator = Tabular(open_table(sys.argv[1]), metric='val', report=None)\n"
        "found = evaluator.evaluate([Proposal(Architecture('toy', (0, 1)))])\n"
        "print(found[0].metrics['val_acc'], sorted({'torch', 'pyarrow', 'scipy'} & set(sys.modules)))\n"
    )
    command = [sys.executable, "-c", program, str(table.folder)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown == "91.5 []\n"


@pytest.mark.parametrize("curve", [True, False])
def test_a_table_says_whether_more_epochs_go_on_from_fewer(curve: bool, tmp_path: Path) -> None:
    columns = {
        f"val_{epochs}": (Column("%", "", "float64", family="val", fidelity=epochs, curve=curve), np.arange(4.0))
        for epochs in (12, 200)
    }
    about = {"space": "toy", "source": "", "licence": "", "importer": ""}
    table = write_table(tmp_path / "toy", columns, name="toy", key=MixedRadix([2, 2]), **about)
    assert Tabular(table, metric="val_200", report=None).fidelity == Fidelity("epochs", 200, curve, (12, 200))


def test_a_table_of_one_length_of_training_has_no_fidelity(table: Table) -> None:
    assert Tabular(table, metric="val", report=None).fidelity is None


@pytest.fixture
def trainings(tmp_path: Path) -> Table:
    """Four architectures with two or three trainings each, their means, and a mean on the test set."""
    runs = np.array([[90, 80, 70, 60], [91, 81, 71, 61], [92, np.nan, 72, np.nan]])
    one = {"seeds": "one", "mean": "val"}
    columns = {
        "val": (Column("%", "", "float64", seeds="all"), np.nanmean(runs, axis=0)),
        "test": (Column("%", "", "float64", test=True, seeds="all"), runs[0] - 5),
        "params": (Column("", "", "int64"), np.arange(4)),
        "val_seed9": (Column("%", "", "float64", seed=9, **one), runs[2]),
        "val_seed7": (Column("%", "", "float64", seed=7, **one), runs[0]),
        "val_seed8": (Column("%", "", "float64", seed=8, **one), runs[1]),
    }
    about = {"space": "toy", "source": "", "licence": "", "importer": "", "metric": "val", "report": "test"}
    return write_table(tmp_path / "trainings", columns, name="trainings", key=MixedRadix([2, 2]), **about)


ALL = [proposal(0, 0), proposal(0, 1), proposal(1, 0), proposal(1, 1)]


def test_one_training_of_an_architecture_is_drawn_by_the_seed_of_the_search(trainings: Table) -> None:
    seen: list[set[float]] = [set(), set(), set(), set()]
    for number in range(60):
        evaluator = Tabular(trainings, also=("params",), seeds="random", seed=Seed(number))
        found = evaluator.evaluate(ALL)
        for row, measurement in enumerate(found):
            seen[row].add(measurement.metrics["val_acc"])
            assert measurement.metrics["test_acc"] == trainings.column("test")[row]
            assert measurement.metrics["params"] == row
        # A run is repeatable: in another order, in another process, and where an architecture is proposed again.
        assert pickle.loads(pickle.dumps(evaluator)).evaluate(ALL[::-1])[::-1] == found
    assert seen == [{90, 91, 92}, {80, 81}, {70, 71, 72}, {60, 61}]


def test_trainings_are_drawn_evenly(trainings: Table) -> None:
    drawn = [Tabular(trainings, seeds="random", seed=Seed(number)).evaluate(ALL)[0].metrics for number in range(600)]
    counts = np.unique([metrics["val_acc"] for metrics in drawn], return_counts=True)[1]
    assert counts.sum() == 600
    assert ((counts > 160) & (counts < 240)).all()  # 200, give or take 3.5 standard deviations of 11.5


def test_there_is_no_best_value_of_a_drawn_training_and_one_of_the_mean(trainings: Table) -> None:
    drawn = Tabular(trainings, seeds="random", report="val")
    assert names_of(drawn.metrics) == ("val_acc", "val")
    assert drawn.optimum("val_acc") is None
    assert Tabular(trainings).optimum("val_acc") == 91


def test_a_table_without_single_trainings_draws_none(table: Table) -> None:
    with pytest.raises(SpecError, match=r"toy has no single trainings of val: leave out seeds=random"):
        Tabular(table, metric="val", report=None, seeds="random")
