"""A finished run ranked by other objectives than those it was searched for, of what was measured in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from ogive import catalog
from ogive.core.limit import Limit
from ogive.core.objective import Objective, check_objectives
from ogive.core.study import judged
from ogive.core.trial import Trial
from ogive.runs import Record, Run
from ogive.trial_log import TrialLog

__all__ = ["reranked"]


def reranked(run: Run, written: Sequence[str]) -> Run:
    """The run with its trials scored by these objectives; the bare name of a metric stands for its best value.

    Nothing is stored. SpecError for an objective of what was not measured, or of the test set.
    """
    known = run.metrics
    texts = tuple(known[text].objective if text in known else text for text in written)
    objectives: tuple[Objective, ...] = tuple(catalog.build("objective", text) for text in texts)
    check_objectives(objectives, tuple(known.values()))
    again = partial(_again, objectives, run.constraints)
    records = tuple(Record(again(record.trial), record.at_s) for record in run.records)
    return replace(run, records=records, logged=TrialLog.of(records), ranked=texts, rescored=again)


def _again(objectives: Sequence[Objective], constraints: Sequence[Limit], trial: Trial) -> Trial:
    return replace(judged(trial.number, trial.proposal, trial.measurement, objectives, constraints), call=trial.call)
