"""Scatter charts whose points show a picture: quality against cost with its fronts, other scores against quality."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from ogive.core.architecture import Architecture
from ogive.core.metric import Metric
from ogive.core.trial import Trial
from ogive.reporting.cells import Draw
from ogive.reporting.curves import JSON, ROWS, Figure, colour, cut_axis, label, trace
from ogive.reporting.facts import Agreement, Facts, Front, Point
from ogive.reporting.markup import axis, listed, title, told
from ogive.reporting.member import Member, Winner, by_strategy, score

__all__ = ["POINTS", "Album", "agreement_figure", "pareto_figure", "thinned", "window"]

T = TypeVar("T")
# More points than this make a scatter slow to draw and no clearer; fronts are always drawn in full.
POINTS = 2000
# Each picture is a few kilobytes, so only so many travel with the page.
PICTURES = 200


@dataclass
class Album:
    """The points that show a picture when they are pointed at, and which architectures get one."""

    draw: Draw
    metrics: Sequence[Metric] = ()
    archs: dict[Architecture, int] = field(default_factory=dict)
    wanted: dict[Architecture, None] = field(default_factory=dict)
    best: dict[Architecture, float] = field(default_factory=dict)
    points: dict[tuple[str, int], tuple[int, int, str, list[str]]] = field(default_factory=dict)

    def add(self, one: Member, trial: Trial, *, picture: bool = False) -> int:
        """The number of the point of a trial; `picture` makes sure that its architecture is drawn."""
        place = self.archs.setdefault(trial.arch, len(self.archs))
        self.best[trial.arch] = max(self.best.get(trial.arch, -math.inf), score(trial))
        if picture:
            self.wanted.setdefault(trial.arch)
        key = (one.tag, trial.number)
        if key not in self.points:
            lines = listed(self.metrics, trial.metrics)
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


# -- quality against cost ---------------------------------------------------------------------------------------------


def pareto_figure(facts: Facts, album: Album) -> Figure | None:
    """The quality against everything that it costs, with each strategy's Pareto front."""
    quality, costs = facts.quality, list(dict.fromkeys(front.cost for front in facts.fronts))
    if quality is None or not costs:
        return None
    views = [_pareto_view(facts, cost, quality, album) for cost in costs]
    counts = "; ".join(
        f"{len(front.places)} of {len(front.points)} candidates of {front.strategy} for {title(front.cost)}"
        for front in facts.fronts
    )
    rows = [
        [
            *(front.strategy, title(front.cost), told(front.cost, point.x), told(quality, point.y)),
            *(str(point.trial.arch), f"[{point.one.tag}] {point.trial.number}"),
        ]
        for front in facts.fronts
        for point in (front.points[place] for place in front.places)
    ]
    return Figure(
        "pareto",
        f"{title(quality)[:1].upper()}{title(quality)[1:]} against cost",
        f"Scatter of {title(quality)} against cost. On the Pareto front: {counts}.",
        [("Cost", [title(cost) for cost in costs])],
        views,
        ["Strategy", "Cost", "Cost value", title(quality), "Architecture", "Run and trial"],
        rows[:ROWS],
        "A line joins the candidates that no other of the same strategy beats in both. "
        f"Point at a candidate to see its picture.{_left_out(views, quality)}",
    )


def _pareto_view(facts: Facts, cost: Metric, quality: Metric, album: Album) -> JSON:
    fronts = [front for front in facts.fronts if front.cost is cost]
    traces = [trace for front in fronts for trace in _front_traces(front, album, POINTS // len(fronts))]
    star = _star(facts.winner, cost, quality)
    heights = [point.y for front in fronts for point in front.points]
    if star is not None:
        album.add(star.one, star.trial, picture=True)
        marker = {"symbol": "star-open", "size": 20, "color": "var(--ink)", "line": {"width": 1.8}}
        name = "the one shown on top" if len(star.one.sought) > 1 else "the winner"
        traces.append(_cloud([star], album, name, marker))
    return {"traces": traces, "layout": _axes(cost, quality, heights, [star.y] if star else [])}


def _front_traces(front: Front, album: Album, limit: int) -> list[JSON]:
    if not front.points:
        return []
    one, edge_points = front.points[0].one, [front.points[place] for place in front.places]
    for point in edge_points:
        album.add(point.one, point.trial, picture=True)
    on_it = set(front.places)
    rest = thinned([point for place, point in enumerate(front.points) if place not in on_it], limit)
    shape = "hv" if front.cost.sign < 0 else "vh"
    line = {"shape": shape, "color": colour(one), "width": 1.5, "dash": "dash" if one.is_random else "solid"}
    edge = _cloud(edge_points, album, f"{front.strategy}, Pareto front", _marker(one, 10))
    return [
        _cloud(rest, album, front.strategy, {**_marker(one, 7), "opacity": 0.55}),
        {**edge, "mode": "lines+markers", "line": line},
    ]


def _marker(one: Member, size: int) -> JSON:
    return {"color": colour(one), "symbol": "circle-open" if one.is_random else "circle", "size": size}


def _star(best: Winner | None, cost: Metric, quality: Metric) -> Point | None:
    """Where the winner stands, if it can be drawn."""
    if best is None:
        return None
    x, y = (best.trial.metrics.get(metric.name, math.nan) for metric in (cost, quality))
    return Point(x, y, best.one, best.trial) if math.isfinite(x) and math.isfinite(y) else None


def _cloud(points: Sequence[Point], album: Album, name: str, marker: JSON) -> JSON:
    xs, ys = [point.x for point in points], [point.y for point in points]
    shown = [album.add(point.one, point.trial) for point in points]
    return trace("markers", xs, ys, name, customdata=shown, hoverinfo="none", marker=marker)


def thinned(points: Sequence[T], limit: int) -> Sequence[T]:
    """At most `limit` of the points, evenly spread."""
    if len(points) <= limit:
        return points
    return [points[step * len(points) // limit] for step in range(limit)]


def _axes(x: Metric, y: Metric, heights: Sequence[float], keep: Sequence[float] = ()) -> JSON:
    return {"xaxis": {"title": label(axis(x))}, "yaxis": {"title": label(axis(y)), **window(heights, keep, y.sign)}}


def window(heights: Sequence[float], keep: Sequence[float], sign: float) -> JSON:
    """An axis without the outliers on its bad side, if they would flatten the rest to less than half of the chart.

    An outlier lies more than three times the distance of the quartiles beyond the worse one ("far out" in Tukey,
    Exploratory Data Analysis, 1977, section 2D), so up to a quarter of the candidates may be hopeless. Those of `keep`
    are always seen. `sign` is -1 where lower is better.
    """
    if not heights:
        return {}
    values = sign * np.asarray(heights, np.float64)
    low, high = (float(end) for end in np.quantile(values, (0.25, 0.75), method="higher"))
    kept = [*values[values >= low - 3 * (high - low)].tolist(), *(sign * value for value in keep)]
    top = float(values.max())
    return cut_axis(min(kept), top, sign, (top - float(values.min())) / 2)


def _left_out(views: Sequence[JSON], quality: Metric) -> str:
    """A sentence about the points beyond the vertical axis, empty if there are none."""
    if not any("range" in view["layout"]["yaxis"] for view in views):
        return ""
    side = "below" if quality.sign > 0 else "above"
    return (
        f" The vertical axis leaves out the weakest candidates, which lie far {side} the others; a double click on the "
        "chart shows all."
    )


# -- other scores against quality -------------------------------------------------------------------------------------


def agreement_figure(facts: Facts, album: Album) -> Figure | None:
    """Everything else that was measured against the quality, with Kendall's tau."""
    quality, found = facts.quality, facts.agreements
    if quality is None or not found:
        return None
    taus = [[title(one.metric), f"{one.tau:+.3f}", str(one.count)] for one in found]
    said = "; ".join(f"{name} {tau} over {count} architectures" for name, tau, count in taus)
    screened = any(one.count("screened") for one in facts.runs)
    views = [_agreement_view(one, quality, album) for one in found]
    return Figure(
        "agreement",
        f"Do other scores rank as {title(quality)} does?",
        f"Scatter of other scores against {title(quality)}. Kendall's tau: {said}.",
        [("Score", [f"{title(one.metric)} (τ = {one.tau:+.2f})" for one in found])],
        views,
        ["Score", f"Kendall's τ with {title(quality)}", "Distinct architectures"],
        taus,
        f"τ is 1 where a score ranks the candidates as {title(quality)} does, 0 where it knows nothing. A score that "
        "ranks no better than the number of parameters is not worth its time."
        + (" Only candidates that passed the screen were trained, which narrows the range." if screened else "")
        + _left_out(views, quality),
    )


def _agreement_view(one: Agreement, quality: Metric, album: Album) -> JSON:
    traces = []
    for strategy, members in by_strategy(point.one for point in one.points).items():
        own = thinned([point for point in one.points if point.one.strategy == strategy], POINTS // 2)
        traces.append(_cloud(own, album, strategy, {**_marker(members[0], 8), "opacity": 0.8}))
    return {"traces": traces, "layout": _axes(one.metric, quality, [point.y for point in one.points])}
