"""ogive from Python: name a space, open a table, run a search, read what it found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ogive import catalog
from ogive.context import Context
from ogive.core.architecture import Architecture
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
    nameable,
)
from ogive.core.evaluator import Cached, Evaluator, Measured, Screened, Together
from ogive.core.executor import Pool
from ogive.core.graph import Graph
from ogive.core.metric import Metric
from ogive.core.objective import LatencyTradeoff, Maximize, Minimize, Objective
from ogive.core.rng import Seed
from ogive.core.space import Choice, Draw, Fixed, Real, SearchSpace
from ogive.core.strategy import Checkpointed, Strategy
from ogive.core.study import Study
from ogive.core.trial import Budget, Cost, Measurement, Proposal, Trial
from ogive.objects import held
from ogive.optuna_export import export_to_optuna
from ogive.reranking import reranked
from ogive.result import Result, result_of
from ogive.runs import Run, read_run
from ogive.samplers import optuna_sampler
from ogive.samplers import suggested as optuna_suggested
from ogive.searching import compare, resume, search, stored_in
from ogive.tables.scores import Scores
from ogive.tables.store import Table, open_table
from ogive.trained_networks import Exported

__all__ = [
    "Architecture",
    "Budget",
    "Cached",
    "Checkpointed",
    "Choice",
    "Cost",
    "Draw",
    "Evaluator",
    "ExportError",
    "Fixed",
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
    "compare",
    "data",
    "export",
    "export_to_optuna",
    "open_run",
    "optuna_sampler",
    "optuna_suggested",
    "report",
    "resume",
    "score",
    "search",
    "space",
    "strategy",
    "table",
    "train",
]


def space(name: str, **options: Any) -> SearchSpace:
    """The search space of that name, such as ``space("darts", operation=MyOperation())``; UnknownName lists all."""
    built: SearchSpace = catalog.build("space", name, **options)
    return built


@nameable
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


@nameable
def open_run(folder: str | Path, *, objective: str | Sequence[str] = ()) -> Result:
    """What a run folder holds, its trials ranked by another `objective` than that of the search if one is given."""
    return result_of(_ranked(Path(folder), objective))


def _ranked(folder: Path, objective: str | Sequence[str]) -> Run:
    texts = (objective,) if isinstance(objective, str) else tuple(objective)
    return reranked(read_run(folder), texts) if texts else read_run(folder)


@nameable
def train(
    run: str | Path | Result,
    *,
    trial: int | None = None,
    prefer: str | Sequence[str] = (),
    recipe: str = "",
    data: SomeData | None = None,
    task: Any = None,
    space: SearchSpace | None = None,
    device: str = "cpu",
    **options: Any,
) -> dict[str, Any]:
    """Train the best architecture of a stored run in full, and measure it on the test set.

    Args:
        run: The run folder, or the result of a search that was stored.
        trial: Another trial than the best.
        prefer: Limits within which the run chooses its best from now on, such as ``"latency_ms<=5"``.
        recipe: How it is trained: ``"epochs=60, cutout=2"``.
        data: By default those of the search, which are given again where they had no name, as torch datasets.
        task: Given again where the search had one of its own.
        space: Given again where the search had one of its own.
        device: Where it is trained.
        **options: `channels` and `cells`, by default as in the search, `threads`, `tensorboard` (False), and `validate`
            (False): hold the validation part out of the training, and measure on it after each epoch.

    Returns:
        The figures; ``figures["look"]`` says which look at the test set of this run it was.

    Raises:
        SpecError: For data or a task of another kind, StoreError for a damaged run.
    """
    limits = (prefer,) if isinstance(prefer, str) else tuple(prefer)
    facts: dict[str, Any] = catalog.load("train_winner")(
        stored_in(run),
        trial=trial,
        prefer=limits,
        recipe=recipe,
        data=None if data is None else held(data),
        task=task,
        space=space,
        device=device,
        **options,
    )
    return facts


@nameable
def export(
    run: str | Path | Result,
    *,
    trial: int | None = None,
    formats: Sequence[str] = ("torch", "onnx", "export"),
    out: str | Path | None = None,
    name: str | None = None,
    raw: bool = False,
    data: SomeData | None = None,
    task: Any = None,
    space: SearchSpace | None = None,
) -> list[Exported]:
    """Write the trained winner of a stored run as plain files, each checked against the network.

    Args:
        run: The run folder, or the result of a search that was stored.
        trial: Another trained trial than the winner.
        formats: Some of "torch", "onnx" and "export".
        out: The folder of the files; by default in the run.
        name: That of the files without suffix; by default "winner", or "trial_7".
        raw: Whether ONNX takes images as bytes, 0 to 255, in the place of numbers from 0 to 1.
        data: As `task` and `space`, what `train` was given, is given again.
        task: One of one's own.
        space: One of one's own.

    Returns:
        What was written: ``exported.format``, ``exported.paths``, and the ``largest_difference`` from the network.

    Raises:
        StoreError: Where the winner is not trained yet, and ExportError where a file does not compute what it should.
    """
    exported: list[Exported] = catalog.load("export_winner")(
        stored_in(run),
        trial=trial,
        formats=tuple(formats),
        out=None if out is None else Path(out),
        name=name,
        raw=raw,
        data=None if data is None else held(data),
        task=task,
        space=space,
    )
    return exported


@nameable
def report(
    *runs: str | Path | Result,
    out: str | Path | None = None,
    title: str | None = None,
    objective: str | Sequence[str] = (),
) -> Path:
    """Write one self-contained HTML page about one or several stored runs, and return where it is.

    By default that is ``report.html`` in the folder of the first, or ``report-ranked.html`` with another `objective`
    than those of the searches, by which the trials are ranked. SpecError without runs, StoreError for a damaged one.
    """
    folders, name = [stored_in(run) for run in runs], "report-ranked.html" if objective else "report.html"
    place = Path(out) if out is not None else folders[0] / name if folders else Path(name)
    read = [_ranked(folder, objective) for folder in folders]
    page: Path = catalog.load("write_page")(read, place, title=title)
    return page


@nameable
def score(
    archs: Sequence[Architecture | str] | None = None,
    *,
    data: SomeData,
    space: str | SearchSpace | None = None,
    sample: int | None = None,
    proxies: Sequence[str] = ("naswot", "params"),
    out: str | Path | None = None,
    workers: int | str = 1,
    on_score: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Scores:
    """Score architectures without training them.

    Args:
        archs: Architectures, or their text forms; without any, those of the space.
        data: As in `search`: whose images all networks see.
        space: Where they belong to, by name or as an object; from named architectures it follows.
        sample: So many different random architectures of the space instead of all.
        proxies: The scores; `ogive list score` names them.
        out: A .csv file, in which every row is kept as soon as it is there; it goes on where it stopped.
        workers: Processes.
        on_score: Told how many of how many rows are there.
        **options: `seed` (0), `batch_size` (128), `channels` and `cells` of the networks, `pruned`, `device` and
            `threads`.

    Returns:
        The table: ``scores.rows``, ``scores.columns()``, ``scores.frame()``.

    Raises:
        SpecError: For architectures of several spaces, UnknownName for a score that there is not.
    """
    scores: Scores = catalog.load("scored")(
        archs,
        space,
        held(data),
        sample,
        proxies=tuple(proxies),
        out=None if out is None else Path(out),
        workers=workers,
        progress=on_score,
        **options,
    )
    return scores
