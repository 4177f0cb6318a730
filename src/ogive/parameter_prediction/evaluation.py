"""Hypernetworks compared on unseen networks: accuracy on the splits of DeepNets-1M, beside random initialisation."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ogive import catalog
from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.hypernets.files import load
from ogive.hypernets.measuring import accuracies, looked_at, of_random_weights
from ogive.hypernets.population import Member, Sized, of_split
from ogive.training.data import Data, Split
from ogive.training.threads import threads as torch_threads

__all__ = ["SPLITS", "Reached", "evaluate_ghn"]

SPLITS = ("val", "wide", "deep", "dense", "bnfree")
# Networks of the split wide are four times as wide as the others, for CIFAR-10; Knyazev et al. 2021, appendix A.
WIDE = 4
RANDOM = "random initialisation"


@dataclass(frozen=True, slots=True)
class Reached:
    """Accuracies in per cent of the networks of a split, with the parameters of one source."""

    source: str
    split: str
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Their mean."""
        return statistics.fmean(self.accuracies)

    @property
    def standard_error(self) -> float:
        """Of the mean, over networks; 0 of one network."""
        count = len(self.accuracies)
        return statistics.stdev(self.accuracies) / math.sqrt(count) if count > 1 else 0.0


def evaluate_ghn(
    files: Sequence[Path],
    *,
    data: str,
    splits: Sequence[str] = SPLITS,
    networks: int = 50,
    images: int = 1000,
    channels: int = 8,
    random_seeds: int = 3,
    threads: int | None = None,
    tell: Callable[[Reached], None] | None = None,
) -> list[Reached]:
    """What the first `networks` of each split reach on test images, with parameters of each file and with random ones.

    Batch statistics are those of each batch of 64 images, the same batches for all. Random weights are those that the
    layers begin with, the mean of each network over `random_seeds` draws. SpecError for files of other classes.
    """
    if networks < 1 or images < 2 or random_seeds < 0:
        raise SpecError(
            f"There must be a network and two images at least, but got networks={networks}, images={images}."
        )
    read: Data = catalog.build("data", data)
    size, seen = Sized(read.shape, len(read.classes)), looked_at(read.test, images)
    hypernetworks = {str(file): load(file) for file in files}
    for name, ghn in hypernetworks.items():
        if ghn.configuration.classes != size.classes:
            raise SpecError(
                f"The hypernetwork in {name} is for {ghn.configuration.classes} classes, but {data} has {size.classes}."
            )
    found: list[Reached] = []

    def add(source: str, split: str, values: Sequence[float]) -> None:
        found.append(Reached(source, split, tuple(values)))
        if tell is not None:
            tell(found[-1])

    with torch_threads(threads):
        for split in splits:
            members = of_split(split, range(networks), WIDE * channels if split == "wide" else channels, size, 64)
            if random_seeds:
                add(RANDOM, split, _random(members, read, seen, random_seeds))
            for name, ghn in hypernetworks.items():
                add(name, split, accuracies(ghn, members, read, seen))
    return found


def _random(members: Sequence[Member], data: Data, seen: Split, seeds: int) -> list[float]:
    draws = [of_random_weights(members, data, seen, Seed(seed)) for seed in range(seeds)]
    return [statistics.fmean(own) for own in zip(*draws, strict=True)]
