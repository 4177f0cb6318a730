"""``ogive watch``: where a search stands that another terminal, or another machine with the same disk, is doing."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live
from rich.text import Text

from ogive.bulletin import Notice, notice_of
from ogive.cli.searching import reached
from ogive.cli.show import console
from ogive.core.errors import shortened
from ogive.core.trial import counted, duration
from ogive.runs import HOLD, Run, read_run, way_to_resume
from ogive.session import budget_in_force

__all__ = ["register"]

SHOWN, FAILURES = 8, 4
# A reading of all trials may take this share of the time.
READING = 0.2


def register(app: typer.Typer) -> None:
    """Add the command of this file to the application."""
    app.command("watch", short_help="Watch a search from another terminal.")(watch_command)


def watch_command(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    every: Annotated[float, typer.Option("--every", help="Seconds between two looks.", min=0.1)] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Look once; without a terminal, always.")] = False,
) -> None:
    """Show where a search stands: time left, what is under way, the best trials, the last failures.

    The run folder is read and never written. It ends when the search does, or on Ctrl-C.

    Example: ogive watch runs/photos

    Example: ogive watch runs/photos --once
    """
    looks = _looks(run, every)
    if once or not console.is_terminal:
        console.print(next(looks)[0])
        return
    with Live(console=console, auto_refresh=False) as live:
        for text, over in looks:
            live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)
            if over:
                return
            time.sleep(every)


def _looks(folder: Path, every_s: float) -> Iterator[tuple[str, bool]]:
    """What is to be seen, again and again, and whether the search is over."""
    read, size, cost_s, at_s = read_run(folder, hold=HOLD), -1, 0.0, 0.0
    while True:
        notice = notice_of(folder)
        now, wanted = _size(folder), time.monotonic() - at_s > max(every_s, cost_s / READING)
        if now != size and (wanted or (notice is not None and notice.over)):
            started = time.monotonic()
            read, size = read_run(folder, hold=HOLD, known=read), now
            cost_s, at_s = time.monotonic() - started, time.monotonic()
        yield "\n".join(_lines(read, notice)), notice is not None and notice.over


def _size(folder: Path) -> int:
    try:
        return (folder / "trials.jsonl").stat().st_size
    except OSError:
        return 0


def _lines(run: Run, notice: Notice | None) -> Iterator[str]:
    yield f"{run.folder}: {run.config.get('strategy')} in {run.config.get('space')}, seed {run.config.get('seed')}"
    yield from _state(run, notice)
    yield ""
    yield from _best(run)
    failed = run.failed
    if failed:
        yield ""
        yield f"{counted(len(failed), 'trial')} failed, last:"
        yield from (
            f"  trial {trial.number}: {shortened(trial.measurement.error or '')}" for trial in failed[-FAILURES:]
        )


def _state(run: Run, notice: Notice | None) -> Iterator[str]:
    budget = budget_in_force(run)
    stored = f"{counted(len(run.records), 'trial')} stored of a budget of {budget}"
    if notice is None:
        yield f"{stored}; the search tells nothing of itself"
    elif notice.over:
        yield f"{notice.headline}; no search is at work"
        if run.stopped is not None:
            yield str(run.stopped)
    elif notice.is_silent:
        since = duration(time.time() - notice.at_s)
        yield f"{stored}; nothing was heard for {since}: `{way_to_resume(run.folder)}` goes on"
    else:
        yield notice.headline
        yield from (f"  {line}" for line in notice.under_way)


def _best(run: Run) -> Iterator[str]:
    """The front, or of one objective its best, the chosen one marked."""
    choice, front = run.choice, run.front
    if not front:
        yield choice.missing
        return
    best = choice.trial
    for trial in front[:SHOWN]:
        told = ", ".join(f"{name} {value}" for name, value in reached(run.objectives, trial))
        mark = "*" if best is not None and trial.number == best.number else " "
        yield f"{mark} trial {trial.number}: {told}, {trial.arch}"
    if len(front) > SHOWN:
        yield f"  and {len(front) - SHOWN} more: `{shlex.join(['ogive', 'front', str(run.folder)])}`"
    yield f"* {choice.rule}" if best is not None else choice.missing
