"""One HTML file about a table of scores: how the scores rank, and what NASWOT sees of three networks.

That is their kernels, as pictures beside each other: a good, a middling and a poor network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.metric import PARAMS, Metric, of_version_1
from ogive.png import png
from ogive.reporting.cells import Draw, Drawing
from ogive.reporting.curves import JSON, Figure, chart, label, trace
from ogive.reporting.markup import (
    Html,
    document,
    image,
    joined,
    number,
    script_json,
    section,
    table,
    tag,
    title,
    write_text,
)
from ogive.reporting.member import spaces_of
from ogive.reporting.scatter import POINTS, thinned, window
from ogive.tables.kernels import Kernel
from ogive.tables.scores import Row

__all__ = ["Judged", "heat_map", "kernels_section", "write_score_page"]

# From few units in common to all: colours of one hue family, evenly darker to the eye.
STOPS = ((247, 251, 255), (198, 219, 239), (107, 174, 214), (33, 113, 181), (8, 48, 107), (3, 19, 43))


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
    scores = {row.arch: row.scores for row in rows if row.scores is not None}
    figure = _figure(proxies, scores, judged) if judged else None
    told = {kernel.arch: _told(kernel.arch, proxies, scores, judged) for kernel in kernels}
    kept = str(file.with_suffix(".kernels.npz"))
    body = joined(
        _ranking(figure, proxies, judged, file) if figure else None,
        kernels_section(kernels, told, Drawing(spaces_of([str(settings["space"])]).values()).picture, kept)
        if kernels
        else None,
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
    kept = thinned(finite, POINTS)
    colour = "var(--series-0)" if name == PARAMS.name else "var(--series-1)"
    marker, hover = {"color": colour, "size": 5, "opacity": 0.5}, "%{x:.5~g}, %{y:.4~g}<extra></extra>"
    dots = trace("markers", [x for x, _ in kept], [y for _, y in kept], name, marker=marker, hovertemplate=hover)
    named = f"{one.metric.name} ({one.metric.unit})" if one.metric.unit else one.metric.name
    up = {"title": label(named), **window([y for _, y in finite], (), one.metric.sign)}
    across = {"title": label(title(of_version_1(name)))}
    return {"traces": [dots], "layout": {"xaxis": across, "yaxis": up, "showlegend": False}}


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
    return section(
        figure.name,
        figure.title,
        chart(figure),
        table(headers, lines),
        tag("p", explained),
        [tag("p", sentence) for sentence in _sentences(judged)],
        tag("div", f"Only architectures above it count: {', '.join(above)}." if above else None, class_="source"),
        tag("div", "Source: ", tag("code", str(file)), class_="source"),
    )


def _column(one: Judged) -> str:
    return one.metric.name if one.above is None else f"{one.metric.name} above {one.above:g}"


def _agreement(one: Judged, place: int) -> str:
    it = one.scores[place]
    if it["tau"] is None:
        return "–"
    ends = "" if it["tau_interval"] is None else " [{:.3f}, {:.3f}]".format(*it["tau_interval"])
    return f"{it['tau']:.3f}{ends}; {it['rho']:.3f}"


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
    return section("reproduce", "How to reproduce", tag("pre", command), table(["", ""], list(told.items())))


# -- what NASWOT sees --------------------------------------------------------------------------------------------------


def kernels_section(
    kernels: Sequence[Kernel], told: Mapping[Architecture, Sequence[str]], draw: Draw, source: str
) -> Html:
    """The section of the page. `told` holds lines about each architecture, `source` where the kernels are kept."""
    named = {1: ("the network",), 2: ("better", "poorer")}.get(len(kernels), ("good", "middling", "poor"))
    low = math.floor(20 * min(float(kernel.shares.min()) for kernel in kernels)) / 20
    pairs = zip(named, kernels, strict=True)
    cards = [_card(name, kernel, told.get(kernel.arch, ()), draw, low) for name, kernel in pairs]
    explained = (
        f"Each square compares the same {len(kernels[0].labels)} images two by two: the pixel in row i and column j is "
        "the share of the untrained network's ReLU units that are in the same state, on or off, for images i and j. "
        "Dark off the diagonal are images that the network takes for alike. NASWOT is the logarithm of the determinant "
        "of these numbers of units: it is large where there are many units and the ground is even."
    )
    kept = joined("Source: ", tag("code", source), ", one byte for each pair of images.")
    grid, source_line = tag("div", cards, class_="kernels"), tag("div", kept, class_="source")
    return section("kernels", "What NASWOT sees", tag("p", explained), grid, _bar(low), source_line)


def _card(name: str, kernel: Kernel, told: Sequence[str], draw: Draw, low: float) -> Html:
    said = f"two images agree in {100 * kernel.agreement:.0f} % of {number(kernel.units)} ReLU units on average"
    drawn = draw(kernel.arch)
    seen = image(heat_map(kernel.shares, low), f"{name}: {said}")
    below = tag("span", "image j, both in the order of the classes")
    return tag(
        "figure",
        tag("h3", name),
        tag("div", tag("span", "image i"), seen, below, class_="map"),
        tag("figcaption", tag("ul", [tag("li", line) for line in (*told, said)])),
        tag("div", Html(drawn), class_="picture") if drawn else None,
        tag("code", str(kernel.arch)),
    )


def _bar(low: float) -> Html:
    """What the colours mean, from the lowest share of all kernels to one."""
    colours = heat_map(np.linspace(low, 1, 256)[None, :], low)
    ends = [tag("span", f"{100 * low:.0f} %"), image(colours, "the scale of colours"), tag("span", "100 %")]
    return tag("div", tag("span", "units in the same state"), ends, class_="colourbar")


def heat_map(shares_BB: npt.NDArray[np.float64], low: float) -> bytes:
    """A PNG with one pixel for each entry, coloured from `low` to 1."""
    span = max(1 - low, 1e-9)
    indices = np.rint(255 * np.clip((shares_BB - low) / span, 0, 1)).astype(np.uint8)
    return png(indices, _palette())


@cache
def _palette() -> bytes:
    places = np.linspace(0, len(STOPS) - 1, 256)
    channels = [np.interp(places, range(len(STOPS)), channel) for channel in zip(*STOPS, strict=True)]
    colours: bytes = np.rint(np.stack(channels, axis=1)).astype(np.uint8).tobytes()
    return colours
