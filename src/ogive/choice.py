"""Which trial a search answers with: the best one or, of several objectives, one of the Pareto front by a stated rule.

Without limits that is the knee of the front, and with some the best in the first objective among those that keep them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ogive.core.errors import SpecError, UnknownName
from ogive.core.limit import Limit
from ogive.core.metric import Guess, Metric, is_reported
from ogive.core.trial import Trial
from ogive.metrics import chance, non_dominated

__all__ = [
    "KNEE",
    "Chosen",
    "Limit",
    "check_limits",
    "choose",
    "choose_last",
    "highest",
    "limits_of",
    "no_better",
    "pareto_front",
    "shortlist",
]

# What stands for no limits, where some were given before.
KNEE = "knee"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The trial that a search answers with, the rule in words, and where there is none, the reason in a sentence."""

    trial: Trial | None
    rule: str
    missing: str = ""

    @property
    def found(self) -> Trial:
        """The trial; SpecError, with the reason, if there is none."""
        if self.trial is None:
            raise SpecError(self.missing)
        return self.trial


def limits_of(written: Sequence[str]) -> tuple[Limit, ...]:
    """The limits that are written; `KNEE` alone stands for none."""
    return () if list(written) == [KNEE] else tuple(Limit.parse(text) for text in written)


def check_limits(limits: Sequence[Limit], measured: Sequence[Metric]) -> None:
    """Refuse limits of what nobody measures, and of what was measured on a test set."""
    known = {metric.name: metric for metric in measured}
    for limit in limits:
        if is_reported(limit.metric, known):
            raise SpecError(f"A choice never goes by the test set, but {limit} does: prefer a validation metric.")
        if limit.metric not in known:
            raise UnknownName("metric", limit.metric, known)


def highest(trials: Sequence[Trial]) -> list[Trial]:
    """The trials with scores at the highest fidelity that any of these has: what a search may answer with.

    Trainings of four epochs and whole ones cannot be compared. Until the first whole one, the longest count.
    """
    scored = [trial for trial in trials if trial.scores is not None]
    height = max((trial.proposal.height for trial in scored), default=math.inf)
    return [trial for trial in scored if trial.proposal.height == height]


def pareto_front(trials: Sequence[Trial]) -> list[Trial]:
    """The trials at the highest fidelity that no other beats: none is as good in all objectives and better in one.

    By falling first score; of one objective, all that are equally good and the best.
    """
    scored = [(trial, trial.scores) for trial in highest(trials) if trial.scores is not None]
    if not scored:
        return []
    kept = non_dominated([scores for _, scores in scored])
    front = [trial for (trial, _), stays in zip(scored, kept, strict=True) if stays]
    return sorted(front, key=lambda trial: trial.scores or (), reverse=True)


def choose_last(
    trials: Sequence[Trial], final: Mapping[int, Trial], objectives: Sequence[str] = (), limits: Sequence[Limit] = ()
) -> Chosen:
    """As `choose`, by what was measured last: `final` holds by number the trials that were measured once more.

    The trial that is chosen is told as it was in the search.
    """
    choice = choose([final.get(trial.number, trial) for trial in trials], objectives, limits)
    before = {trial.number: trial for trial in trials}
    return choice if choice.trial is None else replace(choice, trial=before[choice.trial.number])


def shortlist(trials: Iterable[Trial], limits: Sequence[Limit]) -> list[Trial]:
    """The few trials of a search with one objective by which `choose` decides, and says why, as by all of them.

    They are given at the highest fidelity.
    """
    best: Trial | None = None
    nearest: dict[Limit, Trial] = {}
    for trial in trials:
        if trial.scores is None:
            continue
        if all(limit.keeps(trial.metrics) for limit in limits) and (best is None or trial.scores > (best.scores or ())):
            best = trial
        for limit in limits:
            near = _nearest(limit, [nearest[limit], trial] if limit in nearest else [trial])
            nearest |= {} if near is None else {limit: near}
    found = {trial.number: trial for trial in [*nearest.values(), *([] if best is None else [best])]}
    return [found[number] for number in sorted(found)]


def choose(trials: Sequence[Trial], objectives: Sequence[str] = (), limits: Sequence[Limit] = ()) -> Chosen:
    """The trial that a search with these objectives, as they are written, answers with; the earliest of equals.

    Only trials at the highest fidelity count. With one objective, that is the best of those that keep the limits. With
    several it is always a trial of the Pareto front: the best in the first objective among those that keep the limits,
    or without limits the knee.
    """
    scored = highest(trials)
    several = len(objectives) > 1 or any(len(trial.scores or ()) > 1 for trial in scored)
    rule = _words(objectives or ("the first objective",), several, limits)
    if not scored:
        broken = [trial for trial in trials if trial.status == "infeasible"]
        reason = f"None of the {len(trials)} trials succeeded; their `measurement.error` says why."
        if broken:
            nearest = min(broken, key=lambda trial: (trial.violation, trial.number))
            reason = (
                f"None of the {len(trials)} trials keeps the constraints of the search; the nearest is trial "
                f"{nearest.number}, beyond them by {nearest.violation:.1%} of their bounds."
            )
        return Chosen(None, rule, reason)
    among = pareto_front(scored) if several else scored
    if several and not limits:
        return Chosen(_knee(among), rule)
    keeping = [trial for trial in among if all(limit.keeps(trial.metrics) for limit in limits)]
    if not keeping:
        return Chosen(None, rule, _nobody(among, limits, "trial of the Pareto front" if several else "trial"))
    return Chosen(max(keeping, key=lambda trial: ((trial.scores or (-math.inf,))[0], -trial.number)), rule)


def no_better(trials: Sequence[Trial], metrics: Sequence[Metric], guesses: Sequence[Guess]) -> tuple[str, ...]:
    """A sentence for each metric in which no candidate of a search is better than a guess."""
    told, known = [], {metric.name: metric for metric in metrics}
    for guess in guesses:
        values = [
            trial.metrics[guess.metric] for trial in trials if trial.status == "ok" and guess.metric in trial.metrics
        ]
        if values and guess.metric in known:
            metric = known[guess.metric]
            best = max(values, key=lambda value: metric.sign * value)
            told.append(chance(best, guess, metric, len(values)))
    return tuple(sentence for sentence in told if sentence is not None)


def _words(objectives: Sequence[str], several: bool, limits: Sequence[Limit]) -> str:
    kept = f" with {' and '.join(map(str, limits))}" if limits else ""
    if not several:
        return f"the best in {objectives[0]}{kept}"
    if limits:
        return f"of the Pareto front, the best in {objectives[0]}{kept}"
    return "the knee of the Pareto front, which alone has the largest hypervolume above the front's worst scores"


def _knee(front: Sequence[Trial]) -> Trial:
    """The trial of a front that contributes most hypervolume by itself, above the worst of the front in each objective.

    So neither the units of objectives count nor how many other trials crowd around it, as they would in the volume that
    is lost with a trial. Ends of the front have none; of equals, as of two ends, the best in the first objective.
    """
    scores: npt.NDArray[np.float64] = np.array([trial.scores for trial in front], np.float64)
    low, span = scores.min(axis=0), np.ptp(scores, axis=0)
    volumes = np.prod(np.divide(scores - low, span, out=np.ones_like(scores), where=span > 0), axis=1)
    ranked = zip(volumes.tolist(), front, strict=True)
    return max(ranked, key=lambda pair: (pair[0], pair[1].scores or (), -pair[1].number))[1]


def _nearest(limit: Limit, trials: Sequence[Trial]) -> Trial | None:
    """The trial that comes nearest to a limit; None if none has the metric."""
    known = [trial for trial in trials if math.isfinite(trial.metrics.get(limit.metric, math.nan))]
    side = 1.0 if limit.sign.startswith("<") else -1.0
    return min(known, key=lambda trial: side * trial.metrics[limit.metric], default=None)


def _nobody(among: Sequence[Trial], limits: Sequence[Limit], what: str) -> str:
    told = []
    for limit in limits:
        nearest = _nearest(limit, among)
        if nearest is None:
            told.append(f"none has {limit.metric}")
        else:
            told.append(f"the nearest to {limit} is trial {nearest.number} with {nearest.metrics[limit.metric]:.6g}")
    return f"No {what} has {' and '.join(map(str, limits))}: {', '.join(told)}. Prefer something else, or {KNEE}."
