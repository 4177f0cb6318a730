"""What several commands draw on the terminal, tables, progress and one-line summaries, and read from it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from ogive.core.errors import quoted
from ogive.core.metric import decimals
from ogive.core.trial import duration

__all__ = [
    "COUNTS",
    "Bar",
    "console",
    "duration",
    "measured",
    "number",
    "progress_console",
    "say_nothing",
    "shape_of",
    "size_of",
    "table",
]

console = Console(soft_wrap=True, markup=False, highlight=False)
if not console.is_terminal:
    # A file or a pipe has no width; a table that is folded there cannot be read by the next program.
    console = Console(soft_wrap=True, markup=False, highlight=False, width=240)
# Progress goes to standard error, so that the output of a command can be piped.
progress_console = Console(stderr=True, markup=False, highlight=False)

HUGE = 1e15  # from here on a number is written with an exponent
COUNTS = ("params", "macs", "flops")

# A terminal redraws its bar; a log file gets a line this often.
LINE_EVERY_S = 60.0


def say_nothing() -> None:
    """Print nothing from now on: of several processes at one task, one reports."""
    console.quiet = progress_console.quiet = True


def table(title: str | None, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a plain table; columns whose name ends with '>' are right-aligned."""
    drawn = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        drawn.add_column(column.removesuffix(">"), justify="right" if column.endswith(">") else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*row)
    console.print(drawn)


def number(value: float | None, digits: int = 2) -> str:
    """A number for people; a dash where there is none."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:,.{digits}f}" if abs(value) < HUGE else f"{value:.6g}"


def measured(name: str, value: float) -> str:
    """A metric for people: counts, such as parameters, without decimals."""
    return number(value, 0 if name in COUNTS and value == round(value) else decimals([value]))


def size_of(size: float) -> str:
    """The size of a space in words."""
    if math.isnan(size):
        return "not counted"
    if math.isinf(size):
        return "continuous"
    return f"{int(size):,}" if size < 1e9 else f"{size:.3g}"


class Bar:
    """A progress bar on a terminal, and now and then a line in a log file."""

    def __init__(self, what: str, total: float | None) -> None:
        self.what, self.total = what, total
        self._live = progress_console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=progress_console,
            speed_estimate_period=3600.0,  # seconds; one step of it may take many minutes
            transient=True,
            disable=not self._live,
        )
        self._task: TaskID = self._progress.add_task(what, total=total, note="")
        self._printed = time.perf_counter()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def at(self, done: float, note: str = "", *, total: float | None = None) -> None:
        """Show that `done` of the total are done; `total` may become known only now."""
        self.total = self.total if total is None else total
        self._progress.update(self._task, completed=done, total=self.total, note=note)
        now = time.perf_counter()
        if not self._live and now - self._printed >= LINE_EVERY_S:
            self._printed = now
            whole = "" if self.total is None else f"/{self.total:g}"
            progress_console.print(f"{self.what} {done:g}{whole} {note}")


def shape_of(text: str) -> tuple[int, ...]:
    """The shape of an input as it is written for ``--shape``."""
    parts = text.split(",")
    if len(parts) not in (1, 3) or not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise typer.BadParameter(
            f"--shape is channels,height,width such as 3,32,32, or the length of a row, but got {quoted(text)}."
        )
    return tuple(map(int, parts))
