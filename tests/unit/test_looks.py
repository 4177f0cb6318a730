"""Looks at the test set are counted, whoever looks and whatever becomes of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ogive.core.errors import StoreError
from ogive.looks import LOOKS, begin_look, end_look, looks_at_test


def test_each_look_has_the_next_number_and_keeps_what_was_seen(tmp_path: Path) -> None:
    assert looks_at_test(tmp_path) == []
    assert begin_look(tmp_path, trial=3, data="digits") == 1
    end_look(tmp_path, 1, {"test_acc": 97.5})
    assert begin_look(tmp_path, trial=7, data="digits") == 2
    first, second = looks_at_test(tmp_path)
    assert (first.number, first.about, first.measured) == (1, {"trial": 3, "data": "digits"}, {"test_acc": 97.5})
    assert (second.number, second.about["trial"], second.measured) == (2, 7, None)
    assert first.began <= second.began


def test_looks_that_nobody_counted_come_first(tmp_path: Path) -> None:
    assert begin_look(tmp_path, earlier=1) == 2
    assert begin_look(tmp_path, earlier=1) == 3


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_look_that_was_being_written_when_its_process_was_killed_was_not_taken(tmp_path: Path, cut: int) -> None:
    begin_look(tmp_path, trial=1)
    whole = (tmp_path / LOOKS).read_bytes()
    begin_look(tmp_path, trial=2)
    written = (tmp_path / LOOKS).read_bytes()
    (tmp_path / LOOKS).write_bytes(written[:-cut])
    assert [look.number for look in looks_at_test(tmp_path)] == [1]
    assert begin_look(tmp_path, trial=2) == 2
    assert (tmp_path / LOOKS).read_bytes().startswith(whole)
    assert [look.about["trial"] for look in looks_at_test(tmp_path)] == [1, 2]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    (tmp_path / LOOKS).write_text('{"look": 1, "began": "now"}\n{"look": 2\n')
    with pytest.raises(StoreError, match=r"Line 2 of .*looks\.jsonl is damaged"):
        looks_at_test(tmp_path)
    with pytest.raises(StoreError, match="Line 2"):
        begin_look(tmp_path)


def test_without_a_place_on_record_there_is_no_look(tmp_path: Path) -> None:
    (tmp_path / LOOKS).mkdir()
    with pytest.raises(StoreError, match=r"looks\.jsonl cannot be written .* no look at the test set is taken"):
        begin_look(tmp_path)


def test_processes_that_look_at_once_never_share_a_number(tmp_path: Path) -> None:
    code = "import sys; from ogive.looks import begin_look; [begin_look(sys.argv[1]) for _ in range(20)]"
    command = [sys.executable, "-c", code, str(tmp_path)]
    running = [subprocess.Popen(command, env={**os.environ}) for _ in range(3)]
    assert [process.wait(600) for process in running] == [0, 0, 0]
    assert [look.number for look in looks_at_test(tmp_path)] == list(range(1, 61))


def test_a_process_that_is_killed_while_it_looks_leaves_whole_looks_alone(tmp_path: Path) -> None:
    code = (
        "import itertools, sys; from ogive.looks import begin_look\n"
        "for number in itertools.count():\n"
        "    begin_look(sys.argv[1], trial=number)\n"
        "    print(number, flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as looking:
        assert looking.stdout is not None
        told = [int(looking.stdout.readline()) for _ in range(5)]
        looking.kill()
        told += [int(line) for line in looking.stdout.read().split()]
    looks = looks_at_test(tmp_path)
    assert [look.number for look in looks] == list(range(1, len(looks) + 1))
    assert len(looks) >= len(told)  # none that was told of is missing
    assert begin_look(tmp_path) == len(looks) + 1
