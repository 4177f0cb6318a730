"""HTML as values: whatever is not built here is escaped, so no name in a run folder can become part of the page."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from ogive.report.wording import number

__all__ = ["Html", "cell", "joined", "number_cell", "picture_figure", "script_json", "table", "tag"]

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


def script_json(value: object) -> Html:
    """JSON that may stand inside a script element: without ``<``, ``>`` and ``&``, and without NaN."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    # These characters occur in JSON only inside strings, where they may be written as escapes.
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Html(text)


def table(headers: Sequence[str], rows: Sequence[Sequence[str | Html]], *, sortable: bool = False) -> Html:
    """A table in a box that scrolls; rows hold texts, HTML or finished cells."""
    head = tag("thead", tag("tr", [tag("th", header, scope="col") for header in headers]))
    body = tag("tbody", [tag("tr", [cell(value) for value in row]) for row in rows])
    return tag("div", tag("table", head, body, class_="sortable" if sortable else None), class_="scroll", tabindex=0)


def cell(value: str | Html) -> Html:
    """A cell of a table; a finished one stays as it is."""
    return value if isinstance(value, Html) and value.startswith("<td") else tag("td", value)


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
