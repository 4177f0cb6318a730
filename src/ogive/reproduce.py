"""Reproduce rows of published tables, and keep the ledger: what was published, what came of it here, at which cost.

A recipe is a TOML file in ``ogive/recipes``; a row of the ledger is a JSON file. A figure that somebody only remembers
(``source_checked = "memory"``) is printed as unverified and never used as a target.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from ogive import catalog
from ogive.compare import Comparison, compare
from ogive.core.errors import MissingData, SpecError, UnknownName
from ogive.machine import facts
from ogive.runs import read_run, write_json
from ogive.session import Settings, budget_of
from ogive.spec import parse

__all__ = ["CHECKS", "PRESETS", "Recipe", "describe", "recipe", "recipes", "reproduce"]

PRESETS = ("tiny", "small", "paper")
# How the published figure was seen by whoever wrote the recipe.
CHECKS = ("abstract", "readme", "image", "table", "code", "memory")

_REQUIRED = {"title", "published", "unit", "source", "source_checked", "tolerance", "search", "presets"}
_OPTIONAL = {"published_spread", "deviation", "parameter_baseline", "needs_gpu"}
_SEARCH = {"space", "strategy", "evaluator", "objective", "data", "table", "channels", "cells"}
_PRESET = {"budget", "seeds"}


@dataclass(frozen=True)
class Recipe:
    """One row of a published table and how it is reproduced.

    `tolerance` is how far our mean may lie from the published one, in `unit`, for the row to hold. `deviation` says
    what is known to differ from the paper's protocol.
    """

    name: str
    title: str
    published: float
    published_spread: float | None
    unit: str
    source: str
    source_checked: str
    tolerance: float
    deviation: str | None
    parameter_baseline: bool
    needs_gpu: bool
    search: dict[str, Any]
    presets: dict[str, dict[str, Any]]

    @property
    def published_text(self) -> str:
        """The published figure, marked where nobody has checked it."""
        spread = "" if self.published_spread is None else f" ± {self.published_spread}"
        mark = " (unverified)" if self.source_checked == "memory" else ""
        return f"{self.published}{spread} {self.unit}{mark}"

    def settings(self, preset: str, seed: int = 0) -> tuple[Settings, int]:
        """The search of a preset and its number of seeds."""
        if preset not in self.presets:
            raise UnknownName(f"preset of {self.name}", preset, self.presets)
        size = self.presets[preset]
        plain = {key: value for key, value in self.search.items() if key != "objective"}
        objective = self.search.get("objective", "maximize(val_acc)")
        budget = budget_of(str(size["budget"]))
        return Settings(**plain, objectives=(objective,), budget=budget, seed=seed), int(size["seeds"])


def recipes() -> list[Recipe]:
    """All recipes of the package, by name."""
    found = [entry for entry in files("ogive.recipes").iterdir() if entry.name.endswith(".toml")]
    return sorted((_read(e.name.removesuffix(".toml"), e.read_text("utf-8")) for e in found), key=lambda r: r.name)


def recipe(name: str) -> Recipe:
    """The recipe of that name; UnknownName offers the nearest."""
    known = {entry.name: entry for entry in recipes()}
    if name not in known:
        raise UnknownName("recipe", name, known)
    return known[name]


def reproduce(
    name: str | Recipe,
    *,
    preset: str = "small",
    out: Path = Path("reproductions"),
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Run a recipe and write its row ``out/NAME.json``, or ``NAME-PRESET.json`` for a preset other than paper.

    Finished searches are kept under ``out/runs`` and not repeated. Missing data is a row too: it says what is missing;
    so is a recipe that needs a GPU where there is none.
    """
    chosen = recipe(name) if isinstance(name, str) else name
    settings, seeds = chosen.settings(preset)
    row = _row(chosen, preset, settings, seeds)
    folder = out / "runs" / f"{chosen.name}-{preset}"
    if not chosen.needs_gpu or catalog.load("torch.cuda:is_available")():
        try:
            found = compare(
                [settings.strategy], settings, seeds=seeds, workers=workers, folder=folder, progress=progress
            )
            row |= _measured(chosen, found)
            row["baselines"] |= _parameter_baseline(chosen, settings, seeds)
        except MissingData as error:
            row |= {"status": "data missing", "because": str(error)}
    # Of searching, in whichever sittings: a resumed reproduction has cost what an uninterrupted one would have.
    row["seconds"] = round(sum(read_run(path.parent).elapsed_s for path in folder.glob("*/run.json")), 1)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / (f"{chosen.name}.json" if preset == "paper" else f"{chosen.name}-{preset}.json"), row)
    return row


def describe(row: dict[str, Any], say: Callable[[str], None]) -> None:
    """Say what a row of the ledger holds, in plain lines."""
    mark = " (unverified: from memory, no target)" if row["source_checked"] == "memory" else ""
    say(f"{row['name']} ({row['preset']}): {row['title']}")
    say(f"  published  {row['published']} {row['unit']}{mark}; {row['source']}")
    if row["ours"] is not None:
        interval = "" if row["interval"] is None else " [{:.3f}, {:.3f}]".format(*row["interval"])
        say(f"  ours       {row['ours']:.3f}{interval} {row['unit']}, {row['n_seeds']} seeds")
    for baseline, value in row["baselines"].items():
        say(f"  {baseline:10} {value:.3f} {row['unit']}")
    if row["deviation"]:
        say(f"  deviation  {row['deviation']}")
    because = f", because {row['because']}" if row["because"] else ""
    say(f"  status     {row['status']}{because}; {row['seconds']} s")


def _row(chosen: Recipe, preset: str, settings: Settings, seeds: int) -> dict[str, Any]:
    machine = facts()
    return {
        "schema": 1,
        "name": chosen.name,
        "preset": preset,
        "title": chosen.title,
        "published": chosen.published,
        "published_spread": chosen.published_spread,
        "unit": chosen.unit,
        "source": chosen.source,
        "source_checked": chosen.source_checked,
        "tolerance": chosen.tolerance,
        "deviation": chosen.deviation,
        "ours": None,
        "interval": None,
        "n_seeds": seeds,
        "baselines": {},
        "command": f"ogive reproduce {chosen.name} --preset {preset}",
        "settings": settings.config(),
        "hardware": machine,
        "commit": machine.get("commit"),
        "date": datetime.now(UTC).date().isoformat(),
        "status": "pending GPU" if chosen.needs_gpu else "data missing",
        "because": None,
    }


def _measured(chosen: Recipe, found: Comparison) -> dict[str, Any]:
    wanted = str(parse(chosen.search.get("strategy", Settings.strategy)))
    means = {row.strategy: getattr(row, found.value) for row in found.rows()}
    mean, ours = means.pop(wanted), next(row for row in found.rows() if row.strategy == wanted)
    if math.isnan(mean):
        return {"status": "differs", "because": "a search with some seed found nothing that works"}
    interval = ours.score_interval if found.value == "score" else ours.reported_interval
    assert interval is not None
    others = {strategy: value for strategy, value in means.items() if math.isfinite(value)}
    holds = abs(mean - chosen.published) <= chosen.tolerance
    status, because = ("holds", None) if holds else ("differs", chosen.deviation or "of an unknown reason")
    if chosen.source_checked == "memory":
        status, because = "measured", "the published figure is unverified and no target"
    bounds = None if math.isnan(interval.low) else [interval.low, interval.high]
    return {"ours": mean, "interval": bounds, "baselines": others, "status": status, "because": because}


def _parameter_baseline(chosen: Recipe, settings: Settings, seeds: int) -> dict[str, float]:
    """The cheapest predictor of all: of as many random architectures, take the one with the most parameters."""
    if not chosen.parameter_baseline:
        return {}
    largest = replace(settings, strategy="random", objectives=("maximize(params)",))
    row = compare(["random"], largest, seeds=seeds).rows()[0]
    return {} if row.reported is None else {"most parameters": row.reported}


def _read(name: str, text: str) -> Recipe:
    try:
        entries = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"The recipe {name} is no TOML: {error}.") from error
    _check_keys(f"the recipe {name}", entries, _REQUIRED | _OPTIONAL, _REQUIRED)
    _check_keys(f"the search of {name}", entries["search"], _SEARCH, {"space"})
    if entries["source_checked"] not in CHECKS:
        raise UnknownName("way in which a source was checked", entries["source_checked"], CHECKS)
    for preset, size in entries["presets"].items():
        if preset not in PRESETS:
            raise UnknownName("preset", preset, PRESETS)
        _check_keys(f"the preset {preset} of {name}", size, _PRESET, _PRESET)
    optional = {"published_spread": None, "deviation": None, "parameter_baseline": False, "needs_gpu": False}
    return Recipe(name=name, **{**optional, **entries})


def _check_keys(where: str, entries: dict[str, Any], known: set[str], required: set[str]) -> None:
    for key in entries:
        if key not in known:
            raise UnknownName(f"key of {where}", key, known)
    missing = required - entries.keys()
    if missing:
        raise SpecError(f"There must be {', '.join(sorted(missing))} in {where}.")
