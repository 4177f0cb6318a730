"""Reproduce rows of published tables, and keep the ledger: what was published, what came of it here, at which cost.

A recipe is a TOML file in ``ogive/recipes``; a row of the ledger is a JSON file. A figure that somebody only remembers
(``source_checked = "memory"``) is printed as unverified and never used as a target.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ogive.core.errors import SpecError, UnknownName
from ogive.reproduce.experiments import judged_experiment, reproduce_experiment
from ogive.reproduce.figure import draw_courses, draw_row
from ogive.reproduce.ledger import describe, ours_text, read_rows
from ogive.reproduce.predictor_recipe import Learned, learned
from ogive.reproduce.predictors import judged_learned, reproduce_learned
from ogive.reproduce.queries import Queries, judged_queries, queries, reproduce_queries
from ogive.reproduce.rankings import judged_ranking, reproduce_ranking
from ogive.reproduce.recipe import (
    CHECKS,
    PRESETS,
    Column,
    Experiment,
    Ranking,
    Recipe,
    experiments,
    rankings,
    recipe,
    recipes,
)
from ogive.reproduce.recipe import read as _read
from ogive.reproduce.searches import judged_search, reproduce_search

__all__ = [
    "CHECKS",
    "PRESETS",
    "Column",
    "Experiment",
    "Learned",
    "Queries",
    "Ranking",
    "Recipe",
    "_read",
    "describe",
    "draw_courses",
    "draw_curves",
    "everything",
    "experiments",
    "judged",
    "learned",
    "listed",
    "queries",
    "rankings",
    "recipe",
    "recipes",
    "reproduce",
]


def reproduce(
    name: str | Recipe | Ranking | Experiment | Learned | Queries,
    *,
    preset: str = "small",
    out: Path = Path("reproductions"),
    workers: int = 1,
    seeds: int | None = None,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Run what is reproduced and write its row ``out/NAME.json``, or ``NAME-PRESET.json`` for a smaller preset.

    Finished searches are kept under ``out/runs`` and not repeated, unless the recipe says that they cost nothing.
    Missing data is a row too: it says what is missing; so is a recipe that needs a GPU where there is none. Rankings,
    by scores or by predictors, and counts of queries have no presets. `seeds`, in place of the recipe's, is for
    predictors, for queries and, as `device`, for comparisons by equal seeds.
    """
    chosen = _named(name) if isinstance(name, str) else name
    if isinstance(chosen, Experiment):
        return reproduce_experiment(chosen, preset=preset, out=out, seeds=seeds, device=device, progress=progress)
    if device != "cpu" or not (seeds is None or isinstance(chosen, Learned | Queries)):
        raise SpecError(f"{chosen.name} has the seeds of its preset and runs on the CPU: leave seeds and device out.")
    if isinstance(chosen, Learned):
        return reproduce_learned(chosen, out=out, seeds=seeds, progress=progress)
    if isinstance(chosen, Queries):
        return reproduce_queries(chosen, out=out, seeds=seeds, progress=progress)
    if isinstance(chosen, Ranking):
        return reproduce_ranking(chosen, out=out, progress=progress)
    return reproduce_search(chosen, preset=preset, out=out, workers=workers, progress=progress)


def everything() -> list[Recipe | Ranking | Experiment | Learned | Queries]:
    """Whatever can be reproduced: searches, rankings with and without labels, comparisons by equal seeds."""
    return [*recipes(), *rankings(), *learned(), *queries(), *experiments()]


def listed(out: Path) -> list[tuple[str, str, str, str, str]]:
    """Of everything: name, what was published, what the largest preset gave in `out`, its status, and the source."""
    rows = read_rows(out)
    lines = []
    for one in everything():
        names = [one.name, *(f"{one.name}-{preset}" for preset in reversed(PRESETS))]
        row = next((rows[name] for name in names if name in rows), None)
        ours, status = ("–", "–") if row is None else (ours_text(row), row["status"])
        lines.append((one.name, one.published_text, ours, status, one.source))
    return lines


def draw_curves(name: str, preset: str, out: Path, path: Path) -> Path:
    """Draw the curves of the row of a recipe in the folder `out`, as an SVG; SpecError where it has none."""
    return draw_row(_named(name), preset, out, path)


def judged(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the ledger with all that follows from what it holds of its seeds, by its recipe as it is now."""
    chosen = _named(row["name"])
    if "ours" in row and row["ours"] is None:
        return row
    if isinstance(chosen, Experiment):
        return judged_experiment(row, chosen)
    if isinstance(chosen, Learned):
        return judged_learned(row, chosen)
    if isinstance(chosen, Queries):
        return judged_queries(row, chosen)
    return judged_ranking(row, chosen) if isinstance(chosen, Ranking) else judged_search(row, chosen)


def _named(name: str) -> Recipe | Ranking | Experiment | Learned | Queries:
    known = {one.name: one for one in everything()}
    if name not in known:
        raise UnknownName("recipe", name, known)
    return known[name]
