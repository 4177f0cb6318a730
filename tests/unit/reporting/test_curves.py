from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ogive.core.trial import Trial
from ogive.reporting.curves import TITLE, Figure, anytime_figure, label, training_figure, whole_ticks
from ogive.reporting.facts import facts_of
from ogive.runs import Run

Make = Callable[..., Run]
Of = Callable[..., Trial]
ACCURACY = {"objectives": ["maximize(val_acc)"]}


def view(figure: Figure, *options: str) -> dict[str, Any]:
    """The view of a figure that these options pick."""
    place = 0
    for (_, known), option in zip(figure.picks, options, strict=True):
        place = place * len(known) + known.index(option)
    found: dict[str, Any] = figure.views[place]
    return found


def training_of(run: Run, history: list[dict[str, Any]]) -> Figure | None:
    """The figure of a winner whose training went like this."""
    facts = {"arch": str(run.trials[0].arch), "trial": 0, "history": history}
    (run.artifacts / "winner.json").write_text(json.dumps(facts))
    best = facts_of([run]).winner
    assert best is not None
    return training_figure(best)


def test_an_anytime_line_holds_its_steps_and_its_end_only(make: Make, trial: Of) -> None:
    values = [3.0, 1.0, 2.0, 5.0, 4.0, 0.0]
    run = make("run", [trial(k, {"val_acc": v}, (v,)) for k, v in enumerate(values)], **ACCURACY)
    figure = anytime_figure(facts_of([run]))
    assert figure.picks[0] == ("Value", ["best validation accuracy (%)"])
    trace = view(figure, "best validation accuracy (%)", "evaluated candidates")["traces"][0]
    assert (trace["x"], trace["y"]) == ([1, 4, 6], [3, 5, 5])
    assert [row[1:] for row in figure.rows] == [["1", "2.0", "3"], ["4", "8.0", "5"], ["6", "12.0", "5"]]


def test_the_tables_clock_is_offered_where_a_table_was_searched(make: Make, trial: Of) -> None:
    run = make("run", [trial(0, {"val_acc": 1.0, "test_acc": 2.0}, (1.0,), benchmark_s=9.0)], **ACCURACY)
    figure = anytime_figure(facts_of([run]))
    assert figure.picks[1][1][-1] == "seconds by the table's clock"
    chosen = view(figure, "test accuracy (%) of the candidate that is best so far", "seconds by the table's clock")
    assert chosen["traces"][0]["x"] == [9]
    assert chosen["traces"][0]["y"] == [2]


def seeds(make: Make, trial: Of, count: int) -> list[Run]:
    return [
        make(f"s{seed}", [trial(k, {"val_acc": 1.0}, (k + seed,)) for k in range(3)], seed=seed)
        for seed in range(count)
    ]


def test_two_seeds_get_thin_lines_and_their_mean(make: Make, trial: Of) -> None:
    traces = anytime_figure(facts_of(seeds(make, trial, 2))).views[0]["traces"]
    assert [trace["showlegend"] for trace in traces] == [False, False, True]
    assert (traces[-1]["y"][0], traces[-1]["y"][-1]) == (0.5, 2.5)


def test_several_seeds_get_their_mean_in_a_band_that_is_its_interval(make: Make, trial: Of) -> None:
    figure = anytime_figure(facts_of(seeds(make, trial, 3)))
    low, high, mean = figure.views[0]["traces"]
    assert [trace["showlegend"] for trace in (low, high, mean)] == [False, False, True]
    assert "mean of 3 seeds" in mean["name"]
    # Best so far after 1, 2, 3 trials is seed, seed + 1, seed + 2: means 1, 2, 3, each with a deviation of 1.
    assert (mean["y"][0], mean["y"][-1]) == (1.0, 3.0)
    half = 4.302653 / 3**0.5  # of t with two degrees of freedom
    assert (low["y"][-1], high["y"][-1]) == pytest.approx((3 - half, 3 + half), rel=1e-5)
    assert high["fill"] == "tonexty"
    assert "95 % t-interval" in figure.note


def test_training_and_validation_stand_in_one_chart_and_a_missing_curve_is_explained(make: Make, trial: Of) -> None:
    def figure(name: str, *, held_out: bool) -> Figure:
        run = make(name, [trial(0, {"val_acc": 90.0}, (90.0,))])
        history = [{"epoch": k, "train_acc": 50.0 + k, "val_acc": 40.0 + k if held_out else None} for k in (1, 2)]
        found = training_of(run, history)
        assert found is not None
        return found

    both = figure("both", held_out=True)
    assert [trace["name"] for trace in both.views[0]["traces"]] == ["training accuracy", "validation accuracy"]
    assert [trace["y"] for trace in both.views[0]["traces"]] == [[51, 52], [41, 42]]
    assert both.note == ""
    alone = figure("alone", held_out=False)
    assert len(alone.views[0]["traces"]) == 1
    assert "--validate holds it out" in alone.note


def test_an_axis_is_cut_only_where_a_bad_beginning_would_flatten_the_rest(make: Make, trial: Of) -> None:
    def axis(values: list[float]) -> dict[str, Any]:
        run = make(f"r{len(values)}", [trial(k, {"val_acc": v}, (v,)) for k, v in enumerate(values)], **ACCURACY)
        found: dict[str, Any] = anytime_figure(facts_of([run])).views[0]["layout"]["yaxis"]
        return found

    assert "range" not in axis([float(k) for k in range(10)])
    low, high = axis([10.0, *[90.0 + k / 10 for k in range(30)]])["range"]
    assert 85 < low < 91
    assert high > 92.9


def test_the_training_curve_leaves_out_what_was_not_measured(make: Make, trial: Of) -> None:
    run = make("run", [trial(0, {"val_acc": 3.0}, (1.0,))])
    history = [{"epoch": 1, "train_loss": 2.0, "val_acc": None}, {"epoch": 2, "train_loss": 1.5, "val_acc": None}]
    figure = training_of(run, history)
    assert figure is not None
    assert figure.picks == [("Value", ["train loss"])]
    assert figure.views[0]["traces"][0]["y"] == [2.0, 1.5]
    assert training_of(run, []) is None


def test_a_line_of_a_metric_that_is_minimised_falls_and_its_axis_begins_at_the_top(make: Make, trial: Of) -> None:
    values = [900.0, 20.0, 30.0, 15.0, *[16.0] * 20]
    trials = [trial(k, {"latency_ms": v}, (-v,)) for k, v in enumerate(values)]
    figure = anytime_figure(facts_of([make("run", trials, objectives=["minimize(latency_ms)"])]))
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
        found = anytime_figure(facts_of([make(f"run{count}", trials, **ACCURACY)]))
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
    figure = training_of(run, history)
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
