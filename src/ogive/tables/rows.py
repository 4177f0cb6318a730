"""Read the columns of parquet and CSV files, and turn published columns into columns of a table."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.core.errors import MissingData, SpecError, in_line, long_name, quoted, shortened
from ogive.tables.column import Cell, Column, Seeds
from ogive.tables.parquet_pages import unpacked_sizes

__all__ = [
    "Columns",
    "Published",
    "Values",
    "accuracy",
    "as_is",
    "converted",
    "count",
    "mean_of_rows",
    "read_columns",
    "scaled",
    "seconds",
]

logger = logging.getLogger(__name__)

Values = npt.NDArray[Any]
_RAW = ("FIXED_LEN_BYTE_ARRAY", "INT96")
# Bytes of the values of a parquet file. Of the published ones, none has a tenth.
LARGEST = 2**31
# Writers may count a little less than what a column's pages unpack to.
SLACK = 2**20
Columns = dict[str, tuple[Column, Values]]


@dataclass(frozen=True, slots=True)
class Published:
    """A column of a published file, and how it becomes a column of a table."""

    source: str
    about: Column
    convert: Callable[[Values], Values]

    def at(self, family: str, fidelity: int, clock: str | None = None) -> Published:
        """The same, as one fidelity of a family, with the column that tells what its training took."""
        return replace(self, about=replace(self.about, family=family, fidelity=fidelity, clock=clock))

    def of(self, cell: Cell, seeds: Seeds | None = None) -> Published:
        """The same, of architectures as they are written or pruned, and of some of their trainings."""
        return replace(self, about=replace(self.about, cell=cell, seeds=seeds))


# -- kinds of columns -------------------------------------------------------------------------------------------------


def accuracy(source: str, meaning: str, *, test: bool | None = None, factor: float = 1.0) -> Published:
    """An accuracy in per cent once it is multiplied by `factor`; of a test set if the name says so."""
    of_test = "test" in source.split("_") if test is None else test
    return Published(source, Column("%", meaning, "float32", test=of_test), lambda values: _per_cent(values * factor))


def count(source: str, meaning: str, *, unit: str = "parameters", factor: float = 1.0) -> Published:
    """A whole number once it is multiplied by `factor`."""
    # Published with six decimals as float32, which has the digits to tell counts below 16.7 million apart.
    return Published(
        source, Column(unit, meaning, "int64"), lambda v: np.rint(v.astype(np.float64) * factor).astype(np.int64)
    )


def scaled(source: str, unit: str, meaning: str, factor: float = 1.0, *, test: bool = False) -> Published:
    """A number in `unit` once it is multiplied by `factor`."""
    about = Column(unit, meaning, "float64", test=test)
    return Published(source, about, lambda values: values.astype(np.float64) * factor)


def as_is(source: str, unit: str, meaning: str) -> Published:
    """A number as it was published."""
    return Published(source, Column(unit, meaning, "float32"), lambda values: values.astype(np.float32))


def seconds(source: str, meaning: str) -> Published:
    """Seconds of training, none of them negative."""
    return Published(source, Column("s", meaning, "float64"), _not_negative)


def _per_cent(values: Values) -> Values:
    # Comparisons with nan, which stands for "not measured", are false.
    if np.any((values < 0) | (values > 100)):
        raise ValueError(f"accuracies are per cent, but these lie in {np.nanmin(values):g}..{np.nanmax(values):g}")
    return values.astype(np.float32)


def _not_negative(values: Values) -> Values:
    if np.any(values < 0):
        raise ValueError(f"seconds are not negative, but one is {np.nanmin(values):g}")
    return values.astype(np.float64)


def converted(
    columns: Mapping[str, Values], known: Mapping[str, Published], order: npt.NDArray[np.int64], path: Path
) -> Columns:
    """The published columns that are known, their rows in another order; SpecError if one cannot be right."""
    found: Columns = {}
    for name, published in known.items():
        if published.source not in columns:
            continue
        values = columns[published.source]
        if values.dtype.kind not in "iuf":
            raise SpecError(f"The column {published.source} of {path} must hold numbers, not {values.dtype}.")
        try:
            found[name] = published.about, published.convert(values[order])
        except ValueError as error:
            raise SpecError(f"The column {published.source} of {path} cannot be right: {error}.") from None
    return found


def mean_of_rows(values: Values, place: npt.NDArray[Any], rows: int) -> npt.NDArray[np.float64]:
    """The mean, shape (rows,), of the values at each place, over those that were measured; nan where none was."""
    present = np.isfinite(values.astype(np.float64))
    total = np.bincount(place, np.where(present, values, 0.0), rows)
    number = np.bincount(place, present, rows)
    mean: npt.NDArray[np.float64] = np.divide(total, number, out=np.full(rows, np.nan), where=number > 0)
    return mean


# -- files ------------------------------------------------------------------------------------------------------------


def read_columns(path: Path) -> dict[str, Values]:
    """The columns of a parquet or CSV file as arrays, missing numbers as nan; SpecError if it is neither."""
    if not path.is_file():
        raise SpecError(f"There is no file {path}.")
    columns = _csv(path) if path.suffix.lower() in (".csv", ".tsv") else _parquet(path)
    if (long := long_name(columns)) is not None:
        raise SpecError(f"A column of {path} has a name of more than 200 characters: {quoted(long)}.")
    return columns


def _parquet(path: Path) -> dict[str, Values]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingData("Reading a parquet file needs pyarrow: pip install 'ogive[parquet]'.") from None
    try:
        with parquet.ParquetFile(path) as file:
            flat = _refuse_large(file.metadata, path)
            _refuse_lying_pages(file.metadata, path)
        # A text that stands in many rows is in memory once.
        with parquet.ParquetFile(path, read_dictionary=[name for name, is_text in flat.items() if is_text]) as file:
            table = file.read(columns=list(flat))
        return {name: _array(table[name]) for name in table.column_names}
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError(f"Cannot read {path} as a parquet file: {in_line(error)}") from None


def _refuse_large(metadata: Any, path: Path) -> dict[str, bool]:
    """The columns without lists and records, and whether they are texts; SpecError for more than `LARGEST` bytes.

    A run of equal values takes a few bytes of a file, however long it is.
    """
    columns = [metadata.schema.column(place) for place in range(metadata.num_columns)]
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    chunks = [group.column(place) for group in groups for place in range(group.num_columns)]
    rows = sum(max(group.num_rows, 0) for group in groups)
    size = max(8 * max(rows, metadata.num_rows) * len(columns), sum(chunk.total_uncompressed_size for chunk in chunks))
    if max(size, *(8 * chunk.num_values for chunk in chunks), 0) > LARGEST:
        raise SpecError(
            f"{path} announces {rows:,} rows of {len(columns)} columns, {size / 2**30:,.1f} GiB, but files of up to "
            f"{LARGEST / 2**30:.0f} GiB are read: it was not read."
        )
    flat = [column for column in columns if column.path == column.name and column.physical_type not in _RAW]
    if len(flat) < len(columns):
        names = ", ".join(dict.fromkeys(column.path.partition(".")[0] for column in columns if column not in flat))
        logger.warning("Left out of %s, as neither numbers nor texts: %s", path, shortened(names, 200))
    return {column.name: column.physical_type == "BYTE_ARRAY" for column in flat}


def _refuse_lying_pages(metadata: Any, path: Path) -> None:
    """SpecError for a page that unpacks to more than its column announces, or than `SLACK` bytes beside it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            for place in range(group.num_columns):
                chunk = group.column(place)
                begin = min(chunk.data_page_offset, chunk.dictionary_page_offset or chunk.data_page_offset)
                file.seek(max(0, begin))
                left = SLACK + max(0, chunk.total_uncompressed_size)
                for page in unpacked_sizes(file.read(max(0, min(chunk.total_compressed_size, size)))):
                    left -= page
                    if left < 0:
                        named = f"{path} announces {chunk.total_uncompressed_size:,} bytes of its column"
                        what = f"a page of it unpacks to {page:,}: it is damaged, and was not read"
                        raise SpecError(f"{named} {quoted(chunk.path_in_schema)}, but {what}.")


def _array(column: Any) -> Values:
    """A column as an array, of objects where it holds texts."""
    parts = [
        np.array([*part.dictionary.to_pylist(), None], object)[part.indices.fill_null(-1).to_numpy()]
        if hasattr(part, "dictionary")
        else part.to_numpy(zero_copy_only=False)
        for part in column.chunks
    ]
    found: Values = np.concatenate(parts) if parts else column.to_numpy()
    return found


def _csv(path: Path) -> dict[str, Values]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
            names = [name.strip() for name in next(rows, [])]
            lines = [row for row in rows if row]
    except (OSError, ValueError, csv.Error) as error:
        raise SpecError(f"Cannot read {path} as a CSV file: {in_line(error)}") from None
    if len(set(names)) != len(names):
        raise SpecError(f"{path} names two columns alike: {shortened(', '.join(names), 200)}.")
    for number, row in enumerate(lines, start=2):
        if len(row) != len(names):
            raise SpecError(f"Line {number} of {path} has {len(row)} fields, but the file has {len(names)} columns.")
    return {name: _numbers(row[place] for row in lines) for place, name in enumerate(names)}


def _numbers(texts: Iterable[str]) -> Values:
    """Whole numbers if all are, else numbers with nan for empty fields, else text."""
    cells = [text.strip() for text in texts]
    # One by one: an array of texts would give every cell the room of the longest.
    try:
        return np.array([int(cell) for cell in cells], np.int64)
    except (ValueError, OverflowError):
        pass
    try:
        return np.array([float(cell or "nan") for cell in cells])
    except ValueError:
        return np.array(cells, dtype=object)
