"""Weights that a hypernetwork predicts, for architectures of every space whose networks read inputs of one shape."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from torch import nn

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.hypernets.files import SHIPPED, load
from ogive.hypernets.ghn import GHN
from ogive.hypernets.prediction import initialise
from ogive.training.batches import LAYOUT
from ogive.training.data import Data
from ogive.training.task import Size, Task

__all__ = ["Hypernetwork"]


class Hypernetwork:
    """Weights from the hypernetwork in a `file`, one forward pass for each architecture: ``inherited(ghn(FILE))``.

    The file is a published checkpoint of GHN-1 or GHN-2, or one of ``ogive ghn train``; without one, the small GHN-2
    that comes with ogive, for ten classes. Its number of classes must be that of the data. Nothing is trained. What a
    network does not use in evaluation keeps the values that its initialisation draws. SpecError for a file that cannot
    be read or does not fit, and for a network with a layer that graphs have no type for, which it names.
    """

    def __init__(
        self,
        file: Path | None = None,
        *,
        space: SearchSpace,
        data: Data,
        task: Task[Any],
        seed: Seed,
        channels: int | None = None,
        cells: int | None = None,
        device: str = "cpu",
    ) -> None:
        self.file = SHIPPED if file is None else Path(file)
        self.space, self.data, self.task, self.device = space, data, task, device
        self.seed, self.size = seed, Size(channels=channels, cells=cells)
        self.recipe = task.fitted(task.recipe(), self.size, space)
        self._made: GHN | None = self._read()  # now: a mistake is known before time is spent

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": None}  # another process reads the file itself

    @property
    def ghn(self) -> GHN:
        """The hypernetwork."""
        if self._made is None:
            self._made = self._read()
        return self._made

    @property
    def digest(self) -> str:
        """SHA-256 of the file."""
        with self.file.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def network(self, arch: Architecture) -> nn.Module:
        """The network of an architecture with predicted weights."""
        admitted = self.space.admit(arch)
        made = self.task.network(admitted, self.size, self.recipe, seed=self.seed.integer("unused weights"))
        initialise(self.ghn, made.to(self.device), self.data.shape)
        return made.to(memory_format=LAYOUT)  # type: ignore[call-overload,no-any-return]

    def _read(self) -> GHN:
        made, classes = load(self.file), len(self.data.classes)
        if made.configuration.classes != classes:
            raise SpecError(
                f"The hypernetwork in {self.file} predicts networks of {made.configuration.classes} classes, but the "
                f"data have {classes}."
            )
        return made.to(self.device)
