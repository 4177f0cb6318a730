"""Every two strategies of a page by a paired test over equal seeds, as `ogive compare` tells them."""

from __future__ import annotations

import math

import numpy as np

from ogive.metrics import interval_name
from ogive.paired import Pair, pairs_of
from ogive.reporting.evidence import differing_settings
from ogive.reporting.facts import HYPERVOLUME, Facts, Line
from ogive.reporting.markup import Html, form, joined, table, tag
from ogive.reporting.member import Floats, Member, by_strategy

__all__ = ["paired_tests"]

ENOUGH = 10  # seeds, from which on the least p-value is no obstacle


def paired_tests(facts: Facts) -> Html | None:
    """A table of differences with their p-values, Holm's correction beside; None where no two are paired.

    Paired are strategies that ran with the same seeds, two at least, on one question. The value is what is reported of
    the candidate that a search answers with, where all know it, and else the first objective.
    """
    runs = [one for one in facts.runs if one.objectives == facts.lead.objectives]
    seeds = {name: sorted(one.seed for one in members) for name, members in by_strategy(runs).items()}
    alike = len({tuple(own) for own in seeds.values()}) == 1
    first = next(iter(seeds.values()))
    if not alike or len(seeds) < 2 or len(set(first)) < 2 or len(set(first)) < len(first) or differing_settings(runs):
        return None
    if not all(seed.isdecimal() for seed in first):
        return None
    line, values = _compared(facts, runs)
    order = sorted(values, key=lambda name: float(values[name].mean()), reverse=not line.falls)
    pairs = pairs_of({name: values[name] for name in order}, min(map(int, first)), line.name)
    return _table(line.name, pairs, len(first)) if pairs else None


def _compared(facts: Facts, runs: list[Member]) -> tuple[Line, dict[str, Floats]]:
    """What strategies are compared by, and its values by strategy, in the order of their seeds."""
    least = min(len(one.evaluated) for one in runs)
    places = {one.tag: place for place, one in enumerate(facts.runs)}
    volumes = [line for line in facts.lines if line.name == HYPERVOLUME.written]
    reported = [line for line in facts.lines if line.reported is not None]
    *better, usual = volumes or (*reported, facts.lines[0])

    def values(line: Line) -> dict[str, Floats]:
        return {
            name: np.array([_value(one, line, places[one.tag], least, facts) for one in sorted(own, key=_seed)])
            for name, own in by_strategy(runs).items()
        }

    for line in better:
        found = values(line)
        if all(np.isfinite(each).all() for each in found.values()):
            return line, found
    return usual, values(usual)


def _seed(one: Member) -> int:
    return int(one.seed)


def _value(one: Member, line: Line, place: int, least: int, facts: Facts) -> float:
    """Of the answer of a search after `least` candidates: of its best, or of its last where it answers with that."""
    if one.answer != "last" or line.name == HYPERVOLUME.written:
        values = line.values[place]
        return float(values[least - 1]) if least else math.nan
    last = next((trial for trial in reversed(one.evaluated[:least]) if trial.scores is not None), None)
    if last is None:
        return math.nan
    if line.reported is not None:
        return last.metrics.get(line.reported.name, math.nan)
    return facts.measure.value(last.scores[0] if last.scores else math.nan)


def _table(name: str, pairs: list[Pair], seeds: int) -> Html:
    ends = [end for pair in pairs for end in (pair.difference, pair.interval.low, pair.interval.high)]
    suited = f"+{form(ends)}"
    rows = [
        [
            f"{pair.first} – {pair.second}",
            format(pair.difference, suited),
            f"{format(pair.interval.low, suited)} to {format(pair.interval.high, suited)}",
            f"{pair.p_value:.4f}",
            f"{pair.adjusted_p_value:.4f}",
        ]
        for pair in pairs
    ]
    text = f"Paired permutation tests over {seeds} seeds of: {name}. Holm's correction is for the number of pairs."
    if seeds < ENOUGH:
        text += f" So few seeds give no p-value below {2 / 2**seeds:.2g}."
    headers = ["Pair", "Mean difference", interval_name(seeds), "p", "p (Holm)"]
    return joined(tag("h3", "Are they different?"), table(headers, rows), tag("p", text))
