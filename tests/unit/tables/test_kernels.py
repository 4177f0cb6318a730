from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import StoreError
from ogive.tables.kernels import Kernel, read_kernels, three_of, write_kernels

ARCHS = [Architecture("nasbench201", (digit,) * 6) for digit in range(5)]


def made(arch: Architecture, off: float) -> Kernel:
    return Kernel(arch, 1000, np.full((4, 4), off) + (1 - off) * np.eye(4), np.array([0, 0, 1, 2]))


def test_kernels_come_back_within_half_a_step_of_a_byte(tmp_path: Path) -> None:
    before = [made(ARCHS[0], 0.5), made(ARCHS[1], 0.777)]
    write_kernels(before, tmp_path / "below" / "k.npz")
    after = read_kernels(tmp_path / "below" / "k.npz")
    for one, other in zip(before, after, strict=True):
        assert (one.arch, one.units) == (other.arch, other.units)
        assert np.abs(one.shares - other.shares).max() <= 0.5 / 255 + 1e-12
        assert (one.labels == other.labels).all()


def test_the_agreement_is_the_mean_over_different_images() -> None:
    assert made(ARCHS[0], 0.6).agreement == pytest.approx(0.6)


def test_the_best_the_median_and_the_worst_are_chosen() -> None:
    values = dict(zip(ARCHS, (3.0, 1.0, 5.0, 2.0, 4.0), strict=True))
    assert three_of(values) == [ARCHS[2], ARCHS[0], ARCHS[1]]
    assert three_of({ARCHS[0]: 1.0, ARCHS[1]: 2.0}) == [ARCHS[1], ARCHS[0]]
    assert three_of({ARCHS[0]: 1.0}) == [ARCHS[0]]
    assert three_of({}) == []


def test_a_file_that_holds_no_kernels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "k.npz"
    path.write_bytes(b"PK not an archive")
    with pytest.raises(StoreError, match="holds no kernels"):
        read_kernels(path)
    np.savez(path, archs=["nasbench201:0,0,0,0,0,0"], units=[1], shares=np.zeros((1, 3, 2), np.uint8), labels=[0, 1])
    with pytest.raises(StoreError, match=r"kernels of the shape \(1, 3, 2\)"):
        read_kernels(path)
    np.savez(path, archs=np.array([{}], object))
    with pytest.raises(StoreError, match="holds no kernels"):
        read_kernels(path)
