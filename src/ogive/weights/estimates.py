"""Estimates: what architectures are worth with weights of a source, measured alike for all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ogive.core.architecture import Architecture
from ogive.core.capabilities import Guessed
from ogive.core.errors import SpecError
from ogive.core.metric import Guess
from ogive.core.rng import Seed
from ogive.networks.build import WeightSource
from ogive.training.loop import Diverged, Tell
from ogive.training.task import Judge, Judged, Task
from ogive.weights.source import Calibrated, Correction, Prepared

__all__ = ["Estimates"]


class Estimates:
    """The first metric of a task, of networks with weights of a source; for evaluators and for strategies.

    It is measured on the validation part alone, which taught no source that ogive trains, with batch statistics of each
    network's own, from samples that are the same for all: `measuring` says on how many, None for as many as the task
    takes. A task that takes no such statistics measures networks as they are. `tell` is told what is being prepared.
    """

    def __init__(
        self,
        weights: WeightSource,
        task: Task[Any],
        seed: Seed,
        *,
        measuring: object | None = None,
        device: str = "cpu",
    ) -> None:
        if not isinstance(weights, WeightSource):
            raise SpecError(f"Weights come from an object with network(arch), but got {type(weights).__name__}.")
        self.weights, self.metric, self._device = weights, task.metrics[0], torch.device(device)
        self._judge: Judge = _AsItIs(task, seed)
        if isinstance(task, Judged):
            options = task.measuring() if measuring is None else measuring
            self._judge = task.judge(options, seed=seed, device=self._device)
        self._correction: Correction | None = None
        self._is_calibrated = False

    def __getstate__(self) -> dict[str, Any]:
        # A correction knows the space by functions, which cannot be sent to another process.
        return {**self.__dict__, "_correction": None, "_is_calibrated": False}

    def prepare(self, tell: Tell | None) -> None:
        """Prepare the weights and what measures, unless it is done; whatever is raised is no failure of a candidate."""
        if isinstance(self.weights, Prepared):
            self.weights.prepare(tell)
        self._judge.prepare(tell)
        if not self._is_calibrated and isinstance(self.weights, Calibrated):
            self._correction = self.weights.calibration(self._estimate, tell)
        self._is_calibrated = True

    @property
    def guesses(self) -> Sequence[Guess]:
        """What guessing reaches in the metric, if that is known."""
        found = self._judge.guesses if isinstance(self._judge, Guessed) else ()
        return [guess for guess in found if guess.metric == self.metric.name]

    def network(self, arch: Architecture) -> nn.Module:
        """The network of an architecture with inherited weights and statistics of its own, in evaluation mode."""
        return self._judge.recalibrated(self.weights.network(arch).to(self._device))

    def value(self, arch: Architecture) -> float:
        """The estimate, on the scale of all others, once all is prepared; it raises what its network runs into."""
        value = self._measured(self.network(arch))
        return value if self._correction is None else self._correction(arch, value)

    def rehearse(self) -> float:
        """About how many seconds what measures takes before its first network; the weights rehearse for themselves."""
        return self._judge.rehearse()

    def _measured(self, network: nn.Module) -> float:
        return self._judge.measured(network)[self.metric.name]

    def _estimate(self, network: nn.Module) -> float:
        """The same of a network as a source of weights gave it; NaN where it gives no numbers."""
        try:
            return self._measured(self._judge.recalibrated(network.to(self._device)))
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

    @property
    def guesses(self) -> Sequence[Guess]:
        """As the task knows it."""
        return self._task.guesses if isinstance(self._task, Guessed) else ()

    def recalibrated(self, network: nn.Module) -> nn.Module:
        """The network as it is."""
        return network.eval()

    def measured(self, network: nn.Module) -> dict[str, float]:
        """As the task does it."""
        return self._task.measured(network, "val", self._task.recipe(), seed=self._seed)
