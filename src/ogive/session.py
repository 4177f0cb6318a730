"""A search from its settings to its last trial: build the parts, run the loop, store every trial, resume.

Torch is reached only through the catalog, so a tabular search never imports it.
"""

from __future__ import annotations

import json
import logging
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from ogive import catalog
from ogive.core.errors import SpecError, StoreError, UnknownName
from ogive.core.evaluator import Evaluator, attempt
from ogive.core.objective import Objective
from ogive.core.pool import Workers
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.strategy import Checkpointed, Strategy
from ogive.core.study import Study
from ogive.core.trial import Budget, Proposal, Trial
from ogive.machine import facts
from ogive.runs import Run, RunStore, read_run, write_json
from ogive.spec import Spec, parse

__all__ = [
    "Parts",
    "Settings",
    "assemble",
    "budget_of",
    "load_data",
    "resume",
    "search",
    "search_trials",
    "settings_of",
]

logger = logging.getLogger(__name__)

# The state of a strategy is saved this often; between two saves a resumed run replays trials, which costs milliseconds.
SAVE_EVERY = 50


# The settings that stand in run.json under their own names and as they are.
_PLAIN = ("space", "strategy", "evaluator", "seed", "data", "table", "device", "threads", "workers")


@dataclass(frozen=True)
class Settings:
    """Everything that decides what a search does, as it stands in run.json.

    Parts are written ``name(part, key=value)``. `channels` and `cells` are the size of the networks, for whichever
    parts build one. `evaluator` defaults to ``tabular`` with a table and to ``trained`` without.
    """

    space: str
    strategy: str = "evolution"
    evaluator: str = ""
    objectives: tuple[str, ...] = ("maximize(val_acc)",)
    budget: Budget = field(default_factory=lambda: Budget(trials=100))
    seed: int = 0
    data: str | None = None
    table: str | None = None
    channels: int | None = None
    cells: int | None = None
    device: str = "cpu"
    threads: int | None = None
    workers: int = 1

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise SpecError(f"A search needs at least one worker, but got workers={self.workers}.")
        if not self.evaluator:
            object.__setattr__(self, "evaluator", "trained" if self.table is None else "tabular")

    def config(self) -> dict[str, Any]:
        """The settings as JSON."""
        budget = self.budget
        return {
            "space": self.space,
            "strategy": self.strategy,
            "evaluator": self.evaluator,
            "objectives": list(self.objectives),
            "budget": {"trials": budget.trials, "wall_s": budget.wall_s, "benchmark_s": budget.benchmark_s},
            "seed": self.seed,
            "data": self.data,
            "table": self.table,
            "skeleton": {"channels": self.channels, "cells": self.cells},
            "device": self.device,
            "threads": self.threads,
            "workers": self.workers,
        }


@dataclass(frozen=True)
class Parts:
    """The parts of one search, built."""

    space: SearchSpace
    strategy: Strategy
    evaluator: Evaluator
    objectives: tuple[Objective, ...]
    context: catalog.Context

    def study(self) -> Study:
        """A fresh study of these parts, which checks them against each other."""
        return Study(self.strategy, self.evaluator, self.objectives)


def settings_of(config: Mapping[str, Any]) -> Settings:
    """The settings that `Settings.config` wrote."""
    try:
        return Settings(
            **{key: config[key] for key in _PLAIN},
            objectives=tuple(config["objectives"]),
            budget=Budget(**config["budget"]),
            **config["skeleton"],
        )
    except (KeyError, TypeError) as error:
        raise StoreError(f"run.json does not hold the settings of a search: {error}.") from error


def budget_of(text: str) -> Budget:
    """Read a budget: ``200`` trials, ``90s``, ``15m``, ``2h``, ``benchmark=1e5`` seconds, or several with commas."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    limits: dict[str, Any] = {}
    for item in text.replace(" ", "").split(","):
        match = re.fullmatch(r"(?P<name>benchmark=)?(?P<number>\d+(?:\.\d+)?(?:e\d+)?)(?P<unit>[smh]?)", item)
        if match is None or (not match["name"] and not match["unit"] and not match["number"].isdigit()):
            raise SpecError(f"A budget is written 200, 90s, 15m, 2h, benchmark=1e5 or several, but got {text!r}.")
        key = "benchmark_s" if match["name"] else "wall_s" if match["unit"] else "trials"
        amount = float(match["number"]) * units.get(match["unit"], 1.0)
        limits[key] = int(amount) if key == "trials" else amount
    return Budget(**limits)


def load_data(text: str) -> Any:
    """Load a data set written ``cifar10``, ``digits(size=16)`` or ``images:FOLDER(size=32)``.

    Its splits do not depend on the seed of the search, so that every search sees the same ones.
    """
    # A folder may hold any character, so that it is taken as it stands and only the options are parsed.
    match = re.fullmatch(r"(?P<name>[^()]+?)\s*(?P<options>\(.*\))?", text.strip())
    if match is None:
        raise SpecError(f"Data is written name or name(option=value), but got {text!r}.")
    options = parse(f"data{match['options'] or ''}").options
    load = catalog.load("load_data")
    known = catalog.parameter_names(load)
    for option in options:
        if option not in known:
            raise UnknownName(f"option of the data set {match['name']}", option, known)
    plain = {name: value.name if isinstance(value, Spec) else value for name, value in options.items()}
    return load(match["name"], **plain)


def assemble(settings: Settings, *, folder: Path | None = None, given: Mapping[str, Any] | None = None) -> Parts:
    """Build the parts; nothing is loaded that none of them asks for.

    `folder` is where parts may leave unfinished work; `given` holds parts that are there already, by the names of the
    settings (space, strategy, evaluator, data, table).
    """
    given = given or {}
    seed = Seed(settings.seed)
    shared: dict[str, Callable[[], Any]] = {
        "space": cache(lambda: catalog.build("space", settings.space)),
        "data": cache(lambda: load_data(settings.data) if settings.data else None),
        "table": cache(lambda: catalog.load("open_table")(settings.table) if settings.table else None),
        "device": lambda: settings.device,
        "threads": lambda: settings.threads,
        "channels": lambda: settings.channels,
        "cells": lambda: settings.cells,
        "budget": lambda: settings.budget,
        "folder": lambda: folder,
    }
    for name in shared.keys() & given.keys():
        shared[name] = partial(given.get, name)
    space = shared["space"]()
    evaluator, strategy = (
        given[kind] if kind in given else catalog.build(kind, text, {**shared, "seed": partial(seed.child, kind)})
        for kind, text in (("evaluator", settings.evaluator), ("strategy", settings.strategy))
    )
    objectives = tuple(catalog.build("objective", text, shared) for text in settings.objectives)
    return Parts(space, strategy, evaluator, objectives, shared)


def search(
    settings: Settings,
    folder: Path,
    *,
    command: str | None = None,
    role: str = "search",
    on_trial: Callable[[Trial], None] | None = None,
    save_every: int = SAVE_EVERY,
    parts: Parts | None = None,
) -> Run:
    """Run a search into a new run folder and return what it holds in the end.

    `parts` may be given ready-made; otherwise they are built from the settings.
    """
    parts = parts or assemble(settings, folder=unfinished(folder))
    study = parts.study()
    with RunStore.create(folder, {**_header(command, role), **settings.config(), **_inputs(parts, settings)}) as store:
        for trial in _drive(settings, study, store, skip=0, save_every=save_every):
            if on_trial is not None:
                on_trial(trial)
    return read_run(folder)


def resume(
    folder: Path,
    *,
    budget: Budget | None = None,
    on_trial: Callable[[Trial], None] | None = None,
    save_every: int = SAVE_EVERY,
    parts: Parts | None = None,
) -> Run:
    """Go on with an interrupted run, or with a finished one under a larger budget."""
    with RunStore.open(folder) as store:
        settings = settings_of(store.run.config)
        parts = parts or assemble(settings, folder=unfinished(folder))
        _check_inputs(store, _inputs(parts, settings))
        study = parts.study()
        granted = _granted(store, settings.budget, budget)
        skip = store.load_strategy(parts.strategy, study) if isinstance(parts.strategy, Checkpointed) else 0
        for trial in _drive(replace(settings, budget=granted), study, store, skip=skip, save_every=save_every):
            if on_trial is not None:
                on_trial(trial)
    return read_run(folder)


def search_trials(settings: Settings) -> list[Trial]:
    """Run a search in this process without storing it; the trials in the order of being told."""
    return list(assemble(settings).study().run(settings.budget))


def unfinished(folder: Path) -> Path:
    """Where the parts of a run leave work that a resumed run takes up again."""
    return Path(folder) / "artifacts" / "unfinished"


def _drive(settings: Settings, study: Study, store: RunStore, *, skip: int, save_every: int) -> Iterator[Trial]:
    past = store.run.trials[skip:]
    elapsed = store.run.elapsed_s
    with ExitStack() as stack:
        workers = Workers(settings.workers) if settings.workers > 1 else None
        if workers is not None:
            stack.callback(workers.stop)
        started = time.perf_counter() - elapsed
        saved = study.told
        trials = study.run(settings.budget, executor=workers, in_flight=settings.workers, past=past, elapsed_s=elapsed)
        for trial in trials:
            store.append(trial, time.perf_counter() - started)
            yield trial
            if isinstance(study.strategy, Checkpointed) and study.told - saved >= save_every:
                store.save_strategy(study.strategy, study)
                saved = study.told


def _header(command: str | None, role: str) -> dict[str, Any]:
    return {
        "ogive": catalog.version(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "role": role,
        "machine": facts(),
    }


def _inputs(parts: Parts, settings: Settings) -> dict[str, Any]:
    """Digests of the table and the data, so that a resumed run is known to see the same ones."""
    digests: dict[str, Any] = {}
    for name, wanted in (("table", settings.table), ("data", settings.data)):
        if wanted is not None:
            digests[f"{name}_digest"] = parts.context[name]().digest
    return digests


def _check_inputs(store: RunStore, now: Mapping[str, Any]) -> None:
    for name, digest in now.items():
        before = store.run.config.get(name)
        if before != digest:
            raise StoreError(
                f"The {name.removesuffix('_digest')} of {store.folder} had the digest {before}, now it is {digest}: "
                "bring back the old one, or begin a new run."
            )


def _granted(store: RunStore, first: Budget, wanted: Budget | None) -> Budget:
    """The budget in force: the last one granted. run.json is written once, so later ones stand beside it."""
    path = store.artifacts / "budget.json"
    if wanted is not None:
        write_json(path, {"trials": wanted.trials, "wall_s": wanted.wall_s, "benchmark_s": wanted.benchmark_s})
        return wanted
    if path.exists():
        return Budget(**json.loads(path.read_text(encoding="utf-8")))
    return first


@dataclass(frozen=True)
class Estimate:
    """What a search would cost: the size of its space, seconds of one trial here, seconds of all of them."""

    size: float
    trial_s: float
    total_s: float


def estimate(settings: Settings) -> Estimate:
    """Measure one random candidate, at one epoch if it is trained, and multiply."""
    parts = assemble(settings)
    parts.study()
    epochs = _epochs(parts.evaluator)
    arch = parts.space.sample(Seed(settings.seed).numpy("estimate"))
    started = time.perf_counter()
    attempt(parts.evaluator, [Proposal(arch, fidelity=1 if epochs else None)])
    trial_s = (time.perf_counter() - started) * (epochs or 1)
    trials = settings.budget.trials
    total = math.inf if trials is None else trials * trial_s / settings.workers
    limit = math.inf if settings.budget.wall_s is None else settings.budget.wall_s
    return Estimate(parts.space.size, trial_s, min(total, limit))


def _epochs(evaluator: Evaluator) -> int | None:
    """The epochs of the first part that trains, if any does."""
    own = getattr(evaluator, "epochs", None)
    if isinstance(own, int):
        return own
    inner = (_epochs(part) for part in getattr(evaluator, "parts", ()))
    return next((epochs for epochs in inner if epochs), None)
