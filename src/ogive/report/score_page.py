"""One HTML file about a table of scores: how the scores rank, and what NASWOT sees of three networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ogive.core.architecture import Architecture
from ogive.core.metric import PARAMS, Metric, of_version_1
from ogive.report.curves import JSON, Figure, drawing, label, short
from ogive.report.facts import spaces_of
from ogive.report.kernels import kernels_section
from ogive.report.markup import Html, joined, script_json, table, tag
from ogive.report.page import Drawing, document, write_text
from ogive.report.scatter import POINTS, window
from ogive.report.wording import number, title
from ogive.tables.kernels import Kernel
from ogive.tables.scores import Row

__all__ = ["Judged", "write_score_page"]


@dataclass(frozen=True)
class Judged:
    """A column of a benchmark, its value of each architecture, and how every score ranks by it, as JSON records."""

    metric: Metric
    values: Mapping[Architecture, float]
    scores: Sequence[Mapping[str, Any]]
    above: float | None = None


def write_score_page(
    path: Path,
    *,
    file: Path,
    settings: Mapping[str, Any],
    rows: Sequence[Row],
    judged: Sequence[Judged],
    kernels: Sequence[Kernel],
    command: str,
) -> Path:
    """Write the page of the table of scores in `file`; without columns to judge by it has the kernels alone."""
    proxies = [str(name) for name in settings["proxies"]]
    pictures = Drawing(spaces_of([str(settings["space"])]).values())
    scores = {row.arch: row.scores for row in rows if row.scores is not None}
    figure = _figure(proxies, scores, judged) if judged else None
    told = {kernel.arch: _told(kernel.arch, proxies, scores, judged) for kernel in kernels}
    kept = str(file.with_suffix(".kernels.npz"))
    body = joined(
        _ranking(figure, proxies, judged, file) if figure else None,
        kernels_section(kernels, told, pictures.picture, kept) if kernels else None,
        _settings(settings, rows, command),
    )
    charts = [figure.data()] if figure else []
    heading = f"{settings['space']}: {len(rows):,} architectures scored without training on {settings['data']}"
    data = script_json({"charts": charts, "archs": [], "points": []})
    return write_text(
        document(heading, f"Every score is read from {file}, one line an architecture.", body, data), path
    )


def _told(
    arch: Architecture,
    proxies: Sequence[str],
    scores: Mapping[Architecture, Sequence[float]],
    judged: Sequence[Judged],
) -> list[str]:
    values = [f"{one.metric.name} {one.values[arch]:.2f} {one.metric.unit}" for one in judged[:1] if arch in one.values]
    return values + [
        f"{title(of_version_1(name))} {number(value)}" for name, value in zip(proxies, scores[arch], strict=True)
    ]


# -- how the scores rank ----------------------------------------------------------------------------------------------


def _figure(proxies: Sequence[str], scores: Mapping[Architecture, Sequence[float]], judged: Sequence[Judged]) -> Figure:
    views = [_view(name, place, scores, one) for place, name in enumerate(proxies) for one in judged]
    known = [(it, one.metric.name) for one in judged for it in one.scores if it["tau"] is not None]
    said = "; ".join(f"{it['proxy']} with {column} {it['tau']:+.3f}" for it, column in known)
    narrow = any("range" in view["layout"]["yaxis"] for view in views)
    cut = " The vertical axis may leave out the weakest architectures; a double click shows them." if narrow else ""
    return Figure(
        "ranking",
        "How the scores rank",
        f"Scatter of scores against accuracies. Kendall's tau: {said}.",
        [("Score", [title(of_version_1(name)) for name in proxies]), ("Column", [one.metric.name for one in judged])],
        views,
        [],
        [],
        f"One dot an architecture. What scores minus infinity ranks last and is not drawn.{cut}",
    )


def _view(name: str, place: int, scores: Mapping[Architecture, Sequence[float]], one: Judged) -> JSON:
    pairs = [(scores[arch][place], value) for arch, value in one.values.items() if arch in scores]
    finite = [pair for pair in pairs if math.isfinite(pair[0])]
    kept = [finite[step * len(finite) // POINTS] for step in range(POINTS)] if len(finite) > POINTS else finite
    colour = "var(--series-0)" if name == PARAMS.name else "var(--series-1)"
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": short(x for x, _ in kept),
        "y": short(y for _, y in kept),
        "marker": {"color": colour, "size": 5, "opacity": 0.5},
        "hovertemplate": "%{x:.5~g}, %{y:.4~g}<extra></extra>",
    }
    axis: JSON = {"title": label(_with_unit(one.metric)), **window([y for _, y in finite], (), one.metric.sign)}
    return {
        "traces": [trace],
        "layout": {"xaxis": {"title": label(title(of_version_1(name)))}, "yaxis": axis, "showlegend": False},
    }


def _with_unit(metric: Metric) -> str:
    return f"{metric.name} ({metric.unit})" if metric.unit else metric.name


def _ranking(figure: Figure, proxies: Sequence[str], judged: Sequence[Judged], file: Path) -> Html:
    headers = ["Score", *(f"τ and ρ with {_column(one)}" for one in judged)]
    lines = [
        [f"{name} (the baseline)" if name == PARAMS.name else name, *(_agreement(one, place) for one in judged)]
        for place, name in enumerate(proxies)
    ]
    above = [_column(one) for one in judged if one.above is not None]
    explained = (
        "Kendall's τ with its 95 % bootstrap interval, and Spearman's ρ. 1 is the order of the column, 0 no order. A "
        "score that ranks no better than the number of parameters is not worth its time."
    )
    return tag(
        "section",
        tag("h2", figure.title),
        drawing(figure),
        table(headers, lines),
        tag("p", explained),
        [tag("p", sentence) for sentence in _sentences(judged)],
        tag("div", f"Only architectures above it count: {', '.join(above)}." if above else None, class_="source"),
        tag("div", "Source: ", tag("code", str(file)), class_="source"),
        id=figure.name,
    )


def _column(one: Judged) -> str:
    return one.metric.name if one.above is None else f"{one.metric.name} above {one.above:g}"


def _agreement(one: Judged, place: int) -> str:
    it = one.scores[place]
    if it["tau"] is None:
        return "–"
    low, high = it["tau_interval"]
    return f"{it['tau']:.3f} [{low:.3f}, {high:.3f}]; {it['rho']:.3f}"


def _sentences(judged: Sequence[Judged]) -> list[str]:
    """Where the number of parameters ranks better than a score, by the interval of the difference."""
    told = []
    for one in judged:
        beaten = [it["proxy"] for it in one.scores if "lead_interval" in it and it["lead_interval"][1] < 0]
        if beaten:
            told.append(f"By {_column(one)}, the number of parameters ranks better than {', '.join(beaten)}.")
    return told


# -- how it was made --------------------------------------------------------------------------------------------------


def _settings(settings: Mapping[str, Any], rows: Sequence[Row], command: str) -> Html:
    machine = settings.get("machine", {})
    failed = sum(row.scores is None for row in rows)
    seconds = sorted(row.cpu_seconds for row in rows)
    told = {
        "Space": str(settings["space"]) + (", without dead branches" if settings.get("pruned") else ", as it is"),
        "Images": f"{settings.get('batch_size', '–')} of {settings['data']}, seed {settings.get('seed', 0)}",
        "Architectures": f"{len(rows):,}, {failed:,} of which could not be scored",
        "Processor seconds an architecture": f"{seconds[len(seconds) // 2]:.2f} (median), {sum(seconds):,.0f} in all",
        "Machine": f"{machine.get('cpu', '–')}, {settings.get('device', 'cpu')}",
        "ogive": f"{settings.get('ogive', '–')}, commit {machine.get('commit') or 'unknown'}",
    }
    rows_of_table = [[name, value] for name, value in told.items()]
    return tag(
        "section", tag("h2", "How to reproduce"), tag("pre", command), table(["", ""], rows_of_table), id="reproduce"
    )
