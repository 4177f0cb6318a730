"""What is refused at once and in one line, because it would never end, or would not be what somebody meant."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from ogive import catalog
from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, MissingData, OgiveError, SpecError, StoreError
from ogive.core.trial import Budget, Measurement, Proposal, Trial
from ogive.executors.processes import Processes
from ogive.networks.export import _check_name
from ogive.run_store import RunStore
from ogive.session.settings import budget_of
from ogive.tables.column import Column
from ogive.tables.keys import MixedRadix, SortedDigests
from ogive.tables.store import Table, open_table, write_table

SPACES = ["nasbench201", "nasbench101", "natssize", "darts", "ddarts", "nds_resnet", "mlp", "nasbench_graph"]
LONG = ["x" * 5000, "1" * 5000, "8:" * 3000 + "8", "'\\d'(1is 2)" * 400, '{"a": "' + "b" * 5000 + '"}']


@pytest.mark.parametrize("budget", ["1e22", "100000000000000000000000epochs", f"{10**16}s"])
def test_budgets_beyond_any_life_are_refused(budget: str) -> None:
    with pytest.raises(SpecError, match=r"must be at most 1,000,000,000,000"):
        budget_of(budget)
    assert Budget(trials=10**12)


def test_workers_and_cells_beyond_any_machine_are_refused() -> None:
    with pytest.raises(SpecError, match=r"at most 4,096 workers"):
        Processes(10**6)
    with pytest.raises(SpecError, match=r"at most 1000 distinct cells"):
        catalog.build("space", "ddarts(distinct=1000000000)")


@pytest.mark.parametrize("sizes", [[1] * 100_000, [10**9] * 10, [0], [-3, -3]])
def test_keys_with_more_rows_than_can_be_counted_are_refused(sizes: list[int]) -> None:
    with pytest.raises(SpecError, match=r"2\^63 rows"):
        MixedRadix(sizes)


@pytest.mark.parametrize("text", ["cached(" * 1500, "evolution(population=" + "0" * 5000 + "20)", "[" * 5000])
def test_parts_that_are_nested_or_long_without_end_are_refused(text: str) -> None:
    with pytest.raises(SpecError) as refusal:
        catalog.build("strategy", text)
    assert len(str(refusal.value)) < 600


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("text", LONG)
def test_messages_repeat_a_part_of_a_long_text_and_python_warns_of_nothing(name: str, text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InvalidArchitecture) as refusal:
            catalog.build("space", name).parse(text)
    assert len(str(refusal.value)) <= 600
    assert text[:300] not in str(refusal.value)


@pytest.mark.parametrize("name", ["__init__", "__main__", "torch", "a b"])
def test_exports_have_no_names_that_python_gives_a_meaning(name: str) -> None:
    with pytest.raises(SpecError, match="must have a name"):
        _check_name(name)


def test_suggested_commands_are_quoted_for_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OGIVE_HOME", str(tmp_path))
    with pytest.raises(MissingData, match=r"--as '\$\(touch x\)'"):
        open_table("$(touch x)")


def table(folder: Path) -> Path:
    key, order = SortedDigests.of("nasbench201", [[0] * 6, [1] * 6])
    values = np.array([1.0, 2.0])[order]
    write_table(
        folder, {"acc": (Column("%", "", "float64"), values)}, name="a", space="nasbench201", key=key, source="",
        licence="", importer="own 1", complete=False, metric="acc",
    )  # fmt: skip
    return folder / "acc.npy"


def test_a_column_that_is_a_link_stays_in_its_table(tmp_path: Path) -> None:
    column = table(tmp_path / "table")
    column.rename(column.with_name("other.npy"))
    column.symlink_to(column.with_name("other.npy"))
    assert Table.open(column.parent).column("acc").sum() == 3
    column.with_name("other.npy").rename(tmp_path / "other.npy")
    column.unlink()
    column.symlink_to(tmp_path / "other.npy")
    with pytest.raises(StoreError, match=r"acc\.npy is a link to .*other\.npy"):
        Table.open(column.parent)


def test_a_table_without_a_name_is_refused(tmp_path: Path) -> None:
    key, _ = SortedDigests.of("nasbench201", [[0] * 6])
    with pytest.raises(SpecError, match="The name of a table"):
        write_table(tmp_path / "t", {}, name="", space="nasbench201", key=key, source="", licence="", importer="own 1")


def test_a_run_folder_that_was_removed_keeps_no_trials(tmp_path: Path) -> None:
    trial = Trial(0, Proposal(Architecture("a", (1,))), Measurement({"m": 1.0}), "ok", (1.0,))
    with RunStore.create(tmp_path / "run", {}) as store:
        store.append(trial, 1.0)
        shutil.rmtree(tmp_path / "run")
        with pytest.raises(StoreError, match="was removed while it was searched in, and the trials with it"):
            store.append(trial, 2.0)
        with pytest.raises(OgiveError, match="The run folder was removed, and the trials with it"):
            store.begin(1)
