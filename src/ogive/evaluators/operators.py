"""Tables of operators: milliseconds of every layer that networks are made of, whose sum tells a network's latency.

A key says what a layer is, as published tables write it (Once-for-all, NSGANetV2, ProxylessNAS):
``MBConv-input:56x56x24-output:28x28x40-expand:6-kernel:3-stride:2-idskip:0-se:1``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import spearmanr
from torch import nn

from ogive.core.architecture import Architecture
from ogive.core.errors import MissingData, SpecError, StoreError, in_line, quoted, shortened
from ogive.core.rng import Seed
from ogive.documents import read_json
from ogive.evaluators.timing import Timing, measure
from ogive.files import write_json
from ogive.networks.build import Skeleton, build, fitted_skeleton
from ogive.networks.count import macs
from ogive.networks.mnasnet import HEAD, STEM, MnasLayer, PlannedLayer, planned
from ogive.networks.mobile import convolution, divisible
from ogive.spaces.mnasnet import NAME, OPTIONS, REFERENCE, Block, blocks_of, mnasnet

__all__ = [
    "HeldOut",
    "Operator",
    "OperatorTable",
    "held_out",
    "measured_table",
    "operators_of",
    "operators_of_space",
    "published_tables",
    "write_operator_table",
]

SCHEMA = 1
_FILE = {"schema": int, "name": str, "operators": {...: float}}


@dataclass(frozen=True, slots=True)
class Operator:
    """A layer: its key, the shape (C, H, W) of its input, and what makes it with fresh weights."""

    key: str
    shape: tuple[int, int, int]
    make: Callable[[], nn.Module]


@dataclass(frozen=True, slots=True)
class OperatorTable:
    """Milliseconds of operators by their keys; `name` says whose, and where they were measured."""

    name: str
    operators: Mapping[str, float]

    def estimate(self, keys: Sequence[str]) -> float:
        """The milliseconds of a network of these operators: their sum. MissingData names one that is not there."""
        absent = [key for key in keys if key not in self.operators]
        if absent:
            raise MissingData(f"The operator table {quoted(self.name)} has no {shortened(absent[0], 150)}.")
        return math.fsum(self.operators[key] for key in keys)

    def write(self, path: Path) -> None:
        """As JSON, from which `read` makes it again."""
        write_json(path, {"schema": SCHEMA, "name": self.name, "operators": dict(self.operators)})

    @classmethod
    def read(cls, path: Path) -> OperatorTable:
        """What `write` wrote; StoreError for anything else."""
        try:
            found: dict[str, Any] = read_json(path, _FILE)
        except (OSError, ValueError) as error:
            way = "write one with ogive latency-table"
            raise StoreError(f"{path} is no operator table ({in_line(error)}): {way}.") from None
        return cls(found["name"], {key: float(value) for key, value in found["operators"].items()})


def published_tables(path: Path) -> dict[tuple[str, int], OperatorTable]:
    """The tables of a Parquet file with the columns table, resolution, block and latency_ms, by table and resolution.

    MissingData for a file that is none, or has other columns.
    """
    try:
        from pyarrow import parquet

        rows = parquet.read_table(path, columns=["table", "resolution", "block", "latency_ms"]).to_pylist()
    except ModuleNotFoundError:
        raise MissingData("To read operator tables, pyarrow must be installed: pip install 'ogive[parquet]'.") from None
    except (OSError, ValueError) as error:
        raise MissingData(f"{path} holds no operator tables: {in_line(error)}.") from None
    found: dict[tuple[str, int], dict[str, float]] = {}
    for row in rows:
        name = (str(row["table"]), int(row["resolution"] or 0))
        found.setdefault(name, {})[str(row["block"])] = float(row["latency_ms"])
    return {name: OperatorTable(f"{name[0]} at {name[1]}", operators) for name, operators in found.items()}


def operators_of(arch: Architecture, skeleton: Skeleton, side: int) -> list[Operator]:
    """The layers of a network of mnasnet with this skeleton, for square images of so many pixels a side.

    SpecError for another space, of which operators are not known.
    """
    if arch.space != NAME:
        raise SpecError(f"Operators are known of the networks of {NAME}, not of {quoted(arch.space)}.")
    return list(_operators(blocks_of(mnasnet().admit(arch)), skeleton, side))


def operators_of_space(skeleton: Skeleton, side: int) -> dict[str, Operator]:
    """All layers of all networks of mnasnet, by key."""
    space, found = mnasnet(), dict[str, Operator]()
    widths, wide = range(len(OPTIONS["width"])), len(OPTIONS)
    each = [range(len(options)) for options in OPTIONS.values()]
    usual = [0] * (wide * len(REFERENCE))
    for place in range(len(REFERENCE)):
        for before in widths if place else (0,):
            for choices in itertools.product(*each):
                drawn = list(usual)
                drawn[wide * place : wide * (place + 1)] = choices
                if place:
                    drawn[wide * place - 2] = before
                blocks = blocks_of(Architecture(space.name, tuple(drawn)))
                found |= {one.key: one for one in _operators(blocks, skeleton, side)}
    for before in widths:  # the last block's width is what the head reads
        usual[-2] = before
        blocks = blocks_of(Architecture(space.name, tuple(usual)))
        found |= {one.key: one for one in _operators(blocks, skeleton, side)}
    return found


def measured_table(
    operators: Mapping[str, Operator],
    name: str,
    timing: Timing = Timing(),  # noqa: B008
    *,
    processor: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> OperatorTable:
    """The median milliseconds of each operator on this machine, or if `processor` of the processor's own time."""
    found = {}
    for number, (key, one) in enumerate(operators.items()):
        report = measure(one.make(), one.shape, timing)
        found[key] = report.cpu_ms if processor else report.median_ms
        if progress is not None:
            progress(number + 1, len(operators))
    return OperatorTable(name, found)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """How a table tells networks that were measured whole: Spearman of it and of multiply-accumulates, and its error.

    `error` is the mean of |estimate / measured - 1|, `bias` that of estimate / measured - 1; `count` is how many.
    """

    count: int
    table: float
    macs: float
    error: float
    bias: float


def held_out(
    table: OperatorTable,
    skeleton: Skeleton,
    side: int,
    count: int,
    seed: Seed,
    timing: Timing = Timing(),  # noqa: B008
    *,
    processor: bool = False,
) -> HeldOut:
    """Measure random networks of mnasnet whole, and compare; of fewer than three there is no rank correlation."""
    if count < 3:
        raise SpecError(f"A rank correlation needs three networks at least, but got {count}.")
    space, rng = mnasnet(), seed.numpy("held out")
    archs = [space.sample(rng) for _ in range(count)]
    shape = (skeleton.inputs, side, side)
    measured, products = [], []
    for arch in archs:
        network = build(arch, skeleton, seed=0)
        report = measure(network, shape, timing)
        measured.append(report.cpu_ms if processor else report.median_ms)
        products.append(macs(network, shape))
    estimates = [table.estimate([one.key for one in operators_of(arch, skeleton, side)]) for arch in archs]
    off = [estimate / true - 1 for estimate, true in zip(estimates, measured, strict=True)]
    by_table, by_macs = (float(spearmanr(guess, measured).statistic) for guess in (estimates, products))
    return HeldOut(count, by_table, by_macs, error=math.fsum(map(abs, off)) / count, bias=math.fsum(off) / count)


def write_operator_table(
    shape: tuple[int, int, int],
    out: Path,
    *,
    classes: int = 10,
    channels: int | None = None,
    batch_size: int = 1,
    threads: int = 1,
    seconds: float = 0.5,
    processor: bool = False,
    check: int = 0,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[OperatorTable, HeldOut | None]:
    """Measure all operators of mnasnet into a file, and as many random networks whole as are to be compared."""
    if shape[1] != shape[2] or shape[1] < 1:
        raise SpecError(f"An operator table is one of square images, but got {shape[1]}×{shape[2]} pixels.")
    skeleton = fitted_skeleton(NAME, shape, classes, channels=channels)
    timing = Timing(
        batch_size=batch_size, threads=threads, warm_up_s=seconds / 5, min_seconds=seconds / 5, max_seconds=seconds
    )
    clock = "processor time" if processor else "wall time"
    name = f"{NAME} at {shape[1]}, {skeleton.channels} channels, batch {batch_size}, {threads} threads, {clock}"
    operators = operators_of_space(skeleton, shape[1])
    table = measured_table(operators, name, timing, processor=processor, progress=progress)
    table.write(out)
    compared = None
    if check:
        compared = held_out(table, skeleton, shape[1], check, Seed(seed), timing, processor=processor)
    return table, compared


def _operators(blocks: Sequence[Block], skeleton: Skeleton, side: int) -> Iterator[Operator]:
    multiplier, halved = skeleton.channels / STEM, skeleton.style == "imagenet"
    width, step = divisible(skeleton.channels), 2 if halved else 1
    after = -(-side // step)
    yield Operator(
        f"Conv-input:{_size(side, skeleton.inputs)}-output:{_size(after, width)}",
        (skeleton.inputs, side, side),
        _Convolution(skeleton.inputs, width, 3, step),
    )
    for layer in planned(blocks, width, multiplier, halved):
        before, after = after, -(-after // layer.stride)
        yield Operator(_key(layer, before, after), (layer.inputs, before, before), _Layer(layer))
        width = layer.width
    yield Operator(
        f"Conv_1-input:{_size(after, width)}-output:{_size(after, HEAD)}",
        (width, after, after),
        _Convolution(width, HEAD, 1, 1),
    )
    yield Operator(
        f"Logits-input:{_size(after, HEAD)}-output:{skeleton.classes}", (HEAD, after, after), _Head(skeleton.classes)
    )


@dataclass(frozen=True, slots=True)
class _Layer:
    layer: PlannedLayer

    def __call__(self) -> nn.Module:
        return MnasLayer(*self.layer)


@dataclass(frozen=True, slots=True)
class _Convolution:
    inputs: int
    outputs: int
    kernel: int
    stride: int

    def __call__(self) -> nn.Module:
        return nn.Sequential(*convolution(self.inputs, self.outputs, self.kernel, self.stride, "relu"))


@dataclass(frozen=True, slots=True)
class _Head:
    classes: int

    def __call__(self) -> nn.Module:
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(HEAD, self.classes))


def _key(layer: PlannedLayer, before: int, after: int) -> str:
    """As published for inverted bottlenecks; the kinds that those have not are ours."""
    fits = layer.inputs == layer.width
    skipped = "pool" if layer.skip == "pool" and fits else int(layer.skip == "id" and fits and layer.stride == 1)
    kind, expansion = ("MBConv", layer.op[2:]) if layer.op.startswith("mb") else (layer.op, "1")
    ends = f"input:{_size(before, layer.inputs)}-output:{_size(after, layer.width)}"
    rest = f"expand:{expansion}-kernel:{layer.kernel}-stride:{layer.stride}"
    return f"{kind}-{ends}-{rest}-idskip:{skipped}-se:{int(layer.squeezed > 0)}"


def _size(side: int, channels: int) -> str:
    return f"{side}x{side}x{channels}"
