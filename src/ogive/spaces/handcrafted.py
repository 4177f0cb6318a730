"""Handcrafted networks as nested cells: what DARTOpti starts from.

They are those of genotypes.py of aheuillet/D-DARTS at e3ad5d9.
"""

from __future__ import annotations

from ogive.spaces.nested import Entry, NestedCell, NestedGenotype

__all__ = ["HANDCRAFTED", "network"]

SHORT = {
    "max": "max_pool_3x3",
    "avg": "avg_pool_3x3",
    "skip": "skip_connect",
    "conv1": "simple_conv_1x1",
    "conv3": "simple_conv_3x3",
    "rect3": "conv_3x1_1x3",
    "rect7": "conv_7x1_1x7",
    "bottle": "bottleneck_1x3x1",
    "sep3": "sep_conv_3x3",
    "sep5": "sep_conv_5x5",
    "dil3": "dil_conv_3x3",
    "dil5": "dil_conv_5x5",
}


def network(*cells: str, layers: tuple[int, ...] = (), reductions: tuple[int, ...]) -> NestedGenotype:
    """A network of cells written ``op~state op~state | ...``: the operations of each node from 2 on, in short."""
    return NestedGenotype(tuple(map(_cell, cells)), layers, reductions)


def _cell(text: str) -> NestedCell:
    """The entries of ``op~state op~state | op~state | ...``, a group for each node from 2 on."""
    return tuple(
        Entry(SHORT[op], node, int(state))
        for node, group in enumerate(text.split("|"), start=2)
        for op, state in (entry.split("~") for entry in group.split())
    )


# He et al., "Deep Residual Learning", CVPR 2016, as cells: genotypes.py of aheuillet/D-DARTS.
RESNET18 = network(
    "conv3~0 | conv3~2 skip~0 | conv3~3 | conv3~4 skip~3",
    layers=(0, 0, 0, 0),
    reductions=(1, 2, 3),
)

# The same, with three, four and six nodes a cell.
RESNET50 = network(
    "bottle~0 skip~0 | bottle~2 skip~2 | bottle~3 skip~3",
    "bottle~0 skip~0 | bottle~2 skip~2 | bottle~3 skip~3 | bottle~4 skip~4",
    "bottle~0 skip~0 | bottle~2 skip~2 | bottle~3 skip~3 | bottle~4 skip~4 | bottle~5 skip~5 | bottle~6 skip~6",
    layers=(0, 1, 2, 0),
    reductions=(1, 2, 3),
)

# Chollet, "Xception", CVPR 2017; the same file.
XCEPTION = network(
    "sep3~0 | sep3~2 | conv1~0 max~3",
    "sep3~0 | sep3~2 | skip~0 sep3~3",
    "sep3~0 | sep3~2",
    layers=(0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 2),
    reductions=(1, 2, 11, 12),
)

HANDCRAFTED = {"resnet18": RESNET18, "resnet50": RESNET50, "xception": XCEPTION}
