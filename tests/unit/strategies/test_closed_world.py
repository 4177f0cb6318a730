from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.capabilities import Answer, Costly, answer_of, objectives_of, walk
from ogive.core.errors import StoreError
from ogive.core.graph import Graph
from ogive.core.space import Choice, SearchSpace
from ogive.core.strategy import Checkpointed
from ogive.core.trial import Measurement, Proposal, Trial
from ogive.strategies.closed_world import in_closed_world
from ogive.tables.keys import SortedDigests
from ogive.tables.store import Column, Table, write_table
from ogive.tables.world import ClosedWorld

FOUR = tuple("abcd")


def draw(arch: Architecture) -> Graph:
    return Graph(("input", "output"), frozenset({(0, 1)}))


SPACE = SearchSpace("toy", (Choice("x", FOUR), Choice("y", FOUR)), draw)
ROWS = [(0, 0), (0, 1), (3, 3), (3, 2)]


class Listed:
    """Asks for a list of architectures, whatever it is told, like a controller that knows nothing of tables."""

    objectives = 1

    def __init__(self, wanted: Sequence[tuple[int, int]]) -> None:
        self.wanted = list(wanted)
        self.told: list[Trial] = []

    def ask(self, n: int = 1) -> list[Proposal]:
        asked, self.wanted = self.wanted[:n], self.wanted[n:]
        return [Proposal(Architecture("toy", choices), fidelity=7) for choices in asked]

    def tell(self, trials: Sequence[Trial]) -> None:
        self.told += trials


class Saved(Listed):
    def save(self, folder: Path) -> None:
        (folder / "wanted.json").write_text(json.dumps(self.wanted))

    def load(self, folder: Path) -> None:
        self.wanted = [tuple(one) for one in json.loads((folder / "wanted.json").read_text())]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    key, _ = SortedDigests.of("toy", np.array(ROWS))
    columns = {"val": (Column("%", "", "float64"), np.arange(4.0))}
    about = {"source": "", "licence": "", "importer": ""}
    return write_table(tmp_path / "some", columns, name="some", space="toy", key=key, complete=False, **about)


def told(proposals: Sequence[Proposal]) -> list[Trial]:
    return [
        Trial(n, proposal, Measurement({"val": float(n)}), "ok", (float(n),)) for n, proposal in enumerate(proposals)
    ]


def test_proposals_from_outside_become_the_nearest_unvisited_rows_and_are_counted(table: Table) -> None:
    inner = Listed([(0, 2), (0, 2), (0, 1), (3, 3)])
    kept = in_closed_world(inner, ClosedWorld.of(SPACE, table))
    asked = kept.ask(4)
    choices = [proposal.arch.choices for proposal in asked]
    assert len(set(choices[:2])) == 2
    assert set(choices[:2]) < {(0, 0), (0, 1), (3, 2)}
    assert choices[2:] == [(0, 1), (3, 3)]
    assert kept.projections == 2
    assert [proposal.fidelity for proposal in asked] == [7] * 4


def test_the_strategy_is_told_of_what_it_proposed(table: Table) -> None:
    inner = Listed([(0, 2), (1, 0), (3, 3)])
    kept = in_closed_world(inner, ClosedWorld.of(SPACE, table))
    kept.tell(told(kept.ask(3))[::-1])
    assert [trial.arch.choices for trial in inner.told] == [(3, 3), (1, 0), (0, 2)]
    assert [trial.scores for trial in inner.told] == [(2.0,), (1.0,), (0.0,)]


def test_asking_for_several_is_asking_one_by_one(table: Table) -> None:
    wanted = [(1, 1), (2, 2), (1, 2), (0, 0)]
    at_once = in_closed_world(Listed(wanted), ClosedWorld.of(SPACE, table)).ask(4)
    single = in_closed_world(Listed(wanted), ClosedWorld.of(SPACE, table))
    assert [single.ask(1)[0] for _ in wanted] == at_once
    assert single.ask(1) == []


class Deriving(Listed):
    answer: Answer = "last"
    save_every = 1


def test_what_the_strategy_says_of_itself_is_found_inside(table: Table) -> None:
    world = ClosedWorld.of(SPACE, table)
    kept = in_closed_world(Deriving([]), world)
    assert objectives_of(kept) == 1
    assert (answer_of(kept), answer_of(in_closed_world(Listed([]), world))) == ("last", "best")
    assert [part.save_every for part in walk(kept) if isinstance(part, Costly)] == [1]


def test_name_and_the_ability_to_save_are_those_of_the_strategy(table: Table) -> None:
    world = ClosedWorld.of(SPACE, table)
    assert type(in_closed_world(Listed([]), world)).__name__ == "Listed"
    assert not isinstance(in_closed_world(Listed([]), world), Checkpointed)
    assert isinstance(in_closed_world(Saved([]), world), Checkpointed)


def test_a_saved_strategy_goes_on_as_if_it_had_not_been_saved(table: Table, tmp_path: Path) -> None:
    wanted = [(0, 2), (2, 3), (1, 1), (0, 3)]
    whole = in_closed_world(Saved(wanted), ClosedWorld.of(SPACE, table))
    first, rest = whole.ask(2), whole.ask(2)
    before = in_closed_world(Saved(wanted), ClosedWorld.of(SPACE, table))
    assert before.ask(2) == first
    (tmp_path / "state").mkdir()
    before.save(tmp_path / "state")
    inner = Saved([])
    after = in_closed_world(inner, ClosedWorld.of(SPACE, table))
    after.load(tmp_path / "state")
    assert after.projections == 2
    assert after.ask(2) == rest
    after.tell(told(first))
    assert [trial.arch.choices for trial in inner.told] == wanted[:2]


def test_a_damaged_state_is_refused(table: Table, tmp_path: Path) -> None:
    kept = in_closed_world(Saved([]), ClosedWorld.of(SPACE, table))
    kept.save(tmp_path)
    (tmp_path / "world.json").write_text("{}")
    with pytest.raises(StoreError, match=r"world\.json is damaged .* by replay"):
        kept.load(tmp_path)
