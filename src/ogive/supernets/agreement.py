"""Which edge to split: one whose operations pull the shared weights in different directions.

Hu et al., "Generalizing Few-Shot NAS with Gradient Matching", ICLR 2022: operations whose gradients on the weights that
they share agree may stay in one supernet, others are parted. Shapes: O operations.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ogive.core.errors import SpecError, UnknownName
from ogive.core.rng import Seed
from ogive.supernets.bilevel import kept_buffers
from ogive.supernets.gates import Mix
from ogive.supernets.networks import Supernet
from ogive.supernets.partition import Edge, cell_rows, keys_of
from ogive.supernets.paths import drawn
from ogive.supernets.sequential import Level
from ogive.training.lossy import Lossy, predicting
from ogive.training.statistics import drawn_images, fixed_batches

__all__ = [
    "CHOSEN",
    "Compared",
    "agreement",
    "check_split",
    "chosen_levels",
    "edges_with_choice",
    "mean_agreement",
    "two_groups",
]

NONE = "none"
BATCHES = 8  # that gradients are compared on
CHOSEN = ("random", "agreement")  # how edges are chosen that nobody names


@dataclass(frozen=True)
class Compared:
    """What gradients are compared on: (inputs, targets) in batches, and their loss."""

    batches: Sequence[tuple[Tensor, Tensor]]
    loss: Callable[[Tensor, Tensor], Tensor]

    @classmethod
    def drawn(cls, task: Lossy, size: int, seed: Seed, device: torch.device) -> Compared:
        """Some batches of a size of the training samples of a task."""
        known = predicting(task)
        few = drawn_images(known.data.train, seed.numpy("agreement"), BATCHES * size)
        loss = partial(known.loss, recipe=known.data.recipe())
        return cls(fixed_batches(known.data, few, device, size), loss)


def agreement(supernet: Supernet, edge: Edge, compared: Compared, seed: Seed) -> tuple[tuple[int, ...], Tensor]:
    """The operations of an edge that can be compared, and the mean cosine similarity of their gradients, (O, O).

    For every batch one random path is drawn, which each operation in turn takes part in. Compared
    are the gradients of the loss in all weights but those of the edge's own operations. Weights and statistics stay as
    they are. `none` is left out where an architecture cannot hold it.
    """
    plan = supernet.plan
    row = cell_rows(supernet, edge.kind, {})[edge.number]
    ops = tuple(op for op in row if plan.inputs_per_node is None or plan.operations[op] != NONE)
    own = {
        id(weight)
        for cell, kind in zip(supernet.mixed, supernet.kinds, strict=True)
        if kind == edge.kind
        for weight in cell.operations[edge.number].parameters()
    }
    shared = [weight for weight in supernet.parameters() if id(weight) not in own]
    total_OO = torch.zeros(len(ops), len(ops), dtype=torch.float64)
    mode = supernet.training
    supernet.train()
    with kept_buffers(supernet):
        for number, batch in enumerate(compared.batches):
            stream = seed.child(str(edge)).integer(f"batch {number}")
            gradients = torch.stack(
                [_gradient(supernet, _mixture(supernet, edge, op, stream), batch, compared.loss, shared) for op in ops]
            )
            unit = F.normalize(gradients.double(), dim=1)
            total_OO += (unit @ unit.T).cpu()
    supernet.train(mode)
    return ops, total_OO / len(compared.batches)


def mean_agreement(similarity_OO: Tensor) -> float:
    """The mean over pairs of different operations."""
    count = len(similarity_OO)
    return float((similarity_OO.sum() - similarity_OO.diagonal().sum()) / (count * (count - 1)))


def edges_with_choice(supernet: Supernet) -> list[Edge]:
    """The edges that can be split."""
    kinds = [kind for kind in supernet.plan.kinds if kind in supernet.kinds]
    rows = {kind: cell_rows(supernet, kind, {}) for kind in kinds}
    return [Edge(kind, number) for kind in kinds for number, row in enumerate(rows[kind]) if len(row) > 1]


def chosen_levels(
    supernet: Supernet,
    split: str | Sequence[Edge],
    *,
    count: int,
    grouped: bool,
    batches: Callable[[], Compared],
    seed: Seed,
) -> list[Level]:
    """The splits of a supernet: on given edges, or on `count` edges that are chosen as one of `CHOSEN` says.

    `grouped` puts the operations of each edge into two groups that agree. `batches` are made if gradients are
    needed.
    """
    edges = list(_chosen(supernet, split, count, batches, seed)) if isinstance(split, str) else list(split)
    if not grouped or not edges:
        return [Level(edge) for edge in edges]
    compared = batches()
    return [Level(edge, two_groups(*agreement(supernet, edge, compared, seed))) for edge in edges]


def check_split(supernet: Supernet, split: str | Sequence[Edge], count: int) -> None:
    """SpecError for edges that cannot be split: known before a supernet is trained, of which `chosen_levels` asks."""
    if isinstance(split, str):
        _candidates(supernet, split, count)
    elif split:
        keys_of(supernet, split)


def _candidates(supernet: Supernet, way: str, count: int) -> list[Edge]:
    """The edges that `count` are chosen from."""
    if way not in CHOSEN:
        raise UnknownName("choice of edges", way, CHOSEN)
    edges = edges_with_choice(supernet)
    if count > len(edges):
        raise SpecError(
            f"A supernet of {supernet.plan.space} has {len(edges)} edges to split, but {count} were asked for."
        )
    return edges


def _chosen(supernet: Supernet, way: str, count: int, batches: Callable[[], Compared], seed: Seed) -> Sequence[Edge]:
    edges = _candidates(supernet, way, count)
    if way == "random":
        return [edges[place] for place in seed.numpy("edges").permutation(len(edges))[:count]]
    compared = batches()
    means = {edge: mean_agreement(agreement(supernet, edge, compared, seed)[1]) for edge in edges}
    return sorted(edges, key=means.__getitem__)[:count]


def two_groups(ops: Sequence[int], similarity_OO: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The operations in two groups of equal size, give or take one, that cut the least similarity between them."""
    if len(ops) < 2:
        raise SpecError(f"Two groups need two operations at least, but got {len(ops)}.")
    places = range(len(ops))
    best = min(
        # An even number of operations is divided each way round; the first of both is kept.
        itertools.combinations(places, len(ops) // 2),
        key=lambda chosen: sum(
            float(similarity_OO[one, other]) for one in chosen for other in places if other not in chosen
        ),
    )
    return tuple(ops[place] for place in best), tuple(ops[place] for place in places if place not in best)


def _mixture(supernet: Supernet, edge: Edge, op: int, stream: int) -> tuple[Mix, ...]:
    """A random path through an operation; the same elsewhere for all operations of the edge."""
    draw = torch.Generator().manual_seed(stream)
    mixes = {}
    for kind in supernet.plan.kinds:
        if kind in supernet.kinds:
            rows = cell_rows(supernet, kind, {})
            cell = drawn(supernet.plan, cell_rows(supernet, kind, {edge: (op,)}), draw)
            mixes[kind] = Mix(None, tuple(cell[number] for number, row in enumerate(rows) if len(row) > 1))
    return tuple(mixes[kind] for kind in supernet.kinds)


def _gradient(
    supernet: Supernet,
    mixture: Sequence[Mix],
    batch: tuple[Tensor, Tensor],
    lost: Callable[[Tensor, Tensor], Tensor],
    shared: Sequence[Tensor],
) -> Tensor:
    x_NCHW, y_N = batch
    loss = lost(supernet(x_NCHW, mixture), y_N)
    found: Sequence[Tensor | None] = torch.autograd.grad(loss, list(shared), allow_unused=True)
    return torch.cat(
        [
            torch.zeros_like(weight).flatten() if gradient is None else gradient.flatten()
            for weight, gradient in zip(shared, found, strict=True)
        ]
    )
