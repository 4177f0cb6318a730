"""NATS-Bench's size space: how many channels each of the five layers of one fixed network has.

Dong et al., "NATS-Bench", TPAMI 2021, section 3. The layers are cell, reduction, cell, reduction, cell; the stem has
the width of the first. The published text form is the widths with colons between them: ``8:16:24:32:40``.
"""

from __future__ import annotations

import functools
import re

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, quoted
from ogive.core.graph import Graph
from ogive.core.space import Choice, SearchSpace

__all__ = ["LAYERS", "WIDTHS", "natssize", "widths_of"]

NAME = "natssize"
WIDTHS = (8, 16, 24, 32, 40, 48, 56, 64)
LAYERS = ("cell", "reduction", "cell", "reduction", "cell")

_TEXT = re.compile(r"\d{1,9}(?::\d{1,9})*")


@functools.cache
def natssize() -> SearchSpace:
    """The space of 5 layers with 8 widths each: 32,768 networks."""
    options = tuple(str(width) for width in WIDTHS)
    variables = tuple(Choice(f"width{layer}", options) for layer in range(len(LAYERS)))
    return SearchSpace(
        name=NAME, variables=variables, draw=draw, read=read, write=write, tasks=("classification", "detection")
    )


def widths_of(arch: Architecture) -> tuple[int, ...]:
    """The channels of the five layers."""
    return tuple(WIDTHS[int(choice)] for choice in arch.choices)


def draw(arch: Architecture) -> Graph:
    """The chain of stem and layers; each node's label ends in its width, as in "reduction_32"."""
    widths = widths_of(arch)
    layers = (f"{layer}_{width}" for layer, width in zip(LAYERS, widths, strict=True))
    ops = ("input", f"stem_{widths[0]}", *layers, "output")
    return Graph(ops, frozenset((node, node + 1) for node in range(len(ops) - 1)))


def read(text: str) -> Architecture:
    """The network of a string such as ``8:16:24:32:40``."""
    stripped = text.strip()
    widths = [int(width) for width in stripped.split(":")] if _TEXT.fullmatch(stripped) else []
    if len(widths) != len(LAYERS) or not set(widths) <= set(WIDTHS):
        raise InvalidArchitecture(
            f"A network of natssize is written as {len(LAYERS)} of the widths {', '.join(map(str, WIDTHS))} "
            f"such as 8:16:24:32:40; got {quoted(text)}."
        )
    return Architecture(NAME, tuple(WIDTHS.index(width) for width in widths))


def write(arch: Architecture) -> str:
    """The published string of a network."""
    return ":".join(map(str, widths_of(arch)))
