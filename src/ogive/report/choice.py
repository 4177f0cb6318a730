"""How the architecture on top of the page was chosen: by a goal, from a front, or by looking at every epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ogive.core.architecture import Architecture
from ogive.report.blocks import picture_figure
from ogive.report.findings import Shown, Winner, pareto_trials, score
from ogive.report.markup import Html, joined, tag
from ogive.report.objectives import goals_of
from ogive.report.wording import metric_name, metric_order, value_of

__all__ = ["chosen_by", "found_at", "front", "last_epoch", "subject"]


def found_at(best: Winner) -> str:
    """The trial and the strategy that found it."""
    by = best.shown.found_by
    return f"trial {best.trial.number} of {by}" if best.trial else by


def subject(best: Winner) -> str:
    """The subject of the sentence about the architecture on top, to be followed by its verb."""
    where = found_at(best)
    if len(best.shown.objectives) < 2:
        return f"The winner, {where},"
    top = ", the best in the first objective," if best.trial is not None and best.trial == best.shown.best() else ","
    return f"Shown here is {where}{top} which"


def front(runs: Sequence[Shown], best: Winner, drawn: bool) -> Html | None:
    """With several objectives: how many trials no other beats, and where they stand; None with one."""
    goals = goals_of(best.shown)
    if len(goals) < 2:
        return None
    trials = pareto_trials(runs)
    measured = sum(len(one.working) for one in runs if one.objectives == best.shown.objectives)
    sought = " and ".join(goal.noun for goal in goals)
    where = tag("a", "the table of candidates", href="#trials")
    figure = joined("; ", tag("a", "a chart", href="#pareto"), " sets accuracy against cost") if drawn else None
    count = f"{len(trials):,} of {measured:,} measured trials {'is' if len(trials) == 1 else 'are'} on the Pareto front"
    return tag(
        "p",
        "With several objectives there is no single winner: ",
        tag("strong", count),
        f" of {sought}, where no other is better in one of them and at least as good in the others. They stand "
        "first in ",
        where,
        figure,
        ".",
        class_="lead",
    )


def chosen_by(runs: Sequence[Shown], best: Winner, told: str | None) -> str:
    """By what the winner was chosen, where that is not plain; `told` is the metric of the sentence before this one."""
    goals = goals_of(best.shown)
    if len(goals) != 1 or best.trial is None or best.trial.scores is None:
        return ""
    epochs = _of_epochs(best) if best.shown.run.answer == "last" else ""
    only = goals[0]
    plain = (only.metric or only.written) in (told, "val_acc")
    reached = "" if plain else f": {only.told(score(best.trial))}"
    if len(runs) > 2:
        return f" It is the best of {len(runs)} runs by {only.noun}{reached}.{epochs}"
    return epochs if plain else f" It was chosen by {only.noun}{reached}.{epochs}"


def last_epoch(best: Winner, draw: Callable[[Architecture], str | None]) -> Html | None:
    """Of a search that answers with its last epoch: that cell and what it reached, where another was put on top."""
    one = best.shown
    if one.run.answer == "best" or best.trial is None or best.trial == one.evaluated[-1]:
        return None
    last = one.evaluated[-1]
    picture = draw(last.arch)
    metrics = sorted(last.metrics.items(), key=lambda item: metric_order(item[0]))
    reached = ", ".join(f"{metric_name(name)} {value_of(name, value)}" for name, value in metrics)
    said = tag(
        "div",
        tag(
            "p",
            f"Trial {last.number}, {reached or 'which failed'}. This, and not the best of all epochs, is what the "
            "paper of such a strategy reports.",
        ),
        tag("p", tag("code", str(last.arch))),
    )
    drawn = picture_figure(picture) if picture else None
    heading = tag("h3", "The answer of the search itself: the cell of its last epoch")
    return joined(heading, tag("div", said, drawn, class_="answer"))


def _of_epochs(best: Winner) -> str:
    """How the winner of a search that answers with its last epoch was chosen."""
    one = best.shown
    looked = "by looking at the table" if one.config.get("table") else "by the measurements of this run"
    most = (
        f"the best of {len(one.evaluated)} epochs, chosen {looked}"
        if best.trial == one.best() and len(one.evaluated) > 1
        else None
    )
    if best.trial == one.evaluated[-1]:
        also = f" It is also {most}." if most else ""
        return f" It is the cell of the last epoch, the answer of the search itself.{also}"
    what = f"It is {most}" if most else "Somebody chose it"
    return f" {what}; the cell of the last epoch, the answer of the search itself, stands below."
