from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest

from ogive.core.metric import Better, Metric
from ogive.core.trial import Trial
from ogive.metrics import binomial_interval
from ogive.reporting.evidence import differing_settings
from ogive.reporting.facts import Facts, Line, Point, facts_of, front_of
from ogive.reporting.member import member_of
from ogive.runs import Run

Make = Callable[..., Run]
Of = Callable[..., Trial]


def line_of(facts: Facts, name: str) -> Line:
    return next(line for line in facts.lines if line.name == name)


def test_random_search_always_has_the_same_colour_and_other_strategies_their_own(make: Make, trial: Of) -> None:
    runs = [
        make(name, [trial(0, {"val_acc": 1.0}, (1.0,))], strategy=strategy)
        for name, strategy in (("a", "evolution"), ("b", "random"), ("c", "local_search"), ("d", "evolution"))
    ]
    members = facts_of(runs).runs
    assert [one.colour for one in members] == [1, 0, 2, 1]
    assert [one.tag for one in members] == ["A", "B", "C", "D"]
    assert facts_of(runs * 7).runs[26].tag == "AA"


def test_curves_count_evaluated_candidates_only_and_keep_all_three_clocks(make: Make, trial: Of) -> None:
    run = make(
        "run",
        [
            trial(0, {"naswot": 1.0}, screened=True),
            trial(1, {"val_acc": 60.0}, (60.0,), benchmark_s=5.0),
            trial(2, {}, error="out of memory"),
            trial(3, {"val_acc": 55.0}, (55.0,), benchmark_s=5.0),
            trial(4, {"val_acc": 70.0}, (70.0,), benchmark_s=5.0),
        ],
    )
    facts = facts_of([run])
    assert facts.lines[0].values[0].tolist() == [60, 60, 60, 70]
    clocks = facts.runs[0].clocks
    assert clocks["trials"].tolist() == [1, 2, 3, 4]
    # The fixture finishes a trial every two seconds.
    assert clocks["wall_s"].tolist() == [4, 6, 8, 10]
    assert clocks["benchmark_s"].tolist() == [5, 5, 10, 15]


def test_before_the_first_success_a_curve_has_no_value(make: Make, trial: Of) -> None:
    run = make("run", [trial(0, {}, error="NaN"), trial(1, {"val_acc": 5.0}, (5.0,))])
    values = facts_of([run]).lines[0].values[0]
    assert np.isnan(values[0])
    assert values[1] == 5


def test_the_incumbents_test_accuracy_is_that_of_the_best_by_validation(make: Make, trial: Of) -> None:
    found = [(50.0, 49.0), (60.0, 40.0), (55.0, 70.0)]
    run = make("run", [trial(k, {"val_acc": v, "test_acc": t}, (v,)) for k, (v, t) in enumerate(found)])
    line = line_of(facts_of([run]), "test accuracy (%) of the candidate that is best so far")
    assert line.values[0].tolist() == [49, 40, 40]


def test_the_front_holds_what_no_other_beats_from_left_to_right(make: Make, trial: Of) -> None:
    one = member_of(make("run", [trial(0, {})]))

    def front(better: Better, *pairs: tuple[float, float]) -> tuple[int, ...]:
        points = [Point(x, y, one, one.evaluated[0]) for x, y in pairs]
        return front_of(points, Metric("cost", better="smaller"), Metric("quality", better=better))

    points = [(3.0, 90.0), (1.0, 70.0), (2.0, 60.0), (2.0, 80.0), (1.0, 70.0), (4.0, 90.0)]
    assert front("larger", *points) == (1, 3, 0)
    assert front("smaller", *points) == (1, 2)
    assert front("larger") == ()


def test_hypervolume_grows_as_the_front_does(make: Make, trial: Of) -> None:
    scores = [(1.0, 3.0), (0.0, 0.0), (3.0, 1.0), (2.0, 2.0)]
    run = make("run", [trial(k, {"val_acc": 1.0}, pair) for k, pair in enumerate(scores)], objectives=["a", "b"])
    # By hand, above (0, 0): 1x3; no change; 3x1 more of which 1x1 is shared; the square of 2 adds what is left of it.
    line = line_of(facts_of([run]), "hypervolume above the worst scores")
    assert line.values[0].tolist() == [3, 3, 5, 6]


def test_the_answer_is_the_best_run_even_if_that_is_random_search(make: Make, trial: Of) -> None:
    own = make("own", [trial(0, {"val_acc": 80.0}, (80.0,))])
    chance = make("chance", [trial(0, {"val_acc": 81.0}, (81.0,))], strategy="random")
    assert facts_of([own, chance]).lead.run is chance


def test_a_run_with_another_objective_is_not_compared(make: Make, trial: Of) -> None:
    own = make("own", [trial(0, {"val_acc": 80.0}, (80.0,))])
    other = make("other", [trial(0, {"val_acc": 81.0}, (999.0,))], objectives=["maximize(val_acc)"])
    facts = facts_of([own, other])
    assert facts.lead.run is own
    assert [one.strategy for one in facts.reached] == [facts.runs[0].strategy]
    assert differing_settings(facts.runs) == ["objectives"]


def test_only_runs_with_the_same_objectives_share_a_front(make: Make, trial: Of) -> None:
    both = {"objectives": ["maximize(val_acc)", "minimize(params)"]}
    own = make("own", [trial(0, {"val_acc": 90.0, "params": 500.0}, (90.0, -500.0))], **both)
    other = make("other", [trial(0, {"val_acc": 99.0, "params": 1.0}, (99.0,))], objectives=["maximize(val_acc)"])
    facts = facts_of([own, other])
    assert [one.tag for one, _ in facts.front] == ["A"]
    # A metric that another search had as well is drawn of it too, by its own values.
    assert [values.tolist() for values in line_of(facts, "best parameters (lower is better)").values] == [[500], [1]]


def test_a_trained_winner_goes_before_a_better_score(make: Make, trial: Of) -> None:
    trained = make("trained", [trial(7, {"val_acc": 80.0, "latency_ms": 2.0}, (80.0,))])
    better = make("better", [trial(7, {"val_acc": 85.0}, (85.0,))])
    facts = {"arch": str(trained.trials[0].arch), "trial": 7, "test_acc": 95.0, "test_correct": 95, "test_images": 100}
    (trained.artifacts / "winner.json").write_text(json.dumps(facts))
    best = facts_of([better, trained]).winner
    assert best is not None
    assert best.one.run is trained
    assert best.trial == trained.trials[0]
    assert best.values["latency_ms"] == 2.0
    low, high = binomial_interval(95, 100)
    assert best.test_interval == (95, 100, (100 * low, 100 * high))


def test_rank_agreement_counts_an_architecture_once(make: Make, trial: Of) -> None:
    same = trial(0, {}).arch
    run = make(
        "run",
        [
            trial(0, {"val_acc": 1.0, "naswot": 1.0}, (1.0,), arch=same),
            trial(1, {"val_acc": 9.0, "naswot": 0.0}, (9.0,), arch=same),
            trial(2, {"val_acc": 2.0, "naswot": 2.0}, (2.0,)),
            trial(3, {"val_acc": 3.0, "naswot": 3.0}, (3.0,)),
        ],
    )
    (found,) = facts_of([run]).agreements
    assert (found.metric.name, found.tau, found.count) == ("naswot", pytest.approx(1.0), 3)


def test_failures_are_grouped_by_reason_most_frequent_first(make: Make, trial: Of) -> None:
    run = make("run", [trial(k, {}, error="rare" if k == 1 else "often") for k in range(4)])
    reasons = facts_of([run]).failures
    assert [(reason, len(members)) for reason, members in reasons.items()] == [("often", 3), ("rare", 1)]


def test_strategies_are_compared_where_the_shortest_run_ends(make: Make, trial: Of) -> None:
    def run(name: str, values: list[float], **changes: object) -> Run:
        return make(name, [trial(k, {"val_acc": v}, (v,)) for k, v in enumerate(values)], **changes)

    runs = [run(f"e{seed}", [10.0 + seed, 20.0 + seed, 99.0], seed=seed) for seed in range(5)]
    runs.append(run("r", [15.0, 16.0], strategy="random"))
    evolution, chance = facts_of(runs).reached
    assert (evolution.seeds, evolution.trials, evolution.mean) == (5, 2, 22.0)
    # Of 20, 21, ..., 24: 22 ± t(0.975; 4) s / √5, with s = √2.5.
    half = 2.776445 * math.sqrt(2.5 / 5)
    assert evolution.interval == pytest.approx((22 - half, 22 + half))
    assert (chance.seeds, chance.mean, chance.interval) == (1, 16.0, None)


# -- metrics by their records -----------------------------------------------------------------------------------------


def recorded(*metrics: Metric) -> dict[str, object]:
    return {"metrics": [metric.to_json() for metric in metrics], "objectives": [metrics[0].objective]}


LOSS = Metric("loss", "nats", "smaller", "validation loss")
TESTED = Metric("test_loss", "nats", "smaller", "test loss")
ENERGY = Metric("energy", "mJ", "smaller", "energy of an image")
DEPTH = Metric("depth", "", "larger", "longest path")


def losses(make: Make, trial: Of) -> Run:
    """Losses of 4, 2, 3 and 1.5, whose tests are 0.5 more, with falling energies but for the last."""
    rows = [(4.0, 9.0, 1.0), (2.0, 6.0, 3.0), (3.0, 5.0, 2.0), (1.5, 7.0, 4.0)]
    names = ("loss", "test_loss", "energy", "depth")
    trials = [
        trial(k, dict(zip(names, (loss, loss + 0.5, energy, depth), strict=True)), (-loss,))
        for k, (loss, energy, depth) in enumerate(rows)
    ]
    return make("losses", trials, **recorded(LOSS, TESTED, ENERGY, DEPTH))


def test_words_units_and_directions_are_those_of_the_records(make: Make, trial: Of) -> None:
    facts = facts_of([losses(make, trial)])
    assert facts.quality == LOSS
    assert [front.cost for front in facts.fronts] == [ENERGY]
    assert [line.name for line in facts.lines] == [
        "best validation loss (nats, lower is better)",
        "test loss (nats) of the candidate that is best so far",
    ]
    assert facts.lines[0].values[0].tolist() == [4, 2, 2, 1.5]
    assert facts.lines[1].values[0].tolist() == [4.5, 2.5, 2.5, 2]
    assert all(line.falls for line in facts.lines)
    assert facts.measure.told(facts.reached[0].mean) == "1.5\u00a0nats"


def test_the_front_of_a_loss_and_an_energy_has_the_small_ones_of_both(make: Make, trial: Of) -> None:
    (front,) = facts_of([losses(make, trial)]).fronts
    assert [(front.points[place].x, front.points[place].y) for place in front.places] == [(5, 3), (6, 2), (7, 1.5)]


def test_a_score_that_rises_as_the_loss_falls_ranks_as_the_loss_does(make: Make, trial: Of) -> None:
    (agreement,) = facts_of([losses(make, trial)]).agreements
    assert (agreement.metric, agreement.tau) == (DEPTH, 1.0)


def test_the_best_of_a_loss_that_nobody_sought_is_its_smallest(make: Make, trial: Of) -> None:
    values = [0.5, 0.25, 0.75]
    validated = Metric("val_loss", "", "smaller", "validation loss")
    trials = [trial(k, {"depth": float(k), "val_loss": v}, (float(k),)) for k, v in enumerate(values)]
    facts = facts_of([make("own", trials, **recorded(DEPTH, validated))])
    assert facts.quality == validated
    assert line_of(facts, "best validation loss").values[0].tolist() == [0.5, 0.25, 0.25]


def test_what_is_measured_on_validation_data_is_the_quality_and_what_only_screens_is_not(
    searched: Make, make: Make, trial: Of
) -> None:
    facts = facts_of([searched("own")])
    assert facts.quality is not None
    assert facts.quality.name == "val_acc"
    assert [metric.name for metric in facts.metrics][:2] == ["val_acc", "naswot"]
    sizes = [trial(k, {"params": 5.0 + k, "latency_ms": 5.0 - k}, (-5.0 - k,)) for k in range(2)]
    both = {"objectives": ["minimize(params)", "minimize(latency_ms)"]}
    two = [trial(k, dict(one.metrics), (-5.0 - k, k - 5.0)) for k, one in enumerate(sizes)]
    found = facts_of([make("sizes", two, **both)])
    assert found.quality is not None
    assert {found.quality.name, found.fronts[0].cost.name} == {"params", "latency_ms"}
