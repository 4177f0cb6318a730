from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ogive import catalog, session
from ogive.context import Context
from ogive.core.architecture import Architecture
from ogive.core.capabilities import rehearsed
from ogive.core.errors import SpecError, UnknownName
from ogive.core.metric import names_of
from ogive.core.rng import Seed
from ogive.core.trial import Budget, Proposal
from ogive.estimate import estimate
from ogive.evaluators.inherited import Inherited
from ogive.networks.build import Skeleton, WeightSource
from ogive.runs import read_run
from ogive.spaces.nasbench101 import nasbench101
from ogive.spaces.nasbench201 import nasbench201
from ogive.supernets.partition import Edge, Partition, partition
from ogive.supernets.sharing import supernet
from ogive.training.data import Data, Split, load
from ogive.training.statistics import Measuring, SampleJudge, mean_score, recalibrated
from ogive.training.supervised import Accuracy
from ogive.training.tasks.classification import Classification
from ogive.weights.calibration import OnOneScale
from ogive.weights.cells import CellSplitting, CellTraining
from ogive.weights.shared import SharedWeights, parts
from ogive.weights.shared import supernet as supernet_weights

pytestmark = pytest.mark.usefixtures("one_thread")

SPACE = nasbench201()
ARCHS = [SPACE.sample(np.random.default_rng(seed)) for seed in range(4)]
ONE = "supernet(epochs=2, batch_size=16)"
FEW = "parts(split=0, epochs=2, part_epochs=1, batch_size=16)"


def digits() -> Data:
    return load("digits", limit=96)


def made(
    data: Data | None = None,
    *,
    seed: int = 0,
    space: str = "nasbench201",
    channels: int = 2,
    cells: int = 1,
    source: WeightSource | None = None,
    metric: str | None = None,
    folder: Path | None = None,
    progress: Callable[[str], None] | None = None,
    statistics_images: int = 48,
    validation_images: int | None = None,
    **options: Any,
) -> Inherited:
    data = data or digits()
    built, own = catalog.build("space", space), {"epochs": 2, "batch_size": 16, **options}
    size = {"channels": channels, "cells": cells, "folder": folder}
    place: dict[str, Any] = {"space": built, "task": Classification(data), "seed": Seed(seed), **size}
    if source is None and "split" in options:
        source = parts(training=CellSplitting(**{"part_epochs": 1, **own}), **place)
    elif source is None:
        own.pop("part_epochs", None)
        source = supernet_weights(training=CellTraining(**own), **place)
    measuring = Measuring(statistics_images=statistics_images, validation_images=validation_images)
    task = Classification(data)
    return Inherited(
        source, task=task, space=built, seed=Seed(seed), measuring=measuring, metric=metric, progress=progress
    )


def shared(evaluator: Inherited) -> SharedWeights:
    assert isinstance(evaluator.weights, SharedWeights)
    return evaluator.weights


def divided(evaluator: Inherited) -> Partition:
    found = shared(evaluator).source
    assert isinstance(found, Partition)
    return found


def values(evaluator: Inherited, archs: list[Architecture] | None = None) -> list[float]:
    found = evaluator.evaluate([Proposal(arch) for arch in archs or ARCHS])
    assert [measured.error for measured in found] == [None] * len(found)
    return [measured.metrics[evaluator.metrics[0].name] for measured in found]


# -- statistics of a network ------------------------------------------------------------------------------------------


def test_statistics_are_the_mean_over_the_batches_and_are_used_in_evaluation() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3, affine=False, track_running_stats=False))
    batches = [torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(n)) * (n + 1) + n for n in range(3)]
    recalibrated(network, batches)
    norm = network[0]
    assert isinstance(norm, nn.BatchNorm2d)
    mean = torch.stack([x.mean((0, 2, 3)) for x in batches]).mean(0)
    variance = torch.stack([x.var((0, 2, 3)) for x in batches]).mean(0)
    torch.testing.assert_close(norm.running_mean, mean)
    torch.testing.assert_close(norm.running_var, variance)
    assert (norm.training, norm.momentum) == (False, 0.1)
    expected = (batches[0] - mean[:, None, None]) / (variance[:, None, None] + norm.eps).sqrt()
    torch.testing.assert_close(network(batches[0]), expected)


def test_statistics_of_rows_are_taken_without_dropout() -> None:
    network = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(3))
    batches = [torch.randn(8, 3, generator=torch.Generator().manual_seed(n)) + n for n in range(2)]
    recalibrated(network, batches)
    norm = network[1]
    assert isinstance(norm, nn.BatchNorm1d)
    torch.testing.assert_close(norm.running_mean, torch.stack([x.mean(0) for x in batches]).mean(0))
    assert not norm.training


def test_without_images_for_statistics_those_of_each_validation_batch_are_taken() -> None:
    data = digits()
    whole = supernet("nasbench201", Skeleton(channels=2, cells=1, classes=10, inputs=1), seed=3)
    before = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    found = values(made(data, source=whole, statistics_images=0))
    for arch, accuracy in zip(ARCHS, found, strict=True):
        logits = whole.network(arch).train()(data.normalised(data.val.images))  # all of them are one batch
        assert accuracy == pytest.approx(100 * (logits.argmax(1) == data.val.labels).float().mean().item())
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert values(made(data, source=whole)) != found


@pytest.mark.parametrize("space", ["nasbench201", "darts"])
def test_an_image_gets_the_same_logits_in_any_batch(space: str) -> None:
    size = Skeleton(4, 1) if space == "nasbench201" else Skeleton(2, 3)
    whole = supernet(space, size, seed=0)
    before = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    images = torch.randn(12, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    network = recalibrated(whole.network(catalog.build("space", space).sample(np.random.default_rng(0))), [images])
    with torch.no_grad():
        together = network(images)
        order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(network(images[order[:5]]), together[order[:5]], rtol=1e-4, atol=1e-5)
    assert all(torch.equal(tensor, before[name]) for name, tensor in whole.state_dict().items())


def test_logits_that_are_no_numbers_have_no_accuracy() -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.full((len(x), 2), float("nan"))

    assert np.isnan(mean_score(Broken(), [(torch.zeros(2, 3, 4, 4), torch.zeros(2, dtype=torch.long))], Accuracy()))


# -- estimates --------------------------------------------------------------------------------------------------------


def test_an_estimate_is_the_accuracy_of_the_inherited_network_on_the_validation_images() -> None:
    evaluator = made(split=0)
    assert isinstance(evaluator, WeightSource)
    source = divided(evaluator)
    data = digits()
    for arch, value in zip(ARCHS, values(evaluator), strict=True):
        network = evaluator.network(arch)
        weights = {id(weight) for weight in source.part(arch).parameters()}
        assert {id(weight) for weight in network.parameters()} <= weights
        with torch.no_grad():
            right = (network(data.normalised(data.val.images)).argmax(1) == data.val.labels).sum()
        assert value == pytest.approx(100 * float(right) / len(data.val))


def test_fewer_validation_images_are_the_same_ones_for_all() -> None:
    whole = supernet("nasbench201", Skeleton(2, 1, classes=10, inputs=1), seed=3)
    few = values(made(source=whole, validation_images=10))
    assert all(value % 10 == pytest.approx(0.0) for value in few)
    assert few == values(made(source=whole, validation_images=10), ARCHS[::-1])[::-1]
    assert values(made(source=whole, validation_images=96)) == pytest.approx(values(made(source=whole)))


def test_estimates_depend_on_no_other_candidate_and_on_no_test_image() -> None:
    blank = Split(torch.zeros_like(digits().test.images), torch.zeros_like(digits().test.labels))
    first, second = made(split=0), made(replace(digits(), test=blank), split=0)
    assert values(first) == values(second, ARCHS[::-1])[::-1]


def test_a_supernet_is_trained_once_into_the_folder_and_read_by_others(tmp_path: Path) -> None:
    evaluator = made(split=0, folder=tmp_path)
    expected = values(evaluator)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert len({path.parent for path in files}) == 6
    told: list[str] = []
    assert values(made(split=0, folder=tmp_path, progress=told.append)) == expected
    assert told == []
    assert values(pickle.loads(pickle.dumps(evaluator))) == expected
    assert values(made(split=0)) == expected
    # The one-shot supernet of the same settings is the parent: nothing is trained again.
    values(made(folder=tmp_path, progress=told.append))
    assert told == []
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")} == files


def test_parts_of_partial_channels_have_all_of_them_on_the_split_edge(tmp_path: Path) -> None:
    options: dict[str, Any] = {"split": [0, 3], "partial": 2, "epochs": 1, "folder": tmp_path}
    evaluator = made(**options)
    for (first, second), part in divided(evaluator):
        shapes = {name: tensor.shape for name, tensor in part.named_parameters()}
        fresh = supernet("nasbench201", Skeleton(2, 1, classes=10, inputs=1), choices=part.choices, partial=2)
        assert shapes == {name: tensor.shape for name, tensor in fresh.named_parameters()}
        cell = part.mixed[0]
        for edge, held in ((0, first), (3, second)):
            widths = {weight.shape[0] for weight in cell.operations[edge].parameters()}
            assert widths == ({2} if held in ((2,), (3,)) else set())
        assert {weight.shape[0] for weight in cell.operations[5].parameters()} == {1}
    expected = values(evaluator)
    told: list[str] = []
    assert values(made(**options, progress=told.append)) == expected
    assert told == []
    assert rehearsed(made(split=0, partial=2)) > 0


def test_weights_that_are_there_already_are_used_as_they_are() -> None:
    whole = supernet("nasbench201", Skeleton(2, 1, classes=10, inputs=1), seed=3)
    given = made(source=whole, metric="shared_acc")
    assert names_of(given.metrics) == ("shared_acc",)
    assert values(given) == values(made(source=partition(whole, Edge("cell", 2)), metric="shared_acc"))
    assert rehearsed(given) == 0.0


def test_a_calibration_brings_reference_architectures_to_the_scale_of_the_parent(tmp_path: Path) -> None:
    data = load("digits", limit=160)
    options: dict[str, Any] = {"learning_rate": 0.1, "folder": tmp_path}
    few = {"split": 0, "reference": 4, "part_epochs": 3}
    raw, moved = (made(data, **few, calibration=way, **options) for way in ("none", "parent"))
    parent = made(data, **options)
    source = shared(moved).source
    assert isinstance(source, OnOneScale)
    assert values(raw) != values(moved)
    rests = set()
    for key, part in source.divided:
        references = [source.reference(part, number) for number in range(4)]
        assert {(arch.choices[0],) for arch in references} == set(key)
        rests.add(tuple(arch.choices[1:] for arch in references))
        mine, theirs, before = (np.array(values(one, references)) for one in (moved, parent, raw))
        assert mine.mean() == pytest.approx(theirs.mean())
        assert mine.std() == pytest.approx(theirs.std() if before.std() > 0 else 0.0)
    assert len(rests) == 1
    assert values(pickle.loads(pickle.dumps(moved))) == values(moved)


@pytest.mark.parametrize("split", ["random", "agreement"])
def test_edges_may_be_chosen(split: str, tmp_path: Path) -> None:
    first, second = (divided(made(split=split, splits=2, groups=True, epochs=1, folder=tmp_path)) for _ in range(2))
    assert first.edges == second.edges
    assert len(first) == 4


def test_darts_is_split_on_edges_of_both_cells() -> None:
    data = load("digits", limit=24)
    evaluator = made(data, space="darts", cells=3, split=["reduce:0"], epochs=1, statistics_images=8)
    assert len(divided(evaluator)) == 7
    archs = [catalog.build("space", "darts").sample(np.random.default_rng(seed)) for seed in range(2)]
    assert all(0 <= value <= 100 for value in values(evaluator, archs))


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        ("[normal:0, reduce:13]", (Edge("normal", 0), Edge("reduce", 13))),
        ("normal:3", (Edge("normal", 3),)),
        ("random", "random"),
    ],
)
def test_edges_are_written_as_numbers_with_a_kind_or_as_a_word(text: str, edges: object) -> None:
    context = Context({"space": lambda: catalog.build("space", "darts"), "data": digits}, Seed(0))
    built = catalog.build("weights", f"parts(split={text})", context.having(cells=lambda: 3))
    assert built._trainer._split == edges


def test_what_cannot_be_estimated_is_refused_in_one_line() -> None:
    with pytest.raises(UnknownName, match="space with a supernet"):
        supernet_weights(space=nasbench101(), task=Classification(digits()), seed=Seed(0))
    for options, reason in (
        ({"split": 0, "splits": 0}, "splits must be at least 1, but got 0"),
        ({"statistics_images": 1}, "at least 2 statistics_images, or 0 for .*, but got 1"),
        ({"split": 6}, "are 0 to 5, but got 6"),
        ({"split": [0, 2, 0]}, "split on different edges"),
        ({"split": None}, r"write parts\(split=0\), or supernet"),
        ({"split": []}, r"write parts\(split=0\), or supernet"),
        ({"split": 0, "reference": 1}, "reference must be at least 2"),
        ({"validation_images": 0}, "validation_images must be at least 1"),
        ({"epochs": 0}, "epochs must be at least 1"),
    ):
        with pytest.raises(SpecError, match=reason):
            made(**options)
    with pytest.raises(SpecError, match="edges may be absent"):
        made(space="darts", cells=3, split="random", groups=True)
    assert made().evaluate([Proposal(Architecture("nasbench201", (7,) * 6))])[0].error is not None


@pytest.mark.parametrize(
    ("space", "options", "reason"),
    [
        ("nasbench201", {"split": "random", "splits": 7}, "6 edges to split, but 7 were asked for"),
        # The only cell of so short a network is a reduction cell.
        ("darts", {"split": ["reduce:0", "normal:0"]}, "normal:0 has no cell"),
    ],
)
def test_what_cannot_be_split_is_refused_before_a_supernet_is_trained(
    space: str, options: dict[str, object], reason: str
) -> None:
    told: list[str] = []
    evaluator = made(load("digits", limit=16), space=space, progress=told.append, **options)
    with pytest.raises(SpecError, match=reason):
        _ = shared(evaluator).source
    with pytest.raises(SpecError, match=reason):
        rehearsed(evaluator)
    assert told == []


# -- in a search ------------------------------------------------------------------------------------------------------


def settings(strategy: str, evaluator: str, trials: int = 4) -> session.Settings:
    return session.Settings(
        space="nasbench201",
        strategy=strategy,
        evaluator=evaluator,
        data="digits(limit=96)",
        channels=2,
        cells=1,
        threads=1,
        budget=Budget(trials=trials),
    )


@pytest.mark.parametrize("strategy", ["random", "evolution(population=2, tournament=2)"])
def test_a_search_trains_tells_and_goes_on_with_the_same_weights(strategy: str, tmp_path: Path) -> None:
    wanted = settings(strategy, f"cached(inherited({FEW}))")
    told: list[str] = []
    whole = session.search(wanted, tmp_path / "whole", on_note=told.append)
    ends = [text.partition(", loss")[0] for text in told if ", loss" in text]  # a slow epoch tells of its steps, too
    assert ends[1] == "supernet: epoch 2 of 2"
    assert any("nor_conv_3x3" in text for text in told)
    short = replace(wanted, budget=Budget(trials=2))
    session.search(short, tmp_path / "resumed")
    told.clear()
    resumed = session.resume(tmp_path / "resumed", budget=Budget(trials=4), on_note=told.append)
    assert told == []
    assert [(t.arch, t.scores) for t in resumed.trials] == [(t.arch, t.scores) for t in whole.trials]


def test_strategies_of_every_kind_search_with_the_parts_of_two_edges_of_darts(tmp_path: Path) -> None:
    two = ["reduce:0", "reduce:3"]
    evaluator = made(load("digits", limit=16), space="darts", split=two, epochs=1, statistics_images=4)
    source = divided(evaluator)
    # Node 0 reads both of its states, so that its edge is there; an edge of node 1 may be absent.
    assert len(source) == 7 * 8
    trained = shared(evaluator).training_s
    for strategy in ("random", "evolution(population=2, tournament=2)", "reinforce(learning_rate=0.5)"):
        wanted = replace(settings(strategy, "inherited", trials=6), space="darts")
        assembled = session.assemble(wanted, given={"evaluator": evaluator})
        run = session.search(wanted, tmp_path / strategy.partition("(")[0], parts=assembled)
        assert [trial.status for trial in run.trials] == ["ok"] * 6
        for trial in run.trials:
            assert source.part(trial.arch).path(trial.arch)
            assert isinstance(evaluator._estimates._judge, SampleJudge)
            assert trial.scores == (
                mean_score(evaluator.network(trial.arch), evaluator._estimates._judge._images()[1], Accuracy()),
            )
    assert shared(evaluator).training_s == trained


def test_estimates_stand_beside_what_a_table_knows(tmp_path: Path, invented_table: Path) -> None:
    wanted = settings("random", f"together(inherited({ONE}, metric=shared_acc), tabular)")
    wanted = replace(wanted, table=str(invented_table), objectives=("maximize(shared_acc)",))
    session.search(wanted, tmp_path / "run")
    trials = read_run(tmp_path / "run").trials
    assert all({"shared_acc", "val_acc", "test_acc"} <= set(trial.metrics) for trial in trials)
    assert [trial.scores for trial in trials] == [(trial.metrics["shared_acc"],) for trial in trials]


def test_a_dry_run_trains_an_epoch_instead_of_all() -> None:
    found = estimate(settings("random", "inherited(parts(split=0, epochs=100000, part_epochs=1000, batch_size=16))"))
    assert found.error is None
    assert found.total_s > 100_000 * 0.001
    few = estimate(settings("random", "inherited(supernet(epochs=1, batch_size=16))"))
    assert few.total_s < found.total_s
