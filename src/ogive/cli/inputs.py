"""``ogive tables`` and ``ogive data``: benchmark tables and data sets on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ogive import catalog
from ogive.cli.show import Bar, console, table
from ogive.home import data_folder, tables_folder

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands of this file to the application."""
    tables = typer.Typer(help="Import and list benchmark tables.", no_args_is_help=True, rich_markup_mode=None)
    tables.command("import")(import_command)
    tables.command("list")(list_tables_command)
    tables.command("verify")(verify_command)
    app.add_typer(tables, name="tables")
    data = typer.Typer(help="Fetch and list data sets.", no_args_is_help=True, rich_markup_mode=None)
    data.command("get")(get_command)
    data.command("list")(list_data_command)
    app.add_typer(data, name="data")


def import_command(
    path: Annotated[Path, typer.Argument(help="The published file.")],
    name: Annotated[str, typer.Option("--as", help="The name of the table from now on.")] = "nasbench201",
) -> None:
    """Read a published benchmark file once, into a folder that opens in milliseconds.

    Example: ogive tables import nb201.parquet --as nasbench201
    """
    imported = catalog.load("import_table")(path, tables_folder() / name, name=name)
    console.print(f"{name}: {imported.rows:,} architectures of {imported.space}, digest {imported.digest[:16]}")


def list_tables_command() -> None:
    """List the imported tables.

    Example: ogive tables list
    """
    folders = sorted(path.parent for path in tables_folder().glob("*/table.json"))
    if not folders:
        console.print(f"No table is imported in {tables_folder()}. Example: ogive tables import nb201.parquet")
        return
    opened = [catalog.load("open_table")(str(folder)) for folder in folders]
    rows = [(t.name, t.space, f"{t.rows:,}", ", ".join(t.columns)) for t in opened]
    table(None, ("table", "space", "rows>", "columns"), rows)


def verify_command(name: Annotated[str, typer.Argument(help="An imported table, or its folder.")]) -> None:
    """Recompute the digest of a table and compare it with the one that was written at its import.

    Example: ogive tables verify nasbench201
    """
    opened = catalog.load("open_table")(name)
    opened.verify()
    console.print(f"{opened.name}: the digest is right ({opened.digest[:16]})")


def get_command(
    name: Annotated[str, typer.Argument(help="cifar10, cifar100 or fashion-mnist.")],
    source: Annotated[
        Path | None, typer.Option("--from", help="A local folder or archive instead of a download.")
    ] = None,
) -> None:
    """Fetch a data set from its official address, or from a local folder, and check its digests.

    Example: ogive data get cifar10 --from Downloads/cifar-10-binary.tar.gz
    """
    with Bar(name, None) as bar:
        folder = catalog.load("get_data")(name, source=source, progress=lambda done, total: bar.at(done, total=total))
    console.print(f"{name} is in {folder}")


def list_data_command() -> None:
    """List the data sets on this machine.

    Example: ogive data list
    """
    present = sorted(path.name for path in data_folder().glob("[!.]*") if path.is_dir())
    console.print(f"embedded: digits\nin {data_folder()}: {', '.join(present) or 'none'}")
    console.print("your own: images:FOLDER (class sub-folders), arrays:FILE.npz")
