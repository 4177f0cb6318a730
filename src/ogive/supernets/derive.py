"""From the strengths of operations on edges to a discrete cell: the rules of DARTS, NAS-Bench-201 and FairDARTS.

Shapes: E edges, O operations.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ogive.core.architecture import Architecture
from ogive.spaces import ddarts as nested_space
from ogive.spaces.darts import CHOOSABLE, KINDS, OPS, Entry
from ogive.spaces.encoding import derived
from ogive.spaces.nested import NestedGenotype

__all__ = ["open_gates", "ranking", "strongest", "strongest_two"]

NONE = "none"
WITHOUT_WEIGHTS = (NONE, "max_pool_3x3", "avg_pool_3x3", "skip_connect")


def strongest(strengths_EO: Tensor) -> tuple[int, ...]:
    """The strongest operation of each edge, `none` included; the first of equals (NAS-Bench-201, section 4)."""
    return tuple(max(range(len(row)), key=row.__getitem__) for row in strengths_EO.tolist())


def strongest_two(
    strengths_EO: Tensor, edges: Sequence[tuple[int, int]], operations: Sequence[str]
) -> tuple[Entry, ...]:
    """The two strongest edges of each node, each with its strongest operation (DARTS, section 2.4).

    An edge is as strong as its strongest operation other than `none`, which is never derived; what `none` has weakens
    the edge all the same, where strengths are shares. The entries of a node come in the order of strength; of equal
    edges the one from the lower state comes first, of equal operations the first.
    """
    candidates = [place for place, name in enumerate(operations) if name != NONE]
    rows = strengths_EO.tolist()
    best = [max(candidates, key=row.__getitem__) for row in rows]
    entries: list[Entry] = []
    for node in sorted({target for _, target in edges}):
        incoming = [place for place, (_, target) in enumerate(edges) if target == node]
        ranked = sorted(incoming, key=lambda place: -rows[place][best[place]])
        entries += [(operations[best[place]], edges[place][0]) for place in ranked[:2]]
    return tuple(entries)


def open_gates(strengths: Sequence[Tensor], kinds: Sequence[str], threshold: float) -> Architecture:
    """Of DARTS's two cells what is at least `threshold` on the two strongest edges of each node (FairDARTS, section 4).

    The strengths (14, 8) are those of the normal and the reduction cell, `kinds` says which of them each layer is. A
    node may be left with one operation or none, which cells of `darts` cannot be, so that the architecture is one of
    ``ddarts(distinct=len(kinds))`` with equal cells. What reads a node without input is dropped; a cell of which
    nothing is left keeps the strongest operation on its inputs.
    """
    columns = [OPS.index(name) for name in CHOOSABLE]
    gates = [one_EO[:, columns].double().cpu().numpy() for one_EO in strengths]
    by_kind = dict(
        zip((str(kind) for kind in KINDS), derived(gates, CHOOSABLE, threshold=threshold).cells, strict=True)
    )
    return nested_space.architecture(NestedGenotype(tuple(by_kind[kind] for kind in kinds)))


def ranking(strengths: Sequence[Tensor], operations: Sequence[str]) -> tuple[int, ...]:
    """The order of the operations with weights, by strength on each edge (DARTS+, section 3.3); of equals the first."""
    learnt = [place for place, name in enumerate(operations) if name not in WITHOUT_WEIGHTS]
    rows = [row for one_EO in strengths for row in one_EO.tolist()]
    return tuple(op for row in rows for op in sorted(learnt, key=lambda op: -row[op]))
