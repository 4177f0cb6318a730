"""One SVG of accuracy against what the search cost, from rows of the ledger; it stands alone in a README.

A row whose ``course`` has one point, as of a search without training, is a dot with its interval; others are lines.
"""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ogive.core.errors import SpecError

__all__ = ["course_svg"]

Row = Mapping[str, Any]
Point = tuple[float, float]

WIDTH, HEIGHT = 860, 520
LEFT, RIGHT, TOP, BOTTOM = 76, 24, 84, 104
COLOURS = ("#0072b2", "#d55e00", "#008f68", "#b3568f", "#8a6d00", "#5b4db0")
INK, SOFT, GRID = "#1b2027", "#5b6470", "#e3e7ec"
# The cheapest predictor, drawn beside each dot where a row has it.
BASELINE = "most parameters"


@dataclass(frozen=True)
class _Scale:
    """From seconds (by their logarithm) and per cent to places on the drawing."""

    seconds: Point
    values: Point

    def x(self, seconds: float) -> float:
        low, high = map(math.log10, self.seconds)
        return LEFT + (math.log10(seconds) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self.values
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def course_svg(rows: Sequence[Row], *, title: str, notes: Sequence[str]) -> str:
    """The drawing of all rows that have a course; SpecError if there is none. `notes` say what the clock is."""
    drawn = [row for row in rows if row.get("course", {}).get("seconds")]
    if not drawn:
        raise SpecError("None of the rows of the ledger tells the course of a search: reproduce some of them first.")
    dots = [row for row in drawn if len(row["course"]["seconds"]) == 1]
    lines = [row for row in drawn if len(row["course"]["seconds"]) > 1]
    scale = _scale(dots, lines)
    parts = [
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<clipPath id="plot"><rect x="{LEFT}" y="{TOP}" width="{WIDTH}" height="{HEIGHT - TOP - BOTTOM}"/></clipPath>',
        *_axes(scale),
        *(part for row, colour in zip(lines, itertools.cycle(COLOURS[1:])) for part in _line(row, colour, scale)),
        *(part for row in dots for part in _dot(row, scale)),
        *_legend(dots, lines),
        _text(LEFT, 24, title, size=16, weight=600),
        *(_text(LEFT, HEIGHT - 32 + 17 * place, note, size=11.5, colour=SOFT) for place, note in enumerate(notes)),
    ]
    style = 'font-family="system-ui, -apple-system, Segoe UI, Roboto, DejaVu Sans, sans-serif"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    return "\n".join([f'{head} role="img" aria-label="{html.escape(title)}" {style}>', *parts, "</svg>", ""])


def _scale(dots: Sequence[Row], lines: Sequence[Row]) -> _Scale:
    seconds = [value for row in (*dots, *lines) for value in row["course"]["seconds"] if value > 0]
    if not seconds:
        raise SpecError("None of the searches cost any seconds: the clock of the figure has nothing to show.")
    ends = [row["course"]["test_acc"][-1] for row in lines]
    heights = [*ends, *(value for row in dots for value in _heights(row))]
    low, high = min(heights), max(heights)
    margin = 0.08 * (high - low) or 0.5
    whole = (10 ** math.floor(math.log10(min(seconds) * 0.8)), max(seconds) * 1.15)
    return _Scale((min(whole[0] * 3, min(seconds) * 0.7), whole[1]), (low - margin, high + margin))


def _heights(row: Row) -> list[float]:
    baseline = row.get("baselines", {}).get(BASELINE)
    return [row["ours"], *(row["interval"] or []), *([] if baseline is None else [baseline])]


def _axes(scale: _Scale) -> Iterable[str]:
    bottom = HEIGHT - BOTTOM
    step = _step(scale.values[1] - scale.values[0])
    for tick in range(math.ceil(scale.values[0] / step), math.floor(scale.values[1] / step) + 1):
        y = scale.y(tick * step)
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>'
        yield _text(LEFT - 10, y + 4, f"{tick * step:.{0 if step >= 1 else 1}f}", anchor="end")
    for power in range(math.ceil(math.log10(scale.seconds[0])), math.floor(math.log10(scale.seconds[1])) + 1):
        x = scale.x(10**power)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}" stroke="{GRID}"/>'
        yield _text(x, bottom + 18, f"{10**power:,g}", anchor="middle")
    yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}" stroke="{SOFT}"/>'
    yield _text((LEFT + WIDTH - RIGHT) / 2, bottom + 40, "cost of the search (seconds, logarithmic)", anchor="middle")
    middle = (TOP + bottom) / 2
    yield f'<g transform="translate(20 {middle}) rotate(-90)">{_text(0, 0, "test accuracy (%)", anchor="middle")}</g>'


def _step(span: float) -> float:
    return next(step for step in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0) if span / step <= 8 or step == 20.0)


def _line(row: Row, colour: str, scale: _Scale) -> Iterable[str]:
    pairs = zip(row["course"]["seconds"], row["course"]["test_acc"], strict=True)
    points = " ".join(f"{scale.x(x):.1f},{scale.y(y):.1f}" for x, y in pairs)
    yield (
        f'<polyline clip-path="url(#plot)" points="{points}" fill="none" stroke="{colour}" stroke-width="2.4"'
        f' stroke-linejoin="round"/>'
    )


def _dot(row: Row, scale: _Scale) -> Iterable[str]:
    x, y = scale.x(row["course"]["seconds"][0]), scale.y(row["ours"])
    if row["interval"] is not None:
        low, high = map(scale.y, row["interval"])
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}" stroke="{COLOURS[0]}" stroke-width="2"/>'
    yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5" fill="{COLOURS[0]}"/>'
    baseline = row.get("baselines", {}).get(BASELINE)
    if baseline is not None:
        yield _diamond(x, scale.y(baseline))
    label = _text(x + 11, y + 4, str(row["course"].get("label", row["name"])), size=12)
    # A line may pass below the words.
    yield f'<g stroke="#ffffff" stroke-width="4" paint-order="stroke" stroke-linejoin="round">{label}</g>'


def _diamond(x: float, y: float) -> str:
    path = f"M{x:.1f} {y - 6.5:.1f}l6.5 6.5l-6.5 6.5l-6.5-6.5z"
    return f'<path d="{path}" fill="#ffffff" stroke="{INK}" stroke-width="1.6"/>'


def _legend(dots: Sequence[Row], lines: Sequence[Row]) -> Iterable[str]:
    """What stands for what, below the title: a row for the dots, a row for the lines."""
    searches = []
    if dots:
        searches.append(
            (f'<circle cx="9" cy="-4" r="5.5" fill="{COLOURS[0]}"/>', "no training: the best score of N cells")
        )
    if any(BASELINE in row.get("baselines", {}) for row in dots):
        searches.append((_diamond(9, -4), "baseline: most parameters of the same N cells"))
    trained = [
        (
            f'<line x1="0" x2="18" y1="-4" y2="-4" stroke="{colour}" stroke-width="2.4"/>',
            str(row["course"].get("label", row["name"])),
        )
        for row, colour in zip(lines, itertools.cycle(COLOURS[1:]))
    ]
    rows = [entries for entries in (searches, trained) if entries]
    for place, entries in enumerate(rows):
        x = float(LEFT)
        for mark, words in entries:
            yield f'<g transform="translate({x:.0f} {48 + 20 * place})">{mark}{_text(25, 0, words, size=12.5)}</g>'
            x += 25 + 7.2 * len(words) + 14


def _text(
    x: float, y: float, words: str, *, size: float = 13, colour: str = INK, anchor: str = "start", weight: int = 400
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{colour}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{html.escape(words)}</text>'
    )
