"""Figures that are drawn from rows of the ledger alone: accuracy against cost of all, and the curves of one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ogive import catalog
from ogive.core.errors import MissingData, SpecError
from ogive.files import write_whole
from ogive.reproduce.cost_curve import course_svg
from ogive.reproduce.ledger import read_rows
from ogive.reproduce.recipe import PRESETS, Experiment

__all__ = ["draw_courses", "draw_row"]

# Comparisons whose module draws what a row holds of its seeds.
DRAWN = ("equal_cost", "reward_fronts")


def draw_row(chosen: object, preset: str, ledger: Path, path: Path) -> Path:
    """Draw the curves of a row in the folder `ledger`, as an SVG; SpecError where a recipe has none.

    MissingData where the row of that preset was not measured.
    """
    if not isinstance(chosen, Experiment) or chosen.comparison not in DRAWN:
        raise SpecError("This recipe has no curves: give --figure without a recipe, and all rows in --out are drawn.")
    stem = chosen.name if preset == "paper" else f"{chosen.name}-{preset}"
    row = read_rows(ledger).get(stem)
    if row is None or row["ours"] is None:
        raise MissingData(f"Nothing was measured in {ledger / stem}.json: ogive reproduce {chosen.name} does that.")
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn: Path = catalog.load(f"ogive.experiments.{chosen.comparison}:drawn")(row["seeds"], row["beside"], path)
    return drawn


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
