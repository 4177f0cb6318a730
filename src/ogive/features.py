"""Numbers of a graph or an architecture: matrices, and closed forms for the size and the work of its network."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ogive.core.errors import SpecError, UnknownName
from ogive.core.graph import Graph
from ogive.spaces import nasbench201

__all__ = ["adjacency", "nasbench201_macs", "nasbench201_parameters", "one_hot"]

Integers = npt.NDArray[np.int64]


def adjacency(graph: Graph) -> npt.NDArray[np.int8]:
    """The matrix, shape (nodes, nodes), with 1 in row i and column j for an edge from node i to node j."""
    matrix = np.zeros((len(graph), len(graph)), np.int8)
    if graph.edges:
        matrix[tuple(np.transpose(list(graph.edges)))] = 1
    return matrix


def one_hot(graph: Graph, vocabulary: Sequence[str]) -> npt.NDArray[np.int8]:
    """The matrix, shape (nodes, len(vocabulary)), with 1 where a node has that operation.

    Raises UnknownName for a node whose operation is not in the vocabulary.
    """
    place = {op: column for column, op in enumerate(vocabulary)}
    for op in graph.ops:
        if op not in place:
            raise UnknownName("operation of the vocabulary", op, vocabulary)
    matrix = np.zeros((len(graph), len(place)), np.int8)
    matrix[np.arange(len(graph)), [place[op] for op in graph.ops]] = 1
    return matrix


def nasbench201_parameters(
    choices_NV: npt.ArrayLike, *, channels: int = 16, cells: int = 5, classes: int = 10, inputs: int = 3
) -> Integers:
    """Trainable parameters, shape (N,), of NAS-Bench-201 networks given by their choices, shape (N, 6).

    Three stages of `cells` cells with C, 2C and 4C channels, a residual block before the second and the third
    ("NAS-Bench-201", section 2.1). Operations on dead edges count: the network holds them.
    """
    _check_positive(channels=channels, cells=cells, classes=classes, inputs=inputs)
    small, large = _convolutions(choices_NV)
    widths = [channels, 2 * channels, 4 * channels]
    found = np.zeros_like(small)
    for width in widths:
        # Each convolution has no bias, and a BatchNorm with two numbers a channel.
        found += cells * (small * (width**2 + 2 * width) + large * (9 * width**2 + 2 * width))
    stem = 9 * inputs * channels + 2 * channels
    head = 2 * widths[-1] + (widths[-1] + 1) * classes
    # A residual block: two 3x3 convolutions with BatchNorm, and a 1x1 convolution without beside them.
    blocks = sum((9 * narrow + 9 * wide + narrow) * wide + 4 * wide for narrow, wide in itertools.pairwise(widths))
    found += stem + blocks + head
    return found


def nasbench201_macs(
    choices_NV: npt.ArrayLike,
    *,
    channels: int = 16,
    cells: int = 5,
    classes: int = 10,
    inputs: int = 3,
    size: tuple[int, int] = (32, 32),
) -> Integers:
    """Multiply-accumulates of convolutions and the linear layer for one image, shape (N,).

    The networks are those of `nasbench201_parameters`; `size` is the height and width of the image, multiples of 4.
    """
    _check_positive(channels=channels, cells=cells, classes=classes, inputs=inputs, height=size[0], width=size[1])
    if size[0] % 4 or size[1] % 4:
        raise SpecError(f"A NAS-Bench-201 network halves its images twice, so size must be multiples of 4, not {size}.")
    small, large = _convolutions(choices_NV)
    widths = [channels, 2 * channels, 4 * channels]
    pixels = [size[0] * size[1] // 4**stage for stage in range(3)]
    found = np.zeros_like(small)
    for width, area in zip(widths, pixels, strict=True):
        found += cells * area * width**2 * (small + 9 * large)
    stem = 9 * inputs * channels * pixels[0]
    blocks = sum(
        (9 * narrow + 9 * wide + narrow) * wide * area
        for (narrow, wide), area in zip(itertools.pairwise(widths), pixels[1:], strict=True)
    )
    found += stem + blocks + widths[-1] * classes
    return found


def _convolutions(choices_NV: npt.ArrayLike) -> tuple[Integers, Integers]:
    """How many 1x1 and how many 3x3 convolutions each cell has."""
    cells = nasbench201.choices_of(nasbench201.index_of(choices_NV))
    small, large = (
        np.count_nonzero(cells == nasbench201.OPS.index(op), axis=1) for op in ("nor_conv_1x1", "nor_conv_3x3")
    )
    return small.astype(np.int64), large.astype(np.int64)


def _check_positive(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise SpecError(f"{name} must be at least 1, but got {number}.")
