"""The supernet of autogan: trained on uniform random paths, split on decisions into parts that are trained further.

Zhao et al., "Few-shot Neural Architecture Search", ICML 2021, whose abstract names AutoGAN among the spaces; how it was
split there is not published. A discriminator goes with every generator: a part begins with copies of both.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, UnknownName
from ogive.core.rng import Seed
from ogive.core.space import Choice
from ogive.networks.autogan import Choices, Discriminator, SharedGenerator
from ogive.spaces.autogan import autogan
from ogive.supernets.partition import Key
from ogive.training.adversarial import AdversarialRecipe, Route, train_adversarial
from ogive.training.data import Data
from ogive.training.lock import lock
from ogive.training.loop import Tell

__all__ = [
    "GeneratorParts",
    "Pair",
    "PathTraining",
    "decision",
    "divided",
    "split_and_trained",
    "trained",
    "uniform_route",
]


@dataclass(frozen=True, eq=False)
class Pair:
    """A generator, of one architecture or of many, and the discriminator that it learns from."""

    generator: SharedGenerator
    critic: Discriminator


class GeneratorParts:
    """The parts of a supernet, and which of them an architecture belongs to; a source of weights.

    `decisions` are the variables of the space that were split, by number; a key says what each of them is in a part.
    """

    def __init__(self, decisions: Sequence[int], parts: Mapping[Key, Pair]) -> None:
        self.decisions, self.parts = tuple(decisions), dict(parts)

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[tuple[Key, Pair]]:
        return iter(self.parts.items())

    def route(self, arch: Architecture) -> Key:
        """The key of the part that holds an architecture; SpecError if none does."""
        arch = autogan().admit(arch)
        for key in self.parts:
            if self._is_in(key, arch):
                return key
        raise SpecError(f"No part of the supernet holds {arch}.")

    def part(self, arch: Architecture) -> SharedGenerator:
        """The part that holds an architecture."""
        return self.parts[self.route(arch)].generator

    def network(self, arch: Architecture) -> SharedGenerator:
        """The generator of an architecture, whose weights are those of its part."""
        return self.part(arch).network(arch)

    def holdings(self) -> list[tuple[str, Callable[[Architecture], bool]]]:
        """The name of each part, and whether it holds an architecture."""
        return [(self.name(key), partial(self._is_in, key)) for key in self.parts]

    def _is_in(self, key: Key, arch: Architecture) -> bool:
        return all(arch.choices[place] in held for place, held in zip(self.decisions, key, strict=True))

    def name(self, key: Key) -> str:
        """A short name of a part: its options of the split decisions."""
        return "+".join(
            "-".join(_variable(place).options[number] for number in held)
            for place, held in zip(self.decisions, key, strict=True)
        )


def decision(text: str) -> int:
    """The number of a decision, written as the variable of the space is: ``up1``, ``shortcut2``; UnknownName."""
    names = [variable.name for variable in autogan().variables]
    if text not in names:
        raise UnknownName(f"decision of {autogan().name}", text, names)
    return names.index(text)


def divided(parent: Pair, place: int) -> GeneratorParts:
    """Split a supernet on one decision: a part for each of its options, with weights of its own.

    They begin as copies of the parent's, statistics included, so that each architecture makes the images that it made.
    """
    choices = parent.generator.choices
    if len(choices[place]) < 2:
        raise SpecError(f"A supernet is split on a decision that it leaves open, but {_variable(place).name} is made.")
    parts: dict[Key, Pair] = {}
    for number in choices[place]:
        held: Choices = (*choices[:place], (number,), *choices[place + 1 :])
        part = parent.generator.restricted(held, copied=True)
        parts[((number,),)] = Pair(part, copy.deepcopy(parent.critic))
    return GeneratorParts([place], parts)


def uniform_route(choices: Choices) -> Route:
    """Draws the architectures that some choices leave, all equally likely."""

    def drawn(draw: torch.Generator) -> tuple[int, ...]:
        return tuple(row[int(torch.randint(len(row), (), generator=draw))] for row in choices)

    return drawn


# -- trainings --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PathTraining:
    """How supernets of generators are trained, and where; see ``UniformTraining`` of ``sequential``.

    `recipe` is that of a supernet that begins at random weights, `part_recipe` that of parts; `origin` is what decides
    the weights beside all this, as plain values. Without a `folder` nothing is kept. `spent` is filled with the seconds
    that each supernet trained, in this run or in an earlier one, by name.
    """

    data: Data
    seed: Seed
    recipe: AdversarialRecipe
    part_recipe: AdversarialRecipe
    origin: Mapping[str, Any]
    device: str = "cpu"
    folder: Path | None = None
    progress: Tell | None = None
    spent: dict[str, float] = field(default_factory=dict, compare=False)

    def decided(self, name: str) -> dict[str, Any]:
        """What decides the weights of the supernet of a name, beside its own recipe, seed and data."""
        ancestors = asdict(self.recipe) if name else None
        return {"name": name, "supernet": dict(self.origin), "one-shot": ancestors}


def trained(pair: Pair, name: str, training: PathTraining) -> Pair:
    """Train a supernet on uniform paths, in place, or read back what an earlier training of it reached.

    `name` is empty for a supernet that is no part. Raises Diverged, and StoreError if the folder cannot be used.
    """
    recipe = training.part_recipe if name else training.recipe
    decided, label = training.decided(name), f"supernet ({name})" if name else "supernet"
    tell = training.progress

    def run(folder: Path | None) -> None:
        history = train_adversarial(
            pair.generator,
            pair.critic,
            training.data,
            recipe,
            seed=training.seed.child(name or "one-shot"),
            device=training.device,
            folder=folder,
            origin=decided,
            path=uniform_route(pair.generator.choices),
            progress=None if tell is None else lambda text: tell(f"{label}: {text}"),
        )
        training.spent[name] = sum(one.seconds for one in history)

    if training.folder is None:
        run(None)
        return pair
    record = {**decided, "recipe": asdict(recipe), "seed": [training.seed.root, *training.seed.path]}
    record["data"] = training.data.digest
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]
    folder = training.folder / f"generators-{digest}"
    with lock(folder, "supernet", tell):
        run(folder)
    return pair


def split_and_trained(pair: Pair, decisions: Sequence[int], training: PathTraining) -> GeneratorParts:
    """The parts of a trained supernet after one split for each decision, those of every level trained before the next.

    SpecError without a decision, and for one that is given twice.
    """
    if not decisions or len(set(decisions)) < len(decisions):
        raise SpecError(f"A supernet is split on different decisions, one at least, but got {list(decisions)}.")
    parts: dict[Key, Pair] = {(): pair}
    names: dict[Key, str] = {(): ""}
    for place in decisions:
        below: dict[Key, Pair] = {}
        for key, parent in parts.items():
            level = divided(parent, place)
            for (row,), part in level:
                own = f"{_variable(place).name} {level.name((row,))}"
                names[*key, row] = f"{names[key]}, {own}" if names[key] else own
                below[*key, row] = trained(part, names[*key, row], training)
        parts = below
    return GeneratorParts(decisions, parts)


def _variable(place: int) -> Choice:
    variable = autogan().variables[place]
    assert isinstance(variable, Choice)
    return variable
