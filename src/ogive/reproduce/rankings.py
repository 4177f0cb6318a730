"""Reproduce published rank correlations of training-free scores, the number of parameters always beside them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ogive import catalog
from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, MissingData, SpecError, UnknownName
from ogive.reproduce.ledger import Sittings, empty_row, write_row
from ogive.reproduce.recipe import Column, Ranking
from ogive.reproduce.verdict import columns_verdict, doubts
from ogive.scoring import with_standing
from ogive.tables.agreement import Correlation, correlations
from ogive.tables.scores import Row, Scores, open_scores

__all__ = ["judged_ranking", "markdown", "reproduce_ranking", "sentences"]

# A file of more rows than this gets fewer resamples.
LARGE = 5000
# Decimals of what a row holds of every resample.
DIGITS = 5


def reproduce_ranking(
    chosen: Ranking, *, out: Path, resamples: int | None = None, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Correlate every score of the ranking's file with its columns, and write the row ``out/NAME.json``.

    A missing file, and a missing table, is a row too: it says what is missing and how to get it. `resamples` are those
    of the intervals; by default 1,000, and 200 of a large file, whose intervals are narrow.
    """
    sittings = Sittings(out / f"{chosen.name}.json")

    def told(done: int, total: int) -> None:
        sittings.note()
        if progress is not None:
            progress(done, total)

    row = _row(chosen)
    try:
        scores = open_scores(Path(chosen.scores), chosen.made_by)
        drawn = resamples or (1000 if len(scores.rows) <= LARGE else 200)
        row |= _measured(chosen, scores, drawn, told)
        row = judged_ranking(row, chosen)
    except MissingData as error:
        row |= {"status": "data missing", "because": str(error)}
    row["seconds"] = round(sittings.over(), 1)
    write_row(row, out / f"{chosen.name}.json")
    return row


def _row(chosen: Ranking) -> dict[str, Any]:
    first = chosen.columns[0]
    return empty_row(
        name=chosen.name,
        preset="paper",
        title=chosen.title,
        published=first.published,
        published_spread=None,
        unit="τ",
        source=chosen.source,
        source_checked=chosen.source_checked,
        deviation=chosen.deviation,
        n_seeds=1,
        command=f"ogive reproduce {chosen.name}",
        settings={
            "scores": chosen.scores,
            "made_by": chosen.made_by,
            "table": chosen.table,
            "proxy": chosen.proxy,
            "combined": {one.name: {"scores": list(one.scores), "combine": one.combine} for one in chosen.combined},
        },
    )


def _measured(chosen: Ranking, scores: Scores, resamples: int, progress: Callable[[int, int], None]) -> dict[str, Any]:
    table = catalog.load("open_table")(chosen.table)
    if scores.space != table.space:
        raise SpecError(f"{chosen.scores} holds scores of {scores.space}, but {table.name} is of another.")
    proxies, rows = _with_combined(chosen, scores)
    if chosen.proxy not in proxies:
        raise UnknownName(f"score in {chosen.scores}", chosen.proxy, proxies)
    known = [row.arch for row in rows if _has(table, row.arch)]
    columns = []
    for place, column in enumerate(chosen.columns):
        values = {arch: table.value(arch, column.column) for arch in known}
        shown = functools.partial(_part_of, progress, place, len(chosen.columns))
        columns.append(_column(column, proxies, rows, values, resamples, shown))
    taus = {one["proxy"]: one for one in columns[0]["scores"]}
    own = taus[chosen.proxy]
    used = {key: value for key, value in scores.settings.items() if key not in ("schema", "machine")}
    return {
        "ours": own["tau"],
        "interval": own["tau_interval"],
        "baselines": {"params": taus["params"]["tau"]} if "params" in taus else {},
        "columns": columns,
        "resamples": resamples,
        "scored": {**used, "rows": len(scores.rows), "table_digest": table.digest},
        "markdown": [*markdown(columns, "tau"), "", *markdown(columns, "rho"), "", *sentences(columns)],
    }


def judged_ranking(row: Mapping[str, Any], chosen: Ranking) -> dict[str, Any]:
    """The row with the status that follows from its numbers."""
    if row["ours"] is None:
        return dict(row)
    columns = []
    for column, measured in zip(chosen.columns, row["columns"], strict=True):
        target = column.target(None, 1)
        scores = {one["proxy"]: one for one in measured["scores"]}
        own = scores[chosen.proxy]
        cheap = {label: scores[label]["tau"] for label in chosen.cheap if scores.get(label, {}).get("tau") is not None}
        ours = math.nan if own["tau"] is None else own["tau"]
        found = [] if target is None else doubts(target, ours, own["tau_interval"], cheap, digits=3)
        ends = {"error": column.error, "margin": column.margin}
        columns.append({**measured, "label": _name(measured), **ends, "doubts": found})
    told = columns_verdict(columns, chosen.source_checked, chosen.deviation)
    return {**row, "error": columns[0]["error"], "margin": columns[0]["margin"], "columns": columns, **told}


def _with_combined(chosen: Ranking, scores: Scores) -> tuple[tuple[str, ...], Sequence[Row]]:
    """The names and the rows of the file with the combined scores behind those that it holds."""
    proxies: tuple[str, ...] = scores.proxies
    rows: Sequence[Row] = scores.rows
    for one in chosen.combined:
        if one.name in proxies:
            raise SpecError(f"{chosen.name} combines scores into {one.name}, which is the name of one already.")
        proxies, rows = with_standing(proxies, rows, one.combine, of=one.scores, name=one.name)
    return proxies, rows


def _part_of(progress: Callable[[int, int], None], place: int, parts: int, done: int, total: int) -> None:
    progress(place * total + done, parts * total)


def _has(table: Any, arch: Architecture) -> bool:
    try:
        table.row(arch)
    except InvalidArchitecture:
        return False
    return True


def _column(
    column: Column,
    proxies: Sequence[str],
    rows: Sequence[Row],
    values: Mapping[Architecture, float],
    resamples: int,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    lowest = -math.inf if column.above is None else column.above
    counted = {arch: value for arch, value in values.items() if value > lowest}
    found, count = correlations(proxies, rows, counted, resamples=resamples, progress=progress)
    return {
        "column": column.column,
        "above": column.above,
        "n": count,
        "published": column.published,
        "scores": [{**one.to_json(), **_draws(one)} for one in found],
    }


def _draws(found: Correlation) -> dict[str, list[float | None]]:
    """τ and ρ of every resample of the cells, to as many digits as more than an interval is told with."""
    return {
        name: [None if math.isnan(value) else round(value, DIGITS) for value in values]
        for name, values in zip(("tau_draws", "rho_draws"), found.draws, strict=True)
    }


def _name(column: Mapping[str, Any]) -> str:
    return str(column["column"]) + ("" if column["above"] is None else f" above {column['above']:g} %")


# -- words ------------------------------------------------------------------------------------------------------------


def markdown(columns: Sequence[Mapping[str, Any]], value: str) -> list[str]:
    """A table for a README of Kendall's τ ("tau") or Spearman's ρ ("rho"), one line a column of the benchmark."""
    proxies = [one["proxy"] for one in columns[0]["scores"]]
    headers = ["params (baseline)" if proxy == "params" else proxy for proxy in proxies]
    published = ["published τ"] if value == "tau" else []
    symbol = {"tau": "Kendall's τ", "rho": "Spearman's ρ"}[value]
    lines = [
        f"| {' | '.join([symbol, 'architectures', *published, *headers])} |",
        f"|{'---|' * (2 + len(published) + len(headers))}",
    ]
    for column in columns:
        told = ["–" if column["published"] is None else f"{column['published']:.3f}"] if published else []
        cells = [_ranged(one[value], one[f"{value}_interval"]) for one in column["scores"]]
        name = f"`{column['column']}`" + ("" if column["above"] is None else f", above {column['above']:g} %")
        lines.append(f"| {' | '.join([name, format(column['n'], ','), *told, *cells])} |")
    return lines


def sentences(columns: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence a column: which scores the number of parameters beats, and which beat it.

    Decided by the interval of the difference of both τ over the same resamples of the architectures.
    """
    told = []
    for column in columns:
        sides: dict[str, list[str]] = {"ahead of": [], "level with": [], "behind": []}
        for one in column["scores"]:
            if "lead_interval" in one:
                sides[_side(one)].append(one["proxy"])
        parts = [f"{words} {', '.join(names)}" for words, names in sides.items() if names]
        if parts:
            told.append(f"{_name(column)}: the number of parameters is {'; '.join(parts)}.")
    return told


def _side(one: Mapping[str, Any]) -> str:
    low, high = one["lead_interval"]
    return "behind" if low > 0 else "ahead of" if high < 0 else "level with"


def _ranged(value: float | None, interval: Sequence[float] | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" + ("" if interval is None else f" [{interval[0]:.3f}, {interval[1]:.3f}]")
