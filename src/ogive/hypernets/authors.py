"""The networks of DeepNets-1M as its authors published them, in HDF5: read, compared with ours, written as our files.

A file deepnets1m_train.hdf5, _search or _eval has a group for each split and in it, under the number of a network,
``adj`` (N, N), how many edges lead from node to node, and ``nodes`` (N, 3), the operation, cell and name of each;
beside it lies ``…_meta.json`` with the arguments of each network; facebookresearch/ppuda, experiments/net_generator.py
and deepnets1m/loader.py.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.core.errors import MissingData, OgiveError, SpecError, in_line, quoted
from ogive.core.network_graph import PRIMITIVES, NetworkGraph
from ogive.documents import checked
from ogive.hypernets.shards import AUTHORS, Shards, keep
from ogive.spaces.deepnets import Design, of_design, split_of
from ogive.spaces.deepnets_graph import network_graph, parameters_of

__all__ = ["Authors", "Kept", "keep_authors"]

_ARGUMENTS = {
    "genotype": {...: object},
    "norm": object,
    "ks": int,
    "preproc": bool,
    "glob_avg": bool,
    "stem_pool": bool,
    "stem_type": int,
    "C_mult": int,
    "n_cells": int,
    "fc_layers": int,
    "fc_dim": int,
    "num_nodes": int,
}


@dataclass(frozen=True, slots=True)
class Kept:
    """What came of a split: our files, and how many networks have nodes and edges as many as in the authors' file."""

    shards: Shards
    agreeing: int


class Authors:
    """The networks of one split in a file; MissingData without h5py, SpecError for what cannot be read."""

    def __init__(self, file: Path, split: str) -> None:
        self.file, self.split = Path(file), split
        split_of(split)
        try:
            import h5py
        except ModuleNotFoundError:
            raise MissingData("Files of HDF5 need the package h5py: pip install 'ogive[hdf5]'.") from None
        self._h5py = h5py
        if not self.file.is_file():
            raise SpecError(f"There is no file {self.file} of DeepNets-1M.")
        told = self._told()
        self._networks: list[Any] = told["nets"]
        self._operations = _numbered(told["meta"].get("primitives_ext"), self._meta)
        with self._opened() as whole:
            there = len(whole[split]) if split in whole else 0
        if there < len(self._networks):
            raise SpecError(
                f"{self.file} holds {there} networks of the split {split}, but {self._meta} tells of "
                f"{len(self._networks)}: one of them is cut or of another version."
            )

    def __len__(self) -> int:
        return len(self._networks)

    def design(self, number: int) -> Design:
        """What a network is built of."""
        told = self._arguments(number)
        cell = told["genotype"]
        try:
            normal, reduce = (tuple((str(op), int(state)) for op, state in cell[name]) for name in ("normal", "reduce"))
            if cell["reduce_concat"] != cell["normal_concat"]:
                raise ValueError("both cells join the same states")
            return Design(
                cells=told["n_cells"],
                normal=normal,
                reduce=reduce,
                concat=tuple(int(state) for state in cell["normal_concat"]),
                kernel=told["ks"],
                widening=told["C_mult"],
                projected=told["preproc"],
                pooled=told["glob_avg"],
                normalised=told["norm"] is not None,
                stem="imagenet" if told["stem_type"] else "simple",
                stem_pool=told["stem_pool"],
                layers=told["fc_layers"],
                hidden=told["fc_dim"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise self._wrong(number, in_line(error)) from None

    def picture(self, number: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The kinds of the nodes as places in `PRIMITIVES`, (N,), and how many edges lie between two, (N, N)."""
        try:
            with self._opened() as whole:
                network = whole[self.split][str(number)]
                nodes, distances = network["nodes"], network["adj"]
                count = self._arguments(number)["num_nodes"]
                if nodes.shape != (count, 3) or distances.shape != (count, count):
                    raise self._wrong(number, f"{count} nodes have the shapes {nodes.shape} and {distances.shape}")
                kinds, apart = nodes[()], distances[()].astype(np.int64)
        except (KeyError, OSError, ValueError, AttributeError) as error:
            raise self._wrong(number, in_line(error)) from None
        try:
            names = [_primitive(self._operations[int(kind)]) for kind in kinds[:, 0]]
            return np.array([PRIMITIVES.index(name) for name in names], np.int64), apart
        except (KeyError, ValueError) as error:
            raise self._wrong(number, f"an operation is unknown, {in_line(error)}") from None

    def agrees(self, number: int, graph: NetworkGraph) -> bool:
        """Whether a graph has as many nodes of each kind, and as many edges, as the network in the file."""
        kinds, apart = self.picture(number)
        same = Counter(kinds.tolist()) == Counter(graph.types.tolist())
        return same and int((apart == 1).sum()) == len(graph.edges)

    @property
    def _meta(self) -> Path:
        return self.file.with_name(f"{self.file.stem}_meta.json")

    def _told(self) -> dict[str, Any]:
        try:
            whole = json.loads(self._meta.read_text(encoding="utf-8"))
            told = whole[self.split]
            return dict(checked(told, {"nets": [object], "meta": {...: object}}))
        except FileNotFoundError:
            raise SpecError(f"Beside {self.file} there must be {self._meta.name}, with what each network is.") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SpecError(
                f"{self._meta} does not hold the split {self.split} of DeepNets-1M ({in_line(error)})."
            ) from None

    def _opened(self) -> Any:
        try:
            return self._h5py.File(self.file, "r")
        except OSError as error:
            raise SpecError(f"{self.file} is damaged, or no file of HDF5 ({in_line(error)}).") from None

    def _arguments(self, number: int) -> Mapping[str, Any]:
        if not 0 <= number < len(self):
            raise SpecError(f"{self.file} has the networks 0 to {len(self) - 1} of {self.split}, but not {number}.")
        try:
            found: Mapping[str, Any] = checked(self._networks[number], _ARGUMENTS)
        except (ValueError, TypeError) as error:
            raise self._wrong(number, in_line(error)) from None
        return found

    def _wrong(self, number: int, what: str) -> SpecError:
        return SpecError(f"Network {number} of {self.split} in {self.file} cannot be read: {what}.")


def keep_authors(
    file: Path, folder: Path, split: str, count: int | None = None, *, tell: Callable[[int], None] | None = None
) -> Kept:
    """Write the first `count` networks of a split, None for all, as files of ours, which training reads."""
    authors, agreeing = Authors(file, split), 0
    kept = len(authors) if count is None else min(count, len(authors))

    def row(number: int) -> tuple[int, int, tuple[int, ...]]:
        nonlocal agreeing
        design = authors.design(number)
        try:
            arch = of_design(design, nodes=split_of(split).nodes)
            graph = network_graph(design)
        except (OgiveError, ValueError, IndexError) as error:
            raise SpecError(
                f"Network {number} of {split} in {file} is none of this space: {quoted(in_line(error))}."
            ) from None
        agreeing += authors.agrees(number, graph)
        return len(graph), parameters_of(graph), tuple(int(choice) for choice in arch.choices)

    shards = keep(folder, split, kept, AUTHORS, row, tell=tell)
    return Kept(shards, agreeing)


def _numbered(told: Any, meta: Path) -> dict[int, str]:
    try:
        return {int(number): str(name) for number, name in told.items()}
    except (AttributeError, TypeError, ValueError):
        raise SpecError(f"{meta} lacks primitives_ext, the names of the operations by their numbers.") from None


def _primitive(name: str) -> str:
    """The type of node of an operation, whose name may end with the size of its window; loader.py."""
    if name.startswith("conv_"):
        return "conv"
    if name == "fc-b":
        return "bias"
    return name[:-4] if "conv_" in name or "pool_" in name else name
