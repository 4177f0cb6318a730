"""Search a cell at a small size, train it shortly, and train the published and random cells in just the same way.

Run: ``python reproductions/micro_search.py images --preset tiny --out runs/micro``, or ``words --text FOLDER`` for the
recurrent cell. Images are measured on the validation part, words on the test part, which no search sees. What is
finished in ``--out`` is kept: the same command goes on after an interruption. Results go to ``micro-images.json`` or
``micro-words.json`` there, and to the screen.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from searched import finished, interval, markdown, spread, trained

from ogive import catalog, session
from ogive.core.architecture import Architecture
from ogive.core.rng import Seed
from ogive.core.trial import Budget
from ogive.machine import facts
from ogive.networks.genotypes import PUBLISHED as CELLS
from ogive.runs import write_json
from ogive.spaces import darts, darts_rnn

RANDOM = 2  # random cells a seed


@dataclass(frozen=True)
class Preset:
    """What is searched and trained: the data, the size of the supernet, the search, the training, and seeds."""

    data: str
    channels: int
    cells: int | None
    search: str
    training: str
    seeds: int


IMAGES = {
    "tiny": Preset("cifar10(limit=400, size=16)", 2, 3, "darts(epochs=1)", "trained(epochs=1)", 1),
    "small": Preset("cifar10(limit=4000, size=16)", 8, 5, "darts(epochs=10)", "trained(epochs=10)", 3),
    "paper": Preset("cifar10", 16, 8, "darts", "trained(epochs=100)", 4),
}
WORDS = {
    "tiny": Preset(
        "{text}(limit=300)", 16, None, "darts(epochs=1, batch_size=32)", "trained(preset=tiny, epochs=1)", 1
    ),
    "small": Preset(
        "{text}(limit=5000)", 64, None, "darts(epochs=6, batch_size=64)", "trained(preset=small, epochs=5)", 3
    ),
    "paper": Preset("{text}", 300, None, "darts", "trained(preset=paper, channels=850, epochs=300)", 4),
}
# What the search is asked to measure after each epoch, since a run measures something: as little as there is.
MEASURED = {"images": "training_free(params)", "words": "trained(preset=tiny, epochs=1, channels=4)"}
METRIC = {"images": "val_acc", "words": "test_ppl"}


def published(kind: str) -> dict[str, Architecture]:
    """The cells of the paper, of both orders."""
    if kind == "images":
        return {name: darts.architecture(CELLS[name].normal, CELLS[name].reduce) for name in ("darts_v1", "darts_v2")}
    return {
        name: darts_rnn.architecture(genotype.recurrent)
        for name, genotype in darts_rnn.PUBLISHED.items()
        if len(genotype.recurrent) == darts_rnn.NODES  # that of ENAS has more nodes
    }


def settings_of(kind: str, preset: Preset, seed: int, device: str) -> session.Settings:
    """The search; its evaluator is none that the comparison looks at."""
    return session.Settings(
        space="darts" if kind == "images" else "darts_rnn",
        strategy=preset.search,
        evaluator=MEASURED[kind],
        objectives=("maximize(params)",),
        data=preset.data,
        channels=preset.channels,
        cells=preset.cells,
        seed=seed,
        device=device,
        threads=1 if device == "cpu" else None,
        budget=Budget(trials=10_000),  # the strategy ends by itself
    )


def cells(kind: str, searched: Architecture, seed: int) -> Iterator[tuple[str, Architecture]]:
    """What is trained alike, by name."""
    yield "derived", searched
    yield from published(kind).items()
    space = catalog.build("space", "darts" if kind == "images" else "darts_rnn")
    for number in range(RANDOM):
        yield f"random {number}", space.sample(Seed(seed).child(f"cell {number}").numpy("draw"))


def summary(kind: str, seeds: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """A line for each cell: the metric over seeds, sizes and seconds; random cells are one line together."""
    names = list(dict.fromkeys(name.split()[0] for one in seeds for name in one["cells"]))
    lines = []
    for name in names:
        rows = [[row for key, row in one["cells"].items() if key.split()[0] == name] for one in seeds]
        # Cells of one seed share images and search: the seeds are what is independent.
        values = [float(np.mean([row[METRIC[kind]] for row in group])) for group in rows]
        every = [row for group in rows for row in group]
        sizes = [f"{np.mean([row[key] for row in every]):,.0f}" for key in ("params", "macs", "seconds")]
        lines.append([name, spread(float(np.mean(values)), interval(values)), *sizes])
    return ["cell", f"`{METRIC[kind]}`", "parameters", "MACs", "seconds a training"], lines


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("images", "words"))
    parser.add_argument("--preset", choices=sorted(IMAGES), default="tiny")
    parser.add_argument("--text", type=Path, help="a folder with train, valid and test .txt, for words")
    parser.add_argument("--data", help="other data than those of the preset")
    parser.add_argument("--seeds", type=int, help="how many seeds, from 0; another number than that of the preset")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    if given.kind == "words" and given.text is None and given.data is None:
        parser.error("words are searched in a text: give --text FOLDER")
    return given


def main() -> None:
    """Search, train and compare, seed by seed."""
    given = arguments()
    preset = (IMAGES if given.kind == "images" else WORDS)[given.preset]
    data = given.data or preset.data.format(text=f"text:{given.text}")
    preset = replace(preset, data=data, seeds=given.seeds or preset.seeds)
    ledger: dict[str, Any] = {"preset": asdict(preset), "machine": facts(), "seeds": []}
    for seed in range(preset.seeds):
        place = given.out / given.kind / f"seed-{seed}"
        settings = settings_of(given.kind, preset, seed, given.device)
        run = finished(settings, place / "search")
        found = {}
        for name, arch in cells(given.kind, run.trials[-1].arch, seed):
            found[name] = trained(settings, preset.training, arch, place / f"{name.replace(' ', '-')}.json")
            print(f"seed {seed}, {name}: {METRIC[given.kind]} {found[name][METRIC[given.kind]]:.2f}", flush=True)
        searching = sum(trial.proposal.cost.wall_s for trial in run.trials)
        ledger["seeds"].append({"seed": seed, "search_s": searching, "cells": found})
        write_json(given.out / f"micro-{given.kind}.json", ledger)
    print(markdown(*summary(given.kind, ledger["seeds"])))
    print(f"seconds of search: {', '.join(format(one['search_s'], '.0f') for one in ledger['seeds'])}")


if __name__ == "__main__":
    main()
