"""Networks of DeepNets-1M as graphs of primitive operations, drawn from their design without building the network.

It is the graph that `networks.trace.trace` makes of the network, names of weights included, a hundred times sooner.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.network_graph import NetworkGraph, Node
from ogive.spaces.deepnets import Design, drawn_design, of_design, split_of, stream

__all__ = [
    "ROOM",
    "SIDES",
    "CellPlan",
    "Drawn",
    "drawn",
    "head_side",
    "network_graph",
    "parameters_of",
    "patches",
    "plans",
    "stem_width",
    "two_stems",
]

# The width at which a network is drawn and counted; net_generator.py.
WIDTH = 32
SIDES = {"cifar": 32, "imagenet": 224}
# Stems do not halve smaller images, of which the cells would leave a single pixel.
ROOM = 16
# How often a network is drawn again before something must be wrong: one of two or three is kept.
ATTEMPTS = 1000


@dataclass(frozen=True, slots=True)
class CellPlan:
    """What of a cell has an effect on the output.

    `nodes` holds for each node the operations, with the states that they read; `joined` the states that make the
    output, None for one of zeros; `inputs` are the widths of both inputs, None for one that nobody reads, `halved`
    whether the first is to be brought to half its size.
    """

    place: int
    nodes: tuple[tuple[tuple[str, int], ...], ...]
    joined: tuple[int | None, ...]
    inputs: tuple[int | None, int | None]
    channels: int
    reduction: bool
    halved: bool


@dataclass(frozen=True, slots=True)
class Drawn:
    """A network of a split: its architecture, its graph at the width of 32, and its parameters there."""

    arch: Architecture
    graph: NetworkGraph
    parameters: int


def drawn(split: str, number: int, seed: int) -> Drawn:
    """Network `number` of a split, whatever the others are; UnknownName for another split."""
    rules, rng = split_of(split), stream(split, number, seed)
    for _ in range(ATTEMPTS):
        design = drawn_design(split, rng)
        if design is None:
            continue
        graph = network_graph(design)
        count = parameters_of(graph)
        if count > rules.parameters or not _fits_imagenet(design, count, rules.parameters):
            continue
        return Drawn(of_design(design, nodes=rules.nodes), graph, count)
    raise SpecError(f"{ATTEMPTS} draws gave no network {number} of the split {split}.")


def parameters_of(graph: NetworkGraph) -> int:
    """How many numbers the nodes learn."""
    return sum(math.prod(node.shape) * len(node.parameters) for node in graph.nodes if node.parameters)


def _fits_imagenet(design: Design, count: int, most: float) -> bool:
    # With a pooled head it has less than 0.1 million more for images of ImageNet.
    if design.pooled and count < most - 1e5:
        return True
    return parameters_of(network_graph(design, style="imagenet")) <= most


def stem_width(design: Design, channels: int, style: str) -> int:
    """The width of what the first cell reads."""
    tripled = design.stem == "simple" and design.projected and style == "cifar" and not design.transformer
    return 3 * channels if tripled else channels


def patches(side: int, style: str) -> int:
    """How many patches a side is cut into."""
    return (side - 1) // 3 + 1 if style == "cifar" else side // 16


def head_side(design: Design, side: int, style: str) -> int:
    """The side of the maps that a flat head reads."""
    halvings = len(design.reductions()) + (side >= ROOM and (design.stem == "imagenet" or design.stem_pool))
    halvings += 2 if style == "imagenet" else 0
    for _ in range(halvings):
        side = (side + 1) // 2
    return side


def plans(design: Design, channels: int, style: str, side: int) -> list[CellPlan]:
    """The cells that have an effect on the output, in order; the last of them is the last cell."""
    reductions, arrived = set(design.reductions()), design.alive()
    made: list[CellPlan] = []
    widths = [stem_width(design, channels, style)] * 2
    sizes = []
    for place in range(design.cells):
        channels = channels * design.widening if place in reductions else channels
        sizes.append((widths[-2], widths[-1], channels))
        widths.append(len(design.concat) * channels)
    needed = {design.cells - 1}
    for place in reversed(range(design.cells)):
        if place not in needed:
            continue
        reduction = place in reductions
        halved = not design.transformer and (
            place - 1 in reductions if place else design.stem == "imagenet" and side >= ROOM
        )
        plan = _plan(design, place, sizes[place], arrived[place], reduction, halved)
        needed |= {place - 2 + which for which in (0, 1) if plan.inputs[which] is not None}
        made.append(plan)
    return made[::-1]


def two_stems(design: Design, made: Sequence[CellPlan]) -> bool:
    """Whether a second stem is there and read: by the first cell as its second input, or by the second as its first."""
    read = any(plan.place < 2 and plan.inputs[1 - plan.place] is not None for plan in made)
    return read and design.stem == "imagenet" and not design.transformer


def _plan(
    design: Design,
    place: int,
    size: tuple[int, int, int],
    arrived: tuple[bool, bool],
    reduction: bool,
    halved: bool,
) -> CellPlan:
    cell = design.cell(reduction)
    pairs = [cell[2 * node : 2 * node + 2] for node in range(design.nodes)]
    there = list(arrived)
    for pair in pairs:
        there.append(any(op != "none" and there[state] for op, state in pair))
    read = {state for state in design.concat if there[state]}
    nodes: list[tuple[tuple[str, int], ...]] = [()] * len(pairs)
    for node in reversed(range(len(pairs))):
        if node + 2 in read:
            nodes[node] = tuple((op, state) for op, state in pairs[node] if op != "none" and there[state])
            read |= {state for _, state in nodes[node]}
    joined = tuple(state if there[state] else None for state in design.concat)
    inputs = (size[0] if 0 in read else None, size[1] if 1 in read else None)
    return CellPlan(place, tuple(nodes), joined, inputs, size[2], reduction, halved)


def network_graph(
    design: Design, *, channels: int = WIDTH, classes: int = 10, inputs: int = 3, style: str = "cifar", side: int = 0
) -> NetworkGraph:
    """The graph of the network of a design, of a width, for images of a side, by default that of the style."""
    side = side or SIDES[style]
    sketch = _Sketch(design.normalised)
    made = plans(design, channels, style, side)
    outputs = {-2: _first_stem(sketch, design, channels, inputs, style, side)}
    outputs[-1] = outputs[-2]
    if two_stems(design, made):
        x = sketch.weight("conv", outputs[-2], "stem1.1", channels, channels, 3, 3)
        outputs[-1] = sketch.norm(x, "stem1.2", channels)
    for plan in made:
        outputs[plan.place] = _cell(sketch, plan, design, outputs)
    last, width = outputs[design.cells - 1], len(design.concat) * made[-1].channels
    if design.pooled:
        last = sketch.add("glob_avg", (last,))
    else:
        width *= head_side(design, side, style) ** 2
    name = "classifier.0"
    if design.layers > 1:
        last = sketch.linear(last, name, width, design.hidden)
        name, width = "classifier.3", design.hidden
    sketch.linear(last, name, width, classes)
    return NetworkGraph.of(sketch.nodes, sketch.edges)


class _Sketch:
    """Nodes and edges of a network that is drawn operation after operation; each function returns the last node."""

    def __init__(self, normalised: bool) -> None:
        self.nodes: list[Node] = [Node("input")]
        self.edges: list[tuple[int, int]] = []
        self.normalised = normalised

    def add(
        self, op: str, reads: tuple[int, ...], parameters: tuple[str, ...] = (), shape: tuple[int, ...] = ()
    ) -> int:
        self.nodes.append(Node(op, parameters, shape))
        place = len(self.nodes) - 1
        self.edges.extend((source, place) for source in reads)
        return place

    def joined(self, op: str, reads: tuple[int, ...]) -> int:
        """A sum or a concatenation, which is none of a single tensor."""
        return self.add(op, reads) if len(set(reads)) > 1 else reads[0]

    def weight(self, op: str, x: int, name: str, *shape: int) -> int:
        return self.add(op, (x,), (f"{name}.weight",), shape)

    def norm(self, x: int, name: str, width: int) -> int:
        return self.add("bn", (x,), (f"{name}.weight", f"{name}.bias"), (width,)) if self.normalised else x

    def linear(self, x: int, name: str, inputs: int, outputs: int) -> int:
        weighted = self.weight("conv", x, name, outputs, inputs)
        return self.add("bias", (weighted,), (f"{name}.bias",), (outputs,))

    def pool(self, op: str, x: int) -> int:
        return self.add(op, (x,), shape=(1, 1, 3, 3))

    def layer_norm(self, x: int, name: str, width: int) -> int:
        return self.add("ln", (x,), (f"{name}.weight", f"{name}.bias"), (width,))

    def convolved(self, x: int, name: str, inputs: int, outputs: int, kernel: int = 1) -> int:
        """ReLU, convolution, normalisation."""
        x = self.weight("conv", x, f"{name}.1", outputs, inputs, kernel, kernel)
        return self.norm(x, f"{name}.2", outputs)

    def factorized(self, x: int, name: str, inputs: int, outputs: int) -> int:
        halves = (outputs // 2, outputs - outputs // 2)
        parts = tuple(
            self.weight("conv", x, f"{name}.conv_{n}", half, inputs, 1, 1) for n, half in enumerate(halves, 1)
        )
        return self.norm(self.joined("concat", parts), f"{name}.bn", outputs)

    def depthwise(self, op: str, x: int, name: str, place: int, width: int, kernel: int) -> int:
        """Depthwise convolution, 1×1 convolution, normalisation, from a place of a sequence on."""
        x = self.weight(op, x, f"{name}.{place}", width, 1, kernel, kernel)
        x = self.weight("conv", x, f"{name}.{place + 1}", width, width, 1, 1)
        return self.norm(x, f"{name}.{place + 2}", width)


def _first_stem(sketch: _Sketch, design: Design, channels: int, inputs: int, style: str, side: int) -> int:
    kernel = design.kernel
    if design.transformer:
        patch = 3 if style == "cifar" else 16
        x = sketch.weight("conv", 0, "stem0.0", channels, inputs, patch, patch)
        grid = patches(side, style)
        return sketch.add("sum", (x, sketch.add("pos_enc", (), ("stem0.1.weight",), (1, channels, grid, grid))))
    if design.stem == "simple":
        width = stem_width(design, channels, style)
        x = sketch.norm(sketch.weight("conv", 0, "stem0.0", width, inputs, kernel, kernel), "stem0.1", width)
        return sketch.pool("max_pool", x) if design.stem_pool else x
    half = channels // 2
    x = sketch.norm(sketch.weight("conv", 0, "stem0.0", half, inputs, kernel, kernel), "stem0.1", half)
    return sketch.norm(sketch.weight("conv", x, "stem0.3", channels, half, 3, 3), "stem0.4", channels)


def _cell(sketch: _Sketch, plan: CellPlan, design: Design, outputs: dict[int, int]) -> int:
    prefix, channels = f"cells.{plan.place}", plan.channels
    states: list[int | None] = []
    for which, width in enumerate(plan.inputs):
        if width is None:
            states.append(None)
            continue
        x = outputs[plan.place - 2 + which]
        name = f"{prefix}.preprocess{which}"
        if design.projected and which == 0 and plan.halved:
            x = sketch.factorized(x, name, width, channels)
        elif design.projected:
            x = sketch.convolved(x, name, width, channels)
        states.append(x)
    number = itertools.count()
    for node in plan.nodes:
        terms = tuple(
            _operation(sketch, op, states[state] or 0, f"{prefix}.operations.{next(number)}", channels, stride)
            for op, state in node
            for stride in (2 if plan.reduction and state < 2 and not design.transformer else 1,)
        )
        states.append(sketch.joined("sum", terms) if terms else None)
    return sketch.joined("concat", tuple(found for s in plan.joined if s is not None for found in [states[s] or 0]))


def _operation(sketch: _Sketch, op: str, x: int, name: str, width: int, stride: int) -> int:
    if op == "skip_connect":
        return x if stride == 1 else sketch.factorized(x, name, width, width)
    if op.endswith("_pool_3x3"):
        return sketch.pool(op[:8], x)
    if op == "msa":
        return _transformer(sketch, x, name, width)
    if op == "cse":
        inner = sketch.linear(x, f"{name}.fc1", width, width // 2)
        return sketch.add("cse", (x, sketch.linear(inner, f"{name}.fc2", width // 2, width)))
    if op == "conv_7x1_1x7":
        x = sketch.weight("conv", x, f"{name}.1", width, width, 1, 7)
        return sketch.norm(sketch.weight("conv", x, f"{name}.2", width, width, 7, 1), f"{name}.3", width)
    kernel = int(op[-1])
    if op.startswith("sep_conv"):
        x = sketch.depthwise("sep_conv", x, name, 1, width, kernel)
        return sketch.depthwise("sep_conv", x, name, 5, width, kernel)
    if op.startswith("dil_conv"):
        return sketch.depthwise("dil_conv", x, name, 1, width, kernel)
    return sketch.convolved(x, name, width, width, kernel)


def _transformer(sketch: _Sketch, x: int, name: str, width: int) -> int:
    inner = sketch.layer_norm(x, f"{name}.norm1", width)
    inner = sketch.weight("conv", inner, f"{name}.to_qkv", 3 * width, width)
    inner = sketch.linear(sketch.add("msa", (inner,)), f"{name}.to_out", width, width)
    x = sketch.add("sum", (inner, x))
    inner = sketch.linear(sketch.layer_norm(x, f"{name}.norm2", width), f"{name}.fc1", width, width)
    return sketch.add("sum", (sketch.linear(inner, f"{name}.fc2", width, width), x))
