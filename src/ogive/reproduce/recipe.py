"""What is reproduced: searches (``ogive/recipes/*.toml``), rankings and comparisons (the folders in there)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, get_args

from ogive.core.errors import SpecError, UnknownName
from ogive.evaluators.ranked import Combine
from ogive.reproduce.verdict import Target
from ogive.session import Settings, budget_of
from ogive.spec import parse

__all__ = [
    "CHECKS",
    "PRESETS",
    "Column",
    "Combined",
    "Experiment",
    "Ranking",
    "Recipe",
    "check_keys",
    "entries_of",
    "experiment_of",
    "experiments",
    "ranking_of",
    "rankings",
    "read",
    "recipe",
    "recipes",
    "texts_in",
]

PRESETS = ("tiny", "small", "paper")
# How the published figure was seen by whoever wrote the recipe.
CHECKS = ("abstract", "readme", "image", "figure", "table", "code", "memory")

_FIGURE = {"published", "published_spread"}
_REQUIRED = {"title", "unit", "source", "source_checked", "runs", "cheap", "search", "presets"}
_OPTIONAL = {
    "deviation",
    "parameter_baseline",
    "needs_gpu",
    "baselines",
    "columns",
    "seconds_a_trial",
    "keep_runs",
    "label",
}
_SEARCH = {"space", "strategy", "evaluator", "objective", "data", "table", "channels", "cells"}
_PRESET = {"budget", "seeds"}
_COLUMN = {"column", "published", "spread", "error", "margin", "above"}
_RANKING = {"title", "source", "source_checked", "cheap", "scores", "made_by", "table", "proxy", "columns"}
_COMBINED = {"scores", "combine"}
_SHARED = {"title", "unit", "source", "source_checked", "comparison", "presets"}
_TARGET = {"published", "error", "margin"}


@dataclass(frozen=True)
class Column:
    """A column of a benchmark, what was published of it, and what tells ours from something else.

    `spread` is the published standard deviation over searches, from which error and margin of a `Target` follow; where
    there is none, `error` and `margin` say them. `above` leaves out architectures whose value is not above it, in
    rankings.
    """

    column: str
    published: float | None = None
    spread: float | None = None
    error: float | None = None
    margin: float | None = None
    above: float | None = None

    def __post_init__(self) -> None:
        told = self.spread is not None or (self.error is not None and self.margin is not None)
        if self.published is not None and not told:
            raise SpecError(f"The published figure of {self.column} needs a spread, or an error and a margin.")

    def target(self, runs: int | None, seeds: int) -> Target | None:
        """What a mean over so many seeds must meet, the published one being over `runs`; None if there is none."""
        if self.published is None:
            return None
        if self.spread is not None and runs is not None:
            return Target.of_mean(self.published, self.spread, runs, seeds)
        assert self.error is not None
        assert self.margin is not None
        return Target(self.published, self.error, self.margin)


@dataclass(frozen=True)
class Recipe:
    """One row of a published table and how it is reproduced.

    The published figures are means over `runs` searches; where nothing was published, the row tells how far ahead of
    its baselines ours is. `cheap` are the baselines that must not come as near to them as ours, for the row to hold.
    `deviation` says what is known to differ from the paper's protocol. With `columns`, the row has several figures,
    each read from the search's table for the architecture that was found; the first of them is the row's headline.
    `baselines` are other strategies, by what they are called, that get the same budget and seeds. `seconds_a_trial` is
    what a training costs on the clock of the paper, where the table has no training times. Without `keep_runs` no
    search is stored: where one takes milliseconds, waiting for the disk would take most of the time. `label` is what a
    figure calls the row.
    """

    name: str
    title: str
    published: float | None
    published_spread: float | None
    runs: int | None
    unit: str
    source: str
    source_checked: str
    cheap: tuple[str, ...]
    deviation: str | None
    parameter_baseline: bool
    needs_gpu: bool
    search: dict[str, Any]
    presets: dict[str, dict[str, Any]]
    columns: tuple[Column, ...] = ()
    baselines: dict[str, str] = field(default_factory=dict)
    seconds_a_trial: float = 0.0
    keep_runs: bool = True
    label: str | None = None

    @property
    def published_text(self) -> str:
        """The published figure, marked where nobody has checked it."""
        if self.published is None:
            return "–"
        mark = " (unverified)" if self.source_checked == "memory" else ""
        return f"{self.published} ± {self.published_spread} {self.unit}{mark}"

    def settings(self, preset: str, seed: int = 0) -> tuple[Settings, int]:
        """The search of a preset and its number of seeds."""
        if preset not in self.presets:
            raise UnknownName(f"preset of {self.name}", preset, self.presets)
        size = self.presets[preset]
        plain = {key: value for key, value in self.search.items() if key != "objective"}
        objective = self.search.get("objective", "maximize(val_acc)")
        budget = budget_of(str(size["budget"]))
        return Settings(**plain, objectives=(objective,), budget=budget, seed=seed), int(size["seeds"])


@dataclass(frozen=True)
class Combined:
    """Several scores of a table as one more, by how each architecture ranks among all of the table."""

    name: str
    scores: tuple[str, ...]
    combine: Combine


@dataclass(frozen=True)
class Ranking:
    """Published rank correlations of a training-free score, and the table of scores that ours are taken from.

    `scores` is a file relative to the working folder, `made_by` the command that makes it, `proxy` the score whose
    correlations were published; those of `cheap` ones must not come as near to them, for the ranking to hold.
    `combined` are correlated too, after the scores of the file.
    """

    name: str
    title: str
    source: str
    source_checked: str
    cheap: tuple[str, ...]
    deviation: str | None
    scores: str
    made_by: str
    table: str
    proxy: str
    columns: tuple[Column, ...]
    combined: tuple[Combined, ...] = ()

    @property
    def published_text(self) -> str:
        """The published correlations."""
        told = " / ".join(f"{one.published}" for one in self.columns if one.published is not None)
        return f"τ of {self.proxy} {told}" if told else "–"


@dataclass(frozen=True)
class Experiment:
    """A comparison of searches or methods by the same seeds, at several sizes.

    `comparison` is a module of ``ogive.experiments``, whose ``Size`` a preset fills in. What was published is for
    the preset paper, with its `error` and `margin` (see `Target`); the others are measured beside it.
    """

    name: str
    title: str
    unit: str
    source: str
    source_checked: str
    comparison: str
    presets: dict[str, dict[str, Any]]
    published: float | None = None
    error: float | None = None
    margin: float | None = None
    cheap: tuple[str, ...] = ()
    deviation: str | None = None

    @property
    def published_text(self) -> str:
        """The published figure."""
        mark = " (unverified)" if self.source_checked == "memory" else ""
        return "–" if self.published is None else f"{self.published} {self.unit}{mark}"

    def size(self, preset: str) -> dict[str, Any]:
        """What a preset says; UnknownName offers those that there are."""
        if preset not in self.presets:
            raise UnknownName(f"preset of {self.name}", preset, self.presets)
        return self.presets[preset]


def experiments() -> list[Experiment]:
    """All comparisons by equal seeds, by name."""
    found = texts_in(files("ogive.recipes").joinpath("experiments"))
    return sorted((experiment_of(*one) for one in found), key=lambda one: one.name)


def experiment_of(name: str, text: str) -> Experiment:
    """The comparison that a TOML text describes; a SpecError says what is wrong with it."""
    entries = entries_of(name, text)
    check_keys(f"the comparison {name}", entries, _SHARED | _TARGET | {"cheap", "deviation"}, _SHARED)
    given = _TARGET & entries.keys()
    if given and given != _TARGET:
        raise SpecError(f"The published figure of {name} needs published, error and margin, but has {sorted(given)}.")
    for preset in entries["presets"]:
        if preset not in PRESETS:
            raise UnknownName("preset", preset, PRESETS)
    return Experiment(name=name, **{**entries, "cheap": tuple(entries.get("cheap", ()))})


def recipes() -> list[Recipe]:
    """All recipes of searches of the package, by name."""
    return sorted((read(*found) for found in texts_in(files("ogive.recipes"))), key=lambda one: one.name)


def recipe(name: str) -> Recipe:
    """The recipe of that name; UnknownName offers the nearest."""
    known = {entry.name: entry for entry in recipes()}
    if name not in known:
        raise UnknownName("recipe", name, known)
    return known[name]


def rankings() -> list[Ranking]:
    """All rankings of the package, by name."""
    found = texts_in(files("ogive.recipes").joinpath("rankings"))
    return sorted((ranking_of(*one) for one in found), key=lambda one: one.name)


def read(name: str, text: str) -> Recipe:
    """The recipe that a TOML text describes; a SpecError says what is wrong with it."""
    entries = entries_of(name, text)
    columns = _columns(name, entries)
    compared = set() if "published" in entries or columns else {"runs", "cheap"}  # nothing was published
    figure = set() if columns or compared else _FIGURE
    check_keys(f"the recipe {name}", entries, _REQUIRED | _OPTIONAL | figure, (_REQUIRED - compared) | figure)
    check_keys(f"the search of {name}", entries["search"], _SEARCH, {"space"})
    for preset, size in entries["presets"].items():
        if preset not in PRESETS:
            raise UnknownName("preset", preset, PRESETS)
        check_keys(f"the preset {preset} of {name}", size, _PRESET, _PRESET)
    if columns and (columns[0].published is None or "table" not in entries["search"]):
        raise SpecError(f"The columns of {name} need a table in its search, and a published figure for the first.")
    if any(column.published is not None and column.spread is None for column in columns):
        raise SpecError(f"Every published figure of {name} is a mean over searches and needs a spread.")
    optional = {"deviation": None, "parameter_baseline": False, "needs_gpu": False, "runs": None}
    optional |= {"published": None, "published_spread": None}
    headline = {"published": columns[0].published, "published_spread": columns[0].spread} if columns else {}
    baselines = {label: str(parse(text)) for label, text in entries.get("baselines", {}).items()}
    made = {"columns": columns, "baselines": baselines, "cheap": _cheap(name, entries)}
    return Recipe(name=name, **{**optional, **headline, **entries, **made})


def ranking_of(name: str, text: str) -> Ranking:
    """The ranking that a TOML text describes; a SpecError says what is wrong with it."""
    entries = entries_of(name, text)
    check_keys(f"the ranking {name}", entries, _RANKING | {"deviation", "combined"}, _RANKING)
    made = {"columns": _columns(name, entries), "combined": _combined(name, entries), "cheap": tuple(entries["cheap"])}
    return Ranking(name=name, **{"deviation": None, **entries, **made})


def texts_in(folder: Traversable) -> list[tuple[str, str]]:
    """Name and text of every recipe in a folder."""
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".toml")]
    return [(entry.name.removesuffix(".toml"), entry.read_text("utf-8")) for entry in found]


def entries_of(name: str, text: str) -> dict[str, Any]:
    """What a TOML text says; SpecError for what is no TOML, and for a source that was checked in no known way."""
    try:
        entries = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"The recipe {name} is no TOML: {error}.") from error
    if entries.get("source_checked", "table") not in CHECKS:
        raise UnknownName("way in which a source was checked", entries["source_checked"], CHECKS)
    return entries


def _columns(name: str, entries: dict[str, Any]) -> tuple[Column, ...]:
    found = entries.get("columns", [])
    for one in found:
        check_keys(f"a column of {name}", one, _COLUMN, {"column"})
    return tuple(Column(**one) for one in found)


def _combined(name: str, entries: dict[str, Any]) -> tuple[Combined, ...]:
    found = []
    for label, one in entries.get("combined", {}).items():
        check_keys(f"{label} of {name}", one, _COMBINED, _COMBINED)
        if one["combine"] not in get_args(Combine):
            raise UnknownName("way to combine scores", one["combine"], get_args(Combine))
        found.append(Combined(label, tuple(one["scores"]), one["combine"]))
    return tuple(found)


def _cheap(name: str, entries: dict[str, Any]) -> tuple[str, ...]:
    """The baselines that the row must be told apart from; UnknownName for one that is not run."""
    run = {"random", *entries.get("baselines", {}), *(["most parameters"] if entries.get("parameter_baseline") else [])}
    cheap = entries.get("cheap", ())
    for label in cheap:
        if label not in run:
            raise UnknownName(f"baseline of {name}", label, run)
    return tuple(cheap)


def check_keys(where: str, entries: Mapping[str, Any], known: set[str], required: set[str]) -> None:
    """Refuse entries that nobody reads, and those that lack some that are needed."""
    for key in entries:
        if key not in known:
            raise UnknownName(f"key of {where}", key, known)
    missing = required - entries.keys()
    if missing:
        raise SpecError(f"There must be {', '.join(sorted(missing))} in {where}.")
