"""Inherited: estimate an architecture with weights of somebody else, such as a supernet or the parts of one."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Cost, Measurement, Proposal
from ogive.evaluators.trained import reason_of
from ogive.networks.build import WeightSource
from ogive.training.loop import Diverged, Tell
from ogive.training.task import Judge, Judged, Task
from ogive.training.threads import threads as torch_threads
from ogive.weights.source import Calibrated, Correction, Prepared

__all__ = ["Inherited"]


class Inherited:
    """Estimates candidates with weights of others: ``inherited(supernet(epochs=20))``, ``inherited(parts(split=0))``.

    `weights` are prepared when the first candidate comes: a supernet is trained, say, once. Measured is the first
    metric of the task, on the validation part alone, with batch statistics of each candidate's own, from samples that
    are the same for all: `measuring` says on how many. A task that takes no such statistics measures networks as they
    are. `metric` is what the estimate is called, None for the name that
    the task has for it.
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
        if not isinstance(weights, WeightSource):
            raise SpecError(f"Weights come from an object with network(arch), but got {type(weights).__name__}.")
        measured = task.metrics[0]
        self.metrics = (measured if metric is None else replace(measured, name=metric),)
        self.space, self.weights, self.threads, self.progress = space, weights, threads, progress
        self._measured_name, self._device = measured.name, torch.device(device)
        self._judge: Judge = _AsItIs(task, seed)
        if isinstance(task, Judged):
            options = task.measuring() if measuring is None else measuring
            self._judge = task.judge(options, seed=seed, device=self._device)
        self._correction: Correction | None = None
        self._is_calibrated = False

    def __getstate__(self) -> dict[str, Any]:
        # Who watches stays in this process, and a correction knows the space by functions, which cannot be sent.
        return {**self.__dict__, "progress": None, "_correction": None, "_is_calibrated": False}

    @property
    def parts(self) -> tuple[WeightSource]:
        """The weights, which rehearse for themselves."""
        return (self.weights,)

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        """An estimate of each proposal, whatever its fidelity."""
        with torch_threads(self.threads):
            return [self._measured(proposal.arch) for proposal in proposals]

    def network(self, arch: Architecture) -> nn.Module:
        """The network of an architecture with inherited weights and statistics of its own, in evaluation mode."""
        return self._judge.recalibrated(self.weights.network(self.space.admit(arch)).to(self._device))

    def rehearse(self) -> float:
        """About how many seconds what measures takes before its first network."""
        with torch_threads(self.threads):
            return self._judge.rehearse()

    def _measured(self, arch: Architecture) -> Measurement:
        started = time.perf_counter()
        self._prepare()  # outside: a training that fails is no failure of the candidate
        try:
            value = self._value(self.network(arch))
            if self._correction is not None:
                value = self._correction(self.space.admit(arch), value)
        except Exception as mishap:  # noqa: BLE001 - whatever one candidate runs into must not cost the others
            return Measurement(cost=Cost(time.perf_counter() - started), error=reason_of(mishap))
        cost = Cost(time.perf_counter() - started)
        if not math.isfinite(value):
            return Measurement(cost=cost, error="the estimate is no finite number")
        return Measurement({self.metrics[0].name: value}, cost)

    def _value(self, network: nn.Module) -> float:
        return self._judge.measured(network)[self._measured_name]

    def _prepare(self) -> None:
        if isinstance(self.weights, Prepared):
            self.weights.prepare(self.progress)
        self._judge.prepare(self.progress)
        if not self._is_calibrated and isinstance(self.weights, Calibrated):
            self._correction = self.weights.calibration(self._estimate, self.progress)
        self._is_calibrated = True

    def _estimate(self, network: nn.Module) -> float:
        """The same of a network as a source of weights gave it; NaN where it gives no numbers."""
        try:
            return self._value(self._judge.recalibrated(network.to(self._device)))
        except Diverged:
            return math.nan


class _AsItIs:
    """Measures networks as their task measures trained ones, with the statistics that they came with."""

    def __init__(self, task: Task[Any], seed: Seed) -> None:
        self._task, self._seed = task, seed

    def prepare(self, tell: Tell | None) -> None:
        """Nothing comes first."""

    def rehearse(self) -> float:
        """Nothing, and so 0 seconds."""
        return 0.0

    def recalibrated(self, network: nn.Module) -> nn.Module:
        """The network as it is."""
        return network.eval()

    def measured(self, network: nn.Module) -> dict[str, float]:
        """As the task does it."""
        return self._task.measured(network, "val", self._task.recipe(), seed=self._seed)
