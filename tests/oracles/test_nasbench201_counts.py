"""Closed forms for the size and the work of NAS-Bench-201 networks, against published numbers and built networks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from ogive.core.architecture import Architecture
from ogive.networks.build import build, default_skeleton
from ogive.networks.count import macs, parameters
from ogive.spaces import nasbench201


def nasbench201_parameters(
    choices_NV: Sequence[Sequence[int]], *, channels: int = 16, cells: int = 5, classes: int = 10, inputs: int = 3
) -> np.ndarray:
    """Trainable parameters, shape (N,), of NAS-Bench-201 networks given by their choices, shape (N, 6).

    Three stages of `cells` cells with C, 2C and 4C channels, a residual block before the second and the third
    ("NAS-Bench-201", section 2.1). Operations on dead edges count: the network holds them.
    """
    small, large = convolutions(choices_NV)
    widths = [channels, 2 * channels, 4 * channels]
    found = np.zeros_like(small)
    for width in widths:
        # Each convolution has no bias, and a BatchNorm with two numbers a channel.
        found += cells * (small * (width**2 + 2 * width) + large * (9 * width**2 + 2 * width))
    stem = 9 * inputs * channels + 2 * channels
    head = 2 * widths[-1] + (widths[-1] + 1) * classes
    # A residual block: two 3x3 convolutions with BatchNorm, and a 1x1 convolution without beside them.
    blocks = sum((9 * narrow + 9 * wide + narrow) * wide + 4 * wide for narrow, wide in itertools.pairwise(widths))
    found += stem + blocks + head
    return found


def convolutions(choices_NV: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """How many 1x1 and how many 3x3 convolutions each cell has."""
    cells = nasbench201.choices_of(nasbench201.index_of(choices_NV))
    small, large = (
        np.count_nonzero(cells == nasbench201.OPS.index(op), axis=1) for op in ("nor_conv_1x1", "nor_conv_3x3")
    )
    return small.astype(np.int64), large.astype(np.int64)


def test_the_parameters_of_all_15625_networks_are_the_published_ones(shared_data: Path) -> None:
    columns = pyarrow.parquet.read_table(shared_data / "nb201.parquet", columns=["ops", "params_M_c10"])
    choices = [[int(digit) for digit in ops] for ops in columns["ops"].to_pylist()]
    published = np.rint(columns["params_M_c10"].to_numpy().astype(float) * 1e6)
    np.testing.assert_array_equal(nasbench201_parameters(choices), published)


def test_the_macs_of_3x3_convolutions_everywhere_are_the_published_220_12_million() -> None:
    # NAS-Bench-201's own count for this cell (AutoDL-Projects), in millions with two decimals.
    network = build(Architecture("nasbench201", (3,) * 6), default_skeleton("nasbench201"))
    assert macs(network, (3, 32, 32)) / 1e6 == pytest.approx(220.12, abs=5e-3)


def closed_form(
    choices: tuple[int, ...], size: tuple[int, int], channels: int, cells: int, classes: int, inputs: int
) -> int:
    """Multiply-accumulates of the convolutions and the linear layer for one image of a height and a width."""
    weights = choices.count(2) + 9 * choices.count(3)
    widths, areas = (channels, 2 * channels, 4 * channels), [size[0] * size[1] // 4**stage for stage in range(3)]
    found = 9 * inputs * channels * areas[0] + widths[-1] * classes
    found += sum(cells * area * width**2 * weights for width, area in zip(widths, areas, strict=True))
    blocks = zip(itertools.pairwise(widths), areas[1:], strict=True)
    return found + sum((9 * narrow + 9 * wide + narrow) * wide * area for (narrow, wide), area in blocks)


@pytest.mark.parametrize("choices", [(3, 3, 3, 3, 3, 3), (0, 0, 0, 0, 0, 0), (2, 1, 4, 3, 2, 0), (4, 4, 2, 0, 1, 3)])
@pytest.mark.parametrize(
    ("sizes", "image"),
    [
        ({"channels": 16, "cells": 5, "classes": 10, "inputs": 3}, (32, 32)),
        ({"channels": 4, "cells": 1, "classes": 7, "inputs": 1}, (16, 24)),
    ],
)
def test_built_networks_have_the_parameters_and_macs_of_the_closed_forms(
    choices: tuple[int, ...], sizes: dict[str, int], image: tuple[int, int]
) -> None:
    network = build(Architecture("nasbench201", choices), default_skeleton("nasbench201", **sizes))
    assert parameters(network) == nasbench201_parameters([choices], **sizes)[0]
    assert macs(network, (sizes["inputs"], *image)) == closed_form(choices, image, **sizes)
