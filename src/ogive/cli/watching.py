"""What the commands show while a search works: on a terminal what changes, in a log file a line a minute."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ogive.bulletin import posted
from ogive.cli.show import Bar, progress_console
from ogive.session import Watch
from ogive.showing import EVERY_S, repeating

__all__ = ["Reading", "SearchProgress"]


class Reading:
    """A bar for data that are read, from the first of them on."""

    def __init__(self, what: str | None) -> None:
        self._bar, self._shown = Bar(f"reading {what}", None), False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._bar.__exit__(kind, error, trace)

    def __call__(self, done: int, total: int) -> None:
        """Show that so many are read."""
        if not self._shown:
            self._shown = True
            self._bar.__enter__()
        self._bar.at(done, total=total)


class SearchProgress:
    """Shows what a `Watch` says, and leaves it in the run folder for those who look from elsewhere."""

    def __init__(self, watch: Watch, folder: Path) -> None:
        self.watch, self._folder = watch, folder
        self._live = Live(console=progress_console, get_renderable=self._drawn, transient=True, refresh_per_second=4)
        self._meanwhile = ExitStack()
        self._spinner = Spinner("dots")

    def __enter__(self) -> Self:
        if not progress_console.quiet:  # of several processes at one search, one writes
            self._meanwhile.enter_context(posted(self.watch, self._folder))
        if progress_console.is_terminal:
            self._live.start()
        else:
            self._meanwhile.enter_context(repeating(self._line, EVERY_S))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._meanwhile.close()
        self._live.stop()

    def _line(self) -> None:
        progress_console.print(f"search: {self.watch.line}", soft_wrap=True)

    def _drawn(self) -> RenderableType:
        share, watch = self.watch.share, self.watch
        first = Table.grid(padding=(0, 1))
        bar = self._spinner if share is None else ProgressBar(total=1.0, completed=share, width=24)
        first.add_row("search", bar, Text(watch.headline))
        rest = [f"  {line}" for line in (watch.found, *watch.under_way) if line]
        return Group(first, *(Text(line, no_wrap=True, overflow="ellipsis") for line in rest))
