"""How long published networks of ImageNet take on this machine: one thread, 224 pixels, batches of 1 and 16.

``make bench ARGS="-k published_latency"`` prints processor milliseconds beside those of the clock with their interval,
all networks in alternation. Published is that IRLAS's networks are two to four times as fast as most that were found
automatically (Guo et al., CVPR 2019, abstract), on a GPU in batches of 16: another machine and another runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import nn

from ogive.evaluators.timing import Timing, side_by_side
from ogive.networks.build import build_genotype, build_irlas_mobile, build_mobile, default_skeleton
from ogive.networks.count import macs, parameters
from ogive.networks.genotypes import PUBLISHED

SHAPE = (3, 224, 224)
CELLS = ("darts_v2", "nasnet", "amoebanet")


def networks() -> Mapping[str, nn.Module]:
    """Published networks of 1000 classes; cells in the skeleton of DARTS for large images, 48 channels and 14 cells."""
    skeleton = default_skeleton("darts", style="imagenet")
    mobile = {name: build_mobile(name, seed=0) for name in ("mobilenet_v2", "mnasnet_a1", "mnasnet_b1")}
    cells = {name: build_genotype(PUBLISHED[name], skeleton, seed=0) for name in CELLS}
    return {"irlas_mobile": build_irlas_mobile(seed=0), **mobile, **cells}


@pytest.mark.parametrize("batch", [1, 16])
def test_published_latency(batch: int, show: Callable[[str], None]) -> None:
    known = {name: network.eval() for name, network in networks().items()}
    longest = 1.5 * batch
    timing = Timing(batch_size=batch, min_runs=6, warm_up_s=0.0, min_seconds=0.1, max_seconds=longest)
    with torch.inference_mode():
        reports = side_by_side(list(known.values()), SHAPE, timing)
    first = reports[0].cpu_ms
    for (name, network), report in zip(known.items(), reports, strict=True):
        cost = f"{macs(network, SHAPE) / 1e6:6,.0f} million MACs, {parameters(network) / 1e6:5.2f} million parameters"
        show(
            f"batch {batch:2}  {name:13} {report.cpu_ms:8.1f} CPU ms ({report.cpu_ms / first:4.2f} of IRLAS-mobile), "
            f"{report.median_ms:8.1f} ms [{report.low_ms:.1f}, {report.high_ms:.1f}], {report.runs} runs; {cost}"
        )
    assert all(report.cpu_ms > 0 for report in reports)
