"""Parts of a single file: found by name, in worker processes too, and stored with the digest of the file."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from ogive import plugins
from ogive.core.errors import SpecError

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "plugin.py"


def ogive(*arguments: object) -> tuple[int, str, str]:
    command = [sys.executable, "-c", "from ogive.cli import main; main()", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(EXAMPLE.read_text())
    return tmp_path / "mine.py"


def test_a_file_names_a_strategy_which_is_searched_with_compared_and_resumed(mine: Path, invented_table: Path) -> None:
    tabular = ("--space", "nasbench201", "--table", invented_table, "--budget")
    code, _, err = ogive("search", "--strategy", "ladder(patience=3)", *tabular, 5, "--out", "run", "--plugin", mine)
    assert code == 0, err
    held = json.loads(Path("run/run.json").read_text())
    assert held["machine"]["plugin_files"] == {"mine.py": hashlib.sha256(mine.read_bytes()).hexdigest()}
    assert held["command"].endswith(f"--plugin {mine}")
    code, _, err = ogive("resume", "run", "--budget", 7)
    assert (code, err) == (2, "error: run was searched with parts of the file mine.py: give --plugin mine.py.\n")
    assert ogive("resume", "run", "--budget", 7, "--plugin=mine.py")[0] == 0
    mine.write_text(mine.read_text() + "\n")
    code, _, err = ogive("resume", "run", "--budget", 9, "--plugin", "mine.py")
    assert code == 2
    assert "run was searched with parts of another mine.py" in err
    code, out, err = ogive("--plugin", "mine.py", "compare", "ladder", *tabular, 4, "--seeds", 2, "--workers", 2)
    assert code == 0, err
    assert "ladder " in out


SPOILT = [
    ("x = 1", 'must hold its parts by their names: PARTS = {"strategy.tabu": Tabu}'),
    ("import nothing_like_it", r"bad.py cannot be imported \(ModuleNotFoundError: No module named"),
    (
        "def f(): ...\nPARTS = {'strategie.f': f}",
        "must be named kind.name, such as strategy.tabu, but got 'strategie.f'",
    ),
    ("PARTS = {'strategy.f': lambda: 1}", "strategy.f of bad.py must be a class or function at the top level"),
]


@pytest.mark.parametrize(("text", "told"), SPOILT)
def test_a_file_that_cannot_be_used_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv(plugins.FILES, "")
    monkeypatch.delitem(sys.modules, "bad", raising=False)
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(SpecError, match=told):
        plugins.use(tmp_path / "bad.py")
    monkeypatch.delitem(sys.modules, "bad", raising=False)
    assert plugins.files() == {}


def test_names_that_are_taken_are_refused(mine: Path, tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("PARTS = {}")
    assert "call it my_parts.py" in ogive("list", "--plugin", "json.py")[2]
    assert "There is no plug-in none.py" in ogive("list", "--plugin", "none.py")[2]
    assert "--plugin names a Python file" in ogive("list", "--plugin")[2]
    mine.write_text(mine.read_text().replace("strategy.ladder", "strategy.random"))
    assert "adds a strategy called random, which ogive has itself" in ogive("list", "strategy", "--plugin", mine)[2]
