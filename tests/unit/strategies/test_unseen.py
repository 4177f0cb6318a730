from __future__ import annotations

import json

import numpy as np
import pytest

from ogive.core.graph import Graph
from ogive.core.space import Choice, Real, SearchSpace
from ogive.strategies.unseen import Unseen


def no_picture(_: object) -> Graph:
    return Graph((), ())


LARGE = SearchSpace("large", tuple(Choice(f"v{k}", ("a", "b", "c", "d", "e")) for k in range(4)), no_picture)


def test_draws_never_repeat_nor_hit_what_was_removed_and_end_with_the_space() -> None:
    unseen, rng = Unseen(LARGE), np.random.default_rng(0)
    taken = next(iter(LARGE))
    unseen.remove(taken)
    drawn = [arch for _ in range(625) if (arch := unseen.draw(rng)) is not None]
    assert taken not in drawn
    assert {taken, *drawn} == set(LARGE)
    assert len(drawn) == 624
    assert unseen.draw(rng) is None


@pytest.mark.parametrize(("draws", "listed"), [(1, False), (400, True)])
def test_a_restored_state_draws_what_the_original_draws(
    monkeypatch: pytest.MonkeyPatch, draws: int, listed: bool
) -> None:
    # One draw that was proposed before is enough to list what is left, which 400 draws of 625 are sure to meet.
    monkeypatch.setattr("ogive.strategies.unseen.PATIENCE", 1)
    unseen, rng = Unseen(LARGE), np.random.default_rng(0)
    for _ in range(draws):
        unseen.draw(rng)
    state = json.loads(json.dumps(unseen.state()))
    assert state["listed"] == listed
    restored, again = Unseen(LARGE), np.random.default_rng()
    restored.restore(state)
    again.bit_generator.state = rng.bit_generator.state
    assert [restored.draw(again) for _ in range(6)] == [unseen.draw(rng) for _ in range(6)]


def test_a_space_without_end_is_never_exhausted() -> None:
    unseen, rng = Unseen(SearchSpace("real", (Real("x", 0.0, 1.0),), no_picture)), np.random.default_rng(0)
    assert len({unseen.draw(rng) for _ in range(50)}) == 50
