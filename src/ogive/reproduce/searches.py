"""Reproduce a row of a published table of searches: run the search with many seeds, and its baselines beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive import catalog
from ogive.comparison import Comparison, compare
from ogive.core.architecture import Architecture
from ogive.core.errors import MissingData
from ogive.core.rng import Seed
from ogive.metrics import Interval, interval_name, mean_interval
from ogive.paired import interval_of, pairs_of
from ogive.reproduce.ledger import Sittings, empty_row, write_row
from ogive.reproduce.recipe import Column, Recipe
from ogive.reproduce.verdict import columns_verdict, doubts
from ogive.runs import read_run
from ogive.session import Settings
from ogive.spec import parse

__all__ = ["judged_search", "reproduce_search"]

Floats = npt.NDArray[np.float64]
Values = Mapping[str, Mapping[str, Floats]]


def reproduce_search(
    chosen: Recipe, *, preset: str, out: Path, workers: int, progress: Callable[[int, int], None] | None
) -> dict[str, Any]:
    """Run a recipe and write its row ``out/NAME.json``, or ``NAME-PRESET.json`` for a preset other than paper."""
    settings, seeds = chosen.settings(preset)
    row = _row(chosen, preset, settings, seeds)
    folder = out / "runs" / f"{chosen.name}-{preset}" if chosen.keep_runs else None
    path = out / (f"{chosen.name}.json" if preset == "paper" else f"{chosen.name}-{preset}.json")
    sittings = Sittings(path)

    def told(done: int, total: int) -> None:
        if folder is None:
            sittings.note()
        if progress is not None:
            progress(done, total)

    if not chosen.needs_gpu or catalog.load("torch.cuda:is_available")():
        try:
            _check_columns(chosen, settings)
            found = compare(
                [settings.strategy, *chosen.baselines.values()],
                settings,
                seeds=seeds,
                workers=workers,
                folder=folder,
                progress=told,
            )
            largest = _parameter_baseline(chosen, settings, seeds, folder and folder / "most-parameters")
            row |= _several(chosen, found, largest) if chosen.columns else _measured(chosen, found, largest)
            row = judged_search(row, chosen)
        except MissingData as error:
            row |= {"status": "data missing", "because": str(error)}
    row["seconds"] = round(sittings.over() if folder is None else _spent(folder), 1)
    write_row(row, path)
    return row


def _check_columns(chosen: Recipe, settings: Settings) -> None:
    """Raise, before the searches and not after them, for a column that the table does not have."""
    if chosen.columns:
        table = catalog.load("open_table")(settings.table)
        for column in chosen.columns:
            table.named(column.column)


def _spent(folder: Path) -> float:
    """Seconds of searching, in whichever sittings: a resumed reproduction costs what an uninterrupted one does."""
    return sum(read_run(path.parent).elapsed_s for path in folder.rglob("run.json"))


def _row(chosen: Recipe, preset: str, settings: Settings, seeds: int) -> dict[str, Any]:
    row = empty_row(
        name=chosen.name,
        preset=preset,
        title=chosen.title,
        published=chosen.published,
        published_spread=chosen.published_spread,
        unit=chosen.unit,
        source=chosen.source,
        source_checked=chosen.source_checked,
        deviation=chosen.deviation,
        n_seeds=seeds,
        command=f"ogive reproduce {chosen.name} --preset {preset}",
        settings=settings.config(),
    )
    return row | ({"status": "pending GPU"} if chosen.needs_gpu else {})


# -- one figure -------------------------------------------------------------------------------------------------------


def _measured(chosen: Recipe, found: Comparison, largest: Comparison | None) -> dict[str, Any]:
    wanted = str(parse(found.settings.strategy))
    means = {row.strategy: getattr(row, found.value) for row in found.rows()}
    if math.isnan(means.pop(wanted)):
        return {"status": "differs", "because": "a search with some seed found nothing that works"}
    sample = {row.strategy: [getattr(one, found.value) for one in found.of(row.strategy)] for row in found.rows()}
    sample = {strategy: values for strategy, values in sample.items() if np.isfinite(values).all()}
    labels = {text: label for label, text in chosen.baselines.items()}
    others = {labels.get(text, text): value for text, value in means.items() if math.isfinite(value)}
    if largest is not None and (reported := largest.rows()[0].reported) is not None:
        others["most parameters"] = reported
    return {"baselines": others, "sample": {"of": found.value, "ours": wanted, "values": sample}}


def _mean_of_sample(row: Mapping[str, Any]) -> dict[str, Any]:
    """The mean over the searches of a row, with its interval, and how far ahead of others they are, seed by seed."""
    sample, seed = row["sample"], row["settings"]["seed"]
    wanted, of = sample["ours"], sample["of"]
    values = {strategy: np.array(found, np.float64) for strategy, found in sample["values"].items()}
    ahead = {}
    for pair in pairs_of(values, seed, of):
        if wanted in (pair.first, pair.second):
            sign, other = (1, pair.second) if pair.first == wanted else (-1, pair.first)
            ends = Interval(*sorted(sign * end for end in pair.interval))
            ahead[other] = {"ahead": sign * pair.difference, "interval": _bounds(ends), "p": pair.adjusted_p_value}
    interval = interval_of(values[wanted], seed, f"{of} {wanted}")
    return {"ours": float(values[wanted].mean()), "interval": _bounds(interval), "pairs": ahead}


def _bounds(interval: Interval) -> list[float] | None:
    return None if math.isnan(interval.low) else list(interval)


def _parameter_baseline(chosen: Recipe, settings: Settings, seeds: int, folder: Path | None) -> Comparison | None:
    """The cheapest predictor of all: of as many random architectures, take the one with the most parameters."""
    if not chosen.parameter_baseline:
        return None
    largest = replace(settings, strategy="random", objectives=("maximize(params)",))
    return compare(["random"], largest, seeds=seeds, folder=folder)


# -- several figures of what was found --------------------------------------------------------------------------------


def _several(chosen: Recipe, found: Comparison, largest: Comparison | None) -> dict[str, Any]:
    """Every column of the recipe for the architectures that were found, and the course of the search."""
    if any(outcome.arch is None for outcome in found.outcomes):
        return {"status": "differs", "because": "a search with some seed found nothing that works"}
    table = catalog.load("open_table")(found.settings.table)
    labels = {str(parse(found.settings.strategy)): "ours", **{text: label for label, text in chosen.baselines.items()}}
    answers = {labels.get(name, name): _answers(found, name) for name in found.strategies}
    if largest is not None:
        answers["most parameters"] = _answers(largest, "random")
    values: Values = {
        label: {
            column.column: np.array([table.value(arch, column.column) for arch in archs]) for column in chosen.columns
        }
        for label, archs in answers.items()
    }
    cells = list(dict.fromkeys(answers["ours"]))
    return {
        "found": [cells.index(arch) for arch in answers["ours"]],
        "cells": [str(arch) for arch in cells],
        "columns": [
            _column(column, values, [table.value(a, column.column) for a in cells]) for column in chosen.columns
        ],
        "course": _course(chosen, found, chosen.seconds_a_trial * (not table.timed)),
    }


def _answers(found: Comparison, strategy: str) -> list[Architecture]:
    return [Architecture.parse(str(outcome.arch)) for outcome in found.of(strategy)]


def _column(column: Column, values: Values, of_cells: Sequence[float]) -> dict[str, Any]:
    return {
        "column": column.column,
        "published": column.published,
        "published_spread": column.spread,
        "values": list(map(float, of_cells)),
        "baselines": {label: float(found[column.column].mean()) for label, found in values.items() if label != "ours"},
    }


def _mean_of_cells(column: Mapping[str, Any], found: Sequence[int], seed: int) -> dict[str, Any]:
    """The mean of a column over the cells that were found, a number for each search, with interval and spread."""
    own = np.array(column["values"], np.float64)[list(found)]
    interval = mean_interval(own, Seed(seed).child("reproduce").numpy(column["column"]))
    spread = float(own.std(ddof=1)) if len(own) > 1 else None
    return {"ours": float(own.mean()), "interval": _bounds(interval), "spread": spread}


def _course(chosen: Recipe, found: Comparison, seconds_a_trial: float) -> dict[str, Any]:
    """After every trial, the means over the seeds: seconds spent, and what the search would have answered.

    `seconds_a_trial` are spent beside those that the table knows of.
    """
    own = found.of(str(parse(found.settings.strategy)))
    trials = min(len(outcome.curve) for outcome in own)
    clock = _mean([outcome.benchmark_s[:trials] for outcome in own])
    trained = seconds_a_trial * np.arange(1, trials + 1)
    course = {"seconds": clock + trained, "test_acc": _mean([outcome.reported_curve[:trials] for outcome in own])}
    rounded = {name: [round(value, 4) for value in values.tolist()] for name, values in course.items()}
    return {"label": chosen.label or chosen.name, "seconds_a_trial": seconds_a_trial, **rounded}


def _mean(curves: Sequence[Sequence[float]]) -> Floats:
    mean: Floats = np.mean(np.asarray(curves, np.float64), axis=0)
    return mean


# -- the verdict ------------------------------------------------------------------------------------------------------


def judged_search(row: Mapping[str, Any], chosen: Recipe) -> dict[str, Any]:
    """The row with all that follows from what its searches found: means and intervals, the status, and a table."""
    if not {"sample", "found"} & row.keys():
        return dict(row)  # nothing was measured
    if not chosen.columns:
        row = {**row, **_mean_of_sample(row)}
        about = _about(Column("", chosen.published, chosen.published_spread), row, chosen, row["n_seeds"])
        told = columns_verdict([about | {"published": chosen.published}], chosen.source_checked, chosen.deviation)
        return {**row, "error": about["error"], "margin": about["margin"], **told}
    known = {column.column: column for column in chosen.columns}
    seed = row["settings"]["seed"]
    measured = [one | _mean_of_cells(one, row["found"], seed) for one in row["columns"]]
    columns = [one | _about(known[one["column"]], one, chosen, row["n_seeds"]) for one in measured]
    about = {name: columns[0][name] for name in ("ours", "interval", "baselines", "error", "margin")}
    told = columns_verdict(columns, chosen.source_checked, chosen.deviation)
    return {**row, **about, "columns": columns, "markdown": _markdown(columns, row["n_seeds"]), **told}


def _about(column: Column, measured: Mapping[str, Any], chosen: Recipe, seeds: int) -> dict[str, Any]:
    """Error and margin of what was published, and what speaks against ours being that."""
    target = column.target(chosen.runs, seeds)
    cheap = {label: value for label, value in measured["baselines"].items() if label in chosen.cheap}
    return {
        "label": column.column,
        "error": None if target is None else target.error,
        "margin": None if target is None else target.margin,
        "doubts": [] if target is None else doubts(target, measured["ours"], measured["interval"], cheap),
    }


def _markdown(columns: Sequence[Mapping[str, Any]], seeds: int) -> list[str]:
    """The columns as a table for a README, baselines to the right."""
    baselines = list(columns[0]["baselines"])
    titles = ["column", "published", f"ours [{interval_name(seeds)}]", *baselines, "holds"]
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    for one in columns:
        spread = "" if one["published_spread"] is None else f" ± {one['published_spread']:.2f}"
        published = "–" if one["published"] is None else f"{one['published']:.2f}{spread}"
        own = "" if one["spread"] is None else f" ± {one['spread']:.2f}"
        interval = "" if one["interval"] is None else " [{:.2f}, {:.2f}]".format(*one["interval"])
        others = [f"{one['baselines'][label]:.2f}" for label in baselines]
        holds = "–" if one["published"] is None else "no" if one["doubts"] else "yes"
        ours = f"{one['ours']:.2f}{own}{interval}"
        lines.append("| " + " | ".join([f"`{one['column']}`", published, ours, *others, holds]) + " |")
    return lines
