"""How much the numbers prove: strategies at equal numbers of candidates, seeds, intervals, equal questions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from ogive.core.errors import SpecError
from ogive.report.commands import compare_command, random_command, search_command, usual_rival
from ogive.report.facts import ENOUGH_SEEDS, HYPERVOLUME, Facts
from ogive.report.markup import Html, joined, table, tag
from ogive.report.member import Member, by_strategy
from ogive.report.wording import number
from ogive.spec import Spec, parse

__all__ = ["differing_settings", "doubts", "equal_budgets", "full_evaluator", "screens", "verdict"]

# So many strategies are compared with random search in a sentence each; the table below the curves has all.
RIVALS = 4
# What two runs must share for their curves to be answers to one question.
QUESTION = ("space", "objectives", "evaluator", "data", "data_digest", "table", "table_digest", "skeleton")


def verdict(facts: Facts) -> list[str]:
    """What random search reached on the same number of trials, in a sentence for each rival."""
    baseline = next((one for one in facts.reached if one.strategy.startswith("random")), None)
    rivals = [one for one in facts.reached if not one.strategy.startswith("random")]
    if baseline is None or not rivals:
        return []
    sought = facts.measure
    averaged = " (means over seeds)" if sum(one.seeds for one in facts.reached) > len(facts.reached) else ""
    return [
        f"After {rival.trials} evaluated candidates, {sought.noun} is {sought.told(rival.mean)} with {rival.strategy} "
        f"and {sought.told(baseline.mean)} with random search{averaged}: "
        f"{_ahead(rival.mean - baseline.mean)}."
        for rival in rivals[:RIVALS]
    ]


def _ahead(difference: float) -> str:
    if difference == 0:
        return "no difference"
    return f"{'the search' if difference > 0 else 'random search'} is ahead by {number(abs(difference))}"


def equal_budgets(facts: Facts) -> Html:
    """What every strategy reached at equal numbers of evaluated candidates."""
    sought = facts.measure
    rows = [
        [
            one.strategy,
            str(one.seeds),
            str(one.trials),
            number(sought.value(one.mean)),
            sought.span(one.interval.low, one.interval.high) if one.interval else f"fewer than {ENOUGH_SEEDS} seeds",
            sought.span(one.low, one.high) if one.seeds > 1 else "–",
        ]
        for one in facts.reached
    ]
    headers = ["Strategy", "Runs", "Candidates", f"Mean of {sought.heading}", "95 % interval", "Range"]
    by_last = dict.fromkeys(one.strategy for one in facts.runs if one.answer == "last")
    text = f"Of {', '.join(by_last)}, the last candidate counts, with which it answers; of others, the best."
    note = tag("p", text) if by_last and facts.measure is not HYPERVOLUME else None
    return joined(tag("h3", "At equal numbers of evaluated candidates"), table(headers, rows), note)


# -- doubts -----------------------------------------------------------------------------------------------------------


def doubts(facts: Facts) -> Html | None:
    """What the numbers cannot prove: too few seeds, no random search, runs that are not comparable."""
    runs, paragraphs = facts.runs, [*_few_seeds(facts.runs), *_test_images(facts)]
    if not any(one.is_random for one in runs):
        text = "No random search was run beside this, so nothing here shows that the strategy is better. To run one:"
        paragraphs += [tag("p", text), tag("pre", random_command(runs[0].config))]
    differing = differing_settings(runs)
    if differing:
        text = f"These runs differ in {', '.join(differing)}: their curves answer different questions."
        paragraphs.append(tag("p", tag("strong", text)))
    if screens(runs):
        paragraphs.append(tag("p", _screened(runs)))
    return tag("div", paragraphs, class_="notice", role="note") if paragraphs else None


def _few_seeds(runs: Sequence[Member]) -> list[Html]:
    seeds = {strategy: len({one.seed for one in members}) for strategy, members in by_strategy(runs).items()}
    if min(seeds.values()) >= ENOUGH_SEEDS:
        return []
    counted = ", ".join(f"{strategy} {count}" for strategy, count in seeds.items())
    told, commands = _more_seeds(runs)
    text = (
        f"another seed may turn the order round, and here there are fewer than {ENOUGH_SEEDS} seeds a strategy "
        f"({counted}). {told}"
    )
    return [tag("p", tag("strong", "One run is no evidence: "), text), tag("pre", commands)]


def _test_images(facts: Facts) -> list[Html]:
    """The interval of the winner's test accuracy, and of the other runs' winners where those were trained too."""
    if facts.winner is None or facts.winner.test_interval is None:
        return []
    right, images, ends = facts.winner.test_interval
    text = (
        f"Of the winner's test accuracy, {right:,} right of {images:,}, the binomial (Wilson) 95 % interval is "
        f"{ends.low:.2f} to {ends.high:.2f} %. It covers the choice of the test {facts.winner.test_kind} alone, not "
        "the chance in training and search."
    )
    said = [
        f"{other.one.label}: {found[0]:,} of {found[1]:,}, {found[2].low:.2f} to {found[2].high:.2f} %"
        for other in facts.winners.values()
        if other is not None and other is not facts.winner and (found := other.test_interval) is not None
    ]
    return [tag("p", text, f" For comparison, {'; '.join(said[:5])}." if said else "")]


def _more_seeds(runs: Sequence[Member]) -> tuple[str, str]:
    """What has to be done for enough seeds, and the commands."""
    sides = {(one.strategy, json.dumps(one.config.get("evaluator"))): one for one in reversed(runs)}
    if len({evaluator for _, evaluator in sides}) == 1:
        rival = next((one for one in runs if not one.is_random), runs[0])
        baseline = [] if any(one.is_random for one in runs) else ["random"]
        named = dict.fromkeys([*baseline, *(one.strategy for one in runs)])
        strategies = sorted(named, key=lambda name: not name.startswith("random"))
        what = f"it with {usual_rival(rival.config)}" if rival.is_random else "them"
        command = compare_command(rival.config, ENOUGH_SEEDS, strategies=strategies)
        return f"This compares {what} over {ENOUGH_SEEDS} seeds:", command
    used = [int(one.seed) for one in runs if one.seed.isdecimal()]
    fresh = max(used, default=-1) + 1
    commands = [search_command({**one.config, "seed": fresh}) for one in reversed(sides.values())]
    text = (
        f"Each side has an evaluator of its own, so each needs its own searches. These are the ones with seed {fresh}; "
        f"repeat them with other seeds until there are {ENOUGH_SEEDS} a side, and report on all the folders together:"
    )
    return text, "\n".join(commands)


def _screened(runs: Sequence[Member]) -> str:
    """Which strategies choose with a cheap evaluator what is evaluated in full, and what that means."""
    told = [
        f"{strategy} screens its candidates with {screen} first" if screen else f"{strategy} does not screen"
        for strategy, screen in sorted(screens(runs).items(), key=lambda side: not side[1])
    ]
    full = full_evaluator(runs[0])
    counted = "trainings" if "trained" in full else "candidates that passed"
    return (
        f"{'; '.join(told)}. The screen is part of what is compared: all sides are measured alike, by {full}, and only "
        f"{counted} are counted."
    )


# -- whether runs ask one question ------------------------------------------------------------------------------------


def differing_settings(runs: Sequence[Member]) -> list[str]:
    """Names of the settings in which the runs ask different questions.

    A screen in front of the same evaluator is no such setting: it decides what is measured, not how, so it belongs to
    the strategy. But then every strategy must have one screen, or its runs are not repetitions of each other.
    """
    aside = _one_screen_a_strategy(runs)

    def asked(one: Member, key: str) -> str:
        value = full_evaluator(one) if key == "evaluator" and aside else one.config.get(key)
        return json.dumps(value, sort_keys=True)

    return [key for key in QUESTION if len({asked(one, key) for one in runs}) > 1]


def screens(runs: Sequence[Member]) -> Mapping[str, str]:
    """The screen of every strategy, "" for none, where that is all in which the evaluators differ; else nothing."""
    found = {one.strategy: _split(one)[0] for one in runs}
    differ = len(set(found.values())) > 1
    return found if differ and "evaluator" not in differing_settings(runs) else {}


def full_evaluator(one: Member) -> str:
    """The evaluator as it was written, without a screen in front of it."""
    return _split(one)[1]


def _one_screen_a_strategy(runs: Sequence[Member]) -> bool:
    return all(len({_split(one)[0] for one in members}) == 1 for members in by_strategy(runs).values())


def _split(one: Member) -> tuple[str, str]:
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
