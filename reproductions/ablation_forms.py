"""Compare the forms of the ablation loss of D-DARTS: what they add to gradients, what is derived, and what it costs.

Run: ``python reproductions/ablation_forms.py --preset tiny --out runs/ablation``. The same search is run without an
ablation loss and with each of its forms (``supernets.ablation.CellLosses``). For each: the norm of what the loss adds
to the gradients of the architecture, over the norm of what they are without it, before and after the search; the
accuracy of the supernet on the validation part of the images; that of the derived network, trained; sizes and seconds.
What is finished in ``--out`` is kept: the same command goes on after an interruption. Results go to
``ablation-forms.json`` there, and to the screen.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from searched import interval, markdown, searching_s, spread, trained

from ogive import session
from ogive.core.trial import Budget
from ogive.machine import facts
from ogive.runs import read_run, write_json
from ogive.spaces.unrestricted import outline_of
from ogive.strategies.supernet import SupernetStrategy
from ogive.supernets.search import shared_score
from ogive.training.tasks.classification import Classification

FORMS = {
    "none": "ablation=0",
    "literal": "form=literal",
    "weighted": "form=weighted",
    "differentiable": "form=differentiable",
}
METRIC = "val_acc"


@dataclass(frozen=True)
class Preset:
    """The images; width and cells of the supernet; the options of the search; the training; seeds."""

    data: str
    channels: int
    cells: int
    search: str
    training: str
    seeds: int


# The rates of gates are explained in nested_cells.py.
FASTER = "alpha_learning_rate=0.03, final_alpha_learning_rate=0.01"
PRESETS = {
    "tiny": Preset("cifar10(limit=200, size=16)", 2, 3, f"epochs=1, batch_size=25, {FASTER}", "trained(epochs=1)", 1),
    "small": Preset(
        "cifar10(limit=4000, size=16)", 8, 5, f"epochs=10, batch_size=64, {FASTER}", "trained(epochs=6)", 3
    ),
    "paper": Preset("cifar10", 16, 8, "", "trained(epochs=600, batch_size=128, cutout=16, autoaugment=true)", 4),
}


def settings_of(preset: Preset, form: str, seed: int, device: str) -> session.Settings:
    """The search with one form; it measures as little as a run can."""
    options = ", ".join(filter(None, (preset.search, FORMS[form])))
    return session.Settings(
        space=f"ddarts(cells={preset.cells})",
        strategy=f"ddarts({options})",
        evaluator="training_free(params)",
        objectives=("maximize(params)",),
        data=preset.data,
        channels=preset.channels,
        cells=preset.cells,
        seed=seed,
        device=device,
        threads=1 if device == "cpu" else None,
        budget=Budget(trials=10_000),  # the strategy ends by itself
    )


def searched(settings: session.Settings, folder: Path) -> tuple[session.Parts, dict[str, Any]]:
    """Run the search to its end; what the supernet says then is read from its last state."""
    before = session.assemble(settings)
    parts = session.assemble(settings, folder=folder)
    if (folder / "run.json").exists():
        session.refuse_other_settings(read_run(folder), settings)
        session.resume(folder, parts=parts)
    else:
        session.search(settings, folder, parts=parts)
    run = read_run(folder)
    strategy = parts.strategy
    assert isinstance(strategy, SupernetStrategy)
    assert isinstance(before.strategy, SupernetStrategy)
    search, data = strategy.search, strategy.task.data
    mixture = search.alphas.mixture(search.gate, torch.Generator())
    shares = [added / plain for added, plain in (one.added() for one in (before.strategy.search, search))]
    return parts, {
        "arch": str(run.trials[-1].arch),
        "added_before": shares[0],
        "added_after": shares[1],
        "supernet_val_acc": shared_score(search.supernet, mixture, Classification(replace(data, train=data.val))),
        "operations": sum(len(cell) for cell in outline_of(strategy.space).genotype(strategy.derived()).cells),
        "search_s": searching_s(run),
    }


def compared(preset: Preset, form: str, seed: int, device: str, folder: Path) -> dict[str, Any]:
    """All about one form and seed, from the file if it is done."""
    place = folder / f"{form}.json"
    if place.exists():
        known: dict[str, Any] = json.loads(place.read_text())
        return known
    settings = settings_of(preset, form, seed, device)
    parts, found = searched(settings, folder / form)
    arch = parts.space.parse(found["arch"])
    found["trained"] = trained(settings, preset.training, arch, folder / f"{form}-trained.json")
    write_json(place, found)
    return found


def summary(seeds: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """A line for each form: means over seeds, of accuracies with their intervals."""
    lines = []
    for form in FORMS:
        rows = [seed["forms"][form] for seed in seeds]
        line = [form]
        line += [f"{np.mean([row[key] for row in rows]):.3f}" for key in ("added_before", "added_after")]
        for values in ([row["supernet_val_acc"] for row in rows], [row["trained"][METRIC] for row in rows]):
            line.append(spread(float(np.mean(values)), interval(values)))
        line += [f"{np.mean([row['operations'] for row in rows]):.1f}"]
        line += [f"{np.mean([row['trained']['params'] for row in rows]):,.0f}"]
        lines.append([*line, f"{np.mean([row['search_s'] for row in rows]):.0f}"])
    titles = ["form", "added before", "added after", "supernet `val_acc`", "derived `val_acc`", "operations"]
    return [*titles, "parameters", "seconds of search"], lines


def main() -> None:
    """Search with every form, seed by seed."""
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
        found = {}
        for form in FORMS:
            found[form] = compared(preset, form, seed, given.device, given.out / f"seed-{seed}")
            print(f"seed {seed}, {form}: {METRIC} {found[form]['trained'][METRIC]:.2f}", flush=True)
        ledger["seeds"].append({"seed": seed, "forms": found})
        write_json(given.out / "ablation-forms.json", ledger)
    print(markdown(*summary(ledger["seeds"])))


if __name__ == "__main__":
    main()
