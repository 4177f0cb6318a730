"""One supernet for strategy and evaluator; the same numbers as when `inherited` trained it itself; old spellings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import nn

from ogive import catalog, session
from ogive.context import Context
from ogive.core.architecture import Architecture
from ogive.core.capabilities import walk
from ogive.core.errors import SpecError, StoreError
from ogive.core.rng import Seed
from ogive.core.trial import Budget, Measurement, Trial
from ogive.estimate import estimate
from ogive.evaluators.inherited import Inherited
from ogive.networks.build import Skeleton, WeightSource
from ogive.runs import read_run
from ogive.session import Parts, Settings
from ogive.spec import parse, spelled_today
from ogive.supernets.partition import Edge
from ogive.supernets.sequential import Level, UniformTraining, split_and_trained, trained
from ogive.supernets.sharing import supernet
from ogive.training.data import load
from ogive.training.loop import Tell
from ogive.training.recipe import Recipe
from ogive.training.statistics import drawn_images, fixed_batches, mean_score, recalibrated
from ogive.training.supervised import Accuracy
from ogive.training.tasks.classification import Classification
from ogive.weights.shared import SharedWeights
from ogive.weights.source import Prepared

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = Settings(
    space="nasbench201",
    strategy="one_shot(inherited(metric=shared_acc), candidates=4, population=2, tournament=2)",
    evaluator="inherited(statistics_images=48)",
    data="digits(limit=96)",
    weights="supernet(epochs=2, batch_size=16)",
    channels=2,
    cells=1,
    threads=1,
    seed=3,
    budget=Budget(trials=3),
)


def sources(parts: Parts) -> list[object]:
    """The sources of weights of the strategy and of the evaluator."""
    return [
        part.weights for one in (parts.strategy, parts.evaluator) for part in walk(one) if isinstance(part, Inherited)
    ]


def supernets(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.rglob("epoch-*.safetensors")}


class Counting:
    """A trainer of a user's own, which counts how often it is asked to train."""

    spent: ClassVar[dict[str, float]] = {"all": 1.0}

    def __init__(self) -> None:
        self.trainings = 0

    def trained(self, tell: Tell | None) -> WeightSource:
        self.trainings += 1
        return Plain()

    def rehearsed(self) -> tuple[float, WeightSource]:
        return 1.0, Plain()


class Plain:
    """A source of weights that needs no training."""

    def network(self, arch: Architecture) -> nn.Module:
        return nn.Identity()


def test_weights_are_trained_once_however_often_they_are_asked_for() -> None:
    trainer = Counting()
    weights = SharedWeights(trainer)
    for _ in range(3):
        weights.prepare(None)
        weights.network(Architecture("nasbench201", (0,) * 6))
    assert trainer.trainings == 1


# -- one source for all -----------------------------------------------------------------------------------------------


def test_strategy_and_evaluator_share_one_supernet_that_is_trained_once(tmp_path: Path) -> None:
    parts = session.assemble(SETTINGS, folder=session.unfinished(tmp_path / "run"))
    first, second = sources(parts)
    assert isinstance(first, SharedWeights)
    assert isinstance(first, Prepared)
    assert first is second
    assert first.training_s == 0.0
    told: list[str] = []
    run = session.search(SETTINGS, tmp_path / "run", parts=parts, on_note=told.append)
    assert [trial.status for trial in run.trials] == ["ok"] * 3
    ends = [text.partition(", loss")[0] for text in told if ", loss" in text]  # a slow epoch tells of its steps, too
    assert ends == ["supernet: epoch 1 of 2", "supernet: epoch 2 of 2"]
    assert len(supernets(tmp_path)) == 1
    assert first.training_s > 0
    # Each with its own, it is trained twice, from two seeds.
    own = "inherited(supernet(epochs=2, batch_size=16), metric=shared_acc)"
    apart = replace(SETTINGS, strategy=f"one_shot({own}, candidates=4)", evaluator=own, weights=None)
    assert len(set(sources(session.assemble(apart)))) == 2
    session.search(apart, tmp_path / "apart")
    assert len(supernets(tmp_path / "apart")) == 2


def test_a_resumed_search_reads_its_weights_back(tmp_path: Path) -> None:
    whole = session.search(SETTINGS, tmp_path / "whole")
    session.search(replace(SETTINGS, budget=Budget(trials=1)), tmp_path / "run")
    assert session.settings_of(read_run(tmp_path / "run").config).weights == SETTINGS.weights
    told: list[str] = []
    resumed = session.resume(tmp_path / "run", budget=Budget(trials=3), on_note=told.append)
    assert told == []
    assert [(t.arch, t.scores) for t in resumed.trials] == [(t.arch, t.scores) for t in whole.trials]
    with pytest.raises(StoreError, match=r"holds a search with the weights supernet\(epochs=2"):
        session.refuse_other_settings(read_run(tmp_path / "whole"), replace(SETTINGS, weights=None))


def test_workers_measure_with_the_same_weights(tmp_path: Path) -> None:
    alone = session.search(replace(SETTINGS, strategy="random"), tmp_path / "alone")
    two = session.search(replace(SETTINGS, strategy="random", workers=2), tmp_path / "two")
    assert {(t.number, t.arch, t.scores) for t in two.trials} == {(t.number, t.arch, t.scores) for t in alone.trials}
    assert supernets(tmp_path / "two") == supernets(tmp_path / "alone")


def test_a_dry_run_counts_a_shared_supernet_once() -> None:
    settings = replace(SETTINGS, weights="supernet(epochs=100000, batch_size=16)")
    together, apart = estimate(settings), estimate(replace(settings, strategy="random"))
    assert together.total_s > 100_000 * 0.001
    assert together.asking_s < 0.2 * together.total_s
    assert together.total_s < 4 * apart.total_s


# -- spellings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("inherited(epochs=3)", "inherited(supernet(epochs=3))"),
        ("inherited(split=0, metric=x)", "inherited(parts(split=0), metric=x)"),
        ("inherited(epochs=3, part_epochs=2, splits=2)", "inherited(supernet(epochs=3))"),
        (
            "cached(inherited(split=[0, 3], statistics_images=0, channels=4))",
            "cached(inherited(parts(split=[0, 3], channels=4), statistics_images=0))",
        ),
        ("inherited_generative(steps=2, images=30)", "inherited(supernet(steps=2), images=30)"),
        ("inherited_generative(split=up1)", "inherited(parts(split=up1))"),
    ],
)
def test_the_spelling_of_before_is_refused_with_the_one_of_now(before: str, now: str) -> None:
    with pytest.raises(SpecError) as told:
        catalog.build("evaluator", before)
    assert f"{before} is now written {now}: " in str(told.value)
    assert "\n" not in str(told.value)
    assert spelled_today(parse(before)) == parse(now)
    assert spelled_today(parse(now)) == parse(now)


def test_a_run_of_version_0_1_goes_on_with_the_supernet_that_it_trained(tmp_path: Path) -> None:
    """Written as it was then: the folder names the supernet by all that decides its weights, which is the same."""
    wanted = replace(
        SETTINGS, strategy="random", weights=None, evaluator="inherited(supernet(epochs=2, batch_size=16))"
    )
    whole = session.search(wanted, tmp_path / "whole")
    session.search(replace(wanted, budget=Budget(trials=1)), tmp_path / "run")
    file = tmp_path / "run" / "run.json"
    config = json.loads(file.read_text())
    del config["weights"]
    file.write_text(json.dumps({**config, "evaluator": "inherited(epochs=2, batch_size=16)"}))
    assert session.settings_of(read_run(tmp_path / "run").config).evaluator == wanted.evaluator
    told: list[str] = []
    resumed = session.resume(tmp_path / "run", budget=Budget(trials=3), on_note=told.append)
    assert told == []
    assert [(t.arch, t.scores) for t in resumed.trials] == [(t.arch, t.scores) for t in whole.trials]
    bare = {**config, "evaluator": "inherited"}
    assert session.settings_of(bare).evaluator == "inherited(supernet)"
    assert session.settings_of({**bare, "weights": "supernet"}).evaluator == "inherited"


# -- numbers ----------------------------------------------------------------------------------------------------------

FEW = "parts(split=[0, 3], epochs=2, part_epochs=1, batch_size=16)"


def by_hand(split: bool, seed: Seed) -> WeightSource:
    """The weights of a supernet, or of its parts, made of what version 0.1 made them of."""
    data, size = load("digits", limit=96), Skeleton(channels=2, cells=1, classes=10, inputs=1, size=8)
    recipe = Recipe(epochs=2, batch_size=16, learning_rate=0.025, final_learning_rate=0.001, weight_decay=1e-4)
    uniform = UniformTraining(Classification(data), seed, recipe, replace(recipe, epochs=1), origin={})
    made = supernet("nasbench201", size, seed=seed.integer("weights")).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    whole = trained(made, "", uniform)
    return split_and_trained(whole, [Level(Edge("cell", 0)), Level(Edge("cell", 3))], uniform) if split else whole


@pytest.mark.parametrize(
    ("evaluator", "weights", "stream"),
    [
        ("inherited(supernet(epochs=2, batch_size=16), statistics_images=48)", None, "evaluator"),
        (f"inherited({FEW}, statistics_images=48)", None, "evaluator"),
        ("inherited(statistics_images=48)", FEW, "weights"),
    ],
    ids=["supernet", "parts", "parts of the search"],
)
def test_estimates_are_those_of_weights_trained_by_hand(evaluator: str, weights: str | None, stream: str) -> None:
    wanted = replace(SETTINGS, strategy="random", evaluator=evaluator, weights=weights, budget=Budget(trials=6))
    found = session.searched(wanted)[0]
    data, seed = load("digits", limit=96), Seed(SETTINGS.seed)
    source = by_hand("supernet" not in evaluator, seed.child(stream))
    few = drawn_images(data.train, seed.child("evaluator").numpy("statistics"), 48)
    images = [x_NCHW for x_NCHW, _ in fixed_batches(data, few, torch.device("cpu"))]
    val = fixed_batches(data, data.val, torch.device("cpu"))
    expected = [mean_score(recalibrated(source.network(trial.arch), images), val, Accuracy()) for trial in found]
    assert [trial.metrics["val_acc"] for trial in found] == expected
    assert len(set(expected)) > 1


def test_what_takes_weights_says_how_to_give_some() -> None:
    with pytest.raises(SpecError, match=r'write inherited\(supernet\(epochs=20\)\), or give --weights "supernet'):
        session.assemble(replace(SETTINGS, weights=None, strategy="random"))
    data = load("digits", limit=40)
    context = Context({"space": lambda: catalog.build("space", "nasbench201"), "data": lambda: data}, Seed(0))
    with pytest.raises(SpecError, match="threads must be at least 1"):
        catalog.build("weights", "supernet(threads=0)", context)


def test_weights_that_nobody_takes_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    session.assemble(replace(SETTINGS, strategy="random", evaluator="trained(epochs=1)"))
    assert "Nothing in this search takes its weights, supernet(epochs=2" in caplog.text


# -- searches of paths ------------------------------------------------------------------------------------------------

SPOS = "spos(candidates=4, population=2, tournament=2)"
PARTS_OF_ONE = "parts(split=0, epochs=2, part_epochs=1, batch_size=16)"


@pytest.mark.parametrize(
    ("strategy", "weights", "proposals", "trainings"),
    [(SPOS, SETTINGS.weights, 1, 1), (SPOS, PARTS_OF_ONE, 1, 6), (f"few_shot({SPOS})", PARTS_OF_ONE, 5, 6)],
    ids=["spos", "spos over all parts", "few_shot"],
)
def test_searches_of_paths_share_the_weights_of_the_evaluator(
    tmp_path: Path, strategy: str, weights: str, proposals: int, trainings: int
) -> None:
    settings = replace(SETTINGS, strategy=strategy, weights=weights, budget=Budget(trials=20))
    parts = session.assemble(settings, folder=session.unfinished(tmp_path / "run"))
    watch = session.watch_of(settings, parts)
    assert watch.share == 0
    assert not (tmp_path / "run").exists()  # what watches a search begins none of its trainings
    run = session.search(settings, tmp_path / "run", parts=parts, on_trial=watch.trial)
    assert watch.share == 1
    assert [trial.status for trial in run.trials] == ["ok"] * proposals
    assert len(supernets(tmp_path)) == trainings
    (source,) = {id(one): one for part in (parts.strategy, parts.evaluator) for one in walk(part)
                 if isinstance(one, SharedWeights)}.values()  # fmt: skip
    # Trained before the first proposal, which is what it costs; the evaluator finds it there.
    assert run.trials[0].proposal.cost.wall_s > source.training_s > 0
    assert sum(trial.measurement.cost.wall_s for trial in run.trials) < source.training_s


def test_the_path_of_shared_weights_is_the_best_on_validation_images_that_taught_nothing() -> None:
    settings = replace(SETTINGS, strategy=SPOS, budget=Budget(trials=9))
    parts = session.assemble(settings)
    (trial,) = session.ran(settings, parts)
    evolution = catalog.build(
        "strategy",
        "evolution(population=2, tournament=2)",
        Context({"space": lambda: parts.space}, Seed(SETTINGS.seed).child("strategy").child("selection 0")),
    )
    data, found = load("digits", limit=96), {}
    few = drawn_images(data.train, Seed(SETTINGS.seed).child("strategy").numpy("statistics"), len(data.train))
    images = [x_NCHW for x_NCHW, _ in fixed_batches(data, few, torch.device("cpu"))]
    val = fixed_batches(data, data.val, torch.device("cpu"))
    for number in range(4):
        (proposal,) = evolution.ask()
        network = parts.context["weights"].network(proposal.arch)
        found[proposal.arch] = mean_score(recalibrated(network, images), val, Accuracy())
        measured = Measurement({"score": found[proposal.arch]})
        evolution.tell([Trial(number, proposal, measured, "ok", (found[proposal.arch],))])
    assert len(set(found.values())) > 1
    assert trial.arch == max(found, key=found.__getitem__)


def test_a_search_in_given_parts_goes_on_from_what_was_saved(tmp_path: Path) -> None:
    settings = replace(SETTINGS, strategy=f"few_shot({SPOS})", weights=PARTS_OF_ONE, budget=Budget(trials=5))
    whole = session.search(settings, tmp_path / "whole")
    session.search(replace(settings, budget=Budget(trials=2)), tmp_path / "run")
    resumed = session.resume(tmp_path / "run", budget=Budget(trials=5))
    assert [(t.arch, t.scores) for t in resumed.trials] == [(t.arch, t.scores) for t in whole.trials]


@pytest.mark.parametrize(
    ("strategy", "weights", "says"),
    [
        ("spos(epochs=3)", SETTINGS.weights, "reads no epochs here, as this search has weights of its own: leave it"),
        ("spos(partial=2)", SETTINGS.weights, "leave out partial"),
        (f"few_shot({SPOS})", SETTINGS.weights, r'give --weights "parts\(split=0\)", or write spos'),
        (f"few_shot({SPOS}, split=1)", PARTS_OF_ONE, "leave out split, splits, part_epochs and transfer"),
    ],
)
def test_what_given_weights_leave_no_room_for_is_refused_in_one_line(strategy: str, weights: str, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        session.assemble(replace(SETTINGS, strategy=strategy, weights=weights))


def test_a_rehearsal_of_paths_counts_the_training_of_weights_once() -> None:
    settings = replace(SETTINGS, strategy=SPOS, weights="supernet(epochs=400, batch_size=16)")
    parts = session.assemble(settings)
    assert parts.context["weights"].training_s == 0
    whole = estimate(settings, parts=parts)
    one_epoch = parts.context["weights"].training_s
    assert 100 * one_epoch < whole.total_s < 700 * one_epoch
