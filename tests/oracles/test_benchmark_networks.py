"""Networks of NAS-Bench-101, NAS-Bench-201 and NATS-Bench, counted against the published tables."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ogive.core.architecture import Architecture
from ogive.networks import count
from ogive.networks.build import build, default_skeleton
from ogive.networks.nasbench101 import NasBench101Network, vertex_channels
from ogive.spaces.nasbench101 import OPS, VERTICES
from ogive.spaces.nasbench201 import nasbench201
from ogive.spaces.natssize import natssize

CIFAR = (3, 32, 32)


pytestmark = pytest.mark.usefixtures("one_thread")


def columns(folder: Path, name: str, *names: str) -> list[np.ndarray[Any, Any]]:
    parquet = pytest.importorskip("pyarrow.parquet", reason="reading the published table needs pyarrow")
    table = parquet.read_table(folder / name, columns=list(names))
    return [np.array(table.column(column).to_pylist()) for column in names]


def test_fifty_nasbench201_networks_have_the_published_parameters(shared_data: Path) -> None:
    digits, millions = columns(shared_data, "nb201.parquet", "ops", "params_M_c10")
    skeleton = default_skeleton("nasbench201")
    for row in np.random.default_rng(0).choice(len(digits), 50, replace=False):
        arch = Architecture("nasbench201", tuple(int(digit) for digit in str(digits[row])))
        # The column is in millions, in single precision; parameters are whole.
        assert count.parameters(build(arch, skeleton)) == round(float(millions[row]) * 1e6)


# NATS-Bench, the files of the topology space (CIFAR-10, seed 777): `params` and `flop`, both in millions. Its counter
# adds the ten biases of the classifier to the multiply-accumulates of convolutions and classifier.
@pytest.mark.parametrize(
    ("text", "millions", "flop"),
    [
        (
            "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
            0.129306,
            15.64737,
        ),
        (
            "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|none~0|nor_conv_3x3~1|avg_pool_3x3~2|",
            0.802426,
            113.95137,
        ),
        ("|skip_connect~0|+|skip_connect~0|skip_connect~1|+|none~0|nor_conv_1x1~1|none~2|", 0.101306, 11.71521),
    ],
)
def test_nasbench201_networks_count_as_in_the_published_files(text: str, millions: float, flop: float) -> None:
    network = build(nasbench201().parse(text), default_skeleton("nasbench201"))
    assert count.parameters(network) == round(millions * 1e6)
    assert count.macs(network, CIFAR) + 10 == round(flop * 1e6)


def test_the_largest_nasbench201_network_has_the_published_flops() -> None:
    # NAS-Bench-201's own count for the cell of six 3×3 convolutions: 220.12 million.
    network = build(Architecture("nasbench201", (3,) * 6), default_skeleton("nasbench201"))
    assert round((count.macs(network, CIFAR) + 10) / 1e6, 2) == 220.12


# NATS-Bench, the files of the size space (CIFAR-10 and CIFAR-100, seed 777): `params` and `flop`, in millions.
@pytest.mark.parametrize(
    ("text", "millions", "millions_of_100_classes", "flop"),
    [
        ("8:8:8:8:8", 0.011714, 0.012524, 4.481114),
        ("8:8:8:16:32", 0.049202, 0.052172, 6.84065),
        ("8:8:40:32:40", 0.144834, 0.148524, 21.827994),
    ],
)
def test_natssize_networks_count_as_in_the_published_files(
    text: str, millions: float, millions_of_100_classes: float, flop: float
) -> None:
    arch = natssize().parse(text)
    network = build(arch, default_skeleton("natssize"))
    wider = build(arch, default_skeleton("natssize", classes=100))
    assert count.parameters(network) == round(millions * 1e6)
    assert count.parameters(wider) == round(millions_of_100_classes * 1e6)
    assert count.macs(network, CIFAR) + 10 == round(flop * 1e6)


# -- NAS-Bench-101 ----------------------------------------------------------------------------------------------------

Matrix = tuple[tuple[int, ...], ...]


def cell(bits: str, digits: str) -> tuple[Matrix, tuple[str, ...]]:
    """A row of the table: the upper triangle, and for each vertex 1..3 an operation, - none."""
    places = itertools.combinations(range(VERTICES), 2)
    edges = {place for place, bit in zip(places, bits, strict=True) if bit == "1"}
    kept = [vertex for vertex in range(VERTICES) if digits[vertex] != "-"]
    matrix = tuple(tuple(int((source, target) in edges) for target in kept) for source in kept)
    return matrix, tuple(OPS[int(digits[vertex]) - 1] for vertex in kept[1:-1])


def reordered(matrix: Matrix, operations: tuple[str, ...]) -> Iterator[tuple[Matrix, tuple[str, ...]]]:
    """The same cell with its inner vertices in every order that keeps each edge pointing forward."""
    last = len(matrix) - 1
    for inner in itertools.permutations(range(1, last)):
        order = (0, *inner, last)
        moved = tuple(tuple(matrix[source][target] for target in order) for source in order)
        if not any(moved[row][column] for row in range(len(order)) for column in range(row)):
            yield moved, tuple(operations[vertex - 1] for vertex in inner)


def parameters_of(matrix: Matrix, operations: tuple[str, ...]) -> int:
    return count.parameters(NasBench101Network(matrix, operations))


def test_two_hundred_nasbench101_networks_have_the_published_parameters(shared_data: Path) -> None:
    # nasbench's model_metrics, `trainable_parameters`. Where three vertices make the output, 128 channels cannot be
    # shared evenly, and who gets one more depends on the order of the vertices. The table names a cell by its hash,
    # which forgets that order; so there the count may be that of the same cell in another order.
    bits, digits, published = columns(shared_data, "nb101_val_30001.parquet", "adj_bits", "ops", "params")
    straight = 0
    for row in np.random.default_rng(0).choice(len(bits), 200, replace=False):
        matrix, operations = cell(str(bits[row]), str(digits[row]))
        with torch.device("meta"):
            if parameters_of(matrix, operations) == published[row]:
                straight += 1
                continue
            assert sum(line[-1] for line in matrix[1:]) == 3
            assert published[row] in {parameters_of(*other) for other in reordered(matrix, operations)}
    assert straight >= 190


def test_channels_are_shared_as_the_published_code_shares_them() -> None:
    # compute_vertex_channels of google-research/nasbench, model_builder.py: worked by hand from its description.
    # Vertices 1, 2 and 4 make the output; vertex 3 leads to 4 only.
    matrix = (
        (0, 1, 1, 1, 0, 0),
        (0, 0, 0, 0, 0, 1),
        (0, 0, 0, 0, 0, 1),
        (0, 0, 0, 0, 1, 0),
        (0, 0, 0, 0, 0, 1),
        (0,) * 6,
    )
    assert vertex_channels(matrix, 128, 128) == [128, 43, 43, 42, 42, 128]
    # Straight from input to output: nothing to share.
    assert vertex_channels(((0, 1), (0, 0)), 64, 128) == [64, 128]
