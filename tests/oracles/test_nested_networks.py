"""Networks of D-DARTS: counts, depth maps, parse rules and distances that running the published code gave.

The numbers come from executing the reference code of Heuillet et al., "D-DARTS" (aheuillet/D-DARTS at e3ad5d9, on
today's PyTorch). Parameters leave out the running statistics; multiply-accumulates are those of convolutions and linear
layers for one image, without the auxiliary head.
"""

from __future__ import annotations

import numpy as np
import pytest

from ogive.networks import count
from ogive.networks.build import build_nested, default_skeleton
from ogive.networks.darts import darts_operation
from ogive.networks.nested_genotypes import HANDCRAFTED, PUBLISHED_NESTED
from ogive.spaces.encoding import distance, encoded, parsed
from ogive.spaces.nested import (
    DARTOPTI_OPERATIONS,
    DDARTS_OPERATIONS,
    NestedGenotype,
    deepened,
    depth_map,
    nodes_of,
)

pytestmark = pytest.mark.usefixtures("one_thread")

CIFAR = (3, 32, 32)
IMAGENET = (3, 224, 224)
SHORT = {"max": 0, "avg": 1, "skip": 2, "sep3": 3, "sep5": 4, "dil3": 5, "dil5": 6}


def counted(genotype: NestedGenotype, layers: int, shape: tuple[int, int, int] = CIFAR, **fields: object) -> list[int]:
    """Parameters without and with the auxiliary head, and multiply-accumulates."""
    network = build_nested(genotype, default_skeleton("ddarts", cells=layers, **fields))
    plain = sum(value.numel() for name, value in network.named_parameters() if "auxiliary" not in name)
    return [plain, count.parameters(network), count.macs(network, shape)]


# At C = 16: parameters with and without those of the batch normalisations.
OPERATIONS = {
    "max_pool_3x3": (0, 0),
    "avg_pool_3x3": (0, 0),
    "skip_connect": (0, 0),
    "sep_conv_3x3": (864, 800),
    "sep_conv_5x5": (1376, 1312),
    "dil_conv_3x3": (432, 400),
    "dil_conv_5x5": (688, 656),
    "conv_3x1_1x3": (1568, 1536),
    "conv_7x1_1x7": (3616, 3584),
    "simple_conv_1x1": (288, 256),
    "simple_conv_3x3": (2336, 2304),
    "bottleneck_1x3x1": (4832, 4608),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_count_as_the_published_code(name: str) -> None:
    found = tuple(count.parameters(darts_operation(name, 16, affine=affine)) for affine in (True, False))
    assert found == OPERATIONS[name]


# 10 classes: parameters and multiply-accumulates.
BASELINES = [
    ("resnet18", 36, 4_433_734, 256_474_368),
    ("resnet18", 64, 13_982_154, 806_440_960),
    ("resnet50", 36, 7_727_374, 460_845_504),
    ("resnet50", 64, 24_360_522, 1_452_358_656),
]
XCEPTION = [(36, 5_052_718, 207_952_128), (64, 15_761_738, 645_861_376)]


@pytest.mark.parametrize(("name", "channels", "parameters", "macs"), BASELINES)
def test_handcrafted_networks_count_as_the_published_code(name: str, channels: int, parameters: int, macs: int) -> None:
    genotype = HANDCRAFTED[name]
    assert counted(genotype, len(genotype.layers), channels=channels)[1:] == [parameters, macs]


@pytest.mark.parametrize(("channels", "parameters", "macs"), XCEPTION)
def test_xception_counts_as_the_published_code_but_for_what_that_does_not_run(
    channels: int, parameters: int, macs: int
) -> None:
    """There, node 4 comes before node 3, so that what it reads of node 3 has weights and is never computed."""
    genotype = HANDCRAFTED["xception"]
    run = tuple(tuple(entry for entry in cell if entry[1:] != (4, 3)) for cell in genotype.cells)
    assert counted(genotype, 13, channels=channels)[1] == parameters
    part = NestedGenotype(run, genotype.layers, genotype.reductions)
    assert counted(part, 13, channels=channels)[2] == macs


# C = 36: without and with the auxiliary head, and multiply-accumulates, for 8 layers with the stored reductions 2 and
# 6, and for 8, 14 and 20 layers with reductions a third and two thirds of the way down.
PUBLISHED = {
    "ddarts_cifar10": [
        [1_244_242, 1_720_668, 255_307_392],
        [1_604_602, 2_081_028, 251_261_568],
        [2_699_146, 3_175_572, 409_426_560],
        [3_822_130, 4_298_556, 595_976_832],
    ],
    "ddarts_cifar10_edge": [
        [2_520_298, 2_996_724, 522_009_216],
        [3_278_602, 3_755_028, 513_235_584],
        [5_266_522, 5_742_948, 849_647_232],
        [7_295_266, 7_771_692, 1_226_535_552],
    ],
    "ddarts_cifar100": [
        [1_358_920, 1_904_556, 258_243_840],
        [1_763_560, 2_309_196, 254_557_440],
        [2_932_192, 3_477_828, 431_347_968],
        [4_083_832, 4_629_468, 591_328_512],
    ],
    "ddarts_cifar100_edge": [
        [2_956_960, 3_502_596, 556_464_384],
        [3_932_272, 4_477_908, 548_040_960],
        [6_332_752, 6_878_388, 928_035_072],
        [8_725_312, 9_270_948, 1_300_214_016],
    ],
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_count_as_the_published_code_at_every_depth(name: str) -> None:
    genotype = PUBLISHED_NESTED[name]
    fields = {"channels": 36, "auxiliary": True, "classes": 100 if "cifar100" in name else 10}
    found = [
        counted(genotype, 8, **fields),
        counted(deepened(genotype, 8), 8, **fields),
        counted(genotype, 14, **fields),
        counted(genotype, 20, **fields),
    ]
    assert found == PUBLISHED[name]


@pytest.mark.parametrize(
    ("layers", "counts"),
    [(14, [3_842_830, 4_319_256, 393_851_520]), (20, [6_425_398, 6_901_824, 562_154_112])],
)
def test_with_the_stored_reductions_deeper_networks_count_as_the_published_code_runs_them(
    layers: int, counts: list[int]
) -> None:
    cells = PUBLISHED_NESTED["ddarts_cifar10"].cells
    kept = NestedGenotype(cells, depth_map(8, layers), reductions=(2, 6))
    assert counted(kept, layers, channels=36, auxiliary=True) == counts


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [
        ("dartopti_resnet18_cifar10", 36_318_538, 1_922_125_824),
        ("dartopti_resnet50_cifar10", 71_237_450, 3_461_740_544),
    ],
)
def test_networks_of_dartopti_count_as_the_published_code(name: str, parameters: int, macs: int) -> None:
    assert counted(PUBLISHED_NESTED[name], 4, channels=64)[1:] == [parameters, macs]


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [
        ("dartopti_resnet18_cifar100", 53_384_072, 8_567_693_312),
        ("dartopti_resnet50_cifar100", 73_227_400, 9_968_828_416),
    ],
)
def test_networks_of_dartopti_for_imagenet_count_as_the_published_code(name: str, parameters: int, macs: int) -> None:
    found = counted(PUBLISHED_NESTED[name], 4, IMAGENET, channels=64, classes=1000, style="imagenet")
    assert found[1:] == [parameters, macs]


@pytest.mark.parametrize(
    ("cells", "layers", "expected"),
    [
        (8, 8, (0, 1, 2, 3, 4, 5, 6, 7)),
        (8, 12, (0, 0, 0, 1, 2, 4, 3, 4, 5, 7, 6, 7)),
        (8, 14, (0, 0, 0, 1, 2, 4, 3, 4, 3, 5, 6, 7, 6, 7)),
        (8, 20, (0, 0, 0, 1, 1, 1, 2, 4, 3, 4, 3, 4, 3, 5, 6, 7, 6, 7, 6, 7)),
        (6, 12, (0, 0, 0, 1, 2, 3, 3, 3, 4, 5, 5, 5)),
    ],
)
def test_deeper_networks_take_their_cells_as_the_published_code(
    cells: int, layers: int, expected: tuple[int, ...]
) -> None:
    assert depth_map(cells, layers) == expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("sparse", "avg(2,1) sep3(2,0) dil5(3,0) max(3,1) sep5(4,1) sep3(4,3) skip(5,1) avg(5,3)"),
        (
            "edge",
            (
                "sep3(2,0) avg(2,1) skip(3,0) dil5(3,0) max(3,1) avg(3,2) dil3(3,2) dil5(4,0) max(4,1) sep5(4,1) "
                "dil3(4,2) sep3(4,3) sep5(5,0) skip(5,1) sep3(5,2) avg(5,3) skip(5,4) dil5(5,4)"
            ),
        ),
    ],
)
def test_gates_are_parsed_as_by_the_published_code(rule: str, expected: str) -> None:
    edges, ops = np.mgrid[:14, :7]
    gates = ((7 * edges + 3 * ops) % 11) / 10
    found = [
        f"{name}({entry.node},{entry.state})"
        for entry in parsed(gates, DDARTS_OPERATIONS, rule=rule)  # type: ignore[arg-type]
        for name, op in SHORT.items()
        if DDARTS_OPERATIONS[op] == entry.op
    ]
    if rule == "sparse":
        assert found == expected.split()
    else:
        assert sorted(found) == sorted(expected.split())
        assert parsed(gates, DDARTS_OPERATIONS, rule="complete") == parsed(gates, DDARTS_OPERATIONS, rule="edge")


@pytest.mark.parametrize(
    ("name", "nodes", "entries"),
    [("resnet18", 4, [6]), ("resnet50", 6, [6, 8, 12]), ("xception", 4, [4, 4, 2])],
)
def test_handcrafted_cells_are_encoded_as_by_the_published_code(name: str, nodes: int, entries: list[int]) -> None:
    cells = HANDCRAFTED[name].cells
    alphas = np.stack([encoded(cell, DARTOPTI_OPERATIONS, nodes=nodes) for cell in cells])
    assert alphas.shape == (len(cells), {4: 14, 6: 27}[nodes], 12)
    assert [int((cell == 10).sum()) for cell in alphas] == entries
    assert max(nodes_of(cell)[-1] for cell in cells) <= nodes + 1


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("resnet18", "resnet18", 0.0),
        ("resnet18", "resnet50", 0.08362996966788812),
        ("resnet18", "xception", 0.08415554752898546),
        ("resnet50", "xception", 0.13852694085580394),
    ],
)
def test_handcrafted_networks_are_as_far_apart_as_the_published_code_says(
    first: str, second: str, expected: float
) -> None:
    assert distance(HANDCRAFTED[first], HANDCRAFTED[second]) == pytest.approx(expected, rel=1e-15, abs=0)
