"""Finalists: what could have won a search that depends on a clock is measured once more, side by side, before it wins.

A latency of the search was measured once, at a time of its own. Whoever was lucky then would be the winner, and whoever
was measured while the machine was busy would not even be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ogive.choice import Chosen
from ogive.core.architecture import Architecture
from ogive.core.capabilities import walk
from ogive.core.evaluator import Clocked
from ogive.core.metric import LATENCY, LATENCY_CPU, LATENCY_HIGH, LATENCY_LOW, names_of
from ogive.core.study import Study
from ogive.core.trial import Measurement, Trial
from ogive.metrics import non_dominated

__all__ = ["FINALISTS", "needs_clock", "remeasured"]

FINALISTS = 5  # so many are measured side by side
ROUNDS = 4  # so often at most, while one that was not measured again is ahead of those that were

Choose = Callable[[Sequence[Trial]], Chosen]
Tell = Callable[[str], None]


def remeasured(
    study: Study,
    trials: Sequence[Trial],
    choose: Choose,
    *,
    device: str = "cpu",
    known: Iterable[Trial] = (),
    tell: Tell | None = None,
) -> list[Trial]:
    """Trials with what their architectures measured side by side; none where no objective needs a clock.

    Measured are those that could win by their plausible latencies, the `FINALISTS` most promising of them, until the
    one that `choose` names is among them. `tell` is told that before. `device` is where the latencies are measured.
    `known` are trials that were measured so after the same search.
    """
    measuring = _measuring(study)
    if measuring is None:
        return []
    final = _Final(study, choose, device == "cpu", {trial.arch: trial.measurement for trial in known})
    succeeded = [trial for trial in trials if trial.scores is not None]
    for _ in range(ROUNDS):
        now = [one for trial in succeeded if (one := final.of(trial)).scores is not None]
        chosen = choose(now).trial
        if chosen is None or chosen.arch in final.found:
            break
        finalists = final.candidates(now, chosen)
        if tell is not None:
            tell(f"measuring {len(finalists)} finalists side by side")
        measurements = measuring.side_by_side([trial.proposal for trial in finalists])
        for trial, measurement in zip(finalists, measurements, strict=True):
            final.found[trial.arch] = measurement
    return [final.of(trial) for trial in succeeded if trial.arch in final.found]


def needs_clock(study: Study) -> bool:
    """Whether an objective needs what no second measurement repeats."""
    return _measuring(study) is not None


def _measuring(study: Study) -> Clocked | None:
    """The part of the evaluator that measures by a clock what an objective needs."""
    needed = {name for objective in study.objectives for name in objective.needs}
    needed |= {limit.metric for limit in study.constraints}
    for part in walk(study.evaluator):
        if isinstance(part, Clocked) and needed & set(names_of(part.metrics)):
            return part
    return None


@dataclass(frozen=True, slots=True)
class _Final:
    """What was found side by side so far, and who is measured next."""

    study: Study
    choose: Choose
    on_processor: bool
    found: dict[Architecture, Measurement]

    def of(self, trial: Trial) -> Trial:
        """The trial, had it measured what was found side by side."""
        found = self.found.get(trial.arch)
        return trial if found is None else self._had(trial, found.metrics, found.error)

    def candidates(self, trials: Sequence[Trial], chosen: Trial) -> list[Trial]:
        """What is chosen now, the best that was measured before, and what could win, the most promising first."""
        before = self.choose([trial for trial in trials if trial.arch in self.found]).trial
        new = [trial for trial in self._could_win(trials) if trial.arch not in self.found]
        by_arch: dict[Architecture, Trial] = {}
        for trial in (chosen, *([] if before is None else [before]), *new):
            by_arch.setdefault(trial.arch, trial)
        return list(by_arch.values())[:FINALISTS]

    def _could_win(self, trials: Sequence[Trial]) -> list[Trial]:
        """Those that, at their best, nothing at its worst beats; by falling scores at their best."""
        ends = [self._plausible(trial) for trial in trials]
        best = [self._had(trial, low) for trial, (low, _) in zip(trials, ends, strict=True)]
        worst = [self._had(trial, high) for trial, (_, high) in zip(trials, ends, strict=True)]
        scores = [one.scores for one in worst if one.scores is not None and self.choose([one]).trial is not None]
        front = np.array(scores, np.float64)[non_dominated(scores)] if scores else np.empty((0, 1))
        hopeful = []
        for trial in best:
            if trial.scores is not None and self.choose([trial]).trial is not None:
                beaten = ((front >= trial.scores).all(axis=1) & (front > trial.scores).any(axis=1)).any()
                hopeful += [] if beaten else [trial]
        return sorted(hopeful, key=lambda trial: trial.scores or (), reverse=True)

    def _plausible(self, trial: Trial) -> tuple[Mapping[str, float], Mapping[str, float]]:
        """The latency at both ends of where it may lie: its interval, and down to the processor's own time.

        What kept the machine busy makes a latency longer, and the interval of its median no wider.
        """
        metrics = trial.metrics
        middle = metrics.get(LATENCY.name)
        if middle is None:
            return {}, {}
        low = min(middle, metrics.get(LATENCY_LOW.name, middle))
        if self.on_processor and trial.arch not in self.found:
            low = min(low, metrics.get(LATENCY_CPU.name, low))
        return {LATENCY.name: low}, {LATENCY.name: max(middle, metrics.get(LATENCY_HIGH.name, middle))}

    def _had(self, trial: Trial, metrics: Mapping[str, float], error: str | None = None) -> Trial:
        measured = replace(trial.measurement, metrics={**trial.metrics, **metrics}, error=error)
        return self.study.scored(trial.number, trial.proposal, measured)
