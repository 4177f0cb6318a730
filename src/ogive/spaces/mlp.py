"""Multilayer perceptrons: how many layers, how wide each is, and what stands behind each of them.

One to four layers with a width of their own, the same activation, normalisation and dropout behind all of them, and,
from the second layer on, a shortcut around each or none. The text form is ``128-64 relu batch 0.1 residual``.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, quoted
from ogive.core.graph import Graph, Sketch
from ogive.core.space import Choice, Choices, SearchSpace

__all__ = ["ACTIVATIONS", "DROPOUTS", "LAYERS", "NAME", "NORMALISATIONS", "WIDTHS", "Layers", "layers_of", "mlp"]

NAME = "mlp"
LAYERS = 4
WIDTHS = (16, 32, 64, 128, 256, 512)
ACTIVATIONS = ("relu", "gelu", "silu", "tanh")
NORMALISATIONS = ("none", "batch", "layer")
DROPOUTS = (0.0, 0.1, 0.25, 0.5)
SHORTCUTS = ("plain", "residual")


@dataclass(frozen=True, slots=True)
class Layers:
    """One perceptron in words."""

    widths: tuple[int, ...]
    activation: str
    normalisation: str
    dropout: float
    residual: bool


@functools.cache
def mlp() -> SearchSpace:
    """The space of 148,896 perceptrons with up to 4 layers, for rows of numbers, and for images as such rows."""
    widths = tuple(map(str, WIDTHS))
    variables = (
        Choice("width1", widths),
        *(Choice(f"width{layer}", ("none", *widths)) for layer in range(2, LAYERS + 1)),
        Choice("activation", ACTIVATIONS),
        Choice("normalisation", NORMALISATIONS),
        Choice("dropout", tuple(f"{share:g}" for share in DROPOUTS)),
        Choice("shortcut", SHORTCUTS),
    )
    alike = len(ACTIVATIONS) * len(NORMALISATIONS) * len(DROPOUTS)
    deeper = sum(len(WIDTHS) ** depth for depth in range(2, LAYERS + 1))
    return SearchSpace(
        name=NAME,
        variables=variables,
        draw=draw,
        is_legal=is_legal,
        count=alike * (len(WIDTHS) + len(SHORTCUTS) * deeper),
        read=read,
        write=write,
        tasks=("classification", "regression"),
        inputs=("rows", "images"),
    )


def is_legal(choices: Choices) -> bool:
    """Layers that are none stand at the end, and a single layer has nothing to lead around."""
    following, residual = choices[1:LAYERS], choices[-1]
    ends = all(later == 0 for earlier, later in itertools.pairwise(following) if earlier == 0)
    return ends and not (following[0] == 0 and residual)


def layers_of(arch: Architecture) -> Layers:
    """The perceptron of an architecture in words."""
    first, *rest = (int(choice) for choice in arch.choices)
    following = (WIDTHS[choice - 1] for choice in rest[: LAYERS - 1] if choice)
    activation, normalisation, dropout, residual = rest[LAYERS - 1 :]
    return Layers(
        (WIDTHS[first], *following),
        ACTIVATIONS[activation],
        NORMALISATIONS[normalisation],
        DROPOUTS[dropout],
        bool(residual),
    )


def draw(arch: Architecture) -> Graph:
    """From the row to the outputs: each layer with what stands behind it, and the sums that shortcuts lead to."""
    found = layers_of(arch)
    sketch = Sketch()
    node = sketch.node
    x, before = 0, 0
    for width in found.widths:
        y = node(f"linear_{width}", x)
        y = y if found.normalisation == "none" else node(f"{found.normalisation}_norm", y)
        y = node(found.activation, y)
        y = node(f"dropout_{found.dropout:g}", y) if found.dropout else y
        if found.residual and before:
            y = node("add", x if before == width else node(f"linear_{width}", x), y)
        x, before = y, width
    node("output", node("linear", x))
    return sketch.graph()


def read(text: str) -> Architecture:
    """The perceptron of a text such as ``128-64 relu batch 0.1 residual``."""
    words = text.split()
    try:
        widths, activation, normalisation, dropout, shortcut = words
        first, *rest = (WIDTHS.index(int(width)) for width in widths.split("-", LAYERS - 1))
        padded = (first, *(place + 1 for place in rest), *[0] * (LAYERS - 1 - len(rest)))
        behind = (
            ACTIVATIONS.index(activation),
            NORMALISATIONS.index(normalisation),
            DROPOUTS.index(float(dropout)),
            SHORTCUTS.index(shortcut),
        )
    except ValueError:
        raise InvalidArchitecture(
            f"A perceptron is written as up to {LAYERS} of the widths {', '.join(map(str, WIDTHS))}, then "
            f"{'|'.join(ACTIVATIONS)}, {'|'.join(NORMALISATIONS)}, a dropout of "
            f"{', '.join(f'{share:g}' for share in DROPOUTS)} and {'|'.join(SHORTCUTS)}, such as "
            f"128-64 relu batch 0.1 residual; got {quoted(text)}."
        ) from None
    return Architecture(NAME, (*padded, *behind))


def write(arch: Architecture) -> str:
    """The perceptron as text."""
    found = layers_of(arch)
    behind = f"{found.activation} {found.normalisation} {found.dropout:g} {SHORTCUTS[found.residual]}"
    return f"{'-'.join(map(str, found.widths))} {behind}"
