"""D-DARTS beside DARTS and chance: derived networks and their deeper versions of the same cells, trained alike.

Run: ``python reproductions/nested_cells.py --preset tiny --out runs/nested``. For every seed, cells that all differ are
searched by D-DARTS, a pair of cells by DARTS, and cells that all differ are drawn at random; each is trained in as many
layers as were searched and in more, and measured on the validation part of the images. What is finished in ``--out`` is
kept: the same command goes on after an interruption. Results go to ``nested-cells.json`` there, and to the screen.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from searched import finished, interval, markdown, searching_s, spread, trained

from ogive import session
from ogive.core.trial import Budget
from ogive.machine import facts
from ogive.runs import write_json

METRIC = "val_acc"


@dataclass(frozen=True)
class Preset:
    """The images; width and cells of the supernets; both searches and the training; layers that are trained; seeds."""

    data: str
    channels: int
    cells: int
    nested: str
    shared: str
    training: str
    layers: tuple[int, ...]
    seeds: int


# A gate gets from 1/2 to the threshold of 0.85 when its parameter has moved by 1.73. At the published rate, by which a
# step moves it by 0.003 at most, the few hundred steps of a small search cannot do that; ten times the rate can.
FASTER = "alpha_learning_rate=0.03, final_alpha_learning_rate=0.01"
PRESETS = {
    "tiny": Preset(
        "cifar10(limit=200, size=16)",
        *(2, 5, "ddarts(epochs=1, batch_size=50)", "darts(epochs=1, batch_size=50)", "trained(epochs=1)", (5, 8), 1),
    ),
    "small": Preset(
        "cifar10(limit=4000, size=16)",
        *(8, 5, f"ddarts(epochs=10, batch_size=64, {FASTER})", "darts(epochs=10)", "trained(epochs=6)"),
        *((5, 8, 14, 20), 3),
    ),
    "paper": Preset(
        "cifar10",
        *(16, 8, "ddarts", "darts", "trained(epochs=600, batch_size=128, cutout=16, autoaugment=true)"),
        *((8, 14, 20), 4),
    ),
}


def settings_of(preset: Preset, method: str, seed: int, device: str) -> session.Settings:
    """A search, which measures as little as a run can; a random network is asked for as a search of one trial."""
    written = {
        "D-DARTS": (f"ddarts(cells={preset.cells})", preset.nested),
        "DARTS": ("darts", preset.shared),
        "random": (f"ddarts(cells={preset.cells})", "random"),
    }
    space, strategy = written[method]
    return session.Settings(
        space=space,
        strategy=strategy,
        evaluator="training_free(params)",
        objectives=("maximize(params)",),
        data=preset.data,
        channels=preset.channels,
        cells=preset.cells,
        seed=seed,
        device=device,
        threads=1 if device == "cpu" else None,
        budget=Budget(trials=1 if method == "random" else 10_000),  # the others end by themselves
    )


def compared(preset: Preset, seed: int, device: str, folder: Path) -> dict[str, Any]:
    """What one seed gave: for every method, the seconds of its search and a training for each number of layers."""
    found: dict[str, Any] = {}
    for method in ("D-DARTS", "DARTS", "random"):
        place = folder / method.lower()
        settings = settings_of(preset, method, seed, device)
        run = finished(settings, place / "search")
        arch = run.trials[-1].arch
        searched = 0.0 if method == "random" else searching_s(run)
        found[method] = {"search_s": searched, "epochs": len(run.trials), "arch": str(arch), "layers": {}}
        for layers in preset.layers:
            deeper = replace(settings, cells=layers)
            row = trained(deeper, preset.training, arch, place / f"{layers}-layers.json")
            found[method]["layers"][str(layers)] = row
            print(f"seed {seed}, {method}, {layers} layers: {METRIC} {row[METRIC]:.2f}", flush=True)
    return found


def summary(preset: Preset, seeds: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """A line for each method and number of layers: means over seeds, of the accuracy with its interval."""
    lines = []
    for method in seeds[0]["methods"]:
        rows = [seed["methods"][method] for seed in seeds]
        for layers in map(str, preset.layers):
            values = [row["layers"][layers][METRIC] for row in rows]
            sizes = [f"{np.mean([row['layers'][layers][key] for row in rows]):,.0f}" for key in ("params", "macs")]
            spent = [f"{np.mean([row['search_s'] for row in rows]):.0f}"]
            spent += [f"{np.mean([row['layers'][layers]['seconds'] for row in rows]):.0f}"]
            lines.append([method, layers, spread(float(np.mean(values)), interval(values)), *sizes, *spent])
    return ["cells", "layers", f"`{METRIC}`", "parameters", "MACs", "seconds of search", "of training"], lines


def main() -> None:
    """Search, train and compare, seed by seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="tiny")
    parser.add_argument("--data", help="other images than those of the preset")
    parser.add_argument("--seeds", type=int, help="how many seeds, from 0; another number than that of the preset")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    preset = PRESETS[given.preset]
    preset = replace(preset, data=given.data or preset.data, seeds=given.seeds or preset.seeds)
    ledger: dict[str, Any] = {"preset": asdict(preset), "machine": facts(), "seeds": []}
    for seed in range(preset.seeds):
        place = given.out / f"seed-{seed}"
        ledger["seeds"].append({"seed": seed, "methods": compared(preset, seed, given.device, place)})
        write_json(given.out / "nested-cells.json", ledger)
    print(markdown(*summary(preset, ledger["seeds"])))


if __name__ == "__main__":
    main()
