from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from ogive.core.errors import StoreError
from ogive.core.trial import Trial
from ogive.metrics import binomial_interval
from ogive.report import findings
from ogive.report.comparability import differing_settings
from ogive.report.standings import standings
from ogive.runs import Run

Make = Callable[..., Run]
Of = Callable[..., Trial]


def test_random_search_always_has_the_same_colour_and_other_strategies_their_own(make: Make, trial: Of) -> None:
    runs = [
        make(name, [trial(0, {"val_acc": 1.0}, (1.0,))], strategy=strategy)
        for name, strategy in (("a", "evolution"), ("b", "random"), ("c", "local_search"), ("d", "evolution"))
    ]
    members = findings.shown(runs)
    assert [one.colour for one in members] == [1, 0, 2, 1]
    assert [one.tag for one in members] == ["A", "B", "C", "D"]
    assert findings.shown(runs * 7)[26].tag == "AA"


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
    curve = findings.best_so_far(findings.shown([run])[0])
    assert curve.values.tolist() == [60, 60, 60, 70]
    assert curve.trials.tolist() == [1, 2, 3, 4]
    # The fixture finishes a trial every two seconds.
    assert curve.wall_s.tolist() == [4, 6, 8, 10]
    assert curve.benchmark_s.tolist() == [5, 5, 10, 15]


def test_before_the_first_success_a_curve_has_no_value(make: Make, trial: Of) -> None:
    run = make("run", [trial(0, {}, error="NaN"), trial(1, {"val_acc": 5.0}, (5.0,))])
    values = findings.best_so_far(findings.shown([run])[0]).values
    assert np.isnan(values[0])
    assert values[1] == 5


def test_the_incumbents_test_accuracy_is_that_of_the_best_by_validation(make: Make, trial: Of) -> None:
    found = [(50.0, 49.0), (60.0, 40.0), (55.0, 70.0)]
    run = make("run", [trial(k, {"val_acc": v, "test_acc": t}, (v,)) for k, (v, t) in enumerate(found)])
    curve = findings.incumbent_metric(findings.shown([run])[0], "test_acc")
    assert curve.values.tolist() == [49, 40, 40]


def test_the_front_holds_what_no_other_beats_in_order_of_cost() -> None:
    points = [(3.0, 90.0), (1.0, 70.0), (2.0, 60.0), (2.0, 80.0), (1.0, 70.0), (4.0, 90.0)]
    assert findings.front(points) == [1, 3, 0]
    assert findings.front([]) == []


def test_hypervolume_grows_as_the_front_does(make: Make, trial: Of) -> None:
    scores = [(1.0, 3.0), (0.0, 0.0), (3.0, 1.0), (2.0, 2.0)]
    run = make("run", [trial(k, {"val_acc": 1.0}, pair) for k, pair in enumerate(scores)], objectives=["a", "b"])
    one = findings.shown([run])[0]
    assert findings.worst_scores([one], 2) == [0, 0]
    # By hand: 1x3; no change; 3x1 more of which 1x1 is shared; the square of 2 adds what is left of it.
    assert findings.hypervolume_so_far(one, [0.0, 0.0]).values.tolist() == [3, 3, 5, 6]


def test_the_answer_is_the_best_run_even_if_that_is_random_search(make: Make, trial: Of) -> None:
    own = make("own", [trial(0, {"val_acc": 80.0}, (80.0,))])
    chance = make("chance", [trial(0, {"val_acc": 81.0}, (81.0,))], strategy="random")
    assert findings.lead(findings.shown([own, chance])).run is chance


def test_a_run_with_another_objective_is_not_compared(make: Make, trial: Of) -> None:
    own = make("own", [trial(0, {"val_acc": 80.0}, (80.0,))])
    other = make("other", [trial(0, {"val_acc": 81.0}, (999.0,))], objectives=["maximize(val_acc)"])
    members = findings.shown([own, other])
    assert findings.lead(members).run is own
    assert [one.strategy for one in standings(members)] == [members[0].strategy]
    assert differing_settings(members) == ["objectives"]


def test_a_trained_winner_goes_before_a_better_score(make: Make, trial: Of) -> None:
    trained = make("trained", [trial(7, {"val_acc": 80.0, "latency_ms": 2.0}, (80.0,))])
    better = make("better", [trial(7, {"val_acc": 85.0}, (85.0,))])
    facts = {"arch": str(trained.trials[0].arch), "trial": 7, "test_acc": 95.0, "test_correct": 95, "test_images": 100}
    (trained.artifacts / "winner.json").write_text(json.dumps(facts))
    members = findings.shown([better, trained])
    best = findings.winner(findings.lead(members))
    assert best is not None
    assert best.shown.run is trained
    assert best.trial == trained.trials[0]
    assert best.value("latency_ms") == 2.0
    interval = best.test_interval()
    assert interval is not None
    low, high = binomial_interval(95, 100)
    assert interval == (95, 100, (100 * low, 100 * high))


@pytest.mark.parametrize("text", ["{", "[]", '{"arch": "?"}'])
def test_a_damaged_winner_is_named(make: Make, trial: Of, text: str) -> None:
    run = make("run", [trial(0, {"val_acc": 1.0}, (1.0,))])
    (run.artifacts / "winner.json").write_text(text)
    with pytest.raises(StoreError, match=r"winner\.json"):
        findings.winner(findings.shown([run])[0])


def test_no_interval_is_made_up_where_the_images_were_not_counted(make: Make, trial: Of) -> None:
    run = make("run", [trial(0, {"val_acc": 1.0, "test_acc": 90.0}, (1.0,))])
    best = findings.winner(findings.shown([run])[0])
    assert best is not None
    assert best.value("test_acc") == 90
    assert best.test_interval() is None


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
    found = findings.agreement(findings.shown([run]), "naswot", "val_acc")
    assert found.tau == pytest.approx(1.0)
    assert len(found.trials) == 3


def test_failures_are_grouped_by_reason_most_frequent_first(make: Make, trial: Of) -> None:
    run = make("run", [trial(k, {}, error="rare" if k == 1 else "often") for k in range(4)])
    reasons = findings.failure_reasons(findings.shown([run]))
    assert [(reason, len(members)) for reason, members in reasons] == [("often", 3), ("rare", 1)]
