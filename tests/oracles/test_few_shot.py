"""Parts of the NAS-Bench-201 supernet, as the published code of few-shot NAS counts them.

Zhao et al., "Few-shot Neural Architecture Search", ICML 2021 (aoiang/few-shot-NAS at ec366c1), whose search networks
were executed: the supernet split on the edge 1<-0 into one part for each operation.
"""

from __future__ import annotations

import pytest
import torch

from ogive.networks import count
from ogive.networks.build import Skeleton
from ogive.supernets.partition import Edge, partition
from ogive.supernets.sharing import supernet

# Parameters of the whole, and of the parts with none, skip_connect, nor_conv_1x1, nor_conv_3x3 and avg_pool_3x3.
PARTS = {
    (16, 5, 1): (1_686_106, [1_417_306, 1_417_306, 1_444_186, 1_659_226, 1_417_306]),
    (4, 1, 1): (25_054, [21_694, 21_694, 22_030, 24_718, 21_694]),
}
# The same with a quarter of the channels (PC-DARTS); the split edge is whole.
PARTIAL = {
    (16, 5, 4): (174_106, [157_306, 157_306, 184_186, 399_226, 157_306]),
    (4, 1, 4): (6_154, [5_944, 5_944, 6_280, 8_968, 5_944]),
}


@pytest.mark.parametrize("size", [*PARTS, *PARTIAL])
def test_parts_of_the_first_edge_count_as_the_published_code(size: tuple[int, int, int]) -> None:
    channels, cells, partial = size
    skeleton = Skeleton(channels, cells)
    with torch.device("meta"):
        whole = supernet("nasbench201", skeleton, partial=partial)
        parts = partition(
            whole,
            Edge("cell", 0),
            make=None
            if partial == 1
            else lambda choices: supernet("nasbench201", skeleton, partial=partial, choices=choices),
        )
    expected, of_parts = (PARTS | PARTIAL)[size]
    assert count.parameters(whole) == expected
    assert [count.parameters(part) for _, part in parts] == of_parts
