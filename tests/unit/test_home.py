from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ogive import home


def test_the_home_is_the_folder_that_ogive_home_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OGIVE_HOME", str(tmp_path))
    assert home.home() == tmp_path
    assert home.tables_folder() == tmp_path / "tables"
    assert home.data_folder() == tmp_path / "data"


def test_a_tilde_in_ogive_home_is_the_users_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OGIVE_HOME", "~/somewhere")
    assert home.home() == Path.home() / "somewhere"


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="XDG folders are for Linux and other Unixes")
def test_without_ogive_home_it_is_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OGIVE_HOME", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert home.home() == tmp_path / "ogive"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/invalid")
    assert home.home() == Path.home() / ".cache" / "ogive"


def test_asking_for_the_home_makes_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OGIVE_HOME", str(tmp_path / "absent"))
    home.tables_folder()
    assert not (tmp_path / "absent").exists()
