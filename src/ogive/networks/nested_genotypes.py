"""Networks of nested cells as data: handcrafted ones that DARTOpti starts from, and those that D-DARTS published.

The published ones are the files of the folder genotypes/ of aheuillet/D-DARTS at e3ad5d9. Their authors do not say
which of them is which row of their tables, and none has the size of one of the rows that they call DD-1 and DD-4.
"""

from __future__ import annotations

from ogive.spaces.handcrafted import HANDCRAFTED, RESNET18
from ogive.spaces.handcrafted import network as _network

__all__ = ["HANDCRAFTED", "PUBLISHED_NESTED", "RESNET18"]

# D-DARTS_threshold_sparse_cifar10_0.85_50. Reductions here and below are as stored; the search had (2, 5).
DDARTS_CIFAR10 = _network(
    "sep3~1 max~0 | sep3~0 max~2 | sep3~0 max~2 | max~0 dil5~4",
    "skip~0 dil5~1 | sep5~1 sep5~2 | dil3~3 sep5~2 | sep5~4 sep5~0",
    "sep5~1 sep5~0 | sep3~1 max~2 | sep5~1 skip~0 | dil3~2 sep5~0",
    "sep5~0 sep5~1 | sep5~2 sep5~1 | dil3~2 dil3~1 | dil5~2 sep5~1",
    "dil5~1 max~0 | sep5~2 max~0 | sep5~1 sep5~3 | dil3~3 sep5~2",
    "sep5~1 sep5~0 | sep5~1 sep5~2 | sep5~2 dil3~1 | sep3~1 sep3~3",
    "sep3~0 sep5~1 | dil3~1 skip~2 | skip~2 skip~0 | dil3~0 sep5~1",
    "sep5~1 sep3~0 | sep5~2 dil5~0 | sep5~3 dil3~2 | sep3~2",
    reductions=(2, 6),
)

# D-DARTS_threshold_edge_cifar10_0.85_50.
DDARTS_CIFAR10_EDGE = _network(
    "dil3~0 max~0 dil3~1 sep3~1 | max~0 sep3~0 dil3~1 sep3~1 dil5~2 max~2 | max~0 sep3~0 sep3~1 max~1 "
    "sep5~2 max~2 sep3~3 dil3~3 | dil5~0 max~0 max~1 sep5~1 sep5~2 max~2 max~3 dil5~3 max~4 dil5~4",
    "sep5~0 skip~0 sep3~1 dil5~1 | max~0 dil3~0 dil3~1 sep5~1 dil3~2 sep5~2 | dil3~0 dil5~0 dil5~1 "
    "sep5~1 sep3~2 sep5~2 sep3~3 dil3~3 | max~0 sep5~0 sep5~1 skip~1 skip~2 dil3~2 dil3~3 sep3~3 "
    "dil3~4 sep5~4",
    "dil5~0 sep5~0 dil3~1 sep5~1 | skip~0 sep3~0 sep5~1 sep3~1 sep5~2 max~2 | sep3~0 skip~0 dil5~1 "
    "sep5~1 dil3~2 sep3~2 dil5~3 sep3~3 | skip~0 sep5~0 max~1 sep3~1 max~2 dil3~2 skip~3 dil5~3 "
    "skip~4 sep5~4",
    "skip~0 sep5~0 max~1 sep5~1 | sep5~0 sep3~0 max~1 sep5~1 dil5~2 sep5~2 | sep3~0 sep5~0 dil3~1 "
    "sep5~2 dil3~2 dil3~3 dil5~3 | dil5~0 sep3~0 dil3~1 sep5~1 dil3~2 dil5~2 sep3~3 dil5~3 sep5~4",
    "dil5~0 max~0 sep3~1 dil5~1 | avg~0 max~0 dil5~1 sep5~1 sep3~2 sep5~2 | skip~0 dil5~0 dil3~1 "
    "sep5~1 sep3~2 sep5~2 skip~3 sep5~3 | dil3~0 max~0 dil5~2 sep5~2 dil5~3 dil3~3 dil5~4 sep3~4",
    "dil5~0 sep5~0 sep3~1 sep5~1 | max~0 sep5~0 sep3~1 sep5~1 sep3~2 sep5~2 | skip~0 dil3~0 sep3~1 "
    "dil3~1 dil5~2 sep5~2 sep3~3 dil3~3 | skip~0 dil5~0 dil3~1 sep3~1 sep3~2 dil5~2 dil5~3 sep3~3 "
    "sep5~4 dil3~4",
    "dil5~0 sep3~0 sep3~1 sep5~1 | sep3~0 skip~0 sep3~1 dil3~1 dil5~2 skip~2 | dil3~0 skip~0 sep5~1 "
    "sep3~1 dil5~2 skip~2 skip~3 dil5~3 | skip~0 dil3~0 skip~1 sep5~1 dil5~2 skip~2 skip~3 sep3~3 "
    "skip~4 dil3~4",
    "dil3~0 sep3~0 sep5~1 | sep5~0 dil5~0 sep5~2 | dil3~2 dil5~3 sep5~3 | sep3~2",
    reductions=(2, 6),
)

# D-DARTS_threshold_sparse_abl0.5_fair7_cifar100_0.85_50.
DDARTS_CIFAR100 = _network(
    "sep3~1 max~0 | sep3~0 sep5~2 | sep5~3 sep5~1 | dil3~3 max~0",
    "max~0 dil5~1 | max~0 max~2 | sep5~0 sep3~3 | max~4 sep3~3",
    "avg~0 sep5~1 | sep5~1 sep5~2 | sep5~3 sep5~1 | sep5~2 sep5~3",
    "max~1 sep5~0 | sep5~1 dil5~2 | sep5~1 sep5~2 | sep5~2 sep5~4",
    "max~1 max~0 | sep5~2 max~0 | sep5~1 avg~0 | sep3~4 dil3~3",
    "sep5~0 sep5~1 | sep5~2 sep5~0 | sep5~3 sep5~0 | sep5~3 sep5~4",
    "sep5~1 sep5~0 | sep5~2 sep5~0 | sep3~3 sep3~2 | sep5~4 sep5~3",
    "max~0 | dil5~2 max~0 | sep3~3 sep5~2 | skip~4 sep3~3",
    reductions=(2, 6),
)

# D-DARTS_threshold_edge_abl0.5_fair7_cifar100_0.85_50.
DDARTS_CIFAR100_EDGE = _network(
    "sep3~0 max~0 max~1 sep3~1 | sep5~0 sep3~0 max~1 sep3~1 sep3~2 sep5~2 | max~0 max~1 sep5~1 max~2 "
    "dil5~2 sep3~3 sep5~3 | sep3~0 max~0 max~1 max~2 sep5~2 sep5~3 dil3~3 max~4 sep5~4",
    "sep3~0 max~0 dil5~1 | sep5~0 max~0 sep3~1 dil5~1 dil5~2 max~2 | sep3~0 sep5~0 sep3~1 sep5~1 "
    "max~2 dil5~2 sep5~3 sep3~3 | max~0 dil5~1 sep3~2 max~2 max~3 sep3~3 dil5~4 max~4",
    "max~0 avg~0 sep3~1 sep5~1 | max~0 skip~0 dil3~1 sep5~1 dil5~2 sep5~2 | max~0 avg~0 dil5~1 sep5~1 "
    "sep5~2 dil3~2 dil5~3 sep5~3 | avg~0 sep5~0 sep5~1 sep3~1 dil3~2 sep5~2 sep3~3 sep5~3 dil3~4 "
    "sep5~4",
    "sep3~0 sep5~0 sep3~1 max~1 | sep3~0 sep5~0 dil5~1 sep5~1 dil3~2 dil5~2 | max~0 dil5~0 dil5~1 "
    "sep5~1 dil5~2 sep5~2 dil5~3 sep3~3 | dil3~0 sep5~0 skip~1 max~1 sep3~2 sep5~2 dil5~3 dil5~4 "
    "sep5~4",
    "dil3~0 max~0 skip~1 max~1 | dil5~0 max~0 dil3~1 dil3~2 sep5~2 | max~0 avg~0 dil5~1 sep5~1 dil5~2 "
    "sep3~2 dil5~3 sep5~3 | sep3~0 max~0 sep3~1 sep5~1 sep3~2 sep5~2 dil5~3 dil3~3 dil5~4 sep3~4",
    "sep3~0 sep5~0 dil5~1 sep5~1 | sep3~0 sep5~0 sep3~1 sep5~1 sep3~2 sep5~2 | sep3~0 sep5~0 sep3~1 "
    "sep5~1 dil5~2 sep3~3 sep5~3 | sep3~0 sep5~0 sep3~1 sep5~1 sep3~2 sep5~2 dil3~3 sep5~3 dil5~4 "
    "sep5~4",
    "sep3~0 sep5~0 dil5~1 sep5~1 | sep3~0 sep5~0 sep3~1 sep5~1 sep3~2 sep5~2 | sep3~0 sep5~0 dil5~1 "
    "dil5~2 sep3~2 sep5~3 sep3~3 | dil3~0 sep3~0 dil5~1 sep3~1 dil3~2 sep3~2 sep3~3 sep5~3 sep3~4 "
    "sep5~4",
    "max~0 | max~0 max~1 sep5~2 dil5~2 | max~0 max~2 sep5~2 max~3 sep3~3 | sep3~2 dil5~3 sep3~3 skip~4",
    reductions=(2, 6),
)

# ResNet18_cifar10_threshold_sparse_0.85; the file has its one cell four times.
DARTOPTI_RESNET18_CIFAR10 = _network(
    "bottle~1 conv3~0 | bottle~2 max~1 | bottle~3 rect7~2 | rect3~4 bottle~3",
    "bottle~1 conv3~0 | bottle~2 max~1 | bottle~3 rect7~2 | rect3~4 bottle~3",
    "bottle~1 conv3~0 | bottle~2 max~1 | bottle~3 rect7~2 | rect3~4 bottle~3",
    "bottle~1 conv3~0 | bottle~2 max~1 | bottle~3 rect7~2 | rect3~4 bottle~3",
    reductions=(1, 2, 3),
)

# ResNet50_cifar10_threshold_sparse_0.85.
DARTOPTI_RESNET50_CIFAR10 = _network(
    "bottle~0 bottle~1 | bottle~2 bottle~1 | bottle~3 bottle~1 | bottle~3 bottle~4 | bottle~5 "
    "bottle~4 | bottle~5 bottle~1",
    "bottle~0 bottle~1 | bottle~2 bottle~0 | bottle~3 bottle~2 | rect7~3 max~4 | bottle~5 dil3~4 | max~5 rect7~3",
    "bottle~0 bottle~1 | bottle~2 bottle~1 | bottle~3 bottle~2 | bottle~3 bottle~4 | max~4 max~5 | max~6 max~4",
    "bottle~0 bottle~1 | bottle~2 bottle~1 | bottle~3 bottle~1 | bottle~3 bottle~4 | bottle~5 "
    "bottle~4 | bottle~5 bottle~1",
    reductions=(1, 2, 3),
)

# ResNet18_cifar100_threshold_sparse_0.85.
DARTOPTI_RESNET18_CIFAR100 = _network(
    "bottle~1 bottle~0 | bottle~2 bottle~1 | bottle~3 bottle~2 | bottle~4 bottle~3",
    "bottle~1 bottle~0 | bottle~2 bottle~1 | bottle~3 bottle~2 | bottle~4 bottle~3",
    "bottle~1 bottle~0 | bottle~2 bottle~1 | bottle~3 bottle~2 | bottle~4 bottle~3",
    "bottle~1 bottle~0 | bottle~2 bottle~1 | bottle~3 bottle~2 | bottle~4 bottle~3",
    reductions=(1, 2, 3),
)

# ResNet50_cifar100_threshold_sparse_0.85.
DARTOPTI_RESNET50_CIFAR100 = _network(
    "bottle~0 bottle~1 | bottle~2 bottle~1 | bottle~3 bottle~1 | bottle~4 bottle~3 | bottle~5 "
    "bottle~4 | bottle~6 bottle~5",
    "bottle~0 | bottle~2 bottle~0 | bottle~3 bottle~0 | avg~4 avg~3 | max~5 avg~4 | max~6 max~5",
    "bottle~0 bottle~1 | bottle~2 bottle~1 | bottle~3 bottle~2 | bottle~4 bottle~3 | max~4 max~5 | skip~6 max~4",
    "bottle~0 bottle~1 | bottle~2 bottle~1 | bottle~3 bottle~1 | bottle~4 bottle~3 | bottle~5 "
    "bottle~4 | bottle~6 bottle~5",
    reductions=(1, 2, 3),
)

PUBLISHED_NESTED = {
    "ddarts_cifar10": DDARTS_CIFAR10,
    "ddarts_cifar10_edge": DDARTS_CIFAR10_EDGE,
    "ddarts_cifar100": DDARTS_CIFAR100,
    "ddarts_cifar100_edge": DDARTS_CIFAR100_EDGE,
    "dartopti_resnet18_cifar10": DARTOPTI_RESNET18_CIFAR10,
    "dartopti_resnet50_cifar10": DARTOPTI_RESNET50_CIFAR10,
    "dartopti_resnet18_cifar100": DARTOPTI_RESNET18_CIFAR100,
    "dartopti_resnet50_cifar100": DARTOPTI_RESNET50_CIFAR100,
}
