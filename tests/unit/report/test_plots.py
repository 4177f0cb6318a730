from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ogive.core.architecture import Architecture
from ogive.core.trial import Trial
from ogive.report.findings import Winner, shown
from ogive.report.plots import TITLE, Figure, anytime_figure, label, training_figure, whole_ticks
from ogive.report.scatters import PICTURES, Album, agreement_figure, pareto_figure
from ogive.runs import Run

Make = Callable[..., Run]
Of = Callable[..., Trial]


def drawn(arch: Architecture) -> str:
    return f"<svg>{arch}</svg>"


def view(figure: Figure, *options: str) -> dict[str, Any]:
    """The view of a figure that these options pick."""
    place = 0
    for (_, known), option in zip(figure.picks, options, strict=True):
        place = place * len(known) + known.index(option)
    found: dict[str, Any] = figure.views[place]
    return found


def test_every_combination_of_picks_has_a_view_of_valid_json(searched: Callable[..., Run]) -> None:
    runs = shown([searched("a"), searched("b", seed=1, strategy="random", screened=False)])
    album = Album(drawn)
    figures = [
        anytime_figure(runs, runs[0].objectives),
        pareto_figure(runs, album, None),
        agreement_figure(runs, album),
    ]
    for figure in figures:
        assert figure is not None
        count = 1
        for _, options in figure.picks:
            count *= len(options)
        assert len(figure.views) == count
        json.dumps(figure.data(), allow_nan=False)
    json.dumps(album.data(), allow_nan=False)


def test_an_anytime_line_holds_its_steps_and_its_end_only(make: Make, trial: Of) -> None:
    values = [3.0, 1.0, 2.0, 5.0, 4.0, 0.0]
    run = make("run", [trial(k, {"val_acc": v}, (v,)) for k, v in enumerate(values)], objectives=["maximize(val_acc)"])
    figure = anytime_figure(shown([run]), ["maximize(val_acc)"])
    assert figure.picks[0] == ("Value", ["best validation accuracy (%)"])
    trace = view(figure, "best validation accuracy (%)", "evaluated candidates")["traces"][0]
    assert (trace["x"], trace["y"]) == ([1, 4, 6], [3, 5, 5])
    assert [row[1:] for row in figure.rows] == [["1", "2.0", "3"], ["4", "8.0", "5"], ["6", "12.0", "5"]]


def test_the_tables_clock_is_offered_where_a_table_was_searched(make: Make, trial: Of) -> None:
    run = make("run", [trial(0, {"val_acc": 1.0, "test_acc": 2.0}, (1.0,), benchmark_s=9.0)])
    figure = anytime_figure(shown([run]), ["maximize(val_acc)"])
    assert figure.picks[1][1][-1] == "seconds by the table's clock"
    chosen = view(figure, "test accuracy (%) of the candidate that is best so far", "seconds by the table's clock")
    assert chosen["traces"][0]["x"] == [9]
    assert chosen["traces"][0]["y"] == [2]


def test_several_seeds_get_thin_lines_and_the_mean_of_all(make: Make, trial: Of) -> None:
    runs = [
        make(f"s{seed}", [trial(k, {"val_acc": 1.0}, (k + seed,)) for k in range(3)], seed=seed) for seed in (0, 1, 2)
    ]
    figure = anytime_figure(shown(runs), runs[0].config["objectives"])
    traces = figure.views[0]["traces"]
    assert [trace["showlegend"] for trace in traces] == [False, False, False, True]
    assert "mean of 3 seeds" in traces[-1]["name"]
    # Best so far after 1, 2, 3 trials is seed, seed + 1, seed + 2: means 1, 2, 3.
    assert (traces[-1]["y"][0], traces[-1]["y"][-1]) == (1.0, 3.0)


def test_an_axis_is_cut_only_where_a_bad_beginning_would_flatten_the_rest(make: Make, trial: Of) -> None:
    def axis(values: list[float]) -> dict[str, Any]:
        run = make(f"r{len(values)}", [trial(k, {"val_acc": v}, (v,)) for k, v in enumerate(values)])
        found: dict[str, Any] = anytime_figure(shown([run]), ["maximize(val_acc)"]).views[0]["layout"]["yaxis"]
        return found

    assert "range" not in axis([float(k) for k in range(10)])
    low, high = axis([10.0, *[90.0 + k / 10 for k in range(30)]])["range"]
    assert 85 < low < 91
    assert high > 92.9


def test_fronts_of_the_pareto_chart_are_those_of_each_strategy(make: Make, trial: Of) -> None:
    def run(name: str, points: list[tuple[float, float]], **changes: object) -> Run:
        trials = [trial(k, {"latency_ms": x, "val_acc": y}, (y,)) for k, (x, y) in enumerate(points)]
        return make(name, trials, **changes)

    runs = shown([run("a", [(1, 50), (2, 60), (3, 55)]), run("b", [(1, 40), (2, 70)], strategy="random")])
    figure = pareto_figure(runs, Album(drawn), Winner(runs[0], runs[0].run.trials[1].arch, runs[0].run.trials[1], {}))
    assert figure is not None
    traces = {trace["name"]: trace for trace in figure.views[0]["traces"]}
    assert traces["evolution(population=6), Pareto front"]["x"] == [1, 2]
    assert traces["evolution(population=6)"]["x"] == [3]
    assert traces["random, Pareto front"]["y"] == [40, 70]
    assert (traces["the winner"]["x"], traces["the winner"]["y"]) == ([2], [60])
    assert len(figure.rows) == 4


def test_points_lead_to_their_trial_and_its_picture(make: Make, trial: Of) -> None:
    run = make("run", [trial(k, {"latency_ms": 1.0 + k, "val_acc": 50.0 + k}, (1.0,)) for k in range(3)])
    album = Album(drawn)
    figure = pareto_figure(shown([run]), album, None)
    assert figure is not None
    edge = figure.views[0]["traces"][1]
    place, headline, lines = album.data()["points"][edge["customdata"][2]]
    assert "trial 2" in headline
    assert "validation accuracy 52.00\u00a0%" in lines
    assert album.data()["archs"][place] == {"text": str(run.trials[2].arch), "picture": drawn(run.trials[2].arch)}


def test_only_so_many_pictures_travel_and_the_wanted_ones_do(make: Make, trial: Of) -> None:
    run = make("run", [trial(k, {"val_acc": 1.0}, (float(k),)) for k in range(PICTURES + 50)])
    one = shown([run])[0]
    album = Album(drawn)
    for each in one.working:
        album.add(one, each, picture=each.number == 0)
    with_picture = [entry for entry in album.data()["archs"] if entry["picture"]]
    assert len(with_picture) == PICTURES
    assert with_picture[0]["text"] == str(run.trials[0].arch)


def test_rank_agreement_is_shown_for_every_cheap_number_and_not_for_the_test_set(make: Make, trial: Of) -> None:
    run = make(
        "run",
        [
            trial(k, {"val_acc": 10.0 + k, "test_acc": 1.0 + k, "naswot": 5.0 - k, "params": 7.0 + k}, (1.0,))
            for k in range(4)
        ],
    )
    figure = agreement_figure(shown([run]), Album(drawn))
    assert figure is not None
    assert figure.rows == [["NASWOT score", "-1.000", "4"], ["parameters", "+1.000", "4"]]


def test_nothing_is_drawn_of_what_was_not_measured(make: Make, trial: Of) -> None:
    run = make("run", [trial(0, {"energy": 3.0}, (1.0,))])
    assert pareto_figure(shown([run]), Album(drawn), None) is None
    assert agreement_figure(shown([run]), Album(drawn)) is None


def test_the_training_curve_leaves_out_what_was_not_measured(make: Make, trial: Of) -> None:
    run = make("run", [trial(0, {"val_acc": 3.0}, (1.0,))])
    one = shown([run])[0]
    history = [{"epoch": 1, "train_loss": 2.0, "val_acc": None}, {"epoch": 2, "train_loss": 1.5, "val_acc": None}]
    figure = training_figure(Winner(one, run.trials[0].arch, run.trials[0], {"history": history}))
    assert figure is not None
    assert figure.picks == [("Value", ["train loss"])]
    assert figure.views[0]["traces"][0]["y"] == [2.0, 1.5]
    assert training_figure(Winner(one, run.trials[0].arch, run.trials[0], {"history": []})) is None


@pytest.mark.parametrize("name", ["<b>a</b>", "a&b"])
def test_names_are_escaped_for_plotly_which_reads_html(make: Make, trial: Of, name: str) -> None:
    metrics = {"val_acc": 1.0, "latency_ms": 1.0, f"{name}_score": 1.0}
    more = {"val_acc": 2.0, "latency_ms": 2.0, f"{name}_score": 2.0}
    run = make("run", [trial(0, metrics, (1.0,)), trial(1, more, (2.0,))], strategy=name, objectives=[name])
    runs, album = shown([run]), Album(drawn)
    for figure in (anytime_figure(runs, [name]), pareto_figure(runs, album, None), agreement_figure(runs, album)):
        assert figure is not None
        assert name not in json.dumps([[one["traces"], one["layout"]] for one in figure.views])


def hopeless_and_good(make: Make, trial: Of, values: list[float], best: int | None = None) -> Figure:
    trials = [trial(k, {"params": 1.0 + k, "val_acc": v}, (v,)) for k, v in enumerate(values)]
    runs = shown([make(f"r{len(values)}-{values[0]:g}-{best}", trials)])
    chosen = None if best is None else Winner(runs[0], trials[best].arch, trials[best], {})
    figure = pareto_figure(runs, Album(drawn), chosen)
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
    # All points are drawn, so that a double click shows them.
    assert sum(len(trace["y"]) for trace in figure.views[0]["traces"]) == len(values)


def test_a_scatter_is_cut_for_outliers_only_and_never_above_the_winner(make: Make, trial: Of) -> None:
    good = [90.0 + k / 10 for k in range(30)]
    for figure in (
        hopeless_and_good(make, trial, [88.0, *good]),
        hopeless_and_good(make, trial, [10.0 + 3 * k for k in range(30)]),
        hopeless_and_good(make, trial, [10.0, *good], best=0),
    ):
        assert "range" not in figure.views[0]["layout"]["yaxis"]
        assert "leaves out" not in figure.note


def test_a_line_of_a_metric_that_is_minimised_falls_and_its_axis_begins_at_the_top(make: Make, trial: Of) -> None:
    values = [900.0, 20.0, 30.0, 15.0, *[16.0] * 20]
    trials = [trial(k, {"latency_ms": v}, (-v,)) for k, v in enumerate(values)]
    figure = anytime_figure(shown([make("run", trials)]), ["minimize(latency_ms)"])
    drawn_ = view(figure, "best latency (ms, lower is better)", "evaluated candidates")
    trace = drawn_["traces"][0]
    assert (trace["x"], trace["y"]) == ([1, 2, 4, 24], [900, 20, 15, 15])
    # The first candidate would flatten the rest; the axis holds those from the third on, with 8 % of their span around.
    assert drawn_["layout"]["yaxis"]["range"] == pytest.approx([15 - 0.08 * 5, 20 + 0.08 * 5])
    assert "A line falls when" in figure.note
    assert [row[3] for row in figure.rows] == ["900", "20", "15", "15"]


def test_few_candidates_are_counted_in_whole_numbers(make: Make, trial: Of) -> None:
    def axis(count: int) -> dict[str, Any]:
        trials = [trial(k, {"val_acc": 1.0}, (1.0,)) for k in range(count)]
        found = anytime_figure(shown([make(f"run{count}", trials)]), ["maximize(val_acc)"])
        horizontal: dict[str, Any] = view(found, "best validation accuracy (%)", "evaluated candidates")["layout"][
            "xaxis"
        ]
        return horizontal

    assert axis(3)["dtick"] == 1
    assert "dtick" not in axis(40)
    assert whole_ticks(12) == {"tick0": 0, "dtick": 1}


def test_the_training_of_few_epochs_is_counted_in_whole_numbers_and_once(make: Make, trial: Of) -> None:
    run = make("run", [trial(0, {"val_acc": 1.0}, (1.0,))])
    history = [{"epoch": k, "number": k, "train_loss": 1.0 / k, "seconds": 2.0} for k in (1, 2, 3)]
    one = shown([run])[0]
    figure = training_figure(Winner(one, run.trials[0].arch, run.trials[0], {"history": history}))
    assert figure is not None
    assert figure.picks == [("Value", ["seconds", "train loss"])]
    assert figure.headers == ["Epoch", "seconds", "train loss"]
    assert figure.views[0]["layout"]["xaxis"]["dtick"] == 1


def test_long_titles_of_axes_are_broken_between_words_and_escaped() -> None:
    text = label("best distance to real images, by a classifier <trained> here (lower is better)")["text"]
    assert "&lt;trained&gt;" in text
    lines = text.split("<br>")
    assert len(lines) == 3
    assert max(map(len, lines)) <= TITLE + len("&lt;&gt;")
    assert label("latency (ms)")["text"] == "latency (ms)"
