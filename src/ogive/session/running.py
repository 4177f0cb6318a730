"""The run of a search: the loop over its trials, each stored as it comes, and taken up again after an interruption.

Processes that ``torchrun`` started run one search together: all of them run the loop, and the first one stores it.
"""

from __future__ import annotations

import itertools
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from ogive import catalog
from ogive.begun import UNFINISHED
from ogive.choice import choose
from ogive.core.capabilities import Costly, Digested, Shared, answer_of, guesses_of, walk
from ogive.core.errors import SpecError, StoreError, in_line
from ogive.core.executor import Event, Listener, Pool, Progress
from ogive.core.strategy import Checkpointed
from ogive.core.study import Study
from ogive.core.trial import Budget, Trial, counted, duration
from ogive.executors import at_work, opened
from ogive.machine import facts
from ogive.run_store import Followed, RunStore
from ogive.runs import BUDGET, HOLD, STOP, Run, Stopped, read_config, read_run
from ogive.session.assembly import Parts, assemble, listen, projections, understood, unrepeatable
from ogive.session.finalists import needs_clock, remeasured
from ogive.session.rungs import Rungs
from ogive.session.settings import Settings, refuse_order_of_finishing, refuse_other_plugins, settings_of
from ogive.trained_networks import note_winner

__all__ = ["budget_in_force", "going_on", "ran", "resume", "search", "searched", "stopped", "stored", "unfinished"]

logger = logging.getLogger(__name__)

# The state of a strategy is saved after so many trials, but no more often than so many seconds: what came after the
# last save, a resumed run replays, which takes less time than the trials did. A save waits for the disk several times.
SAVE_EVERY, SAVE_EVERY_S = 50, 1.0


def search(settings: Settings, folder: Path, **options: Any) -> Run:
    """Run a search into a new run folder, as `stored` with the same options, and return what it holds in the end."""
    return read_run(stored(settings, folder, **options), hold=HOLD)


def stored(
    settings: Settings,
    folder: Path,
    *,
    command: str | None = None,
    role: str = "search",
    on_trial: Callable[[Trial], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    on_event: Listener | None = None,
    save_every: int | None = None,
    parts: Parts | None = None,
    pool: Pool | None = None,
) -> Path:
    """Run a search into a new run folder and return that, which of several processes the first one names.

    `parts` may be given ready-made; otherwise they are built from the settings. `on_note` is told what a strategy or an
    evaluator is doing that works long, and `on_event` everything that becomes of the tasks of the executor. `pool` is
    an executor of one's own, in the place of the settings' workers, which is not stopped in the end.
    """
    with (
        _processes(settings, parts) as ranks,
        _watched(settings.workers if pool is None else pool, on_event, on_note) as workers,
    ):
        folder = folder if ranks is None else ranks.told(folder)
        parts = _replicated(parts or assemble(settings, folder=unfinished(folder)), ranks)
        listen(parts.strategy, on_note)
        listen(parts.evaluator, on_note)
        study, header = parts.study(), {**_header(command, role), **settings.config(), **_inputs(parts, settings)}
        header["answer"] = answer_of(parts.strategy)
        header["objectives"] = list(parts.written)
        header["unrepeatable"] = unrepeatable(parts)
        header["guesses"] = [asdict(guess) for guess in guesses_of(parts.evaluator)]
        header |= understood(parts, settings)
        header["metrics"] = [metric.to_json() for metric in parts.evaluator.metrics]
        with _store(folder, ranks, lambda: RunStore.create(folder, header)) as store:
            for trial in _drive(settings, study, store, workers, (), save_every, alone=ranks is None):
                if on_trial is not None:
                    on_trial(trial)
            _note_projections(store, parts)
            _settle(store, study, settings, on_note)
        _wait(ranks)
    return folder


def resume(
    folder: Path,
    *,
    budget: Budget | None = None,
    prefer: Sequence[str] = (),
    workers: int | str | None = None,
    device: str | None = None,
    threads: int | None = None,
    data: str | None = None,
    on_trial: Callable[[Trial], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    on_event: Listener | None = None,
    save_every: int | None = None,
    parts: Parts | None = None,
    pool: Pool | None = None,
    before: Run | None = None,
) -> Run:
    """Go on with an interrupted run, or with a finished one under a larger budget.

    It may go on by other `workers`, on another `device`, with other `threads`, and with the same `data` elsewhere. With
    `prefer`, its best trial is chosen within these limits from now on. `before` is the run if it was read already.
    """
    before = before or Run(Path(folder), read_config(folder), ())
    settings = going_on(before, workers=workers, device=device, threads=threads, data=data)
    _tell_of_limits(before, settings if pool is None else pool)
    with (
        _processes(settings, parts, budget) as ranks,
        _watched(settings.workers if pool is None else pool, on_event, on_note) as at_hand,
        _store(folder, ranks, lambda: RunStore.open(folder, known=before)) as store,
    ):
        parts = _replicated(parts or assemble(settings, folder=unfinished(folder)), ranks)
        _check_inputs(store, _inputs(parts, settings))
        if prefer and (ranks is None or ranks.writes):
            store.run.prefer(prefer)
        listen(parts.strategy, on_note)
        listen(parts.evaluator, on_note)
        study = parts.study()
        settings = replace(settings, budget=_granted(store, budget))
        finished, strategy = store.run.log.finished, parts.strategy
        past = store.load_strategy(strategy, study) if isinstance(strategy, Checkpointed) else finished
        _wait(ranks)  # before the first process replaces what the others read
        for trial in _drive(settings, study, store, at_hand, past, save_every, alone=ranks is None):
            if on_trial is not None:
                on_trial(trial)
        _note_projections(store, parts)
        _settle(store, study, settings, on_note)
        if ranks is None or ranks.writes:
            note_winner(store.read())
        _wait(ranks)
    return store.read()


def going_on(before: Run, **given: Any) -> Settings:
    """The settings with which a run goes on, on the machine that is `given`: workers, device, threads, data, or None.

    StoreError for a run of version 0.1 that cannot.
    """
    refuse_order_of_finishing(before)
    refuse_other_plugins(before)
    settings = settings_of(before.config)
    changed: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return replace(settings, in_flight=settings.ahead, **changed)


def _tell_of_limits(before: Run, now: Settings | Pool) -> None:
    """Say that a run goes on with another trial limit than that of its settings."""
    was_s = opened(settings_of(before.config).workers).trial_limit_s
    now_s = (opened(now.workers) if isinstance(now, Settings) else now).trial_limit_s
    if was_s != now_s:
        was, is_ = ("none" if limit_s is None else duration(limit_s) for limit_s in (was_s, now_s))
        logger.warning("%s goes on with another trial limit: %s; run.json says %s.", before.folder, is_, was)


@contextmanager
def _processes(settings: Settings, parts: Parts | None, granted: Budget | None = None) -> Iterator[Any]:
    """The place of this process among those that ``torchrun`` started; None, without torch, for one that is alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield None
        return
    if settings.count > 1:
        raise SpecError("Processes of torchrun share every training, so that each has one worker: leave --workers out.")
    tasks = catalog.tasks("space", settings.space) if parts is None else parts.space.tasks
    known = [catalog.resolve("task", name) for name in tasks if name in catalog.names("task")]
    if settings.data is not None and known and not any(isinstance(task, Shared) for task in known):
        raise SpecError(f"Trainings for {' or '.join(tasks)} are not shared by processes: start it without torchrun.")
    if settings.budget.wall_s is not None or (granted is not None and granted.wall_s is not None):
        raise SpecError("Processes of torchrun stop at the same trial, which no clock tells: give a number of trials.")
    with catalog.load("group")(settings.device) as ranks:
        yield ranks


def _replicated(parts: Parts, ranks: Any) -> Parts:
    return parts if ranks is None else replace(parts, evaluator=catalog.load("replicated")(parts.evaluator, ranks))


def _store(folder: Path, ranks: Any, opened: Callable[[], RunStore]) -> RunStore:
    """The store that the first process opens, and for the others one to read after that."""
    store = opened() if ranks is None or ranks.writes else None
    _wait(ranks)
    return Followed(read_run(folder, hold=HOLD)) if store is None else store


def _wait(ranks: Any) -> None:
    if ranks is not None:
        ranks.wait()


def searched(settings: Settings) -> tuple[list[Trial], int]:
    """Run a search in this process without storing it.

    Returns the trials in the order of being told, and how many proposals were projected onto rows of a closed world.
    """
    parts = assemble(settings)
    return list(ran(settings, parts)), projections(parts)


def ran(
    settings: Settings,
    parts: Parts,
    pool: Pool | None = None,
    *,
    on_event: Listener | None = None,
    on_note: Callable[[str], None] | None = None,
    study: Study | None = None,
) -> Iterator[Trial]:
    """The trials of a search that nobody stores, as they finish; `study` is one of its parts, for who looks at it."""
    listen(parts.strategy, on_note)
    listen(parts.evaluator, on_note)
    with _watched(settings.workers if pool is None else pool, on_event, on_note) as workers:
        study = study or parts.study()
        found = study.run(settings.budget, executor=workers, in_flight=settings.ahead, order=settings.order)
        yield from ticking(found, settings.budget)


def _note_projections(store: RunStore, parts: Parts) -> None:
    """Say in artifacts/world.json how many proposals of a finished search were projected."""
    if parts.world is not None:
        store.note("world.json", {"world": parts.world, "projections": projections(parts)})


def _settle(store: RunStore, study: Study, settings: Settings, tell: Callable[[str], None] | None) -> None:
    """Measure the finalists of a finished search side by side, where it needs that and unless they were."""
    if isinstance(store, Followed) or not needs_clock(study):
        return
    run = store.read()
    known = list(run.remeasured.values()) if run.is_settled else []
    by_rule = partial(choose, objectives=run.objectives, limits=run.limits)
    found = remeasured(study, run.trials, by_rule, device=settings.device, known=known, tell=tell)
    if found != known:
        store.note_finalists(found, len(run.records))


def ticking(trials: Iterator[Trial], budget: Budget) -> Iterator[Trial]:
    """The trials; SpecError at the first success if the only clock of the budget stands still: it would never end."""
    unsure = budget.trials is None and budget.wall_s is None and budget.units is None
    for trial in trials:
        if unsure and trial.measured:
            if not trial.cost.benchmark_s > 0:  # or not a number
                raise SpecError(
                    f"A budget of {budget} never ends here, because the evaluator counts no benchmark seconds: "
                    "give a number of trials, or a time such as 2h."
                )
            unsure = False
        yield trial


def unfinished(folder: Path) -> Path:
    """Where the parts of a run leave work that a resumed run takes up again."""
    return Path(folder) / "artifacts" / UNFINISHED


def _drive(
    settings: Settings,
    study: Study,
    store: RunStore,
    pool: Pool,
    past: Sequence[Trial],
    save_every: int | None,
    *,
    alone: bool,
) -> Iterator[Trial]:
    """The new trials, each stored; processes of torchrun are not alone, and begin every trial together."""
    elapsed = store.run.elapsed_s
    started = time.perf_counter() - elapsed
    saved, saved_s = study.asked, started
    every = [part.save_every for part in walk(study.strategy) if isinstance(part, Costly)]
    every += [] if save_every is None else [save_every]
    at_most_s = 0.0 if every else SAVE_EVERY_S
    rungs = None if isinstance(store, Followed) else Rungs(study, store.run.trials)
    ahead, order = settings.ahead, settings.order
    trials = study.run(
        settings.budget,
        executor=pool,
        in_flight=ahead,
        order=order,
        past=past,
        elapsed_s=elapsed,
        begin=store.begin if alone else None,
        replayed=partial(_save, study, store),
    )
    try:
        for trial in ticking(trials, settings.budget):
            store.append(trial, time.perf_counter() - started)
            if rungs is not None:
                rungs.add(trial)
                rungs.clear(over=False)
            yield trial
            now_s = time.perf_counter()
            if study.asked - saved >= min([*every, SAVE_EVERY]) and now_s - saved_s >= at_most_s:
                _save(study, store)
                saved, saved_s = study.asked, now_s
    except (Exception, KeyboardInterrupt):
        with suppress(StoreError):  # the first error is the one to tell
            store.interrupted()
        raise
    if study.stopped or study.asking:
        store.interrupted()
        store.note(STOP, stopped(study, time.perf_counter() - started).to_json())
    elif rungs is not None:
        rungs.clear(over=True)


def stopped(study: Study, at_s: float) -> Stopped:
    """What a study was doing when its time was up."""
    return Stopped(at_s, tuple((number, str(proposal.arch)) for number, proposal in study.stopped), study.asking)


def _save(study: Study, store: RunStore) -> None:
    """Save the strategy, if it can be, with the state of the loop."""
    if isinstance(study.strategy, Checkpointed):
        store.save_strategy(study.strategy, study)


@contextmanager
def _watched(
    workers: int | str | Pool, on_event: Listener | None, on_note: Callable[[str], None] | None
) -> Iterator[Pool]:
    """The executor of a search, with who wants to know what it does: one who is told no events gets notes of them."""

    def noted(event: Event) -> None:
        if on_note is not None and isinstance(event, Progress):
            on_note(event.text)

    with at_work(workers) as pool:
        if on_event is not None or on_note is not None:
            pool.on_event(noted if on_event is None else on_event)
        yield pool


def _header(command: str | None, role: str) -> dict[str, Any]:
    return {
        "ogive": catalog.version(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "role": role,
        "machine": facts(),
    }


def _inputs(parts: Parts, settings: Settings) -> dict[str, Any]:
    """Digests of the table, the data and given weights, so that a resumed run is known to see the same ones."""
    digests: dict[str, Any] = {}
    for name, wanted in (("table", settings.table), ("data", settings.data)):
        if wanted is not None:
            digests[f"{name}_digest"] = parts.context[name].digest
    inside = itertools.chain(walk(parts.evaluator), walk(parts.strategy))
    files = {part.digest for part in inside if isinstance(part, Digested)}
    if files:
        digests["weights_digest"] = ", ".join(sorted(files))
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


def budget_in_force(run: Run) -> Budget:
    """The budget of a run: the last one granted. run.json is written once, so later ones stand beside it."""
    granted = run.granted
    try:
        return settings_of(run.config).budget if granted is None else Budget(**granted)
    except (ValueError, TypeError) as error:
        path = run.artifacts / BUDGET
        raise StoreError(f"{path} is damaged ({in_line(error)}): delete it and give --budget again.") from error


def _granted(store: RunStore, wanted: Budget | None) -> Budget:
    """The budget in force from now on, which is the `wanted` one if there is one."""
    granted = budget_in_force(store.run)
    if wanted is None or wanted == granted:
        return granted
    spent = store.run.spent()
    if spent.trials > (wanted.trials or math.inf) or spent.cost.benchmark_s > (wanted.benchmark_s or math.inf):
        raise SpecError(
            f"{store.folder} has spent {counted(spent.trials, 'trial')} and {spent.cost.benchmark_s:g} benchmark "
            f"seconds already, more than a budget of {wanted}: give a larger one."
        )
    store.note(BUDGET, wanted.to_json())
    return wanted
