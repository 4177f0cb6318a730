"""Closed forms for the size and the work of NAS-Bench-201 networks, against published numbers and built networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from ogive.core.architecture import Architecture
from ogive.features import nasbench201_macs, nasbench201_parameters
from ogive.networks.build import build, default_skeleton
from ogive.networks.count import macs, parameters


def test_the_parameters_of_all_15625_networks_are_the_published_ones(shared_data: Path) -> None:
    columns = pyarrow.parquet.read_table(shared_data / "nb201.parquet", columns=["ops", "params_M_c10"])
    choices = [[int(digit) for digit in ops] for ops in columns["ops"].to_pylist()]
    published = np.rint(columns["params_M_c10"].to_numpy().astype(float) * 1e6)
    np.testing.assert_array_equal(nasbench201_parameters(choices), published)


def test_the_macs_of_3x3_convolutions_everywhere_are_the_published_220_12_million() -> None:
    # NAS-Bench-201's own count for this cell (AutoDL-Projects), in millions with two decimals.
    assert nasbench201_macs([[3] * 6])[0] / 1e6 == pytest.approx(220.12, abs=5e-3)


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
    assert macs(network, (sizes["inputs"], *image)) == nasbench201_macs([choices], **sizes, size=image)[0]
