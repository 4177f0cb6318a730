"""Spaces: random draws and canonical forms a second, and the whole of NAS-Bench-101.

``make bench ARGS="-k spaces"`` prints the times; the lines with a ratio name the baseline, measured in the same run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ogive.spaces import nasbench101, nasbench201
from ogive.spaces.fingerprint import fingerprint

Show = Callable[[str], None]


def seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def test_spaces_nasbench201_sample_mutate_canonical(benchmark: Any, show: Show) -> None:
    space, rng = nasbench201.nasbench201(), np.random.default_rng(0)
    nasbench201.canonical(space.sample(rng))
    benchmark(lambda: nasbench201.canonical(space.mutate(space.sample(rng), rng)))
    show(f"NAS-Bench-201 sample + mutate + canonical: {1 / benchmark.stats.stats.median:,.0f} a second")


def test_spaces_nasbench101_sample_mutate_canonical(benchmark: Any, show: Show) -> None:
    space, rng = nasbench101.nasbench101(), np.random.default_rng(0)
    nasbench101.canonical(space.sample(rng))
    benchmark(lambda: nasbench101.canonical(space.mutate(space.sample(rng), rng)))
    show(f"NAS-Bench-101 sample + mutate + canonical: {1 / benchmark.stats.stats.median:,.0f} a second")


def test_spaces_nasbench101_enumeration(benchmark: Any, show: Show) -> None:
    """All distinct cells with their hashes; the baseline hashes one cell after the other with hashlib."""

    def enumerate_all() -> list[tuple[Any, str]]:
        nasbench101.distinct_cells.cache_clear()
        return list(nasbench101.enumerate_cells())

    cells = benchmark.pedantic(enumerate_all, rounds=1)
    assert len({digest for _, digest in cells}) == len(cells) == 423_624
    some = cells[:: len(cells) // 4_000]
    prepared = [(nasbench101.pruned_cell(arch), digest) for arch, digest in some]

    def plain() -> None:
        for cell, digest in prepared:
            assert fingerprint(cell.matrix, (nasbench101.INPUT, *cell.ops, nasbench101.OUTPUT)) == digest

    alone, all_cells = seconds(plain) / len(some) * len(cells), benchmark.stats.stats.median
    show(
        f"NAS-Bench-101, 423,624 cells with hashes: {all_cells:.1f} s; hashing alone with hashlib, one cell after the "
        f"other, would take {alone:.1f} s (from {len(some):,} cells; ratio {alone / all_cells:.1f})"
    )
