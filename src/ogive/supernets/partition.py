"""Split a supernet on some edges into parts that share fewer weights, and find the part of an architecture.

Zhao et al., "Few-shot Neural Architecture Search", ICML 2021. Every part holds one operation of each split edge
and all operations of the others, so that the parts divide the space: each architecture has exactly one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, UnknownName, quoted
from ogive.supernets.networks import Supernet
from ogive.supernets.plan import CellChoices, Plan

__all__ = [
    "ABSENT",
    "Edge",
    "Groups",
    "Key",
    "Maker",
    "Partition",
    "cell_rows",
    "key_name",
    "keys_of",
    "part_of",
    "partition",
    "read_edge",
    "read_part",
    "rows_of_cells",
    "splits_of",
    "transfer",
]

NONE = "none"
ABSENT: tuple[int, ...] = ()

# What the split edges of a part hold, in the order of the edges: numbers of operations, none where the edge is absent.
Key = tuple[tuple[int, ...], ...]
Groups = Sequence[Sequence[int]]
Maker = Callable[[Sequence[CellChoices]], Supernet]


@dataclass(frozen=True, order=True)
class Edge:
    """An edge of all cells of a kind, numbered as in the plan of the space."""

    kind: str
    number: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.number}"


def read_edge(plan: Plan, text: str | int) -> Edge:
    """An edge written ``3``, where there is one kind of cell, or ``normal:3``; UnknownName or SpecError."""
    kind, _, number = str(text).rpartition(":")
    if not kind and len(plan.kinds) > 1:
        raise SpecError(
            f"{plan.space} has cells of several kinds, so an edge is written {plan.kinds[0]}:0, but got {quoted(text)}."
        )
    kind = kind or plan.kinds[0]
    if kind not in plan.kinds:
        raise UnknownName(f"kind of cell in {plan.space}", kind, plan.kinds)
    if not number.isdecimal() or int(number) >= len(plan.edges):
        raise SpecError(f"The edges of a cell of {plan.space} are 0 to {len(plan.edges) - 1}, but got {quoted(text)}.")
    return Edge(kind, int(number))


def splits_of(
    plan: Plan, split: int | str | Sequence[int] | Sequence[str] | None, words: Sequence[str]
) -> str | tuple[Edge, ...]:
    """The edges that were written, as ``3`` or ``[normal:0, 3]``, or one of the `words` for how they are chosen."""
    if isinstance(split, str) and split in words:
        return split
    written: Sequence[int | str] = () if split is None else (split,) if isinstance(split, (int, str)) else tuple(split)
    edges = tuple(read_edge(plan, text) for text in written)
    _refuse_repeated(edges)
    return edges


class Partition:
    """The parts of a supernet, and which of them an architecture belongs to; a source of weights.

    `parts` are supernets with weights of their own, by what their split edges hold.
    """

    def __init__(self, plan: Plan, edges: Sequence[Edge], parts: Mapping[Key, Supernet]) -> None:
        self.plan, self.edges, self.parts = plan, tuple(edges), dict(parts)

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[tuple[Key, Supernet]]:
        return iter(self.parts.items())

    def route(self, arch: Architecture) -> Key:
        """The key of the part that holds an architecture; SpecError if none does."""
        by_kind = self.plan.choices(arch)
        wanted = [by_kind[edge.kind][edge.number] for edge in self.edges]
        for key in self.parts:
            if all(set(row) <= set(held) and bool(row) == bool(held) for row, held in zip(wanted, key, strict=True)):
                return key
        raise SpecError(
            f"No part of the supernet holds {arch}, which has {wanted} on {', '.join(map(str, self.edges))}."
        )

    def part(self, arch: Architecture) -> Supernet:
        """The part that holds an architecture."""
        return self.parts[self.route(arch)]

    def network(self, arch: Architecture) -> Supernet:
        """The network of an architecture, whose weights are those of its part."""
        return self.part(arch).network(arch)

    def holdings(self) -> list[tuple[str, Callable[[Architecture], bool]]]:
        """The name of each part, and whether it holds an architecture."""
        return [(self.name(key), part.holds) for key, part in self]

    def name(self, key: Key) -> str:
        """A short name of a part: the operations on its split edges."""
        return key_name(self.plan, key)


def key_name(plan: Plan, key: Key) -> str:
    """A short name of what split edges hold."""
    return "+".join("-".join(plan.operations[op] for op in row) or "absent" for row in key)


def read_part(plan: Plan, name: str) -> dict[Edge, tuple[int, ...]]:
    """What split edges hold in a part, of its name: ``cell:0 none-skip_connect``, or several with a comma between them.

    SpecError for another text.
    """
    held = {}
    for place in name.split(", "):
        edge, _, operations = place.partition(" ")
        known = [] if operations == "absent" else operations.split("-")
        if not set(known) <= set(plan.operations):
            raise SpecError(
                f"A part of a supernet of {plan.space} is named after operations of its, but got {quoted(name)}."
            )
        held[read_edge(plan, edge)] = tuple(map(plan.operations.index, known))
    return held


def partition(
    parent: Supernet,
    edges: Sequence[Edge] | Edge,
    *,
    groups: Groups | None = None,
    make: Maker | None = None,
) -> Partition:
    """Split a supernet on one edge or several; the weights of a part begin as copies of the parent's.

    With b operations on each of m edges there are b^m parts. Where a node has fewer edges in an architecture than in
    the supernet (`darts`), an edge can also be absent, which takes the place of `none`; what no architecture has, such
    as a node with one edge too few, is no part. `groups` are the operations that stay together, each alone by default
    (only one edge then, in a space where every edge is used).

    A part computes for each of its architectures what the parent computes. With `make`, which makes a supernet of the
    choices of its cells, parts are made anew and take over what fits (see `transfer`): so the parts of a supernet of
    partial channels have all channels on the split edges, as published, and fresh weights there.
    """
    chosen = (edges,) if isinstance(edges, Edge) else tuple(edges)
    keys = keys_of(parent, chosen, groups=groups)
    parts = {key: part_of(parent, dict(zip(chosen, key, strict=True)), make=make) for key in keys}
    return Partition(parent.plan, chosen, parts)


def keys_of(parent: Supernet, edges: Sequence[Edge], *, groups: Groups | None = None) -> list[Key]:
    """What the split edges hold in each part of `partition`."""
    _refuse_repeated(edges, least=1)
    options = [_options(parent, edge, groups if len(edges) == 1 else None) for edge in edges]
    if groups is not None and len(edges) > 1:
        raise SpecError(f"Operations are grouped on one edge at a time, but {len(edges)} are split.")
    return [
        key
        for key in itertools.product(*options)
        for held in [dict(zip(edges, key, strict=True))]
        if all(_is_possible(parent.plan, cell_rows(parent, kind, held)) for kind in set(parent.kinds))
    ]


def part_of(parent: Supernet, held: Mapping[Edge, tuple[int, ...]], *, make: Maker | None = None) -> Supernet:
    """The part of a supernet whose split edges hold what `held` says; weights as in `partition`."""
    choices = rows_of_cells(parent, held)
    if make is None:
        part = parent.restricted(choices)
        _own_weights(part)
        return part
    made = make(choices)
    if list(made.choices) != choices:
        raise SpecError("A part must hold the choices that it was asked for; its maker made another one.")
    transfer(parent, made)
    return made.to(next(parent.parameters()).device)


def transfer(parent: nn.Module, part: nn.Module) -> tuple[str, ...]:
    """Copy every tensor of a part from the tensor of the same name and shape; the names of those without one."""
    given = parent.state_dict()
    left = []
    with torch.no_grad():
        for name, tensor in part.state_dict().items():
            if name in given and given[name].shape == tensor.shape:
                tensor.copy_(given[name])
            else:
                left.append(name)
    return tuple(left)


def cell_rows(
    network: Supernet, kind: str, held: Mapping[Edge, tuple[int, ...]], cell: int | None = None
) -> CellChoices:
    """The choices of a cell, by default the first of its kind, when some edges hold what `held` says."""
    rows = list(network.choices[network.kinds.index(kind) if cell is None else cell])
    for edge, row in held.items():
        if edge.kind == kind:
            rows[edge.number] = row
    return tuple(rows)


def rows_of_cells(network: Supernet, held: Mapping[Edge, tuple[int, ...]]) -> list[CellChoices]:
    """The choices of every cell, when some edges hold what `held` says."""
    return [cell_rows(network, kind, held, cell) for cell, kind in enumerate(network.kinds)]


def _own_weights(part: nn.Module) -> None:
    """Replace every weight by a copy; a deep copy would also copy what is no weight, at many times the cost."""
    own: dict[int, nn.Parameter] = {}
    for module in part.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            copied = own.setdefault(id(weight), nn.Parameter(weight.detach().clone(), weight.requires_grad))
            setattr(module, name, copied)


def _refuse_repeated(edges: Sequence[Edge], least: int = 0) -> None:
    if not least <= len(edges) == len(set(edges)):
        raise SpecError(
            f"A supernet is split on different edges, one at least, but got {[str(edge) for edge in edges]}."
        )


def _options(parent: Supernet, edge: Edge, groups: Groups | None) -> list[tuple[int, ...]]:
    """What an edge can hold in a part."""
    if parent.plan.several:
        raise SpecError(
            f"Parts of a supernet hold one operation on an edge, but in {parent.plan.space} an edge may hold several: "
            "give --space ddarts or dartopti."
        )
    rows = {
        cell[edge.number]
        for kind, cell in zip(parent.kinds, parent.choices, strict=True)
        if kind == edge.kind and edge.number < len(cell)
    }
    if len(rows) != 1 or len(next(iter(rows))) < 2:
        raise SpecError(
            f"An edge is split that exists and has the same choice in all cells of its kind, but {edge} has "
            f"{sorted(rows) if rows else 'no cell'}."
        )
    (row,) = rows
    if groups is not None:
        return _grouped(parent.plan, row, groups)
    if parent.plan.inputs_per_node is None:
        return [(op,) for op in row]
    return [ABSENT, *((op,) for op in row if parent.plan.operations[op] != NONE)]


def _grouped(plan: Plan, row: tuple[int, ...], groups: Groups) -> list[tuple[int, ...]]:
    if plan.inputs_per_node is not None:
        raise SpecError(f"Groups need a space where every edge is used, but in {plan.space} edges may be absent.")
    found = [tuple(sorted(group)) for group in groups]
    if sorted(op for group in found for op in group) != sorted(row) or not all(found):
        raise SpecError(
            f"Groups hold each operation of the edge once, {row}, but got {[list(group) for group in found]}."
        )
    return found


def _is_possible(plan: Plan, rows: CellChoices) -> bool:
    """Whether any cell of the space fits the choices: each node must find its number of edges."""
    if plan.inputs_per_node is None:
        return True
    for node in {target for _, target in plan.edges}:
        incoming = [row for row, (_, target) in zip(rows, plan.edges, strict=True) if target == node]
        fixed, present = sum(len(row) == 1 for row in incoming), sum(bool(row) for row in incoming)
        if not fixed <= plan.wanted(present) <= present:
            return False
    return True
