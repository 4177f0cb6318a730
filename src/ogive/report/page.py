"""One HTML file that tells what a search found, with charts and pictures; it opens offline and loads nothing.

Everything is read from run folders, so any old run can be reported again. The file's security policy names the two
scripts by their digests and forbids every request, so that no text of a run can become a script or leave the page.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

from ogive.catalog import version
from ogive.core.architecture import Architecture
from ogive.core.errors import OgiveError, SpecError, StoreError
from ogive.core.space import SearchSpace
from ogive.report import sections
from ogive.report.answer import answer_section
from ogive.report.cells import picture
from ogive.report.curves import Figure, anytime_figure, figure_section, training_figure
from ogive.report.epochs import epochs_section
from ogive.report.evidence import equal_budgets
from ogive.report.facts import Facts, facts_of
from ogive.report.kernels import kernels_section
from ogive.report.markup import Html, joined, script_json, tag
from ogive.report.member import Member, by_strategy
from ogive.report.scatter import Album, agreement_figure, pareto_figure
from ogive.report.wording import listed
from ogive.runs import Run
from ogive.tables.kernels import read_kernels

__all__ = ["KERNELS", "Drawing", "document", "page", "write_page", "write_text"]

# Where a run keeps what NASWOT sees of some of its candidates, among its artifacts.
KERNELS = "kernels.npz"

# Settings without which there is nothing to say about a run.
REQUIRED = ("space", "strategy", "objectives")

logger = logging.getLogger(__name__)


def write_page(runs: Sequence[Run], path: Path, *, title: str | None = None) -> Path:
    """Write the page of one or several runs to `path`; missing folders are made.

    The answer comes from the run with the best score; random searches are the baseline. Raises SpecError without runs,
    StoreError for an incomplete ``run.json``, a damaged ``artifacts/winner.json`` and when the file cannot be written.
    """
    path = Path(path)
    return write_text(page(runs, title=title, path=path), path)


def write_text(text: str, path: Path) -> Path:
    """Write a page; missing folders are made, and StoreError says why it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"The page cannot be written to {path} ({error.strerror}); choose another --out.") from error
    return path


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
    if best is not None and best.trial is not None:
        album.add(best.one, best.trial, picture=True)
    anytime = anytime_figure(facts)
    pareto = pareto_figure(facts, album)
    agreement = agreement_figure(facts, album)
    training = training_figure(best) if best is not None else None
    parts = [
        answer_section(facts, drawing.picture, drawing.spelled),
        figure_section(anytime, runs, facts.within, after=equal_budgets(facts)),
        figure_section(pareto, runs, facts.within) if pareto else None,
        figure_section(agreement, runs, facts.within) if agreement else None,
        _kernels(facts, drawing.picture),
        figure_section(training, [facts.lead], facts.within) if training else None,
        epochs_section(facts),
        sections.trials_section(facts, album),
        sections.failures_section(facts),
        sections.environment_section(runs),
        sections.reproduce_section(facts, path),
    ]
    return [figure for figure in (anytime, pareto, agreement, training) if figure is not None], joined(parts)


def _kernels(facts: Facts, picture: Callable[[Architecture], str | None]) -> Html | None:
    """What NASWOT sees of three candidates, where `ogive report --kernels` has kept that in the run."""
    path = facts.lead.run.artifacts / KERNELS
    if not path.exists():
        return None
    told = {trial.arch: listed(facts.metrics, trial.metrics) for trial in facts.lead.working}
    return kernels_section(read_kernels(path), told, picture, str(path))


class Drawing:
    """Pictures and published names of architectures, as far as their spaces are known here."""

    def __init__(self, spaces: Iterable[SearchSpace | None]) -> None:
        self._spaces = {space.name: space for space in spaces if space is not None}

    def picture(self, arch: Architecture) -> str | None:
        """The picture as SVG, or None."""
        return self._told(arch, picture)

    def spelled(self, arch: Architecture) -> str:
        """The published text form, or ogive's own."""
        return self._told(arch, SearchSpace.format) or str(arch)

    def _told(self, arch: Architecture, tell: Callable[[SearchSpace, Architecture], str]) -> str | None:
        space = self._spaces.get(arch.space)
        try:
            return None if space is None else tell(space, space.admit(arch))
        except OgiveError as error:
            logger.warning("No picture of %s: %s", arch, error)
            return None


# -- the document -----------------------------------------------------------------------------------------------------

SECTIONS = (
    ("answer", "Answer"),
    ("anytime", "Best so far"),
    ("pareto", "Quality against cost"),
    ("agreement", "Other scores"),
    ("ranking", "How the scores rank"),
    ("kernels", "What NASWOT sees"),
    ("training", "Training"),
    ("epochs", "Epochs"),
    ("trials", "Candidates"),
    ("failures", "Failures"),
    ("environment", "Environment"),
    ("reproduce", "How to reproduce"),
)


def document(title: str, told: str, body: Html, data: Html) -> str:
    """The whole file: a title, a line that says where the numbers are from, sections, and the data of the charts."""
    plotly, own = _plotly(), _asset("page.js")
    policy = (
        f"default-src 'none'; script-src {_digest(plotly)} {_digest(own)}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    present = [(name, words) for name, words in SECTIONS if f'<section id="{name}"' in body]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="generator", content=f"ogive {version()}"),
        tag("title", title),
        tag("style", _asset("page.css")),
    )
    main = tag(
        "main",
        tag(
            "header",
            tag("h1", title),
            tag("p", told),
            tag("nav", [tag("a", words, href=f"#{name}") for name, words in present], aria_label="Sections"),
        ),
        tag("noscript", tag("p", "The charts need JavaScript; the tables below them hold the same numbers.")),
        body,
        tag("footer", f"Made by ogive {version()}. This file loads nothing from anywhere."),
    )
    scripts = joined(
        tag("script", data, type="application/json", id="ogive-data"), tag("script", plotly), tag("script", own)
    )
    card = tag("div", id="card", role="tooltip", hidden=True)
    return f"<!doctype html>\n{tag('html', head, tag('body', main, card, scripts), lang='en')}\n"


@cache
def _plotly() -> Html:
    from plotly.offline import get_plotlyjs

    # A parser of HTML turns CR LF into LF before it digests a script.
    return Html(get_plotlyjs().replace("\r\n", "\n"))


@cache
def _asset(name: str) -> Html:
    return Html(files("ogive.report").joinpath(name).read_text(encoding="utf-8"))


def _digest(script: Html) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
