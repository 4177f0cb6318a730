"""Whether the runs of a page ask one question, so that their curves may be compared, and how their sides differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from ogive.core.errors import SpecError
from ogive.report.findings import Shown, by_strategy
from ogive.spec import Spec, parse

__all__ = ["differing_settings", "full_evaluator", "screens"]

# What two runs must share for their curves to be answers to one question.
QUESTION = ("space", "objectives", "evaluator", "data", "data_digest", "table", "table_digest", "skeleton")


def differing_settings(runs: Sequence[Shown]) -> list[str]:
    """Names of the settings in which the runs ask different questions.

    A screen in front of the same evaluator is no such setting: it decides what is measured, not how, so it belongs to
    the strategy. But then every strategy must have one screen, or its runs are not repetitions of each other.
    """
    aside = _one_screen_a_strategy(runs)

    def asked(one: Shown, key: str) -> str:
        value = full_evaluator(one) if key == "evaluator" and aside else one.config.get(key)
        return json.dumps(value, sort_keys=True)

    return [key for key in QUESTION if len({asked(one, key) for one in runs}) > 1]


def screens(runs: Sequence[Shown]) -> Mapping[str, str]:
    """The screen of every strategy, "" for none, where that is all in which the evaluators differ; else nothing."""
    found = {one.strategy: _split(one)[0] for one in runs}
    differ = len(set(found.values())) > 1
    return found if differ and "evaluator" not in differing_settings(runs) else {}


def full_evaluator(one: Shown) -> str:
    """The evaluator as it was written, without a screen in front of it."""
    return _split(one)[1]


def _one_screen_a_strategy(runs: Sequence[Shown]) -> bool:
    return all(len({_split(one)[0] for one in members}) == 1 for members in by_strategy(runs).values())


def _split(one: Shown) -> tuple[str, str]:
    """The screen with its options, or "", and the evaluator behind it.

    What the cheap side measures besides scores of untrained networks (a latency, say) is measured of every candidate
    that is evaluated in earnest, so it is part of the evaluator.
    """
    text = str(one.config.get("evaluator") or "")
    try:
        spec = parse(text)
    except SpecError:  # a run of somebody's own evaluator, named as they like
        return "", text
    parts = {**dict(zip(("cheap", "expensive"), spec.args, strict=False)), **spec.options}
    if spec.name != "screened" or not {"cheap", "expensive"} <= parts.keys():
        return "", _together(_leaves(spec))
    cheap, expensive = parts.pop("cheap"), parts.pop("expensive")
    measured = [leaf for leaf in _leaves(cheap) if leaf.name != "training_free"]
    options = str(Spec("", (), parts))
    return f"{cheap} {options}".strip(), _together([*_leaves(expensive), *measured])


def _leaves(part: object) -> list[Spec]:
    """The evaluators that measure, without those that only put others together."""
    if not isinstance(part, Spec):
        return [Spec(str(part))]
    if part.name != "together":
        return [part]
    return [leaf for inner in part.args for leaf in _leaves(inner)]


def _together(leaves: Sequence[Spec]) -> str:
    return str(leaves[0] if len(leaves) == 1 else Spec("together", tuple(leaves)))
