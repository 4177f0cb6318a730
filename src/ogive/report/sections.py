"""The sections of the page that follow the charts: candidates, failures, environment, commands."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence

from ogive.core.metric import Metric
from ogive.core.trial import Trial
from ogive.report.commands import comparisons, sources
from ogive.report.facts import Facts
from ogive.report.markup import Html, cell, number_cell, table, tag
from ogive.report.member import Member, score
from ogive.report.scatter import Album
from ogive.report.wording import duration, title, told

__all__ = ["Columns", "environment_section", "failures_section", "reproduce_section", "trials_section"]

TRIALS = 50
FAILURES = 50
SOUGHT = ("space", "world", "strategy", "evaluator", "objectives", "budget")
GIVEN = ("data", "table", "weights", "skeleton", "seed", "in_flight", "role")


# -- trials -----------------------------------------------------------------------------------------------------------


class Columns:
    """What a table of trials says of each: scores that several metrics make, all that was measured, and the seconds."""

    def __init__(self, runs: Iterable[Member], metrics: Iterable[Metric]) -> None:
        members = list(runs)
        measured = {name for one in members for trial in one.working for name in trial.metrics}
        sought = [(rank, found) for one in members for rank, found in enumerate(one.sought)]
        self._metrics = [metric for metric in metrics if metric.name in measured]
        self._composed = {rank: found.written for rank, found in reversed(sought) if found.metric is None}
        directed = {found.metric.name: found.noun for _, found in sought if found.metric is not None}
        self.headers = [f"score: {self._composed[rank]}" for rank in sorted(self._composed)]
        self.headers += [directed.get(metric.name, title(metric)) for metric in self._metrics] + ["seconds"]

    def cells(self, trial: Trial) -> list[Html]:
        """The cells of a trial."""
        scores = [number_cell(score(trial, rank)) for rank in sorted(self._composed)]
        values = [(metric, trial.metrics.get(metric.name)) for metric in self._metrics]
        measured = [number_cell(math.nan if value is None else value, told(metric, value)) for metric, value in values]
        return [*scores, *measured, number_cell(trial.cost.wall_s)]


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
    columns = Columns([one for one in runs if any(one is shown for shown, _ in ranked)], facts.metrics)
    rows = []
    for one, trial in ranked:
        arch = tag("span", str(trial.arch), data_point=album.add(one, trial, picture=True), tabindex=0, class_="mono")
        cells = [cell(tag("span", one.tag, class_="badge")), number_cell(trial.number), cell(arch)]
        cells += [cell("on it" if trial.arch in front else "–")] if several else []
        rows.append([*cells, *columns.cells(trial)])
    text = (
        f"{len(working):,} candidates were measured, {len(first):,} of them different. Here are the best "
        f"{len(ranked)}, each with its best trial{', those of the Pareto front first' if several else ''}. Click on a "
        "heading to sort."
    )
    headers = ["Run", "Trial", "Architecture", *(["Front"] if several else []), *columns.headers]
    listed = table(headers, rows, sortable=True)
    return tag("section", tag("h2", "Candidates"), tag("p", text), listed, sources(runs), id="trials")


def failures_section(facts: Facts) -> Html:
    """Failed trials with their reasons."""
    runs, failures = facts.runs, facts.failures
    failed = sum(map(len, failures.values()))
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
        for reason, members in list(failures.items())[:FAILURES]
    ]
    listed = table(["Reason", "How often", "Run and trial"], rows) if rows else None
    return tag("section", tag("h2", "Failures"), tag("p", text), listed, sources(runs), id="failures")


# -- environment and commands -----------------------------------------------------------------------------------------


def environment_section(runs: Sequence[Member]) -> Html:
    """Versions, machine and settings; what all runs share is said once."""
    folded = [
        tag("details", tag("summary", heading), table(["", "Value"], rows))
        for heading, keys in (("Settings", (*SOUGHT, *GIVEN)), ("Inputs", ("data_digest", "table_digest")))
        if (rows := _shared(runs, keys))
    ]
    machine = table(["", "Value"], _shared(runs, ("ogive", "machine", "device", "threads", "workers")))
    return tag("section", tag("h2", "Environment"), machine, folded, sources(runs), id="environment")


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
    lines = [str(one.config["command"]) for one in runs if one.config.get("command")]
    lines += comparisons(runs)
    # The winner of a table has no images to be trained on, unless the user names some.
    if best is not None and (best.trained or (best.one.config.get("data") and not best.one.generates)):
        folder = shlex.quote(str(best.one.run.folder))
        lines.append(str(best.one.final.get("command") or f"ogive train {folder}"))
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
        _runs_table(runs),
        id="reproduce",
    )


def _runs_table(runs: Sequence[Member]) -> Html:
    """One line a run: folder, strategy, seed, what became of its trials."""
    rows: list[list[str | Html]] = [
        [
            tag("span", one.tag, class_="badge"),
            str(one.run.folder),
            one.strategy,
            one.seed,
            *(str(one.count(status)) for status in ("ok", "failed", "screened")),
            one.sought[0].told(score(one.best)) if one.best else "–",
            duration(one.run.elapsed_s),
            str(one.config.get("created", "")),
        ]
        for one in runs
    ]
    same = len({one.sought[0].written for one in runs}) == 1
    reached = f"Best {runs[0].sought[0].noun}" if same else "Best by its first objective"
    headers = ["Run", "Folder", "Strategy", "Seed", "Measured", "Failed", "Screened out", reached, "Time", "Begun"]
    return table(headers, rows, sortable=True)
