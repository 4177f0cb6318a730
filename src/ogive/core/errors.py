"""Every error that ogive raises on purpose.

::

    OgiveError
    ├── SpecError                what was asked for makes no sense
    │   ├── UnknownName          no such part, option, metric, ...; carries the nearest match
    │   ├── InvalidArchitecture  the choices do not belong to the space
    │   └── Oversized            the network of one candidate cannot be made as small as was asked
    ├── ProtocolError            a part broke the contract it promised to keep
    ├── MissingData              a table, data set or package is absent; names the command that gets it
    ├── StoreError               a run folder cannot be used as it is
    │   └── RunInUse             another process is writing it
    └── ExportError              an exported network differs from the original

Each message says the invariant, the values that broke it and the way out, in one line.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Callable, Iterable
from functools import wraps
from typing import ParamSpec, TypeVar

__all__ = [
    "ExportError",
    "InvalidArchitecture",
    "MissingData",
    "OgiveError",
    "Oversized",
    "ProtocolError",
    "RunInUse",
    "SpecError",
    "StoreError",
    "UnknownName",
    "in_line",
    "long_name",
    "nameable",
    "nearest",
    "quoted",
    "shortened",
]


P = ParamSpec("P")
T = TypeVar("T")

# So many names are listed where one of them is wanted.
LISTED = 60


class OgiveError(Exception):
    """Root of the errors above; the command line prints its message and exits with 2."""


class SpecError(OgiveError, ValueError):
    """What was asked for makes no sense."""


class UnknownName(SpecError):
    """No such part, option or metric; the message offers the nearest known names."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        super().__init__(f"There is no {kind} named {quoted(name)}. {nearest(name, self.known)}")

    def __reduce__(self) -> tuple[type[UnknownName], tuple[str, str, list[str]]]:
        # An exception is otherwise remade from its message, which this constructor does not take.
        return type(self), (self.kind, self.name, self.known)


class InvalidArchitecture(SpecError):
    """The choices do not belong to the space."""


class Oversized(SpecError):
    """The network of one candidate cannot be made as small as was asked; others may, so that a search goes on."""


class ProtocolError(OgiveError):
    """A part broke the contract it promised to keep."""


class MissingData(OgiveError):
    """A table, data set or package is absent; the message names the command that gets it."""


class StoreError(OgiveError):
    """A run folder cannot be used as it is."""


class RunInUse(StoreError):
    """Another process is writing the run."""


class ExportError(OgiveError):
    """An exported network differs from the original by more than is allowed."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that offers the known names closest to `name`, or lists them all if none is close."""
    names = sorted(known)
    if len(name) > 200:  # which takes long to compare with anything
        name = ""
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(repr(match) for match in close)}?"
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"Known: {', '.join(map(shortened, names[:LISTED]))}{more}." if names else "None are known."


def in_line(error: BaseException) -> str:
    """What an exception says, or what it is, in one line of at most 200 characters."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    said = f"it lacks {error.args[0]!r}" if isinstance(error, KeyError) and error.args else str(error)
    lines = said.strip().splitlines()
    return shortened(lines[0], 200) if lines else type(error).__name__


def quoted(value: object) -> str:
    """What somebody wrote, in quotes and in one line, with at most 200 characters of it."""
    return shortened(repr(value if not isinstance(value, str) else value[:201]), 200)


def nameable(function: Callable[P, T]) -> Callable[P, T]:
    """The function, which says in a SpecError what the system does to names that no file can have.

    They are too long, or hold a null byte; whatever else goes wrong passes through.
    """

    @wraps(function)
    def told(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            name = quoted(str(error.filename or error))
            raise SpecError(f"The name of a file or folder is too long for this system: {name}.") from None
        except ValueError as error:
            if isinstance(error, OgiveError) or "embedded null" not in str(error):
                raise
            raise SpecError("The name of a file or folder has a null byte, which no system takes.") from None

    return told


def long_name(names: Iterable[str]) -> str | None:
    """The first name with more than 200 characters, which no message could repeat; None where there is none."""
    return next((name for name in names if len(name) > 200), None)


def shortened(text: str, longest: int = 80) -> str:
    """A value that somebody wrote, cut to what a message of one line can hold."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
