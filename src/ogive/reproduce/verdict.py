"""Whether a row holds: what must be true of our figure and false of the cheap baselines, fixed before any run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Target", "columns_verdict", "doubts", "verdict"]

NORMAL = 1.959964  # the 97.5 % quantile


@dataclass(frozen=True)
class Target:
    """A published figure, the 95 % error of it, and how far from it a reproduction may lie.

    Of a mean with a published deviation over `runs` both follow from sampling alone: the error of the published mean,
    and that of its difference from a mean over `seeds`. Figures of another kind have both in the recipe.
    """

    published: float
    error: float
    margin: float

    @classmethod
    def of_mean(cls, published: float, spread: float, runs: int, seeds: int) -> Target:
        """The target of a mean over `runs` for a mean over `seeds`."""
        return cls(
            published,
            NORMAL * spread / math.sqrt(runs),
            NORMAL * spread * math.sqrt(1 / runs + 1 / seeds),
        )


def doubts(
    target: Target, ours: float, interval: Sequence[float] | None, cheap: Mapping[str, float], digits: int = 2
) -> list[str]:
    """What speaks against that ours is the published figure; nothing where it holds.

    A cheap baseline as near to the published figure as is asked of ours shows that anything would hold.
    """
    found = []
    distance = ours - target.published
    if not abs(distance) <= target.margin:
        found.append(f"ours is {distance:+.{digits}f} away, more than {target.margin:.{digits}f}")
    if interval is None:
        found.append("one seed has no interval")
    elif interval[0] > target.published + target.error or interval[1] < target.published - target.error:
        found.append(
            f"our interval [{interval[0]:.{digits}f}, {interval[1]:.{digits}f}] does not meet the published "
            f"{target.published:.{digits}f} ± {target.error:.{digits}f}"
        )
    as_good = [
        f"{label} ({value:.{digits}f})"
        for label, value in cheap.items()
        if abs(value - target.published) <= target.margin
    ]
    if as_good:
        found.append(
            f"within {target.margin:.{digits}f} {'is' if len(as_good) == 1 else 'are'} {', '.join(as_good)} too"
        )
    return found


def verdict(reasons: Sequence[str], checked: str, deviation: str | None) -> dict[str, Any]:
    """Status and reason of a row; a figure from memory is no target, so nothing holds or differs from it."""
    if checked == "memory":
        return {"status": "measured", "because": "the published figure is unverified and no target"}
    if not reasons:
        return {"status": "holds", "because": None}
    return {"status": "differs", "because": "; ".join([*reasons, deviation or "of an unknown reason"])}


def columns_verdict(columns: Sequence[Mapping[str, Any]], checked: str, deviation: str | None) -> dict[str, Any]:
    """Status and reason of a row of several figures: it holds if every published one does."""
    published = [one for one in columns if one["published"] is not None]
    if not published:
        return {"status": "measured", "because": "nothing was published to compare with"}
    reasons = [
        reason
        for one in published
        if one["doubts"]
        for reason in ([f"{one['label']}: {' and '.join(one['doubts'])}"] if one["label"] else one["doubts"])
    ]
    return verdict(reasons, checked, deviation)
