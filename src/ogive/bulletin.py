"""What a search at work says of itself in its run folder, for whoever looks at it from another terminal."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ogive.session import Watch
from ogive.showing import repeating

__all__ = ["Notice", "notice_of", "posted"]

NAME = "now.json"
EVERY_S = 1.0
# Without a word for so long, a search is not at work any more.
SILENT_S = 15.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Notice:
    """Where a search stood, in lines as a `Watch` has them, at a moment in seconds since 1970; `over` when it ended."""

    at_s: float
    over: bool
    headline: str
    under_way: tuple[str, ...]

    @property
    def is_silent(self) -> bool:
        """Whether it is so old that nothing is at work, unless that had ended anyway."""
        return time.time() - self.at_s > SILENT_S


@contextmanager
def posted(watch: Watch, folder: Path) -> Iterator[None]:
    """Write what a watch says into the artifacts of a run, every second meanwhile and once more at the end.

    A folder that cannot be written is no reason to end a search: then nobody can look.
    """
    with repeating(lambda: _write(watch, folder, over=False), EVERY_S):
        yield
    _write(watch, folder, over=True)


def _write(watch: Watch, folder: Path, *, over: bool) -> None:
    if not (folder / "run.json").exists():  # before there is a run, its folder must stay empty
        return
    path = folder / "artifacts" / NAME
    notice = Notice(time.time(), over, watch.headline, () if over else tuple(watch.under_way))
    try:
        scratch = path.with_name(f"{NAME}.new")
        scratch.write_text(json.dumps(asdict(notice)), encoding="utf-8")
        scratch.replace(path)
    except OSError as error:
        logger.debug("%s could not be written: %s", path, error)


def notice_of(folder: Path) -> Notice | None:
    """The last one of a run; None where there is none that can be read."""
    try:
        read = json.loads((folder / "artifacts" / NAME).read_text(encoding="utf-8"))
        lines = tuple(str(line) for line in read["under_way"])
        return Notice(float(read["at_s"]), bool(read["over"]), str(read["headline"]), lines)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
