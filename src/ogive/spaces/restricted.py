"""Spaces whose variables have more options than a search draws: the others are there for records and for tables."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.space import ATTEMPTS, SearchSpace

__all__ = ["RestrictedSpace"]


@dataclass(frozen=True, eq=False)
class RestrictedSpace(SearchSpace):
    """A space of `Choice` variables that draws some of their options only, so that few draws are in vain.

    `offered` are the choices of each variable that occur; `is_legal` must refuse all others.
    """

    offered: tuple[tuple[int, ...], ...] = ()

    def sample(self, rng: np.random.Generator) -> Architecture:
        """A random architecture: every offered choice equally likely, given that the whole is legal."""
        for _ in range(ATTEMPTS):
            choices = tuple(options[int(rng.integers(len(options)))] for options in self.offered)
            if self.is_legal(choices):
                return Architecture(self.name, choices)
        raise SpecError(f"{ATTEMPTS} random draws from {self.name} gave no legal architecture: restrict it less.")

    def mutate(self, arch: Architecture, rng: np.random.Generator) -> Architecture:
        """Another legal architecture that differs in one variable: which one and its choice are drawn uniformly."""
        others = [[c for c in options if c != now] for options, now in zip(self.offered, arch.choices, strict=True)]
        movable = [place for place, options in enumerate(others) if options]
        for _ in range(ATTEMPTS if movable else 0):
            place = movable[int(rng.integers(len(movable)))]
            value = others[place][int(rng.integers(len(others[place])))]
            choices = (*arch.choices[:place], value, *arch.choices[place + 1 :])
            if self.is_legal(choices):
                return Architecture(self.name, choices)
        raise SpecError(f"No mutation of {arch} gave a legal architecture of {self.name}: restrict it less.")

    def __iter__(self) -> Iterator[Architecture]:
        legal = (choices for choices in itertools.product(*self.offered) if self.is_legal(choices))
        return (Architecture(self.name, choices) for choices in legal)
