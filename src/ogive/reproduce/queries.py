"""Queries of a table until the best architecture is found: how soon a search is there, and how often it is not.

Every search is kept as soon as it is done, a line of ``cells.jsonl`` each, so that an interrupted reproduction goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from ogive import catalog
from ogive.context import Context
from ogive.core.architecture import Architecture
from ogive.core.errors import MissingData, SpecError, UnknownName
from ogive.core.rng import Seed
from ogive.core.trial import Measurement, Trial
from ogive.metrics import mean_interval
from ogive.reproduce.cells import Cell, Kept, World, row_of, told_by, world_of
from ogive.reproduce.ledger import write_row
from ogive.reproduce.recipe import check_keys, entries_of, texts_in
from ogive.reproduce.verdict import columns_verdict
from ogive.spec import parse

__all__ = ["Queries", "judged_queries", "queries", "queries_of", "reproduce_queries"]

_REQUIRED = {"title", "source", "source_checked", "table", "most", "seeds", "targets", "strategies"}
_OPTIONAL = {"deviation", "seeds_of", "reported", "after"}


@dataclass(frozen=True)
class Queries:
    """Searches of a table, each until it has looked up the largest number of a column, or `most` of them.

    `targets` has for each column the median and the 95th percentile of queries that the first strategy may need; a
    search that does not find it counts as `most`. `seeds_of` gives some strategies fewer seeds than the others.
    `reported` names for each column another one, such as a test accuracy, that is read of the best architecture so far
    `after` so many queries.
    """

    name: str
    title: str
    source: str
    source_checked: str
    table: str
    most: int
    seeds: int
    targets: dict[str, tuple[float, float]]
    strategies: dict[str, str]
    deviation: str | None = None
    seeds_of: dict[str, int] = field(default_factory=dict)
    reported: dict[str, str] = field(default_factory=dict)
    after: tuple[int, ...] = ()

    @property
    def published_text(self) -> str:
        """The targets."""
        told = (f"{column} {median:g}, {late:g}" for column, (median, late) in self.targets.items())
        return f"median and 95 % {'; '.join(told)}"

    @property
    def headline(self) -> str:
        """The strategy whose mean in the first column is the row's figure."""
        return next(iter(self.strategies))

    def seeds_for(self, strategy: str) -> int:
        """How many searches a strategy has in each column."""
        return self.seeds_of.get(strategy, self.seeds)

    def with_seeds(self, seeds: int | None) -> Queries:
        """The same with another number of seeds for all, unless that is None."""
        if seeds is not None and seeds < 1:
            raise SpecError(f"Queries are counted for at least one seed, but got seeds={seeds}.")
        return self if seeds is None else replace(self, seeds=seeds, seeds_of={})


def queries() -> list[Queries]:
    """All recipes of queries of the package, by name."""
    found = texts_in(files("ogive.recipes").joinpath("queries"))
    return sorted((queries_of(*one) for one in found), key=lambda one: one.name)


def queries_of(name: str, text: str) -> Queries:
    """The recipe that a TOML text describes; a SpecError says what is wrong with it."""
    entries = entries_of(name, text)
    check_keys(f"the recipe {name}", entries, _REQUIRED | _OPTIONAL, _REQUIRED)
    strategies = {label: str(parse(spec)) for label, spec in entries["strategies"].items()}
    counts = [entries["most"], entries["seeds"], *entries.get("seeds_of", {}).values()]
    if not strategies or not entries["targets"] or not all(isinstance(one, int) and one > 0 for one in counts):
        raise SpecError(f"The recipe {name} needs a strategy, a target, and positive numbers of seeds and queries.")
    for label in entries.get("seeds_of", {}):
        if label not in strategies:
            raise UnknownName(f"strategy of {name}", label, strategies)
    for column, target in entries["targets"].items():
        if not (isinstance(target, list) and len(target) == 2):
            raise SpecError(f"A target of {name} is a median and a 95th percentile, but {column} has {target!r}.")
    reported, after = entries.get("reported", {}), tuple(entries.get("after", ()))
    if bool(reported) != bool(after) or (reported and reported.keys() != entries["targets"].keys()):
        raise SpecError(f"What {name} reported of each of its columns, and after how many queries, is told together.")
    if not all(isinstance(one, int) and 0 < one <= entries["most"] for one in after):
        raise SpecError(f"{name} reports after 1 to {entries['most']} queries, but got {list(after)}.")
    targets = {column: (float(median), float(late)) for column, (median, late) in entries["targets"].items()}
    return Queries(name=name, **{**entries, "targets": targets, "strategies": strategies, "after": after})


def reproduce_queries(
    chosen: Queries, *, out: Path, seeds: int | None = None, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Run every search that was not done yet, and write the row ``out/NAME.json``.

    What was done is kept in ``out/runs/NAME/cells.jsonl``. A missing table is a row too. `seeds` takes the place of
    those of the recipe.
    """
    chosen = chosen.with_seeds(seeds)
    row = row_of(
        chosen,
        seeds,
        unit="queries",
        n_seeds=chosen.seeds_for(chosen.headline),
        settings={"table": chosen.table, "most": chosen.most, "strategies": chosen.strategies},
    )
    try:
        world = world_of(catalog.load("open_table")(chosen.table))
        kept = Kept(out / "runs" / chosen.name / "cells.jsonl", world.table.digest)
        cells = _done(chosen, world, kept, progress or (lambda done, total: None))
        row |= told_by(cells, world, without=("size",))
        row["seconds"] = round(sum(one["seconds"] for one in cells), 1)
        row = judged_queries(row, chosen)
    except MissingData as error:
        row |= {"status": "data missing", "because": str(error), "seconds": 0.0}
    write_row(row, out / f"{chosen.name}.json")
    return row


def _done(chosen: Queries, world: World, kept: Kept, progress: Callable[[int, int], None]) -> list[Cell]:
    """All strategies of the first seed in all columns, then those of the next."""
    wanted = [
        {"strategy": name, "spec": spec, "column": column, "labels": column, "size": chosen.most, "seed": seed}
        for seed in range(max(map(chosen.seeds_for, chosen.strategies)))
        for name, spec in chosen.strategies.items()
        for column in chosen.targets
        if seed < chosen.seeds_for(name)
    ]
    cells = []
    for place, about in enumerate(wanted):
        cell = kept.get(about)
        if cell is None or not {str(count) for count in chosen.after} <= cell.get("reported", {}).keys():
            cell = about | _searched(about, world, chosen)
            kept.add(cell)
        cells.append(cell | about)
        progress(place + 1, len(wanted))
    return cells


def _searched(about: Cell, world: World, chosen: Queries) -> Cell:
    """Ask and tell until the best is found; seconds are those of the processor, in the strategy alone."""
    values = dict(zip(world.archs, world.column(about["column"]).tolist(), strict=True))
    best, so_far = max(values.values()), dict[int, Architecture]()
    context = Context({"space": lambda: world.space, "table": lambda: world.table}, Seed(about["seed"]))
    strategy = catalog.build("strategy", about["spec"], context)
    seconds, found, leader = 0.0, -np.inf, world.archs[0]
    for number in range(about["size"]):
        started = time.process_time()
        (proposal,) = strategy.ask()
        value = values[proposal.arch]
        strategy.tell([Trial(number, proposal, Measurement({about["column"]: value}), "ok", (value,))])
        seconds += time.process_time() - started
        if value > found:
            found, leader = value, proposal.arch
        so_far[number + 1] = leader
        if value == best:
            break
    told = {"queries": len(so_far), "found": found == best, "regret": round(best - found, 4)}
    return told | {"seconds": round(seconds, 3)} | _reported(about["column"], so_far, world, chosen)


def _reported(column: str, so_far: Mapping[int, Architecture], world: World, chosen: Queries) -> Cell:
    """What the best architecture after so many queries has in another column; a search that is over keeps its best."""
    if not chosen.after:
        return {}
    values = dict(zip(world.archs, world.column(chosen.reported[column]).tolist(), strict=True))
    return {"reported": {str(count): round(values[so_far[min(count, len(so_far))]], 4) for count in chosen.after}}


def judged_queries(row: Mapping[str, Any], chosen: Queries) -> dict[str, Any]:
    """The row with the status that follows from its cells, and its table: the targets are met or they are not."""
    if "cells" not in row:
        return dict(row)
    columns = [_compared(row["cells"], chosen, column) for column in chosen.targets]
    others = [name for name in chosen.strategies if name != chosen.headline]
    first = next(iter(chosen.targets))
    return {
        **row,
        "ours": columns[0]["ours"],
        "interval": columns[0]["interval"],
        "error": None,
        "margin": None,
        "baselines": {name: float(np.mean(_queries(row["cells"], name, first))) for name in others},
        "columns": columns,
        "markdown": [*_markdown(row["cells"], chosen), *_markdown_reported(row["cells"], chosen)],
        **columns_verdict(columns, chosen.source_checked, chosen.deviation),
    }


def _compared(cells: Sequence[Cell], chosen: Queries, column: str) -> Cell:
    needed = _queries(cells, chosen.headline, column)
    median, late = float(np.median(needed)), float(np.quantile(needed, 0.95))
    targets = chosen.targets[column]
    words = (("median", median, targets[0]), ("95th percentile", late, targets[1]))
    doubts = [f"the {what} is {ours:g}, more than {target:g}" for what, ours, target in words if ours > target]
    low, high = mean_interval(needed, Seed(0).numpy("seeds"))
    return {
        "label": column,
        "published": targets[0],
        "late_target": targets[1],
        "ours": float(np.mean(needed)),
        "interval": None if np.isnan(low) else [low, high],
        "median": median,
        "late": late,
        "doubts": doubts,
    }


def _queries(cells: Sequence[Cell], strategy: str, column: str) -> list[int]:
    return [one["queries"] for one in cells if (one["strategy"], one["column"]) == (strategy, column)]


def _markdown(cells: Sequence[Cell], chosen: Queries) -> list[str]:
    """A line a strategy: median, 95th percentile and misses of every column, and seconds of a query."""
    columns = "".join(f" `{column}`: median | 95 % | missed |" for column in chosen.targets)
    lines = [f"| strategy | seeds |{columns} s a query |", f"|{'---|' * (3 + 3 * len(chosen.targets))}"]
    for name in chosen.strategies:
        own = [one for one in cells if one["strategy"] == name]
        told = []
        for column in chosen.targets:
            needed = _queries(cells, name, column)
            missed = sum(not one["found"] for one in own if one["column"] == column)
            told += [f"{np.median(needed):g}", f"{np.quantile(needed, 0.95):.0f}", str(missed)]
        pace = sum(one["seconds"] for one in own) / sum(one["queries"] for one in own)
        seeds = len({one["seed"] for one in own})
        lines.append(f"| {name} | {seeds} | {' | '.join(told)} | {pace:.3f} |")
    return lines


def _markdown_reported(cells: Sequence[Cell], chosen: Queries) -> list[str]:
    """A line a strategy: mean and standard deviation over seeds of what is reported, for each number of queries."""
    if not chosen.after:
        return []
    wanted = [(column, count) for count in chosen.after for column in chosen.targets]
    heads = "".join(f" `{chosen.reported[column]}` after {count} |" for column, count in wanted)
    lines = ["", f"| strategy | seeds |{heads}", f"|{'---|' * (2 + len(wanted))}"]
    for name in chosen.strategies:
        own = [one for one in cells if one["strategy"] == name]
        told = []
        for column, count in wanted:
            values = [one["reported"][str(count)] for one in own if one["column"] == column]
            spread = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
            told.append(f"{np.mean(values):.2f}{spread}")
        lines.append(f"| {name} | {len({one['seed'] for one in own})} | {' | '.join(told)} |")
    return lines
