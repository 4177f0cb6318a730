"""The sections of the page that follow the answer: charts, candidates, failures, environment, commands."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Sequence, Set

from ogive.core.architecture import Architecture
from ogive.core.trial import Trial
from ogive.report.blocks import cell, number_cell, sources, table, within
from ogive.report.commands import comparisons, makes_images
from ogive.report.findings import (
    Shown,
    Winner,
    failure_reasons,
    metric_names,
    pareto_trials,
    score,
)
from ogive.report.markup import Html, joined, tag
from ogive.report.objectives import goals_of, same_goal
from ogive.report.plots import Figure
from ogive.report.scatters import Album
from ogive.report.standings import ENOUGH_SEEDS, measure, standings
from ogive.report.wording import duration, flat, metric_name, number, value_of

__all__ = [
    "environment_section",
    "failures_section",
    "figure_section",
    "reproduce_section",
    "standings_section",
    "trials_section",
]

TRIALS = 50
FAILURES = 50


# -- evidence ---------------------------------------------------------------------------------------------------------


def figure_section(figure: Figure, runs: Sequence[Shown], *, after: Html | None = None) -> Html:
    """A chart with its buttons, its table and where its numbers come from."""
    shown_table = tag("details", tag("summary", "The numbers as a table"), table(figure.headers, figure.rows))
    drawing = tag(
        "figure",
        tag("div", id=f"picks-{figure.name}", class_="picks"),
        tag("div", id=f"chart-{figure.name}", class_="chart", role="img", aria_label=figure.summary),
        tag("figcaption", joined(figure.note, " ", within(runs))),
    )
    return tag("section", tag("h2", figure.title), drawing, shown_table, after, sources(runs), id=figure.name)


def standings_section(runs: Sequence[Shown]) -> Html:
    """Every strategy at equal numbers of evaluated candidates, and every run."""
    reached, sought = standings(runs), measure(runs)
    rows = [
        [
            one.strategy,
            str(one.seeds),
            str(one.trials),
            number(sought.value(one.mean)),
            sought.span(one.interval.low, one.interval.high) if one.interval else f"fewer than {ENOUGH_SEEDS} seeds",
            sought.span(one.low, one.high) if one.seeds > 1 else "–",
        ]
        for one in reached
    ]
    headers = [
        "Strategy",
        "Runs",
        "Candidates",
        f"Mean of {sought.heading}",
        "95 % interval",
        "Range",
    ]
    return joined(tag("h3", "At equal numbers of evaluated candidates"), table(headers, rows))


def runs_table(runs: Sequence[Shown]) -> Html:
    """One line a run: folder, strategy, seed, what became of its trials."""
    rows: list[list[str | Html]] = []
    for one in runs:
        best = one.best()
        rows.append(
            [
                tag("span", one.tag, class_="badge"),
                str(one.run.folder),
                one.strategy,
                one.seed,
                str(one.count("ok")),
                str(one.count("failed")),
                str(one.count("screened")),
                goals_of(one)[0].told(score(best)) if best and one.objectives else "–",
                duration(one.run.elapsed_s),
                str(one.config.get("created", "")),
            ]
        )
    sought = same_goal(runs)
    reached = f"Best {sought.noun}" if sought else "Best by its first objective"
    headers = ["Run", "Folder", "Strategy", "Seed", "Measured", "Failed", "Screened out", reached, "Time", "Begun"]
    return table(headers, rows, sortable=True)


# -- trials -----------------------------------------------------------------------------------------------------------


def trials_section(runs: Sequence[Shown], album: Album) -> Html:
    """The best trials of all runs, sortable; architectures show their pictures."""
    several = any(len(one.objectives) > 1 for one in runs)
    front = {trial.arch for _, trial in pareto_trials(runs)} if several else set[Architecture]()
    working = sorted(
        ((one, trial) for one in runs for trial in one.working),
        key=lambda pair: (pair[1].arch not in front, -score(pair[1])),
    )
    first = {trial.arch: (one, trial) for one, trial in reversed(working)}
    ranked = [(one, trial) for one, trial in working if first[trial.arch][1] is trial][:TRIALS]
    chosen = [one for one, _ in ranked]
    metrics = metric_names(chosen)
    composed = _composed(runs)
    sought = {found.metric: found.noun for one in runs for found in goals_of(one)}
    headers = ["Run", "Trial", "Architecture", *(["Front"] if several else [])]
    headers += [f"score: {name}" for name in composed.values()]
    headers += [sought.get(name, metric_name(name)) for name in metrics] + ["seconds"]
    rows = [_trial_row(one, trial, front if several else None, composed, metrics, album) for one, trial in ranked]
    text = (
        f"{len(working):,} candidates were measured, {len(first):,} of them different. Here are the best "
        f"{len(ranked)}, each with its best trial{', those of the Pareto front first' if several else ''}. Click on a "
        "heading to sort."
    )
    return tag(
        "section",
        tag("h2", "Candidates"),
        tag("p", text),
        table(headers, rows, sortable=True),
        sources(runs),
        id="trials",
    )


def _composed(runs: Sequence[Shown]) -> dict[int, str]:
    """The places of the objectives that are more than one metric, whose score a table has to show, with their names."""
    found: dict[int, str] = {}
    for one in runs:
        for rank, sought in enumerate(goals_of(one)):
            if sought.metric is None:
                found.setdefault(rank, sought.written)
    return found


def _trial_row(
    one: Shown,
    trial: Trial,
    front: Set[Architecture] | None,
    composed: Iterable[int],
    metrics: Sequence[str],
    album: Album,
) -> list[Html]:
    arch = tag("span", str(trial.arch), data_point=album.add(one, trial, picture=True), tabindex=0, class_="mono")
    cells = [cell(tag("span", one.tag, class_="badge")), number_cell(trial.number), cell(arch)]
    cells += [] if front is None else [cell("on it" if trial.arch in front else "–")]
    cells += [number_cell(score(trial, rank)) for rank in composed]
    cells += [
        number_cell(trial.metrics.get(name, math.nan), value_of(name, trial.metrics.get(name))) for name in metrics
    ]
    return [*cells, number_cell(trial.cost.wall_s)]


def failures_section(runs: Sequence[Shown]) -> Html:
    """Failed trials with their reasons."""
    reasons = failure_reasons(runs)
    failed = sum(len(members) for _, members in reasons)
    evaluated = sum(len(one.evaluated) for one in runs)
    screened = sum(one.count("screened") for one in runs)
    text = f"{failed:,} of {evaluated:,} evaluated candidates failed."
    text += f" {screened:,} more were screened out by a cheap score and not evaluated." if screened else ""
    rows = [
        [
            reason,
            f"{len(members):,}",
            ", ".join(f"[{one.tag}] {trial.number}" for one, trial in members[:8]) + (" …" if len(members) > 8 else ""),
        ]
        for reason, members in reasons[:FAILURES]
    ]
    listed = table(["Reason", "How often", "Run and trial"], rows) if rows else None
    return tag("section", tag("h2", "Failures"), tag("p", text), listed, sources(runs), id="failures")


# -- environment and commands -----------------------------------------------------------------------------------------


def environment_section(runs: Sequence[Shown]) -> Html:
    """Versions, machine and settings; what all runs share is said once."""
    folded = [
        tag("details", tag("summary", title), table(["", "Value"], _shared(runs, keys)))
        for title, keys in (("Settings", _SETTINGS), ("Inputs", ("data_digest", "table_digest")))
        if _shared(runs, keys)
    ]
    machine = table(["", "Value"], _shared(runs, ("ogive", "machine", "device", "threads", "workers")))
    return tag("section", tag("h2", "Environment"), machine, folded, sources(runs), id="environment")


_SETTINGS = (
    "space",
    "world",
    "strategy",
    "evaluator",
    "objectives",
    "budget",
    "data",
    "table",
    "skeleton",
    "seed",
    "role",
)


def _shared(runs: Sequence[Shown], keys: Iterable[str]) -> list[list[str]]:
    """Settings as rows; a setting that differs between runs has one row a value, with the tags of its runs."""
    values: dict[str, dict[str, list[str]]] = {}
    for one in runs:
        for name, value in flat({key: one.config.get(key) for key in keys}):
            values.setdefault(name, {}).setdefault(value, []).append(one.tag)
    return [
        [name, value if len(tags) == len(runs) else f"{value} [{', '.join(tags)}]"]
        for name, found in values.items()
        for value, tags in found.items()
    ]


def reproduce_section(runs: Sequence[Shown], best: Winner | None, page: str) -> Html:
    """The commands that made the runs, the winner and this page."""
    folders = [shlex.quote(str(one.run.folder)) for one in runs]
    lines = [str(one.config["command"]) for one in runs if one.config.get("command")]
    lines += comparisons(runs)
    # The winner of a table has no images to be trained on, unless the user names some.
    if best is not None and (best.trained or (best.shown.config.get("data") and not makes_images(best.shown))):
        trained = best.final.get("command")
        folder = shlex.quote(str(best.shown.run.folder))
        lines.append(str(trained) if trained else f"ogive train {folder}")
        lines.append(f"ogive export {folder} --to torch,onnx,export")
    lines.append(f"ogive report {' '.join(folders)} --out {shlex.quote(page)}")
    # One command may have made several runs.
    commands = list(dict.fromkeys(lines))
    text = ("An interrupted run goes on with ", tag("code", "ogive resume FOLDER"), ". ")
    same = "Clocks and latencies will differ, trials will not."
    return tag(
        "section",
        tag("h2", "How to reproduce"),
        tag("p", *text, same),
        tag("pre", "\n".join(commands)),
        tag("h3", "Runs"),
        runs_table(runs),
        id="reproduce",
    )
