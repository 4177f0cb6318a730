"""MnasNet's factorised hierarchy: seven blocks that each repeat a layer of their own, 432 choices a block.

Tan et al., "MnasNet: Platform-Aware Neural Architecture Search for Mobile", CVPR 2019 (arXiv:1807.11626v3), section 4.
The skeleton is MobileNetV2's: widths and numbers of layers are chosen relative to it. The text form is a word for each
block, in order, with ``/`` between them: ``mb6k3se0idf100n+0`` is an inverted bottleneck with expansion 6, 3×3, with no
squeeze and excitation, an identity skip, the width of MobileNetV2 and its number of layers.

What the paper leaves open is ours: a block of one layer has one at least; the skip "pool" adds what a 3×3 average
pooling with the layer's stride makes of its input; both skips are left out where the widths differ.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, quoted
from ogive.core.graph import Graph
from ogive.core.space import Choice, SearchSpace

__all__ = ["NAME", "OPTIONS", "REFERENCE", "Block", "blocks_of", "mnasnet"]

NAME = "mnasnet"
# Channels, layers and stride of MobileNetV2's blocks (Sandler et al., CVPR 2018, table 2).
REFERENCE = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
# Section 4.1: operation (with MBConv's expansion), kernel, ratio of squeeze and excitation in per cent, skip, width in
# per cent of the reference, and layers relative to it.
OPTIONS: dict[str, tuple[str, ...]] = {
    "op": ("conv", "sep", "mb3", "mb6"),
    "kernel": ("3", "5"),
    "se": ("0", "25"),
    "skip": ("pool", "id", "none"),
    "width": ("75", "100", "125"),
    "layers": ("-1", "+0", "+1"),
}
WIDE = len(OPTIONS)
_WORD = re.compile(r"(conv|sep|mb3|mb6)k([35])se(0|25)(pool|id|none)f(75|100|125)n([-+][01])")


class Block(NamedTuple):
    """A block of equal layers, of which the first has the stride.

    `op` is "conv" (a whole convolution), "sep" (depthwise, then pointwise) or "mbE" (an inverted bottleneck with
    expansion E); `excitation` is the ratio of squeeze and excitation to the width of the layer's input, 0 for none;
    `skip` is "id", "pool" or "none"; `width` are the output channels at the width multiplier 1, not yet rounded.
    """

    op: str
    kernel: int
    excitation: float
    skip: str
    width: float
    layers: int
    stride: int


@functools.cache
def mnasnet() -> SearchSpace:
    """The space of 7 blocks with 432 combinations each: 432**7, about 2.8e18 architectures."""
    variables = tuple(
        Choice(f"block{place}.{name}", options) for place in range(len(REFERENCE)) for name, options in OPTIONS.items()
    )
    return SearchSpace(
        name=NAME,
        variables=variables,
        draw=draw,
        read=read,
        write=write,
        prune=prune,
        canonical=prune,
        tasks=("classification", "detection"),
    )


def blocks_of(arch: Architecture) -> tuple[Block, ...]:
    """The blocks of an architecture."""
    found = []
    for (channels, layers, stride), words in zip(REFERENCE, _words(arch), strict=True):
        op, kernel, excitation, skip, width, more = words
        count = max(1, layers + int(more))
        found.append(Block(op, int(kernel), int(excitation) / 100, skip, channels * int(width) / 100, count, stride))
    return tuple(found)


def draw(arch: Architecture) -> Graph:
    """The chain of layers; a label says block and operation, as in "block2_mb6_5x5_se_id_125"."""
    layers = [
        f"block{place}_{block.op}_{block.kernel}x{block.kernel}{'_se' if block.excitation else ''}_{block.skip}_{width}"
        for place, (block, (*_, width, _)) in enumerate(zip(blocks_of(arch), _words(arch), strict=True))
        for _ in range(block.layers)
    ]
    ops = ("input", "stem", *layers, "head", "output")
    return Graph(ops, frozenset((node, node + 1) for node in range(len(ops) - 1)))


def prune(arch: Architecture) -> Architecture:
    """The same network without layers that would be fewer than one: these blocks have one as they are."""
    fewer, same = map(OPTIONS["layers"].index, ("-1", "+0"))
    choices = list(arch.choices)
    for place, (_, layers, _) in enumerate(REFERENCE):
        last = WIDE * place + WIDE - 1
        if layers == 1 and choices[last] == fewer:
            choices[last] = same
    return Architecture(NAME, tuple(choices))


def read(text: str) -> Architecture:
    """The architecture of seven words with "/" between them, such as ``mb6k3se0idf100n+0/...``."""
    words = [_WORD.fullmatch(word) for word in text.strip().split("/")]
    found = [match.groups() for match in words if match is not None]
    legal = all(value in options for word in found for value, options in zip(word, OPTIONS.values(), strict=True))
    if len(found) != len(REFERENCE) or len(words) != len(REFERENCE) or not legal:
        raise InvalidArchitecture(
            f"A network of {NAME} is written as {len(REFERENCE)} words (conv|sep|mb3|mb6)k(3|5)se(0|25)(pool|id|none)"
            f"f(75|100|125)n(-1|+0|+1) with '/' between them; got {quoted(text)}."
        )
    return Architecture(NAME, _choices(found))


def write(arch: Architecture) -> str:
    """The text of an architecture."""
    return "/".join(f"{op}k{kernel}se{se}{skip}f{width}n{more}" for op, kernel, se, skip, width, more in _words(arch))


def _choices(words: Sequence[tuple[str, ...]]) -> tuple[int, ...]:
    return tuple(options.index(value) for word in words for value, options in zip(word, OPTIONS.values(), strict=True))


def _words(arch: Architecture) -> list[tuple[str, ...]]:
    """The options of every block."""
    choices = [int(choice) for choice in arch.choices]
    return [
        tuple(options[choice] for choice, options in zip(choices[at : at + WIDE], OPTIONS.values(), strict=True))
        for at in range(0, len(choices), WIDE)
    ]
