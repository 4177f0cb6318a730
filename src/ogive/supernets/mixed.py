"""A cell in which every edge holds several operations at once, weighed by a gate.

What several edges make of the same state is made once: the ReLU that convolutions begin with, and operations without
parameters, such as pooling. The operation `none` is not computed at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.networks.ops import FactorizedReduce
from ogive.supernets.gates import Mix
from ogive.supernets.kernels import (
    corners,
    depthwise,
    interleaved,
    is_depthwise,
    is_fast,
    is_pointwise,
    normalised_depthwise,
    phases,
    pointwise,
)
from ogive.supernets.plan import CellChoices, Plan

__all__ = ["MixedCell", "normalised"]

NONE = "none"


class Seen:
    """A state of a cell, with what its readers have made of it so far."""

    def __init__(self, x: Tensor) -> None:
        self.x = x
        self._made: dict[str, Tensor] = {}
        self._corners: tuple[Tensor, Tensor] | None = None

    @property
    def relu(self) -> Tensor:
        """max(x, 0)."""
        return self.once("relu", lambda: F.relu(self.x))

    @property
    def relu_phases(self) -> Tensor:
        """The same, as the four images of every second pixel."""
        return self.once("phases", lambda: phases(self.relu))

    @property
    def relu_corners(self) -> tuple[Tensor, Tensor]:
        """The same, the even pixels of even rows, and the odd ones of odd rows."""
        if self._corners is None:
            self._corners = corners(self.relu)
        return self._corners

    def once(self, name: str, function: Callable[[], Tensor]) -> Tensor:
        """What the function returns, computed for the first who asks."""
        if name not in self._made:
            self._made[name] = function()
        return self._made[name]


class Sum:
    """A sum that grows in place from its second term on: the first may belong to somebody else."""

    def __init__(self) -> None:
        self.value: Tensor | None = None
        self._own = False

    def add(self, term: Tensor) -> None:
        """Add a term."""
        if self.value is None:
            self.value = term
        elif self._own:
            self.value = self.value.add_(term)
        else:
            self.value, self._own = self.value + term, True


class Total:
    """A sum of what edges bring; some bring the four images of every second pixel, which are put together once."""

    def __init__(self) -> None:
        self._images = Sum()
        self._phases = Sum()

    def add(self, term: Tensor) -> None:
        """Add an image."""
        self._images.add(term)

    def add_phases(self, term: Tensor) -> None:
        """Add an image that is in phases."""
        self._phases.add(term)

    def value(self) -> Tensor | None:
        """The sum; None if nothing was added."""
        if self._phases.value is not None:
            self._images.add(interleaved(self._phases.value))
            self._phases = Sum()
        return self._images.value


class MixedCell(nn.Module):
    """The edges of a cell; the output of a node is the sum over its edges.

    `choices` are the operations of each edge. With one, an edge has no gate and its factor is 1; without any it is
    absent. `partial` sends only 1/partial of the channels through the operations of an edge with a choice and the rest
    past them, and shuffles the channels (Xu et al., "PC-DARTS", ICLR 2020). `strides` are those of the
    edges.
    """

    def __init__(
        self, plan: Plan, choices: CellChoices, channels: int, strides: Sequence[int], partial: int = 1
    ) -> None:
        super().__init__()
        if channels % partial:
            raise SpecError(f"1/{partial} of the channels must be a whole number, but a cell has {channels} of them.")
        self.plan, self.strides, self.partial = plan, tuple(strides), partial
        self.choices = choices
        # Fixed when the cell is made: a restricted copy of the cell computes what the cell computes.
        self.is_partial = tuple(partial > 1 and len(row) > 1 for row in choices)
        self.operations = nn.ModuleList()
        self.shared = nn.ModuleDict()
        for edge, row in enumerate(choices):
            width = channels // partial if self.is_partial[edge] else channels
            self.operations.append(self._made(edge, row, width))
        self.keep(choices)

    def _made(self, edge: int, row: tuple[int, ...], width: int) -> nn.ModuleDict:
        own = nn.ModuleDict()
        for name in (self.plan.operations[op] for op in row):
            if name == NONE:
                continue
            module = self.plan.make(name, width, self.strides[edge])
            if any(True for _ in module.parameters()):
                own[name] = module
            elif (key := self._shared_key(edge, name)) not in self.shared:
                self.shared[key] = module
        return own

    def _own(self, edge: int) -> nn.ModuleDict:
        """The operations of an edge that have parameters, by name."""
        return cast(nn.ModuleDict, self.operations[edge])

    def _shared_key(self, edge: int, name: str) -> str:
        return f"{self.plan.edges[edge][0]}_{'part' if self.is_partial[edge] else 'whole'}_{name}"

    def keep(self, choices: CellChoices) -> None:
        """Forget the operations that are not among the choices; what is left is computed as before."""
        for edge, (before, now) in enumerate(zip(self.choices, choices, strict=True)):
            if not set(now) <= set(before):
                raise SpecError(f"Edge {edge} of the cell has the operations {before}, but {now} were asked for.")
        for owner, name in self._left_out(choices):
            del owner[name]
        self.choices = choices
        opened = [edge for edge, row in enumerate(choices) if len(row) > 1]
        self.row_of_edge = {edge: row for row, edge in enumerate(opened)}

    def left_out(self, choices: CellChoices) -> list[nn.Module]:
        """The operations that `keep` would forget."""
        return [owner[name] for owner, name in self._left_out(choices)]

    def _left_out(self, choices: CellChoices) -> list[tuple[nn.ModuleDict, str]]:
        found = []
        for edge, row in enumerate(choices):
            own, kept = self._own(edge), {self.plan.operations[op] for op in row}
            found += [(own, name) for name in own if name not in kept]
        used = {self._shared_key(edge, self.plan.operations[op]) for edge, row in enumerate(choices) for op in row}
        return found + [(self.shared, key) for key in self.shared if key not in used]

    def forward(self, inputs: Sequence[Tensor], mix: Mix | None = None) -> list[Tensor]:
        """The nodes of the cell; `mix` may be None where no edge has a choice."""
        if mix is None and self.row_of_edge:
            raise SpecError(
                f"{len(self.row_of_edge)} edges of the cell have a choice, so it needs a mix of operations."
            )
        whole = [Seen(x) for x in inputs]
        parts: list[Seen | None] = [None] * len(whole)
        for target in range(len(inputs), 1 + max(target for _, target in self.plan.edges)):
            total = Total()
            for edge, (source, end) in enumerate(self.plan.edges):
                if end == target:
                    self._add_edge(total, edge, whole[source], parts, mix)
            node = total.value()
            whole.append(Seen(self._zeros(whole[0].x) if node is None else node))
            parts.append(None)
        return [seen.x for seen in whole[len(inputs) :]]

    def _add_edge(self, total: Total, edge: int, whole: Seen, parts: list[Seen | None], mix: Mix | None) -> None:
        factor = None if mix is None or mix.edges is None else mix.edges[edge]
        if not self.is_partial[edge] and factor is None:
            self._mix(total, edge, whole, mix)
            return
        if not self.is_partial[edge]:
            own = self._mixed(edge, whole, mix)
            if own is not None and factor is not None:
                total.add(own * factor)
            return
        source, width = self.plan.edges[edge][0], whole.x.shape[1] // self.partial
        part = parts[source]
        if part is None:
            part = parts[source] = Seen(_laid_out(whole.x[:, :width], whole.x))
        past = whole.x[:, width:]
        if self.strides[edge] > 1:
            past = whole.once("past", lambda: F.max_pool2d(whole.x[:, width:], 2, 2, ceil_mode=True))
        own = self._mixed(edge, part, mix)
        own = past.new_zeros(past.shape[0], width, *past.shape[2:]) if own is None else own
        shuffled = _laid_out(_shuffled(torch.cat([own, past], dim=1), self.partial), whole.x)
        total.add(shuffled if factor is None else shuffled * factor)

    def _mixed(self, edge: int, seen: Seen, mix: Mix | None) -> Tensor | None:
        """The output of an edge; None if nothing is computed."""
        total = Total()
        self._mix(total, edge, seen, mix)
        return total.value()

    def _mix(self, total: Total, edge: int, seen: Seen, mix: Mix | None) -> None:
        """Add the operations of an edge."""
        row = self.row_of_edge.get(edge)
        running = self.choices[edge]
        factors = None
        if row is not None and mix is not None:
            running = running if mix.active is None else mix.active[row]
            factors = None if mix.factors is None else mix.factors[row]
        for op in running:
            name = self.plan.operations[op]
            if name != NONE:
                self._run(total, edge, name, seen, None if factors is None else factors[op])
        if row is not None and mix is not None and mix.offsets is not None:
            total.add(self._zeros(seen.x, self.strides[edge]) + mix.offsets[row])

    def _run(self, total: Total, edge: int, name: str, seen: Seen, factor: Tensor | None) -> None:
        own = self._own(edge)
        if name in own:
            add_weighed(total, own[name], seen, factor)
            return
        shared = self.shared[self._shared_key(edge, name)]
        made = seen.once(name, lambda: shared(seen.x))
        total.add(made if factor is None else made * factor)

    def _zeros(self, x: Tensor, stride: int | None = None) -> Tensor:
        """What a node without any input holds, or an edge that computes nothing."""
        step = self.strides[0] if stride is None else stride
        return torch.zeros_like(x[:, :, ::step, ::step])


def add_weighed(total: Total, module: nn.Module, seen: Seen, factor: Tensor | None) -> None:
    """Add an operation of a state, times a factor, to a total.

    A ReLU that comes first is shared with other operations, and the factor is left to a normalisation without weights
    that comes last, which costs nothing there. Dilated convolutions are computed on every second pixel, and reductions
    of one state share the pixels that they read.
    """
    if isinstance(module, FactorizedReduce) and is_fast(seen.x) and _is_even(seen.x) and not module.bn.affine:
        convolutions = (module.conv_1, module.conv_2)
        halves = [pointwise(x, layer.weight) for x, layer in zip(seen.relu_corners, convolutions, strict=True)]
        total.add(normalised(module.bn, torch.cat(halves, dim=1), factor))
        return
    if not isinstance(module, nn.Sequential):
        made: Tensor = module(seen.x)
        total.add(made if factor is None else made * factor)
        return
    layers = list(module)
    last = layers.pop() if isinstance(layers[-1], nn.BatchNorm2d) and not layers[-1].affine else None
    starts_with_relu = type(layers[0]) is nn.ReLU
    fast = starts_with_relu and is_fast(seen.x)
    layers = layers[1:] if starts_with_relu else layers
    step = _dilated_stride(layers[0], seen.x) if fast else 0
    if step:
        kernel = cast(Tensor, layers[0].weight)
        x = depthwise(seen.relu_phases if step == 1 else seen.relu_corners[0], kernel)
        layers = layers[1:]
    else:
        x = seen.relu if starts_with_relu else seen.x
    x = _through(layers, x, fast)
    if last is not None:
        x = normalised(cast(nn.BatchNorm2d, last), x, factor)
    elif factor is not None:
        x = x * factor
    if step == 1:
        total.add_phases(x)
    else:
        total.add(x)


def _dilated_stride(layer: nn.Module, x: Tensor) -> int:
    """The stride, 1 or 2, of a convolution of dilation 2 that can be computed on every second pixel; 0 if it cannot."""
    if not is_depthwise(layer) or layer.dilation != (2, 2):
        return 0
    if layer.stride == (1, 1):
        return 1 if _is_even(x) else 0
    return 2 if layer.stride == (2, 2) else 0


def _is_even(x: Tensor) -> bool:
    return x.shape[2] % 2 == 0 and x.shape[3] % 2 == 0


def _through(layers: Sequence[nn.Module], x: Tensor, fast: bool) -> Tensor:
    """The layers one after the other, some of them by faster kernels."""
    place = 0
    while place < len(layers):
        layer = layers[place]
        if fast and is_depthwise(layer):
            convolution = cast(nn.Conv2d, layer)
            x = depthwise(x, convolution.weight, convolution.stride[0], convolution.dilation[0])
        elif fast and _is_normalised_depthwise(layers[place : place + 3]):
            x = normalised_depthwise(x, cast(nn.BatchNorm2d, layer), cast(Tensor, layers[place + 2].weight))
            place += 2
        elif fast and is_pointwise(layer):
            x = pointwise(x, cast(Tensor, layer.weight))
        else:
            x = layer(x)
        place += 1
    return x


def _is_normalised_depthwise(layers: Sequence[nn.Module]) -> bool:
    """Whether these are a normalisation by the batch without weights, a ReLU and a depthwise convolution."""
    if len(layers) < 3 or type(layers[0]) is not nn.BatchNorm2d or type(layers[1]) is not nn.ReLU:
        return False
    norm, convolution = layers[0], layers[2]
    by_batch = norm.training or norm.running_mean is None
    plain = is_depthwise(convolution) and convolution.stride == (1, 1) and convolution.dilation == (1, 1)
    return by_batch and not norm.affine and plain


def normalised(norm: nn.BatchNorm2d, x: Tensor, factor: Tensor | None) -> Tensor:
    """The batch normalisation, whose weights are all equal to the factor."""
    by_batch = norm.training or norm.running_mean is None
    if norm.training and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    return F.batch_norm(
        x,
        norm.running_mean,
        norm.running_var,
        # Contiguous, because torch reads the weights of images in channels_last without a look at their stride.
        None if factor is None else factor.expand(x.shape[1]).contiguous(),
        None,
        by_batch,
        0.1 if norm.momentum is None else norm.momentum,
        norm.eps,
    )


def _laid_out(x: Tensor, like: Tensor) -> Tensor:
    """The tensor without gaps, its pixels in the order of another."""
    if like.is_contiguous(memory_format=torch.channels_last):
        return x.contiguous(memory_format=torch.channels_last)
    return x.contiguous()


def _shuffled(x_NCHW: Tensor, groups: int) -> Tensor:
    """The channels dealt out to `groups` hands and collected hand by hand, as ShuffleNet does."""
    N, C, H, W = x_NCHW.shape
    return x_NCHW.view(N, groups, C // groups, H, W).transpose(1, 2).reshape(N, C, H, W)
