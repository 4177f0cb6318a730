"""``ogive search``, ``resume`` and ``compare``: the commands that run searches."""

from __future__ import annotations

import math
import shlex
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ogive import catalog
from ogive.choice import limits_of
from ogive.cli.show import Bar, console, measured, number, table
from ogive.cli.summary import print_dry_run, print_summary
from ogive.cli.watching import Reading, SearchProgress
from ogive.comparison import Comparison, check, compare, slug
from ogive.core.errors import SpecError, UnknownName, in_line, quoted
from ogive.core.graph import DISCONNECTED
from ogive.core.metric import LATENCY, LATENCY_CPU, decimals, was_busy
from ogive.core.objective import Maximize, Minimize
from ogive.core.trial import Trial, counted, duration
from ogive.metrics import Interval
from ogive.run_store import refuse_taken
from ogive.runs import HOLD, Run, read_run, way_to_resume
from ogive.session import (
    Settings,
    assemble,
    budget_in_force,
    budget_of,
    going_on,
    isolated,
    resume,
    search,
    unfinished,
    watch_of,
)
from ogive.spec import parse_data

__all__ = ["Prefer", "command_line", "reached", "register"]

Space = Annotated[str | None, typer.Option("--space", help="The search space; `ogive list` names them.")]
Evaluator = Annotated[str | None, typer.Option("--evaluator", help="How candidates are measured.")]
Objective = Annotated[
    list[str] | None, typer.Option("--objective", help="What to maximise; repeat for a Pareto front.")
]
Where = Annotated[
    list[str] | None,
    typer.Option("--where", help='A constraint, "latency_ms<=5": what breaks it never wins. Repeat for several.'),
]
Prefer = Annotated[
    list[str] | None, typer.Option("--prefer", help='Limits of the best, "latency_ms<=5".  [default: knee of a front]')
]
BudgetText = Annotated[str | None, typer.Option("--budget", help="200 trials, 15m, 2h, benchmark=1e5, 600 epochs, …")]
SeedNumber = Annotated[int | None, typer.Option("--seed", help="The root of all randomness.  [default: 0]")]
DataName = Annotated[str | None, typer.Option("--data", help="digits, images:FOLDER, csv:FILE(target=price), …")]
TableName = Annotated[str | None, typer.Option("--table", help="An imported benchmark table, or its folder.")]
Weights = Annotated[
    str | None, typer.Option("--weights", help="supernet(epochs=20), … for every part that wants some.")
]
Channels = Annotated[int | None, typer.Option("--channels", help="Width of the networks.")]
Cells = Annotated[int | None, typer.Option("--cells", help="Depth of the networks.")]
Device = Annotated[str | None, typer.Option("--device", help="cpu, cuda, cuda:1, …  [default: cpu]")]
Threads = Annotated[int | None, typer.Option("--threads", help="Threads of each process.")]
Workers = Annotated[
    str | None,
    typer.Option(
        "--workers", help="Processes, or an executor: 4, processes(4, trial_limit=10m), ray(gpus=1) on a cluster."
    ),
]
InFlight = Annotated[
    int | None, typer.Option("--in-flight", help="Proposals in flight.  [default: 4 a worker; 1 of 1]")
]
Order = Annotated[
    str | None,
    typer.Option(
        "--order", help="Tell trials by number, or as they finish, which is not reproducible: number, finish."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done and how long it takes; do nothing.")]

SkipBroken = Annotated[bool, typer.Option("--skip-broken", help="Leave out unreadable pictures; say how many.")]

# The keys of a recipe, and what each of them takes.
_KEYS = {
    **dict.fromkeys(("space", "strategy", "evaluator", "data", "table", "weights", "device", "order"), "text"),
    **dict.fromkeys(("seed", "channels", "cells", "threads", "in_flight"), "a whole number"),
    "workers": "text or a whole number",
    **dict.fromkeys(("objective", "where", "prefer"), "text or a list of texts"),
    "budget": "text or a whole number",
}


def register(app: typer.Typer) -> None:
    """Add the commands of this file to the application."""
    app.command("search", short_help="Search for an architecture; store every trial.")(search_command)
    app.command("resume", short_help="Go on with a search, or give it more budget.")(resume_command)
    app.command("compare", short_help="Compare strategies on equal budgets and seeds.")(compare_command)


def search_command(
    space: Space = None,
    strategy: Annotated[str | None, typer.Option("--strategy", help="Who to try next.  [default: evolution]")] = None,
    evaluator: Evaluator = None,
    objective: Objective = None,
    where: Where = None,
    prefer: Prefer = None,
    budget: BudgetText = None,
    seed: SeedNumber = None,
    data: DataName = None,
    skip_broken: SkipBroken = False,
    table: TableName = None,
    weights: Weights = None,
    channels: Channels = None,
    cells: Cells = None,
    device: Device = None,
    threads: Threads = None,
    workers: Workers = None,
    in_flight: InFlight = None,
    order: Order = None,
    recipe: Annotated[Path | None, typer.Option("--recipe", help="A TOML file with the same keys.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The run folder.  [default: runs/SPACE-STRATEGY-seedN]")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Search for an architecture, and store every trial in a run folder.

    Example: ogive search --space nasbench201 --table nasbench201 --budget 200

    Example: ogive search --space nasbench201 --data digits --channels 8 --cells 1 --budget 20

    Example: ogive search --space nasbench201 --data images:photos --evaluator "together(trained(epochs=10), latency)"
    --objective "latency_tradeoff(target_ms=5)" --budget 2h --workers "processes(2, trial_limit=10m)"

    Example: ogive search --space nasbench201 --data digits --evaluator "together(trained(epochs=10), latency)"
    --where "latency_ms<=5" --where "params<=500000" --budget 2h
    """
    flags = {
        "space": space, "strategy": strategy, "evaluator": evaluator, "objective": objective, "where": where,
        "prefer": prefer,
        "budget": budget, "seed": seed, "data": data, "table": table, "weights": weights, "channels": channels,
        "cells": cells, "device": device, "threads": threads, "workers": workers, "in_flight": in_flight,
        "order": order,
    }  # fmt: skip
    given = {key: value for key, value in flags.items() if value is not None}
    settings = _settings({**_recipe(recipe), **given}, skip_broken=skip_broken)
    if dry_run:
        with Reading(settings.data) as reading:
            parts = assemble(settings, on_read=reading)
        print_dry_run(parts, settings, [])
        return
    folder = out or _free_folder(settings)
    refuse_taken(folder)
    try:
        with Reading(settings.data) as reading:
            parts = assemble(settings, folder=unfinished(folder), on_read=reading)
        settings = isolated(settings, parts)
        print_summary(parts, settings)
        watch = watch_of(settings, parts)
        with SearchProgress(watch, folder):
            run = search(
                settings,
                folder,
                command=command_line(),
                on_trial=watch.trial,
                on_note=watch.note,
                on_event=watch.event,
                parts=parts,
            )
    except KeyboardInterrupt:
        _interrupted(folder)
    _print_found(run)


def resume_command(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    budget: BudgetText = None,
    prefer: Prefer = None,
    data: DataName = None,
    device: Device = None,
    threads: Threads = None,
    workers: Workers = None,
) -> None:
    """Go on with an interrupted search, or with a finished one under a larger budget.

    Example: ogive resume runs/nasbench201-evolution-seed0 --budget 400 --workers 2
    """
    before = read_run(run, hold=HOLD)
    granted = None if budget is None else budget_of(budget)
    settings = going_on(before, workers=workers, device=device, threads=threads, data=data)
    for chance in before.chances:
        console.print(f"{chance} An uninterrupted run might have found something else.")
    try:
        with Reading(settings.data) as reading:
            parts = assemble(settings, folder=unfinished(run), on_read=reading)
        limits = limits_of(prefer) if prefer else before.limits
        settings = isolated(replace(settings, budget=granted or budget_in_force(before)), parts)
        watch = watch_of(settings, parts, before, limits)
        with SearchProgress(watch, run):
            finished = resume(
                run,
                budget=granted,
                prefer=prefer or (),
                workers=settings.workers,
                device=device,
                threads=threads,
                data=data,
                on_trial=watch.trial,
                on_note=watch.note,
                on_event=watch.event,
                parts=parts,
                before=before,
            )
    except KeyboardInterrupt:
        _interrupted(run)
    console.print(f"{counted(len(finished.records) - len(before.records), 'new trial')}.")
    _print_found(finished)


def compare_command(
    strategies: Annotated[list[str], typer.Argument(help="Strategies; random search is always added.")],
    space: Space = None,
    evaluator: Evaluator = None,
    objective: Objective = None,
    where: Where = None,
    prefer: Prefer = None,
    budget: BudgetText = None,
    seeds: Annotated[int, typer.Option("--seeds", help="How many seeds each strategy gets.")] = 10,
    seed: SeedNumber = None,
    data: DataName = None,
    skip_broken: SkipBroken = False,
    table: Annotated[
        list[str] | None, typer.Option("--table", help="An imported benchmark table; repeat for ranks over several.")
    ] = None,
    weights: Weights = None,
    channels: Channels = None,
    cells: Cells = None,
    device: Device = None,
    threads: Threads = None,
    workers: Workers = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Keep every search, comparison.json and a page here.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Compare strategies on equal budgets and seeds, always with random search among them.

    Example: ogive compare random evolution --space nasbench201 --table nasbench201 --budget 200 --seeds 50

    On several tables, each searched in its own space, with mean ranks, Friedman's test and Nemenyi's difference:

    Example: ogive compare random evolution --table nasbench201 --table nats_size --budget 200 --seeds 20 --out ranks
    """
    flags = {
        "space": space, "evaluator": evaluator, "objective": objective, "where": where, "prefer": prefer,
        "budget": budget, "seed": seed, "data": data, "weights": weights, "channels": channels, "cells": cells,
        "device": device, "threads": threads,
    }  # fmt: skip
    given = {key: value for key, value in flags.items() if value is not None}
    tables = table or []
    if len(tables) < 2:
        settings = _settings(given | ({"table": tables[0]} if tables else {}), skip_broken=skip_broken)
        _compared(strategies, settings, seeds, workers or 1, out, dry_run=dry_run)
        return
    twice = sorted({name for name in tables if tables.count(name) > 1})
    if twice:
        raise SpecError(f"Each table is searched once, but {', '.join(twice)} is given twice.")
    found: dict[str, Comparison] = {}
    for name in tables:
        of_table: dict[str, Any] = {"table": name, "space": space or catalog.load("open_table")(name).space}
        settings = _settings(given | of_table, skip_broken=skip_broken)
        folder = None if out is None else out / slug(name)
        result = _compared(strategies, settings, seeds, workers or 1, folder, dry_run=dry_run)
        if result is not None:
            found[name] = result
    if not dry_run:
        _print_across(found, out)


def _compared(
    strategies: Sequence[str], settings: Settings, seeds: int, workers: int | str, folder: Path | None, *, dry_run: bool
) -> Comparison | None:
    """One comparison, printed, and kept where there is a folder; nothing of a dry run."""
    everybody, notes = checked = check(strategies, settings, seeds=seeds, workers=workers)
    names = list(everybody)
    shown = replace(settings, strategy=names[-1], workers=workers)
    if dry_run:
        print_dry_run(assemble(shown), shown, names, seeds)
        _print_notes(notes)
        return None
    try:
        print_summary(everybody[names[-1]], shown, names, seeds)
        with Bar("searches", None) as bar:
            result = compare(
                strategies,
                settings,
                seeds=seeds,
                workers=workers,
                folder=folder,
                command=command_line(),
                progress=lambda done, total: bar.at(done, total=total),
                checked=checked,
            )
    except KeyboardInterrupt:
        way = f"; the finished searches are kept in {folder}, and the same command completes them" if folder else ""
        console.print(f"Interrupted{way}.")
        raise typer.Exit(130) from None
    _print_comparison(result)
    if folder is not None:
        kept = catalog.load("keep_comparison")(result, folder)
        console.print(f"kept: {', '.join(map(str, kept))}")
    return result


def _print_across(found: Mapping[str, Comparison], out: Path | None) -> None:
    """Ranks over the tables, what the tests say of them, and what was kept."""
    joined, kept = (catalog.load("across")(found), []) if out is None else catalog.load("keep_across")(found, out)
    names = list(joined.mean_ranks)
    rows = [
        (place, *(f"{dict(zip(joined.strategies, ranks, strict=True))[name]:g}" for name in names))
        for place, ranks in zip(joined.tables, joined.ranks, strict=True)
    ]
    rows.append(("mean rank", *(f"{rank:.2f}" for rank in joined.mean_ranks.values())))
    console.print()
    table("ranks by table, 1 is best", ("table", *(f"{name}>" for name in names)), rows)
    pairs = [
        (f"{pair.first} – {pair.second}", f"{pair.ranks:+.2f}", f"{pair.p_value:.4f}", f"{pair.adjusted_p_value:.4f}")
        for pair in joined.pairs
    ]
    table("Wilcoxon's signed-rank tests over tables", ("pair", "difference of ranks>", "p>", "p (Holm)>"), pairs)
    console.print(f"{joined.verdict} Nemenyi's critical difference at 5 %: {joined.critical_difference:.2f}.")
    if kept:
        console.print(f"kept: {', '.join(map(str, kept))}")


def command_line() -> str:
    """The command as it was typed, to be copied."""
    return shlex.join(["ogive", *sys.argv[1:]])


# -- settings ---------------------------------------------------------------------------------------------------------


def _skipping(data: str | None) -> str:
    """The data as they stand in run.json, with the option that a flag is short for."""
    if data is None:
        raise SpecError("--skip-broken leaves out pictures of --data images:FOLDER: give both.")
    return f"{data.rstrip()[:-1]}, skip_broken=true)" if parse_data(data)[1] else f"{data}(skip_broken=true)"


LONGEST = 2**20


def _recipe(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        with path.open("rb") as file:  # of a device there is no end
            raw = file.read(LONGEST + 1)
        if len(raw) > LONGEST:
            raise SpecError(f"The recipe {path} is longer than {LONGEST:,} bytes, which no recipe is.")
        entries = tomllib.loads(raw.decode())
    except OSError as error:
        raise SpecError(f"The recipe {path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, a number of thousands of digits
        raise SpecError(f"The recipe {path} is no TOML: {in_line(error)}.") from error
    for key, value in entries.items():
        if key not in _KEYS:
            raise UnknownName("key of a recipe", key, _KEYS)
        if not _fits(value, _KEYS[key]):
            raise SpecError(f"The recipe {path} must give {key} as {_KEYS[key]}, but gives {quoted(value)}.")
    return entries


def _fits(value: object, wanted: str) -> bool:
    if isinstance(value, list):
        return wanted == "text or a list of texts" and all(isinstance(item, str) for item in value)
    kinds = {"a whole number": (int,), "text or a whole number": (str, int)}.get(wanted, (str,))
    return isinstance(value, kinds) and not isinstance(value, bool)


def _settings(entries: dict[str, Any], *, skip_broken: bool) -> Settings:
    if "space" not in entries:
        raise SpecError("A search needs a space: give --space nasbench201 (`ogive list` names them all).")
    plain = dict(entries)
    if skip_broken:
        plain["data"] = _skipping(plain.get("data"))
    for key, name in (("objective", "objectives"), ("where", "where"), ("prefer", "prefer")):
        texts = plain.pop(key, None)
        if texts is not None:
            plain[name] = (texts,) if isinstance(texts, str) else tuple(texts)
    if "budget" in plain:
        plain["budget"] = budget_of(str(plain["budget"]))
    return Settings(**plain)


def _free_folder(settings: Settings) -> Path:
    strategy = settings.strategy.partition("(")[0]
    stem = f"{settings.space}-{strategy}-seed{settings.seed}"
    tries = (Path("runs") / (stem if count == 1 else f"{stem}-{count}") for count in range(1, 10_000))
    return next(path for path in tries if not path.exists())


# -- words ------------------------------------------------------------------------------------------------------------


def _interrupted(folder: Path) -> None:
    if not (folder / "run.json").exists():
        console.print("Interrupted before the first trial; nothing was stored.")
        raise typer.Exit(130)
    again = shlex.join(["ogive", "resume", str(folder)])
    console.print(f"Interrupted. Every finished trial is stored; go on with: {again}")
    raise typer.Exit(130)


def _print_found(run: Run) -> None:
    choice, failed, screened = run.choice, run.count("failed"), run.count("screened")
    done = counted(len(run.records) - screened, "trial")
    unlinked = sum(trial.measurement.error == DISCONNECTED for trial in run.failed)
    why = f", {unlinked} of them with {DISCONNECTED}" if unlinked else ""
    beyond = f"{run.count('infeasible')} infeasible, " if run.constraints else ""
    console.print(f"{done} ({failed} failed{why}, {beyond}{screened} screened out) in {duration(run.elapsed_s)}")
    if run.stopped is not None:
        console.print(f"{run.stopped} A larger budget goes on: {way_to_resume(run.folder)} --budget ...")
    if run.config.get("world") is not None:
        console.print(
            f"Searched in a {run.config['world']}; {run.projections:,} proposals were projected onto its rows."
        )
    winner = choice.trial
    if winner is None:
        measured_some = run.count("ok") or run.count("infeasible")
        console.print(choice.missing if measured_some else _why_nothing(run.trials), highlight=False)
        raise typer.Exit(1)
    space = assemble_space(run)
    winner = run.final(winner)  # with what was measured last, by which it was chosen
    console.print(_best_of(run, winner, choice.rule), highlight=False)
    size = ", ".join(f"{key}={value}" for key, value in run.config["skeleton"].items() if value is not None)
    console.print(f"      {space.format(winner.arch)}{f'   in networks of {size}' if size else ''}")
    for sentence in run.guessing:
        console.print(f"      {sentence}", highlight=False)
    _print_remeasured(run, winner)
    _print_doubt(run, winner)
    table("", ("metric", "value>"), [(name, measured(name, value)) for name, value in winner.metrics.items()])
    console.print(f"run:  {run.folder}   next: {shlex.join(['ogive', 'report', str(run.folder)])}")


def _print_remeasured(run: Run, winner: Trial) -> None:
    """What was measured of the winner once more, side by side with the other finalists."""
    final = run.remeasured
    if winner.number not in final:
        return
    now = final[winner.number].metrics
    searched = run.trial(winner.number)
    before = {} if searched is None else searched.metrics
    values = (
        f"{name} {measured(name, now[name])} (in the search {measured(name, before[name])})"
        for name in run.config.get("unrepeatable") or [LATENCY.name]
        if name in now and name in before
    )
    others = len({trial.arch for trial in final.values()}) - 1
    beside = f", side by side with {counted(others, 'other finalist')}" if others else ""
    console.print(f"      measured again{beside}: {', '.join(values)}", highlight=False)


def _print_doubt(run: Run, winner: Trial) -> None:
    """Where the winner's latency, as it was measured last, is not that of the network alone."""
    if run.config.get("device") not in (None, "cpu") or not was_busy(winner.metrics):
        return
    wall, worked = (measured(name, winner.metrics[name]) for name in (LATENCY.name, LATENCY_CPU.name))
    again = shlex.join(["ogive", "latency", str(run.folder)])
    console.print(
        f"      Its latency is in doubt: of {wall} ms the processor worked {worked} ms, for something else kept the "
        f"machine busy; {again} measures once more.",
        highlight=False,
    )


def _best_of(run: Run, winner: Trial, rule: str) -> str:
    """The winner, what it won by and by which rule; of several objectives also how many are on the front."""
    values = ", ".join(f"{name} {value}" for name, value in reached(run.objectives, winner))
    chosen = f"trial {winner.number}, {winner.arch}, {values}"
    by = f"\n      {rule}" if run.limits or len(run.objectives) > 1 else ""
    if len(run.objectives) > 1:
        count = counted(len(run.front), "trial")
        front = shlex.join(["ogive", "front", str(run.folder)])
        return f"front: {count} that no other beats; {front} lists them\nbest: {chosen}{by}"
    return f"best: {chosen}{by}{_last_epoch(run, winner)}"


def reached(objectives: Sequence[str], trial: Trial) -> list[tuple[str, str]]:
    """What a trial reached in each objective, for people: the metric or the objective as it is written, and a value."""
    found = []
    for text, score in zip(objectives, trial.scores or (), strict=True):
        try:
            objective = catalog.build("objective", text)
        except SpecError:  # of somebody's own, named as they like
            objective = None
        name = objective.metric if isinstance(objective, (Maximize, Minimize)) else text
        found.append((name, measured(name, trial.metrics.get(name, score))))
    return found


def _last_epoch(run: Run, winner: Trial) -> str:
    """What a search that trains a supernet answers with itself, which is another question than what measured best."""
    if run.answer == "best":
        return ""
    last = run.evaluated[-1]
    if last.number == winner.number:
        return "\n      and the answer of the search itself, its last epoch"
    return (
        f"\n      chosen by the measurements of this run; the search itself answers with its last epoch: "
        f"trial {last.number}, {last.arch}"
    )


def _why_nothing(trials: Sequence[Trial]) -> str:
    if not trials:
        return "No trial is finished."
    reasons = [trial.measurement.error for trial in trials if trial.measurement.error]
    return f"No trial succeeded; the last reason: {reasons[-1] if reasons else 'unknown'}; trials.jsonl has all."


def assemble_space(run: Run) -> Any:
    """The space of a stored run."""
    return catalog.build("space", run.config["space"])


def _print_comparison(result: Comparison) -> None:
    score = "objective" if len(result.settings.objectives) == 1 else "hypervolume"
    reported = "reported" if result.reported is None else result.reported.name
    what = result.reported.title if result.value == "reported" and result.reported is not None else score
    found = result.rows()
    digits, beside = decimals(row.score for row in found), decimals(row.reported for row in found)
    rows = [
        (
            row.strategy,
            str(row.seeds),
            f"{number(row.score, digits)} {_interval(row.score_interval, digits)}",
            number(row.score_regret, digits),
            "–"
            if row.reported_interval is None
            else f"{number(row.reported, beside)} {_interval(row.reported_interval, beside)}",
            number(row.reported_regret, beside),
            str(row.failed),
        )
        for row in found
    ]
    objective = ", ".join(result.settings.objectives)
    where = result.settings.space if result.world is None else f"{result.settings.space} ({result.world})"
    title = f"{where}, {result.settings.budget}, mean [{result.interval_name}], {objective}"
    table(title, ("strategy", "seeds>", f"{score}>", "regret>", f"{reported}>", "regret>", "failed>"), rows)
    if result.world is not None:
        projected = ", ".join(
            f"{name} {sum(outcome.projections for outcome in result.of(name)):,}" for name in result.strategies
        )
        console.print(f"Regret is within a {result.world}. Proposals projected onto its rows: {projected}.")
    console.print()
    digits = beside if result.value == "reported" else digits
    pairs = [
        (
            f"{pair.first} – {pair.second}",
            f"{pair.difference:+.{digits}f} {_interval(pair.interval, digits, '+')}",
            f"{pair.p_value:.4f}",
            f"{pair.adjusted_p_value:.4f}",
        )
        for pair in result.pairs()
    ]
    table(f"paired permutation tests of the {what}", ("pair", "difference>", "p>", "p (Holm)>"), pairs)
    if len(result.settings.objectives) > 1 or result.settings.prefer:
        console.print(f"Of each search, the best is {result.rule}.", highlight=False)
    if len(result.seeds) < 5:
        console.print(f"{len(result.seeds)} seed(s) are no evidence; use at least 5.")
    _print_notes(result.notes)


def _interval(interval: Interval, digits: int, sign: str = "") -> str:
    """Both ends; a dash where one seed gives none."""
    if math.isnan(interval.low) or math.isnan(interval.high):
        return "[–]"
    return f"[{interval.low:{sign},.{digits}f}, {interval.high:{sign},.{digits}f}]"


def _print_notes(notes: Sequence[str]) -> None:
    for note in notes:
        console.print(note)
