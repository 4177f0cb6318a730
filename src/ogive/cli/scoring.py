"""``ogive score`` and ``ogive correlate``: score architectures without training them, and how well that ranks them."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from ogive import catalog
from ogive.cli.searching import command_line
from ogive.cli.show import Bar, console, duration, table
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.space import SearchSpace
from ogive.evaluators.ranked import Combine
from ogive.files import write_json
from ogive.metrics import FEW, Interval
from ogive.runs import read_run
from ogive.scoring import (
    Correlation,
    Row,
    Scoring,
    correlations,
    keep_kernels,
    measured,
    parsed,
    planned,
    score,
    with_standing,
)
from ogive.tables.kernels import three_of
from ogive.tables.scores import read_settings
from ogive.tables.world import ClosedWorld

__all__ = ["register"]

# So many rows are shown on the terminal; a file holds them all.
SHOWN = 10


def register(app: typer.Typer) -> None:
    """Add the commands of this file to the application."""
    app.command("score", short_help="Score architectures without training them.")(score_command)
    app.command("correlate", short_help="How well metrics of a run rank its networks.")(correlate_command)


def score_command(
    archs: Annotated[list[str] | None, typer.Argument(help="Architectures, in any text form.")] = None,
    space: Annotated[str | None, typer.Option("--space", help="The space of a sample, or of all.")] = None,
    sample: Annotated[int | None, typer.Option("--sample", help="So many different random architectures.")] = None,
    skip: Annotated[int, typer.Option("--skip", help="Leave out so many of the sample, its first.")] = 0,
    whole: Annotated[bool, typer.Option("--all", help="All architectures of the space.")] = False,
    proxies: Annotated[
        str, typer.Option("--proxies", help="Scores with commas; `ogive list score` names them.")
    ] = "naswot,params",
    data: Annotated[
        str | None, typer.Option("--data", help="digits, cifar10, images:FOLDER, arrays:FILE.npz, …")
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Images that all networks see.")] = 128,
    channels: Annotated[int | None, typer.Option("--channels", help="Width of the networks.")] = None,
    cells: Annotated[int | None, typer.Option("--cells", help="Depth of the networks.")] = None,
    pruned: Annotated[bool, typer.Option("--pruned", help="Leave dead branches out, unlike the papers.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="The root of all randomness.")] = 0,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, …")] = "cpu",
    threads: Annotated[int, typer.Option("--threads", help="Threads of each process.")] = 1,
    workers: Annotated[
        str, typer.Option("--workers", help="Processes at work, or an executor: 4, processes(4).")
    ] = "1",
    against: Annotated[
        str | None, typer.Option("--against", help="Columns of --table, with commas: how do the scores rank them?")
    ] = None,
    table_name: Annotated[
        str | None, typer.Option("--table", help="An imported benchmark table, or its folder.")
    ] = None,
    above: Annotated[
        float | None, typer.Option("--above", help="Correlate only where the column is above this, as papers do.")
    ] = None,
    combine: Annotated[
        Combine | None, typer.Option("--combine", help="Also show all scores as one, by their ranks.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The table, a .csv file; goes on where it stopped.")] = None,
    page: Annotated[
        bool, typer.Option("--page", help="Also write an HTML page about the table, and what NASWOT sees of three.")
    ] = False,
) -> None:
    """Score architectures without training them, into a table that can be stopped and gone on with.

    Example: ogive score nasbench201:3,3,3,3,3,3 nasbench201:1,1,1,1,1,1 --data digits --channels 8 --cells 1

    Example: ogive score --space nasbench201 --sample 1000 --proxies naswot,synflow,params --data cifar10 --workers 2
    --out scores.csv
    """
    columns = _listed(against or "")
    if page and out is None:
        raise SpecError("A page is about a table: give --out scores.csv, and it becomes scores.html.")
    if data is None:
        raise SpecError("Scores look at images: give --data digits, or cifar10, images:FOLDER, ….")
    truth = _truth(table_name, columns, above, drawn=whole or sample is not None)
    chosen = _architectures(archs or [], space, sample, whole=whole, seed=seed, table=truth)
    chosen = _without_first(chosen, skip, drawn=sample is not None)
    for arch in chosen if columns else ():
        truth.row(arch)  # one that the table lacks is refused now, not after hours of scoring
    settings = Scoring(
        space=space or chosen[0].space,
        data=data,
        proxies=_listed(proxies),
        seed=seed,
        batch_size=batch_size,
        channels=channels,
        cells=cells,
        pruned=pruned,
        device=device,
        threads=threads,
        world=None if archs or truth is None or truth.complete else f"{truth.name}, digest {truth.digest}",
    )
    started = time.perf_counter()
    try:
        with Bar("scores", len(chosen)) as bar:
            rows = score(settings, chosen, out, workers=workers, progress=lambda done, _: bar.at(done))
    except KeyboardInterrupt:
        kept = f" The rows in {out} are kept; the same command goes on." if out is not None else ""
        console.print(f"Interrupted.{kept}")
        raise typer.Exit(130) from None
    names = settings.proxies
    if combine is not None:
        names, rows = with_standing(names, rows, combine)
    _print(rows, names, out, time.perf_counter() - started)
    found = {column: _print_correlations(rows, names, truth, column, above, out, combine) for column in columns}
    if page and out is not None:
        _write_page(out, settings, names, rows, truth, found, above)


def _listed(text: str) -> tuple[str, ...]:
    """The names in a text with commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _truth(name: str | None, columns: tuple[str, ...], above: float | None, *, drawn: bool) -> Any:
    """The table, if one is named; it must be of use: for columns, or as the world that a sample is drawn from."""
    if (columns and name is None) or (not columns and (above is not None or (name is not None and not drawn))):
        raise SpecError("Correlations need both: --table nasbench201 --against c10_test_200.")
    if name is None:
        return None
    table = catalog.load("open_table")(name)
    for column in columns:
        table.column(column)  # an unknown one is refused now
    return table


def correlate_command(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    metrics: Annotated[str, typer.Option("--metrics", help="What ranks, with commas: naswot,params.")],
    truth: Annotated[str, typer.Option("--truth", help="What it should rank.")] = "val_acc",
    above: Annotated[
        float | None, typer.Option("--above", help="Only trials where the truth is above this, as papers do.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Keep the figures in this .json file.")] = None,
) -> None:
    """Say how well some metrics of a run rank its architectures by another: rank correlations with intervals.

    Example: ogive correlate runs/resnext --truth val_acc --metrics naswot,params
    """
    names = _listed(metrics)
    if not names or truth in names:
        raise SpecError(f"Give metrics other than the truth, as in --truth val_acc --metrics naswot; got {metrics!r}.")
    rows, known = measured(read_run(run), truth, names)
    _print_found(rows, names, known, truth, above, out, {"run": run.name}, option="--metrics")


def _architectures(
    texts: list[str], space: str | None, sample: int | None, *, whole: bool, seed: int, table: Any
) -> list[Architecture]:
    if bool(texts) + (sample is not None) + whole != 1:
        raise SpecError("Give architectures, or --space with --sample 1000, or --space with --all.")
    if not texts:
        if space is None:
            raise SpecError("A sample needs a space: give --space nasbench201 (`ogive list space` names them all).")
        drawn: SearchSpace = catalog.build("space", space)
        if table is not None and not table.complete:  # the rest of the space has no truth to be compared with
            drawn = ClosedWorld.of(drawn, table)
            console.print(f"The architectures are drawn from a {drawn}.")
        return planned(drawn, sample, seed)
    found = [parsed(text, space) for text in texts]
    if len({arch.space for arch in found}) > 1:
        raise SpecError("The architectures of one table belong to one space; score the others into another --out.")
    return found


def _without_first(chosen: list[Architecture], skip: int, *, drawn: bool) -> list[Architecture]:
    """What is left of a sample whose first were scored before: a larger sample begins with the smaller one."""
    if skip and not (drawn and 0 < skip < len(chosen)):
        raise SpecError(f"--skip leaves out some of a --sample and not all, but got {skip} of {len(chosen)}.")
    return chosen[skip:]


def _print_correlations(
    rows: list[Row],
    proxies: tuple[str, ...],
    truth: Any,
    against: str,
    above: float | None,
    out: Path | None,
    combine: Combine | None,
) -> list[Correlation]:
    known = {row.arch: truth.value(row.arch, against) for row in rows}
    only = "" if above is None else f"-above-{above:g}"
    kept = None if out is None else out.with_suffix(f".{against}{only}.json")
    about = {"table": truth.name, "table_digest": truth.digest, **({} if combine is None else {"combine": combine})}
    return _print_found(rows, proxies, known, against, above, kept, about)


def _print_found(
    rows: list[Row],
    proxies: tuple[str, ...],
    known: dict[Architecture, float],
    against: str,
    above: float | None,
    out: Path | None,
    about: dict[str, str],
    *,
    option: str = "--proxies",
) -> list[Correlation]:
    """Print the rank correlations of scores with a truth, and keep them in a file with what they are `about`.

    `option` is where the command takes the names of scores.
    """
    counted = {arch: value for arch, value in known.items() if value > (-math.inf if above is None else above)}
    found, count = correlations(proxies, rows, counted)
    where = "" if above is None else f", those above {above:g}"
    kind = "which are too few for an interval" if count < FEW else "[95 % bootstrap interval]"
    title = f"rank correlation with {against} of {count} architectures{where}, {kind}"
    lines = [(it.proxy, _ranged(it.tau, it.tau_interval), _ranged(it.rho, it.rho_interval)) for it in found]
    table(title, ("score", "Kendall's τ>", "Spearman's ρ>"), lines)
    if "params" not in proxies:
        console.print(f"The number of parameters is the baseline to beat: add params to {option}.")
    if out is not None:
        facts = {**about, "column": against, "above": above, "n": count}
        write_json(out, {"schema": 1, **facts, "scores": [it.to_json() for it in found]})
        console.print(f"kept: {out}")
    return found


def _write_page(
    out: Path,
    settings: Scoring,
    names: tuple[str, ...],
    rows: list[Row],
    truth: Any,
    found: dict[str, list[Correlation]],
    above: float | None,
) -> None:
    """Write the page beside the table; its three networks are chosen by the first column, or by the first score."""
    from ogive.reporting.scores import Judged

    judged = [
        Judged(
            truth.about(column).metric(column),
            {row.arch: truth.value(row.arch, column) for row in rows},
            [it.to_json() for it in scores],
            above,
        )
        for column, scores in found.items()
    ]
    # A network that is cut off from its input has nothing to see.
    finite = [row for row in rows if row.scores is not None and all(map(math.isfinite, row.scores))]
    chosen = three_of({row.arch: judged[0].values[row.arch] if judged else (row.scores or ())[0] for row in finite})
    kernels = keep_kernels(settings, chosen, out.with_suffix(".kernels.npz")) if chosen else []
    path = catalog.load("write_score_page")(
        out.with_suffix(".html"),
        file=out,
        settings={**read_settings(out), "proxies": list(names)},
        rows=rows,
        judged=judged,
        kernels=kernels,
        command=command_line(),
    )
    console.print(f"page: {path}")


def _ranged(value: float, interval: Interval) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:.3f}" + ("" if math.isnan(interval.low) else f" [{interval.low:.3f}, {interval.high:.3f}]")


def _print(rows: list[Row], proxies: tuple[str, ...], out: Path | None, seconds: float) -> None:
    failed = sum(row.scores is None for row in rows)
    shown = rows if out is None else rows[:SHOWN]
    lines = [
        (
            str(row.arch),
            *(f"{value:.6g}" for value in row.scores or ()),
            *([""] * len(proxies) if row.error else []),
            row.error,
        )
        for row in shown
    ]
    table(None, ("architecture", *(f"{name}>" for name in proxies), ""), lines)
    more = f", of which {len(shown)} are shown" if len(shown) < len(rows) else ""
    console.print(f"{len(rows)} architectures{more}, {failed} failed; this time {duration(seconds)}")
    if out is not None:
        console.print(f"table: {out}   settings: {out.with_suffix('.json')}")
    if failed == len(rows):
        raise typer.Exit(1)
