"""NAS-Bench-201 from files with one row a cell: accuracies, training times, and latency and energy on devices."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ogive.core.errors import InvalidArchitecture, SpecError
from ogive.spaces import nasbench201
from ogive.tables.column import Column, Seeds
from ogive.tables.keys import Key, MixedRadix, SortedDigests
from ogive.tables.rows import Columns, Published, Values, accuracy, as_is, converted, count, scaled, seconds
from ogive.tables.store import Table, write_table

__all__ = ["ACCURACIES", "HARDWARE", "TIMES", "import_cells", "index_column", "is_cells", "written"]

logger = logging.getLogger(__name__)

# Compared with every single training (tests/oracles/test_packages.py), those on CIFAR-10's half are the means over all
# trainings of 13,207 cells, over the first two of three of 208, and the second of two of 2,210.
_MIXED = "mean over all or some of the published seeds"
_HALF = "CIFAR-10, trained on its 25,000-image half,"
_ESTIMATE = "estimated with the weights of a supernet, on the CIFAR-10 test images"


def _accuracy(source: str, meaning: str, seeds: Seeds | None = None) -> Published:
    family, epochs = source.removesuffix("_nats").rsplit("_", 1)
    if not epochs.isdigit():
        return accuracy(source, meaning, test=True)  # of supernets, whose names do not say so
    known = accuracy(source, meaning).of("raw", seeds)
    return known if source.endswith("_nats") else known.at(family, int(epochs))


# Dong and Yang, "NAS-Bench-201", ICLR 2020, section 2.2, says which images each split holds.
ACCURACIES: dict[str, Published] = {
    # Means over all, and after 12 epochs of one or two trainings, where these are at hand: in the three cells of
    # tests/oracles/test_nats_bench.py.
    "c10_test_200": _accuracy(
        "c10_test_200", "CIFAR-10 test after 200 epochs on train + validation, mean over all seeds", "all"
    ),
    **{
        f"{data}_{split}_200": _accuracy(f"{data}_{split}_200", f"{name} {split} after 200 epochs, {_MIXED}", "some")
        for data, name in (("c10v", _HALF), ("c100", "CIFAR-100"), ("in16", "ImageNet16-120"))
        for split in ("train", "val", "test")
    },
    "c10_test_12": _accuracy("c10_test_12", "CIFAR-10 test after 12 epochs on train + validation", "all"),
    "c10v_val_12": _accuracy("c10v_val_12", f"{_HALF} val after 12 epochs", "all"),
    "c100_test_12": _accuracy("c100_test_12", "CIFAR-100 test after 12 epochs", "all"),
    "c100_val_12": _accuracy("c100_val_12", "CIFAR-100 validation after 12 epochs", "all"),
    "in16_test_12": _accuracy("in16_test_12", "ImageNet16-120 test after 12 epochs", "all"),
    "in16_val_12": _accuracy("in16_val_12", "ImageNet16-120 validation after 12 epochs", "all"),
    "c10_oneshot_supernet": _accuracy("c10_oneshot_supernet", f"one supernet: {_ESTIMATE}"),
    "c10_fewshot_supernet": _accuracy("c10_fewshot_supernet", f"five supernets: {_ESTIMATE}"),
    "c100_test_200_nats": _accuracy(
        "c100_test_200_nats", "CIFAR-100 test after 200 epochs, mean over all seeds", "all"
    ),
    "in16_test_200_nats": _accuracy(
        "in16_test_200_nats", "ImageNet16-120 test after 200 epochs, mean over all seeds", "all"
    ),
    "params": count("params_M_c10", "trainable parameters of the network for 10 classes", factor=1e6).of("raw"),
    "flops": scaled(
        "flops_M_c10", "MACs", "NASLib's count for 32 x 32 images: convolutions, BatchNorm and pooling", 1e6
    ).of("raw"),
}

_SETS = {"c10": "CIFAR-10 (train + validation)", "c100": "CIFAR-100", "in16": "ImageNet16-120"}

TIMES: dict[str, Published] = {
    f"{data}_train_seconds_{epochs}": seconds(
        f"{data}_train_time_s_{epochs}", f"training on {name} for {epochs} epochs, as NATS-Bench has it"
    ).at(f"{data}_train_seconds", epochs)
    for data, name in _SETS.items()
    for epochs in (12, 200)
}
# In the extract of training times, the accuracies of one training each; CIFAR-10's was on train + validation images.
_OF_TIMES = {
    f"{data}_{split}_acc_{epochs}": accuracy(
        f"{data}_{split}_acc_{epochs}", f"{name} {split} after {epochs} epochs, one training drawn at random"
    )
    .of("raw", "one")
    .at(f"{data}_{split}_acc", epochs, f"{data}_train_seconds_{epochs}")
    for data, name in _SETS.items()
    for split in ("train", "test")
    for epochs in (12, 200)
}

_DEVICES = {
    "edgegpu": "an NVIDIA Jetson TX2",
    "raspi4": "a Raspberry Pi 4",
    "edgetpu": "a Google edge TPU",
    "pixel3": "a Pixel 3",
    "eyeriss": "the ASIC Eyeriss, simulated",
    "fpga": "a Xilinx ZC706 FPGA, estimated",
}
# Li et al., "HW-NAS-Bench", ICLR 2021, table 1: milliseconds and millijoules.
_UNITS = {"latency": "ms", "energy": "mJ", "arithmetic_intensity": "operations/byte"}
_HELP = (
    "1080ti_1", "1080ti_256", "1080ti_32", "2080ti_1", "2080ti_256", "2080ti_32", "essential_ph_1", "eyeriss", "fpga",
    "gold_6226", "gold_6240", "pixel2", "pixel3", "raspi4", "samsung_a50", "samsung_s7", "silver_4114",
    "silver_4210r", "titan_rtx_1", "titan_rtx_256", "titan_rtx_32", "titanx_1", "titanx_256", "titanx_32",
    "titanxp_1", "titanxp_256", "titanxp_32",
)  # fmt: skip


def _measured(values: Values) -> Values:
    """Numbers that are positive; others stand for "cannot run there"."""
    # 4,699 cells hold an operation that the edge TPU does not support, which is published as -1.
    return np.where(values > 0, values, np.nan).astype(np.float32)


def hardware(source: str, data: str, device: str, kind: str) -> Published:
    """A column of HW-NAS-Bench."""
    meaning = f"{kind.replace('_', ' ')} for {_SETS.get(data, data)} on {_DEVICES[device]}, HW-NAS-Bench"
    return replace(as_is(source, _UNITS[kind], meaning), convert=_measured)


HARDWARE: dict[str, Published] = {
    **{
        f"{data}_{device}_{kind}": hardware(f"hwnas_{data}_{device}_{kind}", data, device, kind)
        for data in _SETS
        for device in _DEVICES
        for kind in _UNITS
    },
    **{
        f"help_{device}_ms": replace(
            as_is(f"help_{device}_ms", "ms", f"latency on {device.replace('_', ' ')} (batch size last), HELP"),
            convert=_measured,
        )
        for device in _HELP
    },
}

_ALL = ACCURACIES | TIMES | _OF_TIMES | HARDWARE
_NAMES = {"index", "arch_str", "ops"}
# Which column tells how long the training behind an accuracy took; of CIFAR-10's half nothing is published here.
_CLOCKS = {
    f"{data}_{split}_{epochs}": f"{data}_train_seconds_{epochs}"
    for data in _SETS
    for split in ("train", "val", "test")
    for epochs in (12, 200)
}


def is_cells(columns: Mapping[str, Values]) -> bool:
    """Whether these are the columns of a file about cells of NAS-Bench-201."""
    return bool(_NAMES & set(columns)) and bool({known.source for known in _ALL.values()} & set(columns))


def import_cells(files: Sequence[tuple[Path, Mapping[str, Values] | Table]], folder: Path, name: str) -> Table:
    """Write one table of one or more files, or of tables that were made before.

    The cells are those of the first, and of the others the same are read.
    """
    parts = [_of_table(given) if isinstance(given, Table) else _of_file(path, given) for path, given in files]
    wanted = np.sort(parts[0][0])
    imported: Columns = {}
    for (path, _), (cells, columns) in zip(files, parts, strict=True):
        for column, (about, values) in columns.items():
            if column in imported:
                raise SpecError(f"Both {files[0][0]} and {path} have the column {about.meaning!r} ({column}).")
            imported[column] = about, _aligned(values, cells, wanted, column)
    source = "NAS-Bench-201 and NATS-Bench (https://github.com/D-X-Y/NATS-Bench)"
    if set(imported) & set(HARDWARE):
        source += ", HW-NAS-Bench (https://github.com/RICE-EIC/HW-NAS-Bench), HELP (https://github.com/HayeonLee/HELP)"
    read_from = ", ".join(path.name for path, _ in files)
    return written(folder, wanted, imported, name=name, source=f"{source}, read from {read_from}", importer="cells 2")


def _of_file(path: Path, columns: Mapping[str, Values]) -> tuple[npt.NDArray[np.int64], Columns]:
    """The cells of the rows of a file, and its columns in that order."""
    cells = _cells(columns, path)
    _warn_unknown(columns)
    return cells, converted(columns, _ALL, np.arange(len(cells)), path)


def _of_table(table: Table) -> tuple[npt.NDArray[np.int64], Columns]:
    """The same of a table; SpecError if it is none of cells."""
    if table.space != nasbench201.NAME or not table.published:
        raise SpecError(f"{table.name} is no table of NAS-Bench-201, of which alone several become one.")
    cells = np.asarray(nasbench201.index_of(table.key.all_choices()), np.int64)
    return cells, {name: (about, table.column(name)) for name, about in table.columns.items() if name != "index"}


def written(
    folder: Path,
    cells: npt.NDArray[np.int64],
    columns: Columns,
    *,
    name: str,
    source: str,
    importer: str,
    licence: str = "MIT",
) -> Table:
    """A table of cells given by their ascending indices; complete if they are all there are."""
    key: Key = MixedRadix([len(nasbench201.OPS)] * len(nasbench201.EDGES))
    complete = len(cells) == nasbench201.SIZE
    order = np.arange(len(cells))
    if not complete:
        key, order = SortedDigests.of(nasbench201.NAME, nasbench201.choices_of(cells))
    columns = _with_clocks({"index": index_column(cells), **columns})
    metric, report = _searched_on(columns)
    return write_table(
        folder,
        {column: (about, values[order]) for column, (about, values) in columns.items()},
        name=name,
        space=nasbench201.NAME,
        key=key,
        source=source,
        licence=licence,
        importer=importer,
        complete=complete,
        metric=metric,
        report=report,
    )


def index_column(cells: npt.NDArray[np.int64]) -> tuple[Column, Values]:
    """The benchmark's own numbers of some cells."""
    numbers = nasbench201.official_indices()[cells].astype(np.int32)
    return Column("", "the benchmark's own number of the cell", "int32"), numbers


def _searched_on(columns: Columns) -> tuple[str | None, str | None]:
    """The columns that a search goes by and reports, as far as the files have them."""
    for metric, report in (("c10v_val_200", "c10_test_200"), ("c100_val_200", "c100_test_200")):
        if metric in columns:
            return metric, report if report in columns else None
    return None, "c10_test_200" if "c10_test_200" in columns else None


def _with_clocks(columns: Columns) -> Columns:
    """Accuracies know the seconds of their training, if those are known for every row."""
    whole = {name for name, (_, values) in columns.items() if values.dtype.kind != "f" or not np.isnan(values).any()}
    found = {}
    for name, (about, values) in columns.items():
        clock = about.clock or _CLOCKS.get(name)
        found[name] = replace(about, clock=clock if clock in whole else None), values
    return found


def _aligned(values: Values, cells: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64], column: str) -> Values:
    """The values of the wanted cells, nan where there is none."""
    place = np.full(nasbench201.SIZE, -1)
    place[cells] = np.arange(len(cells))
    at = place[wanted]
    if (at >= 0).all():
        return values[at]
    if values.dtype.kind != "f":
        raise SpecError(f"The whole numbers of {column} are missing for {int((at < 0).sum()):,} cells.")
    return np.where(at >= 0, values[at], np.nan).astype(values.dtype)


def _warn_unknown(columns: Mapping[str, Values]) -> None:
    unknown = set(columns) - {known.source for known in _ALL.values()} - _NAMES
    # Losses and seconds of testing are of no use to a search.
    unknown = {name for name in unknown if "_loss_" not in name and "_test_time_" not in name}
    if unknown:
        logger.warning("Columns that ogive does not know were left out: %s.", ", ".join(sorted(unknown)))


def _cells(columns: Mapping[str, Values], path: Path) -> npt.NDArray[np.int64]:
    """The index of the cell in each row, no two alike; where the file names cells in several ways, all must agree."""
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
    distinct = len(np.unique(named[first]))
    if distinct != len(named[first]):
        raise SpecError(f"Each cell has one row, but {path} has {len(named[first]):,} rows for {distinct:,} cells.")
    return named[first]


def _digits(ops: object) -> list[int]:
    if not isinstance(ops, str) or len(ops) != len(nasbench201.EDGES) or not set(ops) <= set("01234"):
        raise ValueError(f"ops are six digits 0..4, but one row has {ops!r}")
    return [int(digit) for digit in ops]
