"""Strategies over the same seeds: intervals of their means, and every two of them by a paired test."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ogive.core.rng import Seed
from ogive.metrics import Interval, holm, mean_interval, paired_permutation_test

__all__ = ["Pair", "interval_of", "pairs_of"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pair:
    """Two strategies: the mean difference of `value` over equal seeds, and a paired permutation test of it."""

    first: str
    second: str
    value: str
    difference: float
    interval: Interval
    p_value: float
    adjusted_p_value: float


def interval_of(values: Floats, seed: int, name: str) -> Interval:
    """The interval of a mean over searches in a comparison that begins with `seed`, such as that of "score random"."""
    if np.isnan(values).any():
        return Interval(math.nan, math.nan)
    return mean_interval(values, _stream(seed, name))


def pairs_of(values: Mapping[str, Floats], seed: int, value: str) -> list[Pair]:
    """Every two strategies, by their values over equal seeds, in a comparison that begins with `seed`."""
    found: list[tuple[str, str, float, Interval, float]] = []
    for first, second in itertools.combinations(values, 2):
        a, b = values[first], values[second]
        if np.isnan(a).any() or np.isnan(b).any():
            continue
        difference = a - b
        p_value = paired_permutation_test(a, b, _stream(seed, f"{first} {second}"))
        interval = mean_interval(difference, _stream(seed, f"difference {first} {second}"))
        found.append((first, second, float(difference.mean()), interval, p_value))
    adjusted = holm([p_value for *_, p_value in found]).tolist() if found else []
    return [
        Pair(first, second, value, difference, interval, p_value, raised)
        for (first, second, difference, interval, p_value), raised in zip(found, adjusted, strict=True)
    ]


def _stream(seed: int, name: str) -> np.random.Generator:
    return Seed(seed).child("compare").numpy(name)
