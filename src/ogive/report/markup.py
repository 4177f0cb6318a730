"""HTML as values: whatever is not built here is escaped, so no name in a run folder can become part of the page."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from typing import Any

__all__ = ["Html", "joined", "script_json", "tag"]

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
