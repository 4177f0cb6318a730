"""Small convolutional networks for signals: how deep and wide, how long their kernels, and what joins their layers.

Each layer halves the length of the signal. The text form is ``32 3 9 separable residual mean``.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, quoted
from ogive.core.graph import Graph, Sketch
from ogive.core.space import Choice, SearchSpace

__all__ = ["CONV1D", "Signal", "conv1d", "signal_of"]

CONV1D = "conv1d"
VARIABLES = (
    Choice("width", ("16", "32", "64", "128")),
    Choice("depth", ("1", "2", "3", "4")),
    Choice("kernel", ("3", "5", "9", "17")),
    Choice("convolution", ("full", "separable")),
    Choice("shortcut", ("plain", "residual")),
    Choice("pooling", ("mean", "max")),
)


@dataclass(frozen=True, slots=True)
class Signal:
    """A network for signals in words."""

    width: int
    depth: int
    kernel: int
    separable: bool
    residual: bool
    pooling: str


@functools.cache
def conv1d() -> SearchSpace:
    """The space of 512 small convolutional networks for signals of one dimension."""
    about = {"tasks": ("classification",), "inputs": ("signals",)}
    return SearchSpace(name=CONV1D, variables=VARIABLES, draw=draw, read=read, write=write, **about)  # type: ignore[arg-type]


def signal_of(arch: Architecture) -> Signal:
    """The network of an architecture."""
    width, depth, kernel, convolution, shortcut, pooling = write(arch).split()
    return Signal(int(width), int(depth), int(kernel), convolution == "separable", shortcut == "residual", pooling)


def draw(arch: Architecture) -> Graph:
    """From the signal to the outputs, layer by layer."""
    found, sketch = signal_of(arch), Sketch()
    x = sketch.node("conv_1", 0)
    for _ in range(found.depth):
        y = sketch.node(f"{'sep' if found.separable else 'conv'}_{found.kernel}", x)
        x = sketch.node("max_pool", sketch.node("add", x, y) if found.residual else y)
    sketch.node("output", sketch.node("linear", sketch.node(f"{found.pooling}_pool", x)))
    return sketch.graph()


def read(text: str) -> Architecture:
    """The network of a text such as ``32 3 9 separable residual mean``."""
    words = text.split()
    if len(words) == len(VARIABLES) and all(w in v.options for w, v in zip(words, VARIABLES, strict=True)):
        return Architecture(CONV1D, tuple(v.options.index(w) for w, v in zip(words, VARIABLES, strict=True)))
    wanted = ", ".join(f"{variable.name} {'|'.join(map(str, variable.options))}" for variable in VARIABLES)
    raise InvalidArchitecture(f"A network of {CONV1D} is written as {wanted}, in this order; got {quoted(text)}.")


def write(arch: Architecture) -> str:
    """The network as text."""
    return " ".join(str(v.options[int(choice)]) for v, choice in zip(VARIABLES, arch.choices, strict=True))
