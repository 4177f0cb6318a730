"""Compare one-shot with few-shot estimates in NAS-Bench-201: Kendall's tau against columns of the table.

Run: ``python reproductions/few_shot.py --preset tiny --out runs/few-shot``. Four estimates of the same architectures:
of one supernet; of its five parts (edge 0), plain and brought to the parent's scale; and of one supernet that was
trained for as many steps as the first and the parts together, the control. All but the third are also made with the
batch statistics of the validation images instead of statistics of each architecture. What is finished in ``--out`` is
kept: the same command goes on after an interruption. Results go to ``few-shot.json`` there.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from searched import interval, markdown, spread

from ogive import session
from ogive.core.architecture import Architecture
from ogive.core.trial import Budget
from ogive.machine import facts
from ogive.metrics import kendall_tau
from ogive.runs import read_run, write_json
from ogive.supernets.plan import NASBENCH201
from ogive.tables.agreement import correlations
from ogive.tables.scores import Row
from ogive.tables.store import Table, open_table

COLUMNS = ("c10v_val_200", "c100_val_200", "in16_val_200")
PARTS = len(NASBENCH201.operations)
TOP = 0.1  # the share of the architectures that is looked at alone: where a search would have to choose


@dataclass(frozen=True)
class Preset:
    """What is trained: images, size of the supernet, epochs of the parent and of each part, architectures, seeds."""

    data: str
    channels: int
    cells: int
    epochs: int
    part_epochs: int
    archs: int
    seeds: int
    statistics_images: int = 2000
    options: str = ""
    training: str = ""
    reference: int = 20


PRESETS = {
    "tiny": Preset("cifar10(limit=1000, size=16)", 4, 1, 6, 3, 60, 1, 250, reference=4),
    "small": Preset("cifar10(limit=10000, size=16)", 8, 1, 10, 5, 1000, 3, 1000, ", validation_images=2500"),
    "paper": Preset("cifar10", 16, 5, 600, 300, 1000, 3),
}


def methods(preset: Preset) -> dict[str, str]:
    """The evaluators that are compared, by name."""
    few = f"split=0, epochs={preset.epochs}, part_epochs={preset.part_epochs}{preset.training}"
    longer = preset.epochs + PARTS * preset.part_epochs
    written = {
        "one-shot": f"supernet(epochs={preset.epochs}{preset.training})",
        "one-shot, as many steps": f"supernet(epochs={longer}{preset.training})",
        "few-shot": f"parts({few})",
        "few-shot, calibrated": f"parts({few}, calibration=parent, reference={preset.reference})",
    }
    own = {
        name: f"inherited({text}, metric=shared_acc, statistics_images={preset.statistics_images}{preset.options})"
        for name, text in written.items()
    }
    # As the published code estimates: with the batch statistics of what the accuracy is measured on.
    by_batch = {
        f"{name}, by batch": f"inherited({text}, metric=shared_acc, statistics_images=0{preset.options})"
        for name, text in written.items()
        if name != "few-shot, calibrated"
    }
    return own | by_batch


def estimates(
    preset: Preset, evaluator: str, seed: int, device: str, folder: Path, shared: Path
) -> tuple[dict[Architecture, float], float]:
    """The estimates of one method and the seconds of training behind them; what the folder holds is not made again."""
    settings = session.Settings(
        space="nasbench201",
        strategy="random(without_replacement=true)",
        evaluator=evaluator,
        objectives=("maximize(shared_acc)",),
        data=preset.data,
        channels=preset.channels,
        cells=preset.cells,
        seed=seed,
        device=device,
        threads=1 if device == "cpu" else None,
        budget=Budget(trials=preset.archs),
    )
    # One folder for all methods: the parent of the parts is the one-shot supernet, which is trained once.
    parts = session.assemble(settings, folder=shared)
    if (folder / "run.json").exists():
        session.refuse_other_settings(read_run(folder), settings)
        trials = session.resume(folder, parts=parts, on_note=tell).trials
    else:
        trials = session.search(settings, folder, parts=parts, on_note=tell).trials
    weights = parts.evaluator.weights  # type: ignore[attr-defined]
    weights.prepare(None)  # reads the seconds of a training that is done
    found = {trial.arch: trial.metrics["shared_acc"] for trial in trials if trial.status == "ok"}
    return found, weights.training_s


def compared(found: dict[str, dict[Architecture, float]], table: Table) -> list[dict[str, Any]]:
    """For each column and estimate: tau with an interval over architectures, and tau in the true top decile."""
    archs = [arch for arch in next(iter(found.values())) if all(arch in one for one in found.values())]
    params = table.column("params")
    names = (*found, "params")
    rows = [Row(arch, (*(one[arch] for one in found.values()), float(params[table.row(arch)]))) for arch in archs]
    lines: list[dict[str, Any]] = []
    for column in COLUMNS:
        values = table.column(column)
        truth = {arch: float(values[table.row(arch)]) for arch in archs}
        top = set(sorted(archs, key=truth.__getitem__)[-max(3, math.ceil(TOP * len(archs))) :])
        for one in correlations(names, rows, truth)[0]:
            place = names.index(one.proxy)
            scores = {row.arch: row.scores[place] for row in rows if row.scores is not None}
            top_tau = kendall_tau(
                [scores[arch] for arch in archs if arch in top], [truth[a] for a in archs if a in top]
            )
            best = truth[max(archs, key=scores.__getitem__)]
            known = None if math.isnan(top_tau) else top_tau
            lines.append({"column": column, **one.to_json(), "top_tau": known, "best": best})
    return lines


def tell(text: str) -> None:
    """One line that the next one replaces."""
    print(f"\r\x1b[K{text}", end="", flush=True)


def report(lines: list[dict[str, Any]], seconds: dict[str, float], archs: int) -> None:
    """A table for each column of the benchmark."""
    print(f"\r\x1b[K{archs} architectures; tau [95 %], tau in the true top {TOP:.0%}, truth of the best, training")
    for column in COLUMNS:
        print(column)
        for line in (line for line in lines if line["column"] == column):
            tau = "-" if line["tau"] is None else "{:.3f} [{:.3f}, {:.3f}]".format(line["tau"], *line["tau_interval"])
            spent = f"{seconds[line['proxy']]:.0f} s" if line["proxy"] in seconds else ""
            top = "-" if line["top_tau"] is None else f"{line['top_tau']:.3f}"
            print(f"  {line['proxy']:24} {tau:24} {top:>6}  {line['best']:6.2f} %  {spent}")


def summary(seeds: Sequence[dict[str, Any]]) -> str:
    """Means over seeds with intervals, as two tables in Markdown: over all architectures, and in the true top."""
    names = dict.fromkeys(line["proxy"] for line in seeds[0]["rows"])
    titles = ["estimate", *(f"τ, `{column}`" for column in COLUMNS), "seconds of training", "more than one-shot"]
    overall = [[name, *_over(seeds, name, "tau", 3), *_seconds(seeds, name)] for name in names]
    top_titles = ["estimate", *(f"τ in the best {TOP:.0%}, `{column}`" for column in COLUMNS)]
    top_titles += [f"`{column}` of its best" for column in COLUMNS]
    top = [[name, *_over(seeds, name, "top_tau", 3), *_over(seeds, name, "best", 2)] for name in names]
    return markdown(titles, overall) + "\n\n" + markdown(top_titles, top)


def _over(seeds: Sequence[dict[str, Any]], name: str, key: str, digits: int) -> list[str]:
    """The mean of a figure over seeds and its interval, for each column; a dash where a seed has none."""
    cells = []
    for column in COLUMNS:
        rows = [line for one in seeds for line in one["rows"] if (line["column"], line["proxy"]) == (column, name)]
        values = [row[key] for row in rows]
        cells.append("-" if None in values else spread(float(np.mean(values)), interval(values), digits))
    return cells


def _seconds(seeds: Sequence[dict[str, Any]], name: str) -> list[str]:
    """The seconds of training, and how much more they are than those of one-shot; nothing for what is not trained."""
    if name not in seeds[0]["training_s"]:
        return ["", ""]
    spent = [one["training_s"][name] for one in seeds]
    more = [100 * (own / one["training_s"]["one-shot"] - 1) for own, one in zip(spent, seeds, strict=True)]
    return [f"{np.mean(spent):.0f}", f"{np.mean(more):+.0f} %"]


def gains(seeds: Sequence[dict[str, Any]]) -> list[str]:
    """How far the τ of few-shot estimates is above that of both one-shot ones, seed by seed."""
    lines = []
    for column in COLUMNS:
        found = [{row["proxy"]: row["tau"] for row in one["rows"] if row["column"] == column} for one in seeds]
        for control in ("one-shot", "one-shot, as many steps"):
            pairs = [(taus["few-shot"], taus[control]) for taus in found]
            if any(None in pair for pair in pairs):
                continue
            known = [few - one for few, one in pairs]
            each = ", ".join(f"{gain:+.3f}" for gain in known)
            lines.append(f"gain of few-shot over {control}, {column}: {np.mean(known):+.3f} (seeds: {each})")
    return lines


def main() -> None:
    """Train, estimate and compare, seed by seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="tiny")
    parser.add_argument("--table", default="nasbench201", help="an imported table, or the folder of one")
    parser.add_argument("--data", help="other images than those of the preset")
    parser.add_argument("--seeds", type=int, help="how many seeds, from 0; another number than that of the preset")
    parser.add_argument("--longer", type=int, default=1, metavar="TIMES", help="train so many times the epochs")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    preset = PRESETS[given.preset]
    preset = replace(
        preset,
        data=given.data or preset.data,
        seeds=given.seeds or preset.seeds,
        epochs=preset.epochs * given.longer,
        part_epochs=preset.part_epochs * given.longer,
    )
    table = open_table(given.table)
    ledger: dict[str, Any] = {"preset": asdict(preset), "machine": facts(), "seeds": []}
    for seed in range(preset.seeds):
        place = given.out / f"seed-{seed}"
        found, seconds = {}, {}
        for number, (name, evaluator) in enumerate(methods(preset).items()):
            tell(f"seed {seed}: {name}")
            folders = place / str(number), place / "supernets"
            found[name], seconds[name] = estimates(preset, evaluator, seed, given.device, *folders)
        lines = compared(found, table)
        report(lines, seconds, preset.archs)
        ledger["seeds"].append({"seed": seed, "training_s": seconds, "rows": lines})
        write_json(given.out / "few-shot.json", ledger)
    print(summary(ledger["seeds"]))
    for line in gains(ledger["seeds"]):
        print(line)


if __name__ == "__main__":
    main()
