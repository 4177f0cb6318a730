"""Networks of NDS: published records, and counts that the reference code gave.

The records are those that microsoft/nni prints in docs/en_US/NAS/BenchmarksExample.ipynb (at 10973c4), read from the
authors' files. Counts of the networks of DARTS come from running quark0/darts at f276dd3; they leave out the running
statistics.
"""

from __future__ import annotations

import json

import pytest
import torch

from ogive.catalog import build as part
from ogive.networks import count
from ogive.networks.build import build, default_skeleton
from ogive.networks.genotypes import PUBLISHED
from ogive.spaces import nds, nds_residual

AMOEBA = {
    "normal": [
        ["avg_pool_3x3", 0], ["conv_7x1_1x7", 1], ["sep_conv_3x3", 2], ["sep_conv_5x5", 0], ["dil_sep_conv_3x3", 2],
        ["dil_sep_conv_3x3", 2], ["skip_connect", 4], ["dil_sep_conv_3x3", 4], ["conv_7x1_1x7", 2], ["sep_conv_3x3", 4],
    ],
    "normal_concat": [3, 5, 6],
    "reduce": [
        ["avg_pool_3x3", 0], ["dil_sep_conv_3x3", 1], ["sep_conv_3x3", 0], ["sep_conv_3x3", 0], ["skip_connect", 2],
        ["sep_conv_7x7", 0], ["conv_7x1_1x7", 4], ["skip_connect", 4], ["conv_7x1_1x7", 0], ["conv_7x1_1x7", 5],
    ],
    "reduce_concat": [3, 6],
}  # fmt: skip
RECORDS = {
    "nds_amoeba": ({"depth": 12, "width": 32, "aux": False, "drop_prob": 0.0, "genotype": AMOEBA}, 4_190_314),
    "nds_resnet": (
        {
            "block_type": "res_basic_block", "bot_muls": [], "ds": [1, 12, 12, 12], "num_gs": [], "ss": [1, 1, 2, 2],
            "ws": [16, 24, 24, 40],
        },
        594_138,
    ),
    "nds_resnext": (
        {
            "block_type": "res_bottleneck_block", "bot_muls": [0.0, 0.25, 0.25, 0.25], "ds": [1, 16, 1, 4],
            "num_gs": [1, 2, 1, 2], "ss": [1, 1, 2, 2], "ws": [16, 64, 128, 16],
        },
        83_002,
    ),
}  # fmt: skip


@pytest.mark.parametrize("space", RECORDS)
def test_a_published_record_builds_a_network_of_the_published_parameters(space: str) -> None:
    net, parameters = RECORDS[space]
    arch = part("space", space).parse(json.dumps(net))
    with torch.device("meta"):
        assert count.parameters(build(arch, default_skeleton(space))) == parameters


# Width 36, depth 20 for CIFAR-10: parameters, with auxiliary head, multiply-accumulates; then width 48, depth 14 for
# ImageNet.
NETWORKS = {
    ("nds_nasnet", "nasnet"): (3_830_950, 4_288_944, 603_452_448, 5_564_320),
    ("nds_amoeba", "amoebanet"): (3_145_078, 3_603_072, 488_931_552, 4_627_360),
    ("nds_darts", "darts_v1"): (3_169_414, 3_645_840, 500_987_520, 4_510_432),
    ("nds_darts", "darts_v2"): (3_349_342, 3_825_768, 528_359_040, 4_718_752),
}


@pytest.mark.parametrize(("space", "genotype"), NETWORKS)
def test_a_published_genotype_is_an_architecture_of_its_space_with_the_same_network(space: str, genotype: str) -> None:
    parameters, with_auxiliary, macs, on_imagenet = NETWORKS[space, genotype]
    cells = PUBLISHED[genotype]
    arch = nds.architecture(space, cells.normal, cells.reduce, width=36, depth=20)
    assert (nds.concat_of(arch, "normal"), nds.concat_of(arch, "reduce")) == (cells.normal_concat, cells.reduce_concat)
    larger = nds.architecture(space, cells.normal, cells.reduce, width=48, depth=14)
    with torch.device("meta"):
        network = build(arch, default_skeleton(space))
        assert count.parameters(network) == parameters
        assert count.macs(network, (3, 32, 32)) == macs
        auxiliary = build(arch, default_skeleton(space, auxiliary=True))
        assert sum(one.numel() for one in auxiliary.parameters()) == with_auxiliary
        imagenet = build(larger, default_skeleton(space, style="imagenet", classes=1000))
        assert count.parameters(imagenet) == on_imagenet


def test_parameters_and_operations_of_a_residual_network_follow_from_its_convolutions() -> None:
    """By hand: the stem 464; 3,776 and 15 blocks of 3,392; 24,192; 2,776 and 3 blocks of 248; the classifier 170."""
    stages = nds_residual.stages_of(part("space", "nds_resnext").parse(json.dumps(RECORDS["nds_resnext"][0])))
    assert nds_residual.parameters_of(stages) == 464 + 3_776 + 15 * 3_392 + 24_192 + 2_776 + 3 * 248 + 170 == 83_002
