"""The section of the page that says what the trained winner gets wrong: of which classes, which it mixes up, and how.

Everything is read from ``answers.json`` beside the network, which its training wrote.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from ogive.answers import ANSWERS, Answers, Mistake, Tally, read_answers
from ogive.metrics import binomial_interval
from ogive.reporting.facts import Facts
from ogive.reporting.markup import Html, image, joined, number_cell, section, table, tag

__all__ = ["mistakes_section"]

MATRIX = 20  # classes whose confusion is a table that can be read
PAIRS = 30  # of more classes, pairs that are told
NAMED = 3  # classes in a sentence
LETTERS = 40  # of a class in a caption
WIDTH, HEIGHT = 112.0, 56.0  # of a curve


def mistakes_section(facts: Facts) -> Html | None:
    """What the network of the winner gets wrong; None where it is not trained, or nobody recorded that."""
    network = None if facts.winner is None else facts.winner.one.network
    found = None if network is None else read_answers(network.record.with_name(ANSWERS))
    if network is None or found is None:
        return None
    source = tag("div", "Source: ", tag("code", str(network.record.with_name(ANSWERS))), class_="source")
    return section(
        "mistakes",
        "What it gets wrong",
        tag("p", _weakest(found)),
        _classes(found),
        _confusion(found),
        _grid(found),
        source,
    )


def _weakest(found: Answers) -> str:
    """The classes that are found least often, and what not to do with them."""
    known = sorted((tally for tally in found.tallies if tally.count), key=lambda tally: tally.found / tally.count)
    named = "; ".join(f"“{tally.name}” ({_share(tally.found, tally.count)})" for tally in known[:NAMED])
    looked = (
        "They were seen at the one look that the test figure is from. Whoever changes something because of them has "
        "looked at the test set once more."
    )
    return f"On {found.count:,} test {found.kind}, the classes that it finds least often: {named}. {looked}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


# -- classes -----------------------------------------------------------------------------------------------------------


def _classes(found: Answers) -> Html:
    share = "Accuracy" if found.confusion is not None else "Recall"
    headers = ["Class", f"Test {found.kind}", "Found", share, "95 % interval", "", "Right when it says so"]
    rows = [_row(tally) for tally in found.tallies]
    return joined(tag("h3", f"{share} a class"), table(headers, rows, sortable=True))


def _row(tally: Tally) -> list[str | Html]:
    share = tally.found / tally.count if tally.count else math.nan
    precise = tally.found / tally.said if tally.said else math.nan
    interval = "–"
    if tally.count:
        low, high = binomial_interval(tally.found, tally.count)
        interval = f"{100 * low:.1f} to {100 * high:.1f} %"
    bar = tag("span", class_="bar", style=f"width: {0 if math.isnan(share) else 6 * share:.2f}rem")
    return [
        tally.name,
        number_cell(tally.count),
        number_cell(tally.found),
        number_cell(share, _share(tally.found, tally.count)),
        tag("td", interval, class_="number"),
        bar,
        number_cell(precise, _share(tally.found, tally.said)),
    ]


# -- confusion ---------------------------------------------------------------------------------------------------------


def _confusion(found: Answers) -> Html | None:
    if found.confusion is None:
        return None
    names = [tally.name for tally in found.tallies]
    if len(names) <= MATRIX:
        return joined(tag("h3", "Confusion matrix"), _matrix(found, names))
    rows: list[list[str | Html]] = [
        [names[truth], names[said], number_cell(count), number_cell(count / found.tallies[truth].count, share)]
        for truth, said, count in [pair for pair in found.confusion if pair[0] != pair[1]][:PAIRS]
        for share in [_share(count, found.tallies[truth].count)]
    ]
    headers = ["It is", "It says", "How often", "Of this class"]
    return joined(tag("h3", "What it mixes up most often"), table(headers, rows, sortable=True))


def _matrix(found: Answers, names: list[str]) -> Html:
    """A row for each true class, a column for each answer; the colour is the share of the row."""
    counts = {(truth, said): count for truth, said, count in found.confusion or ()}
    head = tag(
        "tr", tag("th", "is \\ says", scope="col"), [tag("th", tag("span", name), scope="col") for name in names]
    )
    rows = [
        tag(
            "tr",
            tag("th", name, scope="row"),
            [
                _cell(counts.get((truth, said), 0), found.tallies[truth].count, right=truth == said)
                for said in range(len(names))
            ],
        )
        for truth, name in enumerate(names)
    ]
    body = tag("table", tag("thead", head), tag("tbody", rows), class_="confusion")
    note = tag("figcaption", "Rows are the true classes, columns what it says; darker means a larger share of the row.")
    return tag("figure", tag("div", body, class_="scroll", tabindex=0), note)


def _cell(count: int, whole: int, *, right: bool) -> Html:
    share = 100 * count / whole if whole else 0.0
    colour = "var(--series-3)" if right else "var(--series-2)"
    # A mistake is seen from the first one on; a whole row of right answers leaves its number readable.
    strength = 0.0 if not count else (0.45 * share if right else 15 + 0.6 * share)
    style = f"background: color-mix(in srgb, {colour} {strength:.0f}%, transparent)" if count else None
    return tag("td", f"{count:,}" if count else "", style=style)


# -- mistakes ----------------------------------------------------------------------------------------------------------


def _grid(found: Answers) -> Html | None:
    if not found.mistakes:
        return tag("p", "It makes no mistake here.")
    wrong = None if found.confusion is None else sum(count for truth, said, count in found.confusion if truth != said)
    shown = len(found.mistakes)
    which = f"All {shown} mistakes" if shown == wrong else f"The {shown} mistakes of which it is surest"
    of_all = f" of {wrong:,}" if wrong is not None and wrong > shown else ""
    text = f"{which}{of_all}, with what it is, what it says, and how sure it is of that."
    return joined(tag("h3", "Mistakes"), tag("p", text), tag("div", map(_card, found.mistakes), class_="mistakes"))


def _card(mistake: Mistake) -> Html:
    shown, words = mistake.shown, f"{_short(mistake.truth)}, taken for {_short(mistake.said)}"
    seen = [
        image(shown.picture, words) if shown.picture else None,
        Html(_curve(shown.curve)) if shown.curve else None,
        tag("q", shown.text) if shown.text else None,
    ]
    said = (tag("b", _short(mistake.truth)), " → ", _short(mistake.said), f" ({100 * mistake.share:.0f} %)")
    return tag("figure", seen, tag("figcaption", *said))


def _short(name: str) -> str:
    return name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…"


def _curve(values: Iterable[float]) -> str:
    """A line through the values, from the lowest to the highest."""
    heights = list(values)
    low, span = min(heights), max(heights) - min(heights) or 1.0
    step = WIDTH / max(1, len(heights) - 1)
    points = " ".join(
        f"{place * step:.1f},{HEIGHT - 4 - (HEIGHT - 8) * (y - low) / span:.1f}" for place, y in enumerate(heights)
    )
    return (
        f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="the signal"><polyline points="{points}" '
        'fill="none" stroke="currentColor" stroke-width="1.2"/></svg>'
    )
