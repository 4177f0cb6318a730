from __future__ import annotations

import json
from pathlib import Path

import pytest

from ogive.core.errors import StoreError
from ogive.core.rng import Seed
from ogive.spaces.nasbench201 import nasbench201
from ogive.spaces.natssize import natssize
from ogive.strategies.local import LocalSearch, RandomSearch, RegularizedEvolution

SPACE = nasbench201()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    strategy = RandomSearch(SPACE, Seed(0), without_replacement=True)
    strategy.ask(3)
    strategy.save(tmp_path)
    return tmp_path


def test_the_state_is_one_json_file_that_brings_back_the_same_proposals(saved: Path) -> None:
    assert [path.name for path in saved.iterdir()] == ["state.json"]
    original, successor = (RandomSearch(SPACE, Seed(seed), without_replacement=True) for seed in (0, 5))
    original.ask(3)
    successor.load(saved)
    assert successor.ask(50) == original.ask(50)


def test_a_folder_without_a_state_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no"):
        RandomSearch(SPACE, Seed(0)).load(tmp_path)


def test_every_flipped_byte_is_noticed(saved: Path) -> None:
    path = saved / "state.json"
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(StoreError):
            RandomSearch(SPACE, Seed(0), without_replacement=True).load(saved)


@pytest.mark.parametrize("text", ["", "[]", "{}", '"state"', "\x80\x04K\x01."])
def test_what_is_no_state_is_refused(text: str, saved: Path) -> None:
    (saved / "state.json").write_text(text, encoding="latin-1")
    with pytest.raises(StoreError):
        RandomSearch(SPACE, Seed(0), without_replacement=True).load(saved)


def test_the_state_of_a_newer_version_is_refused(saved: Path) -> None:
    record = json.loads((saved / "state.json").read_text(encoding="utf-8"))
    (saved / "state.json").write_text(json.dumps({**record, "schema": 2}), encoding="utf-8")
    with pytest.raises(StoreError, match="schema 2"):
        RandomSearch(SPACE, Seed(0), without_replacement=True).load(saved)


def test_the_state_of_another_strategy_space_or_option_is_refused(saved: Path) -> None:
    others = [
        RandomSearch(SPACE, Seed(0)),
        RandomSearch(natssize(), Seed(0), without_replacement=True),
        LocalSearch(SPACE, Seed(0)),
    ]
    for other in others:
        with pytest.raises(StoreError, match="is that of"):
            other.load(saved)


def test_a_refused_state_leaves_the_strategy_as_it_was(saved: Path) -> None:
    victim, twin = RegularizedEvolution(SPACE, Seed(0)), RegularizedEvolution(SPACE, Seed(0))
    with pytest.raises(StoreError):
        victim.load(saved)
    assert victim.ask(5) == twin.ask(5)
