"""One process at a time trains in a folder: the others wait, and then find what it left there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ogive.core.errors import StoreError
from ogive.runs import lock_file
from ogive.training.distributed import current

__all__ = ["lock"]

WAIT_S = 1.0  # between two looks at a folder in which another process trains


@contextmanager
def lock(folder: Path, what: str, tell: Callable[[str], None] | None) -> Iterator[None]:
    """Wait until no other process trains `what` in the folder, such as another worker of the same search.

    Of processes that train together one waits for all.
    """
    ranks = current()
    if not ranks.writes:
        ranks.wait()
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise StoreError(
            f"{folder} cannot be written ({error.strerror}): make room, or choose another place."
        ) from None
    try:
        while True:
            try:
                lock_file(descriptor)
                break
            except OSError:
                if tell is not None:
                    tell(f"another process trains the {what} in {folder.name}; waiting for it")
                time.sleep(WAIT_S)
        ranks.wait()
        yield
    finally:
        os.close(descriptor)
