"""Searches with several fidelities answer with the best at the highest: in memory, stored, compared and on a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import ogive
from ogive.choice import choose, highest, pareto_front
from ogive.comparison import compare
from ogive.core.architecture import Architecture
from ogive.core.metric import Metric
from ogive.core.trial import Budget, Fidelity, Measurement, Proposal, Trial
from ogive.metrics import ranked_by_fidelity
from ogive.runs import read_run
from ogive.session import Settings
from ogive.tables.importers import import_table

SPACE = ogive.space("nasbench201")


class Falling:
    """Less training looks better, as where the validation part is small; what fails does so at the end."""

    metrics = (Metric("val_acc"),)
    fidelity = Fidelity("epochs", 9)

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return [Measurement({"val_acc": sum(one.arch.choices) - 10.0 * (one.fidelity is None)}) for one in proposals]


def trial(number: int, fidelity: int | None, *scores: float) -> Trial:
    proposal = Proposal(Architecture("nasbench201", (number,) * 6), fidelity)
    return Trial(number, proposal, Measurement(), "ok" if scores else "failed", scores or None)


def test_the_longest_that_worked_count() -> None:
    trials = [trial(0, 3, 9.0), trial(1, 9, 1.0), trial(2, 9, 2.0), trial(3, None)]
    assert choose(trials).trial == trials[2]
    assert highest([*trials, trial(4, None, 0.0)]) == [trial(4, None, 0.0)]
    assert pareto_front([trial(0, 3, 9.0, 9.0), trial(1, None, 1.0, 2.0), trial(2, None, 2.0, 1.0)]) == [
        trial(2, None, 2.0, 1.0),
        trial(1, None, 1.0, 2.0),
    ]


def test_curves_rank_by_fidelity_first() -> None:
    assert ranked_by_fidelity([3, 3, 3], [5.0, None, 7.0]) == [5.0, None, 7.0]
    assert ranked_by_fidelity([3, 9, 3, 9], [5.0, 1.0, 7.0, None]) == [0.0, 2.0, 1.0, None]


def test_a_stored_search_answers_with_a_whole_training_also_after_a_resume(tmp_path: Path) -> None:
    options = {"space": SPACE, "strategy": "hyperband(lowest=1)", "evaluator": Falling(), "budget": "90 epochs"}
    in_memory = ogive.search(**options)
    assert in_memory.best.proposal.fidelity is None
    assert in_memory.best.scores < max(one.scores for one in in_memory.trials if one.scores)
    stored = ogive.search(**options, out=tmp_path / "run")
    assert (stored.best.number, stored.best.scores) == (in_memory.best.number, in_memory.best.scores)
    run = read_run(tmp_path / "run")
    assert run.choice.found.number == in_memory.best.number
    assert {one.proposal.fidelity for one in run.front} == {None}


def test_a_comparison_and_its_curves_go_by_whole_trainings(shared_data: Path, tmp_path: Path) -> None:
    table = import_table(shared_data / "nb201.parquet", tmp_path / "table", name="nasbench201")
    settings = Settings("nasbench201", table=str(table.folder), budget=Budget(units=2000, unit="epochs"))
    found = compare(["asha"], settings, seeds=2)
    for outcome in found.of("asha"):
        arch = Architecture.parse(str(outcome.arch))
        assert outcome.score == outcome.curve[-1] == np.float32(table.value(arch, "c10v_val_200"))
