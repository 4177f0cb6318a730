"""Closed forms for the size and the work of NAS-Bench-201 networks, against published numbers and built networks."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from ogive.core.architecture import Architecture
from ogive.features import nasbench201_parameters
from ogive.networks.build import build, default_skeleton
from ogive.networks.count import macs, parameters


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
