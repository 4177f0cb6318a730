"""Tables of parts of benchmarks from files with one row a training: NAS-Bench-101, Accel-NASBench, DyNAS-T and more."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ogive.core.errors import InvalidArchitecture, OgiveError, SpecError
from ogive.spaces import accel_nasbench, nasbench101, nasbench_graph, ofa_mobilenetv3
from ogive.tables.keys import SortedDigests
from ogive.tables.nasbench101 import canonical_cells
from ogive.tables.rows import Published, Values, accuracy, converted, count, mean_of_rows, scaled, seconds
from ogive.tables.store import Table, write_table

__all__ = ["EXTRACTS", "GRAPHS", "NASBENCH_GRAPH", "Extract"]

logger = logging.getLogger(__name__)

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Extract:
    """A file that ogive knows by its columns, and what becomes of it.

    `cells` finds the choices of every row; rows of one architecture are averaged.
    """

    name: str
    space: str
    needs: frozenset[str]
    cells: Callable[[Mapping[str, Values]], Integers]
    columns: Mapping[str, Published]
    source: str
    licence: str
    by: str = "choices"
    metric: str | None = None
    report: str | None = None
    clock: str | None = None
    whole: int | None = None  # how many architectures the space has, where the file may hold all of them
    left_out: tuple[str, ...] = ()  # columns that are known and of no use

    def fits(self, columns: Mapping[str, Values]) -> bool:
        """Whether these are the columns of such a file."""
        return self.needs <= set(columns)

    def table(self, path: Path, columns: Mapping[str, Values], folder: Path, name: str) -> Table:
        """Read the columns and write the table; SpecError if they contradict themselves."""
        try:
            choices = self.cells(columns)
        except (OgiveError, ValueError, TypeError, AttributeError, IndexError) as error:
            raise SpecError(f"{path} does not name its architectures as {self.space} does: {error}") from None
        found = converted(columns, self.columns, np.arange(len(choices)), path)
        distinct, place = np.unique(choices, axis=0, return_inverse=True)
        key, order = SortedDigests.of(self.space, distinct, by=self.by)
        self._warn_unknown(columns)
        return write_table(
            folder,
            {column: (about, _mean(values, place.reshape(-1))[order]) for column, (about, values) in found.items()},
            name=name,
            space=self.space,
            key=key,
            source=f"{self.source}, read from {path.name}",
            licence=self.licence,
            importer=f"{self.name} 1",
            complete=len(distinct) == self.whole,
            metric=self.metric,
            report=self.report,
            clock=self.clock,
        )

    def _warn_unknown(self, columns: Mapping[str, Values]) -> None:
        known = {published.source for published in self.columns.values()} | self.needs | set(self.left_out)
        unknown = sorted(set(columns) - known)
        if unknown:
            logger.warning("Columns that ogive does not know were left out: %s.", ", ".join(unknown))


def _mean(values: Values, place: Integers) -> Values:
    """The mean of the rows of each architecture, over those that were measured; nan where none was."""
    rows = int(place.max()) + 1
    if len(place) == rows:
        ordered = np.empty_like(values)
        ordered[place] = values
        return ordered
    mean = mean_of_rows(values, place, rows)
    return (np.rint(mean) if values.dtype.kind in "iu" else mean).astype(values.dtype)


# -- NAS-Bench-101 ----------------------------------------------------------------------------------------------------


def _cells_of_nasbench101(columns: Mapping[str, Values]) -> Integers:
    """The canonical cells of matrices of 21 bits and seven letters of operations, checked against the hashes."""
    rows = []
    letters = {"1": 0, "2": 1, "3": 2, "-": 0}
    for bits, ops in zip(columns["adj_bits"].tolist(), columns["ops"].tolist(), strict=True):
        if (
            len(bits) != len(nasbench101.PAIRS)
            or set(bits) - set("01")
            or len(ops) != 7
            or (ops[0], ops[-1]) != ("0", "4")
        ):
            raise InvalidArchitecture(f"a cell is 21 bits and seven operations 0...4, but one row has {bits}, {ops}")
        rows.append([*map(int, bits), *(letters[op] for op in ops[1:-1])])
    choices = np.array(rows, np.int64)
    hashes = nasbench101.module_hashes(choices)
    wrong = np.flatnonzero(hashes != columns["hash"].astype("S32"))
    if wrong.size:
        raise InvalidArchitecture(
            f"the hash in row {wrong[0]} is {columns['hash'][wrong[0]]}, but that of its cell is "
            f"{hashes[wrong[0]].decode()}"
        )
    # Isomorphic cells are one row, and edit distances are measured between canonical cells.
    _, first, place = np.unique(hashes, return_index=True, return_inverse=True)
    return canonical_cells(choices[first], hashes[first])[place.reshape(-1)]


_EPOCHS = (4, 12, 36, 108)
_NB101 = "NAS-Bench-101 (https://github.com/google-research/nasbench)"
_ONE = "a single repeat of the three that were published"

_NASBENCH101_30K = Extract(
    name="nasbench101_30k",
    space=nasbench101.NAME,
    needs=frozenset({"hash", "adj_bits", "ops", "val_acc_108"}),
    cells=_cells_of_nasbench101,
    columns={
        **{
            f"val_acc_{epochs}": accuracy(
                f"val_acc_{epochs}", f"CIFAR-10 validation after {epochs} epochs, {_ONE}", factor=100.0
            )
            .of("pruned", "one")
            .at("val_acc", epochs, "train_seconds_108" if epochs == 108 else None)
            for epochs in _EPOCHS
        },
        "train_seconds_108": seconds("train_seconds_108", "training for 108 epochs on a TPU").at("train_seconds", 108),
        "params": count("params", "trainable parameters"),
    },
    source=f"{_NB101}: 30,001 of its 423,624 cells",
    licence="Apache-2.0",
    by="module hash",
    metric="val_acc_108",
    clock="train_seconds_108",
    left_out=("vertices", "edges"),
)

_RETRAINED = "mean of the repeats, cells retrained by EC-NAS, not the NAS-Bench-101 release"

_ECNAS = Extract(
    name="nasbench101_ecnas",
    space=nasbench101.NAME,
    needs=frozenset({"hash", "adj_bits", "ops", "val_e4", "total_energy_kwh"}),
    cells=_cells_of_nasbench101,
    columns={
        **{
            f"{kind}_acc_{epochs}": accuracy(
                f"{split}_e{epochs}", f"{kind} after {epochs} epochs; {_RETRAINED}", test=kind == "test", factor=100.0
            ).at(f"{kind}_acc", epochs, f"train_seconds_{epochs}")
            for kind, split in (("train", "train"), ("val", "val"), ("test", "test"))
            for epochs in (2, 4)
        },
        **{
            f"train_seconds_{epochs}": seconds(f"time_e{epochs}", f"training for {epochs} epochs; {_RETRAINED}").at(
                "train_seconds", epochs
            )
            for epochs in (2, 4)
        },
        **{
            f"energy_kwh_{epochs}": scaled(
                f"energy_kwh_e{epochs}", "kWh", f"energy of training for {epochs} epochs; {_RETRAINED}"
            )
            for epochs in (2, 4)
        },
        "params": count("params", "trainable parameters"),
    },
    source="EC-NAS-Bench (https://github.com/PedramBakh/EC-NAS-Bench): cells of up to 5 vertices, 4 epochs",
    licence="MIT",
    by="module hash",
    metric="val_acc_4",
    report="test_acc_4",
    clock="train_seconds_4",
    left_out=(
        "space", "repeat", "n_vertices", "total_time_s", "train_e0", "val_e0", "test_e0", "time_e0", "energy_kwh_e0",
    ),
)  # fmt: skip

# -- Accel-NASBench ---------------------------------------------------------------------------------------------------


def _cells_of_accel(columns: Mapping[str, Values]) -> Integers:
    found = []
    for block in range(accel_nasbench.BLOCKS):
        for name, options in accel_nasbench.OPTIONS.items():
            values = columns[f"block{block}_{name}"]
            choices = np.searchsorted(options, values)
            if not np.array_equal(np.array(options)[np.minimum(choices, len(options) - 1)], values):
                raise InvalidArchitecture(f"block{block}_{name} is one of {options}")
            found.append(choices)
    return np.stack(found, axis=1).astype(np.int64)


_ACCEL = Extract(
    name="accel_nasbench",
    space=accel_nasbench.NAME,
    needs=frozenset({f"block{b}_{name}" for b in range(accel_nasbench.BLOCKS) for name in accel_nasbench.OPTIONS}),
    cells=_cells_of_accel,
    columns={
        "val_acc": accuracy("val_top1", "ImageNet validation, first guess, under the benchmark's short schedule"),
        "val_top5": accuracy("val_top5", "ImageNet validation, first five guesses, under the short schedule"),
        "train_seconds": seconds("train_time", "training under the short schedule, as published"),
        "macs": count("macs", "multiply-accumulates", unit="MACs", factor=1e6),
        "params": count("params", "trainable parameters", factor=1e6),
        **{
            f"latency_{device}_ms": scaled(f"latency_{device}", "ms", f"latency on a Xilinx {device.upper()} FPGA")
            for device in ("zcu102", "vck190")
        },
        **{
            f"throughput_{device}": scaled(f"throughput_{device}", "images/s", f"throughput on {device}")
            for device in ("a100", "3090", "tpuv2", "tpuv3", "zcu102", "vck190")
        },
    },
    source="Accel-NASBench (https://github.com/afzalxo/Accel-NASBench)",
    licence="Apache-2.0",
    metric="val_acc",
    clock="train_seconds",
    left_out=("id",),
)

# -- networks of Once-for-all -----------------------------------------------------------------------------------------


def _cells_of_ofa(columns: Mapping[str, Values]) -> Integers:
    """Pruned before rows are averaged: what differs in skipped layers only is one network that was measured again."""
    if set(columns["r"].tolist()) != {224}:
        raise InvalidArchitecture("accuracies at several resolutions are no one table: r is 224 in all rows")
    texts = zip(columns["ks"].tolist(), columns["e"].tolist(), columns["d"].tolist(), strict=True)
    read, prune = ofa_mobilenetv3.read, ofa_mobilenetv3.prune
    return np.array(
        [prune(read(f"k{kernels} e{expansions} d{depths}")).choices for kernels, expansions, depths in texts]
    )


_OFA = Extract(
    name="ofa_mbv3_dynast",
    space=ofa_mobilenetv3.NAME,
    needs=frozenset({"ks", "e", "d", "r", "top1"}),
    cells=_cells_of_ofa,
    columns={
        "val_acc": accuracy(
            "top1",
            "ImageNet, first guess, 224 pixels, with weights of the Once-for-all supernet of width 1.0",
            test=False,
        ),
        "params": count("params", "trainable parameters"),
        "macs": count("macs", "multiply-accumulates", unit="MACs"),
    },
    source="searches of DyNAS-T (https://github.com/IntelLabs/DyNAS-T) in the Once-for-all supernet",
    licence="Apache-2.0",
    by="blocks",
    metric="val_acc",
    left_out=("source",),
)

# -- NAS-Bench-Graph --------------------------------------------------------------------------------------------------


def _cells_of_graphs(columns: Mapping[str, Values]) -> Integers:
    numbers = columns["arch_hash"]
    if numbers.dtype.kind not in "iu":
        raise InvalidArchitecture(f"arch_hash is a whole number, not {numbers.dtype}")
    space = nasbench_graph.nasbench_graph()
    return np.array([space.admit(nasbench_graph.read(str(number))).choices for number in numbers.tolist()], np.int64)


# The columns of `proteins` are keyed by another code (base 6, five operations): not these architectures.
_GRAPHS = {  # and what is an edge there
    "cora": "Cora (citations)",
    "citeseer": "CiteSeer (citations)",
    "pubmed": "PubMed (citations)",
    "cs": "Coauthor CS (joint papers)",
    "physics": "Coauthor Physics (joint papers)",
    "photo": "Amazon Photo (bought together)",
    "computers": "Amazon Computers (bought together)",
    "arxiv": "ogbn-arxiv (citations)",
}
GRAPHS = tuple(_GRAPHS)

NASBENCH_GRAPH = Extract(
    name="nasbench_graph",
    space=nasbench_graph.NAME,
    needs=frozenset({"arch_hash", "cora_valid"}),
    cells=_cells_of_graphs,
    columns={
        **{
            f"{data}_{short}": accuracy(
                f"{data}_{split}",
                f"accuracy on {nodes} nodes, mean of three trainings; {graph}",
                test=split == "test",
                factor=100.0,
            ).of("raw", "all")
            for data, graph in _GRAPHS.items()
            for short, split, nodes in (("val", "valid", "validation"), ("test", "test", "test"))
        },
        **{
            f"{data}_latency_ms": scaled(f"{data}_latency", "ms", f"latency of one pass over the graph; {graph}", 1e3)
            for data, graph in _GRAPHS.items()
        },
        **{
            f"{data}_params": count(f"{data}_params_M", f"trainable parameters; {graph}", factor=1e6)
            for data, graph in _GRAPHS.items()
        },
    },
    source="NAS-Bench-Graph (https://github.com/THUMNLab/NAS-Bench-Graph)",
    licence="Apache-2.0",
    by="flow",
    metric="cora_val",
    report="cora_test",
    whole=nasbench_graph.DISTINCT,
    left_out=tuple(f"proteins_{kind}" for kind in ("valid", "test", "latency", "params_M")),
)

# In the order in which a file is tried; a file that fits several is the first of them.
EXTRACTS = (_NASBENCH101_30K, _ECNAS, _ACCEL, _OFA, NASBENCH_GRAPH)
