"""What the comparisons in this folder share: searches and trainings that go on where they stopped, means, intervals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive import session
from ogive.core.architecture import Architecture
from ogive.core.trial import Proposal
from ogive.metrics import mean_interval
from ogive.runs import Run, read_run, write_json

__all__ = ["finished", "interval", "markdown", "searching_s", "spread", "trained"]


def finished(settings: session.Settings, folder: Path) -> Run:
    """Run a search, or go on with it, or read what it found; SpecError if the folder holds another one."""
    if (folder / "run.json").exists():
        session.refuse_other_settings(read_run(folder), settings)
        session.resume(folder)
    else:
        session.search(settings, folder)
    return read_run(folder)


def searching_s(run: Run) -> float:
    """The seconds of a search, without those of its evaluator."""
    return sum(trial.proposal.cost.wall_s for trial in run.trials)


def trained(settings: session.Settings, training: str, arch: Architecture, place: Path) -> dict[str, Any]:
    """What a training gave, from the file if it is done; unfinished ones leave checkpoints beside it."""
    if place.exists():
        known: dict[str, Any] = json.loads(place.read_text())
        return known
    parts = session.assemble(replace(settings, evaluator=training), folder=place.with_suffix(""))
    (measurement,) = parts.evaluator.evaluate([Proposal(arch)])
    if measurement.error:
        raise SystemExit(f"The training of {arch} failed: {measurement.error}")
    place.parent.mkdir(parents=True, exist_ok=True)
    found = {"arch": str(arch), **measurement.metrics, "seconds": measurement.cost.wall_s}
    write_json(place, found)
    return found


def interval(values: npt.ArrayLike) -> list[float] | None:
    """The 95 % interval of a mean; None for fewer than two values."""
    low, high = mean_interval(values, np.random.default_rng(0))
    return None if np.isnan(low) else [low, high]


def spread(mean: float, bounds: list[float] | None, digits: int = 2) -> str:
    """A mean and its interval."""
    told = f"{mean:.{digits}f}"
    return told if bounds is None else f"{told} [{bounds[0]:.{digits}f}, {bounds[1]:.{digits}f}]"


def markdown(titles: list[str], lines: list[list[str]]) -> str:
    """A table in Markdown."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (titles, ["---"] * len(titles), *lines))
