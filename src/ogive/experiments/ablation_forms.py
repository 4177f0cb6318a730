"""The forms of the ablation loss of D-DARTS: what they add to gradients, what is derived, and what it costs.

The same search is run without an ablation loss and with each of its forms (``supernets.ablation.CellLosses``). For
each: the norm of what the loss adds to the gradients of the architecture, over the norm of what they are without it,
before and after the search; the accuracy of the supernet on the validation images, and that of the derived network,
trained.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ogive import session
from ogive.experiments.searched import (
    Rows,
    Told,
    among,
    finished,
    markdown,
    mean,
    minus,
    searching_s,
    settings_of,
    spread,
    trained,
)
from ogive.files import write_json
from ogive.spaces.unrestricted import outline_of
from ogive.strategies.supernet import SupernetStrategy
from ogive.supernets.search import shared_score
from ogive.training.lossy import predicting
from ogive.training.tasks.classification import Classification

__all__ = ["Size", "beside", "one", "told"]

FORMS = {
    "none": "ablation=0",
    "literal": "form=literal",
    "weighted": "form=weighted",
    "differentiable": "form=differentiable",
}
METRIC = "val_acc"
HEADLINE = "weighted"


@dataclass(frozen=True)
class Size:
    """The images; width and cells of the supernet; the options of the search; the training; seeds."""

    data: str
    channels: int
    cells: int
    search: str
    training: str
    seeds: int


def one(size: Size, seed: int, folder: Path, device: str) -> dict[str, Any]:
    """All about every form, from a file for each that is done."""
    return {"forms": {form: _compared(size, form, seed, folder, device) for form in FORMS}}


def beside(size: Size) -> dict[str, Any]:
    """Nothing."""
    return {}


def _compared(size: Size, form: str, seed: int, folder: Path, device: str) -> dict[str, Any]:
    place = folder / f"{form}.json"
    if place.exists():
        known: dict[str, Any] = json.loads(place.read_text())
        return known
    options = ", ".join(filter(None, (size.search, FORMS[form])))
    given = {"space": f"ddarts(cells={size.cells})", "strategy": f"ddarts({options})"}
    settings = settings_of(size, seed, device, **given)
    parts, found = _searched(settings, folder / form)
    arch = parts.space.parse(found["arch"])
    found["trained"] = trained(settings, size.training, arch, folder / f"{form}-trained.json")
    write_json(place, found)
    return found


def _searched(settings: session.Settings, folder: Path) -> tuple[session.Parts, dict[str, Any]]:
    """Run the search to its end; what the supernet says then is read from its last state."""
    before = session.assemble(settings)
    parts = session.assemble(settings, folder=folder)
    run = finished(settings, folder, parts)
    strategy = parts.strategy
    assert isinstance(strategy, SupernetStrategy)
    assert isinstance(before.strategy, SupernetStrategy)
    search, data = strategy.search, predicting(strategy.task).data
    mixture = search.alphas.mixture(search.gate, torch.Generator())
    shares = [added / plain for added, plain in (asked.added() for asked in (before.strategy.search, search))]  # type: ignore[attr-defined]
    return parts, {
        "arch": str(run.trials[-1].arch),
        "added_before": shares[0],
        "added_after": shares[1],
        "supernet_val_acc": shared_score(search.supernet, mixture, Classification(replace(data, train=data.val))),
        "operations": sum(len(cell) for cell in outline_of(strategy.space).genotype(strategy.derived()).cells),
        "search_s": searching_s(run),
    }


# -- what it came to --------------------------------------------------------------------------------------------------


def told(seeds: Rows, around: Mapping[str, Any]) -> Told:
    """A line for each form."""
    lines, derived = [], {}
    for form in seeds[0]["forms"]:
        rows = [seed["forms"][form] for seed in seeds]
        derived[form] = [row["trained"][METRIC] for row in rows]
        line = [form, *(among([row[key] for row in rows], 3) for key in ("added_before", "added_after"))]
        line += [spread([row["supernet_val_acc"] for row in rows]), spread(derived[form])]
        line += [", ".join(str(row["operations"]) for row in rows)]
        line += [among([row["trained"]["params"] for row in rows])]
        lines.append([*line, ", ".join(f"{row['search_s']:.0f}" for row in rows)])
    titles = ["form", "added before", "added after", "supernet `val_acc`", "derived `val_acc`", "operations"]
    others = {form: mean(values) for form, values in derived.items() if form != HEADLINE}
    table = markdown([*titles, "parameters", "seconds of search"], lines, len(seeds))
    differences = [minus(form, values, "none", derived["none"]) for form, values in derived.items() if form != "none"]
    return Told(tuple(derived[HEADLINE]), others, (*table, "", *differences))
