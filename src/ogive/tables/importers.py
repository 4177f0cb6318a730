"""Read published benchmark files once and write them as tables: which file is which, and who reads it.

Files with one row an architecture (parquet, CSV) are known by their columns; the benchmarks' own formats by their names
and first bytes. Nothing is unpickled but what `ogive.tables.pickles` allows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ogive.core.errors import SpecError
from ogive.home import tables_folder
from ogive.tables.extracts import EXTRACTS
from ogive.tables.nasbench201 import ACCURACIES, import_cells, is_cells
from ogive.tables.own import Mapped, import_mapped
from ogive.tables.rows import Values, read_columns
from ogive.tables.store import FILE, Table

__all__ = ["NASBENCH201", "Mapped", "import_table", "suggested_name"]

# Columns of nb201.parquet, by their names in the table.
NASBENCH201 = ACCURACIES

Progress = Callable[[int, int], None]


def import_table(
    path: Path | str | Sequence[Path | str],
    folder: Path | str,
    *,
    name: str,
    mapped: Mapped | None = None,
    progress: Progress | None = None,
) -> Table:
    """Read a published file or folder and write it as the table `name` into the new folder `folder`.

    Several files of NAS-Bench-201, and tables of it by their names, become one table of the cells of the first, several
    folders of models of NAS-Bench-301 one surrogate. With `mapped`, the files are any parquet or CSV with one row an
    architecture, joined on a column where they are several. `progress` is called with the numbers of architectures read
    and to read.

    Raises SpecError if the file is none that ogive reads or contradicts itself, MissingData if reading it needs a
    package that is not installed.
    """
    paths = [Path(path)] if isinstance(path, (str, Path)) else [Path(part) for part in path]
    if not paths:
        raise SpecError("Importing a table takes at least one file.")
    if mapped is not None:
        return import_mapped(paths, Path(folder), name, mapped)
    if _holds_surrogate(paths[0]):
        from ogive.tables.surrogate import import_surrogate

        return import_surrogate(paths, Path(folder), name, progress)
    reader = _reader(paths[0])
    if reader is not None:
        return reader(_only(paths), Path(folder), name, progress)
    files = [(part, _made_before(part) or _columns(part)) for part in paths]
    first = files[0][1]
    if len(files) == 1 and isinstance(first, Table):
        raise SpecError(f"{first.name} is a table already: say what becomes part of it, {paths[0]} FILE --as NAME.")
    if all(isinstance(given, Table) or is_cells(given) for _, given in files):
        return import_cells(files, Path(folder), name)
    if len(files) > 1 or isinstance(first, Table):
        raise SpecError(
            "Several files become one table only if all of them are about cells of NAS-Bench-201: "
            "import the others one by one."
        )
    return _extract(paths[0], first, Path(folder), name)


def suggested_name(path: Path | str) -> str:
    """What to call the table of a file or folder that was given no name: its benchmark, or the name of the file."""
    path = Path(path)
    if _made_before(path) is not None:
        raise SpecError(f"{path} is a table already: a new table needs a name of its own: --as NAME.")
    if _holds_surrogate(path):
        return "nasbench301_surrogate"
    if path.is_dir():
        if _holds_results(path):
            return "nasbench301"
        return "natssize" if path.name.startswith("NATS-sss") else "nasbench201"
    by_suffix = {".pth": "nasbench201", ".tfrecord": "nasbench101", ".pickle": "nasbench201_hardware"}
    if path.suffix in by_suffix:
        return by_suffix[path.suffix]
    if path.suffix == ".json":
        from ogive.tables.nds import name_of_file

        return name_of_file(path)
    columns = read_columns(path)
    if is_cells(columns):
        return "nasbench201"
    return next((extract.name for extract in EXTRACTS if extract.fits(columns)), path.stem)


def _extract(path: Path, columns: Mapping[str, Values], folder: Path, name: str) -> Table:
    for extract in EXTRACTS:
        if extract.fits(columns):
            return extract.table(path, columns, folder, name)
    raise SpecError(
        f"{path} is none of the benchmark files that ogive reads: it knows parquet files of NAS-Bench-201 (a column "
        f"arch_str, ops or index, and some of {', '.join(list(ACCURACIES)[:3])}, …), of "
        f"{', '.join(extract.name for extract in EXTRACTS)}. For a file of your own say which column names the "
        f"architecture, and which a search goes by: --space NAME --arch-column COLUMN --metric COLUMN. "
        f"The columns here are {', '.join(columns) or 'none'}."
    )


def _only(paths: Sequence[Path]) -> Path:
    if len(paths) > 1:
        raise SpecError(f"{paths[0]} becomes a table by itself: import {paths[1]} under a name of its own.")
    return paths[0]


Reader = Callable[[Path, Path, str, Progress | None], Table]


def _reader(path: Path) -> Reader | None:
    """Who reads this benchmark format; None for files of rows, for tables, and for what is not there."""
    if _made_before(path) is not None:
        return None
    if path.is_dir() and _holds_results(path):
        from ogive.tables.nasbench301 import import_results

        return import_results
    if path.is_dir():
        from ogive.tables.nats import import_folder

        return import_folder
    if path.suffix == ".pth":
        from ogive.tables.nats import import_pth

        return import_pth
    if path.suffix == ".tfrecord":
        from ogive.tables.nasbench101 import import_records

        return import_records
    if path.suffix == ".json":
        from ogive.tables.nds import import_nds

        return import_nds
    return None


def _made_before(path: Path) -> Table | None:
    """The table in this folder or of this name, if there is one; a file or folder here goes before a name."""
    folder = path if path.exists() else tables_folder() / path
    return Table.open(folder) if (folder / FILE).is_file() else None


def _holds_results(folder: Path) -> bool:
    from ogive.tables.nasbench301 import is_results

    return is_results(folder)


def _holds_surrogate(path: Path) -> bool:
    from ogive.tables.surrogate import is_surrogate

    return is_surrogate(path)


def _columns(path: Path) -> Mapping[str, Values]:
    """The columns of a file of rows."""
    if path.suffix in (".pickle", ".pkl"):
        from ogive.tables.hardware import columns_of_pickle

        return columns_of_pickle(path)
    return read_columns(path)
