"""Result: what a search found, for people who go on with it in Python: its best trial, its front, a table of all."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.choice import Chosen, Limit, check_limits, choose_last, limits_of, no_better, pareto_front
from ogive.core.graph import DISCONNECTED
from ogive.core.metric import LATENCY_SPREAD, Guess, Metric
from ogive.core.trial import Trial, counted
from ogive.frames import frame_of
from ogive.runs import Run, Stopped

__all__ = ["Result", "result_of"]

SHOWN = 10  # trials that a notebook shows, the best first
LONGEST = 70  # letters of an architecture that are shown


@dataclass(frozen=True, repr=False)
class Result:
    """What a search found: its trials in the order in which they were proposed.

    `objectives` are as they were written, `metrics` what was measured, `limits` those within which the best trial is
    chosen. `remeasured` are trials whose latencies were measured once more after the search, side by side, with what
    was found then. `stopped` says what was being done when the time of the search was up, if anything was; `guesses`
    are what guessing would reach.
    """

    trials: tuple[Trial, ...]
    folder: Path | None = None
    objectives: tuple[str, ...] = ()
    metrics: tuple[Metric, ...] = ()
    limits: tuple[Limit, ...] = ()
    remeasured: tuple[Trial, ...] = ()
    stopped: Stopped | None = None
    guesses: tuple[Guess, ...] = ()

    @property
    def guessing(self) -> tuple[str, ...]:
        """A sentence for each metric in which no candidate is better than a guess."""
        return no_better(self.trials, self.metrics, self.guesses)

    @property
    def choice(self) -> Chosen:
        """The best trial by latencies as they were measured last, and in words the rule by which it is the best."""
        return choose_last(self.trials, self._final, self.objectives, self.limits)

    @property
    def _final(self) -> dict[int, Trial]:
        return {trial.number: trial for trial in self.remeasured}

    @property
    def best(self) -> Trial:
        """The best trial by the rule of `choice`; SpecError if none succeeded, or none keeps the limits.

        With one objective that is the largest score, with several the knee of the Pareto front; with limits the largest
        first score of those that keep them, on the front where there are several objectives.
        """
        return self.choice.found

    def preferring(self, *limits: str) -> Result:
        """The same result, with its best trial chosen within limits such as ``"latency_ms<=5"``; ``"knee"`` for none.

        UnknownName for a limit of what was not measured.
        """
        read = limits_of(limits)
        check_limits(read, self.metrics)
        return replace(self, limits=read)

    def pareto(self) -> list[Trial]:
        """The trials that no other beats in all objectives, by falling first score; with latencies as measured last."""
        final = self._final
        return pareto_front([final.get(trial.number, trial) for trial in self.trials])

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """All trials as arrays (N,), by name, in the order in which they were proposed.

        ``trial``, ``arch`` as text, ``status``, ``fidelity`` (NaN for a whole measurement), one for each metric and one
        for the score in each objective (larger is better), both NaN where there is none, ``wall_s`` and
        ``benchmark_s``, and the ``error`` of a failed trial.
        """
        trials = self.trials
        names = [metric.name for metric in self.metrics] or list(dict.fromkeys(n for t in trials for n in t.metrics))
        objectives = self.objectives or tuple(
            f"objective {place}" for place in range(max((len(trial.scores or ()) for trial in trials), default=0))
        )
        found: dict[str, npt.NDArray[Any]] = {
            "trial": np.array([trial.number for trial in trials], np.int64),
            "arch": np.array([str(trial.arch) for trial in trials], object),
            "status": np.array([trial.status for trial in trials], object),
            "fidelity": _numbers(trial.proposal.fidelity for trial in trials),
        }
        found |= {name: _numbers(trial.metrics.get(name) for trial in trials) for name in names}
        for place, written in enumerate(objectives):
            found[f"score: {written}"] = _numbers(trial.scores[place] if trial.scores else None for trial in trials)
        found["wall_s"] = _numbers(trial.cost.wall_s for trial in trials)
        found["benchmark_s"] = _numbers(trial.cost.benchmark_s for trial in trials)
        found["error"] = np.array([trial.measurement.error or "" for trial in trials], object)
        return found

    @property
    def disconnected(self) -> int:
        """How many candidates were not trained, since no path leads from their input to their output."""
        return sum(trial.measurement.error == DISCONNECTED for trial in self.trials)

    def frame(self) -> Any:
        """All trials as a pandas DataFrame, a row each; without pandas, the arrays of `columns`."""
        return frame_of(self.columns())

    def __repr__(self) -> str:
        lines = [f"Result of {self._counts()}{'' if self.folder is None else f' in {self.folder}'}"]
        if self.objectives:
            lines.append(f"objective  {', '.join(self.objectives)}")
        if self.stopped is not None:
            lines.append(f"stopped    {self.stopped}")
        choice = self.choice
        if choice.trial is None:
            return "\n".join([*lines, choice.missing])
        final = self._final.get(choice.trial.number, choice.trial)
        lines.append(f"best       trial {final.number}, {_cut(str(final.arch))}")
        lines += [f"           {metric.title} {value}" for metric, value in self._measured(final)]
        lines += [f"guessing   {sentence}" for sentence in self.guessing]
        if len(self.objectives) > 1:
            lines.append(f"front      {counted(len(self.pareto()), 'trial')} that no other beats")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """What a notebook shows: the counts, and the best trials with what was measured of them."""
        final = self._final
        scored = [final.get(trial.number, trial) for trial in self.trials if trial.scores is not None]
        best = self.choice.trial
        ranked = self.pareto() if len(self.objectives) > 1 else sorted(scored, key=_first_score)
        shown = [trial for trial in ranked if best is None or trial.number != best.number]
        shown = ([] if best is None else [final.get(best.number, best)]) + shown
        metrics = [metric for metric in self._main if any(metric.name in trial.metrics for trial in shown)]
        head = _row("th", ["trial", "architecture", *(f"{m.title}{f' ({m.unit})' if m.unit else ''}" for m in metrics)])
        rows = [
            _row("td", [str(t.number), _cut(str(t.arch)), *(_told(t.metrics.get(m.name)) for m in metrics)])
            for t in shown[:SHOWN]
        ]
        where = "" if self.folder is None else f" in {self.folder}"
        what = f"{self._counts()}{where}; {', '.join(self.objectives)}".rstrip("; ")
        what += "" if self.stopped is None else f". {self.stopped}"
        what += "".join(f". {sentence}" for sentence in self.guessing)
        more = f"<p>{len(shown) - SHOWN} more</p>" if len(shown) > SHOWN else ""
        missing = f"<p>{html.escape(self.choice.missing)}</p>" if best is None else ""
        table = f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>" if rows else ""
        return f"<div style='overflow-x:auto'><p>{html.escape(what)}</p>{missing}{table}{more}</div>"

    def _counts(self) -> str:
        statuses = ("failed", "screened", "infeasible")
        count = {status: sum(trial.status == status for trial in self.trials) for status in statuses}
        told = [f"{count['failed']} failed" if count["failed"] else ""]
        told.append(f"{self.disconnected} of them with {DISCONNECTED}" if self.disconnected else "")
        told.append(f"{count['screened']} more screened out" if count["screened"] else "")
        told.append(f"{count['infeasible']} infeasible" if count["infeasible"] else "")
        inside = ", ".join(filter(None, told))
        evaluated = counted(len(self.trials) - count["screened"], "trial")
        return f"{evaluated} ({inside})" if inside else evaluated

    @property
    def _main(self) -> list[Metric]:
        """What was measured, without what says only how sure a latency is."""
        return [metric for metric in self.metrics if metric not in LATENCY_SPREAD]

    def _measured(self, trial: Trial) -> list[tuple[Metric, str]]:
        found = [metric for metric in self._main if metric.name in trial.metrics]
        return [(m, f"{_told(trial.metrics[m.name])} {m.unit}".rstrip()) for m in found]


def result_of(run: Run) -> Result:
    """What a run folder holds."""
    metrics, final = tuple(run.metrics.values()), tuple(run.remeasured.values())
    return Result(tuple(run.trials), run.folder, run.objectives, metrics, run.limits, final, run.stopped, run.guesses)


def _numbers(values: Any) -> npt.NDArray[np.float64]:
    return np.array([math.nan if value is None else value for value in values], np.float64)


def _told(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "–"
    return f"{value:,.0f}" if value == round(value) and abs(value) >= 1000 else f"{value:.4g}"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _row(cell: str, texts: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{cell}>{html.escape(text)}</{cell}>" for text in texts) + "</tr>"


def _first_score(trial: Trial) -> float:
    return -(trial.scores or (-math.inf,))[0]
