"""Blocks in BlockQNN's Network Structure Code: a row of layers, each of which says what it is and what it reads.

Zhong et al., "Practical Block-wise Neural Network Architecture Generation", CVPR 2018; the same space with depthwise
separable convolutions is that of Guo et al., "IRLAS: Inverse Reinforcement Learning for Architecture Search", CVPR
2019. A layer is the tuple (index, type, kernel, first predecessor, second predecessor), where index 0 is the block's
input; whatever no layer reads is concatenated to the block's output. The text form is the row of these tuples, numbers
as published: ``(1,1,3,0,0)(2,4,0,0,0)(3,5,0,2,1)(4,7,0,0,0)`` is a 3×3 convolution and an identity of the input, added.

An architecture has one choice for each index up to the largest: the layer there, or the end of the block. Sums and
concatenations have no order, so that the larger predecessor stands first; the published code counts both orders.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError, quoted
from ogive.core.graph import Graph, Sketch
from ogive.core.space import Choice, Choices, SearchSpace

__all__ = [
    "CONVOLUTIONS",
    "IRLAS_MOBILE",
    "TYPES",
    "BlockSpace",
    "Layer",
    "actions",
    "architecture",
    "blockqnn",
    "blockqnn_separable",
    "is_blocks",
    "layers_of",
    "read_layers",
    "write_layers",
]

# Types of layers in the order of the published numbers, which begin with 1, and the kernels of each.
TYPES = ("conv", "max", "avg", "identity", "add", "concat", "terminal")
KERNELS = {"conv": (1, 3, 5), "max": (1, 3), "avg": (1, 3)}
JOINING = ("add", "concat")
# What "conv" is in each space.
CONVOLUTIONS = {"blockqnn": "conv", "blockqnn_separable": "sep"}
# The end of a block comes first among the choices, so that a listing begins with short blocks.
END = 0
LARGEST_INDEX = 23  # more than that has no published block

_TUPLE = re.compile(r"\(\s*(\d{1,3})\s*,\s*(\d)\s*,\s*(\d)\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\)")
_TEXT = re.compile(rf"(?:{_TUPLE.pattern}[\s,;]*)+")


class Layer(NamedTuple):
    """One layer of a block: its type, its kernel (0 where it has none) and the indices of what it reads.

    `second` is 0 for layers that read one thing only. In a sum or a concatenation `first` is larger than `second`.
    """

    type: str
    kernel: int = 0
    first: int = 0
    second: int = 0

    @property
    def reads(self) -> tuple[int, ...]:
        """The indices of its predecessors."""
        return (self.first, self.second) if self.type in JOINING else (self.first,)


@functools.cache
def actions(index: int, *, ordered: bool = False) -> tuple[Layer, ...]:
    """The layers that may stand at an index, from 1: 8 operations on each predecessor, then sums and concatenations.

    8 t + t (t - 1) of them at index t; `ordered` counts both orders of two predecessors, 8 t + 2 t (t - 1). The end of
    a block, possible from index 2 on, is not among them.
    """
    single = [
        Layer(kind, kernel, before)
        for before in range(index)
        for kind in TYPES[:4]
        for kernel in KERNELS.get(kind, (0,))
    ]
    pairs = [(a, b) for a in range(index) for b in range(index) if a > b or (ordered and a != b)]
    return (*single, *(Layer(kind, 0, *pair) for kind in JOINING for pair in pairs))


@functools.cache
def _places(index: int) -> dict[Layer, int]:
    """The choice that stands for each layer at an index."""
    first = 1 if index > 1 else 0
    return {layer: first + place for place, layer in enumerate(actions(index))}


@dataclass(frozen=True, eq=False)
class BlockSpace(SearchSpace):
    """A space of blocks, from which they are drawn as BlockQNN explores: layer after layer, until the end is drawn."""

    def sample(self, rng: np.random.Generator) -> Architecture:
        """A random block: at each index every layer, and from index 2 on the end, is equally likely."""
        choices: list[int] = []
        for index in range(1, len(self.variables) + 1):
            choices.append(int(rng.integers(_width(index))))
            if index > 1 and choices[-1] == END:
                break
        return Architecture(self.name, (*choices, *(END,) * (len(self.variables) - len(choices))))

    def mutate(self, arch: Architecture, rng: np.random.Generator) -> Architecture:
        """A block in which one layer is another one, or one is added at the end, or the last one is gone.

        Which layer, or the place behind the last, is drawn uniformly; the last one goes half of the time, since
        otherwise blocks would grow and never shrink.
        """
        depth, largest = _depth(arch.choices), len(self.variables)
        place = int(rng.integers(min(depth + 1, largest)))
        now = int(arch.choices[place])
        if 0 < place == depth - 1 and rng.random() < 0.5:
            return Architecture(self.name, (*arch.choices[:place], *(END,) * (largest - place)))
        least = 1 if place else 0  # not the end
        inside = least <= now
        drawn = least + int(rng.integers(_width(place + 1) - least - inside))
        value = drawn + (inside and drawn >= now)
        return Architecture(self.name, (*arch.choices[:place], value, *arch.choices[place + 1 :]))


@functools.cache
def blockqnn(*, layers: int = 10) -> SearchSpace:  # elenathfgs/BlockQNN_Keras, BlockQNN.py
    """Blocks of at most so many layers, with whole convolutions: ReLU, convolution, batch normalisation."""
    return _space("blockqnn", layers)


@functools.cache
def blockqnn_separable(*, layers: int = 10) -> SearchSpace:
    """The same with depthwise separable convolutions, in which IRLAS searched."""
    return _space("blockqnn_separable", layers)


def is_blocks(space: str) -> bool:
    """Whether a name is that of a space of blocks."""
    return space in CONVOLUTIONS


def layers_of(arch: Architecture) -> tuple[Layer, ...]:
    """The layers of a block, index 1 first, without its end."""
    depth = _depth(arch.choices)
    return tuple(
        actions(index)[int(choice) - (1 if index > 1 else 0)] for index, choice in enumerate(arch.choices[:depth], 1)
    )


def architecture(block: Sequence[Layer], *, space: str = "blockqnn", layers: int | None = None) -> Architecture:
    """The block of these layers, in a space of at most so many, by default as many as there are.

    Predecessors of sums and concatenations may come in either order. Raises InvalidArchitecture.
    """
    layers = len(block) if layers is None else layers
    if not 1 <= len(block) <= layers:
        raise InvalidArchitecture(f"A block of this space has 1 to {layers} layers, but got {len(block)}.")
    choices = [_choice(index, Layer(*layer)) for index, layer in enumerate(block, 1)]
    return Architecture(space, (*choices, *(END,) * (layers - len(choices))))


def _choice(index: int, layer: Layer) -> int:
    if layer.type in JOINING and layer.first < layer.second:
        layer = layer._replace(first=layer.second, second=layer.first)
    found = _places(index).get(layer)
    if found is None:
        raise InvalidArchitecture(
            f"At index {index} a layer reads indices 0..{index - 1}, two different ones in a sum or a concatenation, "
            f"and has a kernel of 1, 3 or 5 (convolutions), 1 or 3 (poolings) or 0; got {quoted(tuple(layer))}."
        )
    return found


# -- text and picture -------------------------------------------------------------------------------------------------


def read_layers(text: str) -> tuple[Layer, ...]:
    """The layers of a code such as ``(1,1,3,0,0)(2,7,0,0,0)``, whose end may be left out."""
    rows = [tuple(map(int, match.groups())) for match in _TUPLE.finditer(text)]
    numbered = [row[0] for row in rows] == list(range(1, len(rows) + 1))
    known = all(1 <= row[1] <= len(TYPES) for row in rows)
    if not _TEXT.fullmatch(text.strip()) or not numbered or not known:
        raise InvalidArchitecture(
            "A block is written as tuples (index,type,kernel,first,second) with indices from 1 and the types 1 "
            "convolution, 2 and 3 maximum and average pooling, 4 identity, 5 sum, 6 concatenation, 7 end, such as "
            f"(1,1,3,0,0)(2,4,0,0,0)(3,5,0,2,1)(4,7,0,0,0); got {quoted(text)}."
        )
    found = [Layer(TYPES[kind - 1], kernel, first, second) for _, kind, kernel, first, second in rows]
    if found[-1].type == TYPES[-1]:
        found.pop()
    if not found or any(layer.type == TYPES[-1] for layer in found):
        raise InvalidArchitecture(f"A block has at least one layer, and none behind its end; got {quoted(text)}.")
    return tuple(found)


def write_layers(block: Sequence[Layer]) -> str:
    """The code of a block, with its end."""
    rows = [(TYPES.index(kind) + 1, kernel, first, second) for kind, kernel, first, second in block]
    return "".join(f"({index},{','.join(map(str, row))})" for index, row in enumerate([*rows, (7, 0, 0, 0)], 1))


def read(space: str, layers: int, text: str) -> Architecture:
    """The block of a code, in a space of at most so many layers."""
    return architecture(read_layers(text), space=space, layers=layers)


def write(arch: Architecture) -> str:
    """The code of an architecture."""
    return write_layers(layers_of(arch))


def draw(arch: Architecture) -> Graph:
    """The block with the labels "conv_3x3" ("sep_3x3"), "max_3x3", "identity", "add" and so on.

    The output reads what nothing else reads.
    """
    sketch, convolution = Sketch(), CONVOLUTIONS[arch.space]
    block = layers_of(arch)
    for kind, kernel, first, second in block:
        name = convolution if kind == "conv" else kind
        reads = (first, second) if kind in JOINING else (first,)
        sketch.node(f"{name}_{kernel}x{kernel}" if kernel else name, *reads)
    sketch.node("output", *unread(block))
    return sketch.graph()


def unread(block: Sequence[Layer]) -> list[int]:
    """The indices that no layer reads, whose concatenation is the block's output; ascending, never empty."""
    read_ones = {before for layer in block for before in layer.reads}
    return [index for index in range(1, len(block) + 1) if index not in read_ones]


def canonical(arch: Architecture) -> Architecture:
    """One block for all that are the same up to the numbering of layers; a pooling of one pixel is an identity."""
    block = [
        Layer("identity", 0, layer.first) if layer.type in ("max", "avg") and layer.kernel == 1 else layer
        for layer in layers_of(arch)
    ]
    graph = draw(architecture(block, space=arch.space, layers=len(arch.choices))).canonical()
    inside = range(1, len(graph) - 1)
    renamed = [_layer(graph.ops[node], sorted(graph.predecessors(node), reverse=True)) for node in inside]
    return architecture(renamed, space=arch.space, layers=len(arch.choices))


def _layer(label: str, reads: Sequence[int]) -> Layer:
    name, _, side = label.partition("_")
    kind = "conv" if name in CONVOLUTIONS.values() else name
    return Layer(kind, int(side.partition("x")[0]) if side else 0, *reads)


# -- the space --------------------------------------------------------------------------------------------------------


def is_legal(choices: Choices) -> bool:
    """Whether nothing stands behind the end."""
    return all(choice == END for choice in choices[_depth(choices) :])


def _space(name: str, layers: int) -> SearchSpace:
    if not 1 <= layers <= LARGEST_INDEX:
        raise SpecError(f"{name} has blocks of 1 to {LARGEST_INDEX} layers, but got layers={layers}.")
    counts = [len(actions(index)) for index in range(1, layers + 1)]
    return BlockSpace(
        name=name,
        variables=tuple(Choice(f"layer{index}", _options(index)) for index in range(1, layers + 1)),
        draw=draw,
        is_legal=is_legal,
        listing=functools.partial(_listed, name, layers),
        count=sum(math.prod(counts[:depth]) for depth in range(1, layers + 1)),
        read=functools.partial(read, name, layers),
        write=write,
        canonical=canonical,
        tasks=("classification", "detection"),
    )


def _options(index: int) -> tuple[str, ...]:
    names = (
        f"{kind}{kernel or ''}({first}{f'+{second}' if kind in JOINING else ''})"
        for kind, kernel, first, second in actions(index)
    )
    return tuple(names) if index == 1 else ("end", *names)


def _width(index: int) -> int:
    return len(actions(index)) + (index > 1)


def _depth(choices: Choices) -> int:
    """How many layers there are before the end."""
    return next((place for place, choice in enumerate(choices) if place and choice == END), len(choices))


def _listed(name: str, layers: int) -> Iterator[Architecture]:
    def extended(head: tuple[int, ...]) -> Iterator[Architecture]:
        for value in range(_width(len(head) + 1)):
            if head and value == END:
                yield Architecture(name, (*head, *(END,) * (layers - len(head))))
            elif len(head) + 1 == layers:
                yield Architecture(name, (*head, value))
            else:
                yield from extended((*head, value))

    return extended(())


# The block that IRLAS found: gmh14/IRLAS, models/IRLAS_mobile.py.
IRLAS_MOBILE = (
    Layer("conv", 1, 0),
    Layer("conv", 3, 0),
    Layer("add", 0, 2, 0),
    Layer("conv", 5, 0),
    Layer("conv", 1, 3),
)
