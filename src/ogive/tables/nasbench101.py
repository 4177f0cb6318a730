"""NAS-Bench-101 as its authors published it: a file of records, one a training, each with its metrics.

Ying et al., "NAS-Bench-101", ICML 2019; google-research/nasbench, nasbench/api.py and lib/model_metrics.proto. A record
is a JSON list: module hash, epochs, adjacency matrix as zeros and ones, operations, and in base 64 a message
ModelMetrics, whose evaluations are those at the start, half-way and at the end. Each cell was trained three times for
each number of epochs.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.core.errors import InvalidArchitecture, SpecError, in_line
from ogive.documents import checked, parsed
from ogive.spaces import nasbench101
from ogive.tables.keys import SortedDigests
from ogive.tables.store import Column, Table, write_table
from ogive.tables.tfrecord import fields, records

__all__ = ["canonical_cells", "import_records"]

Progress = Callable[[int, int], None]
Integers = npt.NDArray[np.int64]

EPOCHS = (4, 12, 36, 108)
REPEATS = 3
# Evaluations of a training: at its start, half-way, and at its end. What begins the names of the latter two's columns.
EVALUATIONS = 3
MOMENTS = {1: "halfway_", 2: ""}
# Fields of the message EvaluationData.
_FIELDS = {2: "seconds", 3: "train", 4: "val", 5: "test"}
_NAMES = tuple(_FIELDS.values())
# With more cells than this, listing all 423,624 is faster than finding the canonical form of each.
MANY = 60_000


@dataclass
class _Gathered:
    """What the records said so far; arrays double as they fill up."""

    rows: dict[str, int] = field(default_factory=dict)
    choices: npt.NDArray[np.uint8] = field(default_factory=lambda: np.zeros((1024, 26), np.uint8))
    params: Integers = field(default_factory=lambda: np.zeros(1024, np.int64))
    counts: npt.NDArray[np.int8] = field(default_factory=lambda: np.zeros((1024, len(EPOCHS)), np.int8))
    # (cells, epochs, repeats, moments, metrics), per cent and seconds
    values: npt.NDArray[np.float32] = field(default_factory=lambda: _unknown(1024))

    def row(self, digest: str) -> tuple[int, bool]:
        """The row of a cell, and whether it is a new one."""
        if digest in self.rows:
            return self.rows[digest], False
        row = self.rows[digest] = len(self.rows)
        if row == len(self.params):
            self.choices = np.concatenate([self.choices, np.zeros_like(self.choices)])
            self.params = np.concatenate([self.params, np.zeros_like(self.params)])
            self.counts = np.concatenate([self.counts, np.zeros_like(self.counts)])
            self.values = np.concatenate([self.values, _unknown(row)])
        return row, True


def _unknown(rows: int) -> npt.NDArray[np.float32]:
    return np.full((rows, len(EPOCHS), REPEATS, len(MOMENTS), len(_NAMES)), np.nan, np.float32)


def import_records(path: Path, folder: Path, name: str, progress: Progress | None = None) -> Table:
    """Write the table of a file nasbench_full.tfrecord or nasbench_only108.tfrecord, or of a part of one.

    SpecError names the first record that is damaged or whose hash is not that of its cell. Memory grows with the
    number of cells, not with the size of the file.
    """
    if not path.is_file():
        raise SpecError(f"There is no file {path}.")
    gathered = _Gathered()
    for number, record in enumerate(records(path)):
        try:
            _take(gathered, record)
        except (ValueError, TypeError, KeyError, IndexError, InvalidArchitecture) as error:
            raise SpecError(f"Record {number} of {path} is not one of NAS-Bench-101: {in_line(error)}") from None
        if progress is not None and number % 20_000 == 0:
            progress(len(gathered.rows), nasbench101.DISTINCT)
    if not gathered.rows:
        raise SpecError(f"{path} holds no records.")
    return _written(gathered, path, folder, name)


def _take(gathered: _Gathered, record: bytes) -> None:
    digest, epochs, bits, ops, metrics = checked(parsed(record), [(str, int)])
    if not all(isinstance(text, str) for text in (digest, bits, ops, metrics)):
        raise ValueError("its hash, matrix, operations and metrics are texts")
    if epochs not in EPOCHS:
        raise ValueError(f"it was trained for {epochs} epochs, not for one of {EPOCHS}")
    row, new = gathered.row(digest)
    if new:
        gathered.choices[row] = _choices(bits, ops)
    parameters, evaluations = _metrics(base64.b64decode(metrics, validate=True))
    length = EPOCHS.index(epochs)
    repeat = int(gathered.counts[row, length])
    if repeat >= REPEATS:
        raise ValueError(f"cell {digest} has more than {REPEATS} trainings of {epochs} epochs")
    gathered.counts[row, length] += 1
    gathered.params[row] = parameters
    # Accuracies are per cent everywhere in ogive.
    scale = {"seconds": 1.0}
    gathered.values[row, length, repeat] = [
        [evaluations[moment].get(key, math.nan) * scale.get(key, 100.0) for key in _NAMES] for moment in MOMENTS
    ]


def _choices(bits: str, ops: str) -> list[int]:
    """The choices of a matrix of up to 7 x 7 bits and its operations."""
    size = math.isqrt(len(bits))
    names = ops.split(",")
    if size**2 != len(bits) or size != len(names) or set(bits) - {"0", "1"}:
        raise ValueError(f"its matrix has {len(bits)} bits for {len(names)} operations")
    matrix = [[int(bit) for bit in bits[start : start + size]] for start in range(0, len(bits), size)]
    return [int(choice) for choice in nasbench101.read(f"ModelSpec(matrix={matrix}, ops={names})").choices]


def _metrics(message: bytes) -> tuple[int, list[dict[str, float]]]:
    """Trainable parameters, and the evaluations of a training."""
    parameters, evaluations = 0, []
    for number, value in fields(message):
        if number == 1 and isinstance(value, bytes):
            found = {_FIELDS[key]: float(part) for key, part in fields(value) if key in _FIELDS}
            evaluations.append(found)
        elif number == 2:
            parameters = int(value)
    if len(evaluations) != EVALUATIONS or parameters <= 0:
        raise ValueError(f"it holds {len(evaluations)} evaluations and {parameters} parameters")
    return parameters, evaluations


# -- the table --------------------------------------------------------------------------------------------------------


def canonical_cells(choices: npt.NDArray[Any], hashes: npt.NDArray[np.bytes_]) -> Integers:
    """The canonical forms of cells whose hashes are known, shape (N, 26)."""
    if len(hashes) > MANY:
        every = nasbench101.distinct_cells()
        known = nasbench101.module_hashes(every)
        order = np.argsort(known)
        return every[order[np.searchsorted(known[order], hashes)]].astype(np.int64)
    space = nasbench101.nasbench101()
    found = [nasbench101.canonical(space.check(row)).choices for row in choices.tolist()]
    return np.array(found, np.int64)


def _written(gathered: _Gathered, path: Path, folder: Path, name: str) -> Table:
    count = len(gathered.rows)
    claimed = np.array(list(gathered.rows), "S32")
    choices = gathered.choices[:count]
    hashes = nasbench101.module_hashes(choices)
    wrong = np.flatnonzero(hashes != claimed)
    if wrong.size:
        raise SpecError(
            f"{path} gives a cell the hash {claimed[wrong[0]].decode()}, but its hash is {hashes[wrong[0]].decode()}."
        )
    digests = [bytes.fromhex(digest.decode()) for digest in hashes.tolist()]
    canonical = canonical_cells(choices, hashes)
    key, order = SortedDigests.of(nasbench101.NAME, canonical, by="module hash", digests=digests)
    columns = _columns(gathered.values[:count][order], gathered.counts[:count])
    columns["params"] = Column("parameters", "trainable parameters", "int64"), gathered.params[:count][order]
    longest = max(epochs for epochs in EPOCHS if f"val_acc_{epochs}" in columns)
    return write_table(
        folder,
        columns,
        name=name,
        space=nasbench101.NAME,
        key=key,
        source=f"NAS-Bench-101 (https://github.com/google-research/nasbench), read from {path.name}",
        licence="Apache-2.0",
        importer="nasbench101-tfrecord 2",
        complete=count == nasbench101.DISTINCT,
        metric=f"val_acc_{longest}",
        report=f"test_acc_{longest}",
        clock=f"train_seconds_{longest}",
    )


def _columns(values: npt.NDArray[np.float32], counts: npt.NDArray[np.int8]) -> dict[str, tuple[Column, Any]]:
    """Means over the repeats as fidelities, half-way and at the end, and each repeat by itself."""
    columns: dict[str, tuple[Column, Any]] = {}
    for length in np.flatnonzero(counts.any(axis=0)).tolist():
        for place, begin in enumerate(MOMENTS.values()):
            columns |= _of_moment(values[:, length, :, place], EPOCHS[length], begin)
        for place, kind in enumerate(_NAMES):
            if kind in ("val", "test"):
                columns |= _repeats(values[:, length, :, -1, place], EPOCHS[length], kind)
    return columns


def _of_moment(values: npt.NDArray[np.float32], epochs: int, begin: str) -> dict[str, tuple[Column, Any]]:
    """Means of the metrics, shape (cells, repeats, metrics), half-way through trainings or at their ends.

    What was measured half-way is a family of its own: the learning rate of a training of 108 epochs has not fallen
    after 54 as it has at the end of a shorter one.
    """
    columns: dict[str, tuple[Column, Any]] = {}
    clock = f"{begin}train_seconds_{epochs}"
    for place, kind in enumerate(_NAMES):
        timed = kind == "seconds"
        family = f"{begin}train_seconds" if timed else f"{begin}{kind}_acc"
        spent = "training" if timed else f"{kind} accuracy after training"
        about = f"half of {spent}" if begin and timed else f"{kind} accuracy after half of training" if begin else spent
        columns[f"{family}_{epochs}"] = (
            Column(
                "s" if timed else "%", f"{about} for {epochs} epochs, mean of the repeats", "float32",
                test=kind == "test", family=family, fidelity=epochs, clock=None if timed else clock,
                seeds="all", cell="pruned",
            ),
            _mean(values[:, :, place]),
        )  # fmt: skip
    return columns


def _repeats(runs: npt.NDArray[np.float32], epochs: int, kind: str) -> dict[str, tuple[Column, Any]]:
    """The final accuracy of each repeat, shape (cells, repeats), as columns."""
    return {
        f"{kind}_acc_{epochs}_repeat{repeat + 1}": (
            Column(
                "%", f"{kind} accuracy after training for {epochs} epochs, repeat {repeat + 1}", "float32",
                test=kind == "test", clock=f"train_seconds_{epochs}", seeds="one", seed=repeat + 1,
                mean=f"{kind}_acc_{epochs}", cell="pruned",
            ),
            runs[:, repeat].copy(),
        )
        for repeat in range(REPEATS)
    }  # fmt: skip


def _mean(runs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Means over the repeats that there are; nan where there is none."""
    known = np.isfinite(runs)
    total = np.where(known, runs, 0.0).sum(axis=1, dtype=np.float64)
    count = known.sum(axis=1)
    mean: npt.NDArray[np.float64] = np.divide(total, count, out=np.full(len(runs), np.nan), where=count > 0)
    return mean.astype(np.float32)
