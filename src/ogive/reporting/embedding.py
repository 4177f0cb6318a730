"""One HTML file about embeddings of networks: a map of them in two dimensions, and who is nearest to whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ogive.core.architecture import Architecture
from ogive.reporting.cells import Drawing
from ogive.reporting.curves import JSON, Figure, chart, label, trace
from ogive.reporting.markup import (
    Html,
    document,
    joined,
    number,
    number_cell,
    script_json,
    section,
    table,
    tag,
    write_text,
)
from ogive.reporting.member import spaces_of

__all__ = ["Placed", "write_embedding_page"]

# Each picture is a few kilobytes, so only so many travel with the page.
PICTURES = 200


@dataclass(frozen=True, slots=True)
class Placed:
    """One network: its name, its architecture if it has one, where it lies, and what is known of it.

    `nearest` are the places of others in the list, with their distances; `value` is what it is coloured by.
    """

    name: str
    arch: Architecture | None
    nodes: int
    x: float
    y: float
    nearest: tuple[tuple[int, float], ...]
    value: float | None = None


def write_embedding_page(
    path: Path, *, placed: Sequence[Placed], shares: tuple[float, float], file: Path, column: str | None, command: str
) -> Path:
    """Write the page of the embeddings in `file`; `shares` are those of the variance that the two axes hold."""
    figure = _figure(placed, shares, column)
    body = joined(
        _map(figure, file),
        _neighbours(placed, column),
        section("reproduce", "How to reproduce", tag("pre", command)),
    )
    archs = [one.arch for one in placed if one.arch is not None]
    drawing = Drawing(spaces_of(list(dict.fromkeys(arch.space for arch in archs))).values())
    pictures = {arch: drawing.picture(arch) for arch in archs[:PICTURES]}
    data = script_json(
        {
            "charts": [figure.data()],
            "archs": [{"text": one.name, "picture": pictures.get(one.arch) if one.arch else None} for one in placed],
            "points": [[place, one.name, _told(one, placed, column)] for place, one in enumerate(placed)],
        }
    )
    told = f"Every embedding is read from {file}, one line a network."
    return write_text(document(f"Embeddings of {len(placed):,} networks", told, body, data), path)


def _told(one: Placed, placed: Sequence[Placed], column: str | None) -> list[str]:
    value = [] if one.value is None else [f"{column} {number(one.value)}"]
    near = [f"nearest: {placed[place].name}, {distance:.3g} away" for place, distance in one.nearest[:1]]
    return [*value, f"{one.nodes} nodes", *near]


def _figure(placed: Sequence[Placed], shares: tuple[float, float], column: str | None) -> Figure:
    marker: JSON = {"color": "var(--series-1)", "size": 8, "opacity": 0.8}
    known = column is not None and all(one.value is not None for one in placed)
    if known:
        marker |= {
            "color": [one.value for one in placed],
            "colorscale": "Viridis",
            "showscale": True,
            "colorbar": {"title": {"text": column}},
        }
    shown = list(range(len(placed)))
    xs, ys = [one.x for one in placed], [one.y for one in placed]
    dots = trace("markers", xs, ys, "networks", customdata=shown, hoverinfo="none", marker=marker)
    axes = [
        {"title": label(f"principal component {place}, {100 * share:.0f} % of the variance")}
        for place, share in enumerate(shares, start=1)
    ]
    said = f"Scatter of {len(placed)} networks in the plane of the two principal components of their embeddings."
    coloured = f" The colour is {column}." if known else ""
    return Figure(
        "map",
        "Map of embeddings",
        said + coloured,
        [("Axes", ["the first two principal components"])],
        [{"traces": [dots], "layout": {"xaxis": axes[0], "yaxis": axes[1], "showlegend": False}}],
        [],
        [],
        f"One dot a network; near each other are those that the hypernetwork takes for alike, as far as two of the "
        f"dimensions hold that: {100 * sum(shares):.0f} % of the variance.{coloured}",
    )


def _map(figure: Figure, file: Path) -> Html:
    source = tag("div", "Source: ", tag("code", str(file)), class_="source")
    return section(figure.name, figure.title, chart(figure), source)


def _neighbours(placed: Sequence[Placed], column: str | None) -> Html:
    most = max(len(one.nearest) for one in placed)
    headers = ["Network", *([column] if column else []), "Nodes", *(f"Nearest {n}" for n in range(1, most + 1))]
    rows = [
        [
            tag("span", one.name, data_point=str(place), tabindex=0),
            *([number_cell(float("nan") if one.value is None else one.value)] if column else []),
            number_cell(one.nodes),
            *(f"{placed[other].name} ({distance:.3g})" for other, distance in one.nearest),
        ]
        for place, one in enumerate(placed)
    ]
    explained = "In brackets the distance of two embeddings, with all of their dimensions."
    return section("neighbours", "Nearest neighbours", tag("p", explained), table(headers, rows, sortable=True))
