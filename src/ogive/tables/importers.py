"""Read published benchmark files once and write them as tables.

So far: NAS-Bench-201 as a parquet file with one row a cell (columns ``arch_str`` or ``ops``, and any of `NASBENCH201`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.core.errors import InvalidArchitecture, MissingData, SpecError
from ogive.spaces import nasbench201
from ogive.tables.keys import MixedRadix
from ogive.tables.store import Column, Table, write_table

__all__ = ["NASBENCH201", "import_table"]

logger = logging.getLogger(__name__)

Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Published:
    """A column of a published file, and how it becomes a column of a table."""

    source: str
    about: Column
    convert: Callable[[Values], Values]


def _accuracy(source: str, meaning: str) -> Published:
    return Published(source, Column("%", meaning, "float32", test="test" in source.split("_")), _per_cent)


def _per_cent(values: Values) -> Values:
    # Comparisons with nan, which stands for "not measured", are false.
    if np.any((values < 0) | (values > 100)):
        raise ValueError(f"accuracies are per cent, but these lie in {np.nanmin(values):g}..{np.nanmax(values):g}")
    return values.astype(np.float32)


def _count_of_millions(values: Values) -> Values:
    # Published with six decimals as float32, which has the digits to tell counts below 16.7 million apart.
    return np.rint(values.astype(np.float64) * 1e6).astype(np.int64)


_TRAINED = "mean over the published seeds"
_HALF = "CIFAR-10 trained on its 25,000-image half"
_ESTIMATE = "estimated with the weights of a supernet, on the CIFAR-10 test images"

# Dong and Yang, "NAS-Bench-201", ICLR 2020, section 2.2, says which images each split holds.
NASBENCH201: dict[str, Published] = {
    "c10_test_200": _accuracy("c10_test_200", f"CIFAR-10 test after 200 epochs on train + validation, {_TRAINED}"),
    "c10v_train_200": _accuracy("c10v_train_200", f"train accuracy after 200 epochs, {_HALF}, {_TRAINED}"),
    "c10v_val_200": _accuracy("c10v_val_200", f"validation after 200 epochs, {_HALF}, {_TRAINED}"),
    "c10v_test_200": _accuracy("c10v_test_200", f"test after 200 epochs, {_HALF}, {_TRAINED}"),
    "c100_train_200": _accuracy("c100_train_200", f"CIFAR-100 train after 200 epochs, {_TRAINED}"),
    "c100_val_200": _accuracy("c100_val_200", f"CIFAR-100 validation after 200 epochs, {_TRAINED}"),
    "c100_test_200": _accuracy("c100_test_200", f"CIFAR-100 test after 200 epochs, {_TRAINED}"),
    "in16_train_200": _accuracy("in16_train_200", f"ImageNet16-120 train after 200 epochs, {_TRAINED}"),
    "in16_val_200": _accuracy("in16_val_200", f"ImageNet16-120 validation after 200 epochs, {_TRAINED}"),
    "in16_test_200": _accuracy("in16_test_200", f"ImageNet16-120 test after 200 epochs, {_TRAINED}"),
    "c10_test_12": _accuracy("c10_test_12", "CIFAR-10 test after 12 epochs on train + validation"),
    "c10v_val_12": _accuracy("c10v_val_12", f"validation after 12 epochs, {_HALF}"),
    "c100_test_12": _accuracy("c100_test_12", "CIFAR-100 test after 12 epochs"),
    "c100_val_12": _accuracy("c100_val_12", "CIFAR-100 validation after 12 epochs"),
    "in16_test_12": _accuracy("in16_test_12", "ImageNet16-120 test after 12 epochs"),
    "in16_val_12": _accuracy("in16_val_12", "ImageNet16-120 validation after 12 epochs"),
    "c10_oneshot_supernet": _accuracy("c10_oneshot_supernet", f"one supernet: {_ESTIMATE}"),
    "c10_fewshot_supernet": _accuracy("c10_fewshot_supernet", f"five supernets: {_ESTIMATE}"),
    "c100_test_200_nats": _accuracy("c100_test_200_nats", "CIFAR-100 test after 200 epochs, as NATS-Bench has it"),
    "in16_test_200_nats": _accuracy("in16_test_200_nats", "ImageNet16-120 test after 200 epochs, as NATS-Bench has it"),
    "params": Published(
        "params_M_c10",
        Column("parameters", "trainable parameters of the network for 10 classes (C=16, N=5)", "int64"),
        _count_of_millions,
    ),
    "flops": Published(
        "flops_M_c10",
        Column("MACs", "NASLib's count for 32 x 32 images: convolutions, BatchNorm and pooling", "float64"),
        lambda values: values.astype(np.float64) * 1e6,
    ),
}


def import_table(path: Path | str, folder: Path | str, *, name: str) -> Table:
    """Read a published file and write it as the table `name` into the new folder `folder`.

    Raises SpecError if the file is none of the formats above or contradicts itself, MissingData if reading it needs a
    package that is not installed.
    """
    columns = _parquet(Path(path))
    known = [entry.source for entry in NASBENCH201.values()]
    if not {"arch_str", "ops"} & set(columns) or not set(known) & set(columns):
        raise SpecError(
            f"{path} is none of the benchmark files that ogive reads. A parquet file of NAS-Bench-201 has a column "
            f"arch_str or ops and some of {', '.join(known)}; the columns here are {', '.join(columns) or 'none'}."
        )
    return _nasbench201(columns, Path(path), Path(folder), name)


def _parquet(path: Path) -> dict[str, Values]:
    """The columns of a parquet file as arrays, missing numbers as nan."""
    if not path.is_file():
        raise SpecError(f"There is no file {path}.")
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise MissingData("Reading a parquet file needs pyarrow: pip install 'ogive[parquet]'.") from None
    try:
        table = parquet.read_table(path)
        return {name: table[name].to_numpy() for name in table.column_names}
    except (ArrowException, OSError) as error:
        raise SpecError(f"Cannot read {path} as a parquet file: {str(error).splitlines()[0]}") from None


def _nasbench201(columns: dict[str, Values], path: Path, folder: Path, name: str) -> Table:
    cells = _cells(columns, path)
    if len(cells) != nasbench201.SIZE or len(np.unique(cells)) != nasbench201.SIZE:
        raise SpecError(
            f"NAS-Bench-201 has one row for each of {nasbench201.SIZE:,} cells, but {path} has {len(cells):,} rows "
            f"for {len(np.unique(cells)):,} cells."
        )
    order = np.argsort(cells)
    imported = {
        column: (known.about, _converted(known, columns[known.source][order], path))
        for column, known in NASBENCH201.items()
        if known.source in columns
    }
    unknown = set(columns) - {known.source for known in NASBENCH201.values()} - {"index", "arch_str", "ops"}
    if unknown:
        logger.warning("Columns that ogive does not know were left out: %s.", ", ".join(sorted(unknown)))
    return write_table(
        folder,
        {"index": (_INDEX, nasbench201.official_indices().astype(np.int32)), **imported},
        name=name,
        space=nasbench201.NAME,
        key=MixedRadix([len(nasbench201.OPS)] * len(nasbench201.EDGES)),
        source=f"NAS-Bench-201 and NATS-Bench (https://github.com/D-X-Y/NATS-Bench), read from {path.name}",
        licence="MIT",
        importer="nasbench201-parquet 1",
    )


_INDEX = Column("", "the benchmark's own number of the cell", "int32")


def _cells(columns: dict[str, Values], path: Path) -> npt.NDArray[np.int64]:
    """The index of the cell in each row; where the file names cells in several ways, all must agree."""
    named = {}
    try:
        if "ops" in columns:
            named["ops"] = nasbench201.index_of([_digits(ops) for ops in columns["ops"].tolist()])
        if "arch_str" in columns:
            cells = [nasbench201.read(text).choices for text in columns["arch_str"].tolist()]
            named["arch_str"] = nasbench201.index_of(cells)
    except (InvalidArchitecture, ValueError, AttributeError) as error:
        raise SpecError(f"{path} does not name its cells as NAS-Bench-201 does: {error}") from None
    if "index" in columns:
        numbers = columns["index"]
        known = np.argsort(nasbench201.official_indices())
        if numbers.dtype.kind not in "iu" or not np.all((numbers >= 0) & (numbers < len(known))):
            raise SpecError(f"The column index of {path} must hold integers in 0..{len(known) - 1}.")
        named["index"] = known[numbers]
    first, *others = named
    for other in others:
        differing = np.flatnonzero(named[first] != named[other])
        if differing.size:
            raise SpecError(f"In row {differing[0]} of {path} the columns {first} and {other} name different cells.")
    return named[first]


def _digits(ops: object) -> list[int]:
    if not isinstance(ops, str) or len(ops) != len(nasbench201.EDGES) or not set(ops) <= set("01234"):
        raise ValueError(f"ops are six digits 0..4, but one row has {ops!r}")
    return [int(digit) for digit in ops]


def _converted(known: Published, values: Values, path: Path) -> Values:
    if values.dtype.kind not in "iuf":
        raise SpecError(f"The column {known.source} of {path} must hold numbers, not {values.dtype}.")
    try:
        return known.convert(values)
    except ValueError as error:
        raise SpecError(f"The column {known.source} of {path} cannot be right: {error}.") from None
