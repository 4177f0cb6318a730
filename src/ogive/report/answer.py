"""The first section of the page: the winner, its picture and numbers, and how little one run proves."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence

from ogive.core.architecture import Architecture
from ogive.report.blocks import command_block, sources, table, within
from ogive.report.findings import (
    Shown,
    Winner,
    by_strategy,
    objective_of,
    score,
    winner,
)
from ogive.report.markup import Html, joined, tag
from ogive.report.questions import differing_settings, full_evaluator, screens
from ogive.report.standings import ENOUGH_SEEDS, measure, standings
from ogive.report.wording import compare_command, metric_name, number, random_command, search_command, value_of

__all__ = ["answer_section"]

# So many strategies are compared with random search in a sentence each; the table below the curves has all.
RIVALS = 4


def answer_section(
    runs: Sequence[Shown], best: Winner | None, draw: Callable[[Architecture], str | None], spell: Callable[..., str]
) -> Html:
    """The winner with its picture and numbers, what random search reached, and how much that proves."""
    if best is None:
        text = "No candidate has been measured yet, so there is no winner."
        return tag("section", tag("h2", "The answer"), tag("p", text, class_="lead"), _doubts(runs, None), id="answer")
    picture = draw(best.arch)
    shape = _shape(picture)
    said = tag("div", _lead(runs, best), *(tag("p", line) for line in _verdict(runs)))
    spelled = spell(best.arch)
    name = tag(
        "div",
        tag("p", tag("code", str(best.arch))),
        tag("p", tag("code", spelled), class_="source") if spelled != str(best.arch) else None,
    )
    drawn = (
        tag("figure", Html(picture), class_=f"picture {shape}")
        if picture
        else tag("p", "There is no picture: this space is not known here.", class_="source")
    )
    return tag(
        "section",
        tag("h2", "The answer"),
        tag("div", said, drawn, class_="answer"),
        name,
        _tiles(best),
        _exports(best),
        tag("h3", "The command that made it"),
        command_block(best.shown),
        sources([best.shown], extra=best),
        _doubts(runs, best),
        id="answer",
    )


def _shape(picture: str | None) -> str:
    """Pictures much wider than high take the whole width."""
    if picture is None:
        return ""
    width, height = (float(picture.split(f'{side}="', 1)[1].split('"', 1)[0]) for side in (" width", " height"))
    return "wide" if width > 620 and width > 1.6 * height else ""


def _lead(runs: Sequence[Shown], best: Winner) -> Html:
    by = best.shown.found_by
    where = f"trial {best.trial.number} of {by}" if best.trial else by
    interval, test, foretold = best.test_interval(), best.value("test_acc"), best.value("test_ppl")
    if interval is not None:
        right, images, _ = interval
        text = f"The winner, {where}, classifies {number(right)} of {number(images)} test images correctly: "
        said = joined(text, tag("strong", value_of("test_acc", test)), ".")
    elif test is not None:
        source = ", read from the table." if best.shown.config.get("table") and not best.trained else "."
        said = joined(
            f"The winner, {where}, has a test accuracy of ", tag("strong", value_of("test_acc", test)), source
        )
    elif best.trained and foretold is not None:
        text = f"The winner, {where}, foretells the test text with a perplexity of "
        said = joined(text, tag("strong", value_of("test_ppl", foretold)), ".")
    else:
        top = number(score(best.trial)) if best.trial else "unknown"
        text = f"The best candidate so far is {where}, with {objective_of(best.shown)} = "
        said = joined(text, tag("strong", top), ". ", _untrained(best))
    world = within(runs)
    return tag("p", said, _choice(runs, best), f" {world}" if world else "", class_="lead")


def _untrained(best: Winner) -> Html | None:
    if best.shown.config.get("table"):
        return None
    command = f"ogive train {shlex.quote(str(best.shown.run.folder))}"
    return joined("It has not been trained in full yet: ", tag("code", command), " does that.")


def _choice(runs: Sequence[Shown], best: Winner) -> str:
    """How the winner was chosen, where that is not plain."""
    if len(best.shown.objectives) > 1:
        return (
            " With several objectives there is no single winner: this is the candidate with the best first one, "
            f"{objective_of(best.shown)}, and the front is drawn below."
        )
    return f" It is the best of {len(runs)} runs by {objective_of(best.shown)}." if len(runs) > 2 else ""


def _verdict(runs: Sequence[Shown]) -> list[str]:
    """What random search reached on the same number of trials, in a sentence for each rival."""
    reached = standings(runs)
    baseline = next((one for one in reached if one.strategy.startswith("random")), None)
    rivals = [one for one in reached if not one.strategy.startswith("random")]
    if baseline is None or not rivals:
        return []
    measured = measure(runs)
    averaged = " (means over seeds)" if sum(one.seeds for one in reached) > len(reached) else ""
    return [
        f"After {rival.trials} evaluated candidates, {measured} is {number(rival.mean)} with {rival.strategy} and "
        f"{number(baseline.mean)} with random search{averaged}: "
        f"{_ahead(rival.mean - baseline.mean)}."
        for rival in rivals[:RIVALS]
    ]


def _ahead(difference: float) -> str:
    if difference == 0:
        return "no difference"
    return f"{'the search' if difference > 0 else 'random search'} is ahead by {number(abs(difference))}"


def _tiles(best: Winner) -> Html:
    metrics = best.trial.metrics if best.trial else {}
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
            tiles.append(_tile(metric_name(name), value_of(name, best.value(name)), about, first=not tiles))
    if best.value("latency_ms") is not None:
        percentiles = best.latency_ends()
        about = "median"
        if percentiles is not None:
            about += f"; 10th to 90th percentile {percentiles[0]:.3g} to {percentiles[1]:.3g} ms"
        tiles.append(_tile("latency", value_of("latency_ms", best.value("latency_ms")), about))
    counts = [name for name in ("params", "macs") if best.value(name) is not None]
    tiles += [_tile(metric_name(name), value_of(name, best.value(name)), "") for name in counts]
    scores = best.trial.scores if best.trial is not None and best.trial.scores is not None else ()
    tiles += [
        _tile("score in the search", number(reached), objective)
        for objective, reached in zip(best.shown.objectives, scores, strict=False)
    ]
    return tag("dl", tiles, class_="tiles")


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
        return f"This compares them over {ENOUGH_SEEDS} seeds:", compare_command(rival.config, ENOUGH_SEEDS)
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
