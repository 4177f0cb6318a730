"""The settings of a search: all that decides what it does, as the command line writes it and run.json keeps it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ogive.choice import limits_of
from ogive.core.errors import SpecError, StoreError, UnknownName, quoted
from ogive.core.study import ORDERS, Order
from ogive.core.trial import Budget
from ogive.executors import normal, workers_of
from ogive.machine import facts
from ogive.plugins import files
from ogive.runs import Run
from ogive.spec import stored_part

__all__ = [
    "Settings",
    "budget_of",
    "refuse_order_of_finishing",
    "refuse_other_plugins",
    "refuse_other_settings",
    "settings_of",
    "threads_of",
]

# One limit of a budget: a number of trials, or seconds on one of two clocks.
_LIMIT = re.compile(
    r"(?P<trials>\d+(?:e\d{1,2})?)(?:trials?)?|(?P<units>\d+)(?P<of>[a-z_]{3,}s)|(?P<clock>benchmark=)?(?P<seconds>\d+(?:\.\d+)?(?:e\d+)?)(?P<unit>[smh]?)"
)

# The settings that stand in run.json under their own names and as they are.
_PLAIN = ("space", "strategy", "evaluator", "seed", "data", "table", "device", "threads", "workers")

# Chunks of proposals in flight for each worker, where there are several: none of them waits for the slowest.
IN_FLIGHT = 4

# Names of version 0.1 in the settings of a stored run, and their names now.
_FORMER = {
    "evaluator": {"language": "trained", "dear": "expensive"},
    "strategy": {"most_bending": "eigenvalue_ratio", "bending_from": "eigenvalue_from"},
    "objectives": {"standing": "mean_rank"},
}

# The settings that a search may go on without.
_MACHINE = ("device", "threads", "workers")


@dataclass(frozen=True)
class Settings:
    """Everything that decides what a search does, as it stands in run.json.

    Parts are written ``name(part, key=value)``. `channels` and `cells` are the size of the networks, for whichever
    parts build one. `evaluator` defaults to ``tabular`` with a table and to ``trained`` without. No `objectives`
    stand for the best value of the evaluator's first metric; a run stores which that is. `weights` are one source
    of weights for all parts that want one and do not name their own. `where` are constraints, such as
    ``latency_ms<=5``: a trial beyond them is infeasible, which its strategy is told, and never wins. `prefer` are
    limits within which the best trial is chosen, written alike; they change nothing that is searched. `workers` is
    a number of processes or an executor, such as ``processes(4)``, and belongs to the machine. What a search finds
    depends on `in_flight` instead: how many proposals (or pools of them) are asked for before the first is told.
    `order` is "finish" where each trial is told as soon as it is measured: then no second run finds the same,
    unless there is one worker. `own_streams` says that parts of one kind inside another draw from random streams of
    their own, as they did not in version 0.1.
    """

    space: str
    strategy: str = "evolution"
    evaluator: str = ""
    objectives: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    prefer: tuple[str, ...] = ()
    budget: Budget = field(default_factory=lambda: Budget(trials=100))
    seed: int = 0
    data: str | None = None
    table: str | None = None
    weights: str | None = None
    channels: int | None = None
    cells: int | None = None
    device: str = "cpu"
    threads: int | None = None
    workers: int | str = 1
    in_flight: int | None = None
    order: Order = "number"
    own_streams: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "workers", normal(self.workers))
        if isinstance(self.workers, int) and self.workers < 1:
            raise SpecError(f"A search needs at least one worker, but got workers={self.workers}.")
        if self.in_flight is not None and self.in_flight < 1:
            raise SpecError(f"A search has at least one proposal in flight, but got in_flight={self.in_flight}.")
        if self.order not in ORDERS:
            raise UnknownName("order of telling trials", self.order, ORDERS)
        if not self.evaluator:
            object.__setattr__(self, "evaluator", "trained" if self.table is None else "tabular")

    @property
    def count(self) -> int:
        """How many workers there are."""
        return workers_of(self.workers)

    @property
    def ahead(self) -> int:
        """How many chunks of proposals are in flight: as was asked for, or a few for each of several workers.

        Who is told each trial at once wants no more of them than there are workers: the fewer, the more each knows.
        """
        each = 1 if self.count == 1 or self.order == "finish" else IN_FLIGHT
        return self.in_flight or each * self.count

    def config(self) -> dict[str, Any]:
        """The settings as JSON."""
        return {
            "space": self.space,
            "strategy": self.strategy,
            "evaluator": self.evaluator,
            "objectives": list(self.objectives),
            "where": list(self.where),
            "prefer": list(self.prefer),
            "budget": self.budget.to_json(),
            "seed": self.seed,
            "data": self.data,
            "table": self.table,
            "weights": self.weights,
            "skeleton": {"channels": self.channels, "cells": self.cells},
            "device": self.device,
            "threads": self.threads,
            "workers": self.workers,
            "in_flight": self.ahead,
            "order": self.order,
            "own_streams": self.own_streams,
        }


def settings_of(config: Mapping[str, Any]) -> Settings:
    """The settings that `Settings.config` wrote."""
    try:
        return Settings(
            **{key: _today(key, config[key], config) for key in _PLAIN},
            weights=config.get("weights"),
            objectives=tuple(_today("objectives", text, config) for text in config["objectives"]),
            where=tuple(config.get("where", ())),
            prefer=tuple(config.get("prefer", ())),
            budget=Budget(**config["budget"]),
            in_flight=config.get("in_flight"),
            order=config.get("order", "number"),
            own_streams=bool(config.get("own_streams", False)),
            **config["skeleton"],
        )
    except (KeyError, TypeError) as error:
        raise StoreError(f"run.json does not hold the settings of a search: {error}.") from error


def _today(setting: str, written: Any, config: Mapping[str, Any]) -> Any:
    """A setting of a stored run as it is written now, where version 0.1, which held no metrics, had other names.

    There `inherited` trained its own weights, with the same random numbers as the part that is now inside it.
    """
    # Later, the same word may be the name of somebody's column.
    for name, now in ({} if "metrics" in config else _FORMER.get(setting, {})).items():
        written = re.sub(rf"\b{name}\b(?=[(),=\s]|$)", now, written)
    if setting == "objectives":  # an object was written as Python does
        written = re.sub(r"^M(ax|in)imize\(metric='(\w+)'\)$", r"m\1imize(\2)", written)
    if "weights" not in config and setting in ("evaluator", "strategy"):
        written = stored_part(written)
    return written


def budget_of(text: str) -> Budget:
    """Read a budget: ``200`` or ``1e3`` trials, ``90s``, ``15m``, ``2h``, ``benchmark=1e5`` seconds, or several.

    ``600 epochs`` is a budget in the units of the evaluator's fidelity, whatever their name.
    """
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    limits: dict[str, Any] = {}
    for item in text.replace(" ", "").split(","):
        match = _LIMIT.fullmatch(item)
        if match is None or not (match["trials"] or match["units"] or match["clock"] or match["unit"]):
            raise SpecError(
                f"A budget is written 200, 90s, 15m, 2h, benchmark=1e5, 600 epochs or several, but got {quoted(text)}."
            )
        clock = "benchmark_s" if match["clock"] else "wall_s"
        key = "trials" if match["trials"] else "units" if match["units"] else clock
        if key in limits:
            raise SpecError(f"A budget sets each limit once, but {quoted(text)} sets {key} twice.")
        if match["units"]:
            limits |= {"units": int(match["units"]), "unit": match["of"]}
            continue
        seconds = float(match["seconds"] or 0) * units[match["unit"] or "s"]
        number, _, exponent = (match["trials"] or "").partition("e")
        limits[key] = int(number) * 10 ** int(exponent or 0) if number else seconds
    return Budget(**limits)


def refuse_other_plugins(run: Run) -> None:
    """StoreError for a run with parts of a file that is not in use, or is another one than then."""
    now = files()
    for name, digest in dict(run.config.get("machine", {}).get("plugin_files") or {}).items():
        if name not in now:
            raise StoreError(f"{run.folder} was searched with parts of the file {name}: give --plugin {name}.")
        if now[name] != digest:
            raise StoreError(
                f"{run.folder} was searched with parts of another {name}, with the digest {digest}: bring it back, or "
                "begin a new run."
            )


def refuse_order_of_finishing(run: Run) -> None:
    """StoreError for a run of several workers that told its trials in the order in which they happened to finish."""
    if "in_flight" not in run.config and run.config.get("workers", 1) != 1:
        raise StoreError(
            f"{run.folder} told its trials in the order in which its {run.config['workers']} workers finished, as "
            f"version 0.1 did: resume it with ogive {run.config.get('ogive', '0.1.0')}."
        )


def threads_of(settings: Settings, workers: int) -> int | None:
    """Threads of each process: what was asked for; otherwise several workers share the cores, one has them all (None).

    Threads that wait for a core which another process uses make both many times slower.
    """
    cores = facts()["cores"] if settings.threads is None and workers > 1 else None
    return max(1, cores // workers) if isinstance(cores, int) else settings.threads


def refuse_other_settings(run: Run, settings: Settings, *, may_differ: tuple[str, ...] = ()) -> None:
    """StoreError if the run was begun with other settings; those of the machine, and `may_differ`, are free."""
    before, now = settings_of(run.config).config(), settings.config()
    for config in (before, now):  # however they are written
        config["where"] = list(map(str, limits_of(config["where"])))
    # The bare name of a metric stands for its best value.
    now["objectives"] = [run.metrics[text].objective if text in run.metrics else text for text in now["objectives"]]
    for name, value in now.items():
        usual = (name == "objectives" and not value) or (name == "in_flight" and settings.in_flight is None)
        if name not in (*_MACHINE, *may_differ, "own_streams", "prefer") and not usual and before[name] != value:
            raise StoreError(
                f"{run.folder} holds a search with the {name} {before[name]}, but now it is {value}: "
                "choose another folder, or the settings of that search."
            )
