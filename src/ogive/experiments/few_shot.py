"""One-shot beside few-shot estimates in NAS-Bench-201: Kendall's tau against columns of the table.

Four estimates of the same architectures: of one supernet; of its five parts (edge 0), plain and brought to the parent's
scale; and of one supernet that was trained for as many steps as the first and the parts together, the control. All but
the third are also made with the batch statistics of the validation images instead of statistics of each architecture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ogive import session
from ogive.core.architecture import Architecture
from ogive.core.trial import Budget
from ogive.experiments.searched import Rows, Told, among, finished, markdown, mean, minus, settings_of, spread
from ogive.metrics import kendall_tau
from ogive.supernets.plan import NASBENCH201
from ogive.tables.agreement import correlations
from ogive.tables.scores import Row
from ogive.tables.store import Table, open_table

__all__ = ["Size", "beside", "one", "told"]

COLUMNS = ("c10v_val_200", "c100_val_200", "in16_val_200")
PARTS = len(NASBENCH201.operations)
TOP = 0.1  # the share of the architectures that is looked at alone: where a search would have to choose
HEADLINE = "few-shot"


@dataclass(frozen=True)
class Size:
    """Images, size of the supernet, epochs of the parent and of each part, architectures, seeds."""

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
    resamples: int = 1000
    table: str = "nasbench201"


def methods(size: Size) -> dict[str, str]:
    """The evaluators that are compared, by name."""
    few = f"split=0, epochs={size.epochs}, part_epochs={size.part_epochs}{size.training}"
    longer = size.epochs + PARTS * size.part_epochs
    written = {
        "one-shot": f"supernet(epochs={size.epochs}{size.training})",
        "one-shot, as many steps": f"supernet(epochs={longer}{size.training})",
        "few-shot": f"parts({few})",
        "few-shot, calibrated": f"parts({few}, calibration=parent, reference={size.reference})",
    }
    own = {
        name: f"inherited({text}, metric=shared_acc, statistics_images={size.statistics_images}{size.options})"
        for name, text in written.items()
    }
    # As the published code estimates: with the batch statistics of what the accuracy is measured on.
    by_batch = {
        f"{name}, by batch": f"inherited({text}, metric=shared_acc, statistics_images=0{size.options})"
        for name, text in written.items()
        if name != "few-shot, calibrated"
    }
    return own | by_batch


def one(size: Size, seed: int, folder: Path, device: str) -> dict[str, Any]:
    """The seconds of training of every method, and how its estimates rank by every column."""
    table = open_table(size.table)
    found, seconds = {}, {}
    for number, (name, evaluator) in enumerate(methods(size).items()):
        # One folder for all methods: the parent of the parts is the one-shot supernet, which is trained once.
        found[name], seconds[name] = _estimates(
            size, evaluator, seed, device, folder / str(number), folder / "supernets"
        )
    return {"training_s": seconds, "rows": _compared(found, table, size.resamples)}


def beside(size: Size) -> dict[str, Any]:
    """Nothing: the number of parameters is ranked with every seed."""
    return {}


def _estimates(
    size: Size, evaluator: str, seed: int, device: str, folder: Path, shared: Path
) -> tuple[dict[Architecture, float], float]:
    """The estimates of one method and the seconds of training behind them; what the folder holds is not made again."""
    settings = settings_of(
        *(size, seed, device),
        space="nasbench201",
        strategy="random(without_replacement=true)",
        evaluator=evaluator,
        objectives=("maximize(shared_acc)",),
        budget=Budget(trials=size.archs),
    )
    parts = session.assemble(settings, folder=shared)
    trials = finished(settings, folder, parts).trials
    weights = parts.evaluator.weights  # type: ignore[attr-defined]
    weights.prepare(None)  # reads the seconds of a training that is done
    found = {trial.arch: trial.metrics["shared_acc"] for trial in trials if trial.status == "ok"}
    return found, weights.training_s


def _compared(found: dict[str, dict[Architecture, float]], table: Table, resamples: int) -> list[dict[str, Any]]:
    """For each column and estimate: tau with an interval over architectures, and tau in the true top decile."""
    archs = [arch for arch in next(iter(found.values())) if all(arch in known for known in found.values())]
    params = table.column("params")
    names = (*found, "params")
    rows = [Row(arch, (*(known[arch] for known in found.values()), float(params[table.row(arch)]))) for arch in archs]
    lines: list[dict[str, Any]] = []
    for column in COLUMNS:
        values = table.column(column)
        truth = {arch: float(values[table.row(arch)]) for arch in archs}
        top = set(sorted(archs, key=truth.__getitem__)[-max(3, math.ceil(TOP * len(archs))) :])
        for ranked in correlations(names, rows, truth, resamples=resamples)[0]:
            place = names.index(ranked.proxy)
            scores = {row.arch: row.scores[place] for row in rows if row.scores is not None}
            best = [arch for arch in archs if arch in top]
            top_tau = kendall_tau([scores[arch] for arch in best], [truth[arch] for arch in best])
            known = None if math.isnan(top_tau) else top_tau
            first = truth[max(archs, key=scores.__getitem__)]
            lines.append({"column": column, **ranked.to_json(), "top_tau": known, "best": first})
    return lines


# -- what it came to --------------------------------------------------------------------------------------------------


def told(seeds: Rows, around: Mapping[str, Any]) -> Told:
    """Two tables, over all architectures and in the true top; how far few-shot is ahead, seed by seed."""
    names = list(dict.fromkeys(line["proxy"] for line in seeds[0]["rows"]))
    titles = ["estimate", *(f"τ, `{column}`" for column in COLUMNS), "seconds of training", "more than one-shot"]
    overall = [[name, *_over(seeds, name, "tau", 3), *_seconds(seeds, name)] for name in names]
    top_titles = ["estimate", *(f"τ in the best {100 * TOP:.0f} %, `{column}`" for column in COLUMNS)]
    top_titles += [f"`{column}` of its best" for column in COLUMNS]
    top = [[name, *_over(seeds, name, "top_tau", 3), *_over(seeds, name, "best", 2)] for name in names]
    tables = (*markdown(titles, overall, len(seeds)), "", *markdown(top_titles, top, len(seeds))[2:], "")
    means = {name: mean(_values(seeds, COLUMNS[0], name, "tau")) for name in names}
    ours = tuple(_values(seeds, COLUMNS[0], HEADLINE, "tau"))
    others = {name: value for name, value in means.items() if name != HEADLINE}
    return Told(ours, others, (*tables, *_gains(seeds)))


def _values(seeds: Rows, column: str, name: str, key: str) -> list[float]:
    """A figure seed by seed; NaN where a seed has none."""
    rows = [line for seed in seeds for line in seed["rows"] if (line["column"], line["proxy"]) == (column, name)]
    return [math.nan if row[key] is None else float(row[key]) for row in rows]


def _over(seeds: Rows, name: str, key: str, digits: int) -> list[str]:
    """The mean of a figure over seeds and its interval, for each column; a dash where a seed has none."""
    found = [_values(seeds, column, name, key) for column in COLUMNS]
    return ["–" if any(map(math.isnan, values)) else spread(values, digits) for values in found]


def _seconds(seeds: Rows, name: str) -> list[str]:
    """The seconds of training, and how much more they are than those of one-shot; nothing for what is not trained."""
    if name not in seeds[0]["training_s"]:
        return ["", ""]
    spent = [seed["training_s"][name] for seed in seeds]
    more = [100 * (own / seed["training_s"]["one-shot"] - 1) for own, seed in zip(spent, seeds, strict=True)]
    return [among(spent), "" if name.startswith("one-shot") and "steps" not in name else f"{mean(more):+.0f} %"]


def _gains(seeds: Rows) -> Sequence[str]:
    """How far the τ of few-shot estimates is above that of others."""
    lines = []
    for control in ("one-shot", "one-shot, as many steps", "few-shot, calibrated", "params"):
        few, other = (_values(seeds, COLUMNS[0], name, "tau") for name in (HEADLINE, control))
        if not any(map(math.isnan, (*few, *other))):
            lines.append(minus(HEADLINE, few, control, other, 3) + f", τ on `{COLUMNS[0]}`")
    return lines
