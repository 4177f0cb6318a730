"""Seed: one root number from which every consumer draws its own named random stream."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

__all__ = ["Seed"]


@dataclass(frozen=True, slots=True)
class Seed:
    """A root number and a path of names; equal seeds give equal streams in every process.

    Streams are keyed by name and not by order of creation, so a new consumer never shifts another:
    ``Seed(0).numpy("strategy")`` is the same stream whatever else was drawn before.
    """

    root: int
    path: tuple[str, ...] = ()

    def child(self, name: str) -> Seed:
        """The seed of a part, whose streams are independent of its parent's and of its siblings'."""
        return Seed(self.root, (*self.path, name))

    def numpy(self, name: str) -> np.random.Generator:
        """A fresh generator of the stream `name`."""
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self._words(name))))

    def integer(self, name: str) -> int:
        """A number in [0, 2**63), to seed generators that want one (``torch.Generator.manual_seed``)."""
        return int(np.random.SeedSequence(self._words(name)).generate_state(1, np.uint64)[0] >> np.uint64(1))

    def _words(self, name: str) -> list[int]:
        # The root is part of the digest and not the entropy itself: SeedSequence refuses negative numbers.
        # "\x1f" cannot be confused with a name that holds a slash.
        key = "\x1f".join((str(self.root), *self.path, name))
        digest = hashlib.sha256(key.encode()).digest()
        return [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 32, 4)]
