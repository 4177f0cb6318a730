"""ogive from Python: name a space, open a table, run a search, read what it found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, Unpack

from ogive import catalog
from ogive.choice import Chosen, Limit, check_limits, choose, choose_last, limits_of, pareto_front
from ogive.context import Context
from ogive.core.architecture import Architecture
from ogive.core.capabilities import Named
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
)
from ogive.session import resume as _resume
from ogive.session import search as _search

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
    """

    seed: int
    in_flight: int | None
    order: Order
    channels: int | None
    cells: int | None
    device: str
    threads: int | None


@dataclass(frozen=True)
class Result:
    """What a search found: its trials in the order in which they were proposed.

    `objectives` are as they were written, `metrics` what was measured, `limits` those within which the best trial is
    chosen. `remeasured` are trials whose latencies were measured once more after the search, side by side, with what
    was found then.
    """

    trials: tuple[Trial, ...]
    folder: Path | None = None
    objectives: tuple[str, ...] = ()
    metrics: tuple[Metric, ...] = ()
    limits: tuple[Limit, ...] = ()
    remeasured: tuple[Trial, ...] = ()

    @property
    def choice(self) -> Chosen:
        """The best trial by latencies as they were measured last, and in words the rule by which it is the best."""
        return choose_last(self.trials, self._final, self.objectives, self.limits)

    @property
    def _final(self) -> dict[int, Trial]:
        return {trial.number: trial for trial in self.remeasured}

    @property
    def best(self) -> Trial:
        """The best trial by the rule of `choice`; SpecError if none succeeded, or none keeps the limits.

        With one objective that is the largest score, with several the knee of the Pareto front; with limits the largest
        first score of those that keep them, on the front where there are several objectives.
        """
        return self.choice.found

    def preferring(self, *limits: str) -> Result:
        """The same result, with its best trial chosen within limits such as ``"latency_ms<=5"``; ``"knee"`` for none.

        UnknownName for a limit of what was not measured.
        """
        read = limits_of(limits)
        check_limits(read, self.metrics)
        return replace(self, limits=read)

    def pareto(self) -> list[Trial]:
        """The trials that no other beats in all objectives, by falling first score; with latencies as measured last."""
        final = self._final
        return pareto_front([final.get(trial.number, trial) for trial in self.trials])


def space(name: str, **options: Any) -> SearchSpace:
    """The search space of that name, such as ``space("darts", operation=MyOperation())``; UnknownName lists all."""
    built: SearchSpace = catalog.build("space", name, **options)
    return built


def table(name: str | Path) -> Any:
    """The imported benchmark table of that name, or in that folder; MissingData says how to import it."""
    return catalog.load("open_table")(name)


def data(name: str, **options: Any) -> Any:
    """A data set with fixed splits: ``data("digits", size=16)``, ``data("csv:houses.csv", target="price")``."""
    return catalog.loader(name)(name, **options)


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
    data: Any = None,
    task: Any = None,
    table: Any = None,
    weights: Any = None,
    out: str | Path | None = None,
    resume: bool = False,
    workers: int | str | Pool = 1,
    on_trial: Callable[[Trial], None] | None = None,
    **numbers: Unpack[Numbers],
) -> Result:
    """Search, and return the trials.

    Every part is either a name, written ``name(part, key=value)``, or an object of one's own. `data` and `table` may be
    names or what ``ogive.data`` and ``ogive.table`` return, and an `evaluator` may be a plain function of an
    architecture that returns a number. `weights`, such as ``"supernet(epochs=20)"`` or an object with
    ``network(arch)``, are for every part that wants some and names none itself. `task` is a task of one's own, such as
    a Classification with another loss, or with a builder of networks; its data are those of the search. `budget` is a
    number of trials, a text such as ``"2h"`` or a Budget. Without an `objective`, the best value of the evaluator's
    first metric is sought; the name of a metric stands for its best value. `prefer` are limits within which
    the best trial is chosen, such as ``"latency_ms<=5"``. `workers` are processes, as in 4 or
    ``"processes(4)"``, or a Pool of one's own, which stays open; what is found depends on the seed and on `in_flight`,
    by default 4 for each of several workers. With `out`, every trial is stored in that folder as it finishes; with
    ``resume=True`` an interrupted search in that folder is completed, by these `workers`, on this device and with these
    threads; its data may have moved. Without `out`, nothing is written. `numbers` are seed, in_flight, order, channels,
    cells, device and threads, as in `Numbers`.
    """
    for name in numbers.keys() - Numbers.__annotations__.keys():
        raise TypeError(f"search() got an unexpected keyword argument {name!r}")
    objectives = _several(objective)
    data = task.data if task is not None and data is None else data
    if callable(evaluator) and not isinstance(evaluator, Evaluator):
        evaluator = Measured(evaluator)
    objects = {"space": space, "strategy": strategy, "evaluator": evaluator, "data": data, "table": table}
    objects["weights"] = weights
    given = {name: part for name, part in objects.items() if part is not None and not isinstance(part, str)}
    given |= {} if task is None else {"task": task}
    told: dict[str, Any] = {name: _told(part) for name, part in objects.items() if part is not None}
    settings = Settings(
        **told,
        objectives=tuple(_told(part) for part in objectives),
        prefer=(prefer,) if isinstance(prefer, str) else tuple(prefer),
        budget=_budget(budget),
        workers=workers.count if isinstance(workers, Pool) else workers,
        **numbers,
    )
    if out is not None and resume and (Path(out) / "run.json").exists():
        settings = replace(settings, own_streams=settings_of(read_run(Path(out)).config).own_streams)
    pool = workers if isinstance(workers, Pool) else None
    folder = None if out is None else Path(out)
    parts = _assembled(settings, given, objectives, folder)
    if folder is None:
        found = []
        for trial in ran(settings, parts, pool):
            found.append(trial)
            if on_trial is not None:
                on_trial(trial)
        ordered = tuple(sorted(found, key=lambda trial: trial.number))
        limits = limits_of(settings.prefer)
        by_rule = partial(choose, objectives=parts.written, limits=limits)
        final = remeasured(parts.study(), ordered, by_rule, device=settings.device)
        return Result(ordered, None, parts.written, parts.evaluator.metrics, limits, tuple(final))
    if resume and (folder / "run.json").exists():
        refuse_other_settings(read_run(folder), settings, may_differ=("budget", "data"))
        run = _resume(
            folder,
            budget=settings.budget,
            prefer=settings.prefer,
            workers=settings.workers,
            device=settings.device,
            threads=settings.threads,
            data=settings.data,
            on_trial=on_trial,
            parts=parts,
            pool=pool,
        )
    else:
        run = _search(settings, folder, on_trial=on_trial, parts=parts, pool=pool)
    return _result(run)


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
