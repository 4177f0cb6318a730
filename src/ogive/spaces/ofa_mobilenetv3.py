"""Once-for-all's space around MobileNetV3: five units of two to four blocks, each with kernel and expansion.

Cai et al., "Once-for-All: Train One Network and Specialize it for Efficient Deployment", ICLR 2020, section 4.1. An
architecture has a kernel and an expansion for each of the 20 layers; those behind the depth of their unit are skipped,
so that some architectures are one network, and `prune` gives the skipped ones the first option. The 3**45
architectures stand for 7371**5 networks. The text form holds the digits in which results are published: kernels,
expansions and depths, as in ``k57553337553773335555 e43444634434336664344 d23243``.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, quoted
from ogive.core.graph import Graph
from ogive.core.space import Choice, SearchSpace

__all__ = ["DEPTHS", "EXPANSIONS", "KERNELS", "LAYERS", "NAME", "UNITS", "Units", "ofa_mobilenetv3", "units_of"]

NAME = "ofa_mobilenetv3"
UNITS, LAYERS = 5, 4
DEPTHS, KERNELS, EXPANSIONS = (2, 3, 4), (3, 5, 7), (3, 4, 6)

_TEXT = re.compile(r"k([357]{20})[ ,]+e([346]{20})[ ,]+d([234]{5})")


@dataclass(frozen=True, slots=True)
class Units:
    """Kernels and expansions of the blocks that there are: a tuple for each unit, as long as the unit is deep."""

    kernels: tuple[tuple[int, ...], ...]
    expansions: tuple[tuple[int, ...], ...]


@functools.cache
def ofa_mobilenetv3() -> SearchSpace:
    """The space of 2.2e19 networks: 5 depths, then 20 kernels, then 20 expansions."""
    places = [f"{unit}_{layer}" for unit in range(UNITS) for layer in range(LAYERS)]
    variables = (
        *(Choice(f"depth{unit}", _options(DEPTHS)) for unit in range(UNITS)),
        *(Choice(f"kernel{place}", _options(KERNELS)) for place in places),
        *(Choice(f"expansion{place}", _options(EXPANSIONS)) for place in places),
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


def units_of(arch: Architecture) -> Units:
    """The blocks of an architecture, without the layers that its depths skip."""
    depths, kernels, expansions = _numbers(arch)
    spans = [slice(LAYERS * unit, LAYERS * unit + depth) for unit, depth in enumerate(depths)]
    return Units(tuple(kernels[span] for span in spans), tuple(expansions[span] for span in spans))


def draw(arch: Architecture) -> Graph:
    """The chain of blocks; a label says unit, kernel and expansion, as in "unit2_mbconv_5x5_e4"."""
    units = units_of(arch)
    blocks = (
        f"unit{place}_mbconv_{kernel}x{kernel}_e{expansion}"
        for place, unit in enumerate(zip(units.kernels, units.expansions, strict=True))
        for kernel, expansion in zip(*unit, strict=True)
    )
    ops = ("input", "stem", *blocks, "head", "output")
    return Graph(ops, frozenset((node, node + 1) for node in range(len(ops) - 1)))


def prune(arch: Architecture) -> Architecture:
    """The same network with the first option in all layers that are skipped."""
    depths = _numbers(arch)[0]
    kept = [layer < depth for depth in depths for layer in range(LAYERS)]
    choices = (choice if live else 0 for choice, live in zip(arch.choices[UNITS:], [*kept, *kept], strict=True))
    return Architecture(NAME, (*arch.choices[:UNITS], *choices))


def read(text: str) -> Architecture:
    """The architecture of a text such as ``k57553337553773335555 e43444634434336664344 d23243``."""
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise InvalidArchitecture(
            f"A network of {NAME} is written as 20 kernels of 3, 5, 7, 20 expansions of 3, 4, 6 and 5 depths of 2, 3, "
            f"4, such as k57553337553773335555 e43444634434336664344 d23243; got {quoted(text)}."
        )
    kernels, expansions, depths = (tuple(map(int, digits)) for digits in found.groups())
    return Architecture(
        NAME, (*map(DEPTHS.index, depths), *map(KERNELS.index, kernels), *map(EXPANSIONS.index, expansions))
    )


def write(arch: Architecture) -> str:
    """Kernels, expansions and depths as digits, skipped layers included."""
    depths, kernels, expansions = ("".join(map(str, numbers)) for numbers in _numbers(arch))
    return f"k{kernels} e{expansions} d{depths}"


def _numbers(arch: Architecture) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """The five depths, twenty kernels and twenty expansions."""
    choices = [int(choice) for choice in arch.choices]
    kernels, expansions = choices[UNITS : UNITS + UNITS * LAYERS], choices[UNITS + UNITS * LAYERS :]
    return (
        tuple(DEPTHS[choice] for choice in choices[:UNITS]),
        tuple(KERNELS[choice] for choice in kernels),
        tuple(EXPANSIONS[choice] for choice in expansions),
    )


def _options(numbers: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(map(str, numbers))
