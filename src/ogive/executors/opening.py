"""Opening executors: from a number of workers, from their text, or from one that is there already."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ogive import catalog
from ogive.core.errors import SpecError, shortened
from ogive.core.executor import Pool
from ogive.executors.processes import Processes
from ogive.executors.serial import Serial

__all__ = ["at_work", "normal", "opened", "workers_of"]


def opened(workers: int | str) -> Pool:
    """The pool that `workers` stand for: a number of processes, of which 1 is none beside this one, or an executor.

    An executor is written ``serial``, ``processes(4)`` or as a plug-in is. UnknownName if there is none of that name.
    """
    workers = normal(workers)
    if isinstance(workers, int):
        return Serial() if workers == 1 else Processes(workers)
    built = catalog.build("executor", workers)
    if not isinstance(built, Pool):
        raise SpecError(f"An executor must be an ogive.Pool, but {shortened(workers)} makes a {type(built).__name__}.")
    return built


def normal(workers: int | str) -> int | str:
    """The same as a number, where it is the text of one."""
    return int(workers) if isinstance(workers, str) and re.fullmatch(r"\s*[+-]?\d{1,9}\s*", workers) else workers


def workers_of(workers: int | str, *, limited: bool = True) -> int:
    """How many tasks run at the same time; raises what `opened` does.

    Without `limited`, SpecError for a limit of trials: of tasks that are none, such as whole searches.
    """
    pool = opened(workers)
    if pool.trial_limit_s is not None and not limited:
        raise SpecError(f"Only the trials of a search have a trial_limit: leave it out of {shortened(str(workers))}.")
    return pool.count


@contextmanager
def at_work(workers: int | str | Pool) -> Iterator[Pool]:
    """A pool that is stopped in the end, or the one that somebody opened themselves and goes on to own."""
    if isinstance(workers, Pool):
        yield workers
        return
    pool = opened(workers)
    try:
        yield pool
    finally:
        pool.stop()
