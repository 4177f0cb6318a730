"""The sections of the page that are tables: candidates, epochs of a supernet, failures, environment, commands."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence

from ogive.core.architecture import Architecture
from ogive.core.metric import Metric
from ogive.core.space import Choice, SearchSpace
from ogive.core.trial import Trial
from ogive.reporting.drawing import family
from ogive.reporting.evidence import comparisons, origin, resume_command, sources
from ogive.reporting.facts import Facts
from ogive.reporting.markup import (
    Html,
    alike,
    badge,
    duration,
    joined,
    number_cell,
    section,
    table,
    tag,
    title,
    told_alike,
)
from ogive.reporting.member import Member, score
from ogive.reporting.scatter import Album

__all__ = [
    "data_section",
    "environment_section",
    "epochs_section",
    "failures_section",
    "reproduce_section",
    "skip_connections",
    "trials_section",
    "weightless_cells",
]

TRIALS = 50
FAILURES = 50
SOUGHT = ("space", "world", "strategy", "evaluator", "objectives", "where", "prefer", "budget")
GIVEN = ("data", "table", "weights", "skeleton", "seed", "in_flight", "order", "role")


# -- trials -----------------------------------------------------------------------------------------------------------


class Columns:
    """What a table says of some trials: scores that several metrics make, all that was measured, and the seconds.

    All cells of a column have as many decimals.
    """

    def __init__(self, runs: Iterable[Member], metrics: Iterable[Metric], trials: Sequence[Trial]) -> None:
        members = list(runs)
        measured = {name for one in members for trial in one.working for name in trial.metrics}
        sought = [(rank, found) for one in members for rank, found in enumerate(one.sought)]
        shown = [metric for metric in metrics if metric.name in measured]
        composed = {rank: found.written for rank, found in reversed(sought) if found.metric is None}
        directed = {found.metric.name: found.noun for _, found in sought if found.metric is not None}
        self.headers = [f"score: {composed[rank]}" for rank in sorted(composed)]
        self.headers += [directed.get(metric.name, title(metric)) for metric in shown] + ["seconds"]
        columns = [_cells([score(trial, rank) for trial in trials]) for rank in sorted(composed)]
        for metric in shown:
            values = [trial.metrics.get(metric.name, math.nan) for trial in trials]
            columns.append(_cells(values, metric))
        columns.append(_cells([trial.cost.wall_s for trial in trials]))
        self.rows: list[list[Html]] = [list(row) for row in zip(*columns, strict=True)]


def _cells(values: Sequence[float], metric: Metric | None = None) -> list[Html]:
    known = [None if not math.isfinite(value) else value for value in values]
    texts = alike(known) if metric is None else told_alike(metric, known)
    return [number_cell(value, text) for value, text in zip(values, texts, strict=True)]


def trials_section(facts: Facts, album: Album) -> Html:
    """The best trials of all runs, sortable; architectures show their pictures."""
    runs, several = facts.runs, any(len(one.sought) > 1 for one in facts.runs)
    front = {trial.arch for _, trial in facts.front} if several else set()
    working = sorted(
        ((one, trial) for one in runs for trial in one.working),
        key=lambda pair: (pair[1].arch not in front, -score(pair[1])),
    )
    first = {trial.arch: trial for _, trial in reversed(working)}
    ranked = [(one, trial) for one, trial in working if first[trial.arch] is trial][:TRIALS]
    shown_runs = [one for one in runs if any(one is shown for shown, _ in ranked)]
    columns = Columns(shown_runs, facts.metrics, [trial for _, trial in ranked])
    rows = []
    for (one, trial), cells in zip(ranked, columns.rows, strict=True):
        arch = tag("span", str(trial.arch), data_point=album.add(one, trial, picture=True), tabindex=0, class_="mono")
        place = ["on it" if trial.arch in front else "–"] if several else []
        rows.append([badge(one.tag), number_cell(trial.number), arch, *place, *cells])
    text = (
        f"{len(working):,} candidates were measured, {len(first):,} of them different. Here are the best "
        f"{len(ranked)}, each with its best trial{', those of the Pareto front first' if several else ''}. Click on a "
        "heading to sort."
    )
    headers = ["Run", "Trial", "Architecture", *(["Front"] if several else []), *columns.headers]
    listed = table(headers, rows, sortable=True)
    return section("trials", "Candidates", tag("p", text), listed, sources(runs))


def failures_section(facts: Facts) -> Html:
    """Failed trials with their reasons."""
    runs, failures = facts.runs, facts.failures
    failed = sum(map(len, failures.values()))
    evaluated = sum(len(one.evaluated) for one in runs)
    screened, infeasible = (sum(one.count(status) for one in runs) for status in ("screened", "infeasible"))
    text = f"{failed:,} of {evaluated:,} evaluated candidates failed."
    limits = " and ".join(dict.fromkeys(str(limit) for one in runs for limit in one.run.constraints))
    text += f" {infeasible:,} more do not keep {limits}, and so cannot win." if limits else ""
    text += f" {screened:,} more were screened out by a cheap score and not evaluated." if screened else ""
    cut = dict.fromkeys(f" {one.run.stopped}" for one in runs if one.run.stopped is not None)
    text += "".join(cut)
    rows = [
        [
            reason,
            f"{len(members):,}",
            ", ".join(f"[{one.tag}] {trial.number}" for one, trial in members[:8]) + (" …" if len(members) > 8 else ""),
        ]
        for reason, members in list(failures.items())[:FAILURES]
    ]
    listed = table(["Reason", "How often", "Run and trial"], rows) if rows else None
    return section("failures", "Failures", tag("p", text), listed, sources(runs))


# -- data --------------------------------------------------------------------------------------------------------------


def data_section(facts: Facts) -> Html | None:
    """What the runs were searched on: how much of what there is, and how it is divided; None where nobody noted it."""
    told: dict[str, tuple[str, ...]] = {}
    for one in facts.runs:
        name, lines = one.config.get("data"), one.config.get("data_summary")
        if name and lines:
            told.setdefault(str(name), tuple(map(str, lines)))
    if not told:
        return None
    parts = [
        joined(tag("p", tag("code", name)), tag("ul", [tag("li", line) for line in lines]))
        for name, lines in told.items()
    ]
    best = facts.winner
    last = None
    if best is not None and best.trained and best.one.config.get("data"):
        held_out = bool(best.one.final.get("held_out"))
        trained_on = (
            "The winner's full training left the validation part out, and measured on it after each epoch."
            if held_out
            else "The winner's full training took the training and the validation part together."
        )
        last = tag("p", f"{trained_on} The test part was seen after it, once for each look.")
    rule = "The search learns from the training part and compares on the validation part; it never sees the test part."
    return section("data", "Data", parts, tag("p", rule), last)


# -- environment and commands -----------------------------------------------------------------------------------------


def environment_section(runs: Sequence[Member]) -> Html:
    """Versions, machine and settings; what all runs share is said once."""
    folded = [
        tag("details", tag("summary", heading), table(["", "Value"], rows))
        for heading, keys in (("Settings", (*SOUGHT, *GIVEN)), ("Inputs", ("data_digest", "table_digest")))
        if (rows := _shared(runs, keys))
    ]
    machine = table(["", "Value"], _shared(runs, ("ogive", "machine", "device", "threads", "workers")))
    return section("environment", "Environment", machine, folded, sources(runs))


def _shared(runs: Sequence[Member], keys: Iterable[str]) -> list[list[str]]:
    """Settings as rows; a setting that differs between runs has one row a value, with the tags of its runs."""
    values: dict[str, dict[str, list[str]]] = {}
    for one in runs:
        for name, value in _flat({key: one.config.get(key) for key in keys}):
            values.setdefault(name, {}).setdefault(value, []).append(one.tag)
    return [
        [name, value if len(tags) == len(runs) else f"{value} [{', '.join(tags)}]"]
        for name, found in values.items()
        for value, tags in found.items()
    ]


def _flat(value: object, prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as lines: ``{"a": {"b": 1}}`` becomes ``[("a.b", "1")]``; empty ones are left out."""
    if isinstance(value, Mapping):
        return [
            line for key, inner in value.items() for line in _flat(inner, f"{prefix}.{key}" if prefix else f"{key}")
        ]
    if value is None or value == "" or value == []:
        return []
    if isinstance(value, list):
        return [(prefix, ", ".join(str(item) for item in value))]
    return [(prefix, str(value))]


def reproduce_section(facts: Facts, page: str) -> Html:
    """The commands that made the runs, the winner and this page."""
    runs, best = facts.runs, facts.winner
    folders = [shlex.quote(str(one.run.folder)) for one in runs]
    python = [one for one in runs if not one.config.get("command") and not one.compared]
    lines = [origin(one) for one in runs if one.config.get("command") or not one.compared]
    lines += [resume_command(one) for one in runs if one.run.granted is not None]
    lines += comparisons(runs)
    # The winner of a table has no images to be trained on, unless the user names some.
    if best is not None and (best.trained or (best.one.config.get("data"))):
        folder = shlex.quote(str(best.one.run.folder))
        lines.append(str(best.one.final.get("command") or best.one.way_to_train))
        lines.append(f"ogive export {folder} --to torch,onnx,export")
    ranked = [f" --objective {shlex.quote(text)}" for text in runs[0].run.ranked]
    lines.append(f"ogive report {' '.join(folders)}{''.join(ranked)} --out {shlex.quote(page)}")
    # One command may have made several runs.
    commands = list(dict.fromkeys(lines))
    again = "ogive resume FOLDER"
    chances = [chance for one in runs for chance in one.run.chances]
    same = "Clocks and latencies will differ, trials will not." if not chances else "Trials will differ."
    words = " ".join([*dict.fromkeys(chances), same])
    said: tuple[str | Html, ...] = ("An interrupted run goes on with ", tag("code", again), ". ", words)
    if python:
        tags = ", ".join(f"[{one.tag}]" for one in python)
        said = (*said, f" {tags} started from Python: the command here does the same.")
    pre = tag("pre", "\n".join(commands))
    return section("reproduce", "How to reproduce", tag("p", *said), pre, tag("h3", "Runs"), _runs_table(runs))


def _runs_table(runs: Sequence[Member]) -> Html:
    """One line a run: folder, strategy, seed, what became of its trials."""
    best = [score(one.final_best) if one.best else None for one in runs]
    alone = [one.sought[0].alike([value])[0] for one, value in zip(runs, best, strict=True)]
    one_metric = len({one.sought[0] for one in runs}) == 1
    bests = runs[0].sought[0].alike(best) if one_metric else alone
    rows: list[list[str | Html]] = [
        [
            badge(one.tag),
            str(one.run.folder),
            one.strategy,
            one.seed,
            *(str(one.count(status)) for status in ("ok", "failed", "screened")),
            reached_best,
            duration(one.run.elapsed_s),
            str(one.config.get("created", "")),
        ]
        for one, reached_best in zip(runs, bests, strict=True)
    ]
    same = len({one.sought[0].written for one in runs}) == 1
    several = any(len(one.sought) > 1 for one in runs)
    of_best = f"Its best: {runs[0].sought[0].noun}" if several else f"Best {runs[0].sought[0].noun}"
    reached = of_best if same else "Its best, by its first objective"
    headers = ["Run", "Folder", "Strategy", "Seed", "Measured", "Failed", "Screened out", reached, "Time", "Begun"]
    return table(headers, rows, sortable=True)


# -- epochs of a supernet ----------------------------------------------------------------------------------------------

SKIP = "skip_connect"
WEIGHTLESS = frozenset({"none", "skip", "pool"})


def skip_connections(space: SearchSpace, arch: Architecture) -> tuple[int, int]:
    """How many of the operations that an architecture chooses are skip connections, and how many could be."""
    chosen = [op for ops in _chosen(space, arch).values() for op in ops]
    return chosen.count(SKIP), len(chosen)


def weightless_cells(space: SearchSpace, arch: Architecture) -> tuple[int, int]:
    """In how many of the cells that an architecture chooses no operation has weights, and how many cells there are.

    A skip connection that halves the image has some in many networks; it counts as one without, as in the papers.
    """
    cells = _chosen(space, arch).values()
    return sum(WEIGHTLESS.issuperset(map(family, ops)) for ops in cells), len(cells)


def _chosen(space: SearchSpace, arch: Architecture) -> dict[str, list[str]]:
    """The chosen operations of each cell, where one could be a skip connection."""
    cells: dict[str, list[str]] = {}
    for variable, choice in zip(space.variables, arch.choices, strict=True):
        if isinstance(variable, Choice) and SKIP in variable.options:
            # "normal.3.lower" belongs to the cell "normal"; where there is one cell, its edges are called "0>1".
            cell = variable.name.partition(".")[0] if "." in variable.name else ""
            cells.setdefault(cell, []).append(str(variable.options[int(choice)]))
    return cells


def epochs_section(facts: Facts) -> Html | None:
    """For each search that answers with its last epoch, the cell of every epoch; None if there is no such."""
    shown = [one for one in facts.runs if one.answer == "last" and _chooses_operations(one)]
    if not shown:
        return None
    text = (
        "Each proposal is what the search would have derived after that epoch. The paper of such a strategy takes the "
        "last one: the best of all epochs was chosen with the measurements of this run."
    )
    parts = [_of_run(one, one.space, facts) for one in shown if one.space is not None]
    return section("epochs", "Epochs of the supernet", tag("p", text), parts, sources(shown))


def _chooses_operations(one: Member) -> bool:
    return one.space is not None and bool(one.evaluated) and skip_connections(one.space, one.evaluated[0].arch)[1] > 0


def _of_run(one: Member, space: SearchSpace, facts: Facts) -> Html:
    columns = Columns([one], facts.metrics, one.evaluated)
    rows = []
    for place, (trial, cells) in enumerate(zip(one.evaluated, columns.rows, strict=True), start=1):
        skips, among = skip_connections(space, trial.arch)
        arch, chosen = tag("span", str(trial.arch), class_="mono"), number_cell(skips, f"{skips} of {among}")
        rows.append([number_cell(place, str(place)), arch, chosen, *cells])
    headers = ["Epoch", "Derived", "Skip connections", *columns.headers]
    heading = tag("p", badge(one.tag), f" {one.strategy}, seed {one.seed}. {_collapse(one.evaluated, space)}")
    return joined(heading, table(headers, rows, sortable=True))


def _collapse(trials: Sequence[Trial], space: SearchSpace) -> str:
    """Whether, and from when on, nothing that was chosen has weights."""
    counts = [weightless_cells(space, trial.arch) for trial in trials]
    whole = [empty == cells for empty, cells in counts]
    if not any(whole):
        some = sum(empty > 0 for empty, _ in counts)
        if not some:
            return "It did not collapse: every derived cell has an operation with weights."
        return (
            "It did not collapse as a whole, since some operation with weights is left after every epoch. But after "
            f"{some} of {len(trials)} epochs there is a cell without any."
        )
    since = whole.index(True) + 1
    ever = " and ever after" if all(whole[since - 1 :]) else ""
    skips, among = skip_connections(space, trials[since - 1].arch)
    what = "a skip connection" if skips == among else "a skip connection, a pooling or none"
    said = f"in epoch {since} every operation is {what}."
    return f"It collapsed: in epoch {since}{ever} no operation has weights; {said}"
