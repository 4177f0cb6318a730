"""What rewards of accuracy and latency make of a controller's samples, in a table of networks measured on a device.

A search by MnasNet's controller with each reward and each target latency, beside random search and NSGA-II: how many of
the late samples are as fast as the target, where their latencies lie, and how much of the table's front is dominated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive import catalog, session
from ogive.comparison import slug
from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.core.trial import Budget
from ogive.experiments.searched import Rows, Told, finished, markdown, mean, spread
from ogive.figures import Bands, draw_bands, t_band
from ogive.metrics import holm, hypervolume, non_dominated, paired_permutation_test, stepwise

__all__ = ["Size", "beside", "drawn", "one", "told"]

Floats = npt.NDArray[np.float64]

MODES = {"hard": "hard", "soft": "soft", "TuNAS": "absolute"}  # of the objective latency_tradeoff
RANDOM = "random"
EVOLUTION = "NSGA-II"
ALPHA = 0.05
QUARTER = 4
POINTS = 60  # of a curve in the figure
RULES = """\
The rules, written before the first search, over paired seeds:

1. A reward aims at its target where the median latency of the last quarter of samples is larger for the larger target,
   with a 95 % interval of the ratio that leaves out 1. By algebra hard and TuNAS's do, and soft, whose exponents are
   equal, does not.
2. The hard reward keeps to its target where the share of the last quarter of samples under it exceeds that of random
   search, with a 95 % interval of the difference that leaves out zero.
3. A search is ahead of random search or of NSGA-II in hypervolume, or behind, where the paired permutation test gives
   p < 0.05 after Holm's correction for all of these tests.
""".splitlines()


@dataclass(frozen=True)
class Size:
    """A table, its columns of accuracy and latency, target latencies, candidates of a search, and the seeds."""

    table: str
    accuracy: str
    latency: str
    targets_ms: tuple[float, ...]
    trials: int
    seeds: int
    controller: str = "mnasnet"
    evolution: str = "nsga2"

    def __post_init__(self) -> None:
        if not self.targets_ms or self.trials < QUARTER:
            raise SpecError(f"Rewards are compared with a target and {QUARTER} trials at least, but got {self}.")


def one(size: Size, seed: int, folder: Path, device: str) -> dict[str, Any]:
    """Of every search: the latencies of its samples in short, its front, and its part of the table's hypervolume."""
    table = catalog.load("open_table")(size.table)
    whole = _points(table, size)
    accuracy = table.metric_of(size.accuracy, "searched").name
    found = {}
    for label, strategy, objectives in _searches(size, accuracy):
        settings = session.Settings(
            space=table.space,
            table=size.table,
            strategy=strategy,
            evaluator=f"tabular(metric={size.accuracy}, also=[{size.latency}])",
            objectives=objectives,
            seed=seed,
            threads=1,
            budget=Budget(trials=size.trials),
        )
        trials = finished(settings, folder / slug(label)).trials
        points = np.array([[t.metrics[accuracy], -t.metrics[size.latency]] for t in trials if t.status == "ok"])
        found[label] = _told_of(points, whole, size.targets_ms)
    return {"searches": found}


def _searches(size: Size, accuracy: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    both = (f"maximize({accuracy})", f"minimize({size.latency})")
    for target in size.targets_ms:
        for name, mode in MODES.items():
            given = f"target_ms={target:g}, accuracy={accuracy}, latency={size.latency}, mode={mode}"
            yield _label(name, target), size.controller, (f"latency_tradeoff({given})",)
    yield EVOLUTION, size.evolution, both
    yield RANDOM, "random", both


def _label(name: str, target: float) -> str:
    return f"{name}, T = {target:g} ms"


def _points(table: Any, size: Size) -> Floats:
    """Accuracy and minus the latency of every network of the table that has both, (n, 2)."""
    points = np.stack([table.column(size.accuracy), -table.column(size.latency)], axis=1).astype(np.float64)
    known: Floats = points[np.isfinite(points).all(axis=1)]
    return known


def _told_of(points: Floats, whole: Floats, targets: Sequence[float]) -> dict[str, Any]:
    quarter = len(points) // QUARTER
    early, late = -points[:quarter, 1], -points[-quarter:, 1]
    corner = whole.min(axis=0)
    front = points[non_dominated(points)]
    front = front[np.argsort(-front[:, 1], kind="stable")]
    return {
        "under_early": [round(float((early <= target).mean()), 4) for target in targets],
        "under_late": [round(float((late <= target).mean()), 4) for target in targets],
        "late_ms": [round(float(value), 4) for value in np.quantile(late, (0.1, 0.5, 0.9))],
        "late_acc": round(float(points[-quarter:, 0].mean()), 4),
        "hypervolume": round(100 * hypervolume(points, corner) / hypervolume(whole, corner), 4),
        "front_acc": [round(float(value), 4) for value in front[:, 0]],
        "front_ms": [round(-float(value), 4) for value in front[:, 1]],
    }


def beside(size: Size) -> dict[str, Any]:
    """The table's own front, and the shares of all its networks that are as fast as the targets."""
    whole = _points(catalog.load("open_table")(size.table), size)
    every = _told_of(whole, whole, size.targets_ms)
    return {
        "targets_ms": list(size.targets_ms),
        "latency": size.latency,
        "accuracy": size.accuracy,
        "networks": len(whole),
        "trials": size.trials,
        "under": [round(float((-whole[:, 1] <= target).mean()), 4) for target in size.targets_ms],
        "median_ms": round(float(np.median(-whole[:, 1])), 4),
        "front_acc": every["front_acc"],
        "front_ms": every["front_ms"],
    }


# -- what it came to --------------------------------------------------------------------------------------------------


def told(seeds: Rows, beside: Mapping[str, Any]) -> Told:
    """Where samples of every search lie, and by the three rules what rewards do and who is ahead.

    The headline is the hypervolume of the hard reward with the first target.
    """
    labels = list(seeds[0]["searches"])
    volumes = {label: _of(seeds, label, "hypervolume") for label in labels}
    titles = ["search", *(f"under {target:g} ms, first | last quarter" for target in beside["targets_ms"])]
    titles += ["10 % | 50 % | 90 % of late latencies, ms", "accuracy, late", "hypervolume, %"]
    lines = [_line(seeds, label, beside) for label in labels]
    shares = ", ".join(
        f"{100 * share:.0f} % at {target:g} ms"
        for share, target in zip(beside["under"], beside["targets_ms"], strict=True)
    )
    about = (
        f"{beside['trials']} of {beside['networks']:,} networks a search, none twice, so that a controller that wants "
        f"one network again gets one near it; of all, {shares} or less, median {beside['median_ms']:.2f} ms. "
        "Hypervolume is of that of the whole table."
    )
    headline, *others = labels
    return Told(
        tuple(volumes[headline].tolist()),
        {label: mean(volumes[label].tolist()) for label in others},
        (
            *(*RULES, "", about, ""),
            *markdown([title.replace(" | ", " / ") for title in titles], lines, len(seeds)),
            "",
            *_aims(seeds, beside["targets_ms"]),
            *_keeps(seeds, beside["targets_ms"]),
            *_ahead(volumes),
        ),
    )


def _of(seeds: Rows, label: str, name: str) -> Floats:
    return np.array([seed["searches"][label][name] for seed in seeds], np.float64)


def _line(seeds: Rows, label: str, beside: Mapping[str, Any]) -> list[str]:
    early, late = (100 * _of(seeds, label, name) for name in ("under_early", "under_late"))
    shares = [
        f"{mean(early[:, place].tolist()):.0f} / {spread(late[:, place].tolist(), 0)} %"
        for place in range(len(beside["targets_ms"]))
    ]
    latencies = " / ".join(f"{value:.2f}" for value in _of(seeds, label, "late_ms").mean(axis=0))
    accuracy, volume = (spread(_of(seeds, label, name).tolist()) for name in ("late_acc", "hypervolume"))
    return [label, *shares, latencies, accuracy, volume]


def _aims(seeds: Rows, targets: Sequence[float]) -> Iterator[str]:
    """Rule 1, where there are two targets: the ratio of late medians, larger over smaller target."""
    if len(targets) < 2:
        return
    low, high = min(targets), max(targets)
    for name in MODES:
        fast, slow = (_of(seeds, _label(name, target), "late_ms")[:, 1] for target in (low, high))
        ratios = spread((slow / fast).tolist())
        yield f"* {name}: the late median at {high:g} ms over that at {low:g} ms: {ratios}"


def _keeps(seeds: Rows, targets: Sequence[float]) -> Iterator[str]:
    """Rule 2, of every reward: per cent points of late samples under the target more than in random search."""
    for place, target in enumerate(targets):
        chance = 100 * _of(seeds, RANDOM, "under_late")[:, place]
        for name in MODES:
            label = _label(name, target)
            more = 100 * _of(seeds, label, "under_late")[:, place] - chance
            yield f"* {label}: late samples under it, points more than in random search: {spread(more.tolist())}"


def _ahead(volumes: Mapping[str, Floats]) -> Iterator[str]:
    """Rule 3."""
    pairs = [(label, rival) for rival in (RANDOM, EVOLUTION) for label in volumes if label not in (RANDOM, EVOLUTION)]
    pairs.append((EVOLUTION, RANDOM))
    values = [
        paired_permutation_test(volumes[label], volumes[rival], Seed(0).numpy(f"{label} {rival}"))
        for label, rival in pairs
    ]
    for (label, rival), p in zip(pairs, holm(values).tolist(), strict=True):
        more = (volumes[label] - volumes[rival]).tolist()
        said = "not told apart" if not p < ALPHA else "ahead" if mean(more) > 0 else "behind"
        yield f"* hypervolume, {label} minus {rival}: {spread(more)}, adjusted p {p:.4f}: {said}"


# -- the figure -------------------------------------------------------------------------------------------------------


def drawn(seeds: Rows, beside: Mapping[str, Any], path: Path) -> Path:
    """Draw fronts as an SVG: the mean over seeds of the best accuracy at most so slow, and the table's own."""
    fronts = {label: [seed["searches"][label] for seed in seeds] for label in seeds[0]["searches"]}
    slowest = max(beside["front_ms"])
    first = max(found["front_ms"][0] for own in fronts.values() for found in own)
    at = np.geomspace(first, max(slowest, first), POINTS)
    bands = {label: _band(own, at) for label, own in fronts.items()}
    bands["all networks of the table"] = _band([beside], at)
    title = f"means of {len(seeds)} seeds, bands: 95 % t-intervals at each point"
    words = (f"{beside['latency']} at most", f"best {beside['accuracy']} (%)")
    return draw_bands(bands, path, words=words, title=title, logarithmic=(True, False))


def _band(found: Sequence[Mapping[str, Any]], at: Floats) -> Bands:
    return t_band(at, np.stack([stepwise(one["front_ms"], one["front_acc"], at) for one in found]))
