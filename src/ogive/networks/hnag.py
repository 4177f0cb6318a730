"""Networks of generators: steps that each make a value of earlier ones, between a stem and a head.

Ru et al., "Neural Architecture Generator Optimization", NeurIPS 2020; rubinxin/vega_NAGO. Convolutions have no bias,
and batch normalisation behind each, those that bring values to one width too.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.networks.ops import ConvBN, ReLUConvBN

__all__ = ["GeneratedNetwork"]

# An operation, the values that it reads, and the stages whose width and side its result has.
Step = tuple[str, tuple[int, ...], int, int]
# The stages whose width and side a value has.
Form = tuple[int, int]


def pool(x: Tensor, factor: int) -> Tensor:
    """Means of squares of pixels, of shape (N, C, H / factor, W / factor), rounded up."""
    return x if factor == 1 else F.avg_pool2d(x, factor, ceil_mode=True)


class Pool(nn.Module):
    """Means of squares of pixels, which may reach over the border of an image whose side they do not divide."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, C, H / factor, W / factor), rounded up."""
        return pool(x, self.factor)


class PooledOperation(nn.Module):
    """Means over the pixels of windows that lie inside the image, and then a 1×1 convolution if it is `projected`."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, projected: bool) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(kernel, 1, kernel // 2, count_include_pad=False)
        self.project = ConvBN(inputs, outputs, 1) if projected else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, outputs, H, W)."""
        y: Tensor = self.project(self.pool(x))
        return y


class Together(nn.Module):
    """Several values as one of a width and a side: "sum", "mean", "attention" or "concat".

    "sum" weighs values of its own stage by a sigmoid of a learnt number each, and projects the others; "attention"
    makes of the first, scaled to 0 … 1 over each image, a mask of the sum of the others, beside a learnt share of it.
    `sources` are the stages of width and side of the values, `form` those of the result.
    """

    def __init__(self, kind: str, sources: Sequence[Form], form: Form, widths: Sequence[int]) -> None:
        super().__init__()
        self.kind = kind
        stage, side = form
        self.factors = tuple(2 ** (side - own) for _, own in sources)
        if kind == "concat":
            self.project = ConvBN(sum(widths[own] for own, _ in sources), widths[stage], 1)
            return
        others = {str(place): own for place, (own, _) in enumerate(sources) if own != stage}
        self.projects = nn.ModuleDict({place: ConvBN(widths[own], widths[stage], 1) for place, own in others.items()})
        learnt = {"attention": 1, "sum": len(sources) - len(others), "mean": 0}[kind]
        self.weight = nn.Parameter(torch.ones(learnt)) if learnt else None

    def forward(self, *values: Tensor) -> Tensor:
        """Shape (N, width, H, W)."""
        pooled = [pool(value, factor) for factor, value in zip(self.factors, values, strict=True)]
        if self.kind == "concat":
            joined: Tensor = self.project(torch.cat(pooled, dim=1))
            return joined
        brought = [
            self.projects[str(place)](value) if str(place) in self.projects else value
            for place, value in enumerate(pooled)
        ]
        shares = iter(()) if self.weight is None else iter(torch.sigmoid(self.weight))
        if self.kind == "attention":
            first, others = brought[0], sum(brought[2:], brought[1])
            low, high = first.amin((1, 2, 3), keepdim=True), first.amax((1, 2, 3), keepdim=True)
            attended: Tensor = ((first - low) / (high - low + 1e-5) + next(shares)) * others
            return attended
        if self.kind == "mean":
            mean: Tensor = sum(brought[1:], brought[0]) / len(brought)
            return mean
        terms = [value if str(place) in self.projects else value * next(shares) for place, value in enumerate(brought)]
        total: Tensor = sum(terms[1:], terms[0])
        return total


class GeneratedNetwork(nn.Module):
    """The network of steps, of which the last one makes what the head reads.

    `widths` are those of the stages; each stage has half the side of the one before it. With `large` the stem halves
    the sides of images twice.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        widths: Sequence[int],
        head: int = 1280,
        classes: int = 10,
        inputs: int = 3,
        large: bool = False,
    ) -> None:
        super().__init__()
        steps = tuple((op, tuple(sources), width, side) for op, sources, width, side in steps)
        self.recipe: dict[str, object] = {
            "steps": steps,
            "widths": tuple(widths),
            "head": head,
            "classes": classes,
            "inputs": inputs,
            "large": large,
        }
        self.stem = large_stem(inputs, widths[0]) if large else small_stem(inputs, widths[0])
        self.sources = tuple(sources for _, sources, _, _ in steps)
        forms: list[Form] = [(0, 0), *((width, side) for _, _, width, side in steps)]
        self.steps = nn.ModuleList(
            _module(op, [forms[source] for source in sources], form, widths)
            for (op, sources, *_), form in zip(steps, forms[1:], strict=True)
        )
        last = {source: place for place, sources in enumerate(self.sources, 1) for source in sources}
        self.finished = tuple(
            tuple(sorted({source for source in sources if last[source] == place}))
            for place, sources in enumerate(self.sources, 1)
        )
        self.head = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(widths[steps[-1][2]], head, 1, bias=False),
            nn.BatchNorm2d(head),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(0.2),
        )
        self.classifier = nn.Linear(head, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of images (N, inputs, H, W)."""
        values = {0: self.stem(x)}
        for place, (step, sources, finished) in enumerate(zip(self.steps, self.sources, self.finished, strict=True), 1):
            values[place] = step(*(values[source] for source in sources))
            for source in finished:  # nobody reads it any more
                del values[source]
        logits: Tensor = self.classifier(self.head(values[len(self.sources)]))
        return logits


def small_stem(inputs: int, width: int) -> nn.Sequential:
    """Two convolutions that keep the side."""
    return nn.Sequential(
        nn.Conv2d(inputs, width, 3, 1, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, 1, 1, bias=False),
        nn.BatchNorm2d(width),
    )


def large_stem(inputs: int, width: int) -> nn.Sequential:
    """Two separable convolutions that halve the side each."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, 2, 1, groups=inputs, bias=False),
        nn.Conv2d(inputs, width, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, 2, 1, groups=width, bias=False),
        nn.Conv2d(width, width, 1, bias=False),
        nn.BatchNorm2d(width),
    )


def _module(op: str, sources: Sequence[Form], form: Form, widths: Sequence[int]) -> nn.Module:
    """What makes a step's value of those that it reads."""
    (stage, side), (own, own_side) = form, sources[0]
    if op == "pool":
        return Pool(2 ** (side - own_side))
    if op in ("sum", "mean", "attention", "concat"):
        return Together(op, sources, form, widths)
    if op.startswith("avg_pool"):
        return PooledOperation(widths[own], widths[stage], int(op[-1]), projected=own != stage)
    return ReLUConvBN(widths[own], widths[stage], int(op[-1]))
