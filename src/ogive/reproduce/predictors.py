"""Fit predictors on some architectures of a table, rank the others, and compare that with what is known of them.

Every fit is kept as soon as it is done, a line of ``cells.jsonl`` each, so that an interrupted reproduction goes on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive import catalog
from ogive.context import Context
from ogive.core.errors import InvalidArchitecture, MissingData, SpecError
from ogive.core.predictor import Latent, Observed, Predictor
from ogive.core.rng import Seed
from ogive.metrics import kendall_tau, mean_interval, ndcg
from ogive.reproduce.cells import Cell, Kept, World, row_of, told_by, world_of
from ogive.reproduce.ledger import write_row
from ogive.reproduce.predictor_recipe import COUNTS, Learned, More
from ogive.reproduce.verdict import Target, columns_verdict, doubts

__all__ = ["judged_learned", "quality", "reproduce_learned", "split"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

HELD_OUT = 100  # as many as CTNAS and the first split of TNASP have
BEST = 10
TOP = 0.9  # the quantile above which the best tenth begins
CLIMBED = 100  # as many as were made of 100 labels when NAO's public modules were measured


def split(count: int, size: int, seed: int) -> tuple[Integers, Integers]:
    """Which architectures are told and which are ranked."""
    if not 0 < size < count:
        raise SpecError(f"Of {count} architectures some are told and some are ranked, but got a size of {size}.")
    order = np.random.default_rng(seed).permutation(count)
    return order[:size], order[size:]


def quality(predicted: Floats, true: Floats) -> dict[str, float | None]:
    """How good a ranking is; None where it cannot be said, as of predictions that are all equal.

    Kendall's τ-b of all and of the first 100, nDCG of the first tenth of the places, τ-b within the truly best tenth,
    and the best true value among the ten that are ranked highest.
    """
    best = true >= np.quantile(true, TOP)
    found = {
        "tau": kendall_tau(predicted, true),
        "tau_100": kendall_tau(predicted[:HELD_OUT], true[:HELD_OUT]),
        "ndcg": ndcg(predicted, true, first=max(BEST, len(true) // 10)),
        "tau_top": kendall_tau(predicted[best], true[best]),
        "top10": float(true[np.argsort(-predicted, kind="stable")[:BEST]].max()),
    }
    return {name: None if math.isnan(value) else value for name, value in found.items()}


# -- cells ------------------------------------------------------------------------------------------------------------


def reproduce_learned(
    chosen: Learned, *, out: Path, seeds: int | None = None, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Fit every predictor on every split that was not done yet, and write the row ``out/NAME.json``.

    What was done is kept in ``out/runs/NAME/cells.jsonl``. A missing table is a row too. `seeds` takes the place of
    those of the recipe.
    """
    chosen = chosen.with_seeds(seeds)
    row = row_of(
        chosen,
        seeds,
        unit="τ",
        n_seeds=len(chosen.seeds_for(chosen.headline)),
        settings={
            "table": chosen.table,
            "columns": list(chosen.columns),
            "labels": chosen.labels,
            "sizes": list(chosen.sizes),
            "predictors": chosen.predictors,
            "first_seed": chosen.first_seed,
            **({"more": {label: asdict(one) for label, one in chosen.more.items()}} if chosen.more else {}),
        },
    )
    try:
        world = world_of(catalog.load("open_table")(chosen.table))
        _check(chosen, world)
        kept = Kept(out / "runs" / chosen.name / "cells.jsonl", world.table.digest)
        cells = _done(chosen, world, kept, progress or (lambda done, total: None))
        row |= told_by(cells, world)
        row["counts"] = _counts(chosen, world)
        row["seconds"] = round(sum(one["fit_s"] + one["rank_s"] for one in cells), 1)
        row = judged_learned(row, chosen)
    except MissingData as error:
        row |= {"status": "data missing", "because": str(error), "seconds": 0.0}
    write_row(row, out / f"{chosen.name}.json")
    return row


def _check(chosen: Learned, world: World) -> None:
    """Raise, before the fits and not between them, for a column, a size or a predictor that there is not."""
    for column in (
        *chosen.columns,
        *chosen.labels.values(),
        *(name for one in chosen.more.values() for name in one.columns.values()),
    ):
        world.column(column)
    split(len(world.archs), max(chosen.sizes), chosen.first_seed)
    for spec in chosen.predictors.values():
        _built({"spec": spec, "seed": chosen.first_seed}, world)


def _wanted(chosen: Learned) -> Iterator[Cell]:
    """What is to be done: all sizes of all predictors of the first seed, then those of the next."""
    most = max(chosen.seeds_for(one).stop for one in chosen.predictors)
    for seed in range(chosen.first_seed, most):
        for predictor, spec in chosen.predictors.items():
            if seed not in chosen.seeds_for(predictor):
                continue
            for column in chosen.columns:
                labels = chosen.labels.get(column, column)
                about = {"predictor": predictor, "spec": spec, "column": column, "labels": labels, "seed": seed}
                if predictor in chosen.more:
                    about["more"] = asdict(chosen.more[predictor])
                yield from ({**about, "size": size} for size in chosen.sizes_for(predictor))


def _done(chosen: Learned, world: World, kept: Kept, progress: Callable[[int, int], None]) -> list[Cell]:
    wanted = list(_wanted(chosen))
    predictor: tuple[tuple[str, int], Predictor] | None = None
    cells = []
    for place, about in enumerate(wanted):
        cell = kept.get(about)
        if cell is None:
            # One predictor for all sizes of a seed: what its encoder has written of an architecture serves them all.
            name = (about["spec"], about["seed"])
            if predictor is None or predictor[0] != name:
                predictor = (name, _built(about, world))
            cell = about | _fitted(predictor[1], about, world)
            kept.add(cell)
        cells.append(cell | about)  # by the name that the recipe has for it now
        progress(place + 1, len(wanted))
    return cells


def _context(about: Cell, world: World) -> Context:
    return Context({"space": lambda: world.space}, Seed(about["seed"]))


def _built(about: Cell, world: World) -> Predictor:
    built: Predictor = catalog.build("predictor", about["spec"], _context(about, world))
    return built


def _fitted(predictor: Predictor, about: Cell, world: World) -> Cell:
    """Fit on the split of a cell and rank the others; seconds are those of the processor."""
    labels, true = world.column(about["labels"]), world.column(about["column"])
    told, others = split(len(world.archs), about["size"], about["seed"])
    observed = Observed(tuple(world.archs[place] for place in told), tuple(labels[told].tolist()))
    if "more" in about:
        observed, others = _with_more(More(**about["more"]), about, world)
    unseen = [world.archs[place] for place in others]
    started = time.process_time()
    predictor.fit(observed)
    fitted = time.process_time()
    predicted = np.asarray(predictor.predict(unseen), np.float64)
    ranked = time.process_time()
    seconds = {"fit_s": round(fitted - started, 3), "rank_s": round(ranked - fitted, 3)}
    found = {**quality(predicted, true[others]), **seconds}
    if isinstance(predictor, Latent):
        found |= {"climbed": _climbed(predictor, observed, about, world), "unseen": float(true[others].mean())}
    return found


def _with_more(more: More, about: Cell, world: World) -> tuple[Observed, Integers]:
    """The labels of a cell with those of another kind behind them, and the architectures that have none of either.

    Those after fewer epochs are of other architectures than those after all of the training. Those of another data set
    are of any.
    """
    column = more.columns[about["column"]]
    own, count = more.numbers(about["size"])
    kept, rest = split(len(world.archs), own, about["seed"])
    if more.source is None:
        cheap, others = rest[:count], rest[count:]
    else:
        cheap = np.random.default_rng([about["seed"], 1]).permutation(len(world.archs))[:count]
        others = rest
    if len(others) < BEST:
        raise SpecError(f"{count} labels of {column} leave {len(others)} architectures to rank; share is too small.")
    scores = (*world.column(about["labels"])[kept].tolist(), *world.column(column)[cheap].tolist())
    return (
        Observed(
            tuple(world.archs[place] for place in (*kept, *cheap)),
            scores,
            (*[None] * own, *[more.fidelity] * len(cheap)),
            (*[None] * own, *[more.source] * len(cheap)),
        ),
        others,
    )


def _climbed(predictor: Predictor, observed: Observed, about: Cell, world: World) -> float | None:
    """The mean true value of what a search by ascent would measure next; None where the table lacks some of that."""
    ascent = catalog.build("proposer", "ascent", _context(about, world))
    offered = ascent.offered(predictor, observed, CLIMBED, Seed(about["seed"]).numpy("climbed"))
    try:
        rows = [world.table.row(arch) for arch in offered]
    except InvalidArchitecture:
        return None
    return float(np.asarray(world.table.column(about["column"]), np.float64)[rows].mean())


def _counts(chosen: Learned, world: World) -> list[Cell]:
    """How well counts rank the same architectures, the means over the splits."""
    found = []
    for name, count in world.counts().items():
        for column in chosen.columns:
            true = world.column(column)
            for size in chosen.sizes:
                rest = [split(len(true), size, seed)[1] for seed in chosen.seeds_for(chosen.headline)]
                told = [quality(count[others], true[others]) for others in rest]
                means = {key: _mean([one[key] for one in told]) for key in told[0]}
                found.append({"predictor": name, "column": column, "size": size, **means})
    return found


# -- the row ----------------------------------------------------------------------------------------------------------


def judged_learned(row: Mapping[str, Any], chosen: Learned) -> dict[str, Any]:
    """The row with the status that follows from its cells, and its tables.

    The row's figure is the headline's τ at the most labels for which something is known of it, of the first column.
    """
    if "cells" not in row:
        return dict(row)
    column = chosen.columns[0]
    counts = {(one["predictor"], one["size"]): one["tau"] for one in row["counts"] if one["column"] == column}
    known = [one.size for one in chosen.published if one.predictor == chosen.headline]
    size = max(known or chosen.sizes_for(chosen.headline))
    taus = _taus(row["cells"], chosen.headline, column, size)
    oracle = next((o for o in chosen.published if (o.predictor, o.size) == (chosen.headline, size)), None)
    columns = [_compared(one, row["cells"], column, counts, chosen) for one in chosen.published]
    return {
        **row,
        "ours": _mean(taus),
        "interval": _interval(taus),
        "published": oracle and oracle.tau,
        "error": oracle and oracle.margin,
        "margin": oracle and oracle.margin,
        "baselines": {name: tau for (name, at), tau in counts.items() if at == size},
        "columns": columns,
        "markdown": _markdown(row, chosen, columns),
        **columns_verdict(columns, chosen.source_checked, chosen.deviation),
    }


def _compared(
    oracle: Any, cells: Sequence[Cell], column: str, counts: Mapping[tuple[str, int], float], chosen: Learned
) -> Cell:
    """One oracle beside ours, and every cheap ranking that is as near to it, from below or above."""
    taus = _taus(cells, oracle.predictor, column, oracle.size)
    ours = _mean(taus)
    cheap = {name: counts.get((name, oracle.size)) for name in chosen.cheap}
    cheap |= {name: _mean(_taus(cells, name, column, oracle.size)) for name in chosen.cheap if name not in COUNTS}
    known = {name: tau for name, tau in cheap.items() if tau is not None}
    interval = _interval(taus)
    target = Target(oracle.tau, oracle.margin, oracle.margin)
    found = doubts(target, math.nan if ours is None else ours, interval, known, digits=3)
    return {
        "label": f"{oracle.predictor} at {oracle.size}",
        "predictor": oracle.predictor,
        "size": oracle.size,
        "published": oracle.tau,
        "margin": oracle.margin,
        "ours": ours,
        "interval": interval,
        "doubts": found,
    }


def _taus(cells: Sequence[Cell], predictor: str, column: str, size: int, of: str = "tau") -> list[float | None]:
    wanted = (predictor, column, size)
    return [one.get(of) for one in cells if (one["predictor"], one["column"], one["size"]) == wanted]


def _mean(values: Sequence[float | None]) -> float | None:
    """None if there is none, or if one of them could not be said."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def _interval(values: Sequence[float | None]) -> list[float] | None:
    known = [value for value in values if value is not None]
    if len(known) < 2 or len(known) < len(values):
        return None
    return list(mean_interval(known, Seed(0).numpy("splits")))


# -- words ------------------------------------------------------------------------------------------------------------

_TABLES = {
    "tau": "Kendall's τ",
    "tau_100": "τ of 100 of them",
    "ndcg": "nDCG, first tenth",
    "tau_top": "τ within the best tenth",
    "top10": "best of ten ranked first",
    "climbed": f"mean of {CLIMBED} that are climbed to",
}
# Measures of which only some predictors have a figure, and what stands below them: that of all others.
_BELOW = {"climbed": "unseen"}


def _markdown(row: Mapping[str, Any], chosen: Learned, columns: Sequence[Cell]) -> list[str]:
    """A table a column and measure, predictors down and labels across, then what holds and what others published."""
    lines: list[str] = []
    for column in chosen.columns:
        for measure, title in _TABLES.items():
            if measure in _BELOW and not any(measure in one for one in row["cells"]):
                continue
            lines += [*_table(row, chosen, column, measure, f"`{column}`: {title}"), ""]
    lines += [_sentence(one) for one in columns]
    for one in chosen.beside:
        mark = " (unverified)" if one.source_checked == "memory" else ""
        lines.append(f"{one.who}, {one.size} labels: τ {one.tau:.3f}{mark}; {one.source}.")
    return lines


def _table(row: Mapping[str, Any], chosen: Learned, column: str, measure: str, title: str) -> list[str]:
    lines = [f"| {title} | seeds | {' | '.join(map(str, chosen.sizes))} |", f"|{'---|' * (2 + len(chosen.sizes))}"]
    digits = 2 if measure in {"top10", *_BELOW} else 3
    for predictor in chosen.predictors:
        told = [_told(_taus(row["cells"], predictor, column, size, measure), digits) for size in chosen.sizes]
        lines.append(f"| {predictor} | {len(chosen.seeds_for(predictor))} | {' | '.join(told)} |")
    for name in COUNTS:
        told = [_told(_taus(row["counts"], name, column, size, measure), digits) for size in chosen.sizes]
        if set(told) != {"–"}:
            lines.append(f"| {name} | | {' | '.join(told)} |")
    if measure in _BELOW:
        by = next(one["predictor"] for one in row["cells"] if measure in one)
        told = [_told(_taus(row["cells"], by, column, size, _BELOW[measure]), digits) for size in chosen.sizes]
        lines.append(f"| all others | | {' | '.join(told)} |")
    return lines


def _told(values: Sequence[float | None], digits: int) -> str:
    mean = _mean(values)
    if mean is None:
        return "–"
    spread = f" ± {np.std(np.array(values, float), ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{mean:.{digits}f}{spread}"


def _sentence(one: Mapping[str, Any]) -> str:
    ours = "–" if one["ours"] is None else f"{one['ours']:.3f}"
    said = f"{one['label']}: τ {one['published']:.3f} ± {one['margin']:.2f} is known, ours is {ours}"
    return f"{said}; {'; '.join(one['doubts'])}." if one["doubts"] else f"{said}: it holds."
