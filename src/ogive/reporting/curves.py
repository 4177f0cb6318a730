"""The charts over time as plain plotly.js data, each with the same numbers as a table for those who cannot see it.

Colours are names of CSS variables, which the page's script replaces by those of the light or the dark theme.
"""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ogive.core.metric import Metric, of_part
from ogive.metrics import half_width, stepwise
from ogive.reporting.evidence import sources
from ogive.reporting.facts import Facts, Line
from ogive.reporting.markup import Html, alike, axis, joined, listed, number, section, table, tag, title
from ogive.reporting.member import Floats, Member, Winner, by_strategy

__all__ = [
    "JSON",
    "ROWS",
    "Figure",
    "anytime_figure",
    "chart",
    "colour",
    "cut_axis",
    "figure_section",
    "label",
    "trace",
    "training_figure",
    "whole_ticks",
]

JSON = dict[str, Any]
ROWS = 200
BANDS = 3  # runs of a strategy, from which on their interval is drawn instead of each of them
GRID = 150  # points of a mean
SERIES = 6
# Both hold the number of the epoch, which is the horizontal axis.
COUNTERS = ("epoch", "number")
# What begins the name of a metric that was measured on a part of the data.
PARTS = ("train_", "val_")
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


def figure_section(figure: Figure, runs: Sequence[Member], within: str, *, after: Html | None = None) -> Html:
    """A chart with its buttons, its table and where its numbers come from."""
    numbers = tag("details", tag("summary", "The numbers as a table"), table(figure.headers, figure.rows))
    drawn = chart(figure, within)
    return section(figure.name, figure.title, drawn, numbers, after, sources(runs))


def chart(figure: Figure, within: str = "") -> Html:
    """A chart with its buttons and its note."""
    return tag(
        "figure",
        tag("div", id=f"picks-{figure.name}", class_="picks"),
        tag("div", id=f"chart-{figure.name}", class_="chart", role="img", aria_label=figure.summary),
        tag("figcaption", joined(figure.note, " ", within)),
    )


# -- the best so far --------------------------------------------------------------------------------------------------


def anytime_figure(facts: Facts) -> Figure:
    """The best values so far against trials and seconds, one line a run."""
    runs, first = facts.runs, facts.lines[0]
    shown = sorted(
        facts.lines, key=lambda line: not line.log
    )  # regret shows the contest: where it is known, it is first
    clocks = {"trials": "evaluated candidates", "wall_s": "seconds of searching"}
    if any(trial.cost.benchmark_s > 0 for one in runs for trial in one.working):
        clocks["benchmark_s"] = "seconds by the table's clock"
    counted = whole_ticks(max(len(one.evaluated) for one in runs))
    views = [
        {
            "traces": _traces(runs, line, clock),
            "layout": {
                "xaxis": {"title": {"text": words}, "rangemode": "tozero", **(counted if clock == "trials" else {})},
                "yaxis": {"title": label(line.name), **_height(runs, line, clock)},
            },
        }
        for line in shown
        for clock, words in clocks.items()
    ]
    steps = [(one, values, k) for one, values in zip(runs, first.values, strict=True) for k in _steps(values)][:ROWS]
    rows = [
        [one.label, number(one.clocks["trials"][k]), f"{one.clocks['wall_s'][k]:.1f}", value]
        for (one, _, k), value in zip(steps, alike([float(values[k]) for _, values, k in steps]), strict=True)
    ]
    ends = "; ".join(
        f"{one.label} ends at {number(values[-1])}"
        for one, values in zip(runs[:8], first.values, strict=False)
        if len(values) and math.isfinite(values[-1])
    )
    return Figure(
        "anytime",
        "Best so far",
        f"Lines of the best value so far, one for each run. {first.name}: {ends}.",
        [("Value", [line.name for line in shown]), ("Against", list(clocks.values()))],
        views,
        ["Run", "Evaluated candidates", "Seconds", first.name],
        rows,
        f"A line {_steps_up(facts.lines)} when a better candidate is found. The vertical axis may leave out the first "
        "candidates; a double click on the chart shows them."
        + (" A band is the pointwise 95 % t-interval of the mean over seeds." if _banded(runs) else "")
        + (" A regret of nothing is drawn at the lower edge." if any(line.log for line in facts.lines) else ""),
    )


def _banded(runs: Sequence[Member]) -> bool:
    return any(len(members) >= BANDS for members in by_strategy(runs).values())


def _steps_up(lines: Sequence[Line]) -> str:
    falling = {line.falls for line in lines}
    if len(falling) > 1:
        return "rises, or falls where lower is better,"
    return "falls" if True in falling else "rises"


def _traces(runs: Sequence[Member], line: Line, clock: str) -> list[JSON]:
    """A line a run; of several runs of one strategy their mean, with a band that is its interval.

    Two runs are thin lines beside their mean: an interval of two is too wide to be drawn.
    """
    values = {one.tag: own for one, own in zip(runs, line.values, strict=True)}
    floor = _floor(line) if line.log else None
    traces = []
    for strategy, members in by_strategy(runs).items():
        several = len(members) > 1
        for one in members if len(members) < BANDS else ():
            steps = _steps(values[one.tag])
            ys = values[one.tag][steps] if floor is None else values[one.tag][steps].clip(floor)
            traces.append(_trace(one, one.clocks[clock][steps].tolist(), ys.tolist(), one.label, thin=several))
        if several:
            at, *rows = _mean_line([(one.clocks[clock], values[one.tag]) for one in members])
            mean, low, high = rows if floor is None else (row.clip(floor) for row in rows)
            if len(members) >= BANDS and len(at):
                traces += _band(members[0], at, low, high, strategy)
            name = f"{strategy}, mean of {len(members)} seeds"
            traces.append(_trace(members[0], at.tolist(), mean.tolist(), name, thin=False))
    return traces


def _floor(line: Line) -> float:
    """The lower edge of a logarithmic axis, at which a regret of nothing is drawn: half the least one that is more."""
    positive = [float(values[values > 0].min()) for values in line.values if (values > 0).any()]
    return 0.5 * min(positive, default=2e-3)


def _trace(one: Member, xs: list[float], ys: list[float], name: str, *, thin: bool) -> JSON:
    dash = "dash" if one.is_random else "solid"
    line = {"shape": "hv", "color": colour(one), "width": 1 if thin else 2.5, "dash": dash}
    hover = f"%{{y:.6~g}} at %{{x:.5~g}}<extra>{html.escape(name)}</extra>"
    shown = {"opacity": 0.45 if thin else 1, "showlegend": not thin, "hovertemplate": hover}
    return trace("lines", xs, ys, name, line=line, **shown)


def _band(one: Member, at: Floats, low: Floats, high: Floats, strategy: str) -> list[JSON]:
    """The area between the ends of the intervals: two lines without width, the second filled down to the first."""
    edge = {"line": {"shape": "hv", "color": colour(one), "width": 0}, "showlegend": False, "hoverinfo": "skip"}
    name = f"{strategy}, 95 % interval of the mean"
    filled = {"fill": "tonexty", "fillcolor": f"{colour(one)}@0.18"}
    return [trace("lines", at, low, name, **edge), trace("lines", at, high, name, **edge, **filled)]


def _mean_line(curves: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Floats, Floats, Floats]:
    """Where all curves, each a clock and its values, have a value: the mean, and the ends of its 95 % t-interval."""
    alive = [(times, values) for times, values in curves if np.isfinite(values).any()]
    if not alive:
        return (np.empty(0),) * 4
    start = max(float(times[np.isfinite(values)][0]) for times, values in alive)
    end = min(float(times[-1]) for times, _ in alive)
    grid = np.linspace(start, end, GRID) if end > start else np.array([start])
    rows = np.stack([stepwise(times, values, grid) for times, values in alive])
    # Lines of steps need the places where something changes, and the last one.
    changes = (np.diff(rows, axis=1) != 0).any(axis=0)
    kept = np.concatenate([[True], changes]) | (np.arange(len(grid)) == len(grid) - 1)
    grid, rows = grid[kept], rows[:, kept]
    mean, half = rows.mean(axis=0), half_width(rows)
    return grid, mean, mean - half, mean + half


def _steps(values: Floats) -> list[int]:
    """Where the value changes, and the last place: all that a line of steps needs."""
    finite = np.flatnonzero(np.isfinite(values))
    if not len(finite):
        return []
    first = int(finite[0])
    changes = np.flatnonzero(values[first + 1 :] != values[first:-1]) + first + 1
    return sorted({first, *changes.tolist(), len(values) - 1})


def _height(runs: Sequence[Member], line: Line, clock: str) -> JSON:
    return {"type": "log", "dtick": "D2"} if line.log else _zoom(runs, line, clock)


def _zoom(runs: Sequence[Member], line: Line, clock: str) -> JSON:
    """An axis that begins where the curves are after a tenth of the way, if their beginnings would flatten the rest.

    Curves that fall begin at the top.
    """
    sign = -1.0 if line.falls else 1.0
    pairs = zip(runs, line.values, strict=True)
    found = [(one.clocks[clock], sign * values) for one, values in pairs if np.isfinite(values).any()]
    if not found:
        return {}
    tenth = max(float(times[-1]) for times, _ in found) / 10
    top = max(float(np.nanmax(values)) for _, values in found)
    bottom = min(float(np.nanmin(values)) for _, values in found)
    late = [float(value) for times, values in found for value in values[times >= tenth][:1] if math.isfinite(value)]
    return cut_axis(min(late, default=bottom), top, sign, (top - bottom) / 3)


# -- the winner's training --------------------------------------------------------------------------------------------


def training_figure(best: Winner) -> Figure | None:
    """The winner's full training, epoch by epoch: what was measured on training and validation data in one chart."""
    history = best.one.final.get("history")
    epochs = [entry for entry in history if isinstance(entry, Mapping)] if isinstance(history, list) else []
    known = {metric.name: metric for metric in [*best.metrics.values(), *best.one.metrics.values()]}
    keys = [key for key in (epochs[0] if epochs else {}) if key not in COUNTERS and _numeric(epochs, key)]
    shown = [known.get(key) or _of_part(key, known) for key in keys]
    shown.sort(key=lambda metric: (metric.name not in known, metric.unit != "%", metric.name))
    if not shown:
        return None
    steps = [float(entry.get("epoch", place)) for place, entry in enumerate(epochs, start=1)]
    values = {metric.name: [float(entry[metric.name]) for entry in epochs] for metric in shown}
    groups: dict[str, list[Metric]] = {}
    for metric in shown:
        groups.setdefault(_without_part(metric.name), []).append(metric)
    last = ", ".join(listed(shown, epochs[-1]))
    columns = [alike(values[metric.name]) for metric in shown]
    return Figure(
        "training",
        "The winner's full training",
        f"Lines over {len(epochs)} epochs. After the last: {last}.",
        [("Value", [" and ".join(axis(metric) for metric in group) for group in groups.values()])],
        [_training_view(group, steps, values) for group in groups.values()],
        ["Epoch", *(axis(metric) for metric in shown)],
        [[number(step), *row] for step, *row in zip(steps, *columns, strict=True)],
        _held_out(best, shown),
    )


def _of_part(key: str, known: Mapping[str, Metric]) -> Metric:
    """A metric of the training part, in the words of the one of the validation part."""
    found = of_part(key, known.values())
    beside = known.get(f"val_{_without_part(key)}")
    if beside is None or not key.startswith("train_") or found.words:
        return found
    return replace(found, words=beside.words.replace("validation", "training"))


def _held_out(best: Winner, shown: Sequence[Metric]) -> str:
    """Whether the validation part was trained on, where its curve is missing."""
    if any(metric.validated for metric in shown) or not best.one.config.get("data") or best.one.compared:
        return ""
    return (
        "There is no validation curve, since the validation part was trained on as well: "
        f"{best.one.way_to_train} --validate holds it out, and its curve stands here beside the other."
    )


def _without_part(name: str) -> str:
    """A metric's name without the part of the data that it is of: "acc" of train_acc and of val_acc."""
    return next((name.removeprefix(part) for part in PARTS if name.startswith(part)), name)


def _training_view(group: Sequence[Metric], steps: list[float], values: Mapping[str, Sequence[float]]) -> JSON:
    traces = []
    for place, metric in enumerate(sorted(group, key=lambda metric: metric.validated)):
        style = {
            "line": {"color": f"var(--series-{1 + place % SERIES})", "width": 2, "dash": "dash" if place else "solid"},
            "marker": {"size": 5},
        }
        hover = f"%{{y:.5~g}} after epoch %{{x}}<extra>{html.escape(title(metric))}</extra>"
        traces.append(trace("lines+markers", steps, values[metric.name], title(metric), hovertemplate=hover, **style))
    across = {"title": {"text": "epoch"}, **whole_ticks(max(steps))}
    up = {"title": label(axis(group[0]) if len(group) == 1 else _shared(group))}
    return {"traces": traces, "layout": {"xaxis": across, "yaxis": up, "showlegend": len(group) > 1}}


def _shared(group: Sequence[Metric]) -> str:
    """The title of an axis of several: what they share, with the unit."""
    unit = group[0].unit
    return f"{_without_part(group[0].name)} ({unit})" if unit else _without_part(group[0].name)


def _numeric(entries: Sequence[Mapping[str, Any]], key: str) -> bool:
    return all(isinstance(entry.get(key), (int, float)) and math.isfinite(entry[key]) for entry in entries)


# -- parts ------------------------------------------------------------------------------------------------------------


def colour(one: Member) -> str:
    """The CSS variable that holds the colour of the run's strategy."""
    return "var(--series-0)" if one.colour == 0 else f"var(--series-{1 + (one.colour - 1) % SERIES})"


def trace(mode: str, xs: Iterable[float], ys: Iterable[float], name: str, **more: object) -> JSON:
    """Lines or dots of a chart."""
    return {"type": "scatter", "mode": mode, "x": _short(xs), "y": _short(ys), "name": html.escape(name), **more}


def label(title: str) -> JSON:
    """The title of an axis, on as many lines as the height of a chart asks for, away from the numbers."""
    return {"text": "<br>".join(html.escape(line) for line in textwrap.wrap(title, TITLE) or [""]), "standoff": 12}


def whole_ticks(most: float) -> JSON:
    """Of an axis that counts up to `most`: its ticks, where plotly would put some between whole numbers."""
    return {"tick0": 0, "dtick": 1} if most <= FEW else {}


def cut_axis(start: float, top: float, sign: float, most: float) -> JSON:
    """An axis from `start` to `top`, in values times `sign`; nothing where they are `most` or more apart, or equal."""
    if not 0 < top - start < most:
        return {}
    margin = 0.08 * (top - start)
    return {"range": sorted((sign * (start - margin), sign * (top + margin)))}


def _short(values: Iterable[float]) -> list[float | None]:
    """Numbers with six significant digits, which is more than a chart can show; JSON has no NaN."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values]
