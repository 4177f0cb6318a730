"""`ogive watch`: what another terminal is told of a search, from its run folder alone."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ogive.bulletin import notice_of, posted
from ogive.core.executor import Began, Progress, Task
from ogive.core.metric import VAL_ACC
from ogive.core.objective import Maximize
from ogive.core.trial import Budget
from ogive.session import Pace, Watch

Run = Callable[..., tuple[int, str, str]]

SEARCH = ("search", "--space", "nasbench201", "--table", "nasbench201", "--budget", 30, "--seed", 3, "--out", "run")


def heard(ogive: Run) -> str:
    code, out, err = ogive("watch", "run")
    assert code == 0, err
    return out


def noticed(**changed: object) -> None:
    path = Path("run/artifacts/now.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}), encoding="utf-8")


@pytest.fixture
def watch() -> Watch:
    watch = Watch(Pace(Budget(trials=3), time.perf_counter()), (Maximize("val_acc"),), (VAL_ACC,))
    task = Task(0, range(1))
    watch.event(Began(task))
    watch.event(Progress(task, "epoch 2 of 3", 0.5))
    return watch


def test_a_search_that_is_over_says_so_and_shows_its_best(ogive: Run, table_home: Path) -> None:
    _, found, _ = ogive(*SEARCH)
    said = heard(ogive)
    assert re.search(r"run: evolution in nasbench201, seed 3\n30/30 trials, .*; no search is at work\n", said)
    number, arch = re.search(r"best: trial (\d+), (\S+),", found).groups()  # type: ignore[union-attr]
    assert re.search(rf"\* trial {number}: val_acc [\d.]+, {re.escape(arch)}\n\* the best in maximize\(val_acc\)", said)


def test_one_that_was_killed_is_not_said_to_be_at_work(ogive: Run, table_home: Path) -> None:
    ogive(*SEARCH)
    noticed(over=False, at_s=time.time() - 60)
    assert "30 trials stored of a budget of 30 trials; nothing was heard for 60" in heard(ogive)
    noticed(over=False, at_s=time.time(), under_way=["trial 30: epoch 1 of 3"], headline="30/99 trials")
    assert "\n30/99 trials\n  trial 30: epoch 1 of 3\n" in heard(ogive)


@pytest.mark.parametrize("text", ["", "[" * 100_000, "null", '{"at_s": "now"}', "\ud800"])
def test_what_a_search_says_may_be_damaged(ogive: Run, table_home: Path, text: str) -> None:
    ogive(*SEARCH)
    Path("run/artifacts/now.json").write_bytes(text.encode(errors="surrogatepass"))
    assert "30 trials stored of a budget of 30 trials; the search tells nothing of itself" in heard(ogive)


def test_the_last_failures_are_told_with_their_reasons(ogive: Run, table_home: Path) -> None:
    starved = ("--data", "digits", "--evaluator", "trained(epochs=1, memory_limit_mb=1)")
    ogive("search", "--space", "natssize", *starved, "--budget", 2, "--out", "run")
    said = heard(ogive)
    assert "2 trials failed, last:\n  trial 0: out of memory: " in said
    assert "  trial 1: out of memory: " in said


def test_no_run_is_one_line(ogive: Run) -> None:
    code, _, err = ogive("watch", "nothing")
    assert (code, err.count("\n")) == (2, 1)
    assert "holds no run" in err or "does not exist" in err


def test_a_search_at_work_tells_every_second_what_is_under_way(tmp_path: Path, watch: Watch) -> None:
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "run.json").write_text("{}")
    with posted(watch, tmp_path):
        deadline = time.monotonic() + 60
        while (notice := notice_of(tmp_path)) is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert notice is not None
        assert (notice.over, notice.is_silent, notice.under_way) == (False, False, ("trial 0: epoch 2 of 3",))
        assert notice.headline.startswith("0/3 trials")
    after = notice_of(tmp_path)
    assert after is not None
    assert (after.over, after.under_way) == (True, ())
    assert [path.name for path in (tmp_path / "artifacts").iterdir()] == ["now.json"]


def test_nothing_is_written_before_there_is_a_run(tmp_path: Path, watch: Watch) -> None:
    with posted(watch, tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_gone_ends_no_search(tmp_path: Path, watch: Watch) -> None:
    (tmp_path / "run.json").write_text("{}")
    with posted(watch, tmp_path):
        pass
    assert not (tmp_path / "artifacts").exists()
