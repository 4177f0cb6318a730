"""Evaluate candidates without training them: build the untrained network and score it on one batch of real images."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError
from ogive.core.metric import names_of, score_named
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Cost, Measurement, Proposal
from ogive.networks.build import build, fitted_skeleton
from ogive.scores import score_function
from ogive.scores.naswot import activation_kernel
from ogive.scores.together import score_all
from ogive.tables.kernels import Kernel
from ogive.training.data import Data, Split
from ogive.training.threads import threads as torch_threads

__all__ = ["TrainingFree"]


class TrainingFree:
    """One or several training-free scores of each candidate; the metrics carry their names.

    All candidates see the same batch: distinct training images, normalised and not augmented. The initial weights of
    a candidate depend on the seed and the architecture only. A score of -inf is a value, which ranks last; nan is a
    failure. `channels`, `cells` and so on are the size of the networks, by default the published one of the space.

    The published protocols score an architecture as it is, dead branches included. With `pruned` it is scored without
    them; the two do not belong in one table, because the same architecture has two scores.
    """

    def __init__(
        self,
        score: str | Sequence[str] = "naswot",
        *,
        space: SearchSpace,
        data: Data,
        seed: Seed,
        batch_size: int = 128,  # NASWOT's score_networks.py; no more than the data set holds
        channels: int | None = None,
        cells: int | None = None,
        pruned: bool = False,
        device: str = "cpu",
        threads: int | None = None,
    ) -> None:
        names = (score,) if isinstance(score, str) else tuple(score)
        if not names or len(set(names)) < len(names):
            raise SpecError(f"training_free needs one or several different scores, but got {list(names)}.")
        if threads is not None and threads < 1:
            raise SpecError(f"At least one thread is needed, but got threads={threads}.")
        if pruned and space.prune is None:
            raise SpecError(f"{space.name} has no dead branches to leave out: score it without pruned=true.")
        self.metrics, self.pruned = tuple(map(score_named, names)), pruned
        self.space, self.seed, self.device, self.threads = space, seed, device, threads
        for name in names:
            score_function(name)  # an unknown one is refused now
        self.skeleton = fitted_skeleton(space.name, data.shape, len(data.classes), channels=channels, cells=cells)
        for name in names:
            if data.train.labels.is_floating_point() and "labels" in inspect.signature(score_function(name)).parameters:
                raise SpecError(f"The score {name} reads classes, and {data.name} holds quantities: take another one.")
        with torch.device("meta"):  # shapes without weights: a size that cannot be built is refused now
            build(space.sample(seed.numpy("check")), self.skeleton, space=space)
        self._batch = _batch(data, min(batch_size, len(data.train)), seed)
        self.batch_size = len(self._batch)

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        batch = self._batch.to(self.device)
        with torch_threads(self.threads):
            return [self._measured(proposal.arch, batch) for proposal in proposals]

    def kernel(self, arch: Architecture) -> Kernel:
        """What NASWOT sees of an architecture: its kernel on the batch, the images in the order of their classes."""
        order = torch.argsort(self._batch.labels, stable=True)
        images = self._batch.images[order].to(self.device)
        with torch_threads(self.threads):
            agreeing_BB, units = activation_kernel(self.network(arch), images)
        return Kernel(arch, units, agreeing_BB / units, self._batch.labels[order].numpy(force=True).astype(np.int64))

    def network(self, arch: Architecture) -> nn.Module:
        """The untrained network that is scored.

        A table may hold sizes that its space does not draw, so that whether there is such a network is for `build` to
        say. InvalidArchitecture for one of another space.
        """
        if arch.space != self.space.name:
            raise InvalidArchitecture(f"{arch} belongs to the space {arch.space!r}, not to {self.space.name!r}.")
        prune = self.space.prune if self.pruned else None
        scored = arch if prune is None else prune(self.space.admit(arch))
        number = self.seed.child(str(scored)).integer("weights")
        return build(scored, self.skeleton, seed=number, space=self.space).to(self.device)

    def _measured(self, arch: Architecture, batch: Split) -> Measurement:
        started = time.perf_counter()
        try:
            network = self.network(arch)
            found = score_all(
                network, batch.images, batch.labels, names=names_of(self.metrics), seed=self.seed.child(str(arch))
            )
        except Exception as error:  # noqa: BLE001  whatever one candidate runs into must not cost the others
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            return Measurement(cost=Cost(time.perf_counter() - started), error=reason)
        cost = Cost(time.perf_counter() - started)
        bad = {name: value for name, value in found.items() if math.isnan(value) or value == math.inf}
        if bad:
            return Measurement(cost=cost, error=", ".join(f"{name} is {value}" for name, value in bad.items()))
        return Measurement(found, cost)


def _batch(data: Data, size: int, seed: Seed) -> Split:
    """At most `size` different training images, normalised, drawn by the seed.

    A repeated image has the code of its double in every network, which would make every kernel singular.
    """
    chosen: dict[bytes, int] = {}
    for index in seed.numpy("batch").permutation(len(data.train)).tolist():
        chosen.setdefault(data.train.images[index].numpy(force=True).tobytes(), index)
        if len(chosen) >= size:
            break
    if len(chosen) < 2:
        raise SpecError(
            f"Images are compared with each other, so at least two different ones are needed, but got {len(chosen)}."
        )
    indices = torch.from_numpy(np.array(list(chosen.values())))
    return Split(data.normalised(data.train.images[indices]), data.train.labels[indices])
