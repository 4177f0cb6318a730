"""What evaluators of other people do wrong: exceptions as reasons of one line, and values that are no measurement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ogive.core.capabilities import walk
from ogive.core.errors import ProtocolError, shortened
from ogive.core.trial import Cost, Measurement

__all__ = ["checked", "named", "number_of", "reason_of", "shown", "storable"]


def reason_of(error: BaseException) -> str:
    """Class and first line of an exception, as the reason of a failed trial."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - the message is code of somebody else, too
        return f"{type(error).__name__}: its message cannot be read"
    return storable(f"{type(error).__name__}: {text}".splitlines()[0])


def storable(text: str) -> str:
    """The text with an escape for each lone surrogate (bytes of a file name that are no UTF-8), which no file takes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def shown(value: object) -> str:
    """What a message says of a value."""
    try:
        return storable(shortened(" ".join(repr(value).split())))
    except Exception:  # noqa: BLE001 - so is its text
        return f"a {type(value).__name__} that cannot be shown"


def named(evaluator: object) -> str:
    """The class of an evaluator, and those of the evaluators inside it, any of which may be the culprit."""
    outer, *inner = (type(part).__name__ for part in walk(evaluator))
    return f"{outer}({', '.join(inner)})" if inner else outer


def number_of(value: object, name: str, evaluator: str) -> float:
    """The value of a metric as a number; ProtocolError that names the evaluator for text and for what is none."""
    try:
        if not isinstance(value, str | bytes | bytearray):
            return float(value)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - whatever it is, it is no number
        pass
    raise ProtocolError(f"{evaluator} must measure numbers, but gave {storable(name)}={shown(value)}.")


def checked(found: object, evaluator: object) -> Measurement:
    """What an evaluator returned, if it is a measurement that can be stored; ProtocolError if not."""
    if not isinstance(found, Measurement):
        raise ProtocolError(
            f"{named(evaluator)} must return a Measurement for each proposal, but returned {shown(found)}."
        )
    metrics: Mapping[Any, Any] = found.metrics  # as it was promised
    if not isinstance(metrics, Mapping):
        raise ProtocolError(f"{named(evaluator)} must return metrics by name, but gave metrics={shown(metrics)}.")
    for name, value in metrics.items():
        if not isinstance(name, str) or storable(name) != name:
            raise ProtocolError(
                f"{named(evaluator)} must name its metrics with plain text, but named one {shown(name)}."
            )
        if type(value) is not float:
            number_of(value, name, named(evaluator))
    if not isinstance(found.cost, Cost):
        raise ProtocolError(f"{named(evaluator)} must say what it took as a Cost, but gave cost={shown(found.cost)}.")
    if found.error is None:
        return found
    if not isinstance(found.error, str):
        raise ProtocolError(f"{named(evaluator)} must give its reason as text, but gave error={shown(found.error)}.")
    error = storable(found.error)
    return found if error == found.error else Measurement(found.metrics, found.cost, error, found.screened)
