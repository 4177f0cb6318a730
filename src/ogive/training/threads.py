"""How many threads torch and the linear algebra of numpy work with, for a while."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

__all__ = ["settle", "threads"]

# How many there are to be, innermost last: the same number once more takes no look at all libraries, of milliseconds.
_wanted: list[int] = []
BUSY = 0.1  # a sleeping process that uses less of a core than this has no busy thread


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Let torch and numpy work with `count` threads, and with as many as before afterwards; None changes nothing.

    Numpy's library counts because its threads wait for work on a core of their own for a tenth of a second after each
    product or decomposition: time that another worker could have used.
    """
    if count is None or _wanted[-1:] == [count]:
        yield
        return
    before = torch.get_num_threads()
    # Setting the number costs time even if it is the same one.
    if count != before:
        torch.set_num_threads(count)
    _wanted.append(count)
    try:
        with threadpool_limits(limits=count, user_api="blas"):
            yield
    finally:
        _wanted.pop()
        if count != before:
            torch.set_num_threads(before)


def settle(within_s: float = 0.5, look_s: float = 0.02) -> None:
    """Wait, `within_s` seconds at most, until no thread of this process is busy any more.

    After a product the threads of numpy's and scipy's libraries look for more work for a tenth of a second or so. They
    would take the cores and be counted as processor time of whatever is measured next.
    """
    started = time.perf_counter()
    while time.perf_counter() - started < within_s:
        wall, processor = time.perf_counter(), time.process_time()
        time.sleep(look_s)
        if time.process_time() - processor < BUSY * (time.perf_counter() - wall):
            return
