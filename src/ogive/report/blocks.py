"""Pieces that several sections of the page are made of: tables, commands, and where numbers come from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ogive.report.findings import Shown, Winner, by_strategy
from ogive.report.markup import Html, joined, tag
from ogive.report.wording import number, search_command

__all__ = ["cell", "command_block", "number_cell", "page_title", "picture_figure", "sources", "table", "within"]

# So many runs are named under each figure; more stand folded.
NAMED = 3


def table(headers: Sequence[str], rows: Sequence[Sequence[str | Html]], *, sortable: bool = False) -> Html:
    """A table in a box that scrolls; rows hold texts, HTML or finished cells."""
    head = tag("thead", tag("tr", [tag("th", header, scope="col") for header in headers]))
    body = tag("tbody", [tag("tr", [cell(value) for value in row]) for row in rows])
    return tag("div", tag("table", head, body, class_="sortable" if sortable else None), class_="scroll", tabindex=0)


def cell(value: str | Html) -> Html:
    """A cell of a table; a finished one stays as it is."""
    return value if isinstance(value, Html) and value.startswith("<td") else tag("td", value)


def number_cell(value: float, text: str | None = None) -> Html:
    """A number that is sorted by its value, whatever its text."""
    known = math.isfinite(value)
    written = number(value) if text is None and known else (text or "–")
    return tag("td", written, class_="number", data_value=value if known else None)


def command_block(one: Shown) -> Html:
    """The command that made a run, or one that makes it again."""
    command = one.config.get("command")
    if command:
        return tag("pre", str(command))
    told = "It is one search of a comparison" if one.compared else "It was started from Python"
    return joined(tag("p", f"{told}. This command does the same:"), tag("pre", search_command(one.config)))


def picture_figure(picture: str) -> Html:
    """The picture of an architecture beside a text; one that is much wider than high takes the whole width."""
    width, height = (float(picture.split(f'{side}="', 1)[1].split('"', 1)[0]) for side in (" width", " height"))
    shape = "wide" if width > 620 and width > 1.6 * height else ""
    return tag("figure", Html(picture), class_=f"picture {shape}")


def sources(runs: Sequence[Shown], *, extra: Winner | None = None) -> Html:
    """Which folders, seeds and commands gave the numbers above."""
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
    if extra is not None and extra.trained:
        lines.append(tag("div", "Full training: ", tag("code", f"{extra.shown.run.artifacts}/winner.json")))
    if len(lines) > NAMED:
        lines = [tag("details", tag("summary", f"The numbers are those of {len(runs)} runs"), lines)]
    return tag("div", lines, class_="source")


def _origin(one: Shown) -> Html | str:
    """What started a run, in a few words."""
    command = one.config.get("command")
    return (
        tag("code", str(command))
        if command
        else "one search of a comparison"
        if one.compared
        else "started from Python"
    )


def page_title(runs: Sequence[Shown]) -> str:
    """What was searched, on what, and how."""
    config: Mapping[str, Any] = runs[0].config
    subject = config.get("data") or (f"the table {config['table']}" if config.get("table") else None)
    strategies = [members[0].found_by for members in by_strategy(runs).values()]
    how = ", ".join(strategies[:3]) + (f" and {len(strategies) - 3} more" if len(strategies) > 3 else "")
    world = f", a {runs[0].world}" if runs[0].world else ""
    return f"{config.get('space', 'A search')}{f' on {subject}' if subject else ''}{world}: {how}"


def within(runs: Sequence[Shown]) -> str:
    """The sentence that every figure of a closed world carries; nothing where the whole space was searched."""
    worlds = {one.world for one in runs if one.world is not None}
    if not worlds:
        return ""
    projected = sum(one.run.projections for one in runs)
    return f"Within a {' or a '.join(sorted(worlds))}; {projected:,} proposals were projected onto its rows."
