from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

import ogive
from ogive.core.errors import SpecError, StoreError
from ogive.core.metric import Metric
from ogive.core.trial import Fidelity, Measurement, Proposal
from ogive.optuna_export import export_to_optuna
from ogive.runs import read_run

SPACE = "nasbench201"


class Counting:
    """Counts of options as metrics; every fifth fails."""

    metrics = (Metric("acc", "%"), Metric("size", better="smaller"))

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return [self.of(proposal) for proposal in proposals]

    def of(self, proposal: Proposal) -> Measurement:
        total = float(sum(proposal.arch.choices))
        if int(total) % 5 == 0:
            return Measurement(error="made up")
        return Measurement({"acc": total, "size": float(proposal.arch.choices[0])})


class Rungs(Counting):
    """The same after some epochs."""

    fidelity = Fidelity("epochs", 9, continued=True)

    def of(self, proposal: Proposal) -> Measurement:
        return Measurement({"acc": sum(proposal.arch.choices) + (proposal.fidelity or 9) / 10, "size": 1.0})


def searched(folder: Path, *, objective: object = ("acc", "size"), budget: int = 15, **settings: object) -> Path:
    ogive.search(
        space=SPACE,
        strategy=settings.pop("strategy", "random"),  # type: ignore[arg-type]
        evaluator=settings.pop("evaluator", Counting()),  # type: ignore[arg-type]
        objective=objective,  # type: ignore[arg-type]
        budget=budget,
        out=folder,
        **settings,  # type: ignore[arg-type]
    )
    return folder


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/x.db"


def test_the_study_has_the_trials_of_the_run_and_the_same_front(tmp_path: Path, storage: str) -> None:
    run = read_run(searched(tmp_path / "front"))
    export_to_optuna(run.folder, storage)
    study = optuna.load_study(study_name="front", storage=storage)
    assert [one.name for one in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["acc", "size"]
    front = {tuple(trial.metrics[name] for name in ("acc", "size")) for trial in run.front}
    assert {tuple(trial.values) for trial in study.best_trials} == front
    assert [one.state for one in study.trials] == [
        TrialState.FAIL if trial.status == "failed" else TrialState.COMPLETE for trial in run.trials
    ]
    assert {one.state for one in study.trials} == {TrialState.FAIL, TrialState.COMPLETE}
    for one, trial in zip(study.trials, run.trials, strict=True):
        assert one.user_attrs["architecture"] == str(trial.arch)
        assert one.user_attrs.get("error") == trial.measurement.error
        assert len(one.params) == len(trial.arch.choices)


def test_written_again_it_is_the_same_and_then_has_what_the_run_has_more(tmp_path: Path, storage: str) -> None:
    folder = searched(tmp_path / "run", objective="acc", budget=6)
    assert not export_to_optuna(folder, storage).unchanged
    assert export_to_optuna(folder, storage).unchanged
    ogive.resume(folder, budget=9, evaluator=Counting())
    again = export_to_optuna(folder, storage)
    assert (again.trials, again.unchanged) == (9, False)
    study = optuna.load_study(study_name="run", storage=storage)
    best = ogive.open_run(folder).best
    assert study.best_value == best.metrics["acc"]
    assert study.best_trial.user_attrs["architecture"] == str(best.arch)


def test_of_several_fidelities_a_trial_is_an_architecture_with_its_shorter_measurements(
    tmp_path: Path, storage: str
) -> None:
    folder = searched(tmp_path / "rungs", objective="acc", budget=14, strategy="hyperband(lowest=1)", evaluator=Rungs())
    run = read_run(folder)
    export_to_optuna(folder, storage, study="of rungs")
    study = optuna.load_study(study_name="of rungs", storage=storage)
    assert len(study.trials) == len({trial.arch for trial in run.trials}) < len(run.trials)
    for one in study.trials:
        whole = one.state == TrialState.COMPLETE
        assert whole or one.state == TrialState.PRUNED
        numbers = one.user_attrs["ogive_trials"]
        group = [trial for trial in run.trials if trial.number in numbers]
        assert whole == any(trial.proposal.fidelity is None for trial in group)
        shorter = {trial.proposal.fidelity: trial.metrics["acc"] for trial in group if trial.proposal.fidelity}
        assert one.intermediate_values == shorter
    assert {len(one.intermediate_values) for one in study.trials} >= {1, 2}
    assert study.best_value == run.choice.trial.metrics["acc"]


def test_what_is_beyond_a_constraint_is_complete_and_infeasible(tmp_path: Path, storage: str) -> None:
    run = read_run(searched(tmp_path / "limited", objective="acc", where="size<=2"))
    export_to_optuna(run.folder, storage)
    study = optuna.load_study(study_name="limited", storage=storage)
    beyond = {one.number for one in study.trials if any(x > 0 for x in one.system_attrs.get("constraints", ()))}
    assert beyond == {trial.number for trial in run.trials if trial.status == "infeasible"} != set()
    assert all(study.trials[number].state == TrialState.COMPLETE for number in beyond)
    best = study.best_trial  # of the feasible ones, by Optuna's own rule
    assert best.user_attrs["architecture"] == str(run.choice.trial.arch)


def test_an_exported_study_goes_on_with_a_sampler_of_ogive(tmp_path: Path, storage: str) -> None:
    export_to_optuna(searched(tmp_path / "run", objective="acc"), storage)
    sampler = ogive.optuna_sampler(SPACE, "evolution")
    study = optuna.load_study(study_name="run", storage=storage, sampler=sampler)
    study.optimize(lambda trial: float(sum(ogive.optuna_suggested(trial, SPACE).choices)), n_trials=2)
    assert len(study.trials) == 17
    with pytest.raises(SpecError, match="has gone on since it was exported, by 2 trials"):
        export_to_optuna(tmp_path / "run", storage)


def test_what_cannot_be_exported_is_one_line(tmp_path: Path, storage: str) -> None:
    folder = searched(tmp_path / "run", objective="acc", budget=2)
    export_to_optuna(folder, storage)
    other = searched(tmp_path / "other", objective="acc", budget=3)
    with pytest.raises(SpecError, match=r"has a study 'run' that is not of .*other: give --study NAME"):
        export_to_optuna(other, storage, study="run")
    with pytest.raises(StoreError, match="is no storage that Optuna can open"):
        export_to_optuna(folder, "nonsense://x")
    with pytest.raises(StoreError, match="is no storage that Optuna can open"):
        export_to_optuna(folder, f"sqlite:///{tmp_path}/missing/x.db")
    with pytest.raises(StoreError):
        export_to_optuna(tmp_path / "nothing", storage)
