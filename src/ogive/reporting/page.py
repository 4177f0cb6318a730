"""One HTML file that tells what a search found, with charts and pictures; it opens offline and loads nothing.

Everything is read from run folders, so any old run can be reported again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ogive.core.errors import SpecError, StoreError
from ogive.reporting import tables
from ogive.reporting.answer import answer_section
from ogive.reporting.answers import mistakes_section
from ogive.reporting.cells import Drawing
from ogive.reporting.curves import Figure, anytime_figure, figure_section, training_figure
from ogive.reporting.evidence import equal_budgets
from ogive.reporting.facts import Facts, facts_of
from ogive.reporting.markup import Html, document, joined, listed, script_json, write_text
from ogive.reporting.member import Member, by_strategy
from ogive.reporting.paired_tests import paired_tests
from ogive.reporting.scatter import Album, agreement_figure, pareto_figure
from ogive.reporting.scores import kernels_section
from ogive.runs import Run
from ogive.tables.kernels import read_kernels

__all__ = ["page", "write_page"]

# Where a run keeps what NASWOT sees of some of its candidates, among its artifacts.
KERNELS = "kernels.npz"

# Settings without which there is nothing to say about a run.
REQUIRED = ("space", "strategy", "objectives")


def write_page(runs: Sequence[Run], path: Path, *, title: str | None = None) -> Path:
    """Write the page of one or several runs to `path`; missing folders are made.

    The answer comes from the run with the best score; random searches are the baseline. Raises SpecError without runs,
    StoreError for an incomplete ``run.json``, a damaged record of a trained network, or a file that cannot be written.
    """
    path = Path(path)
    return write_text(page(runs, title=title, path=path), path)


def page(runs: Sequence[Run], *, title: str | None = None, path: Path | None = None) -> str:
    """The page as text. `path` is where it will lie, for the command that makes it again."""
    if not runs:
        raise SpecError("A page needs at least one run folder, but got none.")
    for run in runs:
        _require_settings(run)
    facts = facts_of(runs)
    drawing = Drawing(one.space for one in facts.runs)
    album = Album(drawing.picture, facts.metrics)
    figures, body = _body(facts, drawing, album, str(path or "report.html"))
    data = script_json({"charts": [figure.data() for figure in figures], **album.data()})
    told = "Every number of a candidate is read from the run's trials.jsonl, one line a trial."
    return document(title or _title(facts.runs), told, body, data)


def _title(runs: Sequence[Member]) -> str:
    """What was searched, on what, and how."""
    config = runs[0].config
    subject = config.get("data") or (f"the table {config['table']}" if config.get("table") else None)
    strategies = [members[0].found_by for members in by_strategy(runs).values()]
    how = ", ".join(strategies[:3]) + (f" and {len(strategies) - 3} more" if len(strategies) > 3 else "")
    world = f", a {runs[0].world}" if runs[0].world else ""
    return f"{config.get('space', 'A search')}{f' on {subject}' if subject else ''}{world}: {how}"


def _require_settings(run: Run) -> None:
    """Refuse a run.json that does not say what was searched."""
    missing = [name for name in REQUIRED if not run.config.get(name)]
    if missing:
        raise StoreError(
            f"{run.folder / 'run.json'} is incomplete: it has no {', '.join(missing)}. Restore the file, or leave this "
            "run out."
        )


def _body(facts: Facts, drawing: Drawing, album: Album, path: str) -> tuple[list[Figure], Html]:
    """The figures to draw, and the sections that hold them."""
    runs, best = facts.runs, facts.winner
    if best is not None:
        album.add(best.one, best.trial, picture=True)
    anytime = anytime_figure(facts)
    pareto = pareto_figure(facts, album)
    agreement = agreement_figure(facts, album)
    training = training_figure(best) if best is not None else None
    parts = [
        answer_section(facts, drawing),
        tables.data_section(facts),
        figure_section(anytime, runs, facts.within, after=joined(equal_budgets(facts), paired_tests(facts))),
        figure_section(pareto, runs, facts.within) if pareto else None,
        figure_section(agreement, runs, facts.within) if agreement else None,
        _kernels(facts, drawing),
        figure_section(training, [facts.lead], facts.within) if training else None,
        mistakes_section(facts),
        tables.epochs_section(facts),
        tables.trials_section(facts, album),
        tables.failures_section(facts),
        tables.environment_section(runs),
        tables.reproduce_section(facts, path),
    ]
    return [figure for figure in (anytime, pareto, agreement, training) if figure is not None], joined(parts)


def _kernels(facts: Facts, drawing: Drawing) -> Html | None:
    """What NASWOT sees of three candidates, where `ogive report --kernels` has kept that in the run."""
    path = facts.lead.run.artifacts / KERNELS
    if not path.exists():
        return None
    told = {trial.arch: listed(facts.metrics, trial.metrics) for trial in facts.lead.working}
    return kernels_section(read_kernels(path), told, drawing.picture, str(path))
