"""D-DARTS beside DARTS and chance: derived networks and their deeper versions of the same cells, trained alike.

For every seed, cells that all differ are searched by D-DARTS, a pair of cells by DARTS, and cells that all differ are
drawn at random; each is trained in as many layers as were searched and in more, and measured on the validation images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ogive.core.trial import Budget
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

__all__ = ["Size", "beside", "one", "told"]

METRIC = "val_acc"
HEADLINE = "D-DARTS"


@dataclass(frozen=True)
class Size:
    """The images; width and cells of the supernets; both searches and the training; layers that are trained; seeds."""

    data: str
    channels: int
    cells: int
    nested: str
    shared: str
    training: str
    layers: tuple[int, ...]
    seeds: int


def one(size: Size, seed: int, folder: Path, device: str) -> dict[str, Any]:
    """For every method, the seconds of its search and a training for each number of layers."""
    # A random network is asked for as a search of one trial; the others end by themselves.
    written: dict[str, dict[str, Any]] = {
        HEADLINE: {"space": f"ddarts(cells={size.cells})", "strategy": size.nested},
        "DARTS": {"space": "darts", "strategy": size.shared},
        "random": {"space": f"ddarts(cells={size.cells})", "strategy": "random", "budget": Budget(trials=1)},
    }
    found: dict[str, Any] = {}
    for method, given in written.items():
        place = folder / method.lower()
        settings = settings_of(size, seed, device, **given)
        run = finished(settings, place / "search")
        arch = run.trials[-1].arch
        layers = {
            str(count): trained(replace(settings, cells=count), size.training, arch, place / f"{count}-layers.json")
            for count in size.layers
        }
        searched = 0.0 if method == "random" else searching_s(run)
        found[method] = {"search_s": searched, "epochs": len(run.trials), "arch": str(arch), "layers": layers}
    return {"methods": found}


def beside(size: Size) -> dict[str, Any]:
    """Nothing: random cells are drawn anew with every seed."""
    return {}


# -- what it came to --------------------------------------------------------------------------------------------------


def told(seeds: Rows, around: Mapping[str, Any]) -> Told:
    """A line for each method and number of layers; the headline has as many layers as were searched."""
    lines: list[list[str]] = []
    first: dict[str, list[float]] = {}
    for method in seeds[0]["methods"]:
        rows = [seed["methods"][method] for seed in seeds]
        for layers in rows[0]["layers"]:
            values = [row["layers"][layers][METRIC] for row in rows]
            first.setdefault(method, values)
            sizes = [among([row["layers"][layers][key] for row in rows]) for key in ("params", "macs")]
            spent = [among([row["search_s"] for row in rows])] if values is first[method] else [""]
            spent += [among([row["layers"][layers]["seconds"] for row in rows])]
            lines.append([method, layers, spread(values), *sizes, *spent])
    titles = ["cells", "layers", f"`{METRIC}`", "parameters", "MACs", "seconds of search", "of training"]
    others = {method: mean(values) for method, values in first.items() if method != HEADLINE}
    return Told(tuple(first[HEADLINE]), others, (*markdown(titles, lines, len(seeds)), "", *_differences(seeds)))


def _differences(seeds: Rows) -> list[str]:
    """D-DARTS minus the others, in every number of layers."""

    def accuracies(method: str, layers: str) -> list[float]:
        return [seed["methods"][method]["layers"][layers][METRIC] for seed in seeds]

    first = seeds[0]["methods"]
    return [
        minus(HEADLINE, accuracies(HEADLINE, layers), method, accuracies(method, layers)) + f", {layers} layers"
        for layers in first[HEADLINE]["layers"]
        for method in first
        if method != HEADLINE
    ]
