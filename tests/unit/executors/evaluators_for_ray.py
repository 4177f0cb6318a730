"""Evaluators that stand in a module of their own, since the workers of Ray import them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ogive.core.metric import Metric
from ogive.core.trial import Measurement, Proposal


class Odd:
    """Measures the sum of the choices, after a while; some first choices kill the worker, or never come back.

    Where a `folder` is given, each trial leaves the number of its process in it, and kills it if `once` and the first.
    """

    metrics = (Metric("val_acc"),)

    def __init__(
        self,
        seconds: float = 0.0,
        *,
        deadly: Sequence[int] = (),
        endless: Sequence[int] = (),
        folder: Path | None = None,
        once: bool = False,
        megabytes: int = 0,
    ) -> None:
        self.seconds, self.deadly, self.endless = seconds, tuple(deadly), tuple(endless)
        self.folder, self.once = folder, once
        self.data = np.zeros((megabytes, 1 << 17))
        self.progress = None

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return [self._measured(proposal) for proposal in proposals]

    def _measured(self, proposal: Proposal) -> Measurement:
        first = proposal.arch.choices[0]
        if self.progress is not None:
            self.progress(f"begins with {first}")
        if first in self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.folder is not None:
            begun = self.folder / f"{os.getpid()}-{time.time_ns()}"
            alone = not any(self.folder.iterdir())
            begun.touch()
            if self.once and alone:
                os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(1000.0 if first in self.endless else self.seconds)
        return Measurement({"val_acc": float(sum(proposal.arch.choices) + self.data.sum())})


class Holding:
    """Holds something that no process can send to another, three levels down."""

    metrics = (Metric("val_acc"),)

    def __init__(self) -> None:
        self.fine = {"a": 1}
        self.inner = {"parts": [1, threading.Lock()]}

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return [Measurement({"val_acc": 0.0}) for _ in proposals]
