from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

from ogive.choice import choose, pareto_front
from ogive.comparison import Comparison, Outcome, compare
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, StoreError, UnknownName
from ogive.core.metric import Metric
from ogive.core.trial import Budget
from ogive.runs import read_run
from ogive.session import Settings, resume, searched
from ogive.spaces.nasbench201 import choices_of, nasbench201, official_indices
from ogive.tables.importers import Mapped, import_table
from ogive.tables.keys import MixedRadix
from ogive.tables.store import Column, Table, write_table

EVOLUTION = "evolution(population=8, tournament=4)"


@pytest.fixture
def settings(invented_table: Path) -> Settings:
    return Settings(
        space="nasbench201",
        table=str(invented_table),
        evaluator="tabular(also=[params])",
        budget=Budget(trials=40),
        seed=5,
    )


@pytest.fixture
def table(invented_table: Path) -> Table:
    return Table.open(invented_table)


def invented(**values: list[float]) -> Comparison:
    """A comparison whose searches ended with these scores."""
    outcomes = tuple(
        Outcome(name, seed, score, math.nan, (score,), (math.nan,), 0, None)
        for name, scores in values.items()
        for seed, score in enumerate(scores)
    )
    seeds = tuple(range(max(map(len, values.values()))))
    return Comparison(Settings(space="nasbench201"), tuple(values), seeds, outcomes, None, None)


# -- what is run ------------------------------------------------------------------------------------------------------


def test_random_search_is_always_among_them(settings: Settings) -> None:
    found = compare([EVOLUTION], settings, seeds=2)
    assert found.strategies == ("random", EVOLUTION)
    assert compare(["local_search", "random"], settings, seeds=1).strategies == ("local_search", "random")
    variant = "random(without_replacement=true)"
    assert compare([variant], settings, seeds=1).strategies == (variant,)


def test_every_strategy_gets_the_same_seeds_and_the_same_budget(settings: Settings) -> None:
    found = compare([EVOLUTION], settings, seeds=3)
    assert found.seeds == (5, 6, 7)
    for strategy in found.strategies:
        assert [outcome.seed for outcome in found.of(strategy)] == [5, 6, 7]
        assert [len(outcome.curve) for outcome in found.of(strategy)] == [40, 40, 40]


def test_each_outcome_is_that_of_the_search_alone(settings: Settings, invented_table: Path) -> None:
    found = compare([EVOLUTION], settings, seeds=2)
    trials = searched(replace(settings, strategy=EVOLUTION, seed=6))[0]
    winner = max(trials, key=lambda trial: trial.scores or ())
    outcome = found.of(EVOLUTION)[1]
    assert outcome.arch == str(winner.arch)
    assert outcome.score == winner.metrics["val_acc"]
    assert outcome.reported == winner.metrics["test_acc"]
    running = np.maximum.accumulate([trial.metrics["val_acc"] for trial in trials])
    assert list(outcome.curve) == running.tolist()
    assert outcome.reported_curve[-1] == outcome.reported


def test_searches_that_depend_on_a_clock_are_said_to(settings: Settings) -> None:
    quick = "latency(min_seconds=0.0, max_seconds=0.01, warm_up_s=0.0)"
    timed = replace(
        settings, table=None, data="digits(size=8, limit=20)", channels=2, cells=1, budget=Budget(trials=1),
        evaluator=quick, objectives=(),
    )  # fmt: skip
    (note,) = compare(["random"], timed, seeds=1).notes
    assert note.startswith("The searches depend on latency_ms, which no second measurement repeats")
    assert compare(["random"], settings, seeds=1).notes == ()


def test_workers_change_nothing(settings: Settings) -> None:
    one = compare([EVOLUTION], settings, seeds=3)
    two = compare([EVOLUTION], settings, seeds=3, workers=2)
    assert two.to_json() == one.to_json()


def test_who_watches_sees_every_search_end(settings: Settings) -> None:
    seen: list[tuple[int, int]] = []
    compare([EVOLUTION], settings, seeds=2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    ("strategies", "changes", "error", "reason"),
    [
        (["evolution", "evolution()"], {}, SpecError, "evolution is given twice"),
        (["random", "evoluton"], {}, UnknownName, "Did you mean 'evolution'"),
        (["evolution(populaton=3)"], {}, UnknownName, "Did you mean 'population'"),
        (["nsga2", "evolution"], {"objectives": ("maximize(val_acc)", "minimize(params)")}, SpecError, "1 objective"),
        (["evolution"], {"objectives": ("maximize(naswot)",)}, SpecError, "needs the metric 'naswot'"),
    ],
)
def test_mistakes_are_found_before_the_first_search(
    settings: Settings, tmp_path: Path, strategies: list[str], changes: dict[str, Any], error: type, reason: str
) -> None:
    with pytest.raises(error, match=reason):
        compare(strategies, replace(settings, **changes), seeds=2, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_population_as_large_as_the_budget_is_noted_and_a_smaller_one_is_not(settings: Settings) -> None:
    full, small = "evolution(population=40, tournament=4)", "evolution(population=39, tournament=4)"
    notes = compare([full, small], settings, seeds=1).notes
    assert len(notes) == 1
    assert notes[0].startswith(f"{full} never leaves its random start here: its population is 40 and the budget 40")


def test_a_comparison_without_workers_is_refused(settings: Settings) -> None:
    with pytest.raises(SpecError, match="at least one worker, but got workers=0"):
        compare(["random"], settings, seeds=1, workers=0)


def test_a_comparison_without_seeds_is_refused(settings: Settings) -> None:
    with pytest.raises(SpecError, match="seeds=0"):
        compare(["evolution"], settings, seeds=0)


# -- what follows -----------------------------------------------------------------------------------------------------


def test_means_intervals_and_regrets_are_those_of_the_outcomes(settings: Settings, invented_table: Path) -> None:
    found = compare([EVOLUTION], settings, seeds=6)
    table = Table.open(invented_table)
    best_val, best_test = (float(np.max(table.column(name))) for name in ("c10v_val_200", "c10_test_200"))
    assert found.score_optimum == best_val
    assert found.reported_optimum == best_test
    for row in found.rows():
        scores = [outcome.score for outcome in found.of(row.strategy)]
        reports = [outcome.reported for outcome in found.of(row.strategy)]
        assert row.seeds == 6
        assert row.score == pytest.approx(np.mean(scores))
        assert row.reported == pytest.approx(np.mean(reports))
        assert row.score_regret == pytest.approx(best_val - np.mean(scores))
        assert row.reported_regret == pytest.approx(best_test - np.mean(reports))
        for values, interval in ((scores, row.score_interval), (reports, row.reported_interval)):
            half = 2.570582 * np.std(values, ddof=1) / 6**0.5  # Student's t at 0.975 with five degrees of freedom
            assert interval == pytest.approx((np.mean(values) - half, np.mean(values) + half))
    assert found.interval_name == found.to_json()["interval"] == "95 % t-interval"
    reported = [row.reported for row in found.rows() if row.reported is not None]
    assert reported == sorted(reported, reverse=True)


def test_evolution_beats_random_search_on_a_smooth_table(settings: Settings) -> None:
    found = compare([EVOLUTION], replace(settings, budget=Budget(trials=150)), seeds=12)
    pair = found.pairs()[0]
    assert (pair.first, pair.second, pair.value) == (EVOLUTION, "random", "reported")
    assert pair.interval.low > 0
    assert pair.p_value < 0.05


def test_the_optimum_of_a_table_inside_another_evaluator_is_known(settings: Settings) -> None:
    plain = compare(["random"], settings, seeds=1)
    inside = compare(["random"], replace(settings, evaluator="cached(tabular)"), seeds=1)
    assert (inside.score_optimum, inside.reported_optimum) == (plain.score_optimum, plain.reported_optimum)
    assert inside.score_optimum is not None


def test_a_search_that_minimises_is_measured_from_the_smallest_value(settings: Settings, table: Table) -> None:
    found = compare(["evolution"], replace(settings, objectives=("minimize(params)",)), seeds=2)
    assert found.score_optimum == table.column("params").min()
    assert all(row.score_regret is not None and row.score_regret >= 0 for row in found.rows())
    assert all(row.score_interval.low <= row.score <= row.score_interval.high for row in found.rows())
    assert min(outcome.score for outcome in found.outcomes) > 0


def test_a_search_against_the_direction_of_its_metric_has_no_known_optimum(settings: Settings) -> None:
    found = compare(["evolution"], replace(settings, objectives=("maximize(params)",)), seeds=1)
    assert found.score_optimum is None
    assert all(row.score_regret is None for row in found.rows())


@pytest.fixture
def losses(tmp_path: Path, table: Table) -> Table:
    """The same cells with a loss for each, of which less is better, and its test loss."""
    rng = np.random.default_rng(3)
    loss = (3 - table.column("c10v_val_200") / 50).astype(np.float64)
    columns = {
        "loss": (Column("", "validation loss", "float64", better="smaller"), loss),
        "final_loss": (
            Column("", "test loss", "float64", test=True, better="smaller"),
            loss + rng.normal(0, 0.01, len(loss)),
        ),
    }
    about = {"source": "invented", "licence": "none", "importer": "tests"}
    key = MixedRadix((5,) * 6)
    write_table(
        tmp_path / "losses",
        columns,
        name="losses",
        space="nasbench201",
        key=key,
        metric="loss",
        report="final_loss",
        **about,
    )
    return Table.open(tmp_path / "losses")


def test_losses_are_minimised_ranked_and_regretted_the_right_way_round(settings: Settings, losses: Table) -> None:
    chosen = replace(settings, evaluator="tabular", objectives=(), table=str(losses.folder), budget=Budget(trials=60))
    found = compare(["evolution(population=10, tournament=5)"], chosen, seeds=8)
    assert found.settings.objectives == ("minimize(loss)",)
    assert found.reported == Metric("test_final_loss", "", "smaller", "test loss")
    values, tested = losses.column("loss"), losses.column("final_loss")
    assert found.score_optimum == values.min()
    assert found.reported_optimum == tested.min()
    for outcome in found.outcomes:
        row = losses.row(Architecture.parse(str(outcome.arch)))
        assert outcome.score == values[row]
        assert outcome.reported == tested[row]
        assert list(outcome.curve) == sorted(outcome.curve, reverse=True)  # of losses, which only fall
    means = {
        name: np.mean([one.reported for one in found.outcomes if one.strategy == name]) for name in found.strategies
    }
    assert [row.strategy for row in found.rows()] == sorted(means, key=means.__getitem__)
    for row in found.rows():
        assert row.reported_regret == pytest.approx(means[row.strategy] - tested.min())
        assert row.score_regret is not None
        assert row.score_regret >= 0


def test_a_file_of_losses_of_ones_own_is_compared_under_its_own_names(settings: Settings, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    losses, tested = rng.lognormal(size=200).round(6), rng.lognormal(size=200).round(6)
    lines = (f"{5000 - row},{row},{loss},{final}" for row, (loss, final) in enumerate(zip(losses, tested, strict=True)))
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(("row,cell,val-loss@5,test.loss", *lines)))
    names = ("val-loss@5", "test.loss")
    mapped = Mapped(nasbench201(), "cell", metric=names[0], report=names[1], minimize=names)
    table = import_table(path, tmp_path / "mine", name="mine", mapped=mapped)
    chosen = replace(settings, evaluator="tabular", table=str(table.folder), budget=Budget(trials=30))
    found = compare(["local_search"], chosen, seeds=6)
    assert found.settings.objectives == ("minimize(val-loss@5)",)
    assert found.reported == Metric("test.loss", "", "smaller", "", reported=True)
    assert (found.score_optimum, found.reported_optimum) == (losses.min(), tested.min())
    cells = choices_of(np.argsort(official_indices())[:200]).tolist()
    pairs = [(one.strategy, cells.index(list(Architecture.parse(str(one.arch)).choices))) for one in found.outcomes]
    file = pandas.read_csv(path)
    beside = pandas.DataFrame(pairs, columns=["strategy", "cell"]).merge(file, on="cell", how="left")
    assert [one.score for one in found.outcomes] == beside[names[0]].tolist()
    assert [one.reported for one in found.outcomes] == beside[names[1]].tolist()
    assert all(one.score == min(one.curve) for one in found.outcomes)
    means = beside.groupby("strategy")[list(names)].mean().sort_values(names[1])
    regrets = means - file[list(names)].min()
    assert [row.strategy for row in found.rows()] == means.index.tolist()
    assert [row.score_regret for row in found.rows()] == pytest.approx(regrets[names[0]].tolist())
    assert [row.reported_regret for row in found.rows()] == pytest.approx(regrets[names[1]].tolist())


@pytest.mark.usefixtures("one_thread")
def test_a_strategy_that_answers_with_its_last_trial_is_reported_by_it(settings: Settings) -> None:
    supernet = "darts(epochs=3, batch_size=8)"
    small = replace(settings, data="digits(limit=24)", channels=2, cells=1, budget=Budget(trials=3), seed=2)
    (outcome,) = compare([supernet], small, seeds=1).of(supernet)
    trials = searched(replace(small, strategy=supernet))[0]
    assert list(outcome.curve) == [trial.metrics["val_acc"] for trial in trials]
    assert outcome.score == trials[-1].metrics["val_acc"] < max(outcome.curve)
    assert outcome.reported == trials[-1].metrics["test_acc"]
    assert outcome.arch == str(trials[-1].arch)


def test_pairs_are_corrected_for_their_number() -> None:
    rng = np.random.default_rng(0)
    scores = {name: (mean + rng.normal(0, 1, 12)).tolist() for name, mean in (("a", 3.0), ("b", 0.0), ("random", 0.0))}
    pairs = invented(**scores).pairs()
    assert {frozenset((pair.first, pair.second)) for pair in pairs} == {
        frozenset(two) for two in (("a", "b"), ("a", "random"), ("b", "random"))
    }
    assert all(pair.adjusted_p_value >= pair.p_value for pair in pairs)
    for pair in pairs:
        difference = np.subtract(scores[pair.first], scores[pair.second])
        assert pair.difference == pytest.approx(difference.mean())
        assert pair.interval.low <= pair.difference <= pair.interval.high
        assert (pair.adjusted_p_value < 0.05) == ("a" in (pair.first, pair.second))


def test_the_difference_of_few_seeds_has_a_t_interval() -> None:
    (pair,) = invented(a=[3.0, 4.0, 5.0], random=[2.0, 2.0, 2.0]).pairs()
    half = 4.302653 / 3**0.5  # Student's t at 0.975 with two degrees of freedom
    assert pair.interval == pytest.approx((2 - half, 2 + half))


def test_equal_strategies_are_not_told_apart() -> None:
    pair = invented(a=[1.0, 2.0, 3.0], random=[1.0, 2.0, 3.0]).pairs()[0]
    assert pair.difference == 0
    assert pair.p_value == 1


def test_one_seed_gives_no_evidence(settings: Settings) -> None:
    found = compare(["evolution"], settings, seeds=1)
    assert all(math.isnan(row.score_interval.low) for row in found.rows())
    assert found.pairs()[0].p_value == 1


def test_a_search_that_found_nothing_is_told_apart_from_a_bad_one() -> None:
    found = invented(a=[1.0, math.nan], random=[1.0, 2.0])
    row = next(row for row in found.rows() if row.strategy == "a")
    assert math.isnan(row.score)
    assert math.isnan(row.score_interval.low)
    assert found.pairs() == []
    assert [row.strategy for row in found.rows()] == ["random", "a"]


def test_what_is_written_is_strict_json(settings: Settings) -> None:
    for found in (compare(["evolution"], settings, seeds=2), invented(a=[1.0, math.nan], random=[math.nan, 2.0])):
        text = json.dumps(found.to_json(), allow_nan=False)
        keys = {
            "schema",
            "settings",
            "world",
            "seeds",
            "optimum",
            "rows",
            "rule",
            "pairs",
            "interval",
            "notes",
            "outcomes",
            "reported",
        }
        assert set(json.loads(text)) == keys


def test_the_json_holds_every_outcome(settings: Settings) -> None:
    found = compare([EVOLUTION], settings, seeds=2)
    assert json.loads(json.dumps(found.to_json()["outcomes"])) == json.loads(
        json.dumps([asdict(outcome) for outcome in found.outcomes])
    )


# -- several objectives -----------------------------------------------------------------------------------------------


def test_several_objectives_are_compared_by_the_volume_of_the_front(settings: Settings) -> None:
    both = replace(settings, objectives=("maximize(val_acc)", "minimize(params)"))
    found = compare(["nsga2(population=8)"], both, seeds=3)
    assert found.value == "score"
    assert found.score_optimum is None
    runs = {o: searched(replace(both, strategy=o.strategy, seed=o.seed))[0] for o in found.outcomes}
    points = {o: [t.scores for t in trials if t.scores] for o, trials in runs.items()}
    corner = np.min([point for each in points.values() for point in each], axis=0)
    for outcome, each in points.items():
        # The area below a staircase: by falling first score, each step adds what rises above the ones before.
        area, height = 0.0, corner[1]
        for first, second in sorted(each, reverse=True):  # type: ignore[misc]
            area += max(0.0, second - height) * (first - corner[0])
            height = max(height, second)
        assert outcome.score == pytest.approx(area)
        assert math.isnan(outcome.reported)


def test_of_several_objectives_the_architecture_is_chosen_from_the_front_by_a_stated_rule(settings: Settings) -> None:
    both = replace(settings, objectives=("maximize(val_acc)", "minimize(params)"))
    found = compare(["random"], both, seeds=1)
    trials = searched(replace(both, strategy="random"))[0]
    front = pareto_front(trials)
    assert found.outcomes[0].arch == str(choose(trials).found.arch) != str(front[0].arch)
    assert found.to_json()["rule"].startswith("the knee of the Pareto front")
    within = compare(["random"], replace(both, prefer=(f"params<={front[-1].metrics['params']}",)), seeds=1)
    assert within.outcomes[0].arch == str(front[-1].arch)


def test_within_limits_the_best_that_keeps_them_is_compared_and_no_optimum_is_known(settings: Settings) -> None:
    limited = replace(settings, evaluator="tabular(also=[params])", prefer=("params<=300000",))
    found = compare(["random"], limited, seeds=1)
    kept = [trial for trial in searched(replace(limited, strategy="random"))[0] if trial.metrics["params"] <= 300000]
    best = max(kept, key=lambda trial: trial.scores or ())
    assert found.outcomes[0].score == best.metrics["val_acc"]
    assert found.outcomes[0].arch == str(best.arch)
    assert found.score_optimum is None
    assert found.rule == "the best in maximize(val_acc) with params<=300000"


# -- folders ----------------------------------------------------------------------------------------------------------


def test_with_a_folder_every_search_is_a_run_and_is_not_repeated(settings: Settings, tmp_path: Path) -> None:
    first = compare([EVOLUTION], settings, seeds=2, folder=tmp_path)
    folders = sorted(path.name for path in tmp_path.iterdir())
    assert folders == [
        "evolution-population-8--tournament-4-seed5",
        "evolution-population-8--tournament-4-seed6",
        "random-seed5",
        "random-seed6",
    ]
    assert {read_run(tmp_path / name).config["role"] for name in folders} == {"compare"}
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/trials.jsonl")}
    again = compare([EVOLUTION], settings, seeds=3, folder=tmp_path)
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert [o for o in again.outcomes if o.seed < 7] == list(first.outcomes)
    assert len(list(tmp_path.iterdir())) == 6


def test_an_interrupted_comparison_is_completed(settings: Settings, tmp_path: Path) -> None:
    whole = compare([EVOLUTION], settings, seeds=1, folder=tmp_path / "whole")
    folder = tmp_path / "cut"
    compare([EVOLUTION], settings, seeds=1, folder=folder)
    path = folder / "random-seed5" / "trials.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:17]))
    for saved in (folder / "random-seed5" / "artifacts").glob("strategy-*"):
        raise AssertionError(f"40 trials are too few for a saved strategy, but there is {saved}")
    assert compare([EVOLUTION], settings, seeds=1, folder=folder) == whole


def test_runs_of_another_comparison_are_not_taken_for_these(settings: Settings, tmp_path: Path) -> None:
    compare(["local_search"], settings, seeds=1, folder=tmp_path)
    with pytest.raises(StoreError, match=r"with the budget .*40.* but now it is .*50"):
        compare(["local_search"], replace(settings, budget=Budget(trials=50)), seeds=1, folder=tmp_path)
    with pytest.raises(StoreError, match="with the evaluator"):
        compare(["local_search"], replace(settings, evaluator="tabular"), seeds=1, folder=tmp_path)


def test_a_run_that_was_continued_alone_is_not_compared(settings: Settings, tmp_path: Path) -> None:
    compare(["local_search"], settings, seeds=1, folder=tmp_path)
    resume(tmp_path / "random-seed5", budget=Budget(trials=60))
    with pytest.raises(SpecError, match="has spent 60 trials"):
        compare(["local_search"], settings, seeds=1, folder=tmp_path)
