"""Compare what gradient-based searches derive in NAS-Bench-201, by the table, with random cells.

Run: ``python reproductions/gradient.py --preset tiny --out runs/gradient``. Each search sees images only; what it
derives after its last epoch is then looked up. Beside it stand all cells of the space, and the best of ten random ones
by the table's validation accuracy, which a search by training would have to pay for. What is finished in ``--out`` is
kept: the same command goes on after an interruption. Results go to ``gradient.json`` there, and to the screen.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from searched import finished, interval, markdown, spread

from ogive import session
from ogive.core.architecture import Architecture
from ogive.core.trial import Budget
from ogive.executors import at_work
from ogive.machine import facts
from ogive.runs import write_json
from ogive.supernets.plan import NASBENCH201
from ogive.tables.store import Table, open_table

COLUMNS = ("c10_test_200", "c100_test_200_nats", "in16_test_200_nats")
CHOSEN_BY = "c10v_val_200"
DRAWN, DRAWS = 10, 10_000  # random cells of which the best is taken, and how often that is repeated

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Preset:
    """What is trained: images, size of the supernet, epochs, seeds; in a few-shot search, epochs of each part."""

    data: str
    channels: int
    cells: int
    epochs: int
    part_epochs: int
    seeds: int


PRESETS = {
    "tiny": Preset("cifar10(limit=1000, size=16)", 4, 1, 2, 1, 2),
    "small": Preset("cifar10(limit=10000, size=16)", 8, 1, 10, 5, 3),
    "paper": Preset("cifar10", 16, 5, 50, 50, 3),
}


def methods(preset: Preset) -> dict[str, str]:
    """The searches that are compared, by name."""
    epochs = f"epochs={preset.epochs}"
    return {
        "DARTS, first order": f"darts({epochs})",
        "DARTS, second order": f"darts({epochs}, order=2)",
        "GDAS": f"darts({epochs}, gate=gumbel)",
        "PC-DARTS": f"darts({epochs}, partial=4, edge_normalisation=true, warm_epochs={3 * preset.epochs // 10})",
        "few-shot DARTS": f"few_shot(darts({epochs}), split=0, part_epochs={preset.part_epochs})",
        # As many epochs as the whole supernet and its five parts together.
        "DARTS, first order, as many steps": f"darts(epochs={preset.epochs + 5 * preset.part_epochs})",
    }


@dataclass(frozen=True)
class Derived:
    """What a search derived after each epoch, and the seconds that it took."""

    archs: tuple[Architecture, ...]
    seconds: float


def derived(preset: Preset, strategy: str, seed: int, table: str, device: str, folder: Path) -> Derived:
    """Run a search, or go on with it, or read what it found; its last architecture is its answer."""
    settings = session.Settings(
        space="nasbench201",
        strategy=strategy,
        table=table,
        data=preset.data,
        channels=preset.channels,
        cells=preset.cells,
        seed=seed,
        device=device,
        threads=1 if device == "cpu" else None,
        budget=Budget(trials=10_000),  # the strategy ends by itself
    )
    run = finished(settings, folder)
    return Derived(tuple(trial.arch for trial in run.trials), run.elapsed_s)


def compared(found: dict[int, Derived], table: Table, column: str) -> dict[str, Any]:
    """The accuracies of the answers, seed by seed, their mean with an interval, and the seconds."""
    values = np.array([table.value(one.archs[-1], column) for one in found.values()])
    return {
        "mean": float(values.mean()),
        "interval": interval(values),
        "values": values.tolist(),
        "seconds": float(np.mean([one.seconds for one in found.values()])),
        "skips": [skips(one.archs[-1]) for one in found.values()],
        "archs": [str(one.archs[-1]) for one in found.values()],
    }


def skips(arch: Architecture) -> int:
    """How many of the six edges are skip connections."""
    return arch.choices.count(NASBENCH201.operations.index("skip_connect"))


def random_cells(table: Table, column: str) -> dict[str, Any]:
    """All cells, and the best of ten by validation accuracy and by parameters: mean and spread of what that gives."""
    truth, draw = np.asarray(table.column(column), np.float64), np.random.default_rng(0)
    rows = np.array([draw.choice(len(truth), DRAWN, replace=False) for _ in range(DRAWS)])
    found = {"a random cell": truth}
    for name, by in (
        (f"best of {DRAWN} random cells", CHOSEN_BY),
        (f"most parameters of {DRAWN} random cells", "params"),
    ):
        scores = np.asarray(table.column(by), np.float64)[rows]
        found[name] = truth[rows[np.arange(DRAWS), scores.argmax(axis=1)]]
    return {
        name: {"mean": float(values.mean()), "middle_95": np.quantile(values, [0.025, 0.975]).tolist()}
        for name, values in found.items()
    }


def searches(preset: Preset, table: str, device: str, out: Path, workers: int) -> Iterator[tuple[str, int, Derived]]:
    """Every method with every seed, in the order in which they end; one after the other without workers."""
    tasks = [(name, strategy, seed) for seed in range(preset.seeds) for name, strategy in methods(preset).items()]
    if workers == 1:
        for name, strategy, seed in tasks:
            yield name, seed, derived(preset, strategy, seed, table, device, place(out, name, seed))
        return
    with at_work(workers) as pool:
        flying = {
            pool.submit(derived, preset, strategy, seed, table, device, place(out, name, seed)): (name, seed)
            for name, strategy, seed in tasks
        }
        for future in as_completed(flying):
            yield (*flying[future], future.result())


def place(out: Path, name: str, seed: int) -> Path:
    """The folder of one search."""
    return out / name.replace(",", "").replace(" ", "-").lower() / f"seed-{seed}"


def report(ledger: dict[str, Any]) -> str:
    """A Markdown table of the first column, and the others beside it."""
    titles = ["method", "epochs", *(f"`{column}`" for column in COLUMNS), "skips of 6", "seconds a search"]
    lines = []
    for name, columns in ledger["methods"].items():
        first = columns[COLUMNS[0]]
        cells = [spread(columns[column]["mean"], columns[column]["interval"]) for column in COLUMNS]
        told = ", ".join(map(str, first["skips"]))
        lines.append([name, str(ledger["epochs"][name]), *cells, told, f"{first['seconds']:.0f}"])
    for name in ledger["random"][COLUMNS[0]]:
        found = [ledger["random"][column][name] for column in COLUMNS]
        spans = ["{:.2f} ({:.2f}–{:.2f})".format(one["mean"], *one["middle_95"]) for one in found]
        lines.append([name, "", *spans, "", ""])
    return markdown(titles, lines)


def main() -> None:
    """Search, look up and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="tiny")
    parser.add_argument("--table", default="nasbench201", help="an imported table, or the folder of one")
    parser.add_argument("--data", help="other images than those of the preset")
    parser.add_argument("--seeds", type=int, help="how many seeds, from 0; another number than that of the preset")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=1, help="searches that run side by side, one thread each")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    preset = PRESETS[given.preset]
    preset = replace(preset, data=given.data or preset.data, seeds=given.seeds or preset.seeds)
    table = open_table(given.table)
    found: dict[str, dict[int, Derived]] = {name: {} for name in methods(preset)}
    for name, seed, one in searches(preset, given.table, given.device, given.out, given.workers):
        found[name][seed] = one
        accuracy = table.value(one.archs[-1], COLUMNS[0])
        print(f"{name}, seed {seed}: {COLUMNS[0]} {accuracy:.2f} % after {one.seconds:.0f} s", flush=True)
    ordered = {name: dict(sorted(seeds.items())) for name, seeds in found.items()}
    ledger: dict[str, Any] = {
        "preset": asdict(preset),
        "machine": facts(),
        "workers": given.workers,
        "epochs": {name: max(len(one.archs) for one in seeds.values()) for name, seeds in ordered.items()},
        "methods": {
            name: {column: compared(seeds, table, column) for column in COLUMNS} for name, seeds in ordered.items()
        },
        "random": {column: random_cells(table, column) for column in COLUMNS},
    }
    write_json(given.out / "gradient.json", ledger)
    print(report(ledger))


if __name__ == "__main__":
    main()
