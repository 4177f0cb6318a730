from __future__ import annotations

import hashlib
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ogive.core.errors import MissingData, OgiveError, SpecError, UnknownName
from ogive.tables.keys import MixedRadix
from ogive.tables.packages import PACKAGES, Package, get_table
from ogive.tables.published import GETTABLE
from ogive.tables.store import Column, Table, write_table


def written(contents: Any, folder: Path, name: str, source: str) -> Table:
    """A table of two rows with what the one file of an invented package holds."""
    columns = {"val": (Column("", "invented", "float64"), np.array(contents["numbers"]))}
    about = {"space": "toy", "licence": "none", "importer": "tests", "source": source}
    return write_table(folder, columns, name=name, key=MixedRadix([2]), **about)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """An installed package with a file of data, and with a module that must not be imported."""
    site = tmp_path / "site"
    (site / "invented_bench").mkdir(parents=True)
    (site / "invented_bench" / "__init__.py").write_text("raise RuntimeError('imported')")
    raw = pickle.dumps([1.0, 2.5])
    (site / "invented_bench" / "numbers.pkl").write_bytes(raw)
    (site / "invented_bench-1.2.dist-info").mkdir()
    (site / "invented_bench-1.2.dist-info" / "METADATA").write_text("Name: invented-bench\nVersion: 1.2\n")
    monkeypatch.syspath_prepend(site)
    digests = {"numbers.pkl": hashlib.sha256(raw).hexdigest()}
    return Package("invented-bench", "1.2", "two numbers", written, "invented_bench", digests)


def test_a_table_is_made_of_the_files_of_a_package_which_is_not_imported(package: Package, tmp_path: Path) -> None:
    table = package.make(tmp_path / "table", "numbers")
    assert table.column("val").tolist() == [1.0, 2.5]
    assert (table.name, table.source) == ("numbers", "invented-bench 1.2")


def refused(package: Package, tmp_path: Path, complaint: str, kind: type[OgiveError] = SpecError) -> None:
    with pytest.raises(kind, match=complaint) as refusal:
        package.make(tmp_path / "table", "numbers")
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "table").exists()


def test_a_package_that_is_not_installed_is_one_line_with_the_command(package: Package, tmp_path: Path) -> None:
    absent = replace(package, distribution="absent-bench")
    refused(absent, tmp_path, "not installed: pip install absent-bench==1.2.$", MissingData)


def test_other_files_than_those_that_were_looked_at_are_not_read(package: Package, tmp_path: Path) -> None:
    file = tmp_path / "site" / "invented_bench" / "numbers.pkl"
    file.write_bytes(file.read_bytes() + b" ")
    refused(package, tmp_path, r"numbers\.pkl is not what invented-bench 1\.2 published, and was not read: pip install")
    file.unlink()
    refused(
        package, tmp_path, r"Cannot read .*numbers\.pkl of invented-bench \(No such file or directory\): pip install"
    )


def test_a_pickle_that_names_more_than_numbers_is_refused(package: Package, tmp_path: Path) -> None:
    raw = pickle.dumps(Path("elsewhere"))
    (tmp_path / "site" / "invented_bench" / "numbers.pkl").write_bytes(raw)
    hostile = replace(package, files={"numbers.pkl": hashlib.sha256(raw).hexdigest()})
    refused(hostile, tmp_path, "as a pickle it is damaged or hostile")


def test_a_table_that_no_package_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'nasbench201'"):
        get_table("nasbench210", tmp_path / "t", name="t")
    assert tuple(PACKAGES) == GETTABLE
