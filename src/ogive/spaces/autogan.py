"""AutoGAN's generators: three cells that each double the side of an image, from 4×4 to 32×32 pixels.

Gong et al., "AutoGAN: Neural Architecture Search for Generative Adversarial Networks", ICCV 2019, section 3.1. In each
cell are chosen: whether activation and normalisation stand behind or before the two convolutions, which normalisation,
how the first convolution is upsampled, whether a shortcut leads around the cell, and which earlier cells are added
after the first convolution. The published text form are 14 numbers, 4 + 5 + 5: ``1 0 1 1 1 0 0 1 1 1 0 1 0 3``
(VITA-Group/AutoGAN, models_search/building_blocks_search.py).
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, quoted
from ogive.core.graph import Graph, Sketch
from ogive.core.space import Choice, SearchSpace

__all__ = ["CELLS", "CONVS", "DECISIONS", "NAME", "NORMS", "UPS", "CellDecisions", "autogan", "cells_of", "sources"]

NAME = "autogan"
CELLS = 3
CONVS = ("post", "pre")
NORMS = ("none", "batch", "instance")
UPS = ("bilinear", "nearest", "deconv")
SHORTCUTS = ("no", "yes")
# The cells whose first convolution is added: a binary number whose lowest bit is the cell just before.
SKIPS = {2: ("none", "1"), 3: ("none", "2", "1", "1+2")}
# What is decided in a cell, in the published order; the first cell has no skips.
DECISIONS = ("conv", "norm", "up", "shortcut", "skips")


@dataclass(frozen=True, slots=True)
class CellDecisions:
    """One cell in words; `skips` are the earlier cells, counted from 1, that are added to its first convolution."""

    conv: str
    norm: str
    up: str
    shortcut: bool
    skips: tuple[int, ...]


@functools.cache
def autogan() -> SearchSpace:
    """The space of 373,248 generators: 36 cells three times, with 2 and 4 ways to skip."""
    variables = []
    for cell in range(1, CELLS + 1):
        options = {"conv": CONVS, "norm": NORMS, "up": UPS, "shortcut": SHORTCUTS, "skips": SKIPS.get(cell, ())}
        variables += [Choice(f"{word}{cell}", options[word]) for word in DECISIONS if options[word]]
    return SearchSpace(name=NAME, variables=tuple(variables), draw=draw, read=read, write=write, tasks=("generation",))


def sources(cell: int, number: int) -> tuple[int, ...]:
    """The cells, counted from 1, that a number of skips adds to a cell."""
    return tuple(source for source in range(1, cell) if number >> (cell - 1 - source) & 1)


def cells_of(arch: Architecture) -> tuple[CellDecisions, ...]:
    """The three cells in words."""
    numbers = iter(int(choice) for choice in arch.choices)
    found = []
    for cell in range(1, CELLS + 1):
        conv, norm, up, shortcut = (next(numbers) for _ in range(4))
        skips = sources(cell, next(numbers)) if cell > 1 else ()
        found.append(CellDecisions(CONVS[conv], NORMS[norm], UPS[up], bool(shortcut), skips))
    return tuple(found)


def draw(arch: Architecture) -> Graph:
    """From the noise to the image: two convolutions a cell, its shortcut, and what is added after the first one."""
    sketch = Sketch()
    node = sketch.node
    x = node("linear", 0)
    firsts: list[int] = []
    for cell in cells_of(arch):
        block = f"{cell.conv}_{cell.norm}"
        first = node(f"{cell.up}_conv_3x3_{block}", x)
        added = [node(f"{cell.up}_conv_1x1", firsts[source - 1]) for source in cell.skips]
        first = node("add", first, *added) if added else first
        firsts.append(first)
        second = node(f"conv_3x3_{block}", first)
        x = node("add", second, node(f"{cell.up}_conv_1x1", x)) if cell.shortcut else second
    node("output", node("conv_3x3_image", x))
    return sketch.graph()


def read(text: str) -> Architecture:
    """The generator of 14 numbers such as ``1 0 1 1 1 0 0 1 1 1 0 1 0 3``."""
    numbers = text.split()
    expected = len(autogan().variables)
    if len(numbers) != expected or not all(re.fullmatch(r"\d", number, re.ASCII) for number in numbers):
        raise InvalidArchitecture(
            f"A generator of {NAME} is written as {expected} numbers such as "
            f"1 0 1 1 1 0 0 1 1 1 0 1 0 3; got {quoted(text)}."
        )
    return Architecture(NAME, tuple(int(number) for number in numbers))


def write(arch: Architecture) -> str:
    """The published numbers."""
    return " ".join(str(int(choice)) for choice in arch.choices)
