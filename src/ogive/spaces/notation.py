"""Read ``Name(key=literal, ...)``, the form in which papers publish cells, without evaluating anything."""

from __future__ import annotations

import ast
import warnings

from ogive.core.errors import InvalidArchitecture, in_line, shortened

__all__ = ["arguments", "entries_of", "short"]

# Longer than any cell; the parser of the standard library may fail badly on enormous input.
LONGEST = 20_000


def arguments(text: str, name: str, keys: tuple[str, ...]) -> dict[str, object]:
    """The arguments of ``name(...)`` or ``module.name(...)``, by position or by key; exactly `keys` must be there.

    Values are literals or ``range`` of literals, which becomes a list. Raises InvalidArchitecture.
    """
    try:
        if len(text) > LONGEST:
            raise ValueError(f"longer than {LONGEST} characters")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # of what is no Python of anybody's
            call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or _called(call) != name or len(call.args) > len(keys):
            raise ValueError(f"not of the form {name}(...)")
        given = list(zip(keys, call.args, strict=False)) + [(word.arg or "**", word.value) for word in call.keywords]
        if sorted(key for key, _ in given) != sorted(keys):
            raise ValueError(f"its arguments must be {', '.join(keys)}, each once")
        return {key: _value(node) for key, node in given}
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise InvalidArchitecture(f"Cannot read {shortened(text)!r} as {name}(...): {in_line(error)}.") from None


def entries_of(value: object, count: int | None = None) -> tuple[tuple[str, int], ...] | None:
    """The (operation, state) entries of a list of pairs; None where it is none, is empty or has not `count` entries."""
    given = value if isinstance(value, (list, tuple)) else ()
    entries = tuple(
        (pair[0], pair[1])
        for pair in given
        if isinstance(pair, (list, tuple)) and len(pair) == 2 and isinstance(pair[0], str) and type(pair[1]) is int
    )
    whole = len(entries) == len(given) and len(entries) == (len(entries) if count is None else count)
    return entries if entries and whole else None


def short(text: str) -> tuple[tuple[str, int], ...]:
    """The (operation, state) entries of ``op~state op~state | op~state op~state | ...``, whose bars are for the eye."""
    pairs = (entry.split("~") for entry in text.replace("|", " ").split())
    return tuple((op, int(state)) for op, state in pairs)


def _called(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _value(node: ast.expr) -> object:
    if isinstance(node, ast.Call) and _called(node) == "range" and not node.keywords:
        bounds = [ast.literal_eval(bound) for bound in node.args]
        numbers = range(*bounds)
        if len(numbers) > LONGEST:
            raise ValueError("its range is too long")
        return list(numbers)
    return ast.literal_eval(node)
