"""What a candidate's rung leaves in the run folder goes when no trial can go on from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import ogive
from ogive.core.architecture import Architecture
from ogive.core.trial import Proposal, Trial
from ogive.runs import read_run
from ogive.session import unfinished

SPACE = ogive.space("nasbench201")
ARCHS = [SPACE.parse(f"nasbench201:{text}") for text in ("3,1,2,3,0,4", "2,2,2,2,2,2", "3,3,1,1,3,3")]
SIZE: dict[str, Any] = {"data": "digits(limit=24)", "channels": 2, "cells": 1, "threads": 1, "space": "nasbench201"}


class Halving:
    """All at one epoch of two, and of these the first to the end."""

    def __init__(self, folder: Path) -> None:
        self.left = [*(Proposal(arch, 1) for arch in ARCHS), Proposal(ARCHS[0])]
        self.folder, self.seen = folder, list[int]()
        self.told: set[Architecture] = set()

    def ask(self, n: int = 1) -> list[Proposal]:
        self.seen.append(kept(self.folder))
        return [self.left.pop(0)] if self.left else []

    def tell(self, trials: Sequence[Trial]) -> None:
        self.told |= {trial.arch for trial in trials}


class Decided(Halving):
    """The same; it knows which one goes on as soon as it was told of it."""

    def promotes(self, arch: Architecture) -> bool:
        assert arch in self.told
        return arch == ARCHS[0] and bool(self.left)


def kept(folder: Path) -> int:
    """Of how many architectures something is left."""
    place = unfinished(folder)
    return len(list(place.iterdir())) if place.is_dir() else 0


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("kind", "seen"), [(Halving, [0, 1, 2, 3]), (Decided, [0, 1, 2, 2])])
def test_rungs_stay_as_long_as_the_strategy_may_go_on_from_them(
    kind: type[Halving], seen: list[int], tmp_path: Path
) -> None:
    strategy = kind(tmp_path / "run")
    evaluator = "trained(epochs=2, batch_size=8)"
    ogive.search(strategy=strategy, evaluator=evaluator, budget=4, out=tmp_path / "run", **SIZE)
    assert strategy.seen[:4] == seen
    assert kept(tmp_path / "run") == 0
    assert [trial.status for trial in read_run(tmp_path / "run").trials] == ["ok"] * 4


class Interrupted(Halving):
    def tell(self, trials: Sequence[Trial]) -> None:
        super().tell(trials)
        if len(self.told) == 3:
            raise KeyboardInterrupt


@pytest.mark.usefixtures("one_thread")
def test_an_interrupted_search_keeps_its_rungs(tmp_path: Path) -> None:
    evaluator = "trained(epochs=2, batch_size=8)"
    with pytest.raises(KeyboardInterrupt):
        ogive.search(
            strategy=Interrupted(tmp_path / "run"), evaluator=evaluator, budget=4, out=tmp_path / "run", **SIZE
        )
    assert kept(tmp_path / "run") == 3
