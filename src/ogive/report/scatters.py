"""Scatter charts whose points show a picture: accuracy against cost with its fronts, cheap scores against accuracy."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ogive.core.architecture import Architecture
from ogive.core.trial import Trial
from ogive.report.findings import (
    Agreement,
    Shown,
    Winner,
    agreement,
    by_strategy,
    front,
    metric_names,
    quality_metric,
    score,
)
from ogive.report.plots import JSON, ROWS, Figure, colour, label, short
from ogive.report.wording import axis_title, metric_name, metric_order, value_of

__all__ = ["Album", "agreement_figure", "pareto_figure"]

# More points than this make a scatter slow to draw and no clearer; fronts are always drawn in full.
POINTS = 2000
# Each picture is a few kilobytes, so only so many travel with the page.
PICTURES = 200

# What is cheaper when smaller, beside whatever a search minimises.
COSTS = ("latency_ms", "params", "macs")

Point = tuple[float, float, Shown, Trial]


@dataclass
class Album:
    """The points that show a picture when they are pointed at, and which architectures get one."""

    draw: Callable[[Architecture], str | None]
    archs: dict[Architecture, int] = field(default_factory=dict)
    wanted: dict[Architecture, None] = field(default_factory=dict)
    best: dict[Architecture, float] = field(default_factory=dict)
    points: dict[tuple[str, int], tuple[int, int, str, list[str]]] = field(default_factory=dict)

    def add(self, one: Shown, trial: Trial, *, picture: bool = False) -> int:
        """The number of the point of a trial; `picture` makes sure that its architecture is drawn."""
        place = self.archs.setdefault(trial.arch, len(self.archs))
        self.best[trial.arch] = max(self.best.get(trial.arch, -math.inf), score(trial))
        if picture:
            self.wanted.setdefault(trial.arch)
        key = (one.tag, trial.number)
        if key not in self.points:
            by_order = sorted(trial.metrics.items(), key=lambda item: metric_order(item[0]))
            lines = [f"{metric_name(name)} {value_of(name, value)}" for name, value in by_order]
            self.points[key] = (len(self.points), place, f"{one.label}, trial {trial.number}", lines)
        return self.points[key][0]

    def data(self) -> JSON:
        """Architectures with their pictures, and points, for the page's script."""
        ranked = sorted(self.archs, key=lambda arch: -self.best[arch])
        drawn = set([*self.wanted, *(arch for arch in ranked if arch not in self.wanted)][:PICTURES])
        return {
            "archs": [
                {"text": str(arch), "picture": self.draw(arch) if arch in drawn else None} for arch in self.archs
            ],
            "points": [[place, headline, lines] for _, place, headline, lines in self.points.values()],
        }


# -- accuracy against cost --------------------------------------------------------------------------------------------


def pareto_figure(runs: Sequence[Shown], album: Album, best: Winner | None) -> Figure | None:
    """Accuracy against latency, parameters and multiply-accumulates, with each strategy's Pareto front."""
    quality = quality_metric(runs)
    sought = {objective for one in runs for objective in one.objectives}
    costs = [name for name in metric_names(runs) if name in COSTS or f"minimize({name})" in sought]
    if quality is None or not costs:
        return None
    views, rows, counts = [], [], []
    for cost in costs:
        traces: list[JSON] = []
        heights: list[float] = []
        for strategy, members in by_strategy(runs).items():
            points = _points(members, cost, quality)
            heights += [y for _, y, _, _ in points]
            fronts = front([(x, y) for x, y, _, _ in points])
            traces += _front_traces(strategy, points, fronts, album, POINTS // len(by_strategy(runs)))
            counts.append(f"{len(fronts)} of {len(points)} candidates of {strategy} for {metric_name(cost)}")
            rows += [
                [
                    strategy,
                    metric_name(cost),
                    value_of(cost, x),
                    value_of(quality, y),
                    str(trial.arch),
                    f"[{one.tag}] {trial.number}",
                ]
                for x, y, one, trial in (points[position] for position in fronts)
            ]
        star = _star(best, cost, quality, album)
        seen = [height for trace in star for height in trace["y"]]
        views.append({"traces": [*traces, *star], "layout": _axes(cost, quality, heights, seen)})
    return Figure(
        "pareto",
        "Accuracy against cost",
        f"Scatter of {metric_name(quality)} against cost. On the Pareto front: {'; '.join(counts)}.",
        [("Cost", [metric_name(cost) for cost in costs])],
        views,
        ["Strategy", "Cost", "Cost value", metric_name(quality), "Architecture", "Run and trial"],
        rows[:ROWS],
        "A line joins the candidates that no other of the same strategy beats in both. "
        f"Point at a candidate to see its picture.{_left_out(views)}",
    )


def _points(runs: Iterable[Shown], cost: str, quality: str) -> list[Point]:
    pairs = (
        (trial.metrics.get(cost, math.nan), trial.metrics.get(quality, math.nan), one, trial)
        for one in runs
        for trial in one.working
    )
    return [point for point in pairs if math.isfinite(point[0]) and math.isfinite(point[1])]


def _front_traces(
    strategy: str, points: Sequence[Point], fronts: Sequence[int], album: Album, limit: int
) -> list[JSON]:
    if not points:
        return []
    one = points[0][2]
    for position in fronts:
        album.add(points[position][2], points[position][3], picture=True)
    rest = [points[position] for position in _thinned(sorted(set(range(len(points))) - set(fronts)), limit)]
    name = html.escape(strategy)
    marker = {"color": colour(one), "symbol": "circle-open" if one.is_random else "circle", "size": 7}
    line = {"shape": "hv", "color": colour(one), "width": 1.5, "dash": "dash" if one.is_random else "solid"}
    cloud = {"mode": "markers", "name": name, "marker": {**marker, "opacity": 0.55}}
    edge = {"mode": "lines+markers", "name": f"{name}, Pareto front", "marker": {**marker, "size": 10}, "line": line}
    return [
        {**_scatter(rest, album), **cloud},
        {**_scatter([points[position] for position in fronts], album), **edge},
    ]


def _star(best: Winner | None, cost: str, quality: str, album: Album) -> list[JSON]:
    if best is None or best.trial is None or cost not in best.trial.metrics or quality not in best.trial.metrics:
        return []
    point = (best.trial.metrics[cost], best.trial.metrics[quality], best.shown, best.trial)
    if not (math.isfinite(point[0]) and math.isfinite(point[1])):
        return []
    album.add(best.shown, best.trial, picture=True)
    marker = {"symbol": "star-open", "size": 20, "color": "var(--ink)", "line": {"width": 1.8}}
    return [{**_scatter([point], album), "mode": "markers", "name": _name_of(best), "marker": marker}]


def _name_of(best: Winner) -> str:
    several = len(best.shown.objectives) > 1
    return "the one shown on top" if several else "the winner"


def _scatter(points: Sequence[Point], album: Album) -> JSON:
    return {
        "type": "scatter",
        "x": short(x for x, _, _, _ in points),
        "y": short(y for _, y, _, _ in points),
        "customdata": [album.add(one, trial) for _, _, one, trial in points],
        "hoverinfo": "none",
    }


def _thinned(positions: Sequence[int], limit: int) -> list[int]:
    """At most `limit` of the positions, evenly spread."""
    if len(positions) <= limit:
        return list(positions)
    return [positions[step * len(positions) // limit] for step in range(limit)]


def _axes(x: str, y: str, qualities: Sequence[float], keep: Sequence[float] = ()) -> JSON:
    titles = [{"title": label(axis_title(metric))} for metric in (x, y)]
    return {"xaxis": titles[0], "yaxis": {**titles[1], **_window(qualities, keep)}}


def _window(qualities: Sequence[float], keep: Sequence[float]) -> JSON:
    """An axis without the outliers at the bottom, if they would flatten the rest to less than half of the chart.

    An outlier lies more than three times the distance of the quartiles below the lower one ("far out" in Tukey,
    Exploratory Data Analysis, 1977, section 2D), so up to a quarter of the candidates may be hopeless. Those of `keep`
    are always seen.
    """
    if not qualities:
        return {}
    values = np.asarray(qualities, np.float64)
    low, high = (float(end) for end in np.quantile(values, (0.25, 0.75), method="higher"))
    start, top = min([*values[values >= low - 3 * (high - low)].tolist(), *keep]), float(values.max())
    if not 0 < top - start < (top - float(values.min())) / 2:
        return {}
    margin = 0.08 * (top - start)
    return {"range": [start - margin, top + margin]}


def _left_out(views: Sequence[JSON]) -> str:
    """A sentence about the points below the vertical axis, empty if there are none."""
    if not any("range" in view["layout"]["yaxis"] for view in views):
        return ""
    return (
        " The vertical axis leaves out the weakest candidates, which lie far below the others; a double click on the "
        "chart shows all."
    )


# -- score against accuracy -------------------------------------------------------------------------------------------


def agreement_figure(runs: Sequence[Shown], album: Album) -> Figure | None:
    """Every cheap number that was measured against the accuracy, with Kendall's tau."""
    quality = quality_metric(runs)
    if quality is None:
        return None
    cheap = [n for n in metric_names(runs) if n != quality and not n.startswith(("test_", "latency_"))]
    cheap.sort(key=lambda name: (name in ("params", "macs"), name))
    found = [agreement(runs, metric, quality) for metric in cheap]
    found = [one for one in found if math.isfinite(one.tau)]
    if not found:
        return None
    taus = [[metric_name(one.metric), f"{one.tau:+.3f}", str(len(one.trials))] for one in found]
    said = "; ".join(f"{name} {tau} over {count} architectures" for name, tau, count in taus)
    screened = any(one.count("screened") for one in runs)
    views = [_agreement_view(one, quality, album) for one in found]
    return Figure(
        "agreement",
        "Do cheap scores rank as training does?",
        f"Scatter of cheap scores against {metric_name(quality)}. Kendall's tau: {said}.",
        [("Score", [f"{metric_name(one.metric)} (τ = {one.tau:+.2f})" for one in found])],
        views,
        ["Score", "Kendall's τ with the accuracy", "Distinct architectures"],
        taus,
        "τ is 1 where a score ranks the candidates as training does, 0 where it knows nothing. A score that ranks no "
        "better than the number of parameters is not worth its time."
        + (" Only candidates that passed the screen were trained, which narrows the range." if screened else "")
        + _left_out(views),
    )


def _agreement_view(one: Agreement, quality: str, album: Album) -> JSON:
    points = [
        (trial.metrics[one.metric], trial.metrics[quality], run, trial)
        for run, trial in one.trials
        if math.isfinite(trial.metrics[one.metric]) and math.isfinite(trial.metrics[quality])
    ]
    traces = []
    for strategy, members in by_strategy([run for run, _ in one.trials]).items():
        tags = {member.tag for member in members}
        own = [point for point in points if point[2].tag in tags]
        kept = [own[position] for position in _thinned(range(len(own)), POINTS // 2)]
        symbol = "circle-open" if members[0].is_random else "circle"
        marker = {"color": colour(members[0]), "symbol": symbol, "size": 8, "opacity": 0.8}
        traces.append({**_scatter(kept, album), "mode": "markers", "name": html.escape(strategy), "marker": marker})
    return {"traces": traces, "layout": _axes(one.metric, quality, [y for _, y, _, _ in points])}
