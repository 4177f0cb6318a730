"""The one syntax for parts, ``name(part, key=value)``: on the command line, in TOML recipes and in error messages.

A value is a number, ``true``, ``false``, ``none``, a quoted or bare word, a time such as ``10m``, a list ``[a, b]``, or
again a part. A bare word and a part without arguments are the same thing until somebody knows which of the two is
wanted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ogive.core.errors import SpecError, quoted

__all__ = ["Spec", "parse", "parse_data", "parse_options", "spelled_today", "stored_part", "written"]

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.:/])
      | (?P<quoted>"[^"]*"|'[^']*')
      | (?P<time>\d+(?:\.\d+)?[smh](?![\w.:/+@~-]))
      | (?P<word>[A-Za-z_](?:[\w.+@-]|:(?=[^\s,()\[\]=])|[/~](?=[^\s,()\[\]=]))*)
      | (?P<mark>[()\[\],=])
    )""",
    re.VERBOSE,
)
_CONSTANTS: Mapping[str, bool | None] = MappingProxyType({"true": True, "false": False, "none": None})


@dataclass(frozen=True)
class Spec:
    """A named part with positional arguments and keyword options; ``str`` gives the syntax back."""

    name: str
    args: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        inside = [written(value) for value in self.args]
        inside += [f"{key}={written(value)}" for key, value in self.options.items()]
        return f"{self.name}({', '.join(inside)})" if inside else self.name


def parse(text: str) -> Spec:
    """Read one part; raises SpecError that shows where the text stops making sense."""
    reader = _Reader(text)
    value = reader.value()
    reader.end()
    if not isinstance(value, Spec):
        raise SpecError(f"A part is written name(part, key=value), but got {quoted(text)}.")
    return value


def parse_data(text: str | Spec) -> tuple[str, dict[str, Any]]:
    """Read the name and options of data: ``digits(size=16)``, ``images:FOLDER(size=32)``, ``csv:FILE(target=price)``.

    A folder may hold any character, so that it is taken as it stands and only (option=value) at the end is parsed.
    """
    match = re.fullmatch(r"(?P<name>.+?)\s*(?P<options>\(\s*\w+\s*=.*\))?", str(text).strip(), re.DOTALL)
    if match is None:
        raise SpecError(f"Data is written name or name(option=value), but got {quoted(text)}.")
    return match["name"], dict(parse(f"data{match['options'] or ''}").options)


def parse_options(text: str) -> dict[str, Any]:
    """Read ``key=value, key=value``; raises SpecError."""
    spec = parse(f"options({text})")
    if spec.args:
        raise SpecError(f"Options are written key=value, key=value, but got {quoted(text)}.")
    return dict(spec.options)


# Of the options that `inherited` had in version 0.1, those that it has still, and those of the parts of a supernet.
_OF_ESTIMATES = frozenset(
    ["metric", "statistics_images", "validation_images", "images", "samples", "feature_channels", "feature_epochs"]
)
_OF_PARTS = frozenset(["split", "splits", "groups", "calibration", "reference", "part_epochs", "part_steps"])


def spelled_today(spec: Spec, *, stored: bool = False) -> Spec:
    """A part as it is written now, with all inside it: weights that ``inherited`` trained are a part of their own.

    With `stored`, for a run of version 0.1, that goes for one without options too, which now takes the weights of the
    search.
    """

    def today(value: Any) -> Any:
        if isinstance(value, list):
            return [today(item) for item in value]
        return spelled_today(value, stored=stored) if isinstance(value, Spec) else value

    name = "inherited" if spec.name == "inherited_generative" else spec.name
    options = {key: today(value) for key, value in spec.options.items()}
    inside = {key: value for key, value in options.items() if key not in _OF_ESTIMATES and key != "weights"}
    if name != "inherited" or spec.args or "weights" in options or not (inside or stored):
        return Spec(name, tuple(today(value) for value in spec.args), options)
    splits = inside.get("split") not in (None, [])
    kept = {key: value for key, value in inside.items() if splits or key not in _OF_PARTS}
    weights = Spec("parts" if splits else "supernet", (), kept)
    return Spec(name, (weights,), {key: value for key, value in options.items() if key not in inside})


def stored_part(text: str) -> str:
    """The text of a part in a run of version 0.1 as it is written now."""
    return str(spelled_today(parse(text), stored=True)) if re.search(r"\binherited", text) else text


# No part that makes sense is nested deeper, and no number has more digits.
DEEPEST, LONGEST = 50, 100


class _Reader:
    """A recursive-descent reader of one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = self.depth = 0

    def value(self) -> Any:
        kind, token = self.next()
        if kind == "number":
            return self.number(token)
        if kind == "quoted":
            return token[1:-1]
        if kind == "time":
            return token
        if token == "[":
            values, options = self.items("]")
            if options:
                raise self.error("A list holds no key=value")
            return list(values)
        if kind != "word":
            raise self.error("Expected a name, a number or a list")
        if self.peek() == "(":
            self.next()
            values, options = self.items(")")
            return Spec(token, tuple(values), options)
        return _CONSTANTS[token] if token in _CONSTANTS else Spec(token)

    def number(self, token: str) -> int | float:
        number = float(token)
        if math.isinf(number) or len(token) > LONGEST:
            raise self.error("A number is too large")
        return int(token) if re.fullmatch(r"[+-]?\d+", token) else number

    def items(self, close: str) -> tuple[list[Any], dict[str, Any]]:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.error(f"More than {DEEPEST} parts and lists stand inside each other")
        values: list[Any] = []
        options: dict[str, Any] = {}
        while self.peek() != close:
            value = self.value()
            if self.peek() == "=":
                self.next()
                if not isinstance(value, Spec) or value.args or value.options:
                    raise self.error("The left side of = must be a name")
                if value.name in options:
                    raise self.error(f"{value.name} is given twice")
                options[value.name] = self.value()
            elif options:
                raise self.error("A part stands before all key=value")
            else:
                values.append(value)
            if self.peek() == ",":
                self.next()
            elif self.peek() != close:
                raise self.error(f"Expected , or {close}")
        self.next()
        self.depth -= 1
        return values, options

    def end(self) -> None:
        if self.text[self.place :].strip():
            raise self.error("Nothing may follow the part")

    def peek(self) -> str:
        match = _TOKEN.match(self.text, self.place)
        return match["mark"] or "" if match else ""

    def next(self) -> tuple[str, str]:
        match = _TOKEN.match(self.text, self.place)
        if match is None:
            raise self.error("Expected more")
        self.place = match.end()
        kind = match.lastgroup or ""
        return kind, match[kind]

    def error(self, reason: str) -> SpecError:
        before = self.text[: self.place]
        after = before if len(before) < 80 else f"...{before[-80:]}"
        return SpecError(f"{reason} in {quoted(self.text)} after {after!r}; write name(part, key=value).")


def written(value: Any) -> str:
    """A value in the syntax."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, str):
        match = _TOKEN.fullmatch(value)
        if match is not None and value in (match["word"], match["time"]) and value not in _CONSTANTS:
            return value
        return f"'{value}'" if '"' in value else f'"{value}"'
    return str(value)
