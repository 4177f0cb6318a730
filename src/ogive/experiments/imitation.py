"""What imitation of an expert does to the blocks that IRLAS finds: their features, latency and accuracy, over λ.

For every weight λ one search trains a number of blocks, each of which is also timed here; random search does as many.
Blocks are compared by the distance of their features from the expert's, and by latency at equal multiply-accumulates:
the partial rank correlation of λ and latency given the multiply-accumulates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.core.rng import Seed
from ogive.core.trial import Budget
from ogive.experiments.searched import Rows, Told, among, finished, markdown, mean, settings_of
from ogive.metrics import spearman
from ogive.spaces.blockqnn import layers_of
from ogive.topology import expert_of, mirror

__all__ = ["Size", "beside", "one", "told"]

Reals = npt.NDArray[np.float64]

RANDOM = "random search"
LATENCY = "latency_cpu_ms"  # processor time, which other work on the machine changes less than the clock
RESAMPLES = 1000


@dataclass(frozen=True)
class Size:
    """Images, networks, blocks of each weight, how they are trained, and the seeds."""

    data: str
    channels: int
    cells: int
    layers: int
    weights: tuple[float, ...]
    blocks: int
    batch: int
    training: str
    seeds: int
    space: str = "blockqnn_separable"
    expert: str = "resnext"
    form: str = "mirror"
    learning_rate: float = 0.3  # ours: tens of blocks are few for the 0.01 of thousands
    timing: str = "latency(min_runs=5, min_seconds=0.02, max_seconds=0.2, warm_up_s=0.01)"


def one(size: Size, seed: int, folder: Path, device: str) -> dict[str, Any]:
    """The blocks of every weight, and of random search, with what was measured of them."""
    found = {f"{weight:g}": _searched(size, _strategy(size, weight), seed, device, folder) for weight in size.weights}
    return {"blocks": found | {RANDOM: _searched(size, "random", seed, device, folder)}}


def beside(size: Size) -> dict[str, Any]:
    """How large the margins of the expert were in inverse reinforcement learning."""
    return {"margins": [round(margin, 4) for margin in mirror(expert_of(size.expert), largest=size.layers).margins]}


def _strategy(size: Size, weight: float) -> str:
    iterations = size.blocks // size.batch
    return (
        f"irlas(expert={size.expert}, weight={weight:g}, form={size.form}, iterations={iterations}, "
        f"batch={size.batch}, learning_rate={size.learning_rate:g})"
    )


def _searched(size: Size, strategy: str, seed: int, device: str, folder: Path) -> list[dict[str, Any]]:
    settings = settings_of(
        *(size, seed, device),
        space=f"{size.space}(layers={size.layers})",
        strategy=strategy,
        evaluator=f"together({size.training}, {size.timing})",
        objectives=("maximize(val_acc)",),
        budget=Budget(trials=size.blocks),
    )
    place = strategy.partition("(")[0] if strategy == "random" else strategy.split("weight=")[1].partition(",")[0]
    trials = finished(settings, folder / place).trials
    learnt = mirror(expert_of(size.expert), largest=size.layers)
    names = ("val_acc", "latency_ms", LATENCY, "macs")
    return [
        {
            "arch": str(trial.arch),
            "distance": learnt.distance(layers_of(trial.arch), size.layers),
            **{name: trial.metrics[name] for name in names},
        }
        for trial in trials
        if trial.status == "ok"
    ]


def told(rows: Rows, beside: Mapping[str, Any], resamples: int = RESAMPLES) -> Told:
    """By seed, how the distance from the expert falls with λ; the same of latency, with intervals over blocks."""
    lines, ours, latency = [], [], []
    for row in rows:
        blocks = row["blocks"]
        weights = [name for name in blocks if name != RANDOM]
        columns = _columns(blocks, weights)
        ours.append(spearman(columns["weight"], columns["distance"]))
        latency.append(_partial(columns))
        rng = Seed(0).child(str(row["seed"])).numpy("resamples")
        for name, statistic in STATISTICS.items():
            low, high = _interval(columns, statistic, rng, resamples)
            lines.append(f"* seed {row['seed']}, {name}: {statistic(columns):.3f} [{low:.3f}, {high:.3f}]")
    names = list(rows[0]["blocks"])
    table = [_line(name, [block for row in rows for block in row["blocks"][name]], len(rows)) for name in names]
    heads = ("λ", "blocks", "distance", "val_acc", "best", "CPU ms", "10⁶ MACs", "CPU ms / 10⁶ MACs")
    random = [block for row in rows for block in row["blocks"][RANDOM]]
    return Told(
        tuple(ours),
        {
            "λ and latency at equal multiply-accumulates": mean(latency),
            "distance in random search": mean([block["distance"] for block in random]),
        },
        (
            *markdown(heads, table, len(rows)),
            "",
            "Spearman's ρ over blocks [95 % bootstrap interval over blocks]:",
            "",
            *lines,
        ),
    )


def _line(name: str, blocks: Sequence[Mapping[str, Any]], seeds: int) -> tuple[str, ...]:
    accuracies = [block["val_acc"] for block in blocks]
    costs = [block["macs"] / 1e6 for block in blocks]
    times = [block[LATENCY] for block in blocks]
    return (
        name,
        str(len(blocks)),
        among([block["distance"] for block in blocks], 3),
        among(accuracies, 2),
        f"{max(accuracies):.2f}",
        among(times, 2),
        among(costs, 2),
        among([time / cost for time, cost in zip(times, costs, strict=True)], 2),
    )


def _columns(blocks: Mapping[str, Any], weights: Sequence[str]) -> dict[str, Reals]:
    """The numbers of all blocks that were found with a weight."""
    found = [(float(weight), block) for weight in weights for block in blocks[weight]]
    names = ("distance", LATENCY, "macs", "val_acc")
    columns = {name: np.array([block[name] for _, block in found], np.float64) for name in names}
    return {"weight": np.array([weight for weight, _ in found]), **columns}


def _partial(columns: Mapping[str, Reals]) -> float:
    """The rank correlation of λ and latency among blocks of equal multiply-accumulates (Kendall's partial form)."""
    weight, latency, macs = (columns[name] for name in ("weight", LATENCY, "macs"))
    wl, wm, lm = spearman(weight, latency), spearman(weight, macs), spearman(latency, macs)
    spread = (1 - wm**2) * (1 - lm**2)
    return float((wl - wm * lm) / spread**0.5) if spread > 0 else float("nan")


STATISTICS: Mapping[str, Callable[[Mapping[str, Reals]], float]] = {
    "λ and the distance from the expert": lambda columns: spearman(columns["weight"], columns["distance"]),
    "λ and latency at equal multiply-accumulates": _partial,
    "λ and the validation accuracy": lambda columns: spearman(columns["weight"], columns["val_acc"]),
}


def _interval(
    columns: Mapping[str, Reals],
    statistic: Callable[[Mapping[str, Reals]], float],
    rng: np.random.Generator,
    resamples: int,
) -> tuple[float, float]:
    """The 95 % percentile interval over blocks, drawn anew within each weight."""
    groups = [np.flatnonzero(columns["weight"] == weight) for weight in np.unique(columns["weight"])]
    found = []
    for _ in range(resamples):
        drawn = np.concatenate([rng.choice(group, len(group)) for group in groups])
        found.append(statistic({name: values[drawn] for name, values in columns.items()}))
    low, high = np.nanpercentile(found, (2.5, 97.5))
    return float(low), float(high)
