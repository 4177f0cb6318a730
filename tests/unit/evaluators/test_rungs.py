"""Rungs: a training that pauses and goes on ends as one that never paused, and does nothing twice."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import ogive
from ogive.core.architecture import Architecture
from ogive.core.capabilities import fidelity_of
from ogive.core.rng import Seed
from ogive.core.trial import Fidelity, Measurement, Proposal, Trial
from ogive.evaluators.trained import Trained
from ogive.executors.processes import Processes
from ogive.networks.autogan import GeneratorSize, discriminator, generator
from ogive.spaces.darts_rnn import darts_rnn
from ogive.spaces.nasbench201 import nasbench201
from ogive.training.adversarial import AdversarialRecipe, Duel
from ogive.training.data import Data, load
from ogive.training.language_recipe import PRESETS, LanguageRecipe
from ogive.training.loop import drive
from ogive.training.recipe import Recipe
from ogive.training.supervised import Supervised
from ogive.training.task import Size
from ogive.training.tasks.classification import Classification
from ogive.training.tasks.language import Language
from ogive.training.text import Text

pytestmark = pytest.mark.usefixtures("one_thread")

ARCH = Architecture("nasbench201", (3, 1, 2, 3, 0, 4))
OTHER = Architecture("nasbench201", (1, 2, 3, 1, 2, 3))


@pytest.fixture(scope="module")
def digits() -> Data:
    return load("digits", limit=120)


def trained(data: Data, told: Callable[[Any], None] | None = None, **options: Any) -> Trained:
    options = {"size": Size(channels=4, cells=1), "seed": Seed(0), "space": nasbench201(), **options}
    recipe = options.pop("recipe", Recipe(epochs=4, batch_size=32, warmup_epochs=1.5, average=0.9, cutout=2))
    return Trained(task=Classification(data), recipe=recipe, progress=told, **options)


def at(evaluator: Trained, fidelity: int | None, arch: Architecture = ARCH) -> Measurement:
    (found,) = evaluator.evaluate([Proposal(arch, fidelity)])
    assert found.error is None, found.error
    return found


def epochs_of(seen: list[Any]) -> list[int]:
    """The epochs that were trained to their end, in order."""
    found = [report.epoch for report in seen if report.share == 1]
    seen.clear()
    return found


def kept(folder: Path, rung: int) -> dict[str, Tensor]:
    """The state at a rung."""
    return load_file(next(folder.glob(f"*/rung-{rung:06d}/repeat-0/epoch-{rung:06d}.safetensors")))


def assert_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_rung_goes_on_from_a_lower_one_and_ends_as_one_training_to_the_bit(digits: Data, tmp_path: Path) -> None:
    seen: list[Any] = []
    evaluator = trained(digits, seen.append, folder=tmp_path / "rungs")
    at(evaluator, 1)
    assert epochs_of(seen) == [1]
    third = at(pickle.loads(pickle.dumps(evaluator)), 3)  # another process knows the first by the folder alone
    assert at(evaluator, 3).metrics == third.metrics
    assert epochs_of(seen) == []
    straight = trained(digits, seen.append, folder=tmp_path / "straight")
    assert at(straight, 3).metrics == third.metrics == at(trained(digits), 3).metrics
    assert epochs_of(seen) == [1, 2, 3]
    assert_equal(kept(tmp_path / "rungs", 3), kept(tmp_path / "straight", 3))
    # The whole training goes on as well, and leaves nothing.
    whole = at(evaluator, None)
    assert epochs_of(seen) == [4]
    assert whole.metrics == at(trained(digits), None).metrics
    assert list((tmp_path / "rungs").iterdir()) == []


def test_the_schedule_of_a_rung_is_that_of_the_whole_training(digits: Data) -> None:
    seen: list[Any] = []
    at(trained(digits, seen.append), 2)
    assert {report.epochs for report in seen} == {4}
    shorter = Recipe(epochs=2, batch_size=32, warmup_epochs=1.5, average=0.9, cutout=2)
    assert fidelity_of(trained(digits)) == Fidelity("epochs", 4, continued=True)
    assert at(trained(digits), 2).metrics != at(trained(digits, recipe=shorter), None).metrics


def test_a_lower_rung_asked_later_is_trained_anew_and_the_higher_one_stays(digits: Data, tmp_path: Path) -> None:
    seen: list[Any] = []
    evaluator = trained(digits, seen.append, folder=tmp_path)
    at(evaluator, 3)
    epochs_of(seen)
    assert at(evaluator, 1).metrics == at(trained(digits), 1).metrics
    assert epochs_of(seen) == [1]
    at(evaluator, None)
    assert epochs_of(seen) == [4]


def test_every_repeat_goes_on_from_its_own(digits: Data, tmp_path: Path) -> None:
    seen: list[Any] = []
    evaluator = trained(digits, seen.append, folder=tmp_path, repeats=2)
    at(evaluator, 2)
    assert epochs_of(seen) == [1, 2, 1, 2]
    assert at(evaluator, 4).metrics == at(trained(digits, repeats=2), 4).metrics
    assert epochs_of(seen) == [3, 4, 3, 4]


def test_an_interrupted_rung_goes_on_in_its_middle(digits: Data, tmp_path: Path) -> None:
    def interrupting(report: Any) -> None:
        if report.epoch == 3 and report.share == 1:
            raise KeyboardInterrupt

    at(trained(digits, folder=tmp_path), 1)
    with pytest.raises(KeyboardInterrupt):
        at(trained(digits, interrupting, folder=tmp_path), 4)
    seen: list[Any] = []
    assert at(trained(digits, seen.append, folder=tmp_path), 4).metrics == at(trained(digits), 4).metrics
    assert epochs_of(seen) == [3, 4]


def test_processes_that_train_one_architecture_at_once_do_not_disturb_each_other(digits: Data, tmp_path: Path) -> None:
    expected = {fidelity: at(trained(digits), fidelity).metrics for fidelity in (None, 1, 3)}
    with Processes(2) as workers:
        shared = workers.share(trained(digits, folder=tmp_path, threads=1))
        for fidelities in ((None, None), (3, 1), (None, None)):
            tasks = [workers.submit(shared.evaluate, [Proposal(ARCH, fidelity)]) for fidelity in fidelities]
            found = [task.result()[0] for task in tasks]
            assert [one.metrics for one in found] == [expected[fidelity] for fidelity in fidelities]


@pytest.mark.parametrize("fidelity", [-1, 0, 5])
def test_what_is_no_rung_is_a_failed_measurement(digits: Data, fidelity: int) -> None:
    (found,) = trained(digits).evaluate([Proposal(ARCH, fidelity)])
    assert found.error == f"a whole training has 4 epochs, but {fidelity} were asked"


def test_a_pause_leaves_the_averaged_weights_and_measures_them(digits: Data) -> None:
    seed, recipe = Seed(0), Recipe(epochs=3, batch_size=32, average=0.9)
    network = Classification(digits).network(ARCH, Size(channels=4, cells=1), recipe, seed=0)
    training = Supervised(network, digits, recipe, seed=seed, device=torch.device("cpu"))
    found = drive(training, until=2)
    assert training.history[-1].val_acc is None
    assert found == Classification(digits).measured(network, "val", recipe, seed=seed)


def test_language_models_have_rungs(tmp_path: Path) -> None:
    words = torch.tensor([(7 * n + n * n // 3) % 5 for n in range(300)])
    text = Text("made", tuple("abcde"), words, words[:80], words[80:160])
    recipe = LanguageRecipe(**{**PRESETS["tiny"], "width": 8, "epochs": 3, "batch_size": 4, "dropout": 0.3})
    seen: list[Any] = []
    options: dict[str, Any] = {"task": Language(text), "recipe": recipe, "seed": Seed(0), "space": darts_rnn()}
    evaluator = Trained(folder=tmp_path, progress=seen.append, **options)
    arch = darts_rnn().sample(Seed(0).numpy("arch"))
    at(evaluator, 1, arch)
    assert epochs_of(seen) == [1]
    assert at(evaluator, 3, arch).metrics == at(Trained(**options), None, arch).metrics
    assert set(epochs_of(seen)) == {2, 3}


def test_a_generator_pauses_in_the_middle_of_a_round(tmp_path: Path) -> None:
    digits = load("digits", limit=40, size=16)

    def duel() -> Duel:
        made = generator(Architecture("autogan", (0,) * 14), GeneratorSize(2, side=16, outputs=1), seed=1)
        recipe = AdversarialRecipe(steps=30, batch_size=12, generator_batch=8, critic_steps=1, decay=True)
        return Duel(made, discriminator(2, 1, seed=2), digits, recipe, seed=Seed(0), device=torch.device("cpu"))

    paused, rest, whole = duel(), duel(), duel()
    drive(paused, folder=tmp_path / "4", until=4)
    assert [one.step for one in paused.history] == [3, 4]
    drive(rest, folder=tmp_path / "30", lower=[tmp_path / "4"])
    drive(whole)
    assert [one.step for one in rest.history][:3] == [3, 4, 7]
    assert_equal(rest.state()[0], whole.state()[0])


# -- whole searches ---------------------------------------------------------------------------------------------------


class Halving:
    """Three architectures for an epoch each, the best of them for two, and that one for all; over and over."""

    def __init__(self) -> None:
        self.rng, self.plan, self.told = Seed(5).numpy("halving"), [], []
        self.waiting = 0

    def ask(self, n: int = 1) -> list[Proposal]:
        if not self.plan:
            if self.waiting:
                return []
            best = max(self.told, key=lambda trial: trial.scores[0], default=None)
            rung = None if best is None else {1: 2, 2: 4, 4: None}[best.proposal.fidelity]
            self.told = []
            if rung is None:
                self.plan = [Proposal(nasbench201().sample(self.rng), 1) for _ in range(3)]
            else:
                self.plan = [Proposal(best.arch, rung)]
            self.waiting = len(self.plan)
        given, self.plan = self.plan[:n], self.plan[n:]
        return given

    def tell(self, trials: list[Trial]) -> None:
        self.told += trials
        self.waiting -= len(trials)


SEARCH: dict[str, Any] = {
    "space": "nasbench201",
    "evaluator": "trained(epochs=4, batch_size=32)",
    "data": "digits(limit=120)",
    "budget": "14 epochs",
    "channels": 4,
    "cells": 1,
    "threads": 1,
}


def test_a_search_counts_only_what_is_trained_and_workers_change_nothing(tmp_path: Path) -> None:
    serial = ogive.search(strategy=Halving(), out=tmp_path / "serial", **SEARCH)
    found = [(trial.arch, trial.proposal.fidelity, trial.scores) for trial in serial.trials]
    # 1 + 1 + 1, then 1 more, then 2 more: six epochs, and those twice, and two of the third time.
    assert [fidelity for _, fidelity, _ in found] == [1, 1, 1, 2, 4, 1, 1, 1, 2, 4, 1, 1]
    shared = ogive.search(strategy=Halving(), out=tmp_path / "shared", workers=2, in_flight=3, **SEARCH)
    assert [(trial.arch, trial.proposal.fidelity, trial.scores) for trial in shared.trials][:12] == found
