"""How a page writes things: HTML as values, metrics and numbers in words, and the whole file.

Whatever is not built here is escaped, so no name in a run folder can become part of the page. The file opens offline
and loads nothing: its security policy names the two scripts by their digests and forbids every request, so that no text
of a run can become a script or leave the page.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from ogive.catalog import version
from ogive.core.errors import StoreError, shortened
from ogive.core.metric import Metric
from ogive.files import write_whole

__all__ = [
    "Html",
    "Sought",
    "alike",
    "axis",
    "badge",
    "direction",
    "document",
    "duration",
    "form",
    "image",
    "joined",
    "listed",
    "number",
    "number_cell",
    "picture_figure",
    "script_json",
    "section",
    "table",
    "tag",
    "title",
    "told",
    "told_alike",
    "write_text",
]

PERCENT = ".2f"
MOST_DIGITS = 12  # decimals of a number without an exponent

Child = str | None | Iterable["Child"]


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


# Elements that hold nothing and have no end tag.
VOID = frozenset({"br", "meta", "hr", "img"})


def tag(element: str, *children: Child, **attributes: object) -> Html:
    """An element. Plain strings are escaped; ``class_`` becomes class, ``data_x`` data-x; False and None are left out.

    An attribute that is True is written without a value.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if element in VOID:
        return Html(f"<{element}{written}>")
    return Html(f"<{element}{written}>{joined(*children)}</{element}>")


def joined(*children: Child) -> Html:
    """The children one after the other, escaped where they are not HTML."""
    return Html("".join(_written(child) for child in children))


def section(name: str, heading: str, *children: Child) -> Html:
    """A section of the page, with the name by which its beginning links to it."""
    return tag("section", tag("h2", heading), *children, id=name)


def badge(text: str) -> Html:
    """The tag of a run."""
    return tag("span", text, class_="badge")


def script_json(value: object) -> Html:
    """JSON that may stand inside a script element: without ``<``, ``>`` and ``&``, and without NaN."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    # These characters occur in JSON only inside strings, where they may be written as escapes.
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Html(text)


def table(headers: Sequence[str], rows: Sequence[Sequence[str | Html]], *, sortable: bool = False) -> Html:
    """A table in a box that scrolls; rows hold texts, HTML or cells of numbers."""
    head = tag("thead", tag("tr", [tag("th", header, scope="col") for header in headers]))
    cells = (
        [value if isinstance(value, Html) and value.startswith("<td") else tag("td", value) for value in row]
        for row in rows
    )
    body = tag("tbody", [tag("tr", row) for row in cells])
    return tag("div", tag("table", head, body, class_="sortable" if sortable else None), class_="scroll", tabindex=0)


def number_cell(value: float, text: str | None = None) -> Html:
    """A number that is sorted by its value, whatever its text."""
    known = math.isfinite(value)
    written = number(value) if text is None and known else (text or "–")
    return tag("td", written, class_="number", data_value=value if known else None)


def picture_figure(picture: str) -> Html:
    """The picture of an architecture beside a text; one that is much wider than high takes the whole width."""
    width, height = (float(picture.split(f'{side}="', 1)[1].split('"', 1)[0]) for side in (" width", " height"))
    shape = "wide" if width > 620 and width > 1.6 * height else ""
    return tag("figure", Html(picture), class_=f"picture {shape}")


def image(picture: bytes, words: str) -> Html:
    """A PNG inside the page, with words for those who cannot see it."""
    text = base64.b64encode(picture).decode()
    return tag("img", src=f"data:image/png;base64,{text}", alt=words)


def _written(child: Any) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, str):
        return html.escape(child)
    return "".join(_written(inner) for inner in child)


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{html.escape(str(value))}"'


# -- words -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sought:
    """An objective as it was written; `metric` is what it is about where it is one metric and nothing else.

    The metric is better as it was sought. Scores are always maximised, so that of a metric of which less is better is
    its value with the sign turned. `needs` names the metrics that a score is made of.
    """

    written: str
    metric: Metric | None = None
    needs: tuple[str, ...] = ()

    @property
    def noun(self) -> str:
        """Its name in a sentence: "latency (lower is better)"."""
        return _named(self.metric, direction(self.metric)) if self.metric else self.written

    @property
    def heading(self) -> str:
        """Its name above numbers without units: "latency (ms, lower is better)"."""
        return _named(self.metric, self.metric.unit, direction(self.metric)) if self.metric else self.written

    @property
    def falls(self) -> bool:
        """Whether its value is better the lower it is."""
        return self.metric is not None and self.metric.better == "smaller"

    def value(self, score: float) -> float:
        """The metric that a score stands for, or the score itself."""
        return -score if self.falls else score

    def told(self, score: float) -> str:
        """The same in words, with its unit."""
        return number(score) if self.metric is None else told(self.metric, self.value(score))

    def alike(self, scores: Sequence[float | None]) -> list[str]:
        """Several in words, with as many decimals each; a dash for None."""
        values = [None if score is None else self.value(score) for score in scores]
        return alike(values) if self.metric is None else told_alike(self.metric, values)

    def form(self, scores: Iterable[float]) -> str:
        """How what several scores stand for is formatted, without units."""
        return PERCENT if self.metric is not None and self.metric.unit == "%" else form(map(self.value, scores))

    def span(self, low: float, high: float, suited: str) -> str:
        """Two scores as the range of what they stand for, without units, formatted as their column is."""
        return " to ".join(format(value, suited) for value in sorted((self.value(low), self.value(high))))


def title(metric: Metric) -> str:
    """A metric in words, such as "validation accuracy"."""
    return metric.title.replace("_", " ")


def direction(metric: Metric) -> str:
    """Which way is better; empty for a share of which more is better, such as an accuracy, where everybody knows."""
    if metric.better == "smaller":
        return "lower is better"
    return "" if metric.unit == "%" else "higher is better"


def axis(metric: Metric) -> str:
    """A metric with its unit: "latency (ms)"."""
    return _named(metric, metric.unit)


def _named(metric: Metric, *about: str) -> str:
    inside = ", ".join(filter(None, about))
    return f"{title(metric)} ({inside})" if inside else title(metric)


def told(metric: Metric, value: float | None) -> str:
    """A value with its unit: "94.31 %", "1.84 ms", "1,073,466"; a dash where there is none.

    The space before a unit does not break.
    """
    if value is None:
        return "–"
    if metric.unit == "%":
        return f"{value:.2f}\u00a0%"
    return f"{number(value)}\u00a0{metric.unit}" if metric.unit else number(value)


def listed(metrics: Iterable[Metric], values: Mapping[str, float]) -> list[str]:
    """Each metric that has a value, with it: "latency 1.84 ms"."""
    return [f"{title(metric)} {told(metric, values[metric.name])}" for metric in metrics if metric.name in values]


def number(value: float) -> str:
    """Whole numbers in full with thousands separators, others to two decimals or four significant digits."""
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1e4:
        return f"{value:,.0f}"
    return f"{value:,.2f}" if abs(value) >= 10 else f"{value:.4g}"


def alike(values: Sequence[float | None]) -> list[str]:
    """Numbers of one column, each in the `form` that suits all of them; a dash for None."""
    suited = form(values)
    return ["–" if value is None else format(value, suited) for value in values]


def form(values: Iterable[float | None]) -> str:
    """How numbers of one column are formatted: with as many decimals each as the largest of them asks for.

    Numbers so far apart that the smallest would be told as 0 have exponents.
    """
    known = [abs(value) for value in values if value is not None and math.isfinite(value)]
    largest, least = max(known, default=0.0), min((value for value in known if value), default=math.inf)
    if all(value == int(value) and value < 1e15 for value in known) or largest >= 1e4:
        digits = 0
    else:
        digits = 2 if largest >= 10 else 3 - math.floor(math.log10(largest))
    lost = least < 0.5 * 10.0**-digits and largest > 1e4 * least
    return ".3e" if lost or digits > MOST_DIGITS or largest >= 1e15 else f",.{digits}f"


def told_alike(metric: Metric, values: Sequence[float | None]) -> list[str]:
    """Values of one metric with its unit, with as many decimals each; a dash for None."""
    if metric.unit == "%":
        return [told(metric, value) for value in values]
    unit = f"\u00a0{metric.unit}" if metric.unit else ""
    return [text if value is None else f"{text}{unit}" for text, value in zip(alike(values), values, strict=True)]


def duration(seconds: float) -> str:
    """Seconds in the unit that people would use: "0.4 s", "92 s", "14.2 min", "3.1 h"."""
    for limit, unit, name in ((120.0, 1.0, "s"), (7200.0, 60.0, "min"), (math.inf, 3600.0, "h")):
        if seconds < limit:
            amount = seconds / unit
            return f"{amount:.3g} {name}" if amount < 100 else f"{amount:,.0f} {name}"
    return f"{seconds} s"


# -- the whole file ----------------------------------------------------------------------------------------------------

SECTIONS = (
    ("answer", "Answer"),
    ("data", "Data"),
    ("anytime", "Best so far"),
    ("pareto", "Quality against cost"),
    ("agreement", "Other scores"),
    ("ranking", "How the scores rank"),
    ("map", "Map of embeddings"),
    ("neighbours", "Nearest neighbours"),
    ("kernels", "What NASWOT sees"),
    ("training", "Training"),
    ("mistakes", "What it gets wrong"),
    ("epochs", "Epochs"),
    ("trials", "Candidates"),
    ("failures", "Failures"),
    ("environment", "Environment"),
    ("reproduce", "How to reproduce"),
)


# The part of plotly.js that draws lines and points, as npm's plotly.js-basic-dist-min 4.1.1 has it: a quarter of all.
PLOTLY = "plotly-basic.min.js"


def document(title: str, told: str, body: Html, data: Html) -> str:
    """The whole file: a title, a line that says where the numbers are from, sections, and the data of the charts."""
    plotly, own = _asset(PLOTLY), _asset("page.js")
    policy = (
        f"default-src 'none'; script-src {_digest(plotly)} {_digest(own)}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    present = [(name, words) for name, words in SECTIONS if f'<section id="{name}"' in body]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="generator", content=f"ogive {version()}"),
        tag("title", title),
        tag("style", _asset("page.css")),
    )
    main = tag(
        "main",
        tag(
            "header",
            tag("h1", title),
            tag("p", told),
            tag("nav", [tag("a", words, href=f"#{name}") for name, words in present], aria_label="Sections"),
        ),
        tag("noscript", tag("p", "The charts need JavaScript; the tables below them hold the same numbers.")),
        body,
        tag("footer", f"Made by ogive {version()}. This file loads nothing from anywhere."),
    )
    scripts = joined(
        tag("script", data, type="application/json", id="ogive-data"), tag("script", plotly), tag("script", own)
    )
    card = tag("div", id="card", role="tooltip", hidden=True)
    return f"<!doctype html>\n{tag('html', head, tag('body', main, card, scripts), lang='en')}\n"


@cache
def _asset(name: str) -> Html:
    return Html(files("ogive.reporting").joinpath(name).read_text(encoding="utf-8"))


def _digest(script: Html) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def write_text(text: str, path: Path) -> Path:
    """Write a page; missing folders are made, and StoreError says why it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # a pipe or a device
            path.write_text(text, encoding="utf-8")
        else:
            write_whole(path.resolve(), text)
    except OSError as error:
        raise StoreError(
            f"The page cannot be written to {shortened(str(path), 200)} ({error.strerror}); choose another --out."
        ) from error
    return path
