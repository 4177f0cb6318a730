"""A cell space of one's own whose architectures share weights. Run: python examples/own_supernet.py.

Every search that trains a supernet takes it (``darts`` with its options, ``spos``, ``enas``, ``few_shot``), and so does
the evaluator ``inherited``.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

import ogive
from ogive.networks.build import Skeleton
from ogive.networks.ops import ReLUConvBN
from ogive.supernets.derive import strongest
from ogive.supernets.networks import StagedSupernet
from ogive.supernets.plan import Plan
from ogive.supernets.sharing import CellSpace, Sharing
from ogive.testing import check_space

EDGES = ((0, 1), (0, 2), (1, 2))  # from the input and one node to the node that is the output
OPERATIONS = ("skip", "conv_1x1", "conv_3x3", "max_pool")


def draw(arch: ogive.Architecture) -> ogive.Graph:
    """The picture of a cell: from the input along one edge to the output, and along two."""
    first, past, second = (OPERATIONS[int(choice)] for choice in arch.choices)
    return ogive.Graph(("input", first, past, second, "output"), frozenset({(0, 1), (0, 2), (1, 3), (2, 4), (3, 4)}))


def make(name: str, channels: int, stride: int) -> nn.Module:
    """The module of an operation."""
    if name == "skip":
        return nn.Identity()
    if name == "max_pool":
        return nn.MaxPool2d(3, stride, padding=1)
    return ReLUConvBN(channels, channels, 3 if name == "conv_3x3" else 1, stride, affine=False)


def choices(arch: ogive.Architecture) -> dict[str, tuple[tuple[int, ...], ...]]:
    """What the edges of each kind of cell hold."""
    return {"cell": tuple((int(choice),) for choice in arch.choices)}


def derive(strengths: Sequence[Tensor]) -> ogive.Architecture:
    """The architecture that strengths (edges, operations) of each kind of cell lead to."""
    return ogive.Architecture("triangle", strongest(strengths[0]))


PLAN = Plan(
    "triangle", ("cell",), inputs=1, edges=EDGES, operations=OPERATIONS, make=make, choices=choices, derive=derive
)


def network(skeleton: Skeleton, cells: Any, share: int) -> StagedSupernet:
    """A supernet: three stages of cells; `cells` are what they may hold, as in a part of a supernet."""
    return StagedSupernet(skeleton, PLAN, cells, share)


SPACE = CellSpace(
    "triangle",
    tuple(ogive.Choice(f"{source} to {target}", OPERATIONS) for source, target in EDGES),
    draw,
    sharing=Sharing(PLAN, network, Skeleton(channels=8, cells=1)),
)


def main() -> None:
    check_space(SPACE)
    search = partial(ogive.search, space=SPACE, data="digits", objective="maximize(val_acc)")
    for strategy in ("darts(epochs=3, alpha_learning_rate=0.03)", "few_shot(darts(epochs=2), part_epochs=1)"):
        found = search(strategy=strategy, evaluator="inherited(supernet(epochs=3))", budget=20)
        best = found.best
        print(f"{strategy}: {SPACE.format(best.arch)}, {best.metrics['val_acc']:.1f} % with shared weights")


if __name__ == "__main__":
    main()
