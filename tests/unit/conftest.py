from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from ogive.cli import main


class Said(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str


@pytest.fixture
def ogive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run the command line in this process, in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["ogive", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Said(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture
def table_home(tmp_path: Path, invented_table: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which the invented table is imported under the name of NAS-Bench-201, and nothing else is."""
    home = tmp_path / "home"
    shutil.copytree(invented_table, home / "tables" / "nasbench201")
    monkeypatch.setenv("OGIVE_HOME", str(home))
    return home
