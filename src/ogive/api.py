"""ogive from Python: name a space, open a table, run a search, read what it found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, Unpack

from ogive import catalog
from ogive.bulletin import posted
from ogive.choice import choose, limits_of
from ogive.context import Context
from ogive.core.architecture import Architecture
from ogive.core.capabilities import Named
from ogive.core.data import DataSet, SomeData
from ogive.core.errors import (
    ExportError,
    InvalidArchitecture,
    MissingData,
    OgiveError,
    ProtocolError,
    RunInUse,
    SpecError,
    StoreError,
    UnknownName,
)
from ogive.core.evaluator import Cached, Evaluator, Measured, Screened, Together
from ogive.core.executor import Pool
from ogive.core.graph import Graph
from ogive.core.metric import Metric
from ogive.core.objective import LatencyTradeoff, Maximize, Minimize, Objective, written
from ogive.core.rng import Seed
from ogive.core.space import Choice, Real, SearchSpace
from ogive.core.strategy import Checkpointed, Strategy
from ogive.core.study import Order, Study
from ogive.core.trial import Budget, Cost, Measurement, Proposal, Trial
from ogive.result import Result
from ogive.runs import Run, read_run
from ogive.session import (
    Parts,
    Settings,
    assemble,
    budget_of,
    ran,
    refuse_other_settings,
    remeasured,
    settings_of,
    unfinished,
    watch_of,
)
from ogive.session import resume as _resume
from ogive.session import search as _search
from ogive.showing import in_notebook, shown
from ogive.tables.store import Table, open_table

__all__ = [
    "Architecture",
    "Budget",
    "Cached",
    "Checkpointed",
    "Choice",
    "Cost",
    "Evaluator",
    "ExportError",
    "Graph",
    "InvalidArchitecture",
    "LatencyTradeoff",
    "Maximize",
    "Measured",
    "Measurement",
    "Metric",
    "Minimize",
    "MissingData",
    "Objective",
    "OgiveError",
    "Pool",
    "Proposal",
    "ProtocolError",
    "Real",
    "Result",
    "RunInUse",
    "Screened",
    "SearchSpace",
    "Seed",
    "SpecError",
    "StoreError",
    "Strategy",
    "Study",
    "Together",
    "Trial",
    "UnknownName",
    "data",
    "export",
    "open_run",
    "search",
    "space",
    "strategy",
    "table",
    "train",
]


class Numbers(TypedDict, total=False):
    """What the settings of a search take as it is: all of it may be left out.

    `seed` is the root of all randomness, `channels` and `cells` the size of the networks, `device` and `threads` those
    of each process, and `in_flight` how many proposals are asked for before the first is told. With the `order`
    "finish" each trial is told as soon as it is measured, and no second run of several workers finds the same.
    `progress` says whether to show where the search stands, None for in a notebook only.
    """

    seed: int
    in_flight: int | None
    order: Order
    channels: int | None
    cells: int | None
    device: str
    threads: int | None
    progress: bool | None


def space(name: str, **options: Any) -> SearchSpace:
    """The search space of that name, such as ``space("darts", operation=MyOperation())``; UnknownName lists all."""
    built: SearchSpace = catalog.build("space", name, **options)
    return built


def table(name: str | Path) -> Table:
    """The imported benchmark table of that name, or in that folder; MissingData says how to import it."""
    return open_table(name)


def data(name: str, **options: Any) -> DataSet:
    """A data set with fixed splits: ``data("digits", size=16)``, ``data("csv:houses.csv", target="price")``."""
    loaded: DataSet = catalog.loader(name)(name, **options)
    return loaded


def strategy(text: str, space: SearchSpace, *, seed: int = 0, **options: Any) -> Strategy:
    """A strategy to be asked and told by hand, or to be handed to `search`: ``strategy("evolution", space, seed=1)``.

    `options` may be objects: ``strategy("darts(epochs=5)", space, data=ogive.data("digits"), gate=MyGate())``.
    """
    context = Context({"space": lambda: space}, Seed(seed).child("strategy"))
    built: Strategy = catalog.build("strategy", text, context, **options)
    return built


def open_run(folder: str | Path) -> Result:
    """What a run folder holds."""
    return _result(read_run(Path(folder)))


def train(run: str | Path | Result, *, trial: int | None = None, **options: Any) -> dict[str, Any]:
    """Train the best architecture of a stored run in full, or that of `trial`, and measure it on the test set.

    `options` are those of ``ogive.winner.train_winner``: prefer, recipe, data, task, channels, cells, device, threads.
    Returns the figures; ``figures["look"]`` says which look at the test set of this run it was.
    """
    facts: dict[str, Any] = catalog.load("train_winner")(_folder(run), trial=trial, **options)
    return facts


def export(run: str | Path | Result, *, trial: int | None = None, **options: Any) -> list[Any]:
    """Write the trained winner of a stored run, or the trained network of `trial`, as files; what was written.

    `options` are those of ``ogive.winner.export_winner``: formats, out, name, data, task.
    """
    exported: list[Any] = catalog.load("export_winner")(_folder(run), trial=trial, **options)
    return exported


def _folder(run: str | Path | Result) -> Path:
    if not isinstance(run, Result):
        return Path(run)
    if run.folder is None:
        raise SpecError("A search that nobody stored has no folder for trained networks: give ogive.search an out=.")
    return run.folder


def _result(run: Run) -> Result:
    metrics, final = tuple(run.metrics.values()), tuple(run.remeasured.values())
    return Result(tuple(run.trials), run.folder, run.objectives, metrics, run.limits, final)


def search(
    *,
    space: str | SearchSpace,
    strategy: str | Strategy = "evolution",
    evaluator: str | Evaluator | Callable[[Architecture], float] | None = None,
    objective: str | Objective | Sequence[str | Objective] | None = None,
    prefer: str | Sequence[str] = (),
    budget: int | str | Budget = 100,
    data: SomeData | None = None,
    task: Any = None,
    table: str | Table | None = None,
    weights: Any = None,
    out: str | Path | None = None,
    resume: bool = False,
    workers: int | str | Pool = 1,
    on_trial: Callable[[Trial], None] | None = None,
    **numbers: Unpack[Numbers],
) -> Result:
    """Search, and return the trials.

    Every part is either a name, written ``name(part, key=value)``, or an object of one's own.

    Args:
        space: What is searched: ``"nasbench201"``, or a SearchSpace of one's own.
        strategy: Who to try next, as in ``"evolution(population=20)"``; `ogive list strategy` names them.
        evaluator: How good a candidate is: ``"trained(epochs=10)"``, ``"together(trained, latency)"``, an object with
            ``evaluate``, or a plain function of an architecture that returns a number. By default ``"tabular"`` with a
            table and ``"trained"`` without.
        objective: What to maximise, such as ``"latency_tradeoff(target_ms=5)"``; several for a Pareto front. The name
            of a metric stands for its best value; by default that is the first metric of the evaluator.
        prefer: Limits within which the best trial is chosen, such as ``"latency_ms<=5"``; they change nothing that is
            searched.
        budget: A number of trials, a text such as ``"2h"``, ``"600 epochs"`` or ``"benchmark=1e5"``, or a Budget.
        data: A name such as ``"digits"`` or ``"images:photos"``, what ``ogive.data`` returns, a torch dataset of
            (image, label) pairs, or a pair or three of datasets or of loaders: to train, to validate and to test on.
            Of what is not given, a part is divided off.
        task: A task of one's own, such as a Classification with another loss, or with a builder of networks; without
            `data`, its data are those of the search.
        table: The name of an imported benchmark table, or what ``ogive.table`` returns.
        weights: For every part that wants some and names none itself, ``"supernet(epochs=20)"`` or an object with
            ``network(arch)``.
        out: The run folder, in which every trial is stored as it finishes. Without it, nothing is written.
        resume: Whether to complete an interrupted search in `out`, by these workers, on this device and with these
            threads; its data may have moved.
        workers: Processes, as in 4 or ``"processes(4)"``, or a Pool of one's own, which stays open.
        on_trial: Told every trial as it finishes.
        **numbers: `seed` (0), the root of all randomness; `channels` and `cells`, the size of the networks; `device`
            ("cpu") and `threads` of each process; `in_flight`, how many proposals are asked for before the first is
            told, by default 4 for each of several workers, on which and on the seed depends what is found; and `order`:
            with "finish" each trial is told as soon as it is measured, and no second run of several workers finds the
            same. `progress` says whether to show what is under way, the best so far and the time left: in a notebook
            lines that change, elsewhere a line a minute on standard error; None, as usual, for in a notebook only.

    Returns:
        The trials, the best of them by `Result.best`, all as a table by `Result.frame`.

    Raises:
        SpecError: For parts that do not fit together, and UnknownName for those that there are not.
        StoreError: For a folder that holds something else, or cannot be written.
    """
    for name in numbers.keys() - Numbers.__annotations__.keys():
        raise TypeError(f"search() got an unexpected keyword argument {name!r}")
    progress = numbers.get("progress")
    objectives = _several(objective)
    held = task.data if task is not None and data is None else _held(data)
    if callable(evaluator) and not isinstance(evaluator, Evaluator):
        evaluator = Measured(evaluator)
    objects = {"space": space, "strategy": strategy, "evaluator": evaluator, "data": held, "table": table}
    objects["weights"] = weights
    given = {name: part for name, part in objects.items() if part is not None and not isinstance(part, str)}
    given |= {} if task is None else {"task": task}
    told: dict[str, Any] = {name: _told(part) for name, part in objects.items() if part is not None}
    told |= {name: value for name, value in numbers.items() if name != "progress"}
    settings = Settings(
        **told,
        objectives=tuple(_told(part) for part in objectives),
        prefer=(prefer,) if isinstance(prefer, str) else tuple(prefer),
        budget=_budget(budget),
        workers=workers.count if isinstance(workers, Pool) else workers,
    )
    if out is not None and resume and (Path(out) / "run.json").exists():
        settings = replace(settings, own_streams=settings_of(read_run(Path(out)).config).own_streams)
    folder = None if out is None else Path(out)
    parts = _assembled(settings, given, objectives, folder)
    before = read_run(folder) if folder is not None and resume and (folder / "run.json").exists() else None
    work = partial(_ran, settings, parts, folder, before, workers if isinstance(workers, Pool) else None)
    if not (in_notebook() if progress is None else progress):
        return work(on_trial)
    watch = watch_of(settings, parts, before)

    def both(trial: Trial) -> None:
        watch.trial(trial)
        if on_trial is not None:
            on_trial(trial)

    with shown(watch), nullcontext() if folder is None else posted(watch, folder):
        return work(both, on_event=watch.event, on_note=watch.note)


def _ran(
    settings: Settings,
    parts: Parts,
    folder: Path | None,
    before: Run | None,
    pool: Pool | None,
    on_trial: Callable[[Trial], None] | None,
    **heard: Any,
) -> Result:
    """The search itself: in memory, in a new folder, or going on from what was stored `before`."""
    if folder is None:
        found = []
        for trial in ran(settings, parts, pool, **heard):
            found.append(trial)
            if on_trial is not None:
                on_trial(trial)
        ordered = tuple(sorted(found, key=lambda trial: trial.number))
        limits = limits_of(settings.prefer)
        by_rule = partial(choose, objectives=parts.written, limits=limits)
        final = remeasured(parts.study(), ordered, by_rule, device=settings.device)
        return Result(ordered, None, parts.written, parts.evaluator.metrics, limits, tuple(final))
    heard |= {"on_trial": on_trial, "parts": parts, "pool": pool}
    if before is None:
        return _result(_search(settings, folder, **heard))
    refuse_other_settings(before, settings, may_differ=("budget", "data"))
    same = {name: getattr(settings, name) for name in ("budget", "prefer", "workers", "device", "threads", "data")}
    return _result(_resume(folder, **same, **heard))


def _held(data: SomeData | None) -> str | DataSet | None:
    """Data as the parts of a search take them; torch datasets and loaders are held in memory."""
    if data is None or isinstance(data, (str, DataSet)):
        return data
    held: DataSet = catalog.load("held_data")(data)
    return held


def _several(objective: str | Objective | Sequence[str | Objective] | None) -> list[str | Objective]:
    if objective is None:
        return []
    return [objective] if isinstance(objective, str) or not isinstance(objective, Sequence) else list(objective)


def _assembled(
    settings: Settings, given: dict[str, Any], objectives: Sequence[str | Objective], folder: Path | None
) -> Parts:
    """The parts of a search, of which some are objects already."""
    named = replace(settings, objectives=tuple(part for part in objectives if isinstance(part, str)))
    parts = assemble(named, folder=None if folder is None else unfinished(folder), given=given)
    if not objectives:
        return parts
    built = iter(zip(parts.objectives, parts.written, strict=True))
    whole = [next(built) if isinstance(part, str) else (part, _told(part)) for part in objectives]
    return replace(parts, objectives=tuple(part for part, _ in whole), written=tuple(text for _, text in whole))


def _budget(budget: int | str | Budget) -> Budget:
    if isinstance(budget, Budget):
        return budget
    return Budget(trials=budget) if isinstance(budget, int) else budget_of(budget)


def _told(part: Any) -> str:
    """How a part is named in run.json: its own text, its name, its values if it is an objective, or its type."""
    if isinstance(part, str):
        return part
    if isinstance(part, Named):
        return part.name
    if isinstance(part, (Maximize, Minimize)):
        return written(part)
    has_values = is_dataclass(part)
    return repr(part) if has_values and isinstance(part, Objective) else type(part).__name__
