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
from ogive.supernets.gates import Mix
from ogive.supernets.plan import CellChoices, Plan

__all__ = ["MixedCell", "normalised", "without_statistics"]

NONE = "none"


class Seen:
    """A state of a cell, with what its readers have made of it so far."""

    def __init__(self, x: Tensor) -> None:
        self.x = x
        self._made: dict[str, Tensor] = {}

    @property
    def relu(self) -> Tensor:
        """max(x, 0)."""
        return self.once("relu", F.relu)

    def once(self, name: str, function: Callable[[Tensor], Tensor]) -> Tensor:
        """The function of the state, computed for the first who asks."""
        if name not in self._made:
            self._made[name] = function(self.x)
        return self._made[name]


class MixedCell(nn.Module):
    """The edges of a cell; the output of a node is the sum over its edges.

    `choices` are the operations of each edge. With one, an edge has no gate and its factor is 1; without any it is
    absent. `partial` sends only 1/partial of the channels through the operations of an edge with a choice and the rest
    past them, and shuffles the channels (Xu et al., "PC-DARTS", ICLR 2020, section 3.1). `strides` are those of the
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
            own = self._own(edge)
            for name in list(own):
                if self.plan.operations.index(name) not in now:
                    del own[name]
        self.choices = choices
        opened = [edge for edge, row in enumerate(choices) if len(row) > 1]
        self.row_of_edge = {edge: row for row, edge in enumerate(opened)}
        used = {self._shared_key(edge, self.plan.operations[op]) for edge, row in enumerate(choices) for op in row}
        for key in list(self.shared):
            if key not in used:
                del self.shared[key]

    def forward(self, inputs: Sequence[Tensor], mix: Mix | None = None) -> list[Tensor]:
        """The nodes of the cell; `mix` may be None where no edge has a choice."""
        if mix is None and self.row_of_edge:
            raise SpecError(
                f"{len(self.row_of_edge)} edges of the cell have a choice, so it needs a mix of operations."
            )
        whole = [Seen(x) for x in inputs]
        parts: list[Seen | None] = [None] * len(whole)
        for target in range(len(inputs), 1 + max(target for _, target in self.plan.edges)):
            total: Tensor | None = None
            for edge, (source, end) in enumerate(self.plan.edges):
                if end == target:
                    total = self._add_edge(total, edge, whole[source], parts, mix)
            whole.append(Seen(self._zeros(whole[0].x) if total is None else total))
            parts.append(None)
        return [seen.x for seen in whole[len(inputs) :]]

    def _add_edge(
        self, total: Tensor | None, edge: int, whole: Seen, parts: list[Seen | None], mix: Mix | None
    ) -> Tensor | None:
        factor = None if mix is None or mix.edges is None else mix.edges[edge]
        if not self.is_partial[edge] and factor is None:
            return self._mixed(total, edge, whole, mix)
        if not self.is_partial[edge]:
            own = self._mixed(None, edge, whole, mix)
            return _sum(total, None if own is None or factor is None else own * factor)
        source, width = self.plan.edges[edge][0], whole.x.shape[1] // self.partial
        part = parts[source]
        if part is None:
            part = parts[source] = Seen(whole.x[:, :width].contiguous())
        past = whole.x[:, width:]
        if self.strides[edge] > 1:
            past = whole.once("past", lambda x: F.max_pool2d(x[:, width:], 2, 2, ceil_mode=True))
        own = self._mixed(None, edge, part, mix)
        own = past.new_zeros(past.shape[0], width, *past.shape[2:]) if own is None else own
        shuffled = _shuffled(torch.cat([own, past], dim=1), self.partial)
        return _sum(total, shuffled if factor is None else shuffled * factor)

    def _mixed(self, total: Tensor | None, edge: int, seen: Seen, mix: Mix | None) -> Tensor | None:
        """The total and the operations of an edge; None if nothing has been computed."""
        row = self.row_of_edge.get(edge)
        running = self.choices[edge]
        factors = None
        if row is not None and mix is not None:
            running = running if mix.active is None else mix.active[row]
            factors = None if mix.factors is None else mix.factors[row]
        for op in running:
            name = self.plan.operations[op]
            if name != NONE:
                total = _sum(total, self._run(edge, name, seen, None if factors is None else factors[op]))
        if row is not None and mix is not None and mix.offsets is not None:
            offset = mix.offsets[row]
            total = self._zeros(seen.x, self.strides[edge]) + offset if total is None else total + offset
        return total

    def _run(self, edge: int, name: str, seen: Seen, factor: Tensor | None) -> Tensor:
        own = self._own(edge)
        if name in own:
            return weighed(own[name], seen, factor)
        made = seen.once(name, self.shared[self._shared_key(edge, name)])
        return made if factor is None else made * factor

    def _zeros(self, x: Tensor, stride: int | None = None) -> Tensor:
        """What a node without any input holds, or an edge that computes nothing."""
        step = self.strides[0] if stride is None else stride
        return torch.zeros_like(x[:, :, ::step, ::step])


def weighed(module: nn.Module, seen: Seen, factor: Tensor | None) -> Tensor:
    """An operation of a state, times a factor.

    A ReLU that comes first is shared with other operations, and the factor is left to a normalisation without weights
    that comes last, which costs nothing there.
    """
    if not isinstance(module, nn.Sequential):
        made: Tensor = module(seen.x)
        return made if factor is None else made * factor
    layers = list(module)
    x = seen.x
    if type(layers[0]) is nn.ReLU:
        x = seen.relu
        layers = layers[1:]
    last = layers[-1]
    if not isinstance(last, nn.BatchNorm2d) or last.affine:
        made = _through(layers, x)
        return made if factor is None else made * factor
    return normalised(last, _through(layers[:-1], x), factor)


def _through(layers: Sequence[nn.Module], x: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x


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


def without_statistics(module: nn.Module) -> None:
    """Let the batch normalisations of a module use the statistics of each batch, in evaluation too."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.track_running_stats = False
            norm.running_mean = norm.running_var = norm.num_batches_tracked = None


def _sum(total: Tensor | None, term: Tensor | None) -> Tensor | None:
    if total is None or term is None:
        return term if total is None else total
    return total + term


def _shuffled(x_NCHW: Tensor, groups: int) -> Tensor:
    """The channels dealt out to `groups` hands and collected hand by hand, as ShuffleNet does."""
    N, C, H, W = x_NCHW.shape
    return x_NCHW.view(N, groups, C // groups, H, W).transpose(1, 2).reshape(N, C, H, W)
