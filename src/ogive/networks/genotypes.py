"""Cells that papers have published, as data: what each node applies to which state.

The states of a cell are its two inputs (0: the cell before the last, 1: the last cell) and then its nodes. Each node
adds two operations on earlier states; the output concatenates the states in `concat`. Names follow the published code.
"""

from __future__ import annotations

from typing import NamedTuple

from ogive.spaces.notation import short

__all__ = ["PUBLISHED", "Genotype"]

Entries = tuple[tuple[str, int], ...]
ALL_FOUR = (2, 3, 4, 5)


class Genotype(NamedTuple):
    """A normal and a reduction cell: (operation, state) pairs, two for each node, and the states of the output."""

    normal: Entries
    normal_concat: tuple[int, ...]
    reduce: Entries
    reduce_concat: tuple[int, ...]


def _genotype(
    normal: str, reduce: str, *, normal_concat: tuple[int, ...] = ALL_FOUR, reduce_concat: tuple[int, ...] = ALL_FOUR
) -> Genotype:
    return Genotype(short(normal), normal_concat, short(reduce), reduce_concat)


# Liu et al., "DARTS", ICLR 2019, first order; the code is quark0/darts, cnn/genotypes.py.
DARTS_V1 = _genotype(
    "sep_conv_3x3~1 sep_conv_3x3~0 | skip_connect~0 sep_conv_3x3~1 | "
    "skip_connect~0 sep_conv_3x3~1 | sep_conv_3x3~0 skip_connect~2",
    "max_pool_3x3~0 max_pool_3x3~1 | skip_connect~2 max_pool_3x3~0 | "
    "max_pool_3x3~0 skip_connect~2 | skip_connect~2 avg_pool_3x3~0",
)

# The same, second order.
DARTS_V2 = _genotype(
    "sep_conv_3x3~0 sep_conv_3x3~1 | sep_conv_3x3~0 sep_conv_3x3~1 | "
    "sep_conv_3x3~1 skip_connect~0 | skip_connect~0 dil_conv_3x3~2",
    "max_pool_3x3~0 max_pool_3x3~1 | skip_connect~2 max_pool_3x3~1 | "
    "max_pool_3x3~0 skip_connect~2 | skip_connect~2 max_pool_3x3~1",
)

# NASNet-A of Zoph et al., CVPR 2018, as quark0/darts writes it.
NASNET = _genotype(
    "sep_conv_5x5~1 sep_conv_3x3~0 | sep_conv_5x5~0 sep_conv_3x3~0 | "
    "avg_pool_3x3~1 skip_connect~0 | avg_pool_3x3~0 avg_pool_3x3~0 | "
    "sep_conv_3x3~1 skip_connect~1",
    "sep_conv_5x5~1 sep_conv_7x7~0 | max_pool_3x3~1 sep_conv_7x7~0 | "
    "avg_pool_3x3~1 sep_conv_5x5~0 | skip_connect~3 avg_pool_3x3~2 | "
    "sep_conv_3x3~2 max_pool_3x3~1",
    normal_concat=(2, 3, 4, 5, 6),
    reduce_concat=(4, 5, 6),
)

# AmoebaNet-A of Real et al., AAAI 2019, as quark0/darts writes it.
AMOEBANET = _genotype(
    "avg_pool_3x3~0 max_pool_3x3~1 | sep_conv_3x3~0 sep_conv_5x5~2 | "
    "sep_conv_3x3~0 avg_pool_3x3~3 | sep_conv_3x3~1 skip_connect~1 | "
    "skip_connect~0 avg_pool_3x3~1",
    "avg_pool_3x3~0 sep_conv_3x3~1 | max_pool_3x3~0 sep_conv_7x7~2 | "
    "sep_conv_7x7~0 avg_pool_3x3~1 | max_pool_3x3~0 max_pool_3x3~1 | "
    "conv_7x1_1x7~0 sep_conv_3x3~5",
    normal_concat=(4, 5, 6),
    reduce_concat=(3, 4, 6),
)

# Xu et al., "PC-DARTS", ICLR 2020; yuhuixu1993/PC-DARTS, genotypes.py.
PC_DARTS_CIFAR = _genotype(
    "sep_conv_3x3~1 skip_connect~0 | sep_conv_3x3~0 dil_conv_3x3~1 | "
    "sep_conv_5x5~0 sep_conv_3x3~1 | avg_pool_3x3~0 dil_conv_3x3~1",
    "sep_conv_5x5~1 max_pool_3x3~0 | sep_conv_5x5~1 sep_conv_5x5~2 | "
    "sep_conv_3x3~0 sep_conv_3x3~3 | sep_conv_3x3~1 sep_conv_3x3~2",
)

# The same, searched on ImageNet (`PC_DARTS_image`).
PC_DARTS_IMAGENET = _genotype(
    "skip_connect~1 sep_conv_3x3~0 | sep_conv_3x3~0 skip_connect~1 | "
    "sep_conv_3x3~1 sep_conv_3x3~3 | sep_conv_3x3~1 dil_conv_5x5~4",
    "sep_conv_3x3~0 skip_connect~1 | dil_conv_5x5~2 max_pool_3x3~1 | "
    "sep_conv_3x3~2 sep_conv_3x3~1 | sep_conv_5x5~0 sep_conv_3x3~3",
)

# Chen et al., "DrNAS", ICLR 2021; xiangning-chen/DrNAS, DARTS-space/genotypes.py.
DRNAS_CIFAR10 = _genotype(
    "sep_conv_3x3~0 sep_conv_5x5~1 | sep_conv_3x3~1 sep_conv_3x3~2 | "
    "skip_connect~0 sep_conv_3x3~1 | sep_conv_3x3~2 dil_conv_5x5~3",
    "max_pool_3x3~0 sep_conv_5x5~1 | dil_conv_5x5~2 sep_conv_5x5~1 | "
    "sep_conv_5x5~1 dil_conv_5x5~3 | skip_connect~4 sep_conv_5x5~1",
)

# The same, searched on ImageNet.
DRNAS_IMAGENET = _genotype(
    "sep_conv_3x3~1 sep_conv_3x3~0 | sep_conv_3x3~0 sep_conv_3x3~1 | "
    "sep_conv_3x3~0 dil_conv_3x3~3 | skip_connect~0 sep_conv_3x3~1",
    "max_pool_3x3~0 sep_conv_3x3~1 | sep_conv_3x3~0 skip_connect~2 | "
    "sep_conv_3x3~0 sep_conv_3x3~2 | sep_conv_3x3~3 sep_conv_3x3~1",
)

# Wang et al., "Rethinking architecture selection", ICLR 2021; ruocwang/darts-pt, sota/cnn/genotypes.py,
# `darts_pt_s5_0`.
DARTS_PT_0 = _genotype(
    "sep_conv_3x3~0 sep_conv_3x3~1 | sep_conv_5x5~0 dil_conv_3x3~1 | "
    "skip_connect~0 skip_connect~2 | skip_connect~0 max_pool_3x3~4",
    "sep_conv_3x3~0 avg_pool_3x3~1 | dil_conv_5x5~1 dil_conv_3x3~2 | "
    "avg_pool_3x3~0 max_pool_3x3~2 | sep_conv_3x3~2 skip_connect~4",
)

# `darts_pt_s5_1`.
DARTS_PT_1 = _genotype(
    "sep_conv_3x3~0 sep_conv_3x3~1 | sep_conv_3x3~0 dil_conv_3x3~1 | "
    "max_pool_3x3~0 skip_connect~2 | skip_connect~0 dil_conv_3x3~4",
    "dil_conv_5x5~0 avg_pool_3x3~1 | max_pool_3x3~0 sep_conv_5x5~2 | "
    "max_pool_3x3~1 dil_conv_3x3~3 | sep_conv_5x5~0 sep_conv_3x3~4",
)

# `darts_pt_s5_2`.
DARTS_PT_2 = _genotype(
    "skip_connect~0 sep_conv_3x3~1 | sep_conv_3x3~0 dil_conv_3x3~1 | "
    "skip_connect~2 dil_conv_3x3~3 | max_pool_3x3~1 skip_connect~2",
    "avg_pool_3x3~0 max_pool_3x3~1 | avg_pool_3x3~0 sep_conv_3x3~1 | "
    "dil_conv_5x5~2 skip_connect~3 | sep_conv_3x3~2 sep_conv_5x5~4",
)

# `darts_pt_s5_3`.
DARTS_PT_3 = _genotype(
    "sep_conv_3x3~0 sep_conv_3x3~1 | sep_conv_3x3~0 sep_conv_3x3~1 | "
    "skip_connect~0 skip_connect~2 | sep_conv_3x3~1 skip_connect~3",
    "avg_pool_3x3~0 sep_conv_5x5~1 | max_pool_3x3~1 skip_connect~2 | "
    "dil_conv_5x5~1 max_pool_3x3~3 | sep_conv_5x5~2 skip_connect~3",
)

# Zhao et al., "Few-shot NAS", ICML 2021; aoiang/few-shot-NAS, Few-Shot-NAS_cifar10/test.py.
FEW_SHOT_CIFAR = _genotype(
    "skip_connect~0 sep_conv_3x3~1 | sep_conv_3x3~0 sep_conv_3x3~1 | "
    "sep_conv_3x3~2 sep_conv_3x3~0 | sep_conv_3x3~2 dil_conv_5x5~0",
    "sep_conv_3x3~1 max_pool_3x3~0 | max_pool_3x3~1 skip_connect~2 | "
    "skip_connect~2 max_pool_3x3~0 | skip_connect~2 skip_connect~3",
)

PUBLISHED = {
    "darts_v1": DARTS_V1,
    "darts_v2": DARTS_V2,
    "nasnet": NASNET,
    "amoebanet": AMOEBANET,
    "pc_darts_cifar": PC_DARTS_CIFAR,
    "pc_darts_imagenet": PC_DARTS_IMAGENET,
    "drnas_cifar10": DRNAS_CIFAR10,
    "drnas_imagenet": DRNAS_IMAGENET,
    "darts_pt_0": DARTS_PT_0,
    "darts_pt_1": DARTS_PT_1,
    "darts_pt_2": DARTS_PT_2,
    "darts_pt_3": DARTS_PT_3,
    "few_shot_cifar": FEW_SHOT_CIFAR,
}
