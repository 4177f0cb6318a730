"""How many threads torch and the linear algebra of numpy work with, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

__all__ = ["threads"]


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Let torch and numpy work with `count` threads, and with as many as before afterwards; None changes nothing.

    Numpy's library counts because its threads wait for work on a core of their own for a tenth of a second after each
    product or decomposition: time that another worker could have used.
    """
    if count is None:
        yield
        return
    before = torch.get_num_threads()
    # Setting the number costs time even if it is the same one.
    if count != before:
        torch.set_num_threads(count)
    try:
        with threadpool_limits(limits=count, user_api="blas"):
            yield
    finally:
        if count != before:
            torch.set_num_threads(before)
