"""What the topology of a block is like, as numbers, and what an expert's block teaches about it: inverse RL.

Guo et al., "IRLAS: Inverse Reinforcement Learning for Architecture Search", CVPR 2019 (arXiv:1812.05285); the learning
is that of Abbeel and Ng, "Apprenticeship Learning via Inverse Reinforcement Learning", ICML 2004. The mirror stimuli
function is linear in the features of a block, so that its weights w say what the expert does more than blocks that the
same weights would lead to. The paper does not say what the features are, how they are discounted, or how much the
function counts beside the accuracy: those are ours, and options. Shapes: F features, P policies.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, UnknownName, quoted
from ogive.spaces.blockqnn import JOINING, TYPES, Layer, actions, architecture, is_blocks, layers_of, read_layers

__all__ = [
    "EXPERTS",
    "Features",
    "Imitation",
    "Mirror",
    "expert_of",
    "max_margin",
    "mirror",
    "planned",
    "projected",
]

Reals = npt.NDArray[np.float64]

KERNELS = (0, 1, 3, 5)
FAR = 3  # of this distance and more, predecessors are alike
WIDTH = len(TYPES) + len(KERNELS) + 2 * FAR + 1

# One block of what people designed, as the code tells it: neither width nor groups are part of that.
EXPERTS: Mapping[str, tuple[Layer, ...]] = {
    # Two 3×3 convolutions and the input, He et al., CVPR 2016, figure 2.
    "resnet": (Layer("conv", 3, 0), Layer("conv", 3, 1), Layer("add", 0, 2, 0)),
    # A bottleneck, Xie et al., CVPR 2017, figure 1.
    "resnext": (Layer("conv", 1, 0), Layer("conv", 3, 1), Layer("conv", 1, 2), Layer("add", 0, 3, 0)),
    # Two bottlenecks, each beside all that was before it, Huang et al., CVPR 2017, section 3.
    "densenet": (
        Layer("conv", 1, 0),
        Layer("conv", 3, 1),
        Layer("concat", 0, 2, 0),
        Layer("conv", 1, 3),
        Layer("conv", 3, 4),
        Layer("concat", 0, 5, 3),
    ),
    # Four branches side by side, Szegedy et al., CVPR 2015, figure 2b.
    "inception": (
        Layer("conv", 1, 0),
        Layer("conv", 1, 0),
        Layer("conv", 3, 2),
        Layer("conv", 1, 0),
        Layer("conv", 5, 4),
        Layer("max", 3, 0),
        Layer("conv", 1, 6),
    ),
    # An expansion and a depthwise separable convolution, Sandler et al., CVPR 2018, figure 4d.
    "mobilenet_v2": (Layer("conv", 1, 0), Layer("conv", 3, 1), Layer("add", 0, 2, 0)),
}


@dataclass(frozen=True, slots=True)
class Features:
    """Discounted counts of what the layers of a block are and of how far back they read: 18 numbers.

    A layer has a one for its type (of 7, the end of a block among them), its kernel (0, 1, 3, 5), the distance of its
    first predecessor (1, 2, more; none for the end) and that of its second (none, 1, 2, more); layer t counts
    `discount` ** (t - 1). Distances and not indices: otherwise a layer's features would say little of the topology.
    """

    discount: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.discount <= 1:
            raise SpecError(f"0 < discount <= 1 must hold, but got {self.discount}.")

    def of_layer(self, index: int, layer: Layer | None) -> Reals:
        """The features (F,) of a layer at an index, not discounted; None is the end of the block."""
        found = np.zeros(WIDTH)
        kind = TYPES[-1] if layer is None else layer.type
        found[TYPES.index(kind)] = 1
        found[len(TYPES) + KERNELS.index(layer.kernel if layer else 0)] = 1
        start = len(TYPES) + len(KERNELS)
        if layer is not None:
            found[start + min(index - layer.first, FAR) - 1] = 1
        joins = layer is not None and layer.type in JOINING
        far = min(index - layer.second, FAR) if joins and layer is not None else 0
        found[start + FAR + far] = 1
        return found

    def of_block(self, block: Sequence[Layer], largest: int) -> Reals:
        """The features (F,) of a block, whose end is one of its layers unless it has as many as there can be."""
        rows: list[Layer | None] = [*block, *([None] if len(block) < largest else [])]
        return np.asarray(
            sum(self.discount**place * self.of_layer(place + 1, layer) for place, layer in enumerate(rows))
        )

    def of_actions(self, index: int) -> Reals:
        """The discounted features of everything that may stand at an index, (A, F): first the layers, then the end."""
        return _of_actions(self, index)


@functools.cache
def _of_actions(features: Features, index: int) -> Reals:
    options: list[Layer | None] = [*actions(index), *([None] if index > 1 else [])]
    found = features.discount ** (index - 1) * np.stack([features.of_layer(index, one) for one in options])
    found.flags.writeable = False
    return found


# -- what an expert teaches -------------------------------------------------------------------------------------------


def projected(mean: Reals, found: Reals, expert: Reals) -> Reals:
    """The next mean (F,) of policies in the projection method: the nearest to the expert on the way to `found`."""
    step = found - mean
    length = float(step @ step)
    share = 0.0 if length == 0 else min(max(float(step @ (expert - mean)) / length, 0.0), 1.0)
    return mean + share * step


def max_margin(expert: Reals, others_PF: Reals) -> tuple[Reals, float]:
    """The weights (F,) of length 1 by which the expert exceeds all others most, and by how much; zeros if by nothing.

    The margin is the distance of the expert from the convex hull of the others. The quadratic program is solved as
    least distance programming (Lawson and Hanson, "Solving Least Squares Problems", chapter 23).
    """
    from scipy.optimize import nnls

    system = np.vstack(((expert - others_PF).T, np.ones(len(others_PF))))
    target = np.zeros(len(system))
    target[-1] = 1.0
    shares, _ = nnls(system, target)
    rest = target - system @ shares
    if rest[-1] < 1e-12:  # the expert is a mixture of the others
        return np.zeros_like(expert), 0.0
    # The nearest mixture is that of the shares, and the weights lead from there to the expert.
    weights = expert - (shares / shares.sum()) @ others_PF
    margin = float(np.linalg.norm(weights))
    return weights / margin, margin


def planned(weights: Reals, features: Features, largest: int) -> tuple[Layer, ...]:
    """The block of at most so many layers with the largest weighted features, exactly; of equal ones the first.

    What a layer adds depends on its index and on itself, so that the best block is found from its last layer on.
    """
    tails = 0.0
    best: list[Layer | None] = []
    for index in range(largest, 0, -1):
        values = features.of_actions(index) @ weights
        ends = values[-1] if index > 1 else -np.inf
        layers = values[: len(actions(index))]
        place = int(np.argmax(layers))
        if layers[place] + tails >= ends:
            best, tails = [actions(index)[place], *best], float(layers[place]) + tails
        else:
            best, tails = [None], float(ends)
    return tuple(layer for layer in best if layer is not None)


@dataclass(frozen=True, eq=False)
class Mirror:
    """The mirror stimuli function: weighted features of a block, relative to the length of the expert's.

    `margins` are those of all rounds. The value of the expert itself is `of_expert`.
    """

    expert: tuple[Layer, ...]
    features: Features
    weights: Reals
    margins: tuple[float, ...]

    def __call__(self, block: Sequence[Layer], largest: int) -> float:
        """The value of a block, within [-1, 1] for blocks whose features are not longer than the expert's."""
        return float(self.weights @ self.features.of_block(block, largest)) / self._length(largest)

    def distance(self, block: Sequence[Layer], largest: int) -> float:
        """How far the features of a block are from those of the expert, relative to the length of the expert's."""
        apart = self.features.of_block(block, largest) - self.features.of_block(self.expert, largest)
        return float(np.linalg.norm(apart)) / self._length(largest)

    def _length(self, largest: int) -> float:
        return float(np.linalg.norm(self.features.of_block(self.expert, largest)))


def mirror(
    expert: Sequence[Layer],
    *,
    largest: int,
    features: Features | None = None,
    rounds: int = 16,
    method: Literal["projection", "max_margin"] = "max_margin",
    start: Reals | None = None,
    least_margin: float = 1e-6,
) -> Mirror:
    """Learn the function from an expert's block, in a space of blocks of at most so many layers.

    In each round the best block for the present weights joins those that the expert must exceed; it is found exactly,
    so that nothing is trained. `start` are the features of the first policy, by default zeros. Ends when the margin is
    at most `least_margin`, with the weights before that. Raises SpecError.
    """
    if method not in ("projection", "max_margin"):
        raise UnknownName("method of inverse reinforcement learning", method, ("projection", "max_margin"))
    if rounds < 1:
        raise SpecError(f"Inverse reinforcement learning takes at least one round, but got rounds={rounds}.")
    expert = tuple(Layer(*layer) for layer in expert)
    architecture(expert, layers=largest)  # refuses what is no block, or has too many layers
    features = features or Features()
    goal = features.of_block(expert, largest)
    mean = np.zeros(WIDTH) if start is None else start
    others, margins, kept = [mean], [], goal - mean
    for _ in range(rounds):
        if method == "max_margin":
            weights, margin = max_margin(goal, np.stack(others))
        else:
            weights, margin = goal - mean, float(np.linalg.norm(goal - mean))
        margins.append(margin)
        if margin <= least_margin:
            break
        kept = weights
        found = features.of_block(planned(weights, features, largest), largest)
        others.append(found)
        mean = projected(mean, found, goal)
    return Mirror(expert, features, kept / np.linalg.norm(kept), tuple(margins))


def expert_of(expert: str | Sequence[Layer]) -> tuple[Layer, ...]:
    """The block of an expert: one of `EXPERTS` by its name, the code of any other, or its layers."""
    if not isinstance(expert, str):
        return tuple(Layer(*layer) for layer in expert)
    if expert in EXPERTS:
        return EXPERTS[expert]
    if "(" not in expert:
        raise UnknownName("expert", expert, EXPERTS)
    return read_layers(expert)


@functools.lru_cache(maxsize=64)
def _learnt(expert: tuple[Layer, ...], largest: int, discount: float, rounds: int) -> Mirror:
    return mirror(expert, largest=largest, features=Features(discount), rounds=rounds)


def mirror_in(expert: str | Sequence[Layer], arch: Architecture, discount: float, rounds: int) -> Mirror:
    """The function that an expert teaches in the space of an architecture; SpecError for a space without blocks."""
    if not is_blocks(arch.space):
        raise SpecError(
            f"An expert's topology is imitated in spaces of blocks, and {quoted(arch.space)} is none: give --space "
            "blockqnn or blockqnn_separable."
        )
    block, largest = expert_of(expert), len(arch.choices)
    if len(block) > largest:
        raise SpecError(
            f"The expert has {len(block)} layers, but blocks of this space at most {largest}: give --space "
            f'"{arch.space}(layers={len(block)})" or more.'
        )
    return _learnt(block, largest, discount, rounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imitation:
    """A metric and, beside it, how much a block is like that of an expert: IRLAS's mirror stimuli, for any strategy.

    The score is metric + `weight` · F, in the unit of the metric; with weight 0 it is the metric itself. `form`
    "mirror" takes the weighted features F that inverse reinforcement learning gives; "distance", which is ours, minus
    the distance of the features from the expert's. `expert` is resnet, resnext, densenet, inception, mobilenet_v2 or
    the code of a block. `weight`, `discount` and `rounds` are ours; the paper does not say them.
    """

    expert: str | tuple[Layer, ...] = "resnext"  # IRLAS, abstract
    weight: float = 1.0
    metric: str = "val_acc"
    form: Literal["mirror", "distance"] = "mirror"
    discount: float = 0.9
    rounds: int = 16
    needs: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        if not np.isfinite(self.weight):
            raise SpecError(f"The weight of imitation is a finite number, but got {self.weight}.")
        if self.form not in ("mirror", "distance"):
            raise UnknownName("form of imitation", self.form, ("mirror", "distance"))
        if self.rounds < 1:
            raise SpecError(f"Imitation needs at least one round of learning, but got rounds={self.rounds}.")
        expert_of(self.expert)
        Features(self.discount)
        object.__setattr__(self, "needs", (self.metric,))

    def __call__(self, arch: Architecture, metrics: Mapping[str, float]) -> float:
        """The metric and what imitation adds to it."""
        value = float(metrics[self.metric])
        return value + self.weight * self.likeness(arch) if self.weight else value

    def likeness(self, arch: Architecture) -> float:
        """F, about 1 at most; SpecError for a space without blocks."""
        learnt = mirror_in(self.expert, arch, self.discount, self.rounds)
        block, largest = layers_of(arch), len(arch.choices)
        return learnt(block, largest) if self.form == "mirror" else -learnt.distance(block, largest)
