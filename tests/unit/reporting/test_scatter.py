from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from ogive.core.architecture import Architecture
from ogive.core.metric import Metric
from ogive.core.trial import Trial
from ogive.reporting.curves import Figure, anytime_figure
from ogive.reporting.facts import facts_of
from ogive.reporting.scatter import PICTURES, Album, agreement_figure, pareto_figure
from ogive.runs import Run

Make = Callable[..., Run]
Of = Callable[..., Trial]


def drawn(arch: Architecture) -> str:
    return f"<svg>{arch}</svg>"


def test_every_combination_of_picks_has_a_view_of_valid_json(searched: Callable[..., Run]) -> None:
    facts = facts_of([searched("a"), searched("b", seed=1, strategy="random", screened=False)])
    album = Album(drawn, facts.metrics)
    figures = [anytime_figure(facts), pareto_figure(facts, album), agreement_figure(facts, album)]
    for figure in figures:
        assert figure is not None
        count = 1
        for _, options in figure.picks:
            count *= len(options)
        assert len(figure.views) == count
        json.dumps(figure.data(), allow_nan=False)
    json.dumps(album.data(), allow_nan=False)


@pytest.mark.parametrize("name", ["<b>a</b>", "a&b"])
def test_names_are_escaped_for_plotly_which_reads_html(make: Make, trial: Of, name: str) -> None:
    metrics = {"val_acc": 1.0, "latency_ms": 1.0, f"{name}_score": 1.0}
    more = {"val_acc": 2.0, "latency_ms": 2.0, f"{name}_score": 2.0}
    run = make("run", [trial(0, metrics, (1.0,)), trial(1, more, (2.0,))], strategy=name, objectives=[name])
    facts, album = facts_of([run]), Album(drawn)
    for figure in (anytime_figure(facts), pareto_figure(facts, album), agreement_figure(facts, album)):
        assert figure is not None
        assert name not in json.dumps([[one["traces"], one["layout"]] for one in figure.views])


def test_fronts_of_the_pareto_chart_are_those_of_each_strategy(make: Make, trial: Of) -> None:
    def run(name: str, points: list[tuple[float, float]], **changes: object) -> Run:
        trials = [trial(k, {"latency_ms": x, "val_acc": y}, (y,)) for k, (x, y) in enumerate(points)]
        return make(name, trials, **changes)

    runs = [run("a", [(1, 50), (2, 60), (3, 55)]), run("b", [(1, 40), (2, 70)], strategy="random")]
    figure = pareto_figure(facts_of(runs), Album(drawn))
    assert figure is not None
    traces = {trace["name"]: trace for trace in figure.views[0]["traces"]}
    assert traces["evolution(population=6), Pareto front"]["x"] == [1, 2]
    assert traces["evolution(population=6)"]["x"] == [3]
    assert traces["random, Pareto front"]["y"] == [40, 70]
    assert (traces["the winner"]["x"], traces["the winner"]["y"]) == ([2], [70])
    assert len(figure.rows) == 4


def test_points_lead_to_their_trial_and_its_picture(make: Make, trial: Of) -> None:
    run = make("run", [trial(k, {"latency_ms": 1.0 + k, "val_acc": 50.0 + k}, (1.0,)) for k in range(3)])
    facts = facts_of([run])
    album = Album(drawn, facts.metrics)
    figure = pareto_figure(facts, album)
    assert figure is not None
    edge = figure.views[0]["traces"][1]
    place, headline, lines = album.data()["points"][edge["customdata"][2]]
    assert "trial 2" in headline
    assert "validation accuracy 52.00\u00a0%" in lines
    assert album.data()["archs"][place] == {"text": str(run.trials[2].arch), "picture": drawn(run.trials[2].arch)}


def test_only_so_many_pictures_travel_and_the_wanted_ones_do(make: Make, trial: Of) -> None:
    run = make("run", [trial(k, {"val_acc": 1.0}, (float(k),)) for k in range(PICTURES + 50)])
    one, album = facts_of([run]).runs[0], Album(drawn)
    for each in one.working:
        album.add(one, each, picture=each.number == 0)
    with_picture = [entry for entry in album.data()["archs"] if entry["picture"]]
    assert len(with_picture) == PICTURES
    assert with_picture[0]["text"] == str(run.trials[0].arch)


def test_rank_agreement_is_shown_for_every_other_score_and_not_for_the_test_set(make: Make, trial: Of) -> None:
    run = make(
        "run",
        [
            trial(k, {"val_acc": 10.0 + k, "test_acc": 1.0 + k, "naswot": 5.0 - k, "params": 7.0 + k}, (1.0,))
            for k in range(4)
        ],
    )
    figure = agreement_figure(facts_of([run]), Album(drawn))
    assert figure is not None
    assert figure.rows == [["NASWOT score", "-1.000", "4"], ["parameters", "+1.000", "4"]]


def test_nothing_is_drawn_of_what_was_not_measured(make: Make, trial: Of) -> None:
    run = make("run", [trial(0, {"energy": 3.0}, (1.0,))])
    assert pareto_figure(facts_of([run]), Album(drawn)) is None
    assert agreement_figure(facts_of([run]), Album(drawn)) is None


def hopeless_and_good(make: Make, trial: Of, values: list[float], prefer: str = "") -> Figure:
    trials = [trial(k, {"params": 1.0 + k, "val_acc": v}, (v,)) for k, v in enumerate(values)]
    run = make(f"r{len(values)}-{values[0]:g}-{prefer}", trials, prefer=[prefer] if prefer else [])
    figure = pareto_figure(facts_of([run]), Album(drawn))
    assert figure is not None
    return figure


@pytest.mark.parametrize(("hopeless", "good"), [(1, 30), (3, 30), (3, 21), (2, 6)])
def test_a_few_hopeless_candidates_do_not_flatten_a_scatter(make: Make, trial: Of, hopeless: int, good: int) -> None:
    values = [10.0] * hopeless + [90.0 + k / 10 for k in range(good)]
    figure = hopeless_and_good(make, trial, values)
    low, high = figure.views[0]["layout"]["yaxis"]["range"]
    assert 85 < low < 90
    assert max(values) < high < 95
    assert "leaves out the weakest candidates" in figure.note
    # All points are drawn, so that a double click shows them; the winner has a star as well.
    assert sum(len(trace["y"]) for trace in figure.views[0]["traces"]) == len(values) + 1


def test_a_scatter_is_cut_for_outliers_only_and_never_above_the_winner(make: Make, trial: Of) -> None:
    good = [90.0 + k / 10 for k in range(30)]
    for figure in (
        hopeless_and_good(make, trial, [88.0, *good]),
        hopeless_and_good(make, trial, [10.0 + 3 * k for k in range(30)]),
        hopeless_and_good(make, trial, [10.0, *good], prefer="val_acc<20"),
    ):
        assert "range" not in figure.views[0]["layout"]["yaxis"]
        assert "leaves out" not in figure.note


def test_a_loss_is_drawn_with_its_unit_and_cut_at_the_top(make: Make, trial: Of) -> None:
    loss = Metric("loss", "nats", "smaller", "validation loss")
    values = [50.0, 40.0, *(1 + k / 10 for k in range(30))]
    trials = [trial(k, {"loss": v, "params": 1000.0 + k}, (-v,)) for k, v in enumerate(values)]
    run = make("own", trials, metrics=[loss.to_json()], objectives=["minimize(loss)"])
    figure = pareto_figure(facts_of([run]), Album(drawn))
    assert figure is not None
    layout = figure.views[0]["layout"]
    assert layout["yaxis"]["title"]["text"] == "validation loss (nats)"
    assert layout["yaxis"]["range"] == pytest.approx([1 - 0.08 * 2.9, 3.9 + 0.08 * 2.9])
    assert "far above the others" in figure.note
    # Fewer parameters are as much worth as a smaller loss.
    assert [row[2:4] for row in figure.rows] == [
        ["1,000", "50\u00a0nats"], ["1,001", "40\u00a0nats"], ["1,002", "1\u00a0nats"],
    ]  # fmt: skip
