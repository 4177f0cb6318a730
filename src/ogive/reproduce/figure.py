"""The figure of accuracy against the cost of a search, drawn from the rows of the ledger alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ogive.files import write_whole
from ogive.reproduce.cost_curve import course_svg
from ogive.reproduce.ledger import read_rows
from ogive.reproduce.recipe import PRESETS

__all__ = ["draw_courses"]


def draw_courses(ledger: Path, path: Path) -> Path:
    """Draw every row in the folder `ledger` that tells the course of a search, as an SVG; returns its path.

    Of one recipe, the row of the largest preset counts. SpecError where no row tells a course.
    """
    best: dict[str, dict[str, Any]] = {}
    for row in read_rows(ledger).values():
        if row.get("course"):
            known = best.get(row["name"])
            if known is None or PRESETS.index(row["preset"]) > PRESETS.index(known["preset"]):
                best[row["name"]] = row
    rows = sorted(best.values(), key=lambda row: float(row["course"]["seconds"][-1]))
    title = "NAS-Bench-201: test accuracy on CIFAR-10 against the cost of the search"
    text = course_svg(rows, title=title, notes=_notes(rows))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)
    return path


def _notes(rows: Sequence[dict[str, Any]]) -> list[str]:
    """What was averaged, and what the clock is."""
    seeds = sorted({int(row["n_seeds"]) for row in rows})
    means = f"Means over {' or '.join(map(str, seeds))} searches; bars are 95 % intervals of the mean."
    notes = [f"{means} Dots cost processor seconds of scoring, measured here."]
    trainings = sorted({float(row["course"]["seconds_a_trial"]) for row in rows} - {0.0})
    if trainings:
        a_trial = " or ".join(f"{seconds:g}" for seconds in trainings)
        notes.append(
            f"Lines cost {a_trial} s a training of 12 epochs on the authors' GPU: the mean of the 1,000 cells whose "
            "times were at hand, for every cell."
        )
    return notes
