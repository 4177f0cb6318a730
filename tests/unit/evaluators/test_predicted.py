from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ogive import catalog
from ogive.context import Context
from ogive.core.architecture import Architecture
from ogive.core.errors import ProtocolError, SpecError, UnknownName
from ogive.core.evaluator import Cached, Evaluator, Screened, Together
from ogive.core.metric import Metric
from ogive.core.objective import Maximize
from ogive.core.predictor import Observed, Predictor
from ogive.core.rng import Seed
from ogive.core.space import Choice, SearchSpace
from ogive.core.study import Study
from ogive.core.trial import Budget, Measurement, Proposal, Trial
from ogive.estimate import estimate
from ogive.evaluators.predicted import Predicted
from ogive.evaluators.tabular import Tabular
from ogive.predictors.ranks import Ranks
from ogive.predictors.trees import ExtraTrees
from ogive.session import Settings, resume, search, searched
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.local import RandomSearch
from ogive.tables.keys import SortedDigests
from ogive.tables.store import Column, write_table

SPACE = nasbench201()
OBJECTIVE = Maximize("predicted_val_acc")


class Teacher:
    """Accuracy is the sum of the choices; counts what it is asked for, and fails where the first choice is 4."""

    metrics = (Metric("val_acc"), Metric("test_acc"))

    def __init__(self, *, failing: bool = False) -> None:
        self.failing, self.asked = failing, 0

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        self.asked += len(proposals)
        return [self._one(proposal.arch) for proposal in proposals]

    def _one(self, arch: Architecture) -> Measurement:
        if self.failing and arch.choices[0] == 4:
            return Measurement(error="made up")
        return Measurement({"val_acc": float(sum(arch.choices)), "test_acc": 99.0})


class Recording(RandomSearch):
    def __init__(self) -> None:
        super().__init__(SPACE, Seed(0))
        self.told: list[Trial] = []

    def tell(self, trials: Sequence[Trial]) -> None:
        self.told += trials


class Exact:
    """Predicts the sum of the choices times a number, and keeps what it was fitted on."""

    def __init__(self, times: float = 1.0) -> None:
        self.times = times
        self.observed: list[Observed] = []

    def fit(self, observed: Observed) -> None:
        self.observed.append(observed)

    def predict(self, archs: Sequence[Architecture]) -> np.ndarray:
        return np.array([self.times * sum(arch.choices) for arch in archs], np.float64)


def predicted(predictor: Predictor | None = None, teacher: Evaluator | None = None, *, sample: int = 6) -> Predicted:
    return Predicted(predictor or Exact(), teacher or Teacher(), space=SPACE, seed=Seed(1), sample=sample)


def trees() -> ExtraTrees:
    return ExtraTrees(space=SPACE, seed=Seed(0), trees=5)


# -- labels, then predictions -----------------------------------------------------------------------------------------


def test_the_first_trials_are_labels_that_the_budget_counts_and_the_rest_are_predictions() -> None:
    teacher, predictor, strategy = Teacher(), Exact(), Recording()
    trials = list(Study(strategy, predicted(predictor, teacher), OBJECTIVE).run(Budget(trials=20)))
    assert [trial.number for trial in trials] == list(range(20))
    assert teacher.asked == 6
    labels, rest = trials[:6], trials[6:]
    for trial in labels:
        assert trial.metrics["predicted_val_acc"] == trial.metrics["val_acc"] == sum(trial.arch.choices)
    assert all(list(trial.metrics) == ["predicted_val_acc"] for trial in rest)
    assert [trial.metrics["predicted_val_acc"] for trial in rest] == pytest.approx(
        [sum(trial.arch.choices) for trial in rest]
    )
    assert predictor.observed == [
        Observed(tuple(t.arch for t in labels), tuple(float(sum(t.arch.choices)) for t in labels))
    ]
    assert [trial.number for trial in strategy.told] == list(range(20))
    assert not any("test_acc" in trial.metrics for trial in strategy.told)


def test_failed_labels_are_failed_trials_and_teach_nothing() -> None:
    predictor = Exact()
    trials = list(Study(Recording(), predicted(predictor, Teacher(failing=True), sample=20), OBJECTIVE).run(Budget(24)))
    failed = [trial for trial in trials if trial.status == "failed"]
    assert failed
    assert all(trial.number < 20 and trial.measurement.error == "made up" for trial in failed)
    assert len(predictor.observed[0]) == 20 - len(failed)


def test_labels_of_which_too_few_work_end_the_search_with_the_reason() -> None:
    class Failing(Teacher):
        def _one(self, arch: Architecture) -> Measurement:
            return Measurement(error="out of memory")

    with pytest.raises(SpecError, match="of the 3 of the sample 0 worked; the last reason: out of memory"):
        list(Study(Recording(), predicted(teacher=Failing(), sample=3), OBJECTIVE).run(Budget(10)))


def test_no_prediction_is_made_before_the_last_label_is_told() -> None:
    """Also with several labels in flight, which may be finished in any order."""
    outcomes = []
    for in_flight in (1, 4):
        with ThreadPoolExecutor(in_flight) as pool:
            predictor = Exact()
            study = Study(Recording(), predicted(predictor), OBJECTIVE)
            trials = list(study.run(Budget(trials=15), executor=pool, in_flight=in_flight))
        assert sorted(trial.number for trial in trials[:6]) == list(range(6))
        outcomes.append((predictor.observed, {(t.number, t.arch, t.scores) for t in trials}))
    assert outcomes[0] == outcomes[1]


def test_a_search_cut_off_after_any_trial_goes_on_as_if_nothing_had_happened() -> None:
    whole = list(Study(Recording(), predicted(trees()), OBJECTIVE).run(Budget(trials=12)))
    for cut in range(13):
        teacher = Teacher()
        study = Study(Recording(), predicted(trees(), teacher), OBJECTIVE)
        new = list(study.run(Budget(trials=12), past=whole[:cut]))
        assert [(t.number, t.arch, t.scores) for t in new] == [(t.number, t.arch, t.scores) for t in whole[cut:]]
        assert teacher.asked == max(0, 6 - cut)


@pytest.mark.parametrize("strategy", ["evolution(population=3, tournament=2)", "local_search", "nsga2", "reinforce"])
@pytest.mark.parametrize("cut", [4, 9, 15])
def test_run_folders_are_resumed_with_and_without_saved_strategies(
    strategy: str, cut: int, invented_table: Path, tmp_path: Path
) -> None:
    settings = Settings(
        space="nasbench201",
        table=str(invented_table),
        strategy=strategy,
        evaluator="predicted(trees(trees=5), tabular, sample=8)",
        objectives=("maximize(predicted_val_acc)",),
        budget=Budget(trials=20),
    )
    whole = [(trial.number, trial.arch, trial.scores) for trial in searched(settings)[0]]

    class Stop(Exception):
        pass

    def stop(trial: Trial) -> None:
        if trial.number == cut:
            raise Stop

    with pytest.raises(Stop):
        search(settings, tmp_path / "run", save_every=3, on_trial=stop)
    run = resume(tmp_path / "run", save_every=3)
    assert [(trial.number, trial.arch, trial.scores) for trial in run.trials] == whole


# -- units and companions ---------------------------------------------------------------------------------------------


def test_ranks_are_brought_to_the_unit_of_the_labels() -> None:
    trials = list(Study(Recording(), predicted(Exact(times=0.01)), OBJECTIVE).run(Budget(trials=20)))
    values = [trial.metrics["predicted_val_acc"] for trial in trials]
    assert values == pytest.approx([sum(trial.arch.choices) for trial in trials])
    ranked = list(Study(Recording(), predicted(Ranks(trees()), sample=30), OBJECTIVE).run(Budget(trials=60)))
    predictions = [trial.metrics["predicted_val_acc"] for trial in ranked[30:]]
    assert 4 < min(predictions) < max(predictions) < 20


def test_a_predictor_that_is_upside_down_is_named() -> None:
    with pytest.raises(ProtocolError, match="Exact must predict more for what is better"):
        list(Study(Recording(), predicted(Exact(times=-1.0)), OBJECTIVE).run(Budget(trials=20)))


def test_predictions_stand_beside_what_others_measure() -> None:
    class Size:
        metrics = (Metric("params"),)

        def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
            return [Measurement({"params": 1.0}) for _ in proposals]

    teacher = Teacher()
    evaluator = Cached(Together(predicted(teacher=teacher), Size()))
    trials = list(Study(Recording(), evaluator, OBJECTIVE).run(Budget(trials=20)))
    assert all(trial.metrics["params"] == 1 for trial in trials)
    assert teacher.asked == 6


def test_inside_of_a_screening_it_is_refused() -> None:
    class Accuracy(Teacher):
        metrics = (Metric("acc"), Metric("test"))

    with pytest.raises(SpecError, match=r"not inside of screened\(\.\.\.\)"):
        Study(Recording(), Screened(predicted(), Accuracy()), OBJECTIVE)
    twice = Together(predicted(), Predicted(Exact(), Accuracy(), space=SPACE, seed=Seed(1)))
    with pytest.raises(SpecError, match="stands once"):
        Study(Recording(), twice, OBJECTIVE)


def test_in_a_closed_world_the_sample_is_of_its_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    choices = np.array(sorted({SPACE.sample(rng).choices for _ in range(200)}))
    key, _ = SortedDigests.of("nasbench201", choices, by="choices")
    about = {"space": "nasbench201", "source": "", "licence": "", "importer": ""}
    columns = {"val": (Column("%", "", "float64"), rng.uniform(0, 100, key.rows))}
    table = write_table(tmp_path / "some", columns, name="some", key=key, complete=False, **about)
    teacher = Tabular(table, metric="val", report=None)
    evaluator = Predicted(trees(), teacher, space=SPACE, seed=Seed(0), sample=50)
    assert [found.error for found in teacher.evaluate(evaluator.sample)] == [None] * 50


# -- what is refused --------------------------------------------------------------------------------------------------


def test_what_leaves_nothing_to_predict_is_refused_before_anything_is_measured() -> None:
    with pytest.raises(SpecError, match="a budget of 6 trials leaves none to predict"):
        Predicted(Exact(), Teacher(), space=SPACE, seed=Seed(0), sample=6, budget=Budget(trials=6))
    with pytest.raises(SpecError, match="two labels at least, but got sample=1"):
        predicted(sample=1)
    few = SearchSpace("few", (Choice("op", ("a", "b")),), SPACE.draw)
    with pytest.raises(SpecError, match="no architecture twice"):
        Predicted(Exact(), Teacher(), space=few, seed=Seed(0), sample=6)


def test_only_what_a_strategy_may_see_is_predicted() -> None:
    with pytest.raises(SpecError, match="test_acc is for the record"):
        Predicted(Exact(), Teacher(), space=SPACE, seed=Seed(0), of="test_acc")
    with pytest.raises(UnknownName, match="metric of the teacher"):
        Predicted(Exact(), Teacher(), space=SPACE, seed=Seed(0), of="val_ac")
    context = Context({"space": nasbench201}, Seed(0))
    with pytest.raises(SpecError, match=r"predicted needs teacher: write predicted\(predictor, trained\)"):
        catalog.build("evaluator", "predicted(trees)", context)


def test_an_architecture_of_another_space_is_a_failed_measurement() -> None:
    evaluator = predicted(trees(), sample=4)
    evaluator.learn([Trial(n, p, evaluator.evaluate([p])[0], "ok") for n, p in enumerate(evaluator.sample)])
    mine, other = evaluator.evaluate([Proposal(next(iter(SPACE))), Proposal(Architecture("natssize", (0,) * 5))])
    assert mine.error is None
    assert "belongs to the space 'natssize'" in (other.error or "")


def test_a_sample_is_a_function_of_the_seed_and_has_nothing_twice() -> None:
    first, second = predicted(sample=50).sample, predicted(sample=50).sample
    assert first == second
    assert len({proposal.arch for proposal in first}) == 50
    assert all(a != b for a, b in itertools.pairwise(first))


def test_a_dry_run_counts_the_labels_and_not_the_predictions(invented_table: Path) -> None:
    settings = Settings(
        space="nasbench201",
        table=str(invented_table),
        evaluator="predicted(trees(trees=5), tabular, sample=8)",
        objectives=("maximize(predicted_val_acc)",),
        budget=Budget(trials=1_000_000),
        strategy="random",
    )
    found = estimate(settings)
    # A million look-ups would take minutes; the fit of five trees does not.
    assert 8 * found.trial_s < found.total_s < 20
