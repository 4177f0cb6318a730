"""A search that trains a supernet, epoch by epoch: what it would have derived, and whether it collapsed."""

from __future__ import annotations

from collections.abc import Sequence

from ogive.core.architecture import Architecture
from ogive.core.space import Choice, SearchSpace
from ogive.core.trial import Trial
from ogive.report.commands import sources
from ogive.report.drawing import family
from ogive.report.facts import Facts
from ogive.report.markup import Html, cell, joined, number_cell, table, tag
from ogive.report.member import Member
from ogive.report.sections import Columns

__all__ = ["epochs_section", "skip_connections", "weightless_cells"]

SKIP = "skip_connect"
WEIGHTLESS = frozenset({"none", "skip", "pool"})


def skip_connections(space: SearchSpace, arch: Architecture) -> tuple[int, int]:
    """How many of the operations that an architecture chooses are skip connections, and how many could be."""
    chosen = [
        variable.options[int(choice)]
        for variable, choice in zip(space.variables, arch.choices, strict=True)
        if isinstance(variable, Choice) and SKIP in variable.options
    ]
    return chosen.count(SKIP), len(chosen)


def weightless_cells(space: SearchSpace, arch: Architecture) -> tuple[int, int]:
    """In how many of the cells that an architecture chooses no operation has weights, and how many cells there are.

    A skip connection that halves the image has some in many networks; it counts as one without, as in the papers.
    """
    cells: dict[str, list[str]] = {}
    for variable, choice in zip(space.variables, arch.choices, strict=True):
        if isinstance(variable, Choice) and SKIP in variable.options:
            # "normal.3.lower" belongs to the cell "normal"; where there is one cell, its edges are called "0>1".
            cell_name = variable.name.partition(".")[0] if "." in variable.name else ""
            cells.setdefault(cell_name, []).append(family(str(variable.options[int(choice)])))
    return sum(WEIGHTLESS.issuperset(families) for families in cells.values()), len(cells)


def epochs_section(facts: Facts) -> Html | None:
    """For each search that answers with its last epoch, the cell of every epoch; None if there is no such."""
    shown = [one for one in facts.runs if one.answer == "last" and _chooses_operations(one)]
    if not shown:
        return None
    text = (
        "Each proposal is what the search would have derived after that epoch. The paper of such a strategy takes the "
        "last one: the best of all epochs was chosen with the measurements of this run."
    )
    parts = [_of_run(one, one.space, facts) for one in shown if one.space is not None]
    return tag(
        "section", tag("h2", "Epochs of the supernet"), tag("p", text), joined(parts), sources(shown), id="epochs"
    )


def _chooses_operations(one: Member) -> bool:
    return one.space is not None and bool(one.evaluated) and skip_connections(one.space, one.evaluated[0].arch)[1] > 0


def _of_run(one: Member, space: SearchSpace, facts: Facts) -> Html:
    columns = Columns([one], facts.metrics)
    rows = []
    for place, trial in enumerate(one.evaluated, start=1):
        skips, among = skip_connections(space, trial.arch)
        cells = [number_cell(place, str(place)), cell(tag("span", str(trial.arch), class_="mono"))]
        rows.append([*cells, number_cell(skips, f"{skips} of {among}"), *columns.cells(trial)])
    headers = ["Epoch", "Derived", "Skip connections", *columns.headers]
    badge = tag("span", one.tag, class_="badge")
    heading = tag("p", badge, f" {one.strategy}, seed {one.seed}. {_collapse(one.evaluated, space)}")
    return joined(heading, table(headers, rows, sortable=True))


def _collapse(trials: Sequence[Trial], space: SearchSpace) -> str:
    """Whether, and from when on, nothing that was chosen has weights."""
    counts = [weightless_cells(space, trial.arch) for trial in trials]
    whole = [empty == cells for empty, cells in counts]
    if not any(whole):
        some = sum(empty > 0 for empty, _ in counts)
        if not some:
            return "It did not collapse: every derived cell has an operation with weights."
        return (
            "It did not collapse as a whole, since some operation with weights is left after every epoch. But after "
            f"{some} of {len(trials)} epochs there is a cell without any."
        )
    since = whole.index(True) + 1
    ever = " and ever after" if all(whole[since - 1 :]) else ""
    skips, among = skip_connections(space, trials[since - 1].arch)
    what = (
        "every operation is a skip connection"
        if skips == among
        else "every operation is a skip connection, a pooling or none"
    )
    return f"It collapsed: in epoch {since}{ever} no operation has weights; in epoch {since} {what}."
