"""How many threads torch works with, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["threads"]


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Let torch work with `count` threads, and with as many as before afterwards; None changes nothing."""
    before = torch.get_num_threads()
    wanted = before if count is None else count
    # Setting the number costs time even if it is the same one.
    if wanted != before:
        torch.set_num_threads(wanted)
    try:
        yield
    finally:
        if wanted != before:
            torch.set_num_threads(before)
