from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, MissingData, SpecError, StoreError, UnknownName
from ogive.tables.keys import MixedRadix
from ogive.tables.store import Column, Table, open_table, write_table

ACCURACY = Column("%", "validation accuracy", "float32")
SECONDS = Column("s", "training seconds", "float64")
COUNT = Column("parameters", "trainable parameters", "int64")

Columns = dict[str, tuple[Column, np.ndarray]]


def columns() -> Columns:
    return {
        "val": (ACCURACY, np.array([90, 91.5, np.nan, 89, 93, 93], np.float32)),
        "params": (COUNT, np.arange(6) * 1000),
        "seconds": (SECONDS, np.linspace(1, 2, 6)),
    }


def write(folder: Path, values: Columns | None = None, **changes: Any) -> Table:
    settings: dict[str, Any] = {
        "name": "toy",
        "space": "toy",
        "key": MixedRadix([2, 3]),
        "source": "made up",
        "licence": "none",
        "importer": "test 1",
        "clock": "seconds",
    }
    return write_table(folder, columns() if values is None else values, **(settings | changes))


def arch(*choices: int) -> Architecture:
    return Architecture("toy", choices)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return write(tmp_path / "toy")


def edit(table: Table, change: Callable[[dict[str, Any]], object]) -> None:
    path = table.folder / "table.json"
    description = json.loads(path.read_text())
    change(description)
    path.write_text(json.dumps(description))


# -- reading ----------------------------------------------------------------------------------------------------------


def test_what_was_written_is_read_back(table: Table) -> None:
    again = Table.open(table.folder)
    assert (again.name, again.space, again.rows, len(again)) == ("toy", "toy", 6, 6)
    assert (again.source, again.licence, again.importer, again.clock) == ("made up", "none", "test 1", "seconds")
    assert again.columns == {  # with the direction and words that nobody had to say
        "val": replace(ACCURACY, better="larger", words=ACCURACY.meaning),
        "params": replace(COUNT, better="smaller", words="parameters"),
        "seconds": replace(SECONDS, better="smaller", words=SECONDS.meaning),
    }
    assert again.digest == table.digest
    for name, (_, values) in columns().items():
        np.testing.assert_array_equal(again.column(name), values)
        assert again.column(name).dtype == values.dtype


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("val-loss@5", "val-loss@5.npy"),
        ("eval/top-1 (%)", "eval%2Ftop-1%20%28%25%29.npy"),
        ("../val", "%2E.%2Fval.npy"),
        ("-r", "%2Dr.npy"),
        ("Genauigkeit ö", "Genauigkeit%20%C3%B6.npy"),
    ],
)
def test_columns_keep_any_name_and_their_files_one_that_every_shell_takes(name: str, file: str, tmp_path: Path) -> None:
    values = {name: (ACCURACY, np.arange(6, dtype=np.float32)), "val": (ACCURACY, np.ones(6, np.float32))}
    table = write(tmp_path / "toy", values, clock=None)
    assert {path.name for path in table.folder.iterdir()} >= {file, "val.npy"}
    again = Table.open(table.folder)
    again.verify()
    assert list(again.columns) == [name, "val"]
    assert again.best(name) == (arch(1, 2), 5.0)
    command = "LC_ALL=C; export LC_ALL; sha256sum *.npy | sha256sum"
    shown = subprocess.run(command, shell=True, cwd=table.folder, capture_output=True, text=True, check=True).stdout
    assert shown.split()[0] == again.digest


def test_a_file_outside_the_folder_is_never_a_column(table: Table) -> None:
    edit(table, lambda description: description["columns"].update({"../val": description["columns"].pop("val")}))
    (table.folder / "val.npy").rename(table.folder.parent / "val.npy")
    with pytest.raises(StoreError, match=r"has lost its column \.\./val"):
        Table.open(table.folder)


def test_numbers_are_found_by_architecture(table: Table) -> None:
    assert table.row(arch(1, 2)) == 5
    assert table.value(arch(0, 1), "val") == 91.5
    assert table.value(arch(1, 0), "params") == 3000
    assert type(table.value(arch(1, 0), "params")) is float
    np.testing.assert_array_equal(table.rows_of([[0, 0], [1, 1]]), [0, 4])
    assert [table.architecture(row) for row in (0, 5)] == [arch(0, 0), arch(1, 2)]


def test_the_best_is_the_first_of_the_largest_and_nan_is_never_it(table: Table) -> None:
    assert table.best("val") == (arch(1, 1), 93.0)
    assert table.best("val", smallest=True) == (arch(1, 0), 89.0)
    assert table.best("params") == (arch(1, 2), 5000.0)


def test_a_column_without_values_has_no_best(tmp_path: Path) -> None:
    empty = write(tmp_path / "empty", {"val": (ACCURACY, np.full(6, np.nan, np.float32))}, clock=None)
    with pytest.raises(SpecError, match="holds no values"):
        empty.best("val")


def test_columns_cannot_be_changed(table: Table) -> None:
    with pytest.raises(ValueError, match="read-only"):
        table.column("val")[0] = 100


def test_an_architecture_that_is_not_in_the_table_is_refused(table: Table) -> None:
    with pytest.raises(InvalidArchitecture, match="for the space toy, but got other:0,0"):
        table.row(Architecture("other", (0, 0)))
    with pytest.raises(InvalidArchitecture, match="below 2, 3"):
        table.row(arch(0, 3))
    with pytest.raises(SpecError, match=r"rows 0\.\.5"):
        table.architecture(6)


def test_an_unknown_column_is_named_with_the_nearest(table: Table) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'params'"):
        table.column("param")


def test_a_table_travels_to_another_process_as_its_folder(table: Table) -> None:
    table.column("val")
    sent = pickle.dumps(table)
    assert len(sent) < 500
    assert pickle.loads(sent).value(arch(0, 1), "val") == 91.5


# -- the digest -------------------------------------------------------------------------------------------------------


def test_the_digest_is_what_coreutils_prints(table: Table) -> None:
    files = sorted(table.folder.glob("*.npy"))
    lines = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
    assert hashlib.sha256(lines.encode()).hexdigest() == table.digest
    if shutil.which("sha256sum") is not None:
        command = ["sh", "-c", "sha256sum *.npy | sha256sum"]
        environment = {**os.environ, "LC_ALL": "C"}
        shell = subprocess.run(command, cwd=table.folder, env=environment, capture_output=True, text=True, check=True)
        assert shell.stdout.split()[0] == table.digest


def test_equal_columns_have_equal_digests_and_others_do_not(table: Table, tmp_path: Path) -> None:
    reordered = dict(reversed(columns().items()))
    assert write(tmp_path / "same", reordered).digest == table.digest
    changed = columns() | {"params": (COUNT, np.arange(6))}
    assert write(tmp_path / "other", changed).digest != table.digest


def test_verify_names_the_column_that_changed(table: Table) -> None:
    table.verify()
    path = table.folder / "params.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    # Opening looks at sizes only.
    with pytest.raises(StoreError, match="The column params of the table toy is not what was imported"):
        Table.open(table.folder).verify()


def test_verify_finds_a_changed_digest(table: Table) -> None:
    edit(table, lambda description: description.update(digest="0" * 64))
    with pytest.raises(StoreError, match="not that of the columns"):
        Table.open(table.folder).verify()


# -- what cannot be opened --------------------------------------------------------------------------------------------


def test_a_folder_that_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="There is no table in"):
        Table.open(tmp_path)
    (tmp_path / "table.json").write_text("[1, 2]")
    with pytest.raises(StoreError, match="names no schema"):
        Table.open(tmp_path)
    (tmp_path / "table.json").write_bytes(b"\xff\x00 not json")
    with pytest.raises(StoreError, match=r"cannot read its table\.json"):
        Table.open(tmp_path)


def test_a_table_of_a_newer_ogive_is_refused(table: Table) -> None:
    edit(table, lambda description: description.update(schema=3, key={"kind": "unheard of"}))
    with pytest.raises(StoreError, match="has schema 3, but this ogive reads up to 2"):
        Table.open(table.folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("columns"),
        lambda d: d.update(columns=[]),
        lambda d: d["columns"]["val"].pop("sha256"),
        lambda d: d["columns"]["val"].update(dtype="object"),
        lambda d: d["columns"]["val"].update(dtype="no such type"),
        lambda d: d["columns"].update({"val\n": d["columns"].pop("val")}),
        lambda d: d.update(roles={"searched": {"name": ""}}),
        lambda d: d.update(roles=["searched"]),
        lambda d: d.update(rows=7),
        lambda d: d.update(rows="many"),
        lambda d: d.update(key={"kind": "unheard of"}),
        lambda d: d.update(key={"kind": "mixed radix", "sizes": ["2", 3]}),
        lambda d: d.update(key=None),
        lambda d: d.update(clock="no column"),
    ],
)
def test_a_damaged_description_is_refused(table: Table, change: Callable[[dict[str, Any]], object]) -> None:
    edit(table, change)
    with pytest.raises(StoreError, match="is damaged") as refusal:
        Table.open(table.folder)
    assert "\n" not in str(refusal.value)


def test_a_truncated_or_lost_column_is_noticed_when_the_table_is_opened(table: Table) -> None:
    path = table.folder / "val.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StoreError, match="bytes instead of"):
        Table.open(table.folder)
    path.unlink()
    with pytest.raises(StoreError, match="has lost its column val"):
        Table.open(table.folder)


def test_a_column_of_another_type_or_with_objects_in_it_is_refused(table: Table) -> None:
    path = table.folder / "seconds.npy"
    size = path.stat().st_size
    np.save(path, np.arange(6))
    assert path.stat().st_size == size
    with pytest.raises(StoreError, match="holds int64"):
        Table.open(table.folder).column("seconds")
    path.write_bytes(b"x" * size)
    with pytest.raises(StoreError, match="Cannot read the column seconds"):
        Table.open(table.folder).column("seconds")


# -- writing ----------------------------------------------------------------------------------------------------------


def test_an_existing_folder_is_left_alone(table: Table) -> None:
    with pytest.raises(SpecError, match="exists already"):
        write(table.folder)
    Table.open(table.folder).verify()


@pytest.mark.parametrize(
    ("values", "changes", "complaint"),
    [
        ({"val": (ACCURACY, np.zeros(5, np.float32))}, {"clock": None}, r"of shape \(6,\)"),
        ({"val": (ACCURACY, np.zeros(6))}, {"clock": None}, "array of float32"),
        ({"a\tb": (ACCURACY, np.zeros(6, np.float32))}, {"clock": None}, "letters, digits and signs"),
        ({"val": (Column("", "", "<U1"), np.array(list("abcdef")))}, {"clock": None}, "must be an array"),
        (None, {"clock": "second"}, "Did you mean 'seconds'"),
        (None, {"name": "../toy"}, "The name of a table"),
    ],
)
def test_columns_that_make_no_table_are_refused_and_nothing_is_written(
    tmp_path: Path, values: Columns | None, changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(SpecError, match=complaint):
        write(tmp_path / "toy", values, **changes)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_half_way_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        write(tmp_path / "toy")
    assert list(tmp_path.iterdir()) == []


# -- by name ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OGIVE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_a_table_is_opened_by_its_name(home: Path) -> None:
    write(home / "tables" / "toy")
    assert open_table("toy").folder == home / "tables" / "toy"


def test_a_table_is_opened_by_its_folder(home: Path, tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "toy")
    for name in (tmp_path / "elsewhere" / "toy", str(tmp_path / "elsewhere" / "toy"), "elsewhere/toy"):
        assert open_table(name).rows == 6
    write(tmp_path / "here")
    assert open_table("here").rows == 6


def test_a_table_that_is_not_imported_comes_with_the_command_that_imports_it(home: Path) -> None:
    with pytest.raises(MissingData, match=r"ogive tables import FILE --as nasbench201 .*github.com/D-X-Y/NATS-Bench"):
        open_table("nasbench201")
    write(home / "tables" / "toy")
    with pytest.raises(MissingData, match=r"import FILE --as unheard_of\. Imported are: toy\."):
        open_table("unheard_of")
    with pytest.raises(StoreError, match="There is no table in"):
        open_table("no/such/folder")
