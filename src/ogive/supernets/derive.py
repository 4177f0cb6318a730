"""From the strengths of operations on edges to a discrete cell: the derive rules of DARTS and of NAS-Bench-201.

Shapes: E edges, O operations.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ogive.spaces.darts import Entry

__all__ = ["strongest", "strongest_two"]

NONE = "none"


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
