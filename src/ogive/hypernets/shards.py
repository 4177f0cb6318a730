"""Architectures of DeepNets-1M in files: written by several processes, gone on with, and read without loading them.

A shard is a numpy array of records, mapped into memory: a million networks take 50 MB. A network's graph is drawn from
its architecture in milliseconds (`deepnets_graph.network_graph`), at any width, so that graphs are not stored.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, in_line
from ogive.documents import read_json
from ogive.files import write_json, write_whole
from ogive.spaces.deepnets import NAME, deepnets, split_of
from ogive.spaces.deepnets_graph import Drawn, drawn

__all__ = ["AUTHORS", "PUBLISHED_SEEDS", "Shards", "keep", "streamed", "write"]

SCHEMA = 1
SHARD = 5_000
# net_generator.py: the seed of the validation split; all others have 1.
PUBLISHED_SEEDS = {"val": 0}
_RECORD = {"schema": int, "split": str, "seed": int, "count": int, "shard": int}
# The seed that the authors' own networks have in the place of one.
AUTHORS = -1
Row = tuple[int, int, tuple[int, ...]]
# What is told of a shard that is there: how many networks are there in all.
Tell = Callable[[int], None]


def streamed(split: str, seed: int, start: int = 0) -> Iterator[Drawn]:
    """The networks of a split without an end, from number `start` on, without any file."""
    split_of(split)
    number = start
    while True:
        yield drawn(split, number, seed)
        number += 1


def write(
    folder: Path, split: str, count: int, seed: int, *, workers: int = 1, shard: int = SHARD, tell: Tell | None = None
) -> Shards:
    """Write the first `count` networks of a split; shards that are there whole are kept.

    Whatever the number of processes, the files are the same. SpecError for a folder of another split, seed or size of
    shards, which would be mixed.
    """
    return keep(
        folder, split, count, seed, functools.partial(_drawn, split, seed), workers=workers, shard=shard, tell=tell
    )


def keep(
    folder: Path,
    split: str,
    count: int,
    seed: int,
    row: Callable[[int], Row],
    *,
    workers: int = 1,
    shard: int = SHARD,
    tell: Tell | None = None,
) -> Shards:
    """The same of networks that `row` makes: of a number the nodes, the parameters and the choices of a network.

    With several `workers` it is sent to other processes.
    """
    if count < 1 or workers < 1 or shard < 1:
        raise SpecError(f"A split has at least one network, process and shard, but got {(count, workers, shard)}.")
    split_of(split)
    folder.mkdir(parents=True, exist_ok=True)
    _note(folder, {"schema": SCHEMA, "split": split, "seed": seed, "count": count, "shard": shard})
    spans = [(start, min(start + shard, count)) for start in range(0, count, shard)]
    missing = [span for span in spans if not _is_whole(folder, split, *span)]
    done = count - sum(end - start for start, end in missing)
    if tell is not None:
        tell(done)
    make = functools.partial(_write_shard, folder, split, row)
    for size in _each(make, missing, workers):
        done += size
        if tell is not None:
            tell(done)
    return Shards(folder)


class Shards:
    """The networks of a folder that `write` filled; SpecError names a file that is missing, cut or of another kind."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        record = _noted(self.folder)
        if record is None:
            raise SpecError(f"{folder} holds no networks of DeepNets-1M: write some with ogive deepnets {folder}.")
        self.split, self.seed = str(record["split"]), int(record["seed"])
        self._count, self._shard = int(record["count"]), int(record["shard"])
        self._open: dict[int, npt.NDArray[Any]] = {}
        for start in range(0, self._count, self._shard):
            self._mapped(start)

    def __len__(self) -> int:
        return self._count

    def arch(self, number: int) -> Architecture:
        """The architecture of a network."""
        return Architecture(NAME, tuple(int(choice) for choice in self._row(number)["choices"]))

    def facts(self, number: int) -> tuple[int, int]:
        """The nodes of a network, and its parameters at a width of 32 for images of CIFAR."""
        row = self._row(number)
        return int(row["nodes"]), int(row["parameters"])

    def nodes(self) -> npt.NDArray[np.int64]:
        """How many nodes each network has, (N,)."""
        return self._column("nodes")

    def parameters(self) -> npt.NDArray[np.int64]:
        """How many parameters each has at a width of 32 for images of CIFAR, (N,)."""
        return self._column("parameters")

    def _column(self, name: str) -> npt.NDArray[np.int64]:
        starts = range(0, self._count, self._shard)
        return np.concatenate([self._mapped(start)[name].astype(np.int64) for start in starts])

    def _row(self, number: int) -> Any:
        if not 0 <= number < self._count:
            raise SpecError(f"{self.folder} holds the networks 0 to {self._count - 1}, but not {number}.")
        start = number - number % self._shard
        return self._mapped(start)[number - start]

    def _mapped(self, start: int) -> npt.NDArray[Any]:
        if start not in self._open:
            end = min(start + self._shard, self._count)
            self._open[start] = _read(_path(self.folder, self.split, start), self.split, end - start)
        return self._open[start]


def _each(make: Callable[[tuple[int, int]], int], spans: list[tuple[int, int]], workers: int) -> Iterator[int]:
    """What is made of each span, in whatever order it is done."""
    if workers == 1 or len(spans) < 2:
        yield from map(make, spans)
        return
    with ProcessPoolExecutor(min(workers, len(spans)), mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(make, span) for span in spans]
        try:
            for one in as_completed(waiting):
                yield one.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _drawn(split: str, seed: int, number: int) -> Row:
    network = drawn(split, number, seed)
    return len(network.graph), network.parameters, tuple(int(choice) for choice in network.arch.choices)


def _write_shard(folder: Path, split: str, row: Callable[[int], Row], span: tuple[int, int]) -> int:
    rows = np.zeros(span[1] - span[0], _type(split))
    for place, number in enumerate(range(*span)):
        rows[place] = row(number)
    whole = BytesIO()
    np.save(whole, rows, allow_pickle=False)
    write_whole(_path(folder, split, span[0]), whole.getvalue())
    return len(rows)


def _type(split: str) -> np.dtype[Any]:
    variables = len(deepnets(nodes=split_of(split).nodes).variables)
    return np.dtype([("nodes", "<u2"), ("parameters", "<u4"), ("choices", "u1", (variables,))])


def _path(folder: Path, split: str, start: int) -> Path:
    return folder / f"{split}-{start:07d}.npy"


def _is_whole(folder: Path, split: str, start: int, end: int) -> bool:
    try:
        _read(_path(folder, split, start), split, end - start)
    except SpecError:
        return False
    return True


def _read(path: Path, split: str, rows: int) -> npt.NDArray[Any]:
    """The records of a shard, mapped into memory."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise SpecError(
            f"The shard {path} cannot be read ({in_line(error)}): write it again with ogive deepnets {path.parent}."
        ) from None
    if not isinstance(found, np.ndarray) or found.dtype != _type(split) or found.shape != (rows,):
        raise SpecError(f"The shard {path} does not hold {rows} networks of the split {split}: write it again.")
    return found


def _noted(folder: Path) -> dict[str, Any] | None:
    path = folder / "deepnets.json"
    if not path.is_file():
        return None
    try:
        record: dict[str, Any] = read_json(path, _RECORD)
    except (OSError, ValueError, json.JSONDecodeError) as error:
        raise SpecError(f"{path} cannot be read ({in_line(error)}): remove it to write the networks again.") from None
    if record["schema"] > SCHEMA or record["count"] < 1 or record["shard"] < 1:
        raise SpecError(f"{path} is of another version of ogive, or damaged.")
    split_of(record["split"])
    return record


def _note(folder: Path, record: dict[str, Any]) -> None:
    there = _noted(folder)
    for name in ("split", "seed", "shard"):
        if there is not None and there[name] != record[name]:
            raise SpecError(
                f"{folder} holds networks with {name}={there[name]}, not {record[name]}: give another folder."
            )
    write_json(folder / "deepnets.json", record)
