"""How many parameters the network of a generator has at any width, and the widths that a budget allows.

vega_NAGO counts the convolutions of operations only, so that its networks have up to 13 % more than their limit, and
rounds the width down to a multiple of the ratios. Here everything is counted, and widths are as large as fits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from ogive.core.errors import Oversized
from ogive.spaces.hnag_graph import MERGES, Step

__all__ = ["HEAD", "Size", "fitted_size", "parameters_of"]

HEAD = 1280  # rubinxin/vega_NAGO
# From this budget on the head is as wide as that; in proportion it would take all of a smaller one.
FULL_HEAD = 1_000_000
# More than any budget allows.
WIDEST = 1 << 16

_Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Size:
    """The widths of the stages and of the head, and how many parameters the network then has."""

    widths: tuple[int, ...]
    head: int
    parameters: int


@dataclass(slots=True)
class _Sum:
    """Parameters as a polynomial: of products of the widths of two stages, of widths, and a constant."""

    products: Counter[_Pair] = field(default_factory=Counter)
    widths: Counter[int] = field(default_factory=Counter)
    constant: int = 0

    def convolution(self, inputs: int, outputs: int, kernel: int) -> None:
        """Without a bias, and with the batch normalisation behind it."""
        self.products[inputs, outputs] += kernel * kernel
        self.widths[outputs] += 2

    def at(self, widths: Sequence[int]) -> int:
        products = sum(count * widths[one] * widths[other] for (one, other), count in self.products.items())
        return products + sum(count * widths[stage] for stage, count in self.widths.items()) + self.constant


def fitted_size(
    steps: Sequence[Step], ratios: Sequence[float], budget: int, *, classes: int, inputs: int, large: bool
) -> Size:
    """The widest stages, about in these ratios, with which all parameters fit the budget.

    Raises Oversized, with the smallest number that can be reached.
    """
    head = max(1, round(HEAD * min(1.0, budget / FULL_HEAD)))
    total = _total(steps, head, classes, inputs, large)
    if total.at(_widths(ratios, 1)) > budget:
        raise Oversized(
            f"The network has at least {total.at(_widths(ratios, 1)):,} parameters, which the budget of {budget:,} "
            "does not hold: give the space more parameters, or fewer nodes."
        )
    low, high = 1, WIDEST  # of the widest stage: the first fits, the last does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if total.at(_widths(ratios, middle)) <= budget else (low, middle)
    widths = _widths(ratios, low)
    return Size(widths, head, total.at(widths))


def parameters_of(
    steps: Sequence[Step], widths: Sequence[int], *, head: int = HEAD, classes: int, inputs: int, large: bool
) -> int:
    """The trainable parameters of the whole network."""
    return _total(steps, head, classes, inputs, large).at(widths)


def _widths(ratios: Sequence[float], widest: int) -> tuple[int, ...]:
    return tuple(max(1, round(widest * ratio / max(ratios))) for ratio in ratios)


def _total(steps: Sequence[Step], head: int, classes: int, inputs: int, large: bool) -> _Sum:
    total = _Sum()
    stages = [0, *(step.width for step in steps)]
    for step in steps:
        _add(total, step, [stages[source] for source in step.sources])
    if large:
        total.constant += 9 * inputs
        total.products[0, 0] += 1
        total.widths[0] += inputs + 2 + 9 + 2
    else:
        total.products[0, 0] += 9
        total.widths[0] += 9 * inputs + 4
    total.widths[stages[-1]] += head
    total.constant += 2 * head + head * classes + classes
    return total


def _add(total: _Sum, step: Step, sources: Sequence[int]) -> None:
    """Those of one step, given the stages whose widths its sources have."""
    if step.op == "concat":
        total.widths[step.width] += 2
        for source in sources:
            total.products[source, step.width] += 1
    elif step.op in (*MERGES, "mean"):
        others = [source for source in sources if source != step.width]
        for source in others:
            total.convolution(source, step.width, 1)
        if step.op != "mean":
            total.constant += 1 if step.op == "attention" else len(sources) - len(others)
    elif step.op.startswith("conv"):
        total.convolution(sources[0], step.width, int(step.op[-1]))
    elif step.op.startswith("avg_pool") and sources[0] != step.width:
        total.convolution(sources[0], step.width, 1)
