"""Figures of comparisons for papers, as SVG and PDF, by matplotlib: curves against a budget, and critical differences.

Equal comparisons give equal files: neither their dates nor their identifiers are drawn from a clock.
"""

from __future__ import annotations

import importlib.util
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ogive.comparison import Comparison
from ogive.core.errors import MissingData, SpecError, quoted
from ogive.files import write_whole
from ogive.metrics import half_width, regret, stepwise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Bands", "available", "bands_of", "draw_bands", "draw_comparison", "draw_differences", "t_band"]

Floats = npt.NDArray[np.float64]

FORMATS = ("svg", "pdf")
# Okabe and Ito's colours, which people with any kind of sight tell apart; lines go on in other styles.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", "-.", ":")
MARGIN_INCHES = 0.1
INCHES = (4.6, 3.0)  # a column of most papers is 3.3 to 3.5 wide
# Fonts are embedded as TrueType, which publishers ask for, and identifiers of an SVG come from its content.
SETTINGS: dict[Any, Any] = {"pdf.fonttype": 42, "svg.hashsalt": "ogive", "font.size": 8, "axes.spines.top": False} | {
    "axes.spines.right": False,
    "legend.frameon": False,
}
POINTS = 200  # of a curve against seconds
HOUR_S = 3600.0


def available() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


@dataclass(frozen=True, slots=True)
class Bands:
    """One strategy over all seeds: at `at` (N,) the mean (N,) and the ends of its pointwise 95 % t-interval (N,)."""

    at: Floats
    mean: Floats
    low: Floats
    high: Floats


def bands_of(found: Comparison, strategy: str, *, hours: bool = False, optimum: float | None = None) -> Bands:
    """The anytime curve of a strategy in the value that is compared, as regret where there is an `optimum`.

    Against trials, or against hours by the table's clock; from where every seed has a value to where none has ended.
    """
    outcomes = found.of(strategy)
    curves = [np.array(one.curve if found.value == "score" else one.reported_curve, np.float64) for one in outcomes]
    if hours:
        clocks = [np.array(one.benchmark_s, np.float64) / HOUR_S for one in outcomes]
        at = np.linspace(max(clock[0] for clock in clocks), min(clock[-1] for clock in clocks), POINTS)
        values = np.stack([stepwise(clock, curve, at) for clock, curve in zip(clocks, curves, strict=True)])
    else:
        shortest = min(map(len, curves))
        at = np.arange(1.0, shortest + 1)
        values = np.stack([curve[:shortest] for curve in curves])
    return t_band(at, values if optimum is None else np.abs(regret(optimum, values)))


def t_band(at: Floats, values: Floats) -> Bands:
    """The band of curves of several seeds, (seeds, N) at `at` (N,), where all of them have a value."""
    known = np.isfinite(values).all(axis=0)
    at, values = at[known], values[:, known]
    mean = values.mean(axis=0)
    half = half_width(values)
    return Bands(at, mean, mean - half, mean + half)


def draw_comparison(found: Comparison, folder: Path) -> list[Path]:
    """Write the figures of a comparison as SVG and PDF; MissingData without matplotlib.

    ``anytime`` has the value against trials; ``regret`` the regret on a logarithmic axis, where the optimum is known;
    ``hours`` either against simulated GPU hours, where the table has a clock.
    """
    _require_matplotlib()
    optimum = found.score_optimum if found.value == "score" else found.reported_optimum
    clocked = all(outcome.benchmark_s and outcome.benchmark_s[-1] > 0 for outcome in found.outcomes)
    wanted: dict[str, Callable[[Axes], None]] = {"anytime": lambda axes: _curves(axes, found)}
    if optimum is not None:
        wanted["regret"] = lambda axes: _curves(axes, found, optimum=optimum)
    if clocked:
        wanted["hours"] = lambda axes: _curves(axes, found, optimum=optimum, hours=True)
    return [path for name, draw in wanted.items() for path in _written(folder / name, draw)]


def _curves(axes: Axes, found: Comparison, *, optimum: float | None = None, hours: bool = False) -> None:
    bands = {row.strategy: bands_of(found, row.strategy, hours=hours, optimum=optimum) for row in found.rows()}
    words = ("simulated GPU hours, by the table's clock" if hours else "trials", _value_words(found, optimum))
    title = f"means of {len(found.seeds)} seeds, bands: 95 % t-intervals at each point"
    _draw_bands(axes, bands, words, title, (hours, optimum is not None))


def draw_bands(
    bands: Mapping[str, Bands], path: Path, *, words: tuple[str, str], title: str, logarithmic: tuple[bool, bool]
) -> Path:
    """Write curves with bands as one SVG; `words` are those of the two axes. MissingData without matplotlib."""
    _require_matplotlib()
    if path.suffix != ".svg":
        raise SpecError(f"Curves are drawn as an SVG, but got {quoted(str(path))}: let its name end in .svg.")
    return _written(path.with_suffix(""), lambda axes: _draw_bands(axes, bands, words, title, logarithmic), ("svg",))[0]


def _draw_bands(
    axes: Axes, bands: Mapping[str, Bands], words: tuple[str, str], title: str, logarithmic: tuple[bool, bool]
) -> None:
    floor = _floor(bands) if logarithmic[1] else None
    for place, (strategy, band) in enumerate(bands.items()):
        if not len(band.at):
            continue
        colour, style = COLOURS[place % len(COLOURS)], STYLES[place // len(COLOURS) % len(STYLES)]
        mean, low = (band.mean, band.low) if floor is None else (band.mean.clip(floor), band.low.clip(floor))
        axes.plot(band.at, mean, style, color=colour, label=strategy, linewidth=1.2, drawstyle="steps-post")
        axes.fill_between(band.at, low, band.high.clip(low), step="post", color=colour, alpha=0.18, linewidth=0)
    if floor is not None:
        axes.set_yscale("log")
        axes.set_ylim(bottom=floor)
    if logarithmic[0]:
        axes.set_xscale("log")
    axes.set_xlabel(words[0])
    axes.set_ylabel(words[1])
    axes.set_title(title, fontsize=7, loc="left")
    axes.legend(fontsize=7)


def _value_words(found: Comparison, optimum: float | None) -> str:
    reported = found.value == "reported" and found.reported is not None
    what, unit = ", ".join(found.settings.objectives), ""
    if reported and found.reported is not None:
        what, unit = found.reported.title, f" ({found.reported.unit})" if found.reported.unit else ""
    return f"{what}{unit}" if optimum is None else f"regret of the {what}{unit}"


def _floor(bands: Mapping[str, Bands]) -> float:
    """The lower edge of a logarithmic axis, at which a regret of nothing is drawn: half the least one that is more."""
    positive = np.concatenate([band.mean[band.mean > 0] for band in bands.values()])
    return 0.5 * float(positive.min()) if len(positive) else 1e-3


# -- critical differences ---------------------------------------------------------------------------------------------


def draw_differences(ranks: Mapping[str, float], difference: float, stem: Path, *, title: str) -> list[Path]:
    """Write a critical-difference diagram (Demsar, JMLR 2006) as SVG and PDF; MissingData without matplotlib.

    `ranks` are mean ranks by strategy, 1 is best; bars join those that lie less than `difference` apart.
    """
    _require_matplotlib()
    ordered = sorted(ranks.items(), key=lambda one: one[1])
    rows = math.ceil(len(ordered) / 2)
    bars = cliques([rank for _, rank in ordered], difference)
    height = 1.0 + 0.22 * (rows + len(bars))
    return _written(stem, lambda axes: _diagram(axes, ordered, bars, difference, title), size=(INCHES[0], height))


def cliques(ranks: Sequence[float], difference: float) -> list[tuple[float, float]]:
    """The ends of the longest runs of ascending ranks that lie less than `difference` apart, of two or more."""
    found: list[tuple[float, float]] = []
    last = -1
    for first, low in enumerate(ranks):
        end = max(place for place, rank in enumerate(ranks) if rank - low < difference or place == first)
        if end > first and end > last:
            found.append((low, ranks[end]))
            last = end
    return found


def _diagram(
    axes: Axes,
    ordered: Sequence[tuple[str, float]],
    bars: Sequence[tuple[float, float]],
    difference: float,
    title: str,
) -> None:
    count, rows = len(ordered), math.ceil(len(ordered) / 2)
    depth = 0.6 + 0.35 * len(bars)
    axes.hlines(0, 1, count, color="black", linewidth=1)
    for tick in range(1, count + 1):
        axes.vlines(tick, 0, 0.12, color="black", linewidth=1)
        axes.text(tick, 0.2, str(tick), ha="center", va="bottom")
    for place, (name, rank) in enumerate(ordered):
        left = place < rows
        row = place if left else count - 1 - place
        y, side = -depth - 0.5 * row, 0.7 if left else count + 0.3
        axes.plot([rank, rank, side], [0, y, y], color="black", linewidth=0.8, solid_joinstyle="miter")
        words = f"{name} ({rank:.2f})"
        axes.text(side + (-0.05 if left else 0.05), y, words, ha="right" if left else "left", va="center")
    for place, (low, high) in enumerate(bars):
        axes.hlines(-0.25 - 0.3 * place, low - 0.04, high + 0.04, color="black", linewidth=3)
    axes.hlines(0.9, 1, 1 + difference, color="black", linewidth=1)
    axes.text(1 + difference / 2, 0.97, f"critical difference {difference:.2f}", ha="center", va="bottom")
    axes.set_title(title, fontsize=7, loc="left")
    reach = 0.45 * (count - 1) + 1
    axes.set_xlim(1 - reach, max(count, 1 + difference) + reach)
    axes.set_ylim(-depth - 0.5 * rows, 1.5)
    axes.set_axis_off()


# -- files ------------------------------------------------------------------------------------------------------------


def _require_matplotlib() -> None:
    if not available():
        raise MissingData("Figures are drawn by matplotlib, which is not installed: pip install 'ogive[figures]'.")


def _written(
    stem: Path,
    draw: Callable[[Axes], None],
    kinds: Sequence[str] = FORMATS,
    size: tuple[float, float] = INCHES,
) -> list[Path]:
    """A figure in every format."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    paths = []
    with mpl.rc_context(SETTINGS):
        figure: Figure = Figure(figsize=size)
        draw(figure.add_subplot())
        # Laid out once for all formats: an engine that stays with the figure would do it again for each.
        ConstrainedLayoutEngine().execute(figure)
        drawn = figure.get_tightbbox().padded(MARGIN_INCHES)
        for kind in kinds:
            content = io.BytesIO()
            undated: dict[str, Any] = {"Date": None} if kind == "svg" else {"CreationDate": None}
            figure.savefig(content, format=kind, metadata=undated, bbox_inches=drawn)
            path = stem.with_name(f"{stem.name}.{kind}")
            write_whole(path, content.getvalue())
            paths.append(path)
    return paths
