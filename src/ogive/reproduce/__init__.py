"""Reproduce rows of published tables, and keep the ledger: what was published, what came of it here, at which cost.

A recipe is a TOML file in ``ogive/recipes``; a row of the ledger is a JSON file. A figure that somebody only remembers
(``source_checked = "memory"``) is printed as unverified and never used as a target.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ogive.core.errors import UnknownName
from ogive.reproduce.figure import draw_courses
from ogive.reproduce.ledger import describe
from ogive.reproduce.rankings import reproduce_ranking
from ogive.reproduce.recipe import CHECKS, PRESETS, Column, Ranking, Recipe, rankings, recipe, recipes
from ogive.reproduce.recipe import read as _read
from ogive.reproduce.searches import reproduce_search

__all__ = [
    "CHECKS",
    "PRESETS",
    "Column",
    "Ranking",
    "Recipe",
    "_read",
    "describe",
    "draw_courses",
    "rankings",
    "recipe",
    "recipes",
    "reproduce",
]


def reproduce(
    name: str | Recipe | Ranking,
    *,
    preset: str = "small",
    out: Path = Path("reproductions"),
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Run a recipe or a ranking and write its row ``out/NAME.json``, or ``NAME-PRESET.json`` for a smaller preset.

    Finished searches are kept under ``out/runs`` and not repeated, unless the recipe says that they cost nothing.
    Missing data is a row too: it says what is missing; so is a recipe that needs a GPU where there is none. A ranking
    has no presets.
    """
    chosen = _named(name) if isinstance(name, str) else name
    if isinstance(chosen, Ranking):
        return reproduce_ranking(chosen, out=out, progress=progress)
    return reproduce_search(chosen, preset=preset, out=out, workers=workers, progress=progress)


def _named(name: str) -> Recipe | Ranking:
    known: dict[str, Recipe | Ranking] = {one.name: one for one in recipes()}
    known |= {one.name: one for one in rankings()}
    if name not in known:
        raise UnknownName("recipe", name, known)
    return known[name]
