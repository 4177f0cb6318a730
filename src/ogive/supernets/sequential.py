"""Train a supernet on uniform random paths, then the parts that it is split into, each from its parent's weights.

Zhao et al., "Few-shot Neural Architecture Search", ICML 2021. Every supernet has a folder of its own, named after
everything that decides its weights: an interrupted training goes on where it was, a finished one is read back, and two
trainings that begin alike share what is alike.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from ogive.core.errors import StoreError
from ogive.core.rng import Seed
from ogive.supernets.history import SearchEpoch
from ogive.supernets.networks import Supernet
from ogive.supernets.partition import Edge, Groups, Key, Maker, Partition, partition
from ogive.supernets.paths import uniform_paths
from ogive.supernets.search import ArchitectureRecipe, Search
from ogive.training import checkpoint
from ogive.training.distributed import current
from ogive.training.lock import lock
from ogive.training.lossy import Lossy, told_apart
from ogive.training.recipe import Recipe

__all__ = ["Level", "UniformTraining", "split_and_trained", "trained"]

logger = logging.getLogger(__name__)

Progress = Callable[[str], None]


@dataclass(frozen=True)
class UniformTraining:
    """How supernets are trained, and where: all that a training needs beside the supernet itself.

    `recipe` is that of a supernet that begins at random weights, `part_recipe` that of parts. `per_cell` draws a path
    for each cell. `origin` is what decides the weights beside all this, as plain values: space, size, first weights.
    Without a `folder` nothing is kept. `make` makes the supernets of parts, which take over what fits of their parent,
    as in `partition`; None where parts are to compute what their parent does. `spent` is filled with the seconds that
    each supernet trained, in this run or in an earlier one, by name.
    """

    task: Lossy
    seed: Seed
    recipe: Recipe
    part_recipe: Recipe
    origin: Mapping[str, Any]
    per_cell: bool = False
    device: str = "cpu"
    folder: Path | None = None
    progress: Progress | None = None
    make: Maker | None = field(default=None, compare=False)
    spent: dict[str, float] = field(default_factory=dict, compare=False)

    def fingerprint(self, name: str) -> dict[str, Any]:
        """Everything that decides the weights of the supernet of a name; the names of its ancestors begin it."""
        record: dict[str, Any] = {
            "name": name,
            "origin": dict(self.origin),
            "recipe": asdict(self.recipe),
            "part_recipe": asdict(self.part_recipe) if name else None,
            "per_cell": self.per_cell,
            "seed": [self.seed.root, *self.seed.path],
            "data": self.task.digest,
            **told_apart(self.task),
        }
        if name and self.make is not None:
            record["made anew"] = True
        plain: dict[str, Any] = json.loads(json.dumps(record))
        return plain


@dataclass(frozen=True)
class Level:
    """One split: an edge, and the operations that stay together there (None: each is alone)."""

    edge: Edge
    groups: Groups | None = None


def trained(supernet: Supernet, name: str, training: UniformTraining) -> Supernet:
    """Train a supernet on uniform paths, in place, or read back what an earlier training of it reached.

    `name` is empty for a supernet that is no part. StoreError if the folder cannot be used.
    """
    recipe = training.part_recipe if name else training.recipe
    fingerprint = training.fingerprint(name)
    if training.folder is None:
        search = _search(supernet, name, recipe, training)
        _train(search, name, None, fingerprint, training.progress)
        training.spent[name] = _seconds(search.history)
        return supernet
    digest = hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()[:16]
    folder = training.folder / f"supernet-{digest}"
    with lock(folder, "supernet", training.progress):
        found = checkpoint.latest(folder, fingerprint)
        search = _search(supernet, name, recipe, training)
        if found is not None:
            _restore(search, *found, folder)
        _train(search, name, folder, fingerprint, training.progress)
        training.spent[name] = _seconds(search.history)
    return supernet


def split_and_trained(supernet: Supernet, levels: Sequence[Level], training: UniformTraining) -> Partition:
    """The parts of a trained supernet after one split for each level, those of every level trained before the next."""
    parts: dict[Key, Supernet] = {(): supernet}
    names: dict[Key, str] = {(): ""}
    for number, level in enumerate(levels):
        below: dict[Key, Supernet] = {}
        for key, parent in parts.items():
            divided = partition(parent, level.edge, groups=level.groups, make=training.make)
            for (row,), part in divided:
                place = f"{level.edge} {divided.name((row,))}"
                names[*key, row] = f"{names[key]}, {place}" if number else place
                below[*key, row] = trained(part, names[*key, row], training)
        parts = below
    return Partition(supernet.plan, [level.edge for level in levels], parts)


# -- one training -----------------------------------------------------------------------------------------------------


def _search(supernet: Supernet, name: str, recipe: Recipe, training: UniformTraining) -> Search:
    task = training.task
    # No architecture is trained, so that the least that batches can be made of stands for its samples.
    few = task.few(1, replace(recipe, batch_size=current().count))
    return Search(
        supernet,
        uniform_paths(supernet, per_cell=training.per_cell),
        task,
        few,
        recipe,
        ArchitectureRecipe(order=0),
        seed=training.seed.child(name or "one-shot"),
        device=training.device,
    )


def _train(
    search: Search, name: str, folder: Path | None, fingerprint: Mapping[str, Any], tell: Progress | None
) -> None:
    label = f"supernet ({name})" if name else "supernet"
    epochs, started, before = search.recipe.epochs, time.perf_counter(), len(search.history)
    inside = None if tell is None else lambda text: tell(f"{label}: {text}")
    while len(search.history) < epochs and not search.over:
        epoch = search.epoch(inside)
        if folder is not None:
            record = {"fingerprint": dict(fingerprint), **search.record()}
            if search.ranks.writes:
                checkpoint.save(folder, epoch.number, search.tensors(), record)
        left = (time.perf_counter() - started) / (epoch.number - before) * (epochs - epoch.number)
        told = f"{label}: epoch {epoch.number} of {epochs}, loss {epoch.train_loss:.3f}, about {left:.0f} s left"
        logger.info(told)
        if tell is not None:
            tell(told)
    if search.over:
        logger.warning("The %s stays as it was after its last good step.", label)


def _restore(search: Search, tensors: Mapping[str, torch.Tensor], record: Mapping[str, Any], folder: Path) -> None:
    try:
        search.restore(tensors, record)
    except (KeyError, TypeError, RuntimeError) as error:
        raise StoreError(f"The state in {folder} was written by another version of ogive: {error!r}.") from error


def _seconds(history: Sequence[SearchEpoch]) -> float:
    return sum(epoch.seconds for epoch in history)
