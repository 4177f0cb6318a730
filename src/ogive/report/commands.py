"""What can be run after a search: the comparison that it was part of, and the next steps that suit its space."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ogive import catalog
from ogive.core.errors import SpecError
from ogive.report.findings import Shown
from ogive.report.wording import compare_command

__all__ = ["SAMPLES", "comparisons", "makes_images"]

# Where a run keeps pictures of what its generators make, among its artifacts.
SAMPLES = ("unfinished", "samples")


def makes_images(one: Shown) -> bool:
    """Whether the candidates are generators, which are neither trained further nor exported."""
    try:
        return catalog.generates(str(one.config.get("space", "")))
    except SpecError:  # a space of somebody's own, named as they like
        return False


def comparisons(runs: Sequence[Shown]) -> list[str]:
    """The commands of the comparisons that the runs are searches of, one for all that differ in strategy and seed."""
    groups: dict[str, list[Shown]] = {}
    for one in runs:
        if one.compared and not one.config.get("command") and one.seed.isdecimal():
            told = {key: one.config.get(key) for key in _SAME}
            groups.setdefault(json.dumps([told, str(one.run.folder.parent)], sort_keys=True), []).append(one)
    return [_comparison(members) for members in groups.values()]


# What all searches of one comparison share, besides the folder that they lie in.
_SAME = ("space", "evaluator", "objectives", "budget", "data", "table", "skeleton", "device", "threads")


def _comparison(members: Sequence[Shown]) -> str:
    seeds = sorted({int(one.seed) for one in members})
    strategies = list(dict.fromkeys(one.strategy for one in members))
    more = ["--seed", str(seeds[0])] if seeds[0] else []
    more += ["--out", str(members[0].run.folder.parent)]
    return compare_command(members[0].config, seeds[-1] - seeds[0] + 1, strategies=strategies, more=more)
