"""``ogive tables`` and ``ogive data``: benchmark tables and data sets on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ogive import catalog
from ogive.cli.show import Bar, console, number, table
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.metric import decimals
from ogive.home import data_folder, tables_folder

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands of this file to the application."""
    tables = typer.Typer(help="Import, list and query benchmark tables.", no_args_is_help=True, rich_markup_mode=None)
    tables.command("get")(get_table_command)
    tables.command("import")(import_command)
    tables.command("list")(list_tables_command)
    tables.command("info")(info_command)
    tables.command("verify")(verify_command)
    tables.command("query")(query_command)
    app.add_typer(tables, name="tables")
    data = typer.Typer(help="Fetch and list data sets.", no_args_is_help=True, rich_markup_mode=None)
    data.command("get")(get_command)
    data.command("list")(list_data_command)
    app.add_typer(data, name="data")


def get_table_command(
    which: Annotated[str | None, typer.Argument(help="nasbench201 or nasbench_graph.  [default: list them]")] = None,
    name: Annotated[
        str | None, typer.Option("--as", help="The name of the table from now on.  [default: the same]")
    ] = None,
) -> None:
    """Make a benchmark table of a package that anybody can install; without a name, list what there is.

    Example: ogive tables get nasbench201
    """
    if which is None:
        packages = catalog.load("packages").items()
        table(None, ("table", "package", "holds"), [(name, p.distribution, p.holds) for name, p in packages])
        return
    called = which if name is None else name
    with Bar(called, None):
        made = catalog.load("get_table")(which, tables_folder() / called, name=called)
    _print_imported(made)


def import_command(
    paths: Annotated[list[Path], typer.Argument(help="The published file or folder, or files of your own.")],
    name: Annotated[
        str | None, typer.Option("--as", help="The name of the table from now on.  [default: its benchmark]")
    ] = None,
    arch_column: Annotated[
        str | None, typer.Option("--arch-column", help="Your own file: which column names the architecture.")
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option("--columns", help="Your own file: top1,params=size,… (name in the table=in the file)."),
    ] = None,
    space: Annotated[str | None, typer.Option("--space", help="Your own file: the space of its architectures.")] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", help="Your own file: the column of the table that a search goes by.")
    ] = None,
    report: Annotated[
        str | None, typer.Option("--report", help="Your own file: the column that was measured on a test set.")
    ] = None,
    test: Annotated[
        str | None,
        typer.Option(
            "--test",
            help="Your own file: columns that were measured on a test set, with commas, or none.  "
            "[default: those with the word test in their names]",
        ),
    ] = None,
    clock: Annotated[
        str | None, typer.Option("--clock", help="Your own file: the column with the seconds of each training.")
    ] = None,
    minimize: Annotated[
        str, typer.Option("--minimize", help="Your own file: columns of which smaller is better, with commas.")
    ] = "",
    maximize: Annotated[
        str, typer.Option("--maximize", help="Your own file: columns of which larger is better, whatever their names.")
    ] = "",
    on: Annotated[
        str, typer.Option("--on", help="Several files of your own: the column that tells which rows belong together.")
    ] = "",
    duplicates: Annotated[
        str, typer.Option("--duplicates", help="Your own file: of rows about one architecture, mean, first or refuse.")
    ] = "refuse",
) -> None:
    """Read a published benchmark, or files of your own, once, into a folder that opens in milliseconds.

    Several files of NAS-Bench-201, and tables of it by their names, become one table of the cells of the first, several
    folders of models of NAS-Bench-301 one surrogate.

    Example: ogive tables import NATS-tss-v1_0-3ffb9-simple --as nasbench201

    Example: ogive tables import nasbench201 HW-NAS-Bench-v1_0.pickle --as devices

    Example: ogive tables import mine.csv --as mine --space nasbench201 --arch-column cell --metric top1

    Example: ogive tables import mine.csv --as mine --space nasbench201 --arch-column cell --metric loss --minimize loss

    Example: ogive tables import a.parquet b.parquet --as both --space nasbench201 --on index --metric top1
    """
    tested = None if test is None else () if test == "none" else _listed(test)
    roles = {"metric": metric, "report": report, "test": tested, "clock": clock}
    roles |= {"minimize": _listed(minimize), "maximize": _listed(maximize)}
    mapped = _mapped(space, arch_column, columns, on=on, duplicates=duplicates, **roles)
    called = name
    if called is None:
        called = paths[0].stem if mapped is not None else catalog.load("name_of_table")(paths[0])
    with Bar(called, None) as bar:
        imported = catalog.load("import_table")(
            paths,
            tables_folder() / called,
            name=called,
            mapped=mapped,
            progress=lambda done, total: bar.at(done, total=total),
        )
    _print_imported(imported)


def _print_imported(made: Any) -> None:
    rows = f"predictions of all {made.rows:.3g}" if made.predicted else f"{made.rows:,}"
    console.print(f"{made.name}: {rows} architectures of {made.space}, digest {made.digest[:16]}{_goes_by(made)}")
    if made.missing:
        console.print(f"Not in it: {', '.join(made.missing)}.")


def _listed(text: str) -> tuple[str, ...]:
    """The names in a text with commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _goes_by(imported: Any) -> str:
    """What a search in a table of one's own goes by, which nobody published."""
    return "" if imported.published else f", searched on {_as_metric(imported, 'searched', imported.metric)}"


def _as_metric(opened: Any, role: str, column: str | None) -> str | None:
    """A column that is searched on or reported, what it is called then, and which way is better."""
    if column is None:
        return None
    metric = opened.metric_of(column, role)
    called = "" if metric.name == column else f", called {metric.name}"
    return f"{column}{called}, of which {metric.better} is better"


def _mapped(space: str | None, arch_column: str | None, columns: str | None, **roles: Any) -> Any:
    """What a file of one's own means, if it is one."""
    unsaid = (None, "", (), "refuse")
    said = [
        option for option, value in roles.items() if value not in unsaid or (option == "test" and value is not None)
    ]
    if space is None and arch_column is None and columns is None and not said:
        return None
    if space is None:
        raise SpecError("A file of your own needs the space of its architectures: --space nasbench201.")
    pairs = [part.strip().partition("=") for part in (columns or "").split(",") if part.strip()]
    wanted = {name.strip(): (source or name).strip() for name, _, source in pairs}
    built = catalog.build("space", space)
    return catalog.load("mapped")(space=built, arch_column=arch_column or "", columns=wanted, **roles)


def list_tables_command() -> None:
    """List the imported tables.

    Example: ogive tables list
    """
    folders = sorted(path.parent for path in tables_folder().glob("*/table.json"))
    if not folders:
        console.print(f"No table is imported in {tables_folder()}. Example: ogive tables get nasbench201")
        return
    opened = [catalog.load("open_table")(str(folder)) for folder in folders]
    rows = [(t.name, t.space, *_part(t), f"{len(t.columns)}") for t in opened]
    table(None, ("table", "space", "rows>", "of the space", "columns>"), rows)


def info_command(name: Annotated[str, typer.Argument(help="An imported table, or its folder.")]) -> None:
    """Say what a table is, where it comes from, and what each column means.

    Example: ogive tables info nasbench201
    """
    opened = catalog.load("open_table")(name)
    count, part = _part(opened)
    part = {"all": "every architecture", "closed world": f"a closed world of {count} rows"}.get(part, part)
    facts = (
        ("space", f"{opened.space}: {part}"),
        ("source", opened.source),
        ("licence", opened.licence),
        ("importer", opened.importer),
        ("digest", opened.digest),
        ("searched on", _as_metric(opened, "searched", opened.metric) or "whatever tabular(metric=...) names"),
        ("reported", _as_metric(opened, "reported", opened.report) or "nothing"),
        ("clock", (opened.clock_of(opened.metric) if opened.metric else opened.clock) or "none"),
        ("not in it", ", ".join(opened.missing) or "–"),
        ("folder", str(opened.folder)),
    )
    console.print(opened.name if opened.predicted else f"{opened.name}, {count} rows")
    table(None, ("", ""), facts)
    console.print()
    rows = [
        (
            column,
            about.unit,
            about.better or "",
            _epochs(about.fidelity),
            "test" if about.test else "",
            _trainings(about),
            about.cell or "",
            *(("–", "–", "") if opened.predicted else _range(opened.column(column))),
            about.meaning,
        )
        for column, about in opened.columns.items()
    ]
    table(
        None, ("column", "unit", "better", "epochs>", "", "seeds", "cells", "from>", "to>", "missing>", "meaning"), rows
    )


def query_command(
    name: Annotated[str, typer.Argument(help="An imported table, or its folder.")],
    archs: Annotated[list[str], typer.Argument(help="Architectures, in ogive's text form or the published one.")],
    columns: Annotated[str | None, typer.Option("--columns", help="Only these, with commas between them.")] = None,
) -> None:
    """Print what a table says about some architectures.

    Example: ogive tables query nasbench201 nasbench201:3,3,3,1,3,2 --columns c10v_val_200,params
    """
    opened = catalog.load("open_table")(name)
    wanted = [column.strip() for column in columns.split(",")] if columns else list(opened.columns)
    values = [opened.column(column) for column in wanted]
    # A table of a space of one's own, which no package here names, is asked in ogive's text form.
    space = catalog.build("space", opened.space) if opened.space in catalog.names("space") else None
    found = [opened.row(_read(text, space, opened.complete)) for text in archs]
    rows = [
        (column, opened.about(column).unit, *(_written(of_column.item(row)) for row in found))
        for column, of_column in zip(wanted, values, strict=True)
    ]
    table(None, ("column", "unit", *(f"{text}>" for text in archs)), rows)


def _part(opened: Any) -> tuple[str, str]:
    """How many rows a table has, and how much of its space that is."""
    if opened.predicted:
        return "–", "all, predicted"
    return f"{opened.rows:,}", "all" if opened.complete else "closed world"


def _read(text: str, space: Any, complete: bool) -> Architecture:
    """The architecture of a text; a closed world says itself which it has, and may hold sizes that no sample has."""
    if space is not None and complete:
        found: Architecture = space.parse(text)
        return found
    own = space is None or space.read is None or text.strip().startswith(f"{space.name}:") or Architecture.writes(text)
    return Architecture.parse(text) if own else space.read(text)


def _epochs(fidelity: int | None) -> str:
    return "" if fidelity is None else str(fidelity)


def _trainings(about: Any) -> str:
    """Which of several trainings a number stands for."""
    return str(about.seed) if about.seed is not None else about.seeds or ""


def _range(values: Any) -> tuple[str, str, str]:
    """The smallest and the largest number of a column, and how many are missing."""
    known = values[values == values]
    missing = len(values) - len(known)
    ends = (_written(known.min().item()), _written(known.max().item())) if len(known) else ("–", "–")
    return *ends, f"{missing:,}" if missing else ""


def _written(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else number(value, decimals([value], 4))


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
    console.print(
        "your own: images:FOLDER (class sub-folders), arrays:FILE.npz, text:FOLDER (train.txt, valid.txt, test.txt)"
    )
