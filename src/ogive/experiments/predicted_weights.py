"""Networks with predicted weights in NAS-Bench-201: Kendall's tau of what they reach against columns of the table.

The weights are those of a hypernetwork, one forward pass for each architecture, so that nothing is trained here; the
number of parameters is ranked beside. Estimates are made with the batch statistics of the validation images, and with
statistics of each architecture's own from training images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ogive import session
from ogive.core.architecture import Architecture
from ogive.core.trial import Budget
from ogive.experiments.searched import Rows, Told, finished, markdown, mean, minus, settings_of, spread
from ogive.tables.agreement import correlations
from ogive.tables.scores import Row
from ogive.tables.store import open_table

__all__ = ["Size", "beside", "one", "told"]

COLUMNS = ("c10v_val_200", "c100_val_200", "in16_val_200")
HEADLINE = "predicted weights, by batch"
PARAMS = "params"


@dataclass(frozen=True)
class Size:
    """Images, size of the networks, architectures, seeds, and images that they are measured on and calibrated with.

    `file` is a hypernetwork, by default the one that comes with ogive. Each seed has architectures of its own.
    """

    data: str
    channels: int
    cells: int
    archs: int
    seeds: int
    validation_images: int = 500
    statistics_images: int = 500
    file: str = ""
    resamples: int = 1000
    table: str = "nasbench201"


def one(size: Size, seed: int, folder: Path, device: str) -> dict[str, Any]:
    """How both estimates, and the parameters, rank by every column; and whose weights they were."""
    table, digest = open_table(size.table), ""
    found: dict[str, dict[Architecture, float]] = {}
    for number, (name, images) in enumerate({HEADLINE: 0, "predicted weights": size.statistics_images}.items()):
        weights = f"ghn('{size.file}')" if size.file else "ghn"
        measured = f"validation_images={size.validation_images}, statistics_images={images}"
        settings = settings_of(
            *(size, seed, device),
            space="nasbench201",
            strategy="random(without_replacement=true)",
            evaluator=f"inherited({weights}, metric=shared_acc, {measured})",
            objectives=("maximize(shared_acc)",),
            budget=Budget(trials=size.archs),
        )
        parts = session.assemble(settings)
        trials = finished(settings, folder / str(number), parts).trials
        digest = parts.evaluator.weights.digest  # type: ignore[attr-defined]
        found[name] = {trial.arch: trial.metrics["shared_acc"] for trial in trials if trial.status == "ok"}
    archs = [arch for arch in found[HEADLINE] if all(arch in known for known in found.values())]
    counted = table.column(PARAMS)
    found[PARAMS] = {arch: float(counted[table.row(arch)]) for arch in archs}
    rows = [Row(arch, tuple(known[arch] for known in found.values())) for arch in archs]
    lines: list[dict[str, Any]] = []
    for column in COLUMNS:
        truth = {arch: float(table.value(arch, column)) for arch in archs}
        for ranked in correlations(tuple(found), rows, truth, resamples=size.resamples)[0]:
            best = max(archs, key=found[ranked.proxy].__getitem__)
            lines.append({"column": column, **ranked.to_json(), "best": truth[best]})
    return {"hypernetwork": digest, "archs": len(archs), "rows": lines}


def beside(size: Size) -> dict[str, Any]:
    """Nothing: the number of parameters is ranked with every seed."""
    return {}


def told(seeds: Rows, around: Mapping[str, Any]) -> Told:
    """A table of τ and of the best by each ranking; how far predicted weights are ahead of the parameters."""
    names = list(dict.fromkeys(line["proxy"] for line in seeds[0]["rows"]))
    titles = [
        "ranked by",
        *(f"τ, `{column}`" for column in COLUMNS),
        *(f"`{column}` of its best" for column in COLUMNS),
    ]
    lines = [[name, *_taus(seeds, name), *_over(seeds, name, "best", 2)] for name in names]
    ours, rival = (_values(seeds, COLUMNS[0], name, "tau") for name in (HEADLINE, PARAMS))
    baselines = {name: mean(_values(seeds, COLUMNS[0], name, "tau")) for name in names if name != HEADLINE}
    gain = minus(HEADLINE, ours, PARAMS, rival, 3) + f", τ on `{COLUMNS[0]}`"
    return Told(tuple(ours), baselines, (*markdown(titles, lines, len(seeds)), "", gain))


def _values(seeds: Rows, column: str, name: str, key: str) -> list[float]:
    return [
        float("nan") if line[key] is None else float(line[key])
        for seed in seeds
        for line in seed["rows"]
        if (line["column"], line["proxy"]) == (column, name)
    ]


def _taus(seeds: Rows, name: str) -> list[str]:
    """The mean of τ over seeds and its interval or, of one seed, the interval over its architectures."""
    if len(seeds) > 1:
        return _over(seeds, name, "tau", 3)
    told = []
    for column in COLUMNS:
        (line,) = (one for one in seeds[0]["rows"] if (one["column"], one["proxy"]) == (column, name))
        low, high = line["tau_interval"] or (float("nan"), float("nan"))
        told.append("–" if line["tau"] is None else f"{line['tau']:.3f} [{low:.3f}, {high:.3f}]")
    return told


def _over(seeds: Rows, name: str, key: str, digits: int) -> list[str]:
    """The mean of a figure over seeds and its interval, for each column."""
    return [spread(_values(seeds, column, name, key), digits) for column in COLUMNS]
