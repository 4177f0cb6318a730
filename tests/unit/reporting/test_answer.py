from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ogive.core.metric import TEST_ACC
from ogive.core.trial import Cost, Proposal, Trial
from ogive.looks import begin_look, end_look
from ogive.reporting.page import page
from ogive.runs import Run
from ogive.spaces.darts import darts
from ogive.trained_networks import folder_of, keep_network

Make = Callable[..., Run]
Of = Callable[..., Trial]
TABLE = {"table": "nasbench201", "data": None}
ACCURACY = {"objectives": ["maximize(val_acc)"]}


def answer(*runs: Run) -> str:
    """The first section of the page, as it is written."""
    text = page(runs)
    return text[text.index('<section id="answer"') : text.index("</section>")]


def section(name: str, *runs: Run) -> str:
    text = page(runs)
    start = text.index(f'<section id="{name}"')
    return text[start : text.index("</section>", start)]


def epochs(trial: Of, *values: float) -> list[Trial]:
    made = [trial(place, {"val_acc": value, "test_acc": value - 1}, (value,)) for place, value in enumerate(values)]
    return [replace(one, proposal=Proposal(one.arch, cost=Cost(2.0))) for one in made]


# -- searches that answer with their last epoch -----------------------------------------------------------------------


def test_the_headline_of_a_supernet_says_that_the_table_chose_beside_the_cell_of_the_last_epoch(
    make: Make, trial: Of
) -> None:
    run = make("darts", epochs(trial, 80.0, 90.0, 70.0), strategy="darts(epochs=3)", **TABLE, **ACCURACY)
    text = answer(run)
    assert "trial 1 of darts(epochs=3), has a test accuracy of" in text
    assert "It is the best of 3 epochs, chosen by looking at the table" in text
    assert "Trial 2, validation accuracy 70.00\u00a0%, test accuracy 69.00\u00a0%." in text
    assert str(run.trials[2].arch) in text
    assert text.count('<figure class="picture') == 2


def test_without_a_table_the_measurements_of_the_run_chose(make: Make, trial: Of) -> None:
    run = make("darts", epochs(trial, 80.0, 90.0, 70.0), strategy="darts(epochs=3)", **ACCURACY)
    assert "chosen by the measurements of this run" in answer(run)


def test_a_last_epoch_that_is_also_the_best_is_not_shown_twice(make: Make, trial: Of) -> None:
    run = make("darts", epochs(trial, 80.0, 90.0), strategy="darts(epochs=2)", **TABLE, **ACCURACY)
    text = answer(run)
    assert "It is the cell of the last epoch, the answer of the search itself." in text
    assert "It is also the best of 2 epochs, chosen by looking at the table." in text
    assert text.count('<figure class="picture') == 1


def test_a_search_that_answers_with_its_last_epoch_is_compared_by_it(make: Make, trial: Of) -> None:
    own = make("darts", epochs(trial, 80.0, 90.0, 70.0), strategy="darts(epochs=3)", answer="last", **TABLE, **ACCURACY)
    values = (60.0, 75.0, 65.0)
    trials = [trial(k, {"val_acc": value, "test_acc": value}, (value,)) for k, value in enumerate(values)]
    chance = make("chance", trials, strategy="random", answer="best", **TABLE, **ACCURACY)
    text = page([own, chance])
    assert (
        "is 70.00\u00a0% with darts(epochs=3) and 75.00\u00a0% with random search: random search is ahead by 5." in text
    )
    assert "Of darts(epochs=3), the last candidate counts, with which it answers; of others, the best." in text
    assert "the last candidate counts" not in page([chance])


def test_an_epoch_that_somebody_trained_is_told_but_not_taken_for_the_winner(make: Make, trial: Of) -> None:
    run = make("darts", epochs(trial, 80.0, 90.0, 70.0), strategy="darts(epochs=3)", **ACCURACY)
    facts = {"arch": str(run.trials[0].arch), "trial": 0, "test_acc": 95.0}
    (run.artifacts / "winner.json").write_text(json.dumps(facts))
    text = answer(run)
    assert "The winner, trial 1 of darts(epochs=3)," in text
    assert "the best of 3 epochs" in text
    assert "Trial 2, validation accuracy" in text
    assert "95.00 % of the test images" in text[text.index("The networks that were trained in full") :]


# -- networks that were trained in full -------------------------------------------------------------------------------


def train(run: Run, number: int, accuracy: float, **more: Any) -> None:
    """Leave what a full training leaves, with a look at the test set."""
    about = {"arch": str(run.trials[number].arch), "trial": number}
    look = begin_look(run.folder, **about)
    end_look(run.folder, look, {"test_acc": accuracy})
    facts = {**about, "task": "classification", "look": look, "metrics": [TEST_ACC.to_json()], "test_acc": accuracy}
    folder_of(run, number).mkdir(parents=True, exist_ok=True)
    keep_network(run, number, {**facts, "reached": f"{accuracy} %", "exports": [], **more})


def test_a_winner_that_was_trained_says_which_look_at_the_test_set_its_figure_is(make: Make, trial: Of) -> None:
    trials = [trial(k, {"val_acc": value}, (value,)) for k, value in enumerate((80.0, 90.0))]
    run = make("own", trials, **ACCURACY)
    train(run, 1, 97.0)
    text = answer(run)
    assert "look 1 of 1 at the test set" in text
    assert "no longer unseen" not in text
    assert "trained in full" not in text
    train(run, 0, 98.0)
    text = answer(run)
    assert "The winner, trial 1 of evolution(population=6), has a test accuracy of <strong>97.00" in text
    assert "look 1 of 2 at the test set" in text
    assert (
        "It was looked at 2 times in this run (look 1, trial 1: test accuracy 97.00\u00a0%; look 2, trial 0: " in text
    )
    listed = text[text.index("The networks that were trained in full") :]
    assert listed.index("98.0 %") < listed.index("97.0 %") < listed.index("the winner of today")


def test_a_trained_network_that_is_not_todays_winner_is_plainly_said_not_to_be(make: Make, trial: Of) -> None:
    trials = [trial(k, {"val_acc": value}, (value,)) for k, value in enumerate((80.0, 90.0))]
    run = make("own", trials, **ACCURACY)
    train(run, 0, 97.0)
    text = answer(run)
    assert "The best candidate so far is trial 1 of evolution(population=6)" in text
    assert f"It has not been trained in full yet: <code>ogive train {run.folder}</code> does that." in text
    assert "Trained in full, but not the winner of today: trial 0." in text
    assert "97.00\u00a0%" not in text[: text.index("The networks that were trained in full")]


def test_a_look_whose_result_was_lost_is_told(make: Make, trial: Of) -> None:
    run = make("own", [trial(0, {"val_acc": 80.0}, (80.0,))], **ACCURACY)
    begin_look(run.folder, trial=0)
    train(run, 0, 97.0)
    assert "(look 1, trial 0: its result was lost; look 2, trial 0: test accuracy 97.00" in answer(run)


def test_a_cell_that_is_much_wider_than_high_takes_the_whole_width(make: Make, trial: Of) -> None:
    archs = [darts().sample(np.random.default_rng(seed)) for seed in range(2)]
    made = [
        replace(one, proposal=Proposal(arch, cost=Cost(1.0)))
        for one, arch in zip(epochs(trial, 9.0, 8.0), archs, strict=True)
    ]
    text = answer(make("darts", made, strategy="darts", space="darts", **ACCURACY))
    assert text.count('<figure class="picture wide"') == 2


@pytest.mark.parametrize("count", [1, 3])
def test_a_search_whose_first_proposal_alone_cost_time_has_no_epochs(make: Make, trial: Of, count: int) -> None:
    trials = [trial(k, {"val_acc": 90.0 - k, "test_acc": 80.0}, (90.0 - k,)) for k in range(count)]
    ranked = [replace(trials[0], proposal=Proposal(trials[0].arch, cost=Cost(2.0))), *trials[1:]]
    text = answer(make("naswot", ranked, strategy="naswot", **TABLE, **ACCURACY))
    assert "last epoch" not in text


# -- several objectives -----------------------------------------------------------------------------------------------


def pair(accuracy: float, params: float) -> tuple[dict[str, float], tuple[float, float]]:
    return {"val_acc": accuracy, "test_acc": accuracy, "params": params}, (accuracy, -params)


BOTH = {"strategy": "nsga2", "objectives": ["maximize(val_acc)", "minimize(params)"]}
# The second is beaten by the third in both, the last by the first in one of them while it is as good in the other.
POINTS = [pair(90.0, 500.0), pair(70.0, 300.0), pair(80.0, 200.0), pair(60.0, 100.0), pair(90.0, 600.0)]


def test_with_several_objectives_the_headline_counts_the_front_and_points_to_it(make: Make, trial: Of) -> None:
    run = make("own", [trial(k, *point) for k, point in enumerate(POINTS)], **BOTH, **TABLE)
    text = answer(run)
    assert "3 of 5 measured trials are on the Pareto front" in text
    assert " of validation accuracy and parameters (lower is better)" in text
    assert 'href="#trials"' in text
    assert 'href="#pareto"' in text
    assert "The winner" not in text
    assert "Shown here is trial 2 of nsga2, which has a test accuracy of" in text
    assert "It is the knee of the Pareto front" in text


def test_what_is_preferred_of_a_front_is_shown_with_its_limit(make: Make, trial: Of) -> None:
    trials = [trial(k, *point) for k, point in enumerate(POINTS)]
    text = answer(make("own", trials, **BOTH, **TABLE, prefer=["params<=150"]))
    assert "Shown here is trial 3 of nsga2" in text
    assert "It is of the Pareto front, the best in maximize(val_acc) with params&lt;=150." in text
    text = answer(make("nobody", trials, **BOTH, **TABLE, prefer=["params<=50"]))
    assert "Today there is no winner. No trial of the Pareto front has params&lt;=50: the nearest" in text


def test_what_is_shown_of_several_runs_is_beaten_by_none_of_them(make: Make, trial: Of) -> None:
    own = make("own", [trial(k, *point) for k, point in enumerate(POINTS)], **BOTH, **TABLE)
    better = [pair(91.0, 400.0), pair(85.0, 150.0), pair(61.0, 90.0)]
    chance = make("chance", [trial(k, *point) for k, point in enumerate(better)], **{**BOTH, "strategy": "random"})
    text = answer(own, chance)
    assert "Shown here is trial 1 of random search, which" in text
    assert "Of 2 runs together, it is the knee of the Pareto front" in text


def test_the_front_stands_first_among_the_candidates_and_is_marked(make: Make, trial: Of) -> None:
    run = make("own", [trial(k, *point) for k, point in enumerate(POINTS)], **BOTH, **TABLE)
    text = section("trials", run)
    assert text.count("<td>on it</td>") == 3
    places = [text.index(str(run.trials[number].arch)) for number in (0, 2, 3, 4, 1)]
    assert places == sorted(places)


def test_a_link_to_a_chart_of_the_front_needs_that_chart(make: Make, trial: Of) -> None:
    both = {"strategy": "nsga2", "objectives": ["minimize(latency_ms)", "minimize(params)"]}
    points = [({"latency_ms": 1.0 + k, "params": 5.0 - k}, (-1.0 - k, k - 5.0)) for k in range(3)]
    text = page([make("own", [trial(k, *point) for k, point in enumerate(points)], **both)])
    assert "3 of 3 measured trials are on the Pareto front" in text
    assert 'href="#pareto">a chart' in text
    unlike = {"strategy": "nsga2", "objectives": ["f", "g"]}
    text = page([make("other", [trial(0, {}, (1.0, 2.0))], **unlike)])
    assert "1 of 1 measured trials is on the Pareto front" in text
    assert 'href="#pareto">a chart' not in text


def test_one_objective_has_no_front(make: Make, trial: Of) -> None:
    run = make("own", [trial(0, {"val_acc": 1.0, "params": 1.0}, (1.0,))])
    assert "Pareto front" not in answer(run)
    assert "on it" not in section("trials", run)


# -- metrics that are minimised ---------------------------------------------------------------------------------------


def quick(make: Make, trial: Of, name: str = "own", **changes: object) -> Run:
    values = (20.5, 15.1477, 18.25)
    trials = [trial(k, {"latency_ms": value, "own_size": k}, (-value,)) for k, value in enumerate(values)]
    return make(name, trials, **{"objectives": ["minimize(latency_ms)"], **changes})


def test_a_metric_that_is_minimised_is_shown_as_it_is_with_its_direction(make: Make, trial: Of) -> None:
    text = page([quick(make, trial)])
    shown = text[text.index("<main>") : text.index('<section id="environment"')]
    assert "latency = <strong>15.15\u00a0ms</strong>, lower is better" in shown
    assert "-15.1" not in shown
    assert "score" not in shown[shown.index('<section id="answer"') :]
    assert "Mean of latency (ms, lower is better)" in shown
    assert "best latency (ms, lower is better)" in shown
    assert "Best latency (lower is better)" in section("reproduce", quick(make, trial, "again"))


def test_the_same_latency_stands_once_in_the_tiles_and_once_in_a_row(make: Make, trial: Of) -> None:
    run = quick(make, trial)
    tiles = answer(run).partition('<dl class="tiles">')[2].partition("</dl>")[0]
    assert tiles.count("15.15\u00a0ms") == 1
    assert "lower is better" in tiles
    row = section("trials", run).partition("<tbody>")[2].partition("</tr>")[0]
    assert row.count("15.15\u00a0ms") == 1
    assert "-15.1" not in row


def test_the_verdict_about_a_metric_that_is_minimised_favours_the_lower(make: Make, trial: Of) -> None:
    own = quick(make, trial, strategy="evolution")
    slow = [trial(k, {"latency_ms": 30.0}, (-30.0,)) for k in range(3)]
    text = answer(own, make("chance", slow, strategy="random", objectives=["minimize(latency_ms)"]))
    assert "latency (lower is better) is 15.15\u00a0ms with evolution and 30.00\u00a0ms with random search" in text
    assert "the search is ahead by 14.85" in text


def test_a_metric_of_which_the_page_knows_nothing_has_a_tile_if_it_was_sought(make: Make, trial: Of) -> None:
    trials = [trial(k, {"energy": 7.0 - k}, (k - 7.0,)) for k in range(3)]
    tiles = answer(make("own", trials, objectives=["minimize(energy)"])).partition('<dl class="tiles">')[2]
    assert "<dt>energy</dt><dd>5<" in tiles
    assert "in the search; lower is better" in tiles


def test_a_winner_read_from_a_table_says_by_what_it_was_chosen(make: Make, trial: Of) -> None:
    trials = [trial(k, {"test_acc": 50.0, "params": 900.0 - k}, (k - 900.0,)) for k in range(3)]
    text = answer(make("own", trials, objectives=["minimize(params)"], **TABLE))
    assert "It was chosen by parameters (lower is better): 898." in text


def test_a_composed_objective_keeps_its_score(searched: Callable[..., Run]) -> None:
    run = searched("own")
    text = answer(run)
    assert "score in the search" in text
    assert text.count("latency_tradeoff(target_ms=5)") == 2 + text.count("--objective")
    assert "score: latency_tradeoff(target_ms=5)" in section("trials", run)
    assert "Mean of latency_tradeoff(target_ms=5)" in section("anytime", run)
