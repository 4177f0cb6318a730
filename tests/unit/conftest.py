from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def table_home(tmp_path: Path, invented_table: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which the invented table is imported under the name of NAS-Bench-201, and nothing else is."""
    home = tmp_path / "home"
    shutil.copytree(invented_table, home / "tables" / "nasbench201")
    monkeypatch.setenv("OGIVE_HOME", str(home))
    return home
