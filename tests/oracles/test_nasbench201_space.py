"""NAS-Bench-201 as a set of cells: how many there are, and in which order the authors numbered them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet

from ogive.spaces import nasbench201 as module
from ogive.spaces.nasbench201 import nasbench201

# 15,625 cells: Dong and Yang, "NAS-Bench-201", ICLR 2020, section 2.1.
CELLS = 15_625
# Counted by brute force: cells that differ after dead edges are set to none, and those that differ also after
# exchanging the two inner nodes wherever they are interchangeable.
PRUNED, CANONICAL = 9_445, 8_765


def test_there_are_9445_pruned_and_8765_canonical_cells() -> None:
    assert len(nasbench201()) == CELLS
    assert len({module.prune(arch) for arch in nasbench201()}) == PRUNED
    assert len({module.canonical(arch) for arch in nasbench201()}) == CANONICAL


def test_canonical_cells_are_the_isomorphism_classes_of_the_pruned_drawings() -> None:
    # core.graph finds isomorphic graphs without knowing anything of cells, so the two counts are independent.
    drawings = [nasbench201().draw(arch).pruned().canonical() for arch in nasbench201()]
    canonical = [module.canonical(arch) for arch in nasbench201()]
    assert len(set(drawings)) == CANONICAL
    assert len(set(zip(drawings, canonical, strict=True))) == CANONICAL


def test_the_official_order_is_the_published_one(shared_data: Path) -> None:
    columns = pyarrow.parquet.read_table(shared_data / "nb201.parquet", columns=["index", "arch_str"]).to_pydict()
    cells = module.index_of([nasbench201().parse(text).choices for text in columns["arch_str"]])
    np.testing.assert_array_equal(module.official_indices()[cells], columns["index"])
