"""JSON files, checked against a declared shape as they are read: what comes after need not doubt them.

A shape is one of ``str``, ``int`` (of 64 bits), ``float`` (finite; whole numbers are some), ``bool``, ``None``,
``object`` (anything), a frozenset of texts, ``[shape]`` for a list, ``(shape, shape)`` for one of several, and a
dictionary of the shapes of the members of an object, in which ``"name?"`` may be absent, and ``...`` stands for all
others, which else are ignored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ogive.core.errors import shortened

__all__ = ["Shape", "checked", "checker", "parsed", "read_json"]

# A type of its own would take recursion through three kinds of containers.
Shape = Any

_WORDS = {str: "a text", int: "a whole number", float: "a finite number", bool: "true or false", None: "null"}


def read_json(path: Path, shape: Shape) -> Any:
    """The content of a file of this shape; OSError or ValueError says in one line what is wrong with it."""
    if path.exists() and not path.is_file():
        raise ValueError("it is no file")  # a pipe would be waited for
    return checked(parsed(path.read_bytes()), shape)


def parsed(text: str | bytes) -> Any:
    """The value that a text of JSON stands for; ValueError says in one line why it is none."""
    try:
        found = json.loads(text)
        if "\\u" in text if isinstance(text, str) else b"\\u" in text:  # halves of characters cannot be printed
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return found


def checked(value: Any, shape: Shape, place: str = "") -> Any:
    """The value, if it has the shape; else ValueError with the first place where it has not."""
    if shape is object:
        return value
    if isinstance(shape, tuple):
        return _one_of(value, shape, place)
    if isinstance(shape, frozenset):
        if not isinstance(value, str) or value not in shape:
            raise _refused(value, f"one of {', '.join(sorted(shape))}", place)
        return value
    if isinstance(shape, list):
        if not isinstance(value, list):
            raise _refused(value, "a list", place)
        for number, entry in enumerate(value):
            checked(entry, shape[0], f"{place}[{number}]")
        return value
    if isinstance(shape, Mapping):
        return _object(value, shape, place)
    if not _is(value, shape):
        raise _refused(value, _WORDS[shape], place)
    return value


def checker(shape: Shape) -> Callable[[Any], Any]:
    """The same as `checked`, made once for values of one shape that come by the hundred thousand."""
    fits = _fitting(shape)

    def found(value: Any) -> Any:
        return value if fits(value) else checked(value, shape)

    return found


def _fitting(shape: Shape) -> Callable[[Any], bool]:
    """Whether a value has the shape; False also where that takes a closer look."""
    if shape is object:
        return lambda value: True
    if isinstance(shape, tuple):
        first, *others = [_fitting(one) for one in shape]
        return lambda value: first(value) or any(fits(value) for fits in others)
    if isinstance(shape, frozenset):
        return lambda value: type(value) is str and value in shape
    if isinstance(shape, list):
        inner = _fitting(shape[0])
        return lambda value: type(value) is list and all(map(inner, value))
    if isinstance(shape, Mapping):
        return _object_fitting(shape)
    kind = type(None) if shape is None else shape
    if shape is float:
        return lambda value: type(value) is float and math.isfinite(value)
    if shape is int:
        return lambda value: type(value) is int and -(2**63) < value < 2**63
    return lambda value: type(value) is kind


def _object_fitting(shape: Mapping[Any, Shape]) -> Callable[[Any], bool]:
    names = [str(name) for name in shape if name is not ...]
    wanted = frozenset(name for name in names if not name.endswith("?"))
    inner = {str(name).removesuffix("?"): _fitting(one) for name, one in shape.items() if name is not ...}
    other = _fitting(shape.get(..., object))

    def fits(value: Any) -> bool:
        if type(value) is not dict or not wanted <= value.keys():
            return False
        for name, entry in value.items():  # noqa: SIM110 - a third quicker than all(...), for a hundred thousand lines
            if not inner.get(name, other)(entry):
                return False
        return True

    return fits


def _is(value: Any, shape: Shape) -> bool:
    if shape is None or shape is bool or shape is str:
        return value is None if shape is None else isinstance(value, shape)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    if isinstance(value, int):
        return value.bit_length() < 64
    return shape is float and math.isfinite(value)


def _one_of(value: Any, shapes: tuple[Shape, ...], place: str) -> Any:
    for shape in shapes:
        # Of several containers, the one of the right kind says what is wrong inside.
        kind = list if isinstance(shape, list) else dict if isinstance(shape, Mapping) else None
        if shape is object or (kind is not None and isinstance(value, kind)):
            return checked(value, shape, place)
        if kind is None and _is(value, shape):
            return value
    words = ["a list" if isinstance(s, list) else "an object" if isinstance(s, Mapping) else _WORDS[s] for s in shapes]
    raise _refused(value, " or ".join(words), place)


def _object(value: Any, shape: Mapping[Any, Shape], place: str) -> Any:
    if not isinstance(value, dict):
        raise _refused(value, "an object", place)
    named = {str(name).removesuffix("?"): inner for name, inner in shape.items() if name is not ...}
    for name in named:
        if name not in value and f"{name}?" not in shape:
            raise ValueError(f"it lacks {f'{place}.{name}'.lstrip('.')}")
    for name, entry in value.items():
        inner = named.get(name, shape.get(..., object))
        if inner is not object:
            checked(entry, inner, f"{place}.{shortened(name, 40)}".lstrip("."))
    return value


def _refused(value: Any, words: str, place: str) -> ValueError:
    kinds: dict[type, str] = {list: "a list", dict: "an object"}
    written = kinds.get(type(value)) or shortened(json.dumps(value, ensure_ascii=False), 60)
    return ValueError(f"{place or 'it'} should be {words}, but is {written}")
