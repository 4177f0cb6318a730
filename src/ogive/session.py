"""A search from its settings to its last trial: build the parts, run the loop, store every trial, resume.

Torch is reached only through the catalog, so a tabular search never imports it. Processes that ``torchrun`` started
run one search together: all of them run the loop, and the first one stores it.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from ogive import catalog
from ogive.core.errors import SpecError, StoreError
from ogive.core.evaluator import Evaluator
from ogive.core.objective import Objective
from ogive.core.pool import Workers
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.strategy import Checkpointed, Strategy
from ogive.core.study import Study
from ogive.core.trial import Budget, Spent, Trial, counted
from ogive.machine import facts
from ogive.runs import Followed, Run, RunStore, read_run
from ogive.spec import Spec, parse

__all__ = [
    "Parts",
    "Settings",
    "assemble",
    "budget_of",
    "load_data",
    "projections",
    "refuse_other_settings",
    "resume",
    "search",
    "search_trials",
    "searched",
    "settings_of",
    "threads_of",
    "ticking",
]

logger = logging.getLogger(__name__)

# The state of a strategy is saved this often; between two saves a resumed run replays trials, which costs milliseconds.
SAVE_EVERY = 50

# One limit of a budget: a number of trials, or seconds on one of two clocks.
_LIMIT = re.compile(
    r"(?P<trials>\d+(?:e\d{1,2})?)(?:trials?)?|(?P<clock>benchmark=)?(?P<seconds>\d+(?:\.\d+)?(?:e\d+)?)(?P<unit>[smh]?)"
)

# The settings that stand in run.json under their own names and as they are.
_PLAIN = ("space", "strategy", "evaluator", "seed", "data", "table", "device", "threads", "workers")


# How the name of a text begins, and what stands for the objective that is usual for the data.
TEXT, USUAL = "text:", ("",)

# The settings that a search may go on without.
_MACHINE = ("device", "threads", "workers")


@dataclass(frozen=True)
class Settings:
    """Everything that decides what a search does, as it stands in run.json.

    Parts are written ``name(part, key=value)``. `channels` and `cells` are the size of the networks, for whichever
    parts build one. `evaluator` defaults to ``tabular`` with a table and to ``trained`` without, `objectives` to the
    best accuracy, with a text to the lowest perplexity, and for generators to the lowest ``own_fid``.
    """

    space: str
    strategy: str = "evolution"
    evaluator: str = ""
    objectives: tuple[str, ...] = USUAL
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
        if self.objectives == USUAL:
            object.__setattr__(self, "objectives", (self._usual(),))

    def _usual(self) -> str:
        """The objective that is usual for the data and the space."""
        if self.table is None and (self.data or "").startswith(TEXT):
            return "minimize(val_ppl)"
        return "minimize(own_fid)" if catalog.generates(self.space) else "maximize(val_acc)"

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
    """The parts of one search, built.

    `world` says among what is searched where that is not the whole space: "closed world of 30,001 rows".
    """

    space: SearchSpace
    strategy: Strategy
    evaluator: Evaluator
    objectives: tuple[Objective, ...]
    context: catalog.Context
    world: str | None = None

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
    """Read a budget: ``200`` or ``1e3`` trials, ``90s``, ``15m``, ``2h``, ``benchmark=1e5`` seconds, or several."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    limits: dict[str, Any] = {}
    for item in text.replace(" ", "").split(","):
        match = _LIMIT.fullmatch(item)
        if match is None or not (match["trials"] or match["clock"] or match["unit"]):
            raise SpecError(f"A budget is written 200, 90s, 15m, 2h, benchmark=1e5 or several, but got {text!r}.")
        key = "trials" if match["trials"] else "benchmark_s" if match["clock"] else "wall_s"
        if key in limits:
            raise SpecError(f"A budget sets each limit once, but {text!r} sets {key} twice.")
        seconds = float(match["seconds"] or 0) * units[match["unit"] or "s"]
        number, _, exponent = (match["trials"] or "").partition("e")
        limits[key] = int(number) * 10 ** int(exponent or 0) if number else seconds
    return Budget(**limits)


def load_data(text: str) -> Any:
    """Load data written ``cifar10``, ``digits(size=16)``, ``images:FOLDER(size=32)`` or ``text:FOLDER(limit=1000)``.

    Its splits do not depend on the seed of the search, so that every search sees the same ones.
    """
    # A folder may hold any character, so that it is taken as it stands and only (option=value) at the end is parsed.
    match = re.fullmatch(r"(?P<name>.+?)\s*(?P<options>\(\s*\w+\s*=.*\))?", text.strip(), re.DOTALL)
    if match is None:
        raise SpecError(f"Data is written name or name(option=value), but got {text!r}.")
    options = parse(f"data{match['options'] or ''}").options
    loader = "load_text" if match["name"].startswith(TEXT) else "load_data"
    return catalog.make(catalog.load(loader), Spec("data", (match["name"],), options))


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
        "device": cache(lambda: catalog.load("usable_device")(settings.device)),
        "threads": lambda: threads_of(settings, settings.workers),
        "channels": lambda: settings.channels,
        "cells": lambda: settings.cells,
        "budget": lambda: settings.budget,
        "folder": lambda: folder,
    }
    for name in shared.keys() & given.keys():
        shared[name] = partial(given.get, name)
    open_space = shared["space"]()

    def built(kind: str, text: str, space: SearchSpace) -> Any:
        context: dict[str, Callable[[], Any]] = {**shared, "space": lambda: space, "seed": partial(seed.child, kind)}
        return given[kind] if kind in given else catalog.build(kind, text, context)

    evaluator = built("evaluator", settings.evaluator, open_space)
    _refuse_other_space(evaluator, open_space)
    space, world = _world(open_space, evaluator)
    strategy = built("strategy", settings.strategy, space)
    if world is not None:
        strategy = catalog.load("within")(strategy, space)
    objectives = tuple(catalog.build("objective", text, shared) for text in settings.objectives)
    return Parts(space, strategy, evaluator, objectives, shared, world)


def _world(space: SearchSpace, evaluator: Evaluator) -> tuple[SearchSpace, str | None]:
    """Where the strategy may look: in a closed world if the evaluator reads a table that has only part of the space."""
    partial_tables = {table.digest: table for table in _tables(evaluator) if not table.complete}
    if not partial_tables:
        return space, None
    if len(partial_tables) > 1:
        raise SpecError(
            "A search is closed by one table that has only part of its space, but the evaluator reads several: "
            f"{', '.join(table.name for table in partial_tables.values())}."
        )
    world = catalog.load("closed_world")(space, *partial_tables.values())
    return world, str(world)


def _tables(part: Any) -> list[Any]:
    """The tables that an evaluator, or one of its parts, reads."""
    own = getattr(part, "table", None)
    inner = [table for one in getattr(part, "parts", ()) for table in _tables(one)]
    return inner if own is None or not hasattr(own, "complete") else [own, *inner]


def _refuse_other_space(evaluator: Evaluator, space: SearchSpace) -> None:
    """SpecError if a part of the evaluator reads a table of another space, in which every trial would fail."""
    for table in _tables(evaluator):
        if table.space != space.name:
            raise SpecError(
                f"The table {table.name} is for the space {table.space}, but the search is in {space.name}: "
                f"give --space {table.space}, or another table."
            )


def threads_of(settings: Settings, workers: int) -> int | None:
    """Threads of each process: what was asked for; otherwise several workers share the cores, one has them all (None).

    Threads that wait for a core which another process uses make both many times slower.
    """
    cores = facts()["cores"] if settings.threads is None and workers > 1 else None
    return max(1, cores // workers) if isinstance(cores, int) else settings.threads


def search(
    settings: Settings,
    folder: Path,
    *,
    command: str | None = None,
    role: str = "search",
    on_trial: Callable[[Trial], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    save_every: int = SAVE_EVERY,
    parts: Parts | None = None,
) -> Run:
    """Run a search into a new run folder and return what it holds in the end.

    `parts` may be given ready-made; otherwise they are built from the settings. `on_note` is told what a strategy is
    doing that works long for a proposal.
    """
    with _processes(settings) as ranks:
        folder = folder if ranks is None else ranks.told(folder)
        parts = _agreed(parts or assemble(settings, folder=unfinished(folder)), ranks)
        _listen(parts.strategy, on_note)
        _listen(parts.evaluator, on_note)
        study, header = parts.study(), {**_header(command, role), **settings.config(), **_inputs(parts, settings)}
        with _store(folder, ranks, lambda: RunStore.create(folder, header)) as store:
            for trial in _drive(settings, study, store, skip=0, save_every=save_every):
                if on_trial is not None:
                    on_trial(trial)
            _note_projections(store, parts)
        _wait(ranks)
        return read_run(folder)


def resume(
    folder: Path,
    *,
    budget: Budget | None = None,
    on_trial: Callable[[Trial], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    save_every: int = SAVE_EVERY,
    parts: Parts | None = None,
) -> Run:
    """Go on with an interrupted run, or with a finished one under a larger budget."""
    settings = settings_of(read_run(folder).config)
    with _processes(settings, budget) as ranks, _store(folder, ranks, lambda: RunStore.open(folder)) as store:
        parts = _agreed(parts or assemble(settings, folder=unfinished(folder)), ranks)
        _check_inputs(store, _inputs(parts, settings))
        _listen(parts.strategy, on_note)
        _listen(parts.evaluator, on_note)
        study = parts.study()
        granted = _granted(store, settings.budget, budget)
        skip = store.load_strategy(parts.strategy, study) if isinstance(parts.strategy, Checkpointed) else 0
        _wait(ranks)  # before the first process replaces what the others read
        for trial in _drive(replace(settings, budget=granted), study, store, skip=skip, save_every=save_every):
            if on_trial is not None:
                on_trial(trial)
        _note_projections(store, parts)
        _wait(ranks)
    return read_run(folder)


@contextmanager
def _processes(settings: Settings, granted: Budget | None = None) -> Iterator[Any]:
    """The place of this process among those that ``torchrun`` started; None, without torch, for one that is alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield None
        return
    if settings.workers > 1:
        raise SpecError("Processes of torchrun share every training, so that each has one worker: leave --workers out.")
    if settings.data is not None and settings.data.startswith(TEXT):
        raise SpecError("A search on a text is not shared by processes: start it without torchrun.")
    if settings.budget.wall_s is not None or (granted is not None and granted.wall_s is not None):
        raise SpecError("Processes of torchrun stop at the same trial, which no clock tells: give a number of trials.")
    with catalog.load("group")(settings.device) as ranks:
        yield ranks


def _agreed(parts: Parts, ranks: Any) -> Parts:
    return parts if ranks is None else replace(parts, evaluator=catalog.load("agreed")(parts.evaluator, ranks))


def _store(folder: Path, ranks: Any, opened: Callable[[], RunStore]) -> RunStore:
    """The store that the first process opens, and for the others one to read after that."""
    store = opened() if ranks is None or ranks.writes else None
    _wait(ranks)
    return Followed(read_run(folder)) if store is None else store


def _wait(ranks: Any) -> None:
    if ranks is not None:
        ranks.wait()


def search_trials(settings: Settings) -> list[Trial]:
    """Run a search in this process without storing it; the trials in the order of being told."""
    return searched(settings)[0]


def searched(settings: Settings) -> tuple[list[Trial], int]:
    """The same, and how many proposals were projected onto rows of a closed world."""
    parts = assemble(settings)
    trials = list(ticking(parts.study().run(settings.budget), settings.budget))
    return trials, projections(parts)


def projections(parts: Parts) -> int:
    """How many proposals were projected onto rows of a closed world."""
    return int(getattr(parts.strategy, "projections", 0))


def _note_projections(store: RunStore, parts: Parts) -> None:
    """Say in artifacts/world.json how many proposals of a finished search were projected."""
    if parts.world is not None:
        store.note("world.json", {"world": parts.world, "projections": projections(parts)})


def ticking(trials: Iterator[Trial], budget: Budget) -> Iterator[Trial]:
    """The trials; SpecError at the first success if the only clock of the budget stands still: it would never end."""
    unsure = budget.trials is None and budget.wall_s is None
    for trial in trials:
        if unsure and trial.status == "ok":
            if not trial.cost.benchmark_s > 0:  # or not a number
                raise SpecError(
                    f"A budget of {budget} never ends here, because the evaluator counts no benchmark seconds: "
                    "give a number of trials, or a time such as 2h."
                )
            unsure = False
        yield trial


def refuse_other_settings(run: Run, settings: Settings, *, may_differ: tuple[str, ...] = ()) -> None:
    """StoreError if the run was begun with other settings; those of the machine, and `may_differ`, are free."""
    before, now = settings_of(run.config).config(), settings.config()
    for name, value in now.items():
        if name not in (*_MACHINE, *may_differ) and before[name] != value:
            raise StoreError(
                f"{run.folder} holds a search with the {name} {before[name]}, but now it is {value}: "
                "choose another folder, or the settings of that search."
            )


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
        # A strategy to which a proposal is dear, such as one that trains for an epoch, says so.
        save_every = min(save_every, getattr(study.strategy, "save_every", save_every))
        trials = study.run(settings.budget, executor=workers, in_flight=settings.workers, past=past, elapsed_s=elapsed)
        for trial in ticking(trials, settings.budget):
            store.append(trial, time.perf_counter() - started)
            yield trial
            if isinstance(study.strategy, Checkpointed) and study.told - saved >= save_every:
                store.save_strategy(study.strategy, study)
                saved = study.told


def _listen(part: Any, on_note: Callable[[str], None] | None) -> None:
    """Let a strategy or an evaluator that tells what it is doing tell it, wherever it is inside another."""
    if on_note is None:
        return
    # A strategy in a closed world is inside another, and evaluators are made of others.
    for inner in (getattr(part, "strategy", None), *getattr(part, "parts", ())):
        if inner is not None:
            _listen(inner, on_note)
    if hasattr(part, "progress"):
        part.progress = on_note


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
    if parts.world is not None:
        digests["world"] = parts.world
    return digests


def _check_inputs(store: RunStore, now: Mapping[str, Any]) -> None:
    for name, digest in now.items():
        before = store.run.config.get(name)
        if name.endswith("_digest") and before != digest:
            raise StoreError(
                f"The {name.removesuffix('_digest')} of {store.folder} had the digest {before}, now it is {digest}: "
                "bring back the old one, or begin a new run."
            )


def _granted(store: RunStore, first: Budget, wanted: Budget | None) -> Budget:
    """The budget in force: the last one granted. run.json is written once, so later ones stand beside it."""
    path = store.artifacts / "budget.json"
    try:
        granted = Budget(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else first
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(f"{path} is damaged ({error}): delete it and give --budget again.") from error
    if wanted is None or wanted == granted:
        return granted
    spent = Spent()
    for trial in store.run.trials:
        spent.add(trial)
    if spent.trials > (wanted.trials or math.inf) or spent.cost.benchmark_s > (wanted.benchmark_s or math.inf):
        raise SpecError(
            f"{store.folder} has spent {counted(spent.trials, 'trial')} and {spent.cost.benchmark_s:g} benchmark "
            f"seconds already, more than a budget of {wanted}: give a larger one."
        )
    store.note(path.name, {"trials": wanted.trials, "wall_s": wanted.wall_s, "benchmark_s": wanted.benchmark_s})
    return wanted
