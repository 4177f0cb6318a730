"""Searching from Python: run a search, go on with one, compare strategies; every part a name or an object."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from ogive import catalog
from ogive.bulletin import posted
from ogive.choice import choose, limits_of
from ogive.core.capabilities import guesses_of
from ogive.core.data import SomeData
from ogive.core.errors import SpecError, nameable
from ogive.core.executor import Pool
from ogive.core.space import SearchSpace
from ogive.core.strategy import Strategy
from ogive.core.study import Order
from ogive.core.trial import Budget, Trial
from ogive.objects import Measuring, Objectives, Understood, budget_in, understood
from ogive.result import Result, result_of
from ogive.runs import Run, read_run
from ogive.session import (
    Maker,
    Parts,
    Settings,
    budget_in_force,
    going_on,
    ran,
    refuse_other_settings,
    remeasured,
    settings_of,
    stopped,
    unfinished,
    watch_of,
)
from ogive.session import resume as _resume
from ogive.session import search as _search
from ogive.showing import in_notebook, shown
from ogive.tables.store import Table

if TYPE_CHECKING:
    from ogive.comparison import Comparison

__all__ = ["compare", "resume", "search", "stored_in"]


class Sizes(TypedDict, total=False):
    """What the settings of every search take as it is: all of it may be left out.

    `seed` is the root of all randomness, `channels` and `cells` the size of the networks, `device` and `threads` those
    of each process.
    """

    seed: int
    channels: int | None
    cells: int | None
    device: str
    threads: int | None


class Numbers(Sizes, total=False):
    """The same of one search.

    `in_flight` is how many proposals are asked for before the first is told. With the `order` "finish" each trial is
    told as soon as it is measured, and no second run of several workers finds the same. `progress` says whether to show
    where the search stands, None for in a notebook only.
    """

    in_flight: int | None
    order: Order
    progress: bool | None


@nameable
def search(
    *,
    space: str | SearchSpace,
    strategy: str | Strategy | Maker = "evolution",
    evaluator: Measuring | None = None,
    objective: Objectives | None = None,
    where: str | Sequence[str] = (),
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
        strategy: Who to try next, as in ``"evolution(population=20)"``; `ogive list strategy` names them. An object
            with ``ask`` and ``tell``, or what makes one of the space and a seed.
        evaluator: How good a candidate is: ``"trained(epochs=10)"``, ``"together(trained, latency)"``, an object with
            ``evaluate``, or a plain function of an architecture that returns a number. By default ``"tabular"`` with a
            table and ``"trained"`` without.
        objective: What to maximise, such as ``"latency_tradeoff(target_ms=5)"``; several for a Pareto front. The name
            of a metric stands for its best value; by default that is the first metric of the evaluator.
        where: Constraints, such as ``"latency_ms<=5"`` or several: a trial beyond one of them is infeasible, which the
            strategy is told, and never wins.
        prefer: Limits within which the best trial is chosen, such as ``"latency_ms<=5"``; they change nothing that is
            searched.
        budget: A number of trials, a text such as ``"2h"``, ``"600 epochs"`` or ``"benchmark=1e5"``, or a Budget. When
            the time is up, the search ends, and what is being measured is not finished; a candidate in this process
            that never comes back from C code, or any outside of the main thread, is waited for: write
            ``workers="processes(1)"``.
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
        workers: Processes, as in 4 or ``"processes(4, trial_limit=10m)"``, or a Pool of one's own, which stays open.
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
    _refuse_unknown("search", numbers, Numbers)
    wanted = understood(
        objective,
        where,
        prefer,
        budget,
        task,
        _settings(numbers, workers),
        space=space,
        strategy=strategy,
        evaluator=evaluator,
        data=data,
        table=table,
        weights=weights,
    )
    before = read_run(Path(out)) if out is not None and resume and (Path(out) / "run.json").exists() else None
    if before is not None:
        streams = settings_of(before.config).own_streams
        wanted = replace(wanted, settings=replace(wanted.settings, own_streams=streams))
    return _watched(wanted, None if out is None else Path(out), before, workers, on_trial, numbers.get("progress"))


@nameable
def resume(
    run: str | Path | Result,
    *,
    budget: int | str | Budget | None = None,
    prefer: str | Sequence[str] = (),
    workers: int | str | Pool | None = None,
    device: str | None = None,
    threads: int | None = None,
    on_trial: Callable[[Trial], None] | None = None,
    progress: bool | None = None,
    **objects: Any,
) -> Result:
    """Go on with an interrupted search, or with a finished one under a larger budget.

    Args:
        run: The run folder, or the result of a search that was stored.
        budget: As that of `search`; by default the one that the run has.
        prefer: Limits within which the best trial is chosen from now on; by default as before.
        workers: As those of `search`, and like `device` and `threads` others than before, if somebody says so.
        device: Of each process.
        threads: Of each process.
        on_trial: Told every new trial as it finishes.
        progress: Whether to show where the search stands, as in `search`.
        **objects: What the search was given as objects, by the names that these have there, is given again: `space`,
            `strategy`, `evaluator`, `objective`, `data`, `task`, `table` and `weights`. `data` may be the same data in
            another place.

    Returns:
        The trials, those from before among them.

    Raises:
        StoreError: For parts by other names than those of the run, and where the run cannot go on.
    """
    known = ("space", "strategy", "evaluator", "objective", "data", "task", "table", "weights")
    for name in objects.keys() - set(known):
        raise TypeError(f"resume() got an unexpected keyword argument {name!r}")
    folder = stored_in(run)
    before = read_run(folder)
    count = workers.count if isinstance(workers, Pool) else workers
    settings = going_on(before, workers=count, device=device, threads=threads)
    granted = budget_in_force(before) if budget is None else budget_in(budget)
    same = {name: getattr(settings, name) for name in known if name not in ("objective", "task")}
    if "task" in objects and "data" not in objects:
        del same["data"]  # they are those of the task
    wanted = understood(
        objects.pop("objective", None), (), prefer, granted, objects.pop("task", None), {}, **{**same, **objects}
    )
    names = {name: getattr(wanted.settings, name) for name in same}
    objectives = wanted.settings.objectives or settings.objectives
    settings = replace(settings, budget=granted, prefer=wanted.settings.prefer, objectives=objectives, **names)
    pool = workers if isinstance(workers, Pool) else settings.workers
    return _watched(replace(wanted, settings=settings), folder, before, pool, on_trial, progress)


@nameable
def compare(
    strategies: Sequence[str | Maker],
    *,
    space: str | SearchSpace,
    evaluator: Measuring | None = None,
    objective: Objectives | None = None,
    where: str | Sequence[str] = (),
    prefer: str | Sequence[str] = (),
    budget: int | str | Budget = 100,
    seeds: int = 10,
    data: SomeData | None = None,
    task: Any = None,
    table: str | Table | None = None,
    weights: Any = None,
    out: str | Path | None = None,
    workers: int | str = 1,
    on_search: Callable[[int, int], None] | None = None,
    **sizes: Unpack[Sizes],
) -> Comparison:
    """Compare strategies on equal budgets and seeds, always with random search among them.

    Args:
        strategies: Names as in `search`, and strategies of one's own, each as what makes it of a space and a seed: a
            class such as ``Tabu`` with ``Tabu(space, seed)``, or a function with a name.
        space: As in `search`, like all that follows; what is an object there may be one here, and is that of every
            search, so that with several `workers` it has to pickle.
        evaluator: How good a candidate is.
        objective: What to maximise; of several, the hypervolume of the front is compared.
        where: Constraints of every search.
        prefer: Limits within which the best of each search is chosen.
        budget: That of every search.
        seeds: How many seeds each strategy gets; fewer than five are no evidence.
        data: What networks are trained on.
        task: A task of one's own.
        table: A benchmark table.
        weights: Weights that nobody trained for one candidate.
        out: A folder for every search, and for what is kept of the comparison (`ogive.comparison_files`). Searches that
            are there already are completed, not repeated.
        workers: How many searches run at the same time; it never changes a result.
        on_search: Told how many of how many searches are over.
        **sizes: `seed` (0), the first of the seeds, `channels`, `cells`, `device` and `threads`, as in `search`.

    Returns:
        What each found: ``comparison.rows()``, ``comparison.pairs()``; it prints as the table of the command line.

    Raises:
        SpecError: For parts that do not fit together, and StoreError for a folder that holds another comparison.
    """
    _refuse_unknown("compare", sizes, Sizes)
    wanted = understood(
        objective,
        where,
        prefer,
        budget,
        task,
        dict(sizes),
        space=space,
        evaluator=evaluator,
        data=data,
        table=table,
        weights=weights,
    )
    folder = None if out is None else Path(out)
    found: Comparison = catalog.load("compare")(
        strategies, wanted, seeds=seeds, workers=workers, folder=folder, progress=on_search
    )
    if folder is not None:
        catalog.load("keep_comparison")(found, folder)
    return found


def stored_in(run: str | Path | Result) -> Path:
    """The folder of a run; SpecError for a search that nobody stored."""
    if not isinstance(run, Result):
        return Path(run)
    if run.folder is None:
        raise SpecError("A search that nobody stored has no folder for what is made of it: give ogive.search an out=.")
    return run.folder


def _refuse_unknown(name: str, given: Mapping[str, Any], known: type[Any]) -> None:
    for other in given.keys() - known.__annotations__.keys():
        raise TypeError(f"{name}() got an unexpected keyword argument {other!r}")


def _settings(numbers: Numbers, workers: int | str | Pool) -> dict[str, Any]:
    """What of it the settings hold."""
    held = {name: value for name, value in numbers.items() if name != "progress"}
    return held | {"workers": workers.count if isinstance(workers, Pool) else workers}


def _watched(
    wanted: Understood,
    folder: Path | None,
    before: Run | None,
    workers: int | str | Pool,
    on_trial: Callable[[Trial], None] | None,
    progress: bool | None,
) -> Result:
    settings, parts = wanted.settings, wanted.assembled(None if folder is None else unfinished(folder))
    work = partial(_ran, settings, parts, folder, before, workers if isinstance(workers, Pool) else None)
    if not (in_notebook() if progress is None else progress):
        return work(on_trial)
    limits = before.limits if before is not None and not settings.prefer else None
    watch = watch_of(settings, parts, before, limits)

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
        study, started = parts.study(), time.perf_counter()
        for trial in ran(settings, parts, pool, study=study, **heard):
            found.append(trial)
            if on_trial is not None:
                on_trial(trial)
        at_s = time.perf_counter() - started
        ordered = tuple(sorted(found, key=lambda trial: trial.number))
        limits = limits_of(settings.prefer)
        by_rule = partial(choose, objectives=parts.written, limits=limits)
        final = remeasured(parts.study(), ordered, by_rule, device=settings.device)
        cut = stopped(study, at_s) if study.stopped or study.asking else None
        return Result(
            ordered,
            None,
            parts.written,
            parts.evaluator.metrics,
            limits,
            tuple(final),
            cut,
            tuple(guesses_of(parts.evaluator)),
        )
    heard |= {"on_trial": on_trial, "parts": parts, "pool": pool}
    if before is None:
        return result_of(_search(settings, folder, **heard))
    refuse_other_settings(before, settings, may_differ=("budget", "data"))
    same = {name: getattr(settings, name) for name in ("budget", "prefer", "workers", "device", "threads", "data")}
    return result_of(_resume(folder, **same, **heard))
