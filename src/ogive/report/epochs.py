"""A search that trains a supernet, epoch by epoch: what it would have derived, and whether it collapsed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ogive.core.architecture import Architecture
from ogive.core.space import Choice, SearchSpace
from ogive.core.trial import Trial
from ogive.report.blocks import cell, number_cell, sources, table
from ogive.report.findings import Shown, score
from ogive.report.markup import Html, joined, tag
from ogive.report.wording import metric_name, metric_order, value_of

__all__ = ["epochs_section", "skip_connections"]

SKIP = "skip_connect"


def skip_connections(space: SearchSpace, arch: Architecture) -> tuple[int, int]:
    """How many of the operations that an architecture chooses are skip connections, and how many could be."""
    chosen = [
        variable.options[int(choice)]
        for variable, choice in zip(space.variables, arch.choices, strict=True)
        if isinstance(variable, Choice) and SKIP in variable.options
    ]
    return chosen.count(SKIP), len(chosen)


def epochs_section(runs: Sequence[Shown], space_of: Callable[[Architecture], SearchSpace | None]) -> Html | None:
    """For each search whose proposals cost time of their own, the cell of every epoch; None if there is no such."""
    parts = []
    shown = []
    for one in runs:
        trials = one.evaluated
        space = space_of(trials[0].arch) if trials else None
        if space is None or not all(trial.proposal.cost.wall_s > 0 for trial in trials):
            continue
        if skip_connections(space, trials[0].arch)[1]:
            parts += _of_run(one, trials, space)
            shown.append(one)
    if not shown:
        return None
    text = (
        "Each proposal is what the search would have derived after that epoch. The paper of such a strategy takes the "
        "last one: the best of all epochs was chosen with the measurements of this run."
    )
    return tag(
        "section", tag("h2", "Epochs of the supernet"), tag("p", text), joined(parts), sources(shown), id="epochs"
    )


def _of_run(one: Shown, trials: Sequence[Trial], space: SearchSpace) -> list[Html]:
    names = sorted({name for trial in one.working for name in trial.metrics}, key=metric_order)
    rows = []
    for place, trial in enumerate(trials, start=1):
        skips, among = skip_connections(space, trial.arch)
        cells = [number_cell(place, str(place)), cell(tag("span", str(trial.arch), class_="mono"))]
        cells += [number_cell(skips, f"{skips} of {among}"), number_cell(score(trial))]
        cells += [
            number_cell(trial.metrics.get(name, float("nan")), value_of(name, trial.metrics.get(name)))
            for name in names
        ]
        rows.append([*cells, number_cell(trial.proposal.cost.wall_s)])
    headers = ["Epoch", "Derived", "Skip connections", "Score", *map(metric_name, names), "seconds"]
    heading = tag(
        "p", tag("span", one.tag, class_="badge"), f" {one.strategy}, seed {one.seed}. {_collapse(trials, space)}"
    )
    return [heading, table(headers, rows, sortable=True)]


def _collapse(trials: Sequence[Trial], space: SearchSpace) -> str:
    """Whether every operation became a skip connection, and from when on."""
    whole = [skips == among for skips, among in (skip_connections(space, trial.arch) for trial in trials)]
    if not any(whole):
        return "It did not collapse: no derived cell is made of skip connections alone."
    since = whole.index(True) + 1
    kept = all(whole[since - 1 :])
    return f"It collapsed: in epoch {since}{' and ever after' if kept else ''} every operation is a skip connection."
