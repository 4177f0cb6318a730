"""Inherited: estimate an architecture with weights of somebody else, such as a supernet or the parts of one."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.metric import Guess
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Cost, Measurement, Proposal
from ogive.evaluators.trained import reason_of
from ogive.networks.build import WeightSource
from ogive.training.loop import Tell
from ogive.training.task import Task
from ogive.training.threads import threads as torch_threads
from ogive.weights.estimates import Estimates

__all__ = ["Inherited"]


class Inherited:
    """Estimates candidates with weights of others: ``inherited(supernet(epochs=20))``, ``inherited(parts(split=0))``.

    `weights` are prepared when the first candidate comes: a supernet is trained, say, once. What is measured, and how
    `measuring` changes it, `Estimates` says. `metric` is what the estimate is called, None for the name that the task
    has for it.
    """

    def __init__(
        self,
        weights: WeightSource,
        *,
        task: Task[Any],
        space: SearchSpace,
        seed: Seed,
        measuring: object | None = None,
        metric: str | None = None,
        device: str = "cpu",
        threads: int | None = None,
        progress: Tell | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise SpecError(f"threads must be at least 1, but got {threads}.")
        self._estimates = Estimates(weights, task, seed, measuring=measuring, device=device)
        measured = self._estimates.metric
        self.metrics = (measured if metric is None else replace(measured, name=metric),)
        self.space, self.weights, self.threads, self.progress = space, weights, threads, progress

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "progress": None}  # who watches stays in this process

    @property
    def parts(self) -> tuple[WeightSource]:
        """The weights, which rehearse for themselves."""
        return (self.weights,)

    @property
    def guesses(self) -> Sequence[Guess]:
        """What guessing reaches."""
        return [replace(guess, metric=self.metrics[0].name) for guess in self._estimates.guesses]

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        """An estimate of each proposal, whatever its fidelity."""
        with torch_threads(self.threads):
            return [self._measured(proposal.arch) for proposal in proposals]

    def network(self, arch: Architecture) -> nn.Module:
        """The network of an architecture with inherited weights and statistics of its own, in evaluation mode."""
        return self._estimates.network(self.space.admit(arch))

    def prepare(self, tell: Tell | None) -> None:
        """Prepare the weights and what measures; the first candidate does it too."""
        with torch_threads(self.threads):
            self._estimates.prepare(tell)

    def rehearse(self) -> float:
        """About how many seconds what measures takes before its first network."""
        with torch_threads(self.threads):
            return self._estimates.rehearse()

    def _measured(self, arch: Architecture) -> Measurement:
        started = time.perf_counter()
        self._estimates.prepare(self.progress)  # outside: a training that fails is no failure of the candidate
        try:
            value = self._estimates.value(self.space.admit(arch))
        except Exception as mishap:  # noqa: BLE001 - whatever one candidate runs into must not cost the others
            return Measurement(cost=Cost(time.perf_counter() - started), error=reason_of(mishap))
        cost = Cost(time.perf_counter() - started)
        if not math.isfinite(value):
            return Measurement(cost=cost, error="the estimate is no finite number")
        return Measurement({self.metrics[0].name: value}, cost)
