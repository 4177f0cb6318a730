"""How much the numbers prove, where they come from, and the commands that make them again.

Strategies are told at equal numbers of candidates, with their seeds and intervals, and only where they were asked one
question.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ogive.core.errors import SpecError
from ogive.core.metric import metrics_from, of_part
from ogive.looks import Look
from ogive.metrics import interval_name
from ogive.reporting.facts import ENOUGH_SEEDS, HYPERVOLUME, Facts
from ogive.reporting.markup import Html, badge, joined, listed, table, tag
from ogive.reporting.member import Member, by_strategy
from ogive.spec import Spec, parse, stored_part

__all__ = [
    "compare_command",
    "comparisons",
    "differing_settings",
    "doubts",
    "equal_budgets",
    "full_evaluator",
    "origin",
    "random_command",
    "resume_command",
    "screens",
    "search_command",
    "sources",
    "verdict",
]

# So many strategies are compared with random search in a sentence each; the table below the curves has all.
RIVALS = 4
# What two runs must share for their curves to be answers to one question.
QUESTION = ("space", "objectives", "evaluator", "data", "data_digest", "table", "table_digest", "skeleton")
# So many runs are named under each figure; more stand folded.
NAMED = 3
# What all searches of one comparison share, besides the folder that they lie in.
SAME = ("space", "evaluator", "objectives", "budget", "data", "table", "skeleton", "device", "threads")


def verdict(facts: Facts) -> list[str]:
    """What random search reached on the same number of trials, in a sentence for each rival."""
    baseline = next((one for one in facts.reached if one.strategy.startswith("random")), None)
    rivals = [one for one in facts.reached if not one.strategy.startswith("random")]
    if baseline is None or not rivals:
        return []
    sought = facts.measure
    averaged = " (means over seeds)" if sum(one.seeds for one in facts.reached) > len(facts.reached) else ""
    means = [*(one.mean for one in rivals[:RIVALS]), baseline.mean]
    *own, chance = sought.alike(means)
    return [
        f"After {rival.trials} evaluated candidates, {sought.noun} is {reached} with {rival.strategy} "
        f"and {chance} with random search{averaged}: {_ahead(rival.mean - baseline.mean, sought.form(means))}."
        for rival, reached in zip(rivals[:RIVALS], own, strict=True)
    ]


def _ahead(difference: float, suited: str) -> str:
    """Who is ahead, and by how much, with as many decimals as the means have."""
    if difference == 0:
        return "no difference"
    told = format(abs(difference), suited)
    by = told if float(told.replace(",", "")) else f"less than {told[:-1]}1"
    return f"{'the search' if difference > 0 else 'random search'} is ahead by {by}"


def equal_budgets(facts: Facts) -> Html:
    """What every strategy reached at equal numbers of evaluated candidates."""
    sought = facts.measure
    ends = (end for one in facts.reached if one.interval for end in (one.interval.low, one.interval.high))
    suited = sought.form([*(one.mean for one in facts.reached), *ends])
    rows = [
        [
            one.strategy,
            str(one.seeds),
            str(one.trials),
            format(sought.value(one.mean), suited),
            sought.span(one.interval.low, one.interval.high, suited) if one.interval else "one seed has none",
            sought.span(one.low, one.high, suited) if one.seeds > 1 else "–",
        ]
        for one in facts.reached
    ]
    headers = ["Strategy", "Runs", "Candidates", f"Mean of {sought.heading}", _intervals(facts), "Range"]
    by_last = dict.fromkeys(one.strategy for one in facts.runs if one.answer == "last")
    text = f"Of {', '.join(by_last)}, the last candidate counts, with which it answers; of others, the best."
    note = tag("p", text) if by_last and facts.measure is not HYPERVOLUME else None
    return joined(tag("h3", "At equal numbers of evaluated candidates"), table(headers, rows), note)


def _intervals(facts: Facts) -> str:
    """What the intervals of the means are: few seeds have others than many."""
    names = dict.fromkeys(interval_name(one.seeds) for one in facts.reached if one.interval)
    return " or ".join(names) or "95 % interval"


# -- doubts -----------------------------------------------------------------------------------------------------------


def doubts(facts: Facts) -> Html | None:
    """What the numbers cannot prove: too few seeds, no random search, runs that are not comparable."""
    runs, paragraphs = facts.runs, [*_few_seeds(facts.runs), *_test_images(facts), *_looks(facts.lead)]
    sentences = dict.fromkeys(f"[{one.tag}] {said}" for one in runs for said in one.run.guessing)
    paragraphs += [tag("p", tag("strong", "No better than a guess: "), said) for said in sentences]
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


def _looks(one: Member) -> list[Html]:
    """What it means that the test set was looked at more than once."""
    count = max((look.number for look in one.looks), default=0)
    if count < 2:
        return []
    seen = [f"look {look.number}, trial {look.about.get('trial')}: {_seen(one, look)}" for look in one.looks]
    text = (
        f"It was looked at {count} times in this run ({'; '.join(seen)}). Whoever chooses among trials by what was "
        "seen, or trains again because of it, gets a figure that is too good: only the first look is a clean one."
    )
    return [tag("p", tag("strong", "The test set is no longer unseen. "), text)]


def _seen(one: Member, look: Look) -> str:
    """What was seen at a look."""
    if look.measured is None:
        return "its result was lost"
    known = [metric for network in one.networks for metric in metrics_from(network.facts.get("metrics", ()))]
    named = {name: of_part(name, known) for name in look.measured}
    return ", ".join(listed([metric for metric in named.values() if metric.reported], look.measured)) or "no metric"


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


# -- commands and sources ----------------------------------------------------------------------------------------------


def origin(one: Member) -> str:
    """The command that made a run, or one that makes it again."""
    return str(one.config.get("command") or search_command(one.config))


def sources(runs: Sequence[Member], *, trained: Member | None = None) -> Html:
    """Which folders and seeds gave the numbers above; `trained` is the run whose winner was."""
    lines = [
        tag(
            "div",
            "Source: " if rank == 0 else None,
            badge(one.tag),
            " ",
            tag("code", f"{one.run.folder}/trials.jsonl"),
            f", seed {one.seed}, ",
            tag("a", "command", href="#reproduce"),
        )
        for rank, one in enumerate(runs)
    ]
    if trained is not None and trained.network is not None:
        lines.append(tag("div", "Full training: ", tag("code", str(trained.network.record))))
    if len(lines) > NAMED:
        lines = [tag("details", tag("summary", f"The numbers are those of {len(runs)} runs"), lines)]
    return tag("div", lines, class_="source")


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
    more += ["--order", "finish"] if config.get("order") == "finish" else []
    return shlex.join(["ogive", "search", *_settings(config, strategy), *more, "--seed", str(config.get("seed", 0))])


def resume_command(one: Member) -> str:
    """The command that went on with a run under a larger budget."""
    return shlex.join(["ogive", "resume", str(one.run.folder), "--budget", _budget(one.run.granted)])


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
    for name in ("where", "prefer"):
        for limit in config.get(name) or []:
            words += [f"--{name}", str(limit)]
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
