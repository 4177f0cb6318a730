"""The residual spaces of NDS: three stages of ResNet blocks, or of ResNeXt bottlenecks, with sizes to choose.

Radosavovic et al., "On Network Design Spaces for Visual Recognition", ICCV 2019: each stage has a depth and a
width, and for ResNeXt a bottleneck ratio and a number of groups, about evenly spaced in logarithm. For ResNeXt these
are powers of two: depths 1 to 16, ratios 1 to 4, and widths 16 to 256 with groups 1 to 4 (ResNeXt-A) or widths 64 to
1024 with groups 1 to 16 (ResNeXt-B); `nds_resnext` holds both. For ResNet there are 9 depths from 1 to 24 and 12 widths
from 16 to 256: a sample draws from some that are spaced so, and every whole number between can be written. These ranges
were not checked in the paper; published records agree with them, and others show what is missing when they are read.

A network is a 3×3 convolution to 16 channels, the stages at strides 1, 2 and 2, and a classifier. The published text
form is the object `net` of a record, whose lists begin with the stem: ``{"block_type": "res_bottleneck_block",
"bot_muls": [0.0, 0.25, 0.25, 0.25], "ds": [1, 16, 1, 4], "num_gs": [1, 2, 1, 2], "ss": [1, 1, 2, 2], "ws":
[16, 64, 128, 16]}``.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError, quoted
from ogive.core.graph import Graph
from ogive.core.space import Choice, SearchSpace
from ogive.spaces.nds import parsed
from ogive.spaces.restricted import RestrictedSpace

__all__ = [
    "BLOCKS",
    "STEM_WIDTH",
    "STRIDES",
    "Stage",
    "macs_of",
    "nds_resnet",
    "nds_resnext",
    "parameters_of",
    "read_net",
    "stages_of",
    "whole",
]

STAGES = 3
STRIDES = (1, 2, 2)
STEM_WIDTH = 16
SIDE = 32  # of a CIFAR image, for which operations are counted

POWERS = (1, 2, 4, 8, 16)
NEXT_OPTIONS: Mapping[str, tuple[int, ...]] = {
    "depth": POWERS,
    "width": (16, 32, 64, 128, 256, 512, 1024),
    "ratio": (1, 2, 4),
    "groups": POWERS,
}
NET_OPTIONS: Mapping[str, tuple[int, ...]] = {"depth": tuple(range(1, 25)), "width": tuple(range(16, 257))}
# 12 and 9 values about evenly spaced in logarithm; which ones they are is ours.
NET_WIDTHS = (16, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256)
NET_DEPTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24)
OPTIONS = {"nds_resnet": NET_OPTIONS, "nds_resnext": NEXT_OPTIONS}
BLOCKS = {"nds_resnet": "res_basic_block", "nds_resnext": "res_bottleneck_block"}

# The widths and the groups of the two ResNeXt spaces.
VARIANTS: Mapping[str, tuple[frozenset[int], frozenset[int]]] = {
    "a": (frozenset({16, 32, 64, 128, 256}), frozenset({1, 2, 4})),
    "b": (frozenset({64, 128, 256, 512, 1024}), frozenset(POWERS)),
}
# How many networks each has: (depths * widths * ratios * groups) ** 3. A network of both is in the part that they
# share, of 3 widths and 3 groups.
COUNTS = {"a": (5 * 5 * 3 * 3) ** 3, "b": (5 * 5 * 3 * 5) ** 3}
COUNTS["both"] = COUNTS["a"] + COUNTS["b"] - (5 * 3 * 3 * 3) ** 3

Choices = tuple[int | float, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """Blocks of one stage; `ratio` is how many times narrower the middle of a bottleneck is, 0 for a basic block."""

    depth: int
    width: int
    ratio: int = 0
    groups: int = 1


def nds_resnet(
    *,
    widths: tuple[int, ...] = NET_WIDTHS,
    depths: tuple[int, ...] = NET_DEPTHS,
    max_params: int | None = None,
    max_macs: int | None = None,
) -> SearchSpace:
    """Three stages of basic residual blocks: a depth and a width each.

    With `max_params` or `max_macs` only networks with no more parameters (for ten classes) or multiply-accumulates
    (for 32×32 images) are drawn.
    """
    return _resnet(widths, depths, max_params, max_macs)


def nds_resnext(
    *,
    variant: Literal["a", "b", "both"] = "both",
    max_params: int | None = None,
    max_macs: int | None = None,
) -> SearchSpace:
    """Three stages of grouped bottlenecks: a depth, a width, a bottleneck ratio and a number of groups each.

    `variant` leaves one of the two published spaces; with `max_params` or `max_macs` only networks with no more
    parameters (for ten classes) or multiply-accumulates (for 32×32 images) are drawn.
    """
    return _resnext(variant, max_params, max_macs)


@functools.cache
def _resnet(
    widths: tuple[int, ...], depths: tuple[int, ...], max_params: int | None, max_macs: int | None
) -> SearchSpace:
    for field, values, option in (("widths", widths, "width"), ("depths", depths, "depth")):
        known = NET_OPTIONS[option]
        if not values or not set(values) <= set(known) or len(set(values)) < len(values):
            raise SpecError(f"The {field} of nds_resnet lie in {known[0]}..{known[-1]}; got {list(values)}.")
    allowed = _Allowed(frozenset(depths), ((frozenset(widths), frozenset({1})),), max_params, max_macs)
    return _space("nds_resnet", allowed, (len(widths) * len(depths)) ** STAGES)


@functools.cache
def _resnext(variant: str, max_params: int | None, max_macs: int | None) -> SearchSpace:
    if variant not in COUNTS:
        raise SpecError(f"The variant of nds_resnext is a, b or both; got {variant!r}.")
    kinds = tuple(VARIANTS.values()) if variant == "both" else (VARIANTS[variant],)
    allowed = _Allowed(frozenset(POWERS), kinds, max_params, max_macs)
    return _space("nds_resnext", allowed, COUNTS[variant])


@dataclass(frozen=True)
class _Allowed:
    """Which networks a space holds: all widths and groups of one kind, and no more than a size."""

    depths: frozenset[int]
    kinds: tuple[tuple[frozenset[int], frozenset[int]], ...]
    max_params: int | None
    max_macs: int | None

    def offered(self, option: str, known: tuple[int, ...]) -> tuple[int, ...]:
        """The choices of a variable that occur at all."""
        values: dict[str, frozenset[int]] = {
            "depth": self.depths,
            "width": frozenset().union(*(widths for widths, _ in self.kinds)),
            "groups": frozenset().union(*(groups for _, groups in self.kinds)),
        }
        return tuple(choice for choice, value in enumerate(known) if value in values.get(option, known))

    def holds(self, stages: Sequence[Stage]) -> bool:
        """Whether a network is in the space."""
        of_kind = (
            all(stage.width in widths and stage.groups in groups for stage in stages) for widths, groups in self.kinds
        )
        return (
            all(stage.depth in self.depths for stage in stages)
            and any(of_kind)
            and (self.max_params is None or parameters_of(stages) <= self.max_params)
            and (self.max_macs is None or macs_of(stages) <= self.max_macs)
        )


def _space(name: str, allowed: _Allowed, count: int) -> SearchSpace:
    limited = allowed.max_params is not None or allowed.max_macs is not None
    _refuse_too_small(name, allowed)
    return RestrictedSpace(
        name=name,
        variables=tuple(
            Choice(f"stage{stage + 1}.{option}", tuple(map(str, values)))
            for stage in range(STAGES)
            for option, values in OPTIONS[name].items()
        ),
        draw=draw,
        is_legal=functools.partial(_is_legal, name, allowed),
        count=None if limited else count,
        read=functools.partial(read, name),
        write=write,
        tasks=("classification", "detection"),
        offered=tuple(allowed.offered(option, known) for option, known in OPTIONS[name].items()) * STAGES,
    )


def _refuse_too_small(name: str, allowed: _Allowed) -> None:
    """SpecError if not even the smallest network keeps the limits."""
    ratio = max(NEXT_OPTIONS["ratio"]) if name == "nds_resnext" else 0
    smallest = [
        (Stage(min(allowed.depths), min(widths), ratio, max(groups)),) * STAGES for widths, groups in allowed.kinds
    ]
    for option, limit, measure in (
        ("max_params", allowed.max_params, parameters_of),
        ("max_macs", allowed.max_macs, macs_of),
    ):
        least = min(map(measure, smallest))
        if limit is not None and limit < least:
            raise SpecError(
                f"{option} of {name} must be at least {least:,}, which its smallest network has; got {limit}."
            )


def whole(name: str) -> SearchSpace:
    """The space of everything that a table may hold and a network can be built of."""
    return _resnet(NET_OPTIONS["width"], NET_OPTIONS["depth"], None, None) if name == "nds_resnet" else nds_resnext()


def _is_legal(name: str, allowed: _Allowed, choices: Choices) -> bool:
    return allowed.holds(_stages(name, choices))


# -- what an architecture is ------------------------------------------------------------------------------------------


def stages_of(arch: Architecture) -> tuple[Stage, ...]:
    """The three stages."""
    return _stages(arch.space, arch.choices)


def _stages(name: str, choices: Choices) -> tuple[Stage, ...]:
    options = OPTIONS[name]
    values = [known[int(choice)] for known, choice in zip([*options.values()] * STAGES, choices, strict=True)]
    return tuple(Stage(*values[start : start + len(options)]) for start in range(0, len(values), len(options)))


def parameters_of(stages: Sequence[Stage], classes: int = 10) -> int:
    """Trainable parameters of the network, by its closed form."""
    total, inputs = 9 * 3 * STEM_WIDTH + 2 * STEM_WIDTH, STEM_WIDTH
    for stage, stride in zip(stages, STRIDES, strict=True):
        for block in range(stage.depth):
            weights, normalised = _convolutions(stage, inputs, stride if block == 0 else 1)
            total += sum(weight for weight, _ in weights) + 2 * normalised
            inputs = stage.width
    return total + (inputs + 1) * classes


def macs_of(stages: Sequence[Stage], classes: int = 10) -> int:
    """Multiply-accumulates of the convolutions and of the classifier for one 32×32 image, by their closed form."""
    side, inputs = SIDE, STEM_WIDTH
    total = 9 * 3 * STEM_WIDTH * side**2
    for stage, stride in zip(stages, STRIDES, strict=True):
        for block in range(stage.depth):
            step = stride if block == 0 else 1
            weights, _ = _convolutions(stage, inputs, step)
            # The first convolution of a bottleneck still sees the larger image.
            total += sum(weight * (side if early else side // step) ** 2 for weight, early in weights)
            side, inputs = side // step, stage.width
    return total + inputs * classes


def _convolutions(stage: Stage, inputs: int, stride: int) -> tuple[list[tuple[int, bool]], int]:
    """Weights of each convolution of a block and whether it comes before the stride; normalised channels."""
    width, middle = stage.width, stage.width // stage.ratio if stage.ratio else stage.width
    if stage.ratio:
        weights = [(inputs * middle, True), (9 * middle * middle // stage.groups, False), (middle * width, False)]
        normalised = 2 * middle + width
    else:
        weights = [(9 * inputs * width, False), (9 * width * width, False)]
        normalised = 2 * width
    if inputs != width or stride > 1:
        weights.append((inputs * width, False))
        normalised += width
    return weights, normalised


def draw(arch: Architecture) -> Graph:
    """The chain of stem and blocks; labels say kind, width, ratio and groups, and "s2" where the image halves."""
    labels = ["input", f"stem_{STEM_WIDTH}"]
    for stage, stride in zip(stages_of(arch), STRIDES, strict=True):
        kind = f"bottleneck_{stage.width}_r{stage.ratio}_g{stage.groups}" if stage.ratio else f"residual_{stage.width}"
        labels += [f"{kind}_s{stride}" if block == 0 and stride > 1 else kind for block in range(stage.depth)]
    labels.append("output")
    return Graph(tuple(labels), frozenset((node, node + 1) for node in range(len(labels) - 1)))


# -- text -------------------------------------------------------------------------------------------------------------


def read(name: str, text: str) -> Architecture:
    """The network of an object `net` of the published files."""
    return read_net(name, parsed(name, text))


def write(arch: Architecture) -> str:
    """The published object of a network, on one line."""
    stages = stages_of(arch)
    grouped = any(stage.ratio for stage in stages)
    net: dict[str, object] = {
        "block_type": BLOCKS[arch.space],
        "bot_muls": [0.0, *(1 / stage.ratio for stage in stages)] if grouped else [],
        "ds": [1, *(stage.depth for stage in stages)],
        "num_gs": [1, *(stage.groups for stage in stages)] if grouped else [],
        "ss": [1, *STRIDES],
        "ws": [STEM_WIDTH, *(stage.width for stage in stages)],
    }
    return json.dumps(net)


def read_net(name: str, net: object) -> Architecture:
    """The architecture of the object `net` of a record; InvalidArchitecture names the field that cannot be right."""
    if not isinstance(net, Mapping) or net.get("block_type") != BLOCKS[name]:
        kind = net.get("block_type") if isinstance(net, Mapping) else net
        raise InvalidArchitecture(f"block_type: networks of {name} are made of {BLOCKS[name]}; got {quoted(kind)}.")
    grouped = name == "nds_resnext"
    strides = _numbers(net, "ss")
    if strides != [1, *STRIDES]:
        raise InvalidArchitecture(f"ss: the stem and the stages have strides {[1, *STRIDES]}; got {quoted(strides)}.")
    columns = {"depth": _numbers(net, "ds"), "width": _numbers(net, "ws")}
    if (columns["depth"][0], columns["width"][0]) != (1, STEM_WIDTH):
        raise InvalidArchitecture(
            f"ds, ws: networks of {name} begin with one layer of {STEM_WIDTH} channels; got "
            f"{quoted(net['ds'])}, {quoted(net['ws'])}."
        )
    if grouped:
        columns |= {"ratio": _ratios(net), "groups": _numbers(net, "num_gs")}
    elif net.get("bot_muls") or net.get("num_gs"):
        raise InvalidArchitecture(f"bot_muls, num_gs: blocks of {name} have neither; got {quoted(net)}.")
    choices = []
    for stage in range(1, 1 + STAGES):
        for option, known in OPTIONS[name].items():
            value = columns[option][stage]
            if value not in known:
                field = {"depth": "ds", "width": "ws", "ratio": "bot_muls", "groups": "num_gs"}[option]
                raise InvalidArchitecture(f"{field}: a {option} of {name} is none of {_range(known)}: {net[field]}.")
            choices.append(known.index(int(value)))
    arch = Architecture(name, tuple(choices))
    return whole(name).admit(arch)


def _range(known: tuple[int, ...]) -> str:
    return ", ".join(map(str, known)) if len(known) < 10 else f"{known[0]}..{known[-1]}"


def _numbers(net: Mapping[str, object], field: str) -> list[float]:
    values = net.get(field)
    if not isinstance(values, list) or len(values) != 1 + STAGES or not all(type(v) in (int, float) for v in values):
        raise InvalidArchitecture(
            f"{field}: a stem and {STAGES} stages make {1 + STAGES} numbers; got {quoted(values)}."
        )
    return values


def _ratios(net: Mapping[str, object]) -> list[float]:
    """How many times narrower than a block its middle is; 0 for the stem, which has none."""
    return [1 / value if value > 0 and math.isfinite(value) else 0.0 for value in _numbers(net, "bot_muls")]
