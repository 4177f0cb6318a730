"""Tables of NDS, the networks that were trained for "On Network Design Spaces for Visual Recognition".

Radosavovic et al., ICCV 2019; https://github.com/facebookresearch/nds publishes one JSON file for each set of networks:
a list of records, or an object with the lists "top" and "mid". A record holds `net`, the network; `test_ep_top1` and
`train_ep_top1`, the errors in per cent after each epoch; `params`, `flops`, and `iter_time`, the seconds of a training
step. Only the last epoch is kept, and the best one on the test images beside it, as the paper reports.

There is no validation error: a search in such a table names the column to search on (``tabular(metric=train_acc)``).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError, quoted, shortened
from ogive.spaces import nds, nds_residual
from ogive.tables.json_records import records
from ogive.tables.keys import SortedDigests
from ogive.tables.store import Column, Table, write_table

__all__ = ["import_nds", "name_of_file"]

logger = logging.getLogger(__name__)

LISTS = ("top", "mid")
# How the names of the files begin. A record does not say of which cell space it is; of residual ones it does.
CELL_FILES = {
    "darts": "nds_darts",
    "enas": "nds_enas",
    "amoeba": "nds_amoeba",
    "nasnet": "nds_nasnet",
    "pnas": "nds_pnas",
}
RESIDUAL = {block: space for space, block in nds_residual.BLOCKS.items()}

Progress = Callable[[int, int], None]
Read = Callable[[Mapping[str, Any]], float]


def import_nds(path: Path, folder: Path, name: str, progress: Progress | None = None) -> Table:
    """Write the table of a file such as DARTS.json; records of one architecture are averaged and counted.

    SpecError names the first record that is damaged, or whose network is none of the space of the others, and the
    field. Memory grows with the number of records, not with their length.
    """
    if not path.is_file():
        raise SpecError(f"There is no file {path}.")
    columns = _columns(path)
    choices: list[tuple[int, ...]] = []
    numbers: list[list[float]] = []
    space: str | None = None
    for number, record in enumerate(_records(path, progress)):
        try:
            arch = _architecture(record, path, space)
            numbers.append([read(record) for read, _ in columns.values()])
        except (InvalidArchitecture, ValueError) as error:
            raise SpecError(f"Record {number} of {path} is not one of NDS: {error}") from None
        space = arch.space
        choices.append(tuple(map(int, arch.choices)))
    if space is None:
        raise SpecError(f"{path} holds no records.")
    abouts = {column: about for column, (_, about) in columns.items()}
    means, key = _means(space, np.array(choices, np.int64), np.array(numbers), abouts)
    return write_table(
        folder,
        means,
        name=name,
        space=space,
        key=key,
        source=f"NDS (https://github.com/facebookresearch/nds), read from {path.name}",
        licence="MIT",
        importer="nds 1",
        complete=False,
        report="test_acc",
    )


def name_of_file(path: Path) -> str:
    """What to call the table of a file: nds_darts for DARTS.json, nds_resnext-a_in for ResNeXt-A_in.json."""
    stem = path.stem.lower()
    return stem if stem.startswith("nds") else f"nds_{stem}"


def _records(path: Path, progress: Progress | None) -> Iterator[Any]:
    try:
        yield from records(path, LISTS, progress)
    except SpecError as error:
        raise SpecError(
            f"{error} ogive reads such files as https://github.com/facebookresearch/nds has them."
        ) from None


# -- records ----------------------------------------------------------------------------------------------------------


def _architecture(record: Any, path: Path, space: str | None) -> Architecture:
    """The architecture of a record; of the space of the records before it, if there were any."""
    net = record.get("net") if isinstance(record, dict) else None
    if not isinstance(net, dict):
        raise ValueError("a record is an object with net, the network")
    found = _cell_space(path) if "genotype" in net else RESIDUAL.get(str(net.get("block_type")))
    if found is None:
        raise ValueError(
            f"net.block_type is {' or '.join(RESIDUAL)}, of which ogive has spaces, not {quoted(net.get('block_type'))}"
        )
    if space is not None and found != space:
        raise ValueError(f"its network is of {found}, those before it of {space}")
    try:
        reader = nds.read_net if found in nds.FAMILIES else nds_residual.read_net
        return reader(found, net)
    except InvalidArchitecture as error:
        raise InvalidArchitecture(f"net: {error}") from None


def _cell_space(path: Path) -> str:
    beginning = path.stem.lower().removeprefix("nds_").partition("_")[0]
    if beginning not in CELL_FILES:
        raise ValueError(
            f"only the name of a file says which cells it holds: it begins with {', '.join(CELL_FILES)}, as published "
            f"(DARTS.json, DARTS_in.json, …), not with {beginning!r}"
        )
    return CELL_FILES[beginning]


def _errors(field: str, choose: Callable[[list[float]], float]) -> Read:
    """100 minus one of the errors after each epoch."""

    def read(record: Mapping[str, Any]) -> float:
        values = record.get(field)
        if not isinstance(values, list) or not values:
            raise ValueError(f"{field} is a list of errors, one an epoch, not {shortened(repr(values), 60)}")
        error = choose([_number(field, value) for value in values])
        if not 0.0 <= error <= 100.0:
            raise ValueError(f"{field} holds errors in per cent, not {error}")
        return 100.0 - error

    return read


def _positive(field: str) -> Read:
    def read(record: Mapping[str, Any]) -> float:
        value = _number(field, record.get(field))
        if not 0 < value < 2**53:
            raise ValueError(f"{field} is a positive number, not {shortened(repr(record.get(field)), 60)}")
        return value

    return read


def _seconds(record: Mapping[str, Any]) -> float:
    """Some records were published without; nan stands for "not measured"."""
    return math.nan if record.get("iter_time") is None else _positive("iter_time")(record)


def _number(field: str, value: object) -> float:
    if type(value) not in (int, float):
        raise ValueError(f"{field} is a number, not {shortened(repr(value), 60)}")
    try:
        return float(value)  # type: ignore[arg-type]  # checked above
    except OverflowError:
        raise ValueError(f"{field} is too large a number") from None


# -- the table --------------------------------------------------------------------------------------------------------


def _columns(path: Path) -> dict[str, tuple[Read, Column]]:
    """What becomes of a record, and what it means; files of ImageNet networks end in "_in"."""
    stem = path.stem.lower()
    data, held_out = (
        ("ImageNet", "validation images, which the authors held out")
        if stem.endswith("_in")
        else ("CIFAR-10", "test images")
    )
    tuned = ", with a learning rate and a weight decay of its own" if "lr-wd" in stem else ""
    return {
        "test_acc": (
            _errors("test_ep_top1", lambda errors: errors[-1]),
            Column("%", f"{data}, {held_out}, after the last epoch{tuned}", "float32", test=True),
        ),
        "test_acc_best": (
            _errors("test_ep_top1", min),
            Column("%", f"{data}, {held_out}, after the epoch that was best there{tuned}", "float32", test=True),
        ),
        "train_acc": (
            _errors("train_ep_top1", lambda errors: errors[-1]),
            Column("%", f"{data}, training images, after the last epoch{tuned}", "float32"),
        ),
        "params": (_positive("params"), Column("parameters", "trainable parameters, as published", "int64")),
        "flops": (_positive("flops"), Column("operations", "of one pass, as published: more than the MACs", "int64")),
        "step_seconds": (_seconds, Column("s", "one step of training, as published", "float64")),
    }


def _means(
    space: str, choices: npt.NDArray[np.int64], numbers: npt.NDArray[np.float64], abouts: Mapping[str, Column]
) -> tuple[dict[str, tuple[Column, npt.NDArray[Any]]], SortedDigests]:
    """The columns of the distinct architectures, in the order of their key: means over the records of each."""
    distinct, place, counts = np.unique(choices, axis=0, return_inverse=True, return_counts=True)
    if len(distinct) < len(choices):
        logger.warning(
            "%d records are of %d architectures: each row is the mean of those of one, and `records` counts them.",
            len(choices),
            len(distinct),
        )
    key, order = SortedDigests.of(space, distinct)
    means: dict[str, tuple[Column, npt.NDArray[Any]]] = {}
    for (column, about), values in zip(abouts.items(), numbers.T, strict=True):
        mean = (np.bincount(place.reshape(-1), values) / counts)[order]
        means[column] = about, (np.rint(mean) if about.dtype == "int64" else mean).astype(about.dtype)
    means["records"] = Column("records", "how many trainings the row is the mean of", "int64"), counts[order]
    return means, key
