"""The parts of a search, built from its settings and checked against each other."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from inspect import isclass, isfunction, signature
from pathlib import Path
from typing import Any

from ogive import catalog
from ogive.choice import check_limits, limits_of
from ogive.context import Context
from ogive.core.capabilities import (
    Composite,
    Described,
    Finite,
    Listening,
    Projecting,
    Reading,
    fidelity_of,
    spreads_of,
    walk,
)
from ogive.core.errors import SpecError, in_line
from ogive.core.evaluator import Clocked, Evaluator, Screened
from ogive.core.limit import Limit, check_constraints
from ogive.core.metric import Metric, names_of
from ogive.core.objective import Objective
from ogive.core.objective import written as told
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.strategy import Strategy
from ogive.core.study import Study
from ogive.session.settings import Settings, threads_of
from ogive.spec import parse_data
from ogive.tables.world import closing, tables_of

__all__ = [
    "Maker",
    "Parts",
    "assemble",
    "is_maker",
    "isolated",
    "listen",
    "optimum_of",
    "projections",
    "understood",
    "unrepeatable",
]

logger = logging.getLogger(__name__)

# Makes a strategy of one's own: of the space, and of a seed.
Maker = Callable[[SearchSpace, int], Strategy]


@dataclass(frozen=True)
class Parts:
    """The parts of one search, built.

    `written` are the objectives as text, those of the settings or, without any, the evaluator's first metric in its own
    direction. `world` says among what is searched where that is not the whole space: "closed world of 30,001 rows".
    """

    space: SearchSpace
    strategy: Strategy
    evaluator: Evaluator
    objectives: tuple[Objective, ...]
    context: Context
    world: str | None = None
    written: tuple[str, ...] = ()
    constraints: tuple[Limit, ...] = ()

    def study(self) -> Study:
        """A fresh study of these parts, which checks them against each other."""
        return Study(self.strategy, self.evaluator, self.objectives, self.constraints)


def assemble(
    settings: Settings,
    *,
    folder: Path | None = None,
    given: Mapping[str, Any] | None = None,
    on_read: Callable[[int, int], None] | None = None,
) -> Parts:
    """Build the parts; nothing is loaded that none of them asks for.

    `folder` is where parts may leave unfinished work; `given` holds parts that are there already, by the names of the
    settings (space, strategy or what makes one, evaluator, objectives, data, table, weights). `on_read` is told how
    many of the data are read, and how many there are, where reading them takes long.
    """
    given = given or {}
    makers: dict[str, Callable[[], Any]] = {
        "space": lambda: catalog.build("space", settings.space),
        # Their splits do not depend on the seed of the search, so that every search sees the same ones.
        "data": lambda: _read(settings.data, on_read) if settings.data else None,
        "table": lambda: catalog.load("open_table")(settings.table) if settings.table else None,
        "device": lambda: catalog.load("usable_device")(settings.device),
        "threads": lambda: threads_of(settings, settings.count),
        "channels": lambda: settings.channels,
        "cells": lambda: settings.cells,
        "budget": lambda: settings.budget,
        "folder": lambda: folder,
    }
    makers |= {name: partial(given.get, name) for name in (*makers, "task", "weights") if name in given}
    seed = Seed(settings.seed)
    shared = Context(makers, own_streams=settings.own_streams)
    open_space = shared["space"]
    if "task" not in shared:
        shared = shared.having(task=partial(_task, shared))
    # Seeded by itself, so that it is one and the same for every part that takes it.
    of_weights = replace(shared, seed=seed.child("weights"))
    weights = cache(lambda: catalog.build("weights", settings.weights, of_weights) if settings.weights else None)
    if "weights" not in shared:
        shared = shared.having(weights=weights)

    def built(kind: str, text: str, space: SearchSpace) -> Any:
        context = replace(shared.having(space=lambda: space), seed=seed.child(kind))
        if kind == "strategy" and is_maker(given.get(kind)):
            return given[kind](space, settings.seed)
        return given[kind] if kind in given else catalog.build(kind, text, context)

    evaluator = built("evaluator", settings.evaluator, open_space)
    _refuse_other_space(evaluator, open_space)
    world = closing(open_space, evaluator)
    space = open_space if world is None else world
    usual = (evaluator.metrics[0].name,)
    wanted = given.get("objectives") or settings.objectives or usual
    written = tuple(_in_its_direction(one, evaluator) if isinstance(one, str) else told(one) for one in wanted)

    def objectives() -> tuple[Objective, ...]:
        pairs = zip(wanted, written, strict=True)
        return tuple(catalog.build("objective", text, judging) if isinstance(one, str) else one for one, text in pairs)

    judging = shared
    shared = shared.having(
        fidelity=lambda: fidelity_of(evaluator),
        objectives=objectives,
        constraints=lambda: tuple(Limit.parse(text) for text in settings.where),
        spreads=lambda: spreads_of(evaluator),
    )
    strategy = built("strategy", settings.strategy, space)
    if world is not None:
        strategy = catalog.load("in_closed_world")(strategy, world)
    if settings.weights and "weights" not in given and not weights.cache_info().misses:
        logger.warning("Nothing in this search takes its weights, %s: write inherited, say.", settings.weights)
    check_limits(limits_of(settings.prefer), evaluator.metrics)
    check_constraints(shared["constraints"], evaluator.metrics)
    among = None if world is None else str(world)
    return Parts(space, strategy, evaluator, shared["objectives"], shared, among, written, shared["constraints"])


def is_maker(strategy: object) -> bool:
    """Whether this makes a strategy of a space and a seed: a class of strategies, or a function."""
    return isclass(strategy) or isfunction(strategy)


def _read(name: str, on_read: Callable[[int, int], None] | None) -> Any:
    tells = on_read is not None and "progress" in signature(catalog.loader(parse_data(name)[0])).parameters
    return catalog.build("data", name, progress=on_read) if tells else catalog.build("data", name)


def _task(shared: Context) -> Any:
    return catalog.task_of(shared["space"], shared["data"], shared)


def _in_its_direction(written: str, evaluator: Evaluator) -> str:
    """An objective; the bare name of a metric stands for its best value."""
    named = {metric.name: metric.objective for metric in evaluator.metrics}
    return written if written in catalog.names("objective") else named.get(written, written)


def _refuse_other_space(evaluator: Evaluator, space: SearchSpace) -> None:
    """SpecError if a part of the evaluator reads a table of another space, in which every trial would fail."""
    for table in tables_of(evaluator):
        if table.space != space.name:
            raise SpecError(
                f"The table {table.name} is for the space {table.space}, but the search is in {space.name}: "
                f"give --space {table.space}, or another table."
            )


def isolated(settings: Settings, parts: Parts) -> Settings:
    """The same search with a process of its own for its candidates, if it has a time and nothing but this process.

    Such a process can be ended when the time is up, whatever a candidate does. Tables are looked up here all the same,
    and what cannot be sent to a process is measured here.
    """
    alone = settings.workers == 1 and int(os.environ.get("WORLD_SIZE", "1")) < 2
    if settings.budget.wall_s is None or not alone:
        return settings
    if all(isinstance(part, Reading | Composite) for part in walk(parts.evaluator)):
        return settings
    try:
        pickle.Pickler(_Nowhere()).dump(parts.evaluator)
    except Exception as error:  # noqa: BLE001 - whatever it holds may object
        what = f"{type(parts.evaluator).__name__} cannot be sent to another process ({in_line(error)})"
        logger.warning("%s: a candidate that never comes back from C code would outlast the time of the search.", what)
        return settings
    return replace(settings, workers="processes(1)")


class _Nowhere:
    """A file of which nothing is kept."""

    def write(self, data: bytes) -> int:
        return memoryview(data).nbytes


def projections(parts: Parts) -> int:
    """How many proposals were projected onto rows of a closed world."""
    return sum(part.projections for part in walk(parts.strategy) if isinstance(part, Projecting))


def optimum_of(evaluator: Evaluator, metric: Metric) -> float | None:
    """The best value of a metric, if whatever measures it knows that."""
    measuring = (part for part in walk(evaluator) if isinstance(part, Evaluator) and metric in part.metrics)
    return next((part.optimum(metric.name) for part in measuring if isinstance(part, Finite)), None)


def understood(parts: Parts, settings: Settings) -> dict[str, Any]:
    """What a search knows of its data and its table, for whoever reads the run without them.

    ``data_summary``: their lines; ``optima``: the best values that there are, where they are known. Of what keeps to
    limits no best is known.
    """
    data = parts.context["data"]
    found: dict[str, Any] = {"data_summary": list(data.summary) if isinstance(data, Described) else []}
    if not settings.where and not settings.prefer:
        best = {metric.name: optimum_of(parts.evaluator, metric) for metric in parts.evaluator.metrics}
        found["optima"] = {name: float(value) for name, value in best.items() if value is not None}
    return found


def unrepeatable(parts: Parts) -> list[str]:
    """The metrics that decide what the search finds and that no second measurement repeats."""
    inside = list(walk(parts.evaluator))
    deciding = [*parts.objectives, *(part.by for part in inside if isinstance(part, Screened))]
    needed = {name for objective in deciding for name in objective.needs}
    needed |= {limit.metric for limit in parts.constraints}
    clocked = (part for part in inside if isinstance(part, Clocked))
    return [name for part in clocked for name in names_of(part.metrics) if name in needed]


def listen(part: Strategy | Evaluator, on_note: Callable[[str], None] | None) -> None:
    """Let a strategy or an evaluator that tells what it is doing tell it, wherever it is inside another."""
    if on_note is None:
        return
    for inner in walk(part):
        if isinstance(inner, Listening):
            inner.progress = on_note
