"""The charts of the page as plain plotly.js data, each with the same numbers as a table for those who cannot see it.

Colours are names of CSS variables, which the page's script replaces by those of the light or the dark theme.
"""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ogive.metrics import stepwise
from ogive.report.findings import (
    Curve,
    Shown,
    Winner,
    best_metric_so_far,
    best_so_far,
    hypervolume_so_far,
    incumbent_metric,
    metric_names,
    quality_metric,
    worst_scores,
)
from ogive.report.objectives import Goal, goal
from ogive.report.standings import HYPERVOLUME
from ogive.report.wording import axis_title, metric_name, number, value_of

__all__ = ["JSON", "ROWS", "Figure", "anytime_figure", "colour", "label", "short", "training_figure", "whole_ticks"]

JSON = dict[str, Any]
ROWS = 200
SERIES = 6
# Both hold the number of the epoch, which is the horizontal axis.
COUNTERS = ("epoch", "number")
# So many letters of a title fit beside a chart; longer ones are broken.
TITLE = 38
# An axis up to here would be divided by halves if it were left to plotly.
FEW = 12


@dataclass(frozen=True)
class Figure:
    """One chart: a view for every combination of `picks`, in row-major order, and its table."""

    name: str
    title: str
    summary: str
    picks: list[tuple[str, list[str]]]
    views: list[JSON]
    headers: list[str]
    rows: list[list[str]]
    note: str = ""

    def data(self) -> JSON:
        """What the page's script needs to draw it."""
        return {"name": self.name, "picks": [{"label": a, "options": b} for a, b in self.picks], "views": self.views}


# -- the best so far --------------------------------------------------------------------------------------------------


def anytime_figure(runs: Sequence[Shown], objectives: Sequence[str]) -> Figure:
    """The best value so far against trials and seconds, one line a run."""
    lines = _anytime_values(runs, objectives)
    names, curves = [line.name for line in lines], [line.curve for line in lines]
    clocks = [("trials", "evaluated candidates"), ("wall_s", "seconds of searching")]
    if any(trial.cost.benchmark_s > 0 for one in runs for trial in one.working):
        clocks.append(("benchmark_s", "seconds by the table's clock"))
    counted = whole_ticks(max((len(one.evaluated) for one in runs), default=0))
    views = [
        {
            "traces": _lines(runs, [line.curve(one) for one in runs], clock),
            "layout": {
                "xaxis": {"title": {"text": words}, "rangemode": "tozero", **(counted if clock == "trials" else {})},
                "yaxis": {
                    "title": label(line.name),
                    **_zoom([(line.curve(one), clock) for one in runs], falls=line.falls),
                },
            },
        }
        for line in lines
        for clock, words in clocks
    ]
    first = [curves[0](one) for one in runs]
    rows = [
        [one.label, number(curve.trials[step]), f"{curve.wall_s[step]:.1f}", number(curve.values[step])]
        for one, curve in zip(runs, first, strict=True)
        for step in _steps(curve)
    ]
    ends = "; ".join(
        f"{one.label} ends at {number(curve.values[-1])}"
        for one, curve in zip(runs[:8], first, strict=False)
        if len(curve.values) and math.isfinite(curve.values[-1])
    )
    return Figure(
        "anytime",
        "Best so far",
        f"Lines of the best value so far, one for each run. {names[0]}: {ends}.",
        [("Value", names), ("Against", [words for _, words in clocks])],
        views,
        ["Run", "Evaluated candidates", "Seconds", names[0]],
        rows[:ROWS],
        f"A line {_steps_up(lines)} when a better candidate is found. The vertical axis may leave out the first "
        "candidates; a double click on the chart shows them.",
    )


@dataclass(frozen=True)
class _Value:
    """What a line of the chart shows, and whether a better value is a lower one."""

    name: str
    curve: Callable[[Shown], Curve]
    falls: bool = False


def _anytime_values(runs: Sequence[Shown], objectives: Sequence[str]) -> list[_Value]:
    goals = [goal(objective) for objective in objectives or ["the objective"]]
    found = [_best_of(sought, rank) for rank, sought in enumerate(goals)]
    corner = worst_scores(runs, len(objectives))
    if len(objectives) > 1 and corner:
        found.append(_Value(HYPERVOLUME, lambda one: hypervolume_so_far(one, corner)))
    quality = quality_metric(runs)
    if quality is not None and quality not in {sought.metric for sought in goals}:
        found.append(_Value(f"best {axis_title(quality)}", lambda one: best_metric_so_far(one, quality)))
    return found + [_incumbent(metric) for metric in metric_names(runs) if metric.startswith("test_")]


def _best_of(sought: Goal, rank: int) -> _Value:
    def curve(one: Shown) -> Curve:
        found = best_so_far(one, rank)
        return replace(found, values=-found.values) if sought.falls else found

    return _Value(f"best {sought.heading}", curve, sought.falls)


def _incumbent(metric: str) -> _Value:
    name = f"{axis_title(metric)} of the candidate that is best so far"
    return _Value(name, lambda one: incumbent_metric(one, metric))


def _steps_up(lines: Sequence[_Value]) -> str:
    falling = {line.falls for line in lines}
    if len(falling) > 1:
        return "rises, or falls where lower is better,"
    return "falls" if True in falling else "rises"


def _lines(runs: Sequence[Shown], curves: Sequence[Curve], clock: str) -> list[JSON]:
    """A line a run; of several runs of one strategy thin ones, and a thick one for their mean."""
    by_strategy: dict[str, list[tuple[Shown, Curve]]] = {}
    for one, curve in zip(runs, curves, strict=True):
        by_strategy.setdefault(one.strategy, []).append((one, curve))
    traces = []
    for strategy, members in by_strategy.items():
        several = len(members) > 1
        for one, curve in members:
            steps = _steps(curve)
            xs = getattr(curve, clock)[steps].tolist()
            trace = _line(one, xs, curve.values[steps].tolist(), one.label, thin=several)
            traces.append(trace)
        if several:
            xs, ys = _mean_line([curve for _, curve in members], clock)
            name = f"{strategy}, mean of {len(members)} seeds"
            traces.append(_line(members[0][0], xs, ys, name, thin=False))
    return traces


def _line(one: Shown, xs: list[float], ys: list[float], name: str, *, thin: bool) -> JSON:
    line = {
        "shape": "hv",
        "color": colour(one),
        "width": 1 if thin else 2.5,
        "dash": "dash" if one.is_random else "solid",
    }
    return {
        "type": "scatter",
        "mode": "lines",
        "x": short(xs),
        "y": short(ys),
        "name": html.escape(name),
        "line": line,
        "opacity": 0.45 if thin else 1,
        "showlegend": not thin,
        "hovertemplate": f"%{{y:.6~g}} at %{{x:.5~g}}<extra>{html.escape(name)}</extra>",
    }


def _mean_line(curves: Sequence[Curve], clock: str) -> tuple[list[float], list[float]]:
    """The mean over runs wherever all of them have a value."""
    alive = [(getattr(curve, clock), curve.values) for curve in curves if np.isfinite(curve.values).any()]
    if not alive:
        return [], []
    start = max(float(times[np.isfinite(values)][0]) for times, values in alive)
    end = min(float(times[-1]) for times, _ in alive)
    grid = np.linspace(start, end, 200) if end > start else np.array([start])
    mean = np.mean([stepwise(times, values, grid) for times, values in alive], axis=0)
    return grid.tolist(), mean.tolist()


def _steps(curve: Curve) -> list[int]:
    """Where the value changes, and the last place: all that a line of steps needs."""
    values = curve.values
    finite = np.flatnonzero(np.isfinite(values))
    if not len(finite):
        return []
    first = int(finite[0])
    changes = np.flatnonzero(values[first + 1 :] != values[first:-1]) + first + 1
    return sorted({first, *changes.tolist(), len(values) - 1})


def _zoom(curves: Iterable[tuple[Curve, str]], *, falls: bool = False) -> JSON:
    """An axis that begins where the curves are after a tenth of the way, if their beginnings would flatten the rest.

    Curves that fall begin at the top.
    """
    sign = -1.0 if falls else 1.0
    found = [(getattr(c, clock), sign * c.values) for c, clock in curves if np.isfinite(c.values).any()]
    if not found:
        return {}
    tenth = max(float(times[-1]) for times, _ in found) / 10
    top = max(float(np.nanmax(values)) for _, values in found)
    bottom = min(float(np.nanmin(values)) for _, values in found)
    late = [float(value) for times, values in found for value in values[times >= tenth][:1] if math.isfinite(value)]
    start = min(late, default=bottom)
    if not 0 < top - start < (top - bottom) / 3:
        return {}
    margin = 0.08 * (top - start)
    return {"range": sorted((sign * (start - margin), sign * (top + margin)))}


# -- the winner's training --------------------------------------------------------------------------------------------


def training_figure(best: Winner) -> Figure | None:
    """The winner's full training, epoch by epoch."""
    history = best.final.get("history")
    epochs = [entry for entry in history if isinstance(entry, Mapping)] if isinstance(history, list) else []
    numbers = [key for key in (epochs[0] if epochs else {}) if key not in COUNTERS and _numeric(epochs, key)]
    if not numbers:
        return None
    numbers.sort(key=lambda key: (not key.endswith("_acc"), key))
    steps = [float(entry.get("epoch", place)) for place, entry in enumerate(epochs, start=1)]
    views = [
        {
            "traces": [
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "x": steps,
                    "y": short(entry[key] for entry in epochs),
                    "name": html.escape(axis_title(key)),
                    "line": {"color": "var(--series-1)", "width": 2},
                    "marker": {"size": 5},
                    "hovertemplate": "%{y:.5~g} after epoch %{x}<extra></extra>",
                }
            ],
            "layout": {
                "xaxis": {"title": {"text": "epoch"}, **whole_ticks(max(steps))},
                "yaxis": {"title": label(axis_title(key))},
                "showlegend": False,
            },
        }
        for key in numbers
    ]
    last = ", ".join(f"{metric_name(key).replace('_', ' ')} {value_of(key, float(epochs[-1][key]))}" for key in numbers)
    return Figure(
        "training",
        "The winner's full training",
        f"Lines over {len(epochs)} epochs. After the last: {last}.",
        [("Value", [axis_title(key) for key in numbers])],
        views,
        ["Epoch", *(axis_title(key) for key in numbers)],
        [
            [number(step), *(number(float(entry[key])) for key in numbers)]
            for step, entry in zip(steps, epochs, strict=True)
        ],
    )


def _numeric(entries: Sequence[Mapping[str, Any]], key: str) -> bool:
    return all(isinstance(entry.get(key), (int, float)) and math.isfinite(entry[key]) for entry in entries)


# -- parts ------------------------------------------------------------------------------------------------------------


def colour(one: Shown) -> str:
    """The CSS variable that holds the colour of the run's strategy."""
    return "var(--series-0)" if one.colour == 0 else f"var(--series-{1 + (one.colour - 1) % SERIES})"


def label(title: str) -> JSON:
    """The title of an axis, on as many lines as the height of a chart asks for, away from the numbers."""
    return {"text": "<br>".join(html.escape(line) for line in textwrap.wrap(title, TITLE) or [""]), "standoff": 12}


def whole_ticks(most: float) -> JSON:
    """Of an axis that counts up to `most`: its ticks, where plotly would put some between whole numbers."""
    return {"tick0": 0, "dtick": 1} if most <= FEW else {}


def short(values: Iterable[float]) -> list[float | None]:
    """Numbers with six significant digits, which is more than a chart can show; JSON has no NaN."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values]
