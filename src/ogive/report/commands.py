"""Commands that a page shows, and where its numbers come from: what made a run, and what can be run after it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ogive.report.markup import Html, joined, tag
from ogive.report.member import Member
from ogive.spec import stored_part

__all__ = [
    "command_block",
    "compare_command",
    "comparisons",
    "random_command",
    "search_command",
    "sources",
    "usual_rival",
]

# So many runs are named under each figure; more stand folded.
NAMED = 3
# What all searches of one comparison share, besides the folder that they lie in.
SAME = ("space", "evaluator", "objectives", "budget", "data", "table", "skeleton", "device", "threads")


def command_block(one: Member) -> Html:
    """The command that made a run, or one that makes it again."""
    command = one.config.get("command")
    if command:
        return tag("pre", str(command))
    told = "It is one search of a comparison" if one.compared else "It was started from Python"
    return joined(tag("p", f"{told}. This command does the same:"), tag("pre", search_command(one.config)))


def sources(runs: Sequence[Member], *, trained: Member | None = None) -> Html:
    """Which folders, seeds and commands gave the numbers above; `trained` is the run whose winner was."""
    lines = [
        tag(
            "div",
            "Source: " if rank == 0 else None,
            tag("span", one.tag, class_="badge"),
            " ",
            tag("code", f"{one.run.folder}/trials.jsonl"),
            f", seed {one.seed}, ",
            _origin(one),
        )
        for rank, one in enumerate(runs)
    ]
    if trained is not None:
        lines.append(tag("div", "Full training: ", tag("code", f"{trained.run.artifacts}/winner.json")))
    if len(lines) > NAMED:
        lines = [tag("details", tag("summary", f"The numbers are those of {len(runs)} runs"), lines)]
    return tag("div", lines, class_="source")


def _origin(one: Member) -> Html | str:
    """What started a run, in a few words."""
    command = one.config.get("command")
    if command:
        return tag("code", str(command))
    return "one search of a comparison" if one.compared else "started from Python"


def comparisons(runs: Sequence[Member]) -> list[str]:
    """The commands of the comparisons that the runs are searches of, one for all that differ in strategy and seed."""
    groups: dict[str, list[Member]] = {}
    for one in runs:
        if one.compared and not one.config.get("command") and one.seed.isdecimal():
            told = {key: one.config.get(key) for key in SAME}
            groups.setdefault(json.dumps([told, str(one.run.folder.parent)], sort_keys=True), []).append(one)
    return [_comparison(members) for members in groups.values()]


def _comparison(members: Sequence[Member]) -> str:
    seeds = sorted({int(one.seed) for one in members})
    strategies = list(dict.fromkeys(one.strategy for one in members))
    more = ["--seed", str(seeds[0])] if seeds[0] else []
    more += ["--out", str(members[0].run.folder.parent)]
    return compare_command(members[0].config, seeds[-1] - seeds[0] + 1, strategies=strategies, more=more)


def search_command(config: Mapping[str, Any]) -> str:
    """A command that does what a search from Python did."""
    strategy, ahead = str(config.get("strategy", "")), config.get("in_flight", 1)
    more = ["--in-flight", str(ahead)] if ahead != 1 else []  # it decides what is found
    return shlex.join(["ogive", "search", *_settings(config, strategy), *more, "--seed", str(config.get("seed", 0))])


def random_command(config: Mapping[str, Any]) -> str:
    """The command that runs random search in place of this search's strategy, on the same budget and seed."""
    return search_command({**config, "strategy": "random"})


def compare_command(
    config: Mapping[str, Any], seeds: int, *, strategies: Sequence[str] = (), more: Sequence[str] = ()
) -> str:
    """The command that compares `strategies` over several seeds, by default random search with this search's strategy.

    Beside a random search alone stands `usual_rival`, for a comparison of a strategy with itself shows nothing.
    `more` are words that end the command.
    """
    found = list(strategies) or ["random", str(config.get("strategy", "evolution"))]
    found = list(dict.fromkeys(found))
    if all(name.startswith("random") for name in found):
        found.append(usual_rival(config))
    return shlex.join(["ogive", "compare", *found, *_settings(config, None), "--seeds", str(seeds), *more])


def usual_rival(config: Mapping[str, Any]) -> str:
    """What a random search is compared with where nobody named anything: it suits every space."""
    objectives = config.get("objectives")
    return "nsga2" if isinstance(objectives, list) and len(objectives) > 1 else "evolution"


def _settings(config: Mapping[str, Any], strategy: str | None) -> list[str]:
    def today(text: str) -> str:
        return text if "weights" in config else stored_part(text)

    words = ["--space", str(config.get("space", ""))]
    words += ["--strategy", today(strategy)] if strategy else []
    words += ["--evaluator", today(str(config["evaluator"]))] if config.get("evaluator") else []
    for objective in config.get("objectives") or []:
        words += ["--objective", str(objective)]
    for name in ("table", "data", "weights"):
        words += [f"--{name}", str(config[name])] if config.get(name) else []
    usual = {"device": "cpu", "threads": None, "workers": 1}
    for name, value in usual.items():
        words += [f"--{name}", str(config[name])] if config.get(name, value) != value else []
    skeleton = config.get("skeleton")
    for name, value in skeleton.items() if isinstance(skeleton, Mapping) else ():
        words += [f"--{name}", str(value)] if value is not None else []
    budget = _budget(config.get("budget"))
    return [*words, "--budget", budget] if budget else words


def _budget(budget: object) -> str:
    limits = budget if isinstance(budget, Mapping) else {}
    patterns = (("trials", "{:g}"), ("wall_s", "{:g}s"), ("benchmark_s", "benchmark={:g}"))
    words = [p.format(limits[name]) for name, p in patterns if isinstance(limits.get(name), (int, float))]
    units = [f"{limits['units']} {limits.get('unit')}"] if limits.get("units") else []
    return ",".join([*words, *units])
