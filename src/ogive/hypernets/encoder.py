"""Architectures as rows of numbers: what a hypernetwork makes of their networks, before it decodes any parameter.

Knyazev et al., NeurIPS 2021, section 5.3: the mean of the embeddings of a network's nodes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.network_graph import NetworkGraph
from ogive.core.space import SearchSpace
from ogive.features import REMEMBERED
from ogive.hypernets.files import SHIPPED, load
from ogive.hypernets.ghn import GHN
from ogive.hypernets.prediction import embedding, graph_of
from ogive.networks.build import Skeleton, build, fitted_skeleton
from ogive.networks.outlines import Shapes
from ogive.training.data import Data

__all__ = ["Embeddings", "embeddings"]

Rows = npt.NDArray[np.float32]

# Images that networks are for where no data say it: those of CIFAR-10.
SHAPE, CLASSES = (3, 32, 32), 10


def embeddings(
    file: Path | None = None,
    *,
    space: SearchSpace,
    data: Data | None = None,
    channels: int | None = None,
    cells: int | None = None,
) -> Embeddings:
    """The encoder `Embeddings`, made and filled once for all predictors of a process that read it.

    `file` is a hypernetwork, by default the small GHN-2 that comes with ogive. Networks are those for the data of the
    search or, where there are none, for ten classes of images of 32×32; `channels` and `cells` are their size, by
    default that of the search or the published one.
    """
    shape, classes = (SHAPE, CLASSES) if data is None else (data.shape, len(data.classes))
    skeleton = fitted_skeleton(space.name, shape, classes, channels=channels, cells=cells)
    return _embeddings(SHIPPED if file is None else Path(file), space, skeleton, shape)


class Embeddings:
    """The embedding of an architecture's network by the hypernetwork in a file; shapes of inputs are (C, H, W).

    Networks are built without weights and followed; an architecture takes 0.05 to 0.5 s, so that what is asked for
    again is remembered. SpecError names a layer that graphs have no type for.
    """

    def __init__(self, file: Path, space: SearchSpace, skeleton: Skeleton, shape: tuple[int, ...]) -> None:
        self.space, self.skeleton, self.shape = space, skeleton, shape
        self._ghn: GHN = load(file)
        self._known: dict[Architecture, Rows] = {}

    @property
    def width(self) -> int:
        """How many numbers a row has."""
        return self._ghn.configuration.width

    def __call__(self, archs: Sequence[Architecture]) -> Rows:
        """Shape (n, width)."""
        found = np.zeros((len(archs), self.width), np.float32)
        for place, arch in enumerate(archs):
            if arch not in self._known:
                if len(self._known) >= REMEMBERED:
                    self._known.clear()
                # One at a time: in a batch sums are taken in another order, and a row is of its architecture alone.
                self._known[arch] = embedding(self._ghn, [self.graph(arch)])[0].numpy()
            found[place] = self._known[arch]
        return found

    def graph(self, arch: Architecture) -> NetworkGraph:
        """The graph of an architecture's network."""
        admitted = self.space.admit(arch)
        with torch.device("meta"):
            network = build(admitted, self.skeleton, space=self.space)
        try:
            with Shapes():
                return graph_of(network, self.shape)
        except SpecError as error:
            raise SpecError(f"{arch} has no embedding: {error}") from None


@functools.lru_cache(maxsize=8)
def _embeddings(file: Path, space: SearchSpace, skeleton: Skeleton, shape: tuple[int, ...]) -> Embeddings:
    return Embeddings(file, space, skeleton, shape)
