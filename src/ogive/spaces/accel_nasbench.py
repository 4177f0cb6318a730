"""Accel-NASBench: mobile networks of seven blocks, each with its own expansion, kernel, depth and squeeze-excitation.

Ahmad et al., "Accel-NASBench", 2024: the search space of MnasNet with the choices of its table. It is not the space of
the MnasNet paper, which has 432 combinations a block; here a block has 48. The text form is one word a block, in
order: ``e6k3l1s0-e6k5l2s0-...``.
"""

from __future__ import annotations

import functools
import re

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, quoted
from ogive.core.graph import Graph
from ogive.core.space import Choice, SearchSpace

__all__ = ["BLOCKS", "NAME", "OPTIONS", "accel_nasbench"]

NAME = "accel_nasbench"
BLOCKS = 7
# Expansion, kernel, layers and squeeze-excitation of a block, by the names of the published columns.
OPTIONS: dict[str, tuple[int, ...]] = {"e": (1, 4, 6), "k": (3, 5), "l": (1, 2, 3, 4), "se": (0, 1)}

_WORD = re.compile(r"e(\d)k(\d)l(\d)s(\d)")


@functools.cache
def accel_nasbench() -> SearchSpace:
    """The space of 7 blocks with 48 combinations each: 48**7, about 5.9e11 networks."""
    variables = tuple(
        Choice(f"block{block}.{name}", tuple(map(str, options)))
        for block in range(BLOCKS)
        for name, options in OPTIONS.items()
    )
    return SearchSpace(name=NAME, variables=variables, draw=draw, read=read, write=write, tasks=())


def draw(arch: Architecture) -> Graph:
    """The chain of stem, layers and head; a layer's label says its expansion, kernel and squeeze-excitation."""
    layers = [
        f"mbconv_e{expansion}_k{kernel}{'_se' if excited else ''}"
        for expansion, kernel, depth, excited in _blocks(arch)
        for _ in range(depth)
    ]
    ops = ("input", "stem", *layers, "head", "output")
    return Graph(ops, frozenset((node, node + 1) for node in range(len(ops) - 1)))


def read(text: str) -> Architecture:
    """The network of a text such as ``e6k3l1s0-e6k5l2s0-e6k3l3s0-e6k5l3s0-e6k5l2s0-e1k3l2s0-e1k3l2s0``."""
    words = [_WORD.fullmatch(word) for word in text.strip().split("-")]
    values = [tuple(map(int, word.groups())) for word in words if word is not None]
    legal = all(value in options for word in values for value, options in zip(word, OPTIONS.values(), strict=True))
    if len(values) != BLOCKS or len(words) != BLOCKS or not legal:
        raise InvalidArchitecture(
            f"A network of {NAME} is written as {BLOCKS} words e(1|4|6)k(3|5)l(1-4)s(0|1) with '-' between them; "
            f"got {quoted(text)}."
        )
    return Architecture(
        NAME,
        tuple(options.index(value) for word in values for value, options in zip(word, OPTIONS.values(), strict=True)),
    )


def write(arch: Architecture) -> str:
    """The text of a network."""
    return "-".join(f"e{e}k{k}l{layers}s{excited}" for e, k, layers, excited in _blocks(arch))


def _blocks(arch: Architecture) -> list[tuple[int, ...]]:
    """Expansion, kernel, layers and squeeze-excitation of every block."""
    wide = len(OPTIONS)
    choices = [int(choice) for choice in arch.choices]
    return [
        tuple(options[choice] for choice, options in zip(choices[at : at + wide], OPTIONS.values(), strict=True))
        for at in range(0, BLOCKS * wide, wide)
    ]
