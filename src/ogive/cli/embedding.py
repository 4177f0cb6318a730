"""``ogive embed``: networks as points, by what a hypernetwork makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ogive import catalog
from ogive.cli.searching import command_line
from ogive.cli.show import Bar, console, shape_of, table
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, quoted
from ogive.core.space import SearchSpace
from ogive.scoring import parsed, planned

__all__ = ["register"]

SHOWN = 10


def register(app: typer.Typer) -> None:
    """Add the command of this file to the application."""
    app.command("embed", short_help="Networks as points: a table, a map and nearest neighbours.")(embed_command)


def embed_command(
    targets: Annotated[
        list[str] | None, typer.Argument(help="Architectures, or FILE.py:FUNCTION for modules of your own.")
    ] = None,
    space: Annotated[str | None, typer.Option("--space", help="The space of a sample.")] = None,
    sample: Annotated[int | None, typer.Option("--sample", help="So many random architectures of the space.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="What the sample is drawn from.")] = 0,
    ghn: Annotated[
        Path | None, typer.Option("--ghn", help="A file of a hypernetwork.  [default: the one that comes with ogive]")
    ] = None,
    shape: Annotated[str, typer.Option("--shape", help="Channels, height and width of the images.")] = "3,32,32",
    channels: Annotated[int | None, typer.Option("--channels", help="Width of architectures' networks.")] = None,
    cells: Annotated[int | None, typer.Option("--cells", help="Their depth.")] = None,
    table_name: Annotated[str | None, typer.Option("--table", help="A table that knows the architectures.")] = None,
    on: Annotated[str | None, typer.Option("--on", help="The column of the table that colours the map.")] = None,
    neighbours: Annotated[int, typer.Option("--neighbours", min=1, help="How many nearest are told of each.")] = 5,
    out: Annotated[Path, typer.Option("--out", help="The table as CSV; its page lies beside it.")] = Path(
        "embeddings.csv"
    ),
) -> None:
    """Turn networks into points, and show which are near each other: a table, a map and nearest neighbours.

    A network's point is the mean of what a hypernetwork makes of its nodes, before any parameter is decoded. The map
    has the two principal components.

    Example: ogive embed --space nasbench201 --sample 100 --cells 1 --out embeddings.csv

    Example: ogive embed --space nasbench201 --sample 100 --table nasbench201 --on c10_test_200

    Example: ogive embed model.py:make model.py:other nasbench201:3,3,3,1,3,2 --shape 3,32,32
    """
    chosen = _targets(targets or [], space, sample, seed)
    values = _values(chosen, table_name, on)
    with Bar("networks", len(chosen)) as bar:
        found, page = catalog.load("embedded_files")(
            chosen,
            out,
            ghn=ghn,
            shape=shape_of(shape),
            channels=channels,
            cells=cells,
            neighbours=neighbours,
            values=values,
            column=on,
            command=command_line(),
            tell=lambda done, total: bar.at(done, total=total),
        )
    lines = [
        (name, str(found.nodes[place]), found.names[found.neighbours[place, 0]], f"{found.distances[place, 0]:.3g}")
        for place, name in enumerate(found.names[:SHOWN])
    ]
    table(None, ("network", "nodes>", "nearest", "distance>"), lines)
    more = f", of which {SHOWN} are shown" if len(chosen) > SHOWN else ""
    console.print(
        f"{len(chosen)} networks{more}, {found.rows.shape[1]} dimensions; "
        f"the map holds {100 * sum(found.shares):.0f} % of the variance"
    )
    console.print(f"table: {out}   page: {page}")


def _targets(texts: list[str], space: str | None, sample: int | None, seed: int) -> list[str | Architecture]:
    if bool(texts) == (sample is not None):
        raise SpecError("Give networks, or --space with --sample 100.")
    if texts:
        return [text if text.rpartition(":")[0].endswith(".py") else parsed(text, space) for text in texts]
    if space is None:
        raise SpecError("A sample needs a space: give --space nasbench201 (`ogive list space` names them all).")
    drawn: SearchSpace = catalog.build("space", space)
    return [*planned(drawn, sample, seed)]


def _values(chosen: list[str | Architecture], name: str | None, column: str | None) -> list[float] | None:
    """What the table says of each architecture."""
    if (name is None) != (column is None):
        raise SpecError("Colours need both: --table nasbench201 --on c10_test_200.")
    if name is None:
        return None
    opened: Any = catalog.load("open_table")(name)
    opened.column(column)  # an unknown one is refused now
    for one in chosen:
        if isinstance(one, str):
            raise SpecError(f"The table {name} says nothing of {quoted(one)}: it knows architectures alone.")
    return [float(opened.value(arch, column)) for arch in chosen]
