"""Run: a search on disk, read from its folder.

A run folder holds ``run.json`` (what was asked for, written once), ``trials.jsonl`` (one line a finished trial,
append-only, written before the search goes on) and ``artifacts/`` (everything derived: strategy state,
unfinished trainings, the winner). Every line carries a checksum, so a flipped bit is found and named.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.choice import Chosen, Limit, check_limits, choose_last, limits_of, no_better, pareto_front, shortlist
from ogive.core.capabilities import Answer
from ogive.core.errors import SpecError, StoreError, in_line
from ogive.core.executor import OVERTIME
from ogive.core.metric import LATENCY, LATENCY_SPREAD, Guess, Metric, metrics_from, of_version_1
from ogive.core.trial import Cost, Fidelity, Spent, Status, Trial, counted, duration
from ogive.documents import checked, read_json
from ogive.files import write_json
from ogive.metrics import non_dominated
from ogive.run_records import CONFIG, FOUND, LIMITS, STOPPED
from ogive.trial_lines import Record, read_final
from ogive.trial_log import TrialLog, read_log

__all__ = [
    "BUDGET",
    "FINALISTS",
    "HOLD",
    "SCHEMA",
    "STOP",
    "Record",
    "Run",
    "Stopped",
    "read_config",
    "read_run",
    "require_run",
    "way_to_resume",
]

# A larger budget that was given after the search began, among the artifacts.
BUDGET = "budget.json"
# The limits of the choice, among the artifacts, where they were given after the search began.
PREFERENCE = "prefer.json"
# What was measured side by side after the search, among the artifacts.
FINALISTS = "finalists.json"

# What was being done when the time of the search was up, among the artifacts.
STOP = "stopped.json"
# Trials that are kept in memory by who needs few of them; longer runs are read again piece by piece.
HOLD = 1024

SCHEMA = 2  # 1, of version 0.1, held no metrics and no answer; it is read as well


@dataclass(frozen=True, slots=True)
class Stopped:
    """What was being done when the time of a search was up, `at_s` seconds after its beginning.

    `trials` were being measured, by their numbers, and are not finished; `asking` says that the strategy was at work.
    """

    at_s: float
    trials: tuple[tuple[int, str], ...]
    asking: bool

    def to_json(self) -> dict[str, Any]:
        """What `Run.stopped` reads back."""
        under_way = [{"trial": number, "arch": arch} for number, arch in self.trials]
        return {"at_s": self.at_s, "asking": self.asking, "trials": under_way}

    def __str__(self) -> str:
        at = f"The time was up after {duration(self.at_s)}"
        numbers = ", ".join(str(number) for number, _ in self.trials)
        told = [f"{counted(len(self.trials), 'trial')} not finished ({numbers})"] if self.trials else []
        told += ["the strategy was stopped in the middle of its work for the next proposal"] if self.asking else []
        return f"{at}: {'; '.join(told)}." if told else f"{at}."


@dataclass(frozen=True, slots=True)
class Run:
    """What a run folder holds, read once.

    `records` are its trials in the order of finishing; of a long run that need not be held they are read again where
    they are asked for. `logged` is how they were read. `ranked` are other objectives than those of the search, by which
    its trials are `rescored`, for whoever asks later.
    """

    folder: Path
    config: dict[str, Any]
    records: Sequence[Record]
    logged: TrialLog | None = field(default=None, repr=False, compare=False)
    ranked: tuple[str, ...] = ()
    rescored: Callable[[Trial], Trial] | None = None

    @property
    def log(self) -> TrialLog:
        """The trials with what is often asked of all of them."""
        return TrialLog.of(self.records) if self.logged is None else self.logged

    @property
    def trials(self) -> Sequence[Trial]:
        """The finished trials by number: in the order in which they were proposed, and told to the strategy."""
        log = self.log
        return log.trials(log.columns.places())

    @property
    def evaluated(self) -> Sequence[Trial]:
        """The trials that cost budget: all but the screened-out ones."""
        log = self.log
        return log.trials(log.columns.places("ok", "failed", "infeasible"))

    @property
    def failed(self) -> Sequence[Trial]:
        """The failed trials."""
        log = self.log
        return log.trials(log.columns.places("failed"))

    def count(self, status: Status) -> int:
        """How many trials have the status."""
        return self.log.columns.count(status)

    def trial(self, number: int) -> Trial | None:
        """The trial of that number; None if none of it is finished."""
        log = self.log
        found = log.trials(np.flatnonzero(log.columns.numbers == number))
        return found[0] if found else None

    def spent(self, fidelity: Fidelity | None = None, places: npt.NDArray[np.int64] | None = None) -> Spent:
        """What all trials, or those of some records, have spent by number; in units too where there is a fidelity."""
        log, spent = self.log, Spent(fidelity=fidelity)
        order = log.columns.places() if places is None else places
        if fidelity is not None:  # what goes on from less is counted by architecture
            for trial in log.trials(order):
                spent.add(trial)
            return spent
        columns = log.columns
        spent.trials = int(np.count_nonzero(columns.costing[order]))
        spent.cost = Cost(_summed(columns.wall_s[order]), _summed(columns.benchmark_s[order]))
        return spent

    @property
    def answer(self) -> Answer:
        """What the search answers with, as its strategy said.

        Version 0.1 did not store that. There it was the last proposal where every one cost time, as an epoch of a
        supernet does. A single proposal does not tell: a search that ranks candidates before its first one spends time
        on it too.
        """
        stored = self.config.get("answer")
        if stored is not None:
            return "last" if stored == "last" else "best"
        costs = [trial.proposal.cost.wall_s for trial in self.evaluated]
        return "last" if len(costs) > 1 and min(costs) > 0 else "best"

    @property
    def objectives(self) -> tuple[str, ...]:
        """The objectives by which its trials are ranked, as they were written: those of the search, unless others."""
        return self.ranked or self.searched_for

    @property
    def searched_for(self) -> tuple[str, ...]:
        """The objectives that its strategy was told."""
        return tuple(str(text) for text in self.config.get("objectives") or ())

    @property
    def constraints(self) -> tuple[Limit, ...]:
        """What a trial had to keep to, to succeed."""
        return limits_of(self.config.get("where") or ())

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Within which its best trial is chosen: as was said last, by the search or after it."""
        path = self.artifacts / PREFERENCE
        try:
            later = read_json(path, [str]) if path.exists() else None
            return limits_of(self.config.get("prefer") or () if later is None else later)
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} is damaged ({in_line(error)}): delete it and give --prefer again.") from error

    @property
    def choice(self) -> Chosen:
        """The trial that is the best of all that are there today, and by which rule."""
        return self.chosen(self.limits)

    def chosen(self, limits: Sequence[Limit]) -> Chosen:
        """The same within these limits; latencies count as they were measured last."""
        return choose_last(self._eligible(limits), self.remeasured, self.objectives, limits)

    @property
    def front(self) -> list[Trial]:
        """The trials that no other beats in all objectives, by falling first score; latencies as measured last."""
        final = self.remeasured
        return pareto_front([final.get(trial.number, trial) for trial in self._eligible(())])

    def _eligible(self, limits: Sequence[Limit]) -> Sequence[Trial]:
        """Few trials of which one is chosen, if one is: by number, with what was measured last or keeps to limits."""
        log = self.log
        places = log.columns.places("ok")
        heights = log.columns.fidelities[places]
        places = places[heights == heights.max(initial=0.0)]
        scores = self._final_scores(places)
        if not scores.size:  # no trial that succeeded, or nothing that was searched for
            return self.trials
        if limits and scores.shape[1] == 1:
            final = self.remeasured
            among = shortlist((final.get(trial.number, trial) for trial in log.trials(places)), limits)
            return log.trials(places[np.isin(log.columns.numbers[places], [trial.number for trial in among])])
        best = scores[:, 0] == scores[:, 0].max() if scores.shape[1] == 1 else non_dominated(scores)
        last = np.isin(log.columns.numbers[places], list(self.remeasured))
        return log.trials(places[best | last])

    def _final_scores(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """The scores of the trials at these places, (trials, objectives), by what was measured last; -inf for none."""
        log = self.log
        scores = log.columns.scores[places]
        for number, trial in self.remeasured.items():
            scores[log.columns.numbers[places] == number] = -math.inf if trial.scores is None else trial.scores
        return scores

    def prefer(self, written: Sequence[str]) -> None:
        """Choose the best trial within these limits from now on; SpecError for one of nothing that was measured."""
        limits = limits_of(written)
        check_limits(limits, tuple(self.metrics.values()))
        if limits != self.limits:
            write_json(self.artifacts / PREFERENCE, [str(limit) for limit in limits])

    @property
    def granted(self) -> dict[str, Any] | None:
        """The last budget that a resume was given, as JSON; None if none was: run.json is written once."""
        path = self.artifacts / BUDGET
        try:
            return dict(read_json(path, LIMITS)) if path.exists() else None
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} is damaged ({in_line(error)}): delete it and give --budget again.") from error

    @property
    def metrics(self) -> dict[str, Metric]:
        """What was measured, by name, in the evaluator's order; of a run of version 0.1, what the names stood for."""
        stored = self.config.get("metrics")
        if stored is None:
            names = dict.fromkeys(name for trial in self.trials for name in trial.metrics)
            return {name: of_version_1(name) for name in names}
        try:
            return {metric.name: metric for metric in metrics_from(stored)}
        except (TypeError, SpecError) as error:
            raise StoreError(f"{self.folder / 'run.json'} does not hold the metrics of a search: {error}.") from error

    @property
    def guesses(self) -> tuple[Guess, ...]:
        """What guessing would reach, where the evaluator knew it."""
        return tuple(Guess(**entry) for entry in self.config.get("guesses") or ())

    @property
    def guessing(self) -> tuple[str, ...]:
        """A sentence for each metric in which no candidate is better than a guess."""
        return no_better(self.trials, tuple(self.metrics.values()), self.guesses)

    @property
    def remeasured(self) -> dict[int, Trial]:
        """By number, the trials whose latencies were measured once more, side by side, with what was found then."""
        path = self.artifacts / FINALISTS
        if not path.exists():
            return {}
        try:
            found = {entry["trial"]: self._final(entry) for entry in read_json(path, FOUND)["finalists"]}
        except (OSError, ValueError, KeyError) as error:
            way = f"delete it; `{way_to_resume(self.folder)}` measures again"
            raise StoreError(f"{path} is damaged ({in_line(error)}): {way}.") from error
        return found

    def _final(self, entry: Mapping[str, Any]) -> Trial:
        trial = self.trial(entry["trial"])
        if trial is None:
            raise KeyError(entry["trial"])
        if self.rescored is None:
            return read_final(trial, entry)
        return self.rescored(read_final(replace(trial, scores=None), entry))

    def final(self, trial: Trial) -> Trial:
        """One of its trials, with its latency as it was measured last."""
        return self.remeasured.get(trial.number, trial)

    @property
    def final_trials(self) -> list[Trial]:
        """All trials, with their latencies as they were measured last."""
        final = self.remeasured
        return [final.get(trial.number, trial) for trial in self.trials]

    @property
    def is_settled(self) -> bool:
        """Whether its finalists were measured after its last trial."""
        try:
            told = read_json(self.artifacts / FINALISTS, {"trials": int})
        except (OSError, ValueError):
            return False
        return bool(told["trials"] == len(self.records))

    @property
    def chances(self) -> tuple[str, ...]:
        """Why a second search with these settings may find something else, a sentence each."""
        names, ahead = self.config.get("unrepeatable"), self.config.get("in_flight", 1)
        if names is None:  # of version 0.1, which measured only latencies twice as long as the percentiles of one
            timed = LATENCY_SPREAD[0].name in self.metrics and "latency" in str(self.config.get("objectives"))
            names = [LATENCY.name] if timed else []
        told = []
        if names:
            titles = ", ".join(self.metrics[name].title if name in self.metrics else str(name) for name in names)
            told.append(f"What it finds depends on {titles}, which no second measurement repeats.")
        if self.config.get("order") == "finish" and ahead != 1:
            told.append("Its trials are told in the order in which they finish, which no second run repeats.")
        late = sum((trial.measurement.error or "").startswith(OVERTIME) for trial in self.failed)
        if late:
            told.append(f"{counted(late, 'trial')} ended by a trial limit, which a faster or idle machine keeps.")
        return tuple(told)

    @property
    def stopped(self) -> Stopped | None:
        """What was being done when the time of the search was up, and is not finished to this day; None if nothing."""
        path = self.artifacts / STOP
        try:
            found = read_json(path, STOPPED)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} is damaged ({in_line(error)}): delete it.") from error
        finished = self.log.columns.numbers
        left = tuple((one["trial"], one["arch"]) for one in found["trials"] if one["trial"] not in finished)
        later = self._last_s > found["at_s"]
        return None if later and not left else Stopped(found["at_s"], left, found["asking"] and not later)

    @property
    def elapsed_s(self) -> float:
        """Seconds of searching until the last finished trial, or until its time was up."""
        stopped = self.stopped
        return max(0.0 if stopped is None else stopped.at_s, self._last_s)

    @property
    def _last_s(self) -> float:
        """When its last trial finished; 0 without one."""
        at_s = self.log.columns.at_s
        return float(at_s[-1]) if len(at_s) else 0.0

    @property
    def artifacts(self) -> Path:
        """The folder of everything derived from the trials."""
        return self.folder / "artifacts"

    @property
    def projections(self) -> int:
        """How many proposals of a finished search were projected onto rows of a closed world."""
        try:
            return int(read_json(self.artifacts / "world.json", {"projections": int})["projections"])
        except FileNotFoundError:
            return 0
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.artifacts / 'world.json'} is damaged ({in_line(error)}): delete it.") from error


def read_run(folder: Path, *, hold: int | None = None, known: Run | None = None) -> Run:
    """Read a run folder without touching it; a torn last line is left out with a warning.

    The trials of a run of more than `hold` are not kept in memory, but read again each time they are asked for. Trials
    that are `known`, as the folder was read before, are not read again.
    Raises StoreError for a folder that holds no run, a run of a newer schema, or a damaged line (which it names).
    """
    folder = Path(folder)
    config = read_config(folder)
    goals = len(config.get("objectives") or ())
    log = read_log(folder / "trials.jsonl", goals, hold=hold, known=None if known is None else known.log)
    return Run(folder, config, log.records, log)


def read_config(folder: Path) -> dict[str, Any]:
    """What run.json holds; StoreError as `read_run`."""
    require_run(folder)
    try:
        config = read_json(folder / "run.json", object)
    except (OSError, ValueError) as error:
        raise StoreError(f"{folder / 'run.json'} cannot be read: {in_line(error)}.") from error
    schema = config.get("schema") if isinstance(config, dict) else None
    if not isinstance(schema, int):
        raise StoreError(f"{folder / 'run.json'} was not written by ogive: it has no schema number.")
    if schema > SCHEMA:
        raise StoreError(
            f"{folder} was written by a newer ogive (schema {schema}; this one reads up to {SCHEMA}): upgrade ogive."
        )
    try:
        checked(config, CONFIG)
    except ValueError as error:
        raise StoreError(f"{folder / 'run.json'} is damaged: {error}. Restore it.") from error
    found: dict[str, Any] = config
    return found


# -- reading ----------------------------------------------------------------------------------------------------------


def require_run(folder: Path) -> None:
    """StoreError for a folder that holds no run."""
    if not (folder / "run.json").is_file():
        what = "is not a run folder: it has no run.json" if folder.is_dir() else "does not exist"
        raise StoreError(f"{folder} {what}. `ogive search … --out FOLDER` makes one.")


def _summed(values: npt.NDArray[np.float64]) -> float:
    """Their sum, one added after the other as a search does."""
    return float(np.add.accumulate(values)[-1]) if len(values) else 0.0


def way_to_resume(folder: Path) -> str:
    """The command that goes on with a run, as a shell takes it."""
    return shlex.join(["ogive", "resume", str(folder)])
