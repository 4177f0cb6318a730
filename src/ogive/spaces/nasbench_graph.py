"""NAS-Bench-Graph: graph networks of four operations, each of which reads the graph's features or an earlier one.

Qin et al., "NAS-Bench-Graph", NeurIPS 2022, section 3. A macro structure says what each of the four nodes reads, and
each node is one of nine operations; the outputs of all nodes that nobody reads are concatenated. The published number
of an architecture is its five choices as decimal digits, link first, leading zeros dropped (``arch_hash``).

A node with the operation ``skip`` passes on what it reads, so that many of the 59,049 combinations compute the same
thing; an architecture is illegal if one of its outputs is the bare input. What is left are 26,206 different ones.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, quoted
from ogive.core.graph import Graph
from ogive.core.space import Choice, SearchSpace

__all__ = ["LINKS", "NAME", "OPS", "flow", "nasbench_graph"]

NAME = "nasbench_graph"
OPS = ("gat", "gcn", "gin", "cheb", "sage", "arma", "graph", "fc", "skip")
# What each of the four nodes reads: 0 is the graph's features, n the n-th node.
LINKS = ("0000", "0001", "0011", "0012", "0013", "0111", "0112", "0122", "0123")
NODES = 4
SKIP = OPS.index("skip")
DISTINCT = 26_206

Choices = tuple[int | float, ...]
# How often the value of a node is an output, and the operations that read it with what comes of them.
Flow = tuple[int, tuple[tuple[int, Any], ...]]


@functools.cache
def nasbench_graph() -> SearchSpace:
    """The space of 26,206 different graph networks; listing it yields the one with the smallest number of each."""
    variables = (Choice("link", LINKS), *(Choice(f"op{node}", OPS) for node in range(1, NODES + 1)))
    return SearchSpace(
        name=NAME,
        variables=variables,
        draw=draw,
        is_legal=is_legal,
        listing=_listing,
        count=DISTINCT,
        read=read,
        write=write,
        canonical=canonical,
        tasks=(),
    )


def flow(arch: Architecture) -> Flow:
    """What an architecture computes: equal for two of them exactly if they are the same up to names and skips."""
    return _below(0, _readers(arch.choices), [int(choice) for choice in arch.choices[1:]])


def is_legal(choices: Choices) -> bool:
    """Whether no output is the bare input."""
    return flow(Architecture(NAME, choices))[0] == 0


def canonical(arch: Architecture) -> Architecture:
    """The architecture with the smallest number among all that compute the same."""
    return Architecture(NAME, _smallest()[flow(arch)])


def draw(arch: Architecture) -> Graph:
    """The input, the four operations as they stand, the concatenation of those that nobody reads, and the output."""
    readers = _readers(arch.choices)
    edges = {(source, target) for source, targets in enumerate(readers) for target in targets}
    edges |= {(node, NODES + 1) for node in range(1, NODES + 1) if not readers[node]}
    ops = (OPS[int(choice)] for choice in arch.choices[1:])
    return Graph(("input", *ops, "concat", "output"), frozenset(edges | {(NODES + 1, NODES + 2)}))


def read(text: str) -> Architecture:
    """The architecture of a published number such as ``58001``."""
    stripped = text.strip()
    digits = stripped.zfill(NODES + 1)
    if not stripped.isdecimal() or not stripped.isascii() or len(digits) != NODES + 1 or "9" in digits:
        raise InvalidArchitecture(
            f"An architecture of {NAME} is a number of up to five digits 0..8; got {quoted(text)}."
        )
    return Architecture(NAME, tuple(int(digit) for digit in digits))


def write(arch: Architecture) -> str:
    """The published number."""
    return str(int("".join(str(int(choice)) for choice in arch.choices)))


def _readers(choices: Choices) -> list[list[int]]:
    """For the input and each node the nodes that read it."""
    readers: list[list[int]] = [[] for _ in range(NODES + 1)]
    for node, source in enumerate(LINKS[int(choices[0])], start=1):
        readers[int(source)].append(node)
    return readers


def _below(node: int, readers: list[list[int]], ops: list[int]) -> Flow:
    outputs = 0
    found: list[tuple[int, Any]] = []
    for reader in readers[node]:
        below = _below(reader, readers, ops)
        if ops[reader - 1] == SKIP:
            # A skip that nobody reads makes an output of what it reads; otherwise its readers read that directly.
            outputs += below[0] if readers[reader] else 1
            found += below[1]
        else:
            found.append((ops[reader - 1], below if below[1] else (max(below[0], 1), ())))
    return outputs, tuple(sorted(found))


@functools.cache
def _smallest() -> dict[Flow, tuple[int, ...]]:
    """The smallest choices of each class, in the order of the numbers."""
    found: dict[Flow, tuple[int, ...]] = {}
    for number in range(len(LINKS) * len(OPS) ** NODES):
        rest, digits = number, []
        for _ in range(NODES + 1):
            rest, digit = divmod(rest, len(OPS))
            digits.append(digit)
        choices = tuple(reversed(digits))
        if (computed := flow(Architecture(NAME, choices)))[0] == 0:
            found.setdefault(computed, choices)
    return found


def _listing() -> Iterator[Architecture]:
    return (Architecture(NAME, choices) for choices in _smallest().values())
