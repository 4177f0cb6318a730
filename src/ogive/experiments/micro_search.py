"""A cell searched at a small size and trained shortly, beside the published and random cells in just the same training.

Images are measured on the validation part, words on the test part, which no search sees.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ogive import catalog
from ogive.core.architecture import Architecture
from ogive.core.rng import Seed
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
from ogive.networks.genotypes import PUBLISHED as CELLS
from ogive.spaces import darts, darts_rnn

__all__ = ["Size", "beside", "one", "told"]

RANDOM = 2  # random cells a seed
HEADLINE = "derived"


@dataclass(frozen=True)
class Size:
    """The data, the size of the supernet, the search, the training, and seeds; `space` is darts or darts_rnn."""

    space: str
    data: str
    channels: int
    search: str
    training: str
    seeds: int
    cells: int | None = None


# What the search is asked to measure after each epoch, since a run measures something: as little as there is.
MEASURED = {"darts": "training_free(params)", "darts_rnn": "trained(preset=tiny, epochs=1, channels=4)"}


def published(space: str) -> dict[str, Architecture]:
    """The cells of the paper, of both orders."""
    if space == "darts":
        return {name: darts.architecture(CELLS[name].normal, CELLS[name].reduce) for name in ("darts_v1", "darts_v2")}
    return {
        name: darts_rnn.architecture(genotype.recurrent)
        for name, genotype in darts_rnn.PUBLISHED.items()
        if len(genotype.recurrent) == darts_rnn.NODES  # that of ENAS has more nodes
    }


def cells(space: str, searched: Architecture, seed: int) -> Iterator[tuple[str, Architecture]]:
    """What is trained alike, by name."""
    yield HEADLINE, searched
    yield from published(space).items()
    drawn = catalog.build("space", space)
    for number in range(RANDOM):
        yield f"random {number}", drawn.sample(Seed(seed).child(f"cell {number}").numpy("draw"))


def one(size: Size, seed: int, folder: Path, device: str) -> dict[str, Any]:
    """The seconds of the search, and what every cell gave in its training."""
    evaluator = MEASURED[size.space]
    settings = settings_of(size, seed, device, space=size.space, strategy=size.search, evaluator=evaluator)
    run = finished(settings, folder / "search")
    found = {
        name: trained(settings, size.training, arch, folder / f"{name.replace(' ', '-')}.json")
        for name, arch in cells(size.space, run.trials[-1].arch, seed)
    }
    return {"search_s": searching_s(run), "cells": found}


def beside(size: Size) -> dict[str, Any]:
    """Nothing: random cells are drawn anew with every seed."""
    return {}


# -- what it came to --------------------------------------------------------------------------------------------------


def told(seeds: Rows, around: Mapping[str, Any]) -> Told:
    """A line for each cell: the metric over seeds, sizes and seconds; random cells are one line together."""
    metric = "test_ppl" if "test_ppl" in seeds[0]["cells"][HEADLINE] else "val_acc"
    names = list(dict.fromkeys(name.split()[0] for seed in seeds for name in seed["cells"]))
    lines, values = [], {}
    for name in names:
        rows = [[row for key, row in seed["cells"].items() if key.split()[0] == name] for seed in seeds]
        # Cells of one seed share images and search: the seeds are what is independent.
        values[name] = [mean([row[metric] for row in group]) for group in rows]
        every = [row for group in rows for row in group]
        sizes = [among([row[key] for row in every]) for key in ("params", "macs", "seconds")]
        searching = ", ".join(f"{seed['search_s']:.0f}" for seed in seeds) if name == HEADLINE else ""
        lines.append([name, spread(values[name]), *sizes, searching])
    titles = ["cell", f"`{metric}`", "parameters", "MACs", "seconds a training", "seconds of search"]
    others = {name: mean(own) for name, own in values.items() if name != HEADLINE}
    differences = [minus(HEADLINE, values[HEADLINE], name, values[name]) for name in others]
    return Told(tuple(values[HEADLINE]), others, (*markdown(titles, lines, len(seeds)), "", *differences))
