"""The first section of the page: the winner, its picture and numbers, how it was chosen, and how little one run proves.

With several objectives there is a front instead of a winner; a search that answers with its last epoch has two answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ogive.core.metric import LATENCY, LATENCY_SPREAD, Metric
from ogive.looks import Look
from ogive.reporting.cells import Drawing
from ogive.reporting.evidence import doubts, sources, verdict
from ogive.reporting.facts import Facts
from ogive.reporting.latency import latency_lines, targets_of
from ogive.reporting.markup import (
    Html,
    direction,
    joined,
    listed,
    number,
    picture_figure,
    section,
    table,
    tag,
    title,
    told,
)
from ogive.reporting.member import Member, Winner, score
from ogive.trained_networks import TrainedNetwork

__all__ = ["answer_section"]

# Where a run keeps pictures of what its generators make, among its artifacts.
SAMPLES = ("unfinished", "samples")


def answer_section(facts: Facts, drawing: Drawing) -> Html:
    """The winner with its picture and numbers, what random search reached, and how much that proves."""
    best = facts.winner
    if best is None:
        nothing = "No candidate has been measured yet, so there is no winner."
        text = f"Today there is no winner. {facts.lead.choice.missing}" if facts.lead.working else nothing
        return section("answer", "The answer", tag("p", text, class_="lead"), doubts(facts))
    picture = drawing.picture(best.arch)
    lines = [*_ranked(facts), *verdict(facts)]
    said = tag("div", _front(facts, best), _lead(facts, best), *(tag("p", line) for line in lines))
    spelled = drawing.spelled(best.arch)
    name = tag(
        "div",
        tag("p", tag("code", str(best.arch))),
        tag("p", tag("code", spelled), class_="source") if spelled != str(best.arch) else None,
    )
    missing = tag("p", "There is no picture: this space is not known here.", class_="source")
    return section(
        "answer",
        "The answer",
        tag("div", said, picture_figure(picture) if picture else missing, class_="answer"),
        name,
        _targets(best),
        _tiles(facts, best),
        _latency(best),
        _last_epoch(facts, best, drawing),
        _exports(best.one.final.get("exports")),
        _networks(best.one),
        sources([best.one], trained=best.one if best.trained else None),
        doubts(facts),
    )


def _ranked(facts: Facts) -> list[str]:
    """That the trials are ranked by something else than what was sought."""
    runs = [one.run for one in facts.runs if one.run.objectives != one.run.searched_for]
    if not runs:
        return []
    sought = " and ".join(dict.fromkeys(", ".join(run.searched_for) for run in runs))
    ranked = (
        f"The trials are ranked here by {', '.join(runs[0].objectives)}. They were searched for {sought}, and a search"
    )
    return [f"{ranked} for the former might have found better ones."]


# -- in a sentence ----------------------------------------------------------------------------------------------------


def _lead(facts: Facts, best: Winner) -> Html:
    """What the winner reaches, in a test if there was one, and by what it was chosen."""
    test = next(iter(best.tests), None)
    if test is None:
        said, about = _untested(best), best.one.sought[0].metric
    elif best.test_interval is not None:
        right, images, _ = best.test_interval
        text = f"{_subject(best)} classifies {number(right)} of {number(images)} test {best.test_kind} correctly: "
        said, about = joined(text, tag("strong", told(test, best.values[test.name])), "."), test
    else:
        source = ", read from the table." if best.one.config.get("table") and not best.trained else ". "
        value = tag("strong", told(test, best.values[test.name]))
        further = None if best.trained else _untrained(best.one)
        said, about = joined(f"{_subject(best)} has a {title(test)} of ", value, source, further), test
    return tag("p", said, _chosen_by(facts, best, about), f" {facts.within}" if facts.within else "", class_="lead")


def _subject(best: Winner) -> str:
    """The subject of the sentence about the architecture on top, to be followed by its verb."""
    where = _found_at(best)
    if len(best.one.sought) < 2:
        return f"The winner, {where},"
    return f"Shown here is {where}, which"


def _found_at(best: Winner) -> str:
    """The trial and the strategy that found it."""
    return f"trial {best.trial.number} of {best.one.found_by}"


def _untested(best: Winner) -> Html:
    """What is known before any test."""
    sought, one = best.one.sought[0], best.one
    top = sought.told(score(best.final_trial))
    about = f"{_subject(best)} has" if len(one.sought) > 1 else f"The best candidate so far is {_found_at(best)}, with"
    name = sought.written if sought.metric is None else title(sought.metric)
    way = f", {direction(sought.metric)}" if sought.metric is not None and direction(sought.metric) else ""
    return joined(f"{about} {name} = ", tag("strong", top), f"{way}. ", _untrained(one))


def _untrained(one: Member) -> Html | None:
    if one.config.get("table"):
        return None
    others = ", ".join(f"trial {network.trial}" for network in one.networks)
    stale = f" Trained in full, but not the winner of today: {others}." if others else ""
    samples = one.run.artifacts.joinpath(*SAMPLES)
    kept = joined(" What the candidates make is kept in ", tag("code", str(samples)), ".") if samples.exists() else None
    return joined("It has not been trained in full yet: ", tag("code", one.way_to_train), f" does that.{stale}", kept)


def _front(facts: Facts, best: Winner) -> Html | None:
    """With several objectives: how many trials no other beats, and where they stand; None with one."""
    if len(best.one.sought) < 2:
        return None
    count = len(facts.front)
    measured = sum(len(one.working) for one in facts.runs if one.objectives == best.one.objectives)
    sought = " and ".join(sought.noun for sought in best.one.sought)
    where = tag("a", "the table of candidates", href="#trials")
    chart = joined("; ", tag("a", "a chart", href="#pareto"), " sets quality against cost") if facts.fronts else None
    return tag(
        "p",
        "With several objectives there is no single winner: ",
        tag("strong", f"{count:,} of {measured:,} measured trials {'is' if count == 1 else 'are'} on the Pareto front"),
        f" of {sought}, where no other is better in one of them and at least as good in the others. They stand "
        "first in ",
        where,
        chart,
        ".",
        class_="lead",
    )


def _chosen_by(facts: Facts, best: Winner, about: Metric | None) -> str:
    """By what the winner was chosen, where that is not plain; `about` is the metric of the sentence before this one."""
    one = best.one
    if len(one.sought) > 1 or one.run.limits:
        together = f"Of {len(facts.runs)} runs together, it is" if len(facts.runs) > 1 else "It is"
        return f" {together} {one.choice.rule}."
    epochs, only = _of_epochs(best) if one.answer == "last" else "", one.sought[0]
    metric = only.metric
    plain = metric == about or (metric is not None and metric.validated and not direction(metric))
    reached = "" if plain else f": {only.told(score(best.final_trial))}"
    reached += "" if best.trial == best.final_trial else ", with its latency as it was measured last"
    if len(facts.runs) > 2:
        return f" It is the best of {len(facts.runs)} runs by {only.noun}{reached}.{epochs}"
    return epochs if plain else f" It was chosen by {only.noun}{reached}.{epochs}"


def _of_epochs(best: Winner) -> str:
    """How the winner of a search that answers with its last epoch was chosen."""
    one = best.one
    looked = "by looking at the table" if one.config.get("table") else "by the measurements of this run"
    most = f"the best of {len(one.evaluated)} epochs, chosen {looked}" if len(one.evaluated) > 1 else None
    if best.trial == one.evaluated[-1]:
        also = f" It is also {most}." if most else ""
        return f" It is the cell of the last epoch, the answer of the search itself.{also}"
    return f" It is {most}; the cell of the last epoch, the answer of the search itself, stands below."


# -- in numbers -------------------------------------------------------------------------------------------------------


def _targets(best: Winner) -> Html | None:
    """Each target of the search, and whether the winner met it."""
    rows = [
        tag("li", tag("strong", verdict, class_=verdict.partition(" ")[0]), f" {words}: {value}")
        for words, verdict, value in targets_of(best)
    ]
    return joined(tag("h3", "Its targets"), tag("ul", rows, class_="targets")) if rows else None


def _tiles(facts: Facts, best: Winner) -> Html:
    """What was tested, how good it is, what it costs, and whatever else was sought."""
    sought = {one.metric.name: one.metric for one in best.one.sought if one.metric is not None}
    quality = [metric for metric in best.metrics.values() if facts.quality and metric.name == facts.quality.name]
    spent = [metric for metric in best.metrics.values() if metric.spent and metric not in LATENCY_SPREAD]
    wanted = [metric for metric in best.metrics.values() if metric.name in sought]
    tiles = [
        (title(one), told(one, best.values[one.name]), _about(best, one, sought))
        for one in dict.fromkeys([*best.tests, *quality, *spent, *wanted])
    ]
    scores = best.trial.scores or ()
    tiles += [
        ("score in the search", number(reached), one.written)
        for one, reached in zip(best.one.sought, scores, strict=False)
        if one.metric is None
    ]
    drawn = [_tile(*tile, first=place == 0 and bool(best.tests)) for place, tile in enumerate(tiles)]
    return tag("dl", drawn, class_="tiles")


def _about(best: Winner, metric: Metric, sought: Mapping[str, Metric]) -> str:
    """Where a number is from, and which way is better where that was sought."""
    way = direction(metric) if metric.name in sought else ""
    if metric.reported and best.test_interval is not None:
        right, images, ends = best.test_interval
        about = f"{right:,} of {images:,} {best.test_kind}; 95 % interval {ends.low:.2f} to {ends.high:.2f} %"
    elif metric.reported and metric.unit == "%":
        about = "as recorded; of how many images is not known"
    elif metric.reported:
        about = "after full training" if best.trained else "as recorded"
    elif metric.name == LATENCY.name:
        about = "median"
        if best.latency_ends is not None:
            about += f"; 10th to 90th percentile {best.latency_ends[0]:.3g} to {best.latency_ends[1]:.3g} ms"
    elif metric.spent:
        about = ""
    else:
        about = _searched(best, metric)
    look = _look(best.one.network, best.one.looks) if metric.reported and best.trained else ""
    return "; ".join(part for part in (about, look, way) if part)


def _look(network: TrainedNetwork | None, looks: Sequence[Look]) -> str:
    """Which look at the test set a trained network was, and of how many."""
    number = None if network is None else network.facts.get("look")
    return f"look {number} of {max(look.number for look in looks)} at the test set" if number and looks else ""


def _networks(one: Member) -> Html | None:
    """The networks that were trained in full, where there are others than that of the winner."""
    if all(network is one.network for network in one.networks):
        return None
    rows = [
        [
            str(network.trial),
            tag("code", network.arch),
            str(network.facts.get("reached", "")),
            _look(network, one.looks) or "nobody counted",
            "the winner of today" if network is one.network else "–",
        ]
        for network in one.networks
    ]
    headers = ["Trial", "Architecture", "Reached", "Look", "Today"]
    return joined(tag("h3", "The networks that were trained in full"), table(headers, rows))


def _searched(best: Winner, metric: Metric) -> str:
    """Whether a number is from the search or from the training after it."""
    before = best.trial.metrics.get(metric.name)
    if not best.trained or before == best.values[metric.name]:
        return "in the search"
    return "after full training" + ("" if before is None else f"; {told(metric, before)} in the search")


def _tile(name: str, value: str, about: str, *, first: bool) -> Html:
    below = tag("div", about, class_="about") if about else None
    return tag("div", tag("dt", name), tag("dd", value, below), class_="first" if first else None)


def _latency(best: Winner) -> Html | None:
    lines = latency_lines(best)
    return joined(tag("h3", "Its latency"), [tag("p", line) for line in lines]) if lines else None


def _exports(exports: object) -> Html | None:
    entries = [entry for entry in exports if isinstance(entry, Mapping)] if isinstance(exports, list) else []
    if not entries:
        return None
    rows = []
    for entry in entries:
        paths = entry.get("paths")
        listed_paths = [str(path) for path in paths] if isinstance(paths, list) else [str(paths)]
        gap = entry.get("largest_difference")
        written = f"{gap:.2g}" if isinstance(gap, (int, float)) else "–"
        rows.append([str(entry.get("format")), ", ".join(listed_paths), written])
    headers = ["Format", "Files", "Largest difference from the original"]
    return joined(tag("h3", "Its files"), table(headers, rows))


def _last_epoch(facts: Facts, best: Winner, drawing: Drawing) -> Html | None:
    """Of a search that answers with its last epoch: that cell and what it reached, where another was put on top."""
    one = best.one
    if one.answer == "best" or best.trial == one.evaluated[-1]:
        return None
    last = one.evaluated[-1]
    picture = drawing.picture(last.arch)
    reached = ", ".join(listed(facts.metrics, last.metrics))
    text = (
        f"Trial {last.number}, {reached or 'which failed'}. This, and not the best of all epochs, is what the paper of "
        "such a strategy reports."
    )
    said = tag("div", tag("p", text), tag("p", tag("code", str(last.arch))))
    heading = tag("h3", "The answer of the search itself: the cell of its last epoch")
    return joined(heading, tag("div", said, picture_figure(picture) if picture else None, class_="answer"))
