"""What gradient-based searches derive in NAS-Bench-201, by the table, beside random cells.

Each search sees images only; what it derives after its last epoch is then looked up. Beside it stand all cells of the
space, and the best of ten random ones by the table's validation accuracy, which a search by training would pay for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ogive.core.architecture import Architecture
from ogive.experiments.searched import Rows, Told, among, finished, markdown, mean, settings_of, spread
from ogive.supernets.plan import NASBENCH201
from ogive.tables.store import open_table

__all__ = ["Size", "beside", "one", "told"]

COLUMNS = ("c10_test_200", "c100_test_200_nats", "in16_test_200_nats")
CHOSEN_BY = "c10v_val_200"
DRAWN, DRAWS = 10, 10_000  # random cells of which the best is taken, and how often that is repeated
HEADLINE = "DARTS, first order"


@dataclass(frozen=True)
class Size:
    """Images, size of the supernet, epochs, seeds; in a few-shot search, epochs of each part."""

    data: str
    channels: int
    cells: int
    epochs: int
    part_epochs: int
    seeds: int
    table: str = "nasbench201"


def methods(size: Size) -> dict[str, str]:
    """The searches that are compared, by name."""
    epochs = f"epochs={size.epochs}"
    return {
        HEADLINE: f"darts({epochs})",
        "DARTS, second order": f"darts({epochs}, order=2)",
        "GDAS": f"darts({epochs}, gate=gumbel)",
        "PC-DARTS": f"darts({epochs}, partial=4, edge_normalisation=true, warm_epochs={3 * size.epochs // 10})",
        "few-shot DARTS": f"few_shot(darts({epochs}), split=0, part_epochs={size.part_epochs})",
        # As many epochs as the whole supernet and its five parts together.
        "DARTS, first order, as many steps": f"darts(epochs={size.epochs + 5 * size.part_epochs})",
    }


def one(size: Size, seed: int, folder: Path, device: str) -> dict[str, Any]:
    """What every search derived last, its accuracies in the table, and the seconds that it took."""
    table = open_table(size.table)
    found = {}
    for name, strategy in methods(size).items():
        asked: dict[str, Any] = {"evaluator": None, "objectives": (), "table": size.table}
        settings = settings_of(size, seed, device, space="nasbench201", strategy=strategy, **asked)
        run = finished(settings, folder / name.replace(",", "").replace(" ", "-").lower())
        arch = run.trials[-1].arch
        accuracies = {column: table.value(arch, column) for column in COLUMNS}
        about = {"arch": str(arch), "epochs": len(run.trials), "seconds": run.elapsed_s, "skips": skips(arch)}
        found[name] = {**about, **accuracies}
    return {"methods": found}


def skips(arch: Architecture) -> int:
    """How many of the six edges are skip connections."""
    return arch.choices.count(NASBENCH201.operations.index("skip_connect"))


def beside(size: Size) -> dict[str, Any]:
    """All cells, and the best of ten by validation accuracy and by parameters: what that gives by every column."""
    table = open_table(size.table)
    found: dict[str, Any] = {}
    for column in COLUMNS:
        truth, draw = np.asarray(table.column(column), np.float64), np.random.default_rng(0)
        rows = np.array([draw.choice(len(truth), DRAWN, replace=False) for _ in range(DRAWS)])
        given = {"a random cell": truth}
        for name, by in (
            (f"best of {DRAWN} random cells", CHOSEN_BY),
            (f"most parameters of {DRAWN} random cells", "params"),
        ):
            scores = np.asarray(table.column(by), np.float64)[rows]
            given[name] = truth[rows[np.arange(DRAWS), scores.argmax(axis=1)]]
        found[column] = {
            name: {"mean": float(values.mean()), "middle_95": np.quantile(values, [0.025, 0.975]).tolist()}
            for name, values in given.items()
        }
    return {"random": found}


# -- what it came to --------------------------------------------------------------------------------------------------


def told(seeds: Rows, around: Mapping[str, Any]) -> Told:
    """A line for each search and, with the middle 95 % of what they give, for the random cells."""
    titles = ["method", "epochs", *(f"`{column}`" for column in COLUMNS), "skips of 6", "seconds a search"]
    lines = []
    for name in seeds[0]["methods"]:
        rows = [seed["methods"][name] for seed in seeds]
        cells = [spread([row[column] for row in rows]) for column in COLUMNS]
        skipped = ", ".join(str(row["skips"]) for row in rows)
        lines.append([name, str(rows[0]["epochs"]), *cells, skipped, among([row["seconds"] for row in rows])])
    for name in around["random"][COLUMNS[0]]:
        found = [around["random"][column][name] for column in COLUMNS]
        lines.append(
            [name, "", *("{:.2f} ({:.2f}–{:.2f})".format(at["mean"], *at["middle_95"]) for at in found), "", ""]
        )
    ours = tuple(seed["methods"][HEADLINE][COLUMNS[0]] for seed in seeds)
    others = {
        name: mean([seed["methods"][name][COLUMNS[0]] for seed in seeds])
        for name in seeds[0]["methods"]
        if name != HEADLINE
    }
    others |= {name: at["mean"] for name, at in around["random"][COLUMNS[0]].items()}
    return Told(ours, others, markdown(titles, lines, len(seeds)))
