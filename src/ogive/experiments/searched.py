"""What the comparisons share: searches and trainings that go on where they stopped, and what seeds come to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ogive import session
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.core.trial import Budget, Proposal
from ogive.files import write_json
from ogive.metrics import interval_name, mean_interval
from ogive.runs import Run, read_run

__all__ = [
    "Plan",
    "Told",
    "among",
    "finished",
    "markdown",
    "mean",
    "minus",
    "searching_s",
    "settings_of",
    "spread",
    "trained",
]

Rows = Sequence[Mapping[str, Any]]


class Plan(Protocol):
    """What every size of a comparison says: the data, the width and the depth of its networks, and how many seeds."""

    @property
    def data(self) -> str: ...
    @property
    def channels(self) -> int: ...
    @property
    def cells(self) -> int | None: ...
    @property
    def seeds(self) -> int: ...


@dataclass(frozen=True)
class Told:
    """What all seeds came to: the headline by seed, the means of what stands beside it, and tables in Markdown."""

    ours: tuple[float, ...]
    baselines: dict[str, float]
    markdown: tuple[str, ...]


def settings_of(size: Plan, seed: int, device: str, **given: Any) -> session.Settings:
    """A search that ends by itself; unless `given` says more it measures as little as a run can."""
    plain: dict[str, Any] = {
        "evaluator": "training_free(params)",
        "objectives": ("maximize(params)",),
        "data": size.data,
        "channels": size.channels,
        "cells": size.cells,
        "seed": seed,
        "device": device,
        "threads": 1 if device == "cpu" else None,
        "budget": Budget(trials=10_000),
    }
    return session.Settings(**{**plain, **given})


def finished(settings: session.Settings, folder: Path, parts: session.Parts | None = None) -> Run:
    """Run a search, or go on with it, or read what it found; SpecError if the folder holds another one."""
    if (folder / "run.json").exists():
        session.refuse_other_settings(read_run(folder), settings)
        session.resume(folder, parts=parts)
    else:
        session.search(settings, folder, parts=parts)
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
        raise SpecError(f"The training of {arch} failed: {measurement.error}")
    place.parent.mkdir(parents=True, exist_ok=True)
    found = {"arch": str(arch), **measurement.metrics, "seconds": measurement.cost.wall_s}
    write_json(place, found)
    return found


# -- what seeds come to -----------------------------------------------------------------------------------------------


def spread(values: Sequence[float], digits: int = 2) -> str:
    """A mean and its interval, which one value does not have."""
    low, high = mean_interval(values, Seed(0).numpy("seeds"))
    told = f"{mean(values):.{digits}f}"
    return told if np.isnan(low) else f"{told} [{low:.{digits}f}, {high:.{digits}f}]"


def minus(name: str, values: Sequence[float], other: str, others: Sequence[float], digits: int = 2) -> str:
    """A difference paired by seed, with its interval: seeds share images, so that it is the difference that varies."""
    found = [own - rival for own, rival in zip(values, others, strict=True)]
    each = ", ".join(f"{one:+.{digits}f}" for one in found)
    return f"* {name} minus {other}: {spread(found, digits)} (by seed {each})"


def mean(values: Sequence[float]) -> float:
    """The mean of some numbers."""
    return float(np.mean(values))


def among(values: Sequence[float], digits: int = 0) -> str:
    """The mean of some numbers as a cell of a table, thousands apart."""
    return f"{mean(values):,.{digits}f}"


def markdown(titles: Sequence[str], lines: Sequence[Sequence[str]], seeds: int) -> tuple[str, ...]:
    """A table in Markdown, with a line before it that says what its intervals are."""
    rows = (titles, ["---"] * len(titles), *lines)
    count = "one seed" if seeds == 1 else f"mean over {seeds} seeds [{interval_name(seeds)}]"
    return (f"{count}:", "", *("| " + " | ".join(cells) + " |" for cells in rows))
