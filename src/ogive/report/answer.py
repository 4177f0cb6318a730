"""The first section of the page: the winner, its picture and numbers, and how little one run proves."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence

from ogive.core.architecture import Architecture
from ogive.report.blocks import command_block, picture_figure, sources, table, within
from ogive.report.choice import chosen_by, found_at, front, last_epoch, subject
from ogive.report.commands import SAMPLES, makes_images
from ogive.report.comparability import differing_settings, full_evaluator, screens
from ogive.report.findings import Shown, Winner, by_strategy, score, winner
from ogive.report.markup import Html, joined, tag
from ogive.report.objectives import Goal, goals_of
from ogive.report.standings import ENOUGH_SEEDS, measure, standings
from ogive.report.wording import (
    compare_command,
    metric_name,
    number,
    random_command,
    search_command,
    usual_rival,
    value_of,
)

__all__ = ["answer_section"]

# So many strategies are compared with random search in a sentence each; the table below the curves has all.
RIVALS = 4


def answer_section(
    runs: Sequence[Shown],
    best: Winner | None,
    draw: Callable[[Architecture], str | None],
    spell: Callable[..., str],
    *,
    front_drawn: bool = False,
) -> Html:
    """The winner with its picture and numbers, what random search reached, and how much that proves.

    `front_drawn` says that the page has a chart of the Pareto front.
    """
    if best is None:
        text = "No candidate has been measured yet, so there is no winner."
        return tag("section", tag("h2", "The answer"), tag("p", text, class_="lead"), _doubts(runs, None), id="answer")
    picture = draw(best.arch)
    said = tag("div", _lead(runs, best, front_drawn), *(tag("p", line) for line in _verdict(runs)))
    spelled = spell(best.arch)
    name = tag(
        "div",
        tag("p", tag("code", str(best.arch))),
        tag("p", tag("code", spelled), class_="source") if spelled != str(best.arch) else None,
    )
    drawn = (
        picture_figure(picture)
        if picture
        else tag("p", "There is no picture: this space is not known here.", class_="source")
    )
    return tag(
        "section",
        tag("h2", "The answer"),
        tag("div", said, drawn, class_="answer"),
        name,
        _tiles(best),
        last_epoch(best, draw),
        _exports(best),
        tag("h3", "The command that made it"),
        command_block(best.shown),
        sources([best.shown], extra=best),
        _doubts(runs, best),
        id="answer",
    )


def _lead(runs: Sequence[Shown], best: Winner, drawn: bool) -> Html:
    about = subject(best)
    interval, test, foretold = best.test_interval(), best.value("test_acc"), best.value("test_ppl")
    told: str | None = None
    if interval is not None:
        right, images, _ = interval
        text = f"{about} classifies {number(right)} of {number(images)} test images correctly: "
        said = joined(text, tag("strong", value_of("test_acc", test)), ".")
    elif test is not None:
        source = ", read from the table." if best.shown.config.get("table") and not best.trained else "."
        said = joined(f"{about} has a test accuracy of ", tag("strong", value_of("test_acc", test)), source)
    elif best.trained and foretold is not None:
        text = f"{about} foretells the test text with a perplexity of "
        said = joined(text, tag("strong", value_of("test_ppl", foretold)), ".")
    else:
        said, told = _untested(best)
    world = within(runs)
    sentence = tag("p", said, chosen_by(runs, best, told), f" {world}" if world else "", class_="lead")
    return joined(front(runs, best, drawn), sentence)


def _untested(best: Winner) -> tuple[Html, str | None]:
    """What is known before any test, and the metric that was told."""
    sought = (goals_of(best.shown) or [Goal("the objective")])[0]
    top = sought.told(score(best.trial)) if best.trial else "unknown"
    several = len(best.shown.objectives) > 1
    about = f"{subject(best)} has" if several else f"The best candidate so far is {found_at(best)}, with"
    name = sought.written if sought.metric is None else metric_name(sought.metric).replace("_", " ")
    way = f", {sought.direction}" if sought.direction else ""
    return joined(
        f"{about} {name} = ", tag("strong", top), f"{way}. ", _untrained(best)
    ), sought.metric or sought.written


def _untrained(best: Winner) -> Html | None:
    if best.shown.config.get("table"):
        return None
    if makes_images(best.shown):
        return _generator(best.shown)
    command = f"ogive train {shlex.quote(str(best.shown.run.folder))}"
    return joined("It has not been trained in full yet: ", tag("code", command), " does that.")


def _generator(one: Shown) -> Html:
    """What can be done with a generator, which is neither trained further nor exported."""
    samples = one.run.artifacts.joinpath(*SAMPLES)
    kept = joined("What the candidates make is kept in ", tag("code", str(samples)), ". ") if samples.exists() else None
    return joined(
        "It makes images. ", kept, "To train generators for longer, search again with more ", tag("code", "steps"), "."
    )


def _verdict(runs: Sequence[Shown]) -> list[str]:
    """What random search reached on the same number of trials, in a sentence for each rival."""
    reached = standings(runs)
    baseline = next((one for one in reached if one.strategy.startswith("random")), None)
    rivals = [one for one in reached if not one.strategy.startswith("random")]
    if baseline is None or not rivals:
        return []
    sought = measure(runs)
    averaged = " (means over seeds)" if sum(one.seeds for one in reached) > len(reached) else ""
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


def _tiles(best: Winner) -> Html:
    metrics = best.trial.metrics if best.trial else {}
    ways = {sought.metric: sought.direction for sought in goals_of(best.shown) if sought.direction}
    tiles = []
    interval = best.test_interval()
    if best.value("test_acc") is not None:
        about = "as recorded; the number of test images is not known"
        if interval is not None:
            right, images, ends = interval
            about = f"{right:,} of {images:,} images; 95 % interval {ends.low:.2f} to {ends.high:.2f} %"
        tiles.append(_tile("test accuracy", value_of("test_acc", best.value("test_acc")), about, first=True))
    if best.value("val_acc") is not None:
        searched = metrics.get("val_acc")
        again = best.trained and searched != best.value("val_acc")
        about = f"after full training; {value_of('val_acc', searched)} in the search" if again else "in the search"
        tiles.append(_tile("validation accuracy", value_of("val_acc", best.value("val_acc")), about))
    for name in ("test_ppl", "val_ppl"):
        if best.value(name) is not None:
            about = "after full training" if best.trained else "in the search"
            about = _and(about, ways.pop(name, ""))
            tiles.append(_tile(metric_name(name), value_of(name, best.value(name)), about, first=not tiles))
    if best.value("latency_ms") is not None:
        percentiles = best.latency_ends()
        about = "median"
        if percentiles is not None:
            about += f"; 10th to 90th percentile {percentiles[0]:.3g} to {percentiles[1]:.3g} ms"
        about = _and(about, ways.pop("latency_ms", ""))
        tiles.append(_tile("latency", value_of("latency_ms", best.value("latency_ms")), about))
    counts = [name for name in ("params", "macs") if best.value(name) is not None]
    tiles += [_tile(metric_name(name), value_of(name, best.value(name)), ways.pop(name, "")) for name in counts]
    return tag("dl", tiles, _sought_tiles(best, ways), class_="tiles")


def _sought_tiles(best: Winner, ways: Mapping[str | None, str]) -> list[Html]:
    """What was sought and has no tile yet: other metrics with their direction, and scores that several metrics make."""
    scores = best.trial.scores if best.trial is not None and best.trial.scores is not None else ()
    return [
        _tile("score in the search", number(reached), sought.written)
        if sought.metric is None
        else _tile(metric_name(sought.metric), sought.told(reached), _and("in the search", sought.direction))
        for sought, reached in zip(goals_of(best.shown), scores, strict=False)
        if sought.metric is None or sought.metric in ways
    ]


def _and(about: str, more: str) -> str:
    return "; ".join(part for part in (about, more) if part)


def _tile(name: str, value: str, about: str, *, first: bool = False) -> Html:
    below = tag("div", about, class_="about") if about else None
    return tag("div", tag("dt", name), tag("dd", value, below), class_="first" if first else None)


def _exports(best: Winner) -> Html | None:
    exports = best.final.get("exports")
    entries = [entry for entry in exports if isinstance(entry, Mapping)] if isinstance(exports, list) else []
    if not entries:
        return None
    rows = []
    for entry in entries:
        paths = entry.get("paths")
        listed = [str(path) for path in paths] if isinstance(paths, list) else [str(paths)]
        gap = entry.get("largest_difference")
        rows.append(
            [str(entry.get("format")), ", ".join(listed), f"{gap:.2g}" if isinstance(gap, (int, float)) else "–"]
        )
    headers = ["Format", "Files", "Largest difference from the original"]
    return joined(tag("h3", "Its files"), table(headers, rows))


def _doubts(runs: Sequence[Shown], best: Winner | None) -> Html | None:
    """What the numbers cannot prove: too few seeds, no random search, runs that are not comparable."""
    paragraphs: list[Html] = []
    seeds = {strategy: len({one.seed for one in members}) for strategy, members in by_strategy(runs).items()}
    if min(seeds.values()) < ENOUGH_SEEDS:
        counted = ", ".join(f"{strategy} {count}" for strategy, count in seeds.items())
        paragraphs.append(
            tag(
                "p",
                tag("strong", "One run is no evidence: "),
                f"another seed may turn the order round, and here there are fewer than {ENOUGH_SEEDS} seeds a strategy "
                f"({counted}). {_more_seeds(runs)[0]}",
            )
        )
        paragraphs.append(tag("pre", _more_seeds(runs)[1]))
    interval = best.test_interval() if best is not None else None
    if interval is not None:
        right, images, ends = interval
        text = (
            f"Of the winner's test accuracy, {right:,} right of {images:,}, the binomial (Wilson) 95 % interval is "
            f"{ends.low:.2f} to {ends.high:.2f} %. It covers the choice of the test images alone, not the chance in "
            "training and search."
        )
        paragraphs.append(tag("p", text, _other_winners(runs, best)))
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


def _more_seeds(runs: Sequence[Shown]) -> tuple[str, str]:
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


def _screened(runs: Sequence[Shown]) -> str:
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


def _other_winners(runs: Sequence[Shown], best: Winner | None) -> str:
    """The test intervals of the other runs' winners, where those were trained too."""
    said = []
    for one in runs:
        other = winner(one) if best is not None and one is not best.shown else None
        interval = other.test_interval() if other is not None else None
        if interval is not None:
            right, images, ends = interval
            said.append(f"{one.label}: {right:,} of {images:,}, {ends.low:.2f} to {ends.high:.2f} %")
    return f" For comparison, {'; '.join(said[:5])}." if said else ""
