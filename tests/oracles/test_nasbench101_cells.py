"""All cells of NAS-Bench-101 and their published hashes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from ogive.core.graph import Graph
from ogive.spaces import nasbench101 as module
from ogive.spaces.nasbench101 import PAIRS, nasbench101

# Ying et al., "NAS-Bench-101", ICML 2019, abstract: "423k unique convolutional architectures".
CELLS = 423_624


@pytest.fixture(scope="module")
def published(shared_data: Path) -> dict[str, list[str]]:
    """7 % of the release: hashes, and cells recovered from them by enumeration."""
    file = shared_data / "nb101_val_30001.parquet"
    columns: dict[str, list[str]] = pyarrow.parquet.read_table(file, columns=["hash", "adj_bits", "ops"]).to_pydict()
    return columns


def test_all_423624_cells_have_different_hashes_and_every_published_one_is_among_them(
    published: dict[str, list[str]],
) -> None:
    cells = dict(module.enumerate_cells())
    hashes = set(cells.values())
    assert len(cells) == len(hashes) == CELLS
    assert len(published["hash"]) == 30_001
    assert set(published["hash"]) <= hashes


def test_the_hashes_of_30001_published_cells_recompute(published: dict[str, list[str]]) -> None:
    # An unused vertex is written "-".
    operations = ([max("123".find(op), 0) for op in ops[1:-1]] for ops in published["ops"])
    choices = [[*map(int, bits), *ops] for bits, ops in zip(published["adj_bits"], operations, strict=True)]
    assert [digest.decode() for digest in module.module_hashes(choices)] == published["hash"]


def test_cells_have_equal_hashes_exactly_if_their_pruned_drawings_are_isomorphic() -> None:
    space, rng = nasbench101(), np.random.default_rng(0)
    # Few edges, so that many of the cells are equal after pruning.
    sparse = (rng.random((40_000, len(PAIRS))) < 0.22).astype(int)
    choices = np.concatenate([sparse, rng.integers(0, 3, (len(sparse), 5))], axis=1).tolist()
    archs = [space.check(row) for row in choices if space.is_legal(tuple(row))][:4_000]
    drawings: list[Graph] = [space.draw(arch).pruned().canonical() for arch in archs]
    hashes = [module.module_hash(arch) for arch in archs]
    classes = len(set(drawings))
    assert 100 < classes < len(archs) / 2
    assert len(set(hashes)) == len(set(zip(drawings, hashes, strict=True))) == classes
