"""What the commands say before anything starts: the search as it was understood, and how long it takes."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Sequence

from rich.console import Console

from ogive.cli.show import console, progress_console, size_of
from ogive.core.capabilities import Choosing, Described, Named, walk
from ogive.core.trial import counted, duration
from ogive.estimate import GLIMPSED_S, WATCHED_S, Estimate, estimate
from ogive.executors import opened
from ogive.session import Parts, Settings, assemble, threads_of

__all__ = ["print_dry_run", "print_summary"]


def print_dry_run(parts: Parts, settings: Settings, strategies: Sequence[str], seeds: int = 1) -> None:
    """The summary, with the time of a candidate that is measured; `strategies` are those of a comparison, if any."""
    # On large networks and data one candidate takes minutes, of which there is nothing else to see.
    print(f"measuring one candidate of {settings.space} ...", file=sys.stderr)
    found = estimate(settings, strategies, parts=parts, watched_s=WATCHED_S)
    _print(console, parts, settings, found, strategies, seeds)


def print_summary(parts: Parts, settings: Settings, strategies: Sequence[str] = (), seeds: int = 1) -> None:
    """The summary of what begins now, on standard error; a candidate is watched for a second.

    `strategies` are those of a comparison, if any.
    """
    _print(progress_console, parts, settings, _glimpsed(parts, settings, strategies), strategies, seeds)


def _glimpsed(parts: Parts, settings: Settings, strategies: Sequence[str]) -> Estimate | None:
    """An estimate by parts of its own; None where one could take long: of code that nobody here knows."""
    ours = all(type(part).__module__.startswith("ogive.") for part in walk(parts.evaluator))
    if not ours or int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return None
    given = {name: parts.context[name] for name in ("data", "table") if parts.context[name] is not None}
    return estimate(settings, strategies, parts=assemble(settings, given=given), watched_s=GLIMPSED_S)


def _print(
    to: Console,
    parts: Parts,
    settings: Settings,
    found: Estimate | None,
    strategies: Sequence[str] = (),
    seeds: int = 1,
) -> None:
    for name, lines in _understood(parts, settings, found, strategies, seeds):
        for place, line in enumerate(lines):
            to.print(f"{'' if place else name:10} {line}", soft_wrap=True, highlight=False)


def _understood(
    parts: Parts, settings: Settings, found: Estimate | None, strategies: Sequence[str], seeds: int
) -> Iterator[tuple[str, list[str]]]:
    """What each line is about, and what it says."""
    yield from _inputs(parts, settings)
    size = ", ".join(
        f"{name} {value}"
        for name, value in (("channels", settings.channels), ("cells", settings.cells))
        if value is not None
    )
    among = f", searched in a {parts.world}" if parts.world else ""
    networks = f"; networks of {size}" if size else ""
    yield "space", [f"{settings.space}: {size_of(parts.space.size)} architectures{among}{networks}"]
    own = f", about {duration(found.asking_s * seeds, 2)} of its own" if found is not None and found.asking_s else ""
    searches = max(1, len(strategies)) * seeds
    strategy = ", ".join(strategies) or settings.strategy
    yield "strategy", [f"{strategy}, {searches} search{'es' if searches > 1 else ''}{own}"]
    each = f", about {duration(found.trial_s, 2)} a trial (measured on one candidate)" if found is not None else ""
    yield "evaluator", [f"{settings.evaluator}{each}"]
    yield (
        "objective",
        [", ".join(parts.written) + (f" with {' and '.join(settings.prefer)}" if settings.prefer else "")],
    )
    if parts.constraints:
        yield "where", [" and ".join(map(str, parts.constraints))]
    yield "machine", [_machine(settings)]
    yield "budget", list(_time(settings, found, seeds))


def _inputs(parts: Parts, settings: Settings) -> Iterator[tuple[str, list[str]]]:
    table = parts.context["table"]
    if table is not None:
        rows = "predictions" if table.predicted else f"{table.rows:,} rows"
        yield "table", [f"{table.name}: {rows}"]
    data = parts.context["data"]
    if data is None:
        return
    name = data.name if isinstance(data, Named) else str(settings.data)
    chosen = (data.chosen,) if isinstance(data, Choosing) and data.chosen else ()
    first, *rest = data.summary if isinstance(data, Described) else ("",)
    yield "data", [f"{name}: {first}" if first else name, *rest, *chosen]
    task = parts.context["task"]
    if task is not None:
        yield "task", [task.name]


def _machine(settings: Settings) -> str:
    torch = sys.modules.get("torch")
    threads = threads_of(settings, settings.count) or (None if torch is None else torch.get_num_threads())
    each = f", {counted(threads, 'thread')}{' each' if settings.count > 1 else ''}" if threads else ""
    limit_s = opened(settings.workers).trial_limit_s
    limit = "" if limit_s is None else f", a limit of {duration(limit_s)} a trial"
    return f"{settings.device}, {counted(settings.count, 'worker')}{each}{limit}"


def _time(settings: Settings, found: Estimate | None, seeds: int) -> Iterator[str]:
    if found is None:
        yield f"{settings.budget}: its time is told as soon as a candidate is under way"
        return
    total_s = found.total_s * seeds
    told = f"about {duration(total_s, 2)}" if math.isfinite(total_s) else "for a time that one trial does not tell"
    yield f"{settings.budget}: {told} with {counted(settings.count, 'worker')}"
    if found.error is not None:
        yield f"The trial that was measured failed: {found.error}"
