"""Showing a search that Python started: in a notebook, a few lines that change; elsewhere, a line a minute."""

from __future__ import annotations

import html
import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ogive.session import Watch

__all__ = ["EVERY_S", "in_notebook", "repeating", "shown"]

EVERY_S = 60.0  # a terminal and a notebook change all the time; a log file gets a line this often
REDRAWN_S = 0.5


def in_notebook() -> bool:
    """Whether a notebook is what started Python here."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel")


@contextmanager
def shown(watch: Watch) -> Iterator[None]:
    """Show what the watch says meanwhile."""
    if not in_notebook():
        with repeating(lambda: _write(f"search: {watch.line}\n"), EVERY_S):
            yield
        return
    display = importlib.import_module("IPython.display")
    handle: Any = display.display(display.HTML(_drawn(watch)), display_id=True)
    with repeating(lambda: handle.update(display.HTML(_drawn(watch))), REDRAWN_S):
        yield
    handle.update(display.HTML(_drawn(watch)))


@contextmanager
def repeating(act: Callable[[], object], every_s: float) -> Iterator[None]:
    """Do something again and again, beside what is done inside."""
    over = threading.Event()

    def again() -> None:
        while not over.wait(every_s):
            act()

    thread = threading.Thread(target=again, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _write(line: str) -> None:
    sys.stderr.write(line)
    sys.stderr.flush()


def _drawn(watch: Watch) -> str:
    """A bar and what is said beside it, as HTML."""
    share = watch.share
    bar = "" if share is None else f"<progress max='1' value='{share:.4f}'></progress> "
    rest = "".join(f"<br>{html.escape(line)}" for line in (watch.found, *watch.under_way) if line)
    return f"<div>search {bar}{html.escape(watch.headline)}{rest}</div>"
