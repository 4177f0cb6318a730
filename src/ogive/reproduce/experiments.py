"""Run a comparison by equal seeds as a row of the ledger; what its seeds gave is kept in the row."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ogive import catalog
from ogive.core.errors import MissingData, SpecError, StoreError, in_line
from ogive.core.rng import Seed
from ogive.documents import checked, read_json
from ogive.machine import facts
from ogive.metrics import mean_interval
from ogive.reproduce.ledger import empty_row, write_row
from ogive.reproduce.recipe import Experiment
from ogive.reproduce.verdict import Target, doubts, verdict
from ogive.runs import read_run

__all__ = ["judged_experiment", "reproduce_experiment"]


def reproduce_experiment(
    chosen: Experiment,
    *,
    preset: str,
    out: Path,
    seeds: int | None,
    device: str,
    progress: Callable[[int, int], None] | None,
) -> dict[str, Any]:
    """Run a comparison seed by seed and write its row ``out/NAME.json``, or ``NAME-PRESET.json`` for a smaller preset.

    Searches and trainings are kept under ``out/runs``, and an interrupted one goes on where it was; `seeds` takes the
    place of the preset's.
    """
    size = _part(chosen, "Size")(**chosen.size(preset))
    count = size.seeds if seeds is None else seeds
    if count < 1:
        raise SpecError(f"A comparison needs at least one seed, but got seeds={count}.")
    row = empty_row(
        name=chosen.name,
        preset=preset,
        title=chosen.title,
        published=chosen.published,
        published_spread=None,
        unit=chosen.unit,
        source=chosen.source,
        source_checked=chosen.source_checked,
        deviation=chosen.deviation,
        n_seeds=count,
        command=f"ogive reproduce {chosen.name} --preset {preset}" + ("" if seeds is None else f" --seeds {seeds}"),
        settings=chosen.size(preset),
    )
    folder = out / "runs" / f"{chosen.name}-{preset}"
    try:
        row["beside"], row["seeds"] = _part(chosen, "beside")(size), []
        for seed in range(count):
            found = _part(chosen, "one")(size, seed, folder / f"seed-{seed}", device)
            row["seeds"].append({"seed": seed, **found})
            if progress is not None:
                progress(seed + 1, count)
        row = judged_experiment(row, chosen)
    except MissingData as error:
        row |= {"status": "data missing", "because": str(error)}
    row |= {"seconds": round(_spent(folder), 1), "hardware": facts()}
    write_row(row, out / (f"{chosen.name}.json" if preset == "paper" else f"{chosen.name}-{preset}.json"))
    return row


def judged_experiment(row: Mapping[str, Any], chosen: Experiment) -> dict[str, Any]:
    """The row with everything that follows from what its seeds gave."""
    told = _part(chosen, "told")(row["seeds"], row["beside"])
    low, high = mean_interval(told.ours, Seed(0).numpy("seeds"))
    ours = float(np.mean(told.ours))
    found = {
        "ours": ours,
        "interval": None if math.isnan(low) else [low, high],
        "error": chosen.error,
        "margin": chosen.margin,
        "baselines": told.baselines,
        "markdown": list(told.markdown),
    }
    if chosen.published is None:
        return {**row, **found, "status": "measured", "because": "nothing was published to compare with"}
    assert chosen.error is not None
    assert chosen.margin is not None
    target = Target(chosen.published, chosen.error, chosen.margin)
    cheap = {label: value for label, value in told.baselines.items() if label in chosen.cheap}
    against = doubts(target, ours, found["interval"], cheap, 3)
    deviation = chosen.deviation
    if row["preset"] != "paper":
        smaller = f"the preset {row['preset']} is smaller than what was published"
        deviation = smaller if deviation is None else f"{smaller}; {deviation}"
        against = against or ["as near as it is, it is of another experiment"]
    return {**row, **found, **verdict(against, chosen.source_checked, deviation)}


def _part(chosen: Experiment, name: str) -> Any:
    """Something of the module that compares, which imports torch."""
    return catalog.load(f"ogive.experiments.{chosen.comparison}:{name}")


def _spent(folder: Path) -> float:
    """Seconds of all searches and trainings, in whichever sittings."""
    searches = sum(read_run(path.parent).elapsed_s for path in folder.rglob("run.json"))
    trainings = (_training(path) for path in folder.glob("seed-*/**/*.json"))
    return searches + sum(float(found["seconds"]) for found in trainings if isinstance(found, dict) and "macs" in found)


def _training(path: Path) -> Any:
    """A record, whose seconds are some if it is one of a training; StoreError for one that is damaged."""
    try:
        found = read_json(path, object)
        return checked(found, {"seconds": float}) if isinstance(found, dict) and "macs" in found else found
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} is damaged ({in_line(error)}): remove it, and that is done again.") from error
