"""Runs for the tests of the page, as the store would read them; nothing but their folders is on the disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.trial import Cost, Measurement, Proposal, Trial
from ogive.run_store import RunStore
from ogive.runs import Record, Run
from ogive.spaces.nasbench201 import nasbench201

Make = Callable[..., Run]


def settings(**changes: Any) -> dict[str, Any]:
    """What run.json holds, with some of it changed."""
    usual = {
        "ogive": "0.1.0",
        "created": "2026-01-02T03:04:05+00:00",
        "command": "ogive search --space nasbench201 --data digits --seed 0",
        "role": "search",
        "machine": {"processor": "a processor", "cores": 2, "packages": {"numpy": "2.3.0"}},
        "space": "nasbench201",
        "strategy": "evolution(population=6)",
        "evaluator": "screened(training_free, together(trained, latency), keep=4)",
        "objectives": ["latency_tradeoff(target_ms=5)"],
        "budget": {"trials": 24, "wall_s": None, "benchmark_s": None},
        "seed": 0,
        "data": "digits",
        "table": None,
        "skeleton": {"channels": 8, "cells": 1},
        "device": "cpu",
        "threads": None,
        "workers": 1,
    }
    return {**usual, **changes}


def new_trial(number: int, metrics: dict[str, float], scores: Sequence[float] | None = None, **more: Any) -> Trial:
    """An ok trial of its own architecture; `error` makes it a failed one, `screened` a screened-out one."""
    arch = more.get("arch") or Architecture("nasbench201", tuple(number // 5**place % 5 for place in range(6)))
    error, screened = more.get("error"), more.get("screened", False)
    status = "screened" if screened else "failed" if error else "ok"
    measured = Measurement(metrics, Cost(more.get("wall_s", 1.0), more.get("benchmark_s", 0.0)), error, screened)
    return Trial(number, Proposal(arch), measured, status, tuple(scores) if scores is not None else None)


@pytest.fixture
def trial() -> Callable[..., Trial]:
    """Makes a trial of a number, metrics and scores."""
    return new_trial


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a run of trials, in a folder of a given name."""
    return lambda name, trials, **changes: write_run(tmp_path / name, trials, **changes)


@pytest.fixture
def searched(tmp_path: Path) -> Make:
    """Makes a run like that of a small search: name, trials, seed, whether most of each pool is screened out."""
    return lambda name, *args, **changes: search_run(tmp_path / name, *args, **changes)


@pytest.fixture
def stored() -> Callable[[Run], Path]:
    """Lets the store write a run, for a test that reads it again."""

    def write(run: Run) -> Path:
        with RunStore.create(run.folder, run.config) as store:
            for record in run.records:
                store.append(record.trial, record.at_s)
        return run.folder

    return write


@pytest.fixture(scope="session")
def compared(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """A search with a trained winner, and random search beside it."""
    folder = tmp_path_factory.mktemp("compared")
    own = search_run(folder / "own")
    chance = search_run(folder / "chance", seed=1, screened=False, strategy="random", role="baseline")
    best = max((trial for trial in own.trials if trial.scores), key=lambda trial: trial.scores or (0.0,))
    history = [{"epoch": epoch, "train_loss": 2.0 / epoch, "val_acc": 90.0 + epoch} for epoch in range(1, 6)]
    facts = {"arch": str(best.arch), "trial": best.number, "test_acc": 97.0, "test_correct": 97, "test_images": 100}
    (own.artifacts / "winner.json").write_text(json.dumps({**facts, "history": history}))
    return [own, chance]


def write_run(folder: Path, trials: Sequence[Trial], **changes: Any) -> Run:
    """A run of these trials, one every two seconds, with some of its settings changed."""
    (folder / "artifacts").mkdir(parents=True)
    records = tuple(Record(one, 2.0 * place) for place, one in enumerate(trials, start=1))
    return Run(folder, {"schema": 2, **settings(**changes)}, records)


def search_run(folder: Path, trials: int = 60, seed: int = 0, *, screened: bool = True, **changes: Any) -> Run:
    """A run with failures and latencies, in which three of four candidates are screened out or none is."""
    rng = np.random.default_rng(seed)
    return write_run(folder, [_candidate(number, rng, screened) for number in range(trials)], seed=seed, **changes)


def _candidate(number: int, rng: np.random.Generator, screened: bool) -> Trial:
    arch = nasbench201().sample(rng)
    convolutions = sum(choice in (2, 3) for choice in arch.choices)
    naswot = 100 + 20 * convolutions + float(rng.normal(0, 10))
    if screened and number % 4:
        return new_trial(number, {"naswot": naswot}, arch=arch, screened=True)
    if number % 20 == 16:
        return new_trial(number, {"naswot": naswot}, arch=arch, error="the loss became NaN in epoch 2")
    accuracy = 80 + 3 * convolutions + float(rng.normal(0, 1))
    latency = 0.5 + 0.4 * convolutions + 0.1 * float(rng.random())
    metrics = {
        "val_acc": accuracy,
        "latency_ms": latency,
        "latency_p10_ms": 0.9 * latency,
        "latency_p90_ms": 1.2 * latency,
        "params": 1000.0 + 500 * convolutions,
        "naswot": naswot,
    }
    return new_trial(number, metrics, (accuracy * (latency / 5) ** -0.07,), arch=arch)
