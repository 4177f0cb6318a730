"""What the comparisons in this folder share: a search that goes on where it stopped, and means with their intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ogive import session
from ogive.metrics import bootstrap_interval
from ogive.runs import Run, read_run

__all__ = ["finished", "interval", "markdown", "spread"]


def finished(settings: session.Settings, folder: Path) -> Run:
    """Run a search, or go on with it, or read what it found; SpecError if the folder holds another one."""
    if (folder / "run.json").exists():
        session.refuse_other_settings(read_run(folder), settings)
        session.resume(folder)
    else:
        session.search(settings, folder)
    return read_run(folder)


def interval(values: npt.ArrayLike) -> list[float] | None:
    """The 95 % bootstrap interval of a mean; None for fewer than two values."""
    low, high = bootstrap_interval(values, np.random.default_rng(0))
    return None if np.isnan(low) else [low, high]


def spread(mean: float, bounds: list[float] | None, digits: int = 2) -> str:
    """A mean and its interval."""
    told = f"{mean:.{digits}f}"
    return told if bounds is None else f"{told} [{bounds[0]:.{digits}f}, {bounds[1]:.{digits}f}]"


def markdown(titles: list[str], lines: list[list[str]]) -> str:
    """A table in Markdown."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (titles, ["---"] * len(titles), *lines))
