"""A search with a table of a part of its space, from settings to resumed runs and comparisons."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ogive
from ogive.comparison import compare
from ogive.core.errors import SpecError
from ogive.core.metric import Metric
from ogive.core.trial import Budget, Measurement, Proposal
from ogive.evaluators.tabular import Tabular
from ogive.runs import read_run
from ogive.session import Settings, assemble, resume, search, searched
from ogive.spaces.nasbench201 import nasbench201
from ogive.tables.keys import SortedDigests
from ogive.tables.store import Column, Table, write_table
from ogive.tables.world import ClosedWorld

ROWS = 300
STRATEGIES = ("random", "local_search", "evolution(population=10, tournament=3)", "nsga2(population=10)", "reinforce")


def made(folder: Path, seed: int, *, rows: int = ROWS) -> Table:
    rng = np.random.default_rng(seed)
    cells = rng.choice(5**6, rows, replace=False)
    key, _ = SortedDigests.of("nasbench201", np.stack(np.unravel_index(cells, (5,) * 6), axis=1))
    columns = {
        "val": (Column("%", "", "float64"), rng.uniform(50, 95, rows)),
        "hidden": (Column("%", "", "float64", test=True), rng.uniform(50, 95, rows)),
        "size": (Column("", "", "float64"), rng.uniform(1, 2, rows)),
    }
    about = {"space": "nasbench201", "source": "", "licence": "", "importer": ""}
    table = {"metric": "val", "report": "hidden", "complete": False}
    return write_table(folder, columns, name=folder.name, key=key, **about, **table)


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> Table:
    return made(tmp_path_factory.mktemp("tables") / "some", 0)


def settings_for(some: Table, strategy: str, trials: int = 60) -> Settings:
    objectives = ("maximize(val_acc)", "minimize(size)") if strategy.startswith("nsga2") else ("maximize(val_acc)",)
    return Settings(
        space="nasbench201",
        table=str(some.folder),
        strategy=strategy,
        evaluator="tabular(also=[size])",
        objectives=objectives,
        budget=Budget(trials=trials),
        seed=3,
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_strategy_ever_leaves_the_rows(some: Table, strategy: str) -> None:
    trials, _ = searched(settings_for(some, strategy))
    assert [trial.status for trial in trials] == ["ok"] * 60
    assert all(some.row(trial.arch) >= 0 for trial in trials)


@pytest.mark.parametrize("strategy", ["naswot", "area"])
def test_what_is_scored_before_the_search_is_in_the_world_too(some: Table, strategy: str) -> None:
    options = {"naswot": "scored=20", "area": "scored=12, population=6, tournament=2"}[strategy]
    settings = replace(settings_for(some, f"{strategy}(training_free(params), {options})", 15), data="digits")
    trials, _ = searched(settings)
    assert [trial.status for trial in trials] == ["ok"] * 15
    assert all(some.row(trial.arch) >= 0 for trial in trials)


def test_crossovers_from_outside_are_counted(some: Table) -> None:
    trials, projections = searched(settings_for(some, "nsga2(population=10)", 100))
    assert len({trial.arch for trial in trials}) == 100
    assert projections > 10
    assert searched(settings_for(some, "random"))[1] == 0


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("save_every", [10, 1000])
def test_a_resumed_search_ends_as_an_uninterrupted_one(
    some: Table, strategy: str, save_every: int, tmp_path: Path
) -> None:
    """With ``save_every=10`` from the state of the strategy, what was visited included; with 1000 by replay."""
    settings = settings_for(some, strategy)
    whole = search(settings, tmp_path / "whole")
    folder = tmp_path / "part"
    search(replace(settings, budget=Budget(trials=33)), folder, save_every=save_every)
    resumed = resume(folder, budget=settings.budget, save_every=save_every)
    assert [trial.arch for trial in resumed.trials] == [trial.arch for trial in whole.trials]
    assert resumed.projections == whole.projections


def test_run_json_says_so_and_another_table_is_refused(some: Table, tmp_path: Path) -> None:
    run = search(settings_for(some, "random", 5), tmp_path / "run")
    assert run.config["world"] == "closed world of 300 rows"
    assert read_run(tmp_path / "run").projections == 0
    assert json.loads((tmp_path / "run" / "artifacts" / "world.json").read_text()) == {
        "world": "closed world of 300 rows",
        "projections": 0,
    }


def test_a_complete_table_is_searched_as_before(invented_table: Path, tmp_path: Path) -> None:
    settings = Settings(space="nasbench201", table=str(invented_table), budget=Budget(trials=3))
    parts = assemble(settings)
    assert parts.world is None
    assert not isinstance(parts.space, ClosedWorld)
    assert "world" not in search(settings, tmp_path / "run").config
    assert not (tmp_path / "run" / "artifacts" / "world.json").exists()


def test_the_world_is_found_in_evaluators_made_of_others(some: Table) -> None:
    settings = replace(settings_for(some, "random"), evaluator="cached(tabular(also=[size]))")
    assert assemble(settings).world == "closed world of 300 rows"


def test_the_regret_of_a_comparison_is_within_the_world(some: Table) -> None:
    found = compare(["nsga2(population=10)"], settings_for(some, "nsga2(population=10)", 40), seeds=2)
    assert found.world == "closed world of 300 rows"
    assert found.to_json()["world"] == "closed world of 300 rows"
    assert all(outcome.projections == 0 for outcome in found.of("random"))
    assert any(outcome.projections > 0 for outcome in found.of("nsga2(population=10)"))
    single = compare(["local_search"], settings_for(some, "local_search", 40), seeds=2)
    assert single.score_optimum == some.best("val")[1]
    assert single.reported_optimum == some.best("hidden")[1]


def test_exhausting_the_world_ends_the_search(tmp_path: Path) -> None:
    few = made(tmp_path / "few", 1, rows=12)
    trials, _ = searched(settings_for(few, "local_search", 100))
    assert len({trial.arch for trial in trials}) == len(trials) == 12


def test_from_python_with_a_table_and_a_strategy_of_ones_own(some: Table) -> None:
    """A strategy that was made for the open space stays inside too."""
    strategy = ogive.strategy("evolution(population=10, tournament=3)", nasbench201(), seed=1)
    found = ogive.search(space=nasbench201(), table=some, strategy=strategy, budget=40)
    assert len(found.trials) == 40
    assert all(some.row(trial.arch) >= 0 for trial in found.trials)


class Two:
    """An evaluator of one's own that reads two tables."""

    metrics = (Metric("val_acc"),)

    def __init__(self, *tables: Table) -> None:
        self.parts = tuple(Tabular(table, report=None) for table in tables)

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return self.parts[0].evaluate(proposals)


def test_two_tables_of_parts_are_refused(some: Table, tmp_path: Path) -> None:
    settings = replace(settings_for(some, "random"), evaluator="two")
    with pytest.raises(SpecError, match=r"closed by one table .* reads several: some, other"):
        assemble(settings, given={"evaluator": Two(some, made(tmp_path / "other", 5))})
    assert assemble(settings, given={"evaluator": Two(some, some)}).world == "closed world of 300 rows"
