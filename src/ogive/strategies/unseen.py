"""Draw random architectures that a search has not proposed before, until a finite space is exhausted."""

from __future__ import annotations

from typing import Any

import numpy as np

from ogive.core.architecture import Architecture
from ogive.core.space import SearchSpace

__all__ = ["Unseen"]

# So many draws in a row that were all proposed before mean that little is left: then what is left is listed.
PATIENCE = 200


class Unseen:
    """The part of a space that was not proposed yet.

    Draws follow the space's own distribution, restricted to what is left; the last few of a finite space are drawn
    uniformly from a list.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.seen: dict[tuple[int | float, ...], None] = {}
        self._rest: list[Architecture] | None = None

    def __contains__(self, arch: Architecture) -> bool:
        return arch.choices not in self.seen

    def remove(self, arch: Architecture) -> None:
        """Note that the architecture has been proposed."""
        self.seen[arch.choices] = None

    def draw(self, rng: np.random.Generator) -> Architecture | None:
        """A random architecture of those left, which thereby counts as proposed; None if there is none."""
        arch = self._drawn(rng) if self._rest is None else None
        if arch is None:
            arch = self._listed(rng)
        if arch is not None:
            self.remove(arch)
        return arch

    def _drawn(self, rng: np.random.Generator) -> Architecture | None:
        for _ in range(PATIENCE):
            arch = self.space.sample(rng)
            if arch.choices not in self.seen:
                return arch
        return None

    def _listed(self, rng: np.random.Generator) -> Architecture | None:
        # The list keeps the order of the space, so that a reloaded search draws the same.
        candidates = self.space if self._rest is None else self._rest
        self._rest = [arch for arch in candidates if arch.choices not in self.seen]
        return self._rest[int(rng.integers(len(self._rest)))] if self._rest else None

    def state(self) -> dict[str, Any]:
        """The state as JSON."""
        return {"seen": list(self.seen), "listed": self._rest is not None}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.seen = dict.fromkeys(tuple(choices) for choices in state["seen"])
        self._rest = list(self.space) if state["listed"] else None
