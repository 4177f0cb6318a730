"""What a supernet needs to know of a cell space: its edges, the operations on them, and how to make one.

A space of one's own gets a supernet by writing a `Plan`. States of a cell are numbered as in the space: its inputs
first, then its nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from ogive.core.architecture import Architecture
from ogive.core.space import SearchSpace
from ogive.networks.darts import darts_operation
from ogive.networks.nasbench201 import nasbench201_operation
from ogive.networks.own import own_module
from ogive.spaces import darts as darts_space
from ogive.spaces import nasbench201 as nasbench201_space
from ogive.spaces.darts import cell_of
from ogive.spaces.extended import own_operations
from ogive.supernets.derive import strongest, strongest_two

__all__ = [
    "DARTS",
    "NASBENCH201",
    "CellChoices",
    "Plan",
    "darts_plan",
    "edges_of",
    "nasbench201_plan",
    "searched_operation",
]

# For each edge of a cell the operations that it may hold, by number; an edge without any is absent.
CellChoices = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Plan:
    """A cell space as a supernet sees it.

    * `kinds`: the cells that an architecture describes, such as normal and reduce;
    * `inputs`, `edges`: how many states a cell is given, and its edges (source, target), ascending by target;
    * `operations`: the candidates of every edge, in the order of the columns of the architecture parameters;
    * `make`: the module of an operation, of a name, a number of channels and a stride;
    * `choices`: what an architecture says about the cells of each kind;
    * `derive`: the architecture that strengths (E, O) of each kind lead to;
    * `inputs_per_node`: how many edges a node has in an architecture; None for all;
    * `fewer`: whether a node may have fewer than those;
    * `several`: whether an edge may hold several operations at once.
    """

    space: str
    kinds: tuple[str, ...]
    inputs: int
    edges: tuple[tuple[int, int], ...]
    operations: tuple[str, ...]
    make: Callable[[str, int, int], nn.Module]
    choices: Callable[[Architecture], Mapping[str, CellChoices]]
    derive: Callable[[Sequence[Tensor]], Architecture]
    inputs_per_node: int | None = None
    fewer: bool = False
    several: bool = False

    @property
    def everything(self) -> CellChoices:
        """A cell in which every edge may hold every operation."""
        return tuple(tuple(range(len(self.operations))) for _ in self.edges)

    def wanted(self, present: int) -> int:
        """How many edges a random architecture has at a node for which so many are there: all that it may have."""
        if self.inputs_per_node is None:
            return present
        return min(self.inputs_per_node, present) if self.fewer else self.inputs_per_node


# -- darts ------------------------------------------------------------------------------------------------------------


def edges_of(nodes: int) -> tuple[tuple[int, int], ...]:
    """The edges (source, target) of a cell with two inputs and so many nodes, each of which reads all before it."""
    return tuple((source, 2 + node) for node in range(nodes) for source in range(2 + node))


DARTS_EDGES = edges_of(darts_space.NODES)


def searched_operation(name: str, channels: int, stride: int) -> nn.Module:
    """Normalisations have no weights while alphas are learnt, or they would undo them; pools get one, too."""
    operation = darts_operation(name, channels, stride, affine=False)
    if name in ("max_pool_3x3", "avg_pool_3x3"):
        return nn.Sequential(operation, nn.BatchNorm2d(channels, affine=False))
    return operation


def darts_plan(space: SearchSpace) -> Plan:
    """The plan of `darts`, or of that with an operation of one's own."""
    own = {one.name: one for one in own_operations(space)}
    choosable, operations = (*darts_space.CHOOSABLE, *own), (*darts_space.OPS, *own)

    def make(name: str, channels: int, stride: int) -> nn.Module:
        if name in own:
            return own_module(own[name], channels, stride, affine=False)
        return searched_operation(name, channels, stride)

    def choices(arch: Architecture) -> dict[str, CellChoices]:
        admitted = space.admit(arch)
        found: dict[str, CellChoices] = {}
        for kind in darts_space.KINDS:
            cell: list[tuple[int, ...]] = [()] * len(DARTS_EDGES)
            for place, (name, state) in enumerate(cell_of(admitted, kind, choosable)):
                cell[DARTS_EDGES.index((state, 2 + place // 2))] = (operations.index(name),)
            found[kind] = tuple(cell)
        return found

    def derive(strengths: Sequence[Tensor]) -> Architecture:
        normal, reduce = (strongest_two(one_EO, DARTS_EDGES, operations) for one_EO in strengths)
        return darts_space.architecture(normal, reduce, space=space.name, ops=choosable)

    return Plan(
        space=space.name,
        kinds=darts_space.KINDS,
        inputs=2,
        edges=DARTS_EDGES,
        operations=operations,
        make=make,
        choices=choices,
        derive=derive,
        inputs_per_node=2,
    )


DARTS = darts_plan(darts_space.darts())


# -- nasbench201 ------------------------------------------------------------------------------------------------------


def nasbench201_plan(space: SearchSpace) -> Plan:
    """The plan of `nasbench201`, or of that with an operation of one's own."""
    own = {one.name: one for one in own_operations(space)}

    def make(name: str, channels: int, stride: int) -> nn.Module:
        if name in own:
            return own_module(own[name], channels, stride, affine=False)
        return nasbench201_operation(name, channels, channels, affine=False)

    def choices(arch: Architecture) -> dict[str, CellChoices]:
        return {"cell": tuple((int(choice),) for choice in space.admit(arch).choices)}

    return Plan(
        space=space.name,
        kinds=("cell",),
        inputs=1,
        edges=nasbench201_space.EDGES,
        operations=(*nasbench201_space.OPS, *own),
        make=make,
        choices=choices,
        derive=lambda strengths: Architecture(space.name, strongest(strengths[0])),
    )


NASBENCH201 = nasbench201_plan(nasbench201_space.nasbench201())
