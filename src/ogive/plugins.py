"""Parts that other packages add: entry points of the group ``ogive.plugins``, named ``kind.name``."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from ogive.core.errors import SpecError

__all__ = ["KINDS", "packages", "plugins"]

GROUP = "ogive.plugins"

KINDS = (
    "space",
    "strategy",
    "evaluator",
    "weights",
    "objective",
    "task",
    "predictor",
    "encoder",
    "kernel",
    "proposer",
    "executor",
    "gate",
    "rule",
    "regulariser",
    "optimiser",
    "operation",
    "score",
    "data",
)


def plugins(kind: str) -> dict[str, str]:
    """Name and ``module:attribute`` of every part of a kind that an installed package adds.

    Raises SpecError for an entry point whose name is not kind.name.
    """
    return _installed().get(kind, {})


def packages() -> dict[str, str]:
    """The installed packages that add parts, with their versions."""
    found = {point.dist.name: point.dist.version for point in entry_points(group=GROUP) if point.dist is not None}
    return dict(sorted(found.items()))


@cache
def _installed() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for point in entry_points(group=GROUP):
        kind, _, name = point.name.partition(".")
        if kind not in KINDS or not name:
            raise SpecError(
                f"The plug-in {point.name!r} ({point.value}) must be named kind.name, "
                f"with one of the kinds {', '.join(KINDS)}."
            )
        found.setdefault(kind, {})[name] = point.value
    return found
