"""The networks that were trained in full of the trials of a run: one a trial, in ``artifacts/networks/trial-N/``.

There is ``network.json`` (the figures), ``network.safetensors`` (the weights) and the log of the training. The winner
is the best trial of the run, today, trained or not. ``artifacts/winner.json`` is a copy of its figures with the rule by
which it is the best, for other programs; it is there while the best trial is a trained one. Version 0.1 kept the last
trained network alone, as ``artifacts/winner.json`` and ``artifacts/winner/``.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ogive.core.architecture import Architecture
from ogive.core.errors import StoreError, in_line
from ogive.core.trial import Trial
from ogive.documents import Shape, read_json
from ogive.files import write_json
from ogive.looks import looks_at_test
from ogive.run_records import METRIC
from ogive.runs import Run

__all__ = [
    "RECORD",
    "WEIGHTS",
    "Exported",
    "TrainedNetwork",
    "folder_of",
    "keep_network",
    "network_of",
    "note_winner",
    "trained_networks",
    "way_to_train",
]

Facts = dict[str, Any]
RECORD, WEIGHTS = "network.json", "network.safetensors"
NETWORKS = "networks"
# What is read of a record, by whom it may be; version 0.1 left some of it out.
_EXPORT = {"format": str, "paths": [str], "largest_difference?": (float, None), "seconds?": (float, None)}
_FACTS = {
    "arch": str,
    **dict.fromkeys(("task?", "reached?", "rule?"), str),
    **dict.fromkeys(("look?", "test_images?", "test_words?", "test_correct?"), (int, None)),
    **dict.fromkeys(("epochs?", "test_acc?", "test_ppl?", "test_loss?"), float),
    **{key: {...: object} for key in ("recipe?", "size?", "skeleton?")},
    "data?": (str, None),
    "exports?": [_EXPORT],
    "metrics?": [METRIC],
}


@dataclass(frozen=True, slots=True)
class Exported:
    """One export that passed its check.

    `largest_difference` is the largest absolute difference between its outputs and the network's own over all batches
    that were tried.
    """

    format: str
    paths: tuple[Path, ...]
    largest_difference: float
    seconds: float


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """A network that was trained in full: the number of its trial, its figures, and where they and its weights are."""

    trial: int
    facts: Facts
    record: Path
    weights: Path

    @property
    def arch(self) -> str:
        """Its architecture."""
        return str(self.facts["arch"])


def folder_of(run: Run, trial: int) -> Path:
    """Where the trained network of a trial is kept."""
    return run.artifacts / NETWORKS / f"trial-{trial}"


def trained_networks(run: Run) -> list[TrainedNetwork]:
    """All of them, by the numbers of their trials; StoreError for a damaged record."""
    found = {}
    for path in run.artifacts.glob(f"{NETWORKS}/trial-*/{RECORD}"):
        facts = _read(run, path, {**_FACTS, "trial": int})
        found[facts["trial"]] = TrainedNetwork(facts["trial"], facts, path, path.with_name(WEIGHTS))
    before = _of_version_1(run)
    if before is not None:
        found.setdefault(before.trial, before)
    return [found[number] for number in sorted(found)]


def network_of(networks: Sequence[TrainedNetwork], trial: Trial | None) -> TrainedNetwork | None:
    """The trained one of a trial, or of another trial with the same architecture; None if there is none."""
    if trial is None:
        return None
    own = (network for network in networks if network.trial == trial.number)
    same = (network for network in networks if network.arch == str(trial.arch))
    return next(own, None) or next(same, None)


def keep_network(run: Run, trial: int, facts: Mapping[str, Any]) -> None:
    """Write the figures of the trained network of a trial; those of version 0.1 are moved to where they belong now."""
    before = _of_version_1(run)
    if before is not None:
        place = folder_of(run, before.trial)
        place.mkdir(parents=True, exist_ok=True)
        if before.weights.exists() and not (place / WEIGHTS).exists():
            shutil.copyfile(before.weights, place / WEIGHTS)
        write_json(place / RECORD, before.facts)
    write_json(folder_of(run, trial) / RECORD, facts)
    note_winner(run)
    shutil.rmtree(run.artifacts / "winner", ignore_errors=True)


def note_winner(run: Run) -> None:
    """Let ``winner.json`` hold the figures of today's best trial, or be away while that is not trained."""
    path = run.artifacts / "winner.json"
    if _of_version_1(run) is not None:  # all there is of that network
        return
    choice = run.choice
    network = network_of(trained_networks(run), choice.trial)
    if network is None:
        path.unlink(missing_ok=True)
        return
    looks = looks_at_test(run.folder)
    more = {"rule": choice.rule, "trials": len(run.evaluated), "looks": max((look.number for look in looks), default=0)}
    write_json(path, {**network.facts, **more})


def way_to_train(run: Run, trial: int | None = None) -> str:
    """The command that trains the network of a trial, or that of the best."""
    return shlex.join(["ogive", "train", str(run.folder), *([] if trial is None else ["--trial", str(trial)])])


def _of_version_1(run: Run) -> TrainedNetwork | None:
    """The last trained network of a run of version 0.1, until it is kept like the others."""
    path = run.artifacts / "winner.json"
    if not path.exists() or any(run.artifacts.glob(f"{NETWORKS}/trial-*/{RECORD}")):  # then it is a copy
        return None
    facts = _read(run, path, {**_FACTS, "trial?": (int, None)})
    if "rule" in facts:  # a copy too, whose original is being replaced
        return None
    number = facts.get("trial")
    if not isinstance(number, int):
        number = next((trial.number for trial in run.trials if str(trial.arch) == facts["arch"]), -1)
    return TrainedNetwork(number, {**facts, "trial": number}, path, run.artifacts / "winner" / "winner.safetensors")


def _read(run: Run, path: Path, shape: Shape) -> Facts:
    try:
        facts = _renewed(read_json(path, shape))
        Architecture.parse(facts["arch"])
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} is damaged ({in_line(error)}): delete it, and train again: {way_to_train(run)}"
        ) from error
    return facts


def _renewed(facts: Facts) -> Facts:
    """The facts of a network that version 0.1 wrote, with the task and the size that it left out."""
    if "task" in facts or not {"test_ppl", "test_acc"} & facts.keys():
        return facts
    usual: Facts = {"channels": None, "cells": None, "auxiliary": False}
    size = {name: facts.get("skeleton", {}).get(name, value) for name, value in usual.items()}
    if "test_ppl" in facts:
        reached = f"perplexity {facts['test_ppl']:.2f} on {facts.get('test_words')} test words"
        return {**facts, "task": "language", "size": size, "reached": reached}
    images = f"{facts['test_images']} test images" if "test_images" in facts else "the test images"
    reached = f"{facts['test_acc']:.2f} % of {images}"
    return {**facts, "task": "classification", "size": size, "reached": reached}
