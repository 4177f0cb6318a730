"""``ogive latency-table``: milliseconds of every layer of a space, and how well their sums tell whole networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ogive import catalog
from ogive.cli.show import Bar, console
from ogive.core.errors import SpecError, quoted

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command of this file to the application."""
    app.command("latency-table", short_help="Measure every layer of a space.")(latency_table_command)


def latency_table_command(
    space: Annotated[str, typer.Option("--space", help="The space; mnasnet has operators.")] = "mnasnet",
    side: Annotated[int, typer.Option("--side", help="Pixels a side of the images.")] = 32,
    channels: Annotated[int, typer.Option("--channels", help="Width of the stem.")] = 32,
    classes: Annotated[int, typer.Option("--classes", help="Number of classes.")] = 10,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Images in a batch.")] = 1,
    threads: Annotated[int, typer.Option("--threads", help="Threads of torch.")] = 1,
    seconds: Annotated[float, typer.Option("--seconds", help="The most that one layer is measured for.")] = 0.5,
    processor: Annotated[
        bool, typer.Option("--processor", help="The processor's own time, which a busy machine changes less.")
    ] = False,
    check: Annotated[int, typer.Option("--check", help="Random networks that are measured whole, to compare.")] = 0,
    seed: Annotated[int, typer.Option("--seed", help="Of these networks.")] = 0,
    out: Annotated[Path, typer.Option("--out", help="The file.")] = Path("operators.json"),
) -> None:
    """Measure every layer that networks of a space are made of, whose sum tells the latency of each network.

    Example: ogive latency-table --space mnasnet --side 32 --check 24 --out mnasnet-32.json
    """
    if space != "mnasnet":
        raise SpecError(f"Operators are known of the networks of mnasnet, not of {quoted(space)}.")
    write_table = catalog.load("write_operator_table")
    with Bar("operators", None) as bar:
        table, told = write_table(
            (3, side, side),
            out,
            classes=classes,
            channels=channels,
            batch_size=batch_size,
            threads=threads,
            seconds=seconds,
            processor=processor,
            check=check,
            seed=seed,
            progress=lambda done, total: bar.at(done, total=total),
        )
    console.print(f"{len(table.operators):,} operators: {out}")
    if told is not None:
        console.print(
            f"{told.count} networks measured whole: Spearman {told.table:.3f} of the table, {told.macs:.3f} of "
            f"multiply-accumulates; error of the table {told.error:.1%}, bias {told.bias:+.1%}",
            highlight=False,
        )
