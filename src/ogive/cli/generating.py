"""``ogive deepnets``: the architectures of DeepNets-1M, as many as one wants."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ogive import catalog
from ogive.cli.show import Bar, console

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command of this file to the application."""
    app.command("deepnets")(deepnets_command)


def deepnets_command(
    out: Annotated[Path, typer.Argument(help="The folder to write; what is there of the same networks is kept.")],
    split: Annotated[
        str, typer.Option("--split", help="train, val, test, wide, deep, dense, bnfree or search.")
    ] = "train",
    count: Annotated[int, typer.Option("--count", min=1, help="How many networks.")] = 1_000_000,
    seed: Annotated[
        int | None, typer.Option("--seed", help="What they are drawn from.  [default: 0 for val, 1 for the others]")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="How many processes write.")] = 1,
) -> None:
    """Draw networks of DeepNets-1M and write them to files; the same command goes on where one was stopped.

    Example: ogive deepnets deepnets/train --count 1000000 --workers 2

    Example: ogive deepnets deepnets/val --split val --count 500
    """
    drawn_from = (0 if split == "val" else 1) if seed is None else seed
    with Bar(f"networks of {split}", count) as bar:
        shards = catalog.load("write_deepnets")(out, split, count, drawn_from, workers=workers, tell=bar.at)
    nodes = shards.nodes()
    console.print(
        f"{len(shards):,} networks of the split {split} in {out}: {nodes.min()} to {nodes.max()} nodes, "
        f"{nodes.mean():.1f} on average."
    )
