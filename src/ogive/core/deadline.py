"""Deadlines: work that is ended in its middle when its time is up, by an exception that candidates do not catch."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ogive.core.errors import SpecError, quoted

__all__ = ["TimeIsUp", "seconds_of", "until"]

UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}

# Code that catches whatever is raised is told again, so often.
AGAIN_S = 1.0
SHORTEST_S = 1e-3


class TimeIsUp(BaseException):
    """The time of this work is over. Like KeyboardInterrupt it is no Exception, so that no candidate fails by it."""


@contextmanager
def until(left_s: float) -> Iterator[None]:
    """Raise TimeIsUp in the block after `left_s` seconds, between two steps of the interpreter; at infinity, never.

    A call that never comes back from C cannot be ended so. That takes the alarm of the main thread of a POSIX process:
    in other threads and on Windows, nothing is raised.
    """
    able = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if left_s == math.inf or not able:
        yield
        return

    def over(*_: object) -> None:
        raise TimeIsUp

    before = signal.signal(signal.SIGALRM, over)
    try:
        signal.setitimer(signal.ITIMER_REAL, max(left_s, SHORTEST_S), AGAIN_S)
        yield
    finally:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        finally:  # the alarm may come while it is turned off
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, before)


def seconds_of(written: str | float, name: str) -> float:
    """A time as it is written, ``90s``, ``15m``, ``2h`` or a number of seconds; SpecError calls it `name`."""
    text = str(written).strip()
    unit = text[-1:] if text[-1:] in UNITS_S else ""
    try:
        seconds = float(text.removesuffix(unit) if unit else text) * UNITS_S.get(unit, 1.0)
    except ValueError:
        seconds = math.nan
    if not (0 < seconds < math.inf):
        raise SpecError(f"{name} is a time such as 90s, 15m or 2h, but got {quoted(written)}.")
    return seconds
