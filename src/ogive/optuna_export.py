"""A finished run as a study in a storage of Optuna, which optuna-dashboard shows."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ogive import catalog
from ogive.core.errors import OgiveError, SpecError, StoreError, in_line, nameable, quoted
from ogive.core.objective import Maximize, Minimize
from ogive.core.trial import Trial
from ogive.runs import Run, read_run
from ogive.strategies.optuna_counterparts import Counterparts
from ogive.strategies.optuna_forms import quiet, require

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

__all__ = ["ExportedStudy", "export_to_optuna"]

# The attribute by which a study and each of its trials say which run they are of.
RUN, NUMBERS = "ogive_run", "ogive_trials"
CONSTRAINTS = "constraints"  # the key under which Optuna keeps what a trial is beyond its limits


@dataclass(frozen=True)
class ExportedStudy:
    """What was written: the name of the study, how many trials it has, and whether it was there as it is."""

    name: str
    trials: int
    unchanged: bool


@nameable
def export_to_optuna(run: str | Path, storage: str, *, study: str | None = None) -> ExportedStudy:
    """Write a run into a storage of Optuna, as a study by the name of its folder.

    Parameters are the variables of the space, values the metrics in their own direction where the objectives are such,
    else what was maximised. A trial that failed has failed there, one that was screened out is pruned; one beyond a
    constraint is complete with what it is beyond by, where its values are known. Of a run with several fidelities and
    one objective a trial is an architecture: its shorter measurements are intermediate values, and it is pruned unless
    it reached the highest fidelity. Written again, the study is as before, with whatever the run has more.

    Raises:
        StoreError: For a folder that is no run, and a storage that cannot be written.
        SpecError: For a run in a space that no name stands for, one without trials, and a study of that name which
            is not of this run, or that has gone on since.
        MissingData: Without Optuna.
    """
    require("The export to Optuna")
    folder = Path(run)
    found = read_run(folder)
    name = study or folder.resolve().name
    with quiet():
        return _Export(found).into(storage, name)


class _Export:
    def __init__(self, run: Run) -> None:
        self.run = run
        if not run.trials:
            raise SpecError(f"{run.folder} has no finished trial to export.")
        try:
            self.counterparts = Counterparts.of(catalog.build("space", str(run.config.get("space"))))
            self.objectives = [catalog.build("objective", text) for text in run.objectives]
        except OgiveError as error:
            raise SpecError(
                f"{run.folder} was searched with parts that no name stands for, so it is not exported: {in_line(error)}"
            ) from None
        self.signs = [-1 if isinstance(one, Minimize) else 1 for one in self.objectives]
        content = json.dumps(run.config, sort_keys=True, default=str)
        self.digest = hashlib.sha256(content.encode()).hexdigest()

    def into(self, storage: str, name: str) -> ExportedStudy:
        import optuna

        trials = self._trials()
        try:
            opened = optuna.storages.get_storage(storage)
            known = {one.study_name: one for one in optuna.get_all_study_summaries(opened)}
        except Exception as error:  # noqa: BLE001 - each kind of storage fails in its own way
            raise StoreError(
                f"{quoted(storage)} is no storage that Optuna can open ({in_line(error)}): write sqlite:///study.db."
            ) from None
        if name in known:
            before = optuna.load_study(study_name=name, storage=opened)
            self._refuse_another(before, name)
            if _same(before.get_trials(deepcopy=False), trials):
                return ExportedStudy(name, len(trials), unchanged=True)
            optuna.delete_study(study_name=name, storage=opened)
        both = optuna.study.StudyDirection
        directions = [both.MINIMIZE if sign < 0 else both.MAXIMIZE for sign in self.signs]
        made = optuna.create_study(study_name=name, storage=opened, directions=directions)
        with warnings.catch_warnings():  # its interface may change, and is asked for here only
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            made.set_metric_names([self._words(place) for place in range(len(self.signs))])
        made.set_user_attr(RUN, self.digest)
        for key in ("space", "strategy", "evaluator", "seed", "budget", "where", "data", "table"):
            if self.run.config.get(key) not in (None, [], ""):
                made.set_user_attr(key, self.run.config[key])
        made.add_trials(trials)
        return ExportedStudy(name, len(trials), unchanged=False)

    def _refuse_another(self, study: Study, name: str) -> None:
        if study.user_attrs.get(RUN) != self.digest:
            raise SpecError(
                f"The storage has a study {quoted(name)} that is not of {self.run.folder}: give --study NAME."
            )
        others = sum(NUMBERS not in trial.user_attrs for trial in study.get_trials(deepcopy=False))
        if others:
            raise SpecError(
                f"The study {quoted(name)} has gone on since it was exported, by {others} trials that are not of "
                f"{self.run.folder}: give --study NAME."
            )

    def _words(self, place: int) -> str:
        objective = self.objectives[place]
        words = objective.metric if isinstance(objective, (Maximize, Minimize)) else self.run.objectives[place]
        earlier = [self.objectives[one] for one in range(place)]
        return f"{words} ({place + 1})" if objective in earlier else str(words)

    # -- trials -------------------------------------------------------------------------------------------------------

    def _trials(self) -> list[FrozenTrial]:
        """One for each trial of the run; for each architecture where it was measured at several fidelities."""
        heights = {trial.proposal.height for trial in self.run.trials if trial.status != "screened"}
        if len(heights) < 2 or len(self.signs) > 1:
            return [self._trial([trial], complete=True) for trial in self.run.trials]
        groups: dict[Any, list[Trial]] = {}
        for trial in self.run.trials:
            groups.setdefault(trial.arch, []).append(trial)
        top = max(heights)
        made = []
        for group in groups.values():
            group.sort(key=lambda trial: trial.proposal.height)
            made.append(self._trial(group, complete=group[-1].proposal.height == top))
        return made

    def _trial(self, group: Sequence[Trial], *, complete: bool) -> FrozenTrial:
        """Of the last of the group; what was measured before at less are its intermediate values."""
        from optuna.trial import TrialState, create_trial

        last = group[-1]
        values = self._values(last)
        done = complete and values is not None
        pruned = not done and last.status in ("screened", "infeasible", "ok")
        steps = {int(one.proposal.fidelity or 0): self._values(one) for one in group if one.proposal.fidelity}
        beyond = {CONSTRAINTS: (last.violation,)} if self.run.constraints and last.measured else {}
        return create_trial(
            state=TrialState.COMPLETE if done else TrialState.PRUNED if pruned else TrialState.FAIL,
            values=values if done else None,
            params=self.counterparts.params(last.arch),
            distributions=dict(self.counterparts.distributions),
            user_attrs=self._attributes(group),
            system_attrs=beyond,
            intermediate_values=self._steps(steps) if len(self.signs) == 1 else {},
        )

    @staticmethod
    def _steps(steps: Mapping[int, Sequence[float] | None]) -> dict[int, float]:
        return {step: values[0] for step, values in steps.items() if values is not None}

    def _values(self, trial: Trial) -> list[float] | None:
        """In the directions of the study; of a trial beyond a constraint as far as its metrics tell them."""
        scores = trial.scores
        if scores is None and trial.status == "infeasible":
            scores = tuple(float(objective(trial.arch, trial.metrics)) for objective in self.objectives)
        return None if scores is None else [sign * score for sign, score in zip(self.signs, scores, strict=True)]

    def _attributes(self, group: Sequence[Trial]) -> dict[str, Any]:
        last = group[-1]
        said: dict[str, Any] = {NUMBERS: [trial.number for trial in group], "architecture": str(last.arch)}
        said |= {"status": last.status, "wall_s": sum(trial.cost.wall_s for trial in group)}
        said |= {name: float(value) for name, value in last.metrics.items()}
        if last.measurement.error is not None:
            said["error"] = last.measurement.error
        return said


def _same(before: Sequence[FrozenTrial], trials: Sequence[FrozenTrial]) -> bool:
    return [_told(one) for one in before] == [_told(one) for one in trials]


def _told(trial: FrozenTrial) -> tuple[Any, ...]:
    """What a trial says, but for its number and when it was written."""
    values = None if trial.values is None else list(trial.values)
    steps = {int(step): value for step, value in trial.intermediate_values.items()}
    return trial.state, values, trial.params, steps, dict(trial.user_attrs)
