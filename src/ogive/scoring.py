"""Score many architectures without training into one table, a CSV file that any interruption leaves whole.

`ogive.tables.scores` says what is in the file. Rows stand in the order of the plan whatever finished first, so that an
interrupted table ends up the same as an uninterrupted one, but for the seconds. A table that was begun with other
settings is refused. Torch is reached only through the catalog.
"""

from __future__ import annotations

import csv
import errno
import io
import itertools
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ogive import catalog
from ogive.context import Context
from ogive.core.architecture import Architecture
from ogive.core.capabilities import walk
from ogive.core.errors import InvalidArchitecture, RunInUse, SpecError, StoreError, UnknownName, quoted
from ogive.core.evaluator import Evaluator, attempt
from ogive.core.metric import names_of
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Measurement, Proposal
from ogive.evaluators.ranked import Combine, mean_ranks
from ogive.executors import at_work, workers_of
from ogive.files import lock_file, write_json
from ogive.machine import facts
from ogive.runs import Run
from ogive.scores.repeats import Asked
from ogive.session import assemble, settings_of
from ogive.spec import Spec, parse
from ogive.strategies.local import RandomSearch
from ogive.tables.agreement import Correlation, correlations
from ogive.tables.kernels import Kernel, read_kernels, three_of, write_kernels
from ogive.tables.scores import (
    ARCH,
    ERROR,
    SCHEMA,
    SECONDS,
    Row,
    Scores,
    beside,
    read_rows,
    read_scores,
    read_settings,
)

__all__ = [
    "Correlation",
    "Row",
    "Scoring",
    "correlations",
    "keep_kernels",
    "keep_kernels_of_run",
    "measured",
    "parsed",
    "planned",
    "read_scores",
    "score",
    "scored",
    "with_standing",
    "written",
]


@dataclass(frozen=True)
class Scoring:
    """What decides the numbers of a table of scores; `threads` is one, because more of them round otherwise.

    `world` names the table whose rows the architectures were drawn from, where it has only a part of the space.
    """

    space: str
    data: str
    proxies: tuple[str, ...] = ("naswot", "params")
    seed: int = 0
    batch_size: int = 128
    channels: int | None = None
    cells: int | None = None
    pruned: bool = False
    device: str = "cpu"
    threads: int = 1
    world: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "proxies", tuple(str(Asked.read(one)) for one in self.proxies))


def planned(space: SearchSpace, sample: int | None, seed: int) -> list[Architecture]:
    """`sample` different random architectures, or all of a finite space in its order.

    A larger sample begins with the smaller one of the same seed.
    """
    if sample is None:
        if not space.size < 1e7:
            raise SpecError(f"{space.name} is too large to be scored whole: give --sample 1000.")
        return list(space)
    if sample < 1:
        raise SpecError(f"At least one architecture must be scored, but got --sample {sample}.")
    if sample > space.size:
        raise SpecError(
            f"There are {space.size:,} architectures in {space.name}, but got --sample {sample}: give --all."
        )
    drawn = RandomSearch(space, Seed(seed).child("sample"), without_replacement=True).ask(sample)
    return [proposal.arch for proposal in drawn]


def parsed(text: str, space: SearchSpace | str | None = None) -> Architecture:
    """An architecture in the one text form, or in that of its space; SpecError if no space reads it."""
    prefix = text.partition(":")[0]
    told = space or (prefix if prefix in catalog.names("space") else None)
    if told is not None:
        named: SearchSpace = catalog.build("space", told) if isinstance(told, str) else told
        return named.parse(text)
    for known in catalog.names("space"):
        try:
            return parsed(text, known)
        except InvalidArchitecture:
            continue
    raise SpecError(f"{quoted(text)} is no architecture such as nasbench201:3,1,2,0,0,4.")


def scored(
    archs: Sequence[Architecture | str] | None,
    space: SearchSpace | str | None,
    data: Any,
    sample: int | None,
    *,
    out: Path | None,
    workers: int | str,
    progress: Callable[[int, int], None] | None,
    **options: Any,
) -> Scores:
    """The table of some architectures, of a sample of a space, or of all of it; `options` are those of `Scoring`."""
    if (archs is not None and sample is not None) or (archs is None and space is None):
        raise SpecError("Give architectures, or space= with sample=1000, or space= alone for all of it.")
    open_space: Any = catalog.build("space", space) if isinstance(space, str) else space
    if archs is None:
        chosen = planned(open_space, sample, options.get("seed", 0))
    else:
        chosen = [parsed(arch, open_space) if isinstance(arch, str) else arch for arch in archs]
    if len({arch.space for arch in chosen}) != 1:
        raise SpecError("The architectures of one table belong to one space, and there is at least one.")
    named = {"space": space or chosen[0].space, "data": data}
    given = {name: part for name, part in named.items() if not isinstance(part, str)}
    names: dict[str, Any] = {name: part if isinstance(part, str) else part.name for name, part in named.items()}
    settings = Scoring(**names, **options)
    rows = score(settings, chosen, out, workers=workers, progress=progress, given=given)
    return Scores(written(settings), tuple(rows), {row.arch: row for row in rows})


def score(
    settings: Scoring,
    archs: Sequence[Architecture],
    out: Path | None = None,
    *,
    workers: int | str = 1,
    progress: Callable[[int, int], None] | None = None,
    given: Mapping[str, Any] | None = None,
) -> list[Row]:
    """Score the architectures, and return all rows of the table in their order.

    With `out`, every row is on the disk before the next is begun, rows that the file holds are not scored again, and
    StoreError says if it was begun with other settings or other architectures. `progress` is called with the number of
    rows that are there and that of all. `given` holds the `space` and the `data` that are objects already.
    """
    workers_of(workers, limited=False)
    if len(set(archs)) < len(archs):
        raise SpecError("Each architecture is scored once, but one was given twice.")
    parts = given or {}
    space: SearchSpace = parts["space"] if "space" in parts else catalog.build("space", settings.space)
    data = parts["data"] if "data" in parts else catalog.build("data", settings.data)
    evaluator = _evaluator(settings, space, data)
    if out is None:
        return _collected(evaluator, archs, [], workers, progress, lambda row: None)
    with _opened(Path(out), {**written(settings), "data_digest": data.digest}, settings.proxies, archs) as (
        rows,
        append,
    ):
        return _collected(evaluator, archs, rows, workers, progress, append)


def with_standing(
    proxies: Sequence[str],
    rows: Sequence[Row],
    combine: Combine,
    *,
    of: Sequence[str] | None = None,
    name: str = "mean_rank",
) -> tuple[tuple[str, ...], list[Row]]:
    """The names and the rows with one score more: where each row stands among all by some of its scores, or by all.

    It belongs to the rows together and changes with each that is added, so that a table does not hold it. UnknownName
    for a score `of` that there is not.
    """
    for wanted in of or ():
        if wanted not in proxies:
            raise UnknownName("score in the table", wanted, proxies)
    places = [list(proxies).index(wanted) for wanted in (proxies if of is None else of)]
    scored = [[row.scores[place] for place in places] for row in rows if row.scores is not None]
    found = iter(mean_ranks(scored, combine).tolist() if scored else ())
    return (*proxies, name), [
        row if row.scores is None else replace(row, scores=(*row.scores, next(found))) for row in rows
    ]


# -- what NASWOT sees -------------------------------------------------------------------------------------------------


def keep_kernels(settings: Scoring, archs: Sequence[Architecture], path: Path) -> list[Kernel]:
    """What NASWOT sees of some architectures, with the weights and images of the scores; kept in `path`.

    What the file holds already is not made again.
    """
    if path.exists() and [kernel.arch for kernel in read_kernels(path)] == list(archs):
        return read_kernels(path)
    evaluator = _evaluator(settings, catalog.build("space", settings.space), catalog.build("data", settings.data))
    return _kept(evaluator, archs, path)


def keep_kernels_of_run(run: Run, path: Path) -> list[Kernel]:
    """The same of the best, the median and the worst architecture of a run, by its first objective.

    SpecError if nothing in the run builds untrained networks, or if no trial worked.
    """
    parts = assemble(settings_of(run.config))
    inside = itertools.chain(walk(parts.evaluator), walk(parts.strategy))
    evaluator = next((part for part in inside if isinstance(part, _Seeing)), None)
    if evaluator is None:
        raise SpecError(
            f"Nothing in {run.folder} builds untrained networks, so there are no kernels to show: that takes "
            "training_free(naswot) as an evaluator, or in naswot(training_free(naswot))."
        )
    archs = three_of({trial.arch: trial.scores[0] for trial in run.trials if trial.scores is not None})
    if not archs:
        raise SpecError(f"No trial of {run.folder} worked, so there are no networks to show.")
    return _kept(evaluator, archs, path)


@runtime_checkable
class _Seeing(Protocol):
    """An evaluator that can show what NASWOT sees of an architecture."""

    def kernel(self, arch: Architecture) -> Kernel:
        """Its kernel."""
        ...


def _kept(evaluator: Any, archs: Sequence[Architecture], path: Path) -> list[Kernel]:
    write_kernels([evaluator.kernel(arch) for arch in archs], path)
    return read_kernels(path)


def measured(run: Run, truth: str, metrics: Sequence[str]) -> tuple[list[Row], dict[Architecture, float]]:
    """What the finished trials of a run measured, as rows and truths for `correlations`; the first trial of a double.

    UnknownName if no trial has a metric of these names.
    """
    rows: dict[Architecture, Row] = {}
    known: dict[Architecture, float] = {}
    trials = [trial for trial in run.trials if trial.status == "ok"]
    names = set().union(*(trial.metrics for trial in trials))
    for name in (truth, *metrics):
        if name not in names:
            raise UnknownName(f"metric of the run {run.folder}", name, names)
    for trial in trials:
        if trial.arch not in rows and {truth, *metrics} <= trial.metrics.keys():
            rows[trial.arch] = Row(trial.arch, tuple(trial.metrics[name] for name in metrics))
            known[trial.arch] = trial.metrics[truth]
    return list(rows.values()), known


# -- scoring ----------------------------------------------------------------------------------------------------------


def _evaluator(settings: Scoring, space: SearchSpace, data: Any) -> Evaluator:
    makers: dict[str, Callable[[], Any]] = {"space": lambda: space, "data": lambda: data}
    for name in ("device", "threads", "channels", "cells"):
        makers[name] = partial(getattr, settings, name)
    context = Context(makers, Seed(settings.seed).child("evaluator"))
    proxies = [parse(name) for name in settings.proxies]
    spec = Spec("training_free", (proxies,), {"batch_size": settings.batch_size, "pruned": settings.pruned})
    made: Evaluator = catalog.build("evaluator", spec, context)
    return made


def _collected(
    evaluator: Evaluator,
    archs: Sequence[Architecture],
    rows: list[Row],
    workers: int | str,
    progress: Callable[[int, int], None] | None,
    append: Callable[[Row], None],
) -> list[Row]:
    show = progress or (lambda done, total: None)
    show(len(rows), len(archs))
    left = archs[len(rows) :]
    measured = _measured(evaluator, left, workers if len(left) > 1 else 1)
    for arch, (measurement, cpu_seconds) in zip(left, measured, strict=True):
        scores = (
            tuple(float(measurement.metrics[name]) for name in names_of(evaluator.metrics))
            if not measurement.error
            else None
        )
        row = Row(arch, scores, cpu_seconds, measurement.error or "")
        append(row)
        rows.append(row)
        show(len(rows), len(archs))
    return rows


Timed = tuple[Measurement, float]


def _timed(evaluator: Evaluator, arch: Architecture) -> Timed:
    """The measurement and the processor seconds that it took, all threads of this process together."""
    started = time.process_time()
    measurement = attempt(evaluator, [Proposal(arch)])[0]
    return measurement, time.process_time() - started


def _measured(evaluator: Evaluator, archs: Sequence[Architecture], workers: int | str) -> Iterator[Timed]:
    """The measurements in the order of the architectures; a worker that dies costs the one that it was scoring."""
    with at_work(workers) as pool:
        shared = pool.share(evaluator)
        waiting = deque(archs)
        flying: deque[Future[Timed]] = deque()
        while waiting or flying:
            while waiting and len(flying) < pool.ahead:
                flying.append(pool.submit(_timed, shared, waiting.popleft()))
            try:
                yield flying.popleft().result()
            except BrokenExecutor:
                yield Measurement(error="the worker process died (killed, or out of memory)"), 0.0


# -- the file ---------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(
    path: Path, settings: Mapping[str, Any], proxies: tuple[str, ...], archs: Sequence[Architecture]
) -> Iterator[tuple[list[Row], Callable[[Row], None]]]:
    """The rows that are there, and how to append one; the file is ours alone until the end."""
    if path.suffix != ".csv":
        raise SpecError(f"A table of scores is a .csv file, but got --out {path}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    existed = path.exists() and path.stat().st_size > 0
    if existed and not beside(path).exists():
        raise StoreError(
            f"{path} is there but is no table of scores, for {beside(path).name} is not: choose another --out."
        )
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        try:
            lock_file(descriptor)
        except OSError:
            raise RunInUse(
                f"{path} is being written by another process; wait for it, or choose another --out."
            ) from None
        if beside(path).exists():
            _refuse_other(path, settings)
        else:
            write_json(beside(path), {"schema": SCHEMA, **settings, "ogive": catalog.version(), "machine": facts()})
        rows, whole = read_rows(path, proxies)
        os.ftruncate(descriptor, whole)
        if not whole:
            _append(path, descriptor, [ARCH, *proxies, SECONDS, ERROR])
        _refuse_other_archs(path, rows, archs)
        yield rows, lambda row: _append(path, descriptor, _cells(row, len(proxies)))
    finally:
        os.close(descriptor)


def _append(path: Path, descriptor: int, cells: Sequence[str]) -> None:
    """Write one line and wait until it is on the disk; a line that does not fit is taken back."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    line, before = text.getvalue().encode(), os.fstat(descriptor).st_size
    try:
        # One call for the whole line: Ctrl-C cannot come between its bytes.
        if os.write(descriptor, line) != len(line):
            raise OSError(errno.ENOSPC, "the line was written in part")
        os.fsync(descriptor)
    except OSError as error:
        os.ftruncate(descriptor, before)
        raise StoreError(
            f"A row could not be written to {path} ({error.strerror}). All rows before it are kept; make room, and the "
            "same command goes on."
        ) from error


def _cells(row: Row, proxies: int) -> list[str]:
    scores = [""] * proxies if row.scores is None else [repr(score) for score in row.scores]
    return [str(row.arch), *scores, f"{row.cpu_seconds:.3f}", row.error]


def written(settings: Scoring) -> dict[str, Any]:
    """The settings as they stand beside a table."""
    plain = {name: getattr(settings, name) for name in settings.__dataclass_fields__}
    return {**plain, "proxies": list(settings.proxies)}


def _refuse_other(path: Path, settings: Mapping[str, Any]) -> None:
    before = read_settings(path)
    for name, value in settings.items():
        if before.get(name) != value:
            raise StoreError(
                f"{path} was begun with {name} = {before.get(name)}, but now it is {value}: "
                "give that again, or choose another --out."
            )


def _refuse_other_archs(path: Path, rows: Sequence[Row], archs: Sequence[Architecture]) -> None:
    for number, (row, arch) in enumerate(zip(rows, archs, strict=False), start=1):
        if row.arch != arch:
            raise StoreError(
                f"Row {number} of {path} is {row.arch}, but this command would score {arch} there: "
                "give the architectures or the sample of then, or choose another --out."
            )
    if len(rows) > len(archs):
        raise StoreError(f"{path} holds {len(rows)} rows already, more than the {len(archs)} asked for.")
