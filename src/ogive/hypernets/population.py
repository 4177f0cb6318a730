"""The networks that a hypernetwork is trained and measured on: drawn from a split, at a width and for images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from ogive.core.errors import SpecError
from ogive.core.network_graph import NetworkGraph
from ogive.hypernets.recipe import GHNRecipe
from ogive.hypernets.shards import AUTHORS, PUBLISHED_SEEDS, Shards
from ogive.networks.deepnets import DeepNet
from ogive.spaces.deepnets import HIDDEN, LARGE, Design, design_of
from ogive.spaces.deepnets_graph import SIDES, drawn, network_graph

__all__ = ["Member", "Population", "Sized", "of_split"]

# A recipe of which so many networks, or so many sets of networks in a row, are too large is refused.
ATTEMPTS, SETS = 10_000, 100


@dataclass(frozen=True, slots=True)
class Sized:
    """What a network of a design is built for: inputs (channels, rows, columns), classes, and its style."""

    shape: tuple[int, ...]
    classes: int

    @property
    def style(self) -> str:
        """Stems for large images, or for small ones."""
        return "imagenet" if min(self.shape[1:]) > 2 * SIDES["cifar"] else "cifar"


@dataclass(frozen=True, slots=True)
class Member:
    """One network: its design, its width, what it is built for, and its graph."""

    design: Design
    channels: int
    size: Sized
    graph: NetworkGraph

    @classmethod
    def of(cls, design: Design, channels: int, size: Sized) -> Member:
        """The network of a design."""
        graph = network_graph(
            design,
            channels=channels,
            classes=size.classes,
            inputs=size.shape[0],
            style=size.style,
            side=min(size.shape[1:]),
        )
        return cls(design, channels, size, graph)

    def module(self, device: torch.device | str = "meta") -> nn.Module:
        """The network itself; on the meta device it has no weights of its own."""
        with torch.device(device):
            return DeepNet(
                self.design,
                self.channels,
                self.size.classes,
                self.size.shape[0],
                self.size.style,
                min(self.size.shape[1:]),
            )


class Population:
    """The training split of DeepNets-1M, from its seed or from files, of which some networks are drawn at a time."""

    def __init__(self, size: Sized, recipe: GHNRecipe, shards: Shards | None = None) -> None:
        self.size, self.recipe, self.shards = size, recipe, shards
        self.count = recipe.first if shards is None else min(recipe.first, len(shards))
        # Of networks that were drawn, which have too many nodes: they need not be drawn again.
        self._too_large: set[int] = set()
        if shards is not None and shards.split != "train":
            raise SpecError(
                f"A hypernetwork is trained on networks of the split train, but {shards.folder} holds {shards.split}."
            )

    @property
    def name(self) -> str:
        """What it is drawn from, in words that tell it from any other."""
        seed = PUBLISHED_SEEDS.get("train", 1) if self.shards is None else self.shards.seed
        drawn_from = "the authors' file" if seed == AUTHORS else f"seed {seed}"
        return f"the first {self.count} networks of train, {drawn_from}"

    def drawn(self, rng: np.random.Generator) -> list[Member]:
        """The networks of one step; SpecError where the limits of the recipe let none through."""
        recipe = self.recipe
        for _ in range(SETS):
            members = [self._one(rng) for _ in range(recipe.meta_batch)]
            if sum(len(member.graph) for member in members) <= recipe.most_nodes:
                return members
        raise SpecError(
            f"{SETS} draws of {recipe.meta_batch} networks had more than most_nodes={recipe.most_nodes} nodes each: "
            "raise it, or lower meta_batch or network_nodes."
        )

    def _one(self, rng: np.random.Generator) -> Member:
        for _ in range(ATTEMPTS):
            number = int(rng.integers(self.count))
            if number in self._too_large:
                continue
            design, parameters, nodes = self._design(number)
            if self.recipe.network_nodes is not None and nodes > self.recipe.network_nodes:
                self._too_large.add(number)
                continue
            return Member.of(*self._at_a_width(design, parameters, rng), self.size)
        raise SpecError(
            f"None of {ATTEMPTS} networks of the training split has at most network_nodes={self.recipe.network_nodes} "
            "nodes: raise it."
        )

    def _design(self, number: int) -> tuple[Design, int, int]:
        """A design, its parameters at the width of 32, and its nodes."""
        if self.shards is None:
            found = drawn("train", number, PUBLISHED_SEEDS.get("train", 1))
            return design_of(found.arch), found.parameters, len(found.graph)
        nodes, parameters = self.shards.facts(number)
        return design_of(self.shards.arch(number)), parameters, nodes

    def _at_a_width(self, design: Design, parameters: int, rng: np.random.Generator) -> tuple[Design, int]:
        """A width and a head for it: fewer choices for larger networks; deepnets1m/loader.py."""
        many = _choices(design, parameters)
        channels = self.recipe.channels[:many]
        hidden = self.recipe.hidden[:many]
        units = hidden[int(rng.integers(len(hidden)))]
        return replace(design, hidden=units), channels[int(rng.integers(len(channels)))]


def _choices(design: Design, parameters: int) -> int:
    large = any(op in LARGE for cell in (design.normal, design.reduce) for op, _ in cell)
    if parameters > 0.8e6 or not design.pooled or large or design.cells > 12:
        return 1
    if parameters > 0.4e6 or design.cells > 10:
        return 2
    if parameters > 0.2e6 or design.cells > 8:
        return 3
    return len(HIDDEN)


def of_split(split: str, numbers: Sequence[int], channels: int, size: Sized, hidden: int) -> list[Member]:
    """Networks of a split at one width, the published seed of it taken."""
    seed = PUBLISHED_SEEDS.get(split, 1)
    designs = (design_of(drawn(split, number, seed).arch) for number in numbers)
    return [Member.of(replace(design, hidden=hidden), channels, size) for design in designs]
