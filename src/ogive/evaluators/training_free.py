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
from ogive.core.errors import InvalidArchitecture, SpecError, shortened
from ogive.core.metric import score_named
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Cost, Measurement, Proposal
from ogive.networks.build import build, fitted_skeleton, refuse_unbuildable
from ogive.scores import score_function
from ogive.scores.naswot import activation_kernel
from ogive.scores.repeats import Asked
from ogive.scores.together import score_all
from ogive.spec import Spec
from ogive.tables.kernels import Kernel
from ogive.training.data import Data, Split
from ogive.training.threads import threads as torch_threads

__all__ = ["TrainingFree"]


class TrainingFree:
    """One or several training-free scores of each candidate; the metrics carry their names.

    All candidates see the same batch: distinct training images, normalised and not augmented. A score that is written
    ``grasp(repeats=5)`` is the mean over five draws of the weights, each with a batch of its own that all see. The
    initial weights of a candidate depend on the seed and the architecture only. A score of -inf is a value, which ranks
    last; nan is a failure. `channels`, `cells` and so on are the size of the networks, by default the published one of
    the space.

    The published protocols score an architecture as it is, dead branches included. With `pruned` it is scored without
    them; the two do not belong in one table, because the same architecture has two scores.
    """

    def __init__(
        self,
        score: str | Spec | Sequence[str | Spec] = "naswot",
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
        asked = tuple(map(Asked.read, (score,) if isinstance(score, (str, Spec)) else score))
        if not asked or len(set(asked)) < len(asked):
            given = shortened(", ".join(map(str, asked)), 200)
            raise SpecError(f"training_free needs one or several different scores, but got [{given}].")
        if threads is not None and threads < 1:
            raise SpecError(f"At least one thread is needed, but got threads={threads}.")
        if pruned and space.prune is None:
            raise SpecError(f"{space.name} has no dead branches to leave out: score it without pruned=true.")
        self.metrics, self.pruned = tuple(score_named(str(one)) for one in asked), pruned
        self.space, self.seed, self.device, self.threads = space, seed, device, threads
        functions = {one.name: score_function(one.name) for one in asked}  # an unknown one is refused now
        self.skeleton = fitted_skeleton(space.name, data.shape, len(data.classes), channels=channels, cells=cells)
        for name, function in functions.items():
            if data.train.labels.is_floating_point() and "labels" in inspect.signature(function).parameters:
                raise SpecError(f"The score {name} reads classes, and {data.name} holds quantities: take another one.")
        refuse_unbuildable(space, self.skeleton, seed.numpy("check"))
        self._asked, size = asked, min(batch_size, len(data.train))
        # The first draw is that of a score without repeats.
        self._seeds = [seed, *(seed.child(f"repeat {turn}") for turn in range(1, max(one.repeats for one in asked)))]
        self._batches = [_batch(data, size, one) for one in self._seeds]
        self.batch_size = len(self._batches[0])

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        batches = [batch.to(self.device) for batch in self._batches]
        with torch_threads(self.threads):
            return [self._measured(proposal.arch, batches) for proposal in proposals]

    def kernel(self, arch: Architecture) -> Kernel:
        """What NASWOT sees of an architecture: its kernel on the batch, the images in the order of their classes."""
        batch = self._batches[0]
        # The objects of an image are no class of its own.
        labels = batch.labels if batch.labels.ndim == 1 else torch.zeros(len(batch), dtype=torch.int64)
        order = torch.argsort(labels, stable=True)
        images = batch.images[order].to(self.device)
        with torch_threads(self.threads):
            agreeing_BB, units = activation_kernel(self.network(arch), images)
        return Kernel(arch, units, agreeing_BB / units, labels[order].numpy(force=True).astype(np.int64))

    def network(self, arch: Architecture, turn: int = 0) -> nn.Module:
        """The untrained network that is scored, at one of its repeats.

        A table may hold sizes that its space does not draw, so that whether there is such a network is for `build` to
        say. InvalidArchitecture for one of another space.
        """
        if arch.space != self.space.name:
            raise InvalidArchitecture(f"{arch} belongs to the space {arch.space!r}, not to {self.space.name!r}.")
        prune = self.space.prune if self.pruned else None
        scored = arch if prune is None else prune(self.space.admit(arch))
        number = self._seeds[turn].child(str(scored)).integer("weights")
        return build(scored, self.skeleton, seed=number, space=self.space).to(self.device)

    def _measured(self, arch: Architecture, batches: Sequence[Split]) -> Measurement:
        started = time.perf_counter()
        try:
            turns = [self._scores(arch, turn, batch) for turn, batch in enumerate(batches)]
            found = {str(one): _mean([scores[one.name] for scores in turns[: one.repeats]]) for one in self._asked}
        except Exception as error:  # noqa: BLE001  whatever one candidate runs into must not cost the others
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            return Measurement(cost=Cost(time.perf_counter() - started), error=reason)
        cost = Cost(time.perf_counter() - started)
        bad = {name: value for name, value in found.items() if math.isnan(value) or value == math.inf}
        if bad:
            return Measurement(cost=cost, error=", ".join(f"{name} is {value}" for name, value in bad.items()))
        return Measurement(found, cost)

    def _scores(self, arch: Architecture, turn: int, batch: Split) -> dict[str, float]:
        """The scores that are taken so often, by their names."""
        names = list(dict.fromkeys(one.name for one in self._asked if one.repeats > turn))
        seed = self._seeds[turn].child(str(arch))
        return score_all(self.network(arch, turn), batch.images, batch.labels, names=names, seed=seed)


def _mean(values: Sequence[float]) -> float:
    """-inf where one of them is."""
    return sum(values) / len(values)


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
