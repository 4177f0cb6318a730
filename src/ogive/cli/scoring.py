"""``ogive score``: score architectures without training them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from ogive import catalog
from ogive.cli.show import Bar, console, duration, table
from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError
from ogive.core.space import SearchSpace
from ogive.scoring import Row, Scoring, planned, score

__all__ = ["register"]

# So many rows are shown on the terminal; a file holds them all.
SHOWN = 10


def register(app: typer.Typer) -> None:
    """Add the command of this file to the application."""
    app.command("score")(score_command)


def score_command(
    archs: Annotated[list[str] | None, typer.Argument(help="Architectures, in any text form.")] = None,
    space: Annotated[str | None, typer.Option("--space", help="The space of a sample, or of all.")] = None,
    sample: Annotated[int | None, typer.Option("--sample", help="So many different random architectures.")] = None,
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
    workers: Annotated[int, typer.Option("--workers", help="Processes at work at the same time.")] = 1,
    out: Annotated[Path | None, typer.Option("--out", help="The table, a .csv file; goes on where it stopped.")] = None,
) -> None:
    """Score architectures without training them, into a table that can be stopped and gone on with.

    Example: ogive score nasbench201:3,3,3,3,3,3 nasbench201:1,1,1,1,1,1 --data digits --channels 8 --cells 1

    Example: ogive score --space nasbench201 --sample 1000 --proxies naswot,synflow,params --data cifar10 --workers 2
    --out scores.csv
    """
    if data is None:
        raise SpecError("Scores look at images: give --data digits, or cifar10, images:FOLDER, ….")
    chosen = _architectures(archs or [], space, sample, whole=whole, seed=seed)
    settings = Scoring(
        space=chosen[0].space,
        data=data,
        proxies=tuple(name.strip() for name in proxies.split(",") if name.strip()),
        seed=seed,
        batch_size=batch_size,
        channels=channels,
        cells=cells,
        pruned=pruned,
        device=device,
        threads=threads,
    )
    started = time.perf_counter()
    try:
        with Bar("scores", len(chosen)) as bar:
            rows = score(settings, chosen, out, workers=workers, progress=lambda done, _: bar.at(done))
    except KeyboardInterrupt:
        kept = f" The rows in {out} are kept; the same command goes on." if out is not None else ""
        console.print(f"Interrupted.{kept}")
        raise typer.Exit(130) from None
    _print(rows, settings.proxies, out, time.perf_counter() - started)


def _architectures(
    texts: list[str], space: str | None, sample: int | None, *, whole: bool, seed: int
) -> list[Architecture]:
    if bool(texts) + (sample is not None) + whole != 1:
        raise SpecError("Give architectures, or --space with --sample 1000, or --space with --all.")
    if not texts:
        if space is None:
            raise SpecError("A sample needs a space: give --space nasbench201 (`ogive list space` names them all).")
        return planned(catalog.build("space", space), sample, seed)
    found = [_parsed(text, space) for text in texts]
    if len({arch.space for arch in found}) > 1:
        raise SpecError("The architectures of one table belong to one space; score the others into another --out.")
    return found


def _parsed(text: str, name: str | None) -> Architecture:
    """An architecture in the one text form, or in that of its space."""
    prefix = text.partition(":")[0]
    told = name or (prefix if prefix in catalog.names("space") else None)
    if told is not None:
        space: SearchSpace = catalog.build("space", told)
        return space.parse(text)
    for known in catalog.names("space"):
        try:
            return _parsed(text, known)
        except InvalidArchitecture:
            continue
    raise SpecError(f"{text!r} is no architecture such as nasbench201:3,1,2,0,0,4.")


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
