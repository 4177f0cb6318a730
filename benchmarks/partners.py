"""What benchmarks beside a plain partner share: labels to learn from, and the seconds of the processor."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from ogive.core.predictor import Observed
from ogive.core.space import SearchSpace

__all__ = ["labels", "seconds"]


def labels(space: SearchSpace, count: int) -> Observed:
    """So many different architectures with made-up scores."""
    rng = np.random.default_rng(0)
    archs = tuple(dict.fromkeys(space.sample(rng) for _ in range(2 * count)))[:count]
    return Observed(archs, tuple(float(sum(arch.choices) + rng.normal()) for arch in archs))


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of all threads."""
    started = time.process_time()
    work()
    return time.process_time() - started
