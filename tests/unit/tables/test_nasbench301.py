from __future__ import annotations

import itertools
import json
import logging
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.trial import Fidelity, Proposal
from ogive.evaluators.tabular import Tabular
from ogive.spaces import darts
from ogive.tables.importers import import_table, suggested_name
from ogive.tables.store import Table
from ogive.tables.world import ClosedWorld

PREFIX = "NetworkSelectorDatasetInfo:darts:"
SIZES = [len(variable.options) for variable in darts.darts().variables]  # type: ignore[union-attr]

# -- the format, written as the authors' programs did -----------------------------------------------------------------


def configuration(arch: Architecture) -> dict[str, Any]:
    """The entries of an architecture beside those that are the same for all."""
    found: dict[str, Any] = {
        "CreateImageDataLoader:batch_size": 96,
        "ImageAugmentation:autoaugment": "False",
        "NetworkSelectorDatasetInfo:network": "darts",
        f"{PREFIX}auxiliary": "True",
        f"{PREFIX}drop_path_prob": 0.2,
        f"{PREFIX}init_channels": 32,
        f"{PREFIX}layers": 8,
        "OptimizerSelector:optimizer": "sgd",
        "OptimizerSelector:sgd:learning_rate": 0.025,
        "OptimizerSelector:sgd:momentum": 0.9,
        "OptimizerSelector:sgd:weight_decay": 0.0003,
        "SimpleLearningrateSchedulerSelector:cosine_annealing:T_max": 100,
    }
    first = (0, 2, 5, 9)
    for kind in darts.KINDS:
        cell = darts.cell_of(arch, kind)
        for node in range(4):
            (one, low), (two, high) = cell[2 * node : 2 * node + 2]
            found[f"{PREFIX}edge_{kind}_{first[node] + low}"] = one
            found[f"{PREFIX}edge_{kind}_{first[node] + high}"] = two
            if node:
                found[f"{PREFIX}inputs_node_{kind}_{node + 2}"] = f"{low}_{high}"
    return found


def result(arch: Architecture, accuracy: float, *, epochs: int = 3, seconds: float = 3000) -> dict[str, Any]:
    return {
        "final_metric_score": -accuracy,
        "optimized_hyperparamater_config": configuration(arch),
        "budget": 100,
        "info": [
            {
                "train_accuracy": 86.5,
                "val_accuracy": accuracy,
                "val_cross_entropy": 0.1,
                "epochs": 98,
                "model_parameters": 1_234_567,
            }
        ],
        "learning_curves": {
            "Train/val_accuracy": [accuracy / 2 + epoch for epoch in range(epochs)],
            "Train/train_loss": [1.0] * epochs,
        },
        "test_accuracy": accuracy - 0.5,
        "runtime": seconds,
    }


def archs(count: int) -> list[Architecture]:
    return [darts.darts().sample(np.random.default_rng(number)) for number in range(count)]


def save(place: Path, content: Any) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(content if isinstance(content, str) else json.dumps(content))
    return place


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    first, second, third = archs(3)
    root = tmp_path / "nb_301_v10"
    save(root / "rs" / "results_0.json", result(first, 90.0))
    save(root / "rs" / "results_1_ti.json", result(second, 92.0, epochs=2))
    save(root / "de" / "results_0.json", result(first, 91.0, epochs=4, seconds=4000))
    save(root / "darts" / "results_7.json", result(third, 94.0))
    return root


def changed(**changes: Any) -> dict[str, Any]:
    """A result with other entries of its configuration; None takes one away."""
    content = result(archs(1)[0], 90.0)
    config = content["optimized_hyperparamater_config"] | changes
    return content | {"optimized_hyperparamater_config": {k: v for k, v in config.items() if v is not None}}


# -- what is imported -------------------------------------------------------------------------------------------------


def test_trainings_of_one_architecture_are_averaged_and_counted(tree: Path, tmp_path: Path) -> None:
    table = import_table(tree, tmp_path / "table", name="nb301")
    first, second, third = archs(3)
    assert (table.rows, table.space, table.complete) == (3, "darts", False)
    assert [table.value(arch, "val_acc") for arch in (first, second, third)] == [90.5, 92.0, 94.0]
    assert [table.value(arch, "trainings") for arch in (first, second, third)] == [2, 1, 1]
    assert table.value(first, "test_acc") == 90.0
    assert table.value(first, "train_seconds") == 3500
    assert table.value(second, "params") == 1_234_567
    assert table.value(second, "train_acc") == 86.5
    assert table.columns["test_acc"].test
    assert not table.columns["val_acc"].test


def test_every_architecture_is_found_under_its_own_choices(tmp_path: Path) -> None:
    chosen = archs(200)
    for number, arch in enumerate(chosen):
        save(tmp_path / "in" / "re" / f"results_{number}.json", result(arch, 1 + number / 4))
    table = import_table(tmp_path / "in", tmp_path / "table", name="nb301")
    assert [table.value(arch, "val_acc") for arch in chosen] == [1 + number / 4 for number in range(200)]
    assert sorted(table.architecture(row) for row in range(table.rows)) == sorted(chosen)


def test_epochs_of_the_learning_curve_are_fidelities_charged_by_their_share(tree: Path, tmp_path: Path) -> None:
    table = import_table(tree, tmp_path / "table", name="nb301")
    first, second, _ = archs(3)
    columns = {1: "val_acc_1", 2: "val_acc_2", 3: "val_acc_3", 4: "val_acc_4", 100: "val_acc"}
    assert table.fidelities("val_acc") == columns
    assert table.value(first, "val_acc_1") == 45.25
    assert table.value(first, "val_acc_4") == 48.5  # of the longer curve alone
    assert np.isnan(table.value(second, "val_acc_3"))
    evaluator = Tabular(table)
    full, short, missing = (
        evaluator.evaluate([Proposal(second, fidelity=fidelity)])[0] for fidelity in (None, 2, 3)
    )  # fmt: skip
    assert full.metrics == {"val_acc": 92.0, "test_acc": 91.5}
    assert full.cost.benchmark_s == 3000
    assert short.metrics["val_acc"] == 47.0
    assert short.cost.benchmark_s == pytest.approx(60)
    assert missing.error == f"nb301 has no val_acc_3 for {second}"


def test_tables_that_could_not_say_so_yet_have_learning_curves_too(tree: Path, tmp_path: Path) -> None:
    table = import_table(tree, tmp_path / "table", name="nb301")
    wanted = Fidelity("epochs", 100, continued=True, rungs=(1, 2, 3, 4, 100))
    assert Tabular(table).fidelity == wanted
    file = tmp_path / "table" / "table.json"
    before = json.loads(file.read_text())
    for column in before["columns"].values():
        column.pop("curve")
    file.write_text(json.dumps({**before, "schema": 1}))
    assert Tabular(Table.open(tmp_path / "table")).fidelity == wanted
    file.write_text(json.dumps({**before, "importer": "nats-bench 1"}))  # whose 12 and 200 epochs end two schedules
    assert Tabular(Table.open(tmp_path / "table")).fidelity == replace(wanted, continued=False)


def test_a_search_stays_among_the_trainings(tree: Path, tmp_path: Path) -> None:
    world = ClosedWorld.of(darts.darts(), import_table(tree, tmp_path / "table", name="nb301"))
    assert world.sample(np.random.default_rng(0)) in archs(3)
    assert world.project(archs(4)[3]) in archs(3)
    assert world.projections == 1


def test_trainings_with_another_budget_are_left_out_and_counted(
    tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = archs(5)[4]
    save(tree / "rs" / "results_8.json", result(other, 80.0) | {"budget": 50})
    with caplog.at_level(logging.WARNING):
        table = import_table(tree, tmp_path / "table", name="nb301")
    assert table.rows == 3
    (message,) = caplog.messages
    assert message == (
        "1 of 5 results were left out: the table holds trainings with budget 100, epochs 100, channels 32, layers 8, "
        "learning rate 0.025, weight decay 0.0003."
    )


def test_files_without_learning_curves_are_read_too(tmp_path: Path) -> None:
    content = result(archs(1)[0], 97.68)
    del content["learning_curves"]
    save(tmp_path / "in" / "results_0.json", content)
    table = import_table(tmp_path / "in", tmp_path / "table", name="nb301")
    assert table.fidelities("val_acc") == {100: "val_acc"}


def test_a_training_without_an_accuracy_is_a_failed_measurement(tree: Path, tmp_path: Path) -> None:
    arch = archs(5)[4]
    content = result(arch, 80.0)
    content["info"][0]["val_accuracy"] = None
    save(tree / "rs" / "results_8.json", content)
    table = import_table(tree, tmp_path / "table", name="nb301")
    assert Tabular(table).evaluate([Proposal(arch)])[0].error == f"nb301 has no val_acc for {arch}"


def test_a_folder_of_results_is_known_by_its_files(tree: Path) -> None:
    assert suggested_name(tree) == "nasbench301"


def test_progress_counts_files_and_memory_does_not_grow_with_them(tmp_path: Path) -> None:
    arch, told = archs(1)[0], []
    content = result(arch, 90.0) | {"log": "x" * 100_000}
    for number in range(201):
        save(tmp_path / "in" / f"results_{number}.json", content)
    tracemalloc.start()
    table = import_table(
        tmp_path / "in", tmp_path / "table", name="nb301", progress=lambda done, total: told.append((done, total))
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert told == [(0, 201), (200, 201)]
    assert table.value(arch, "trainings") == 201
    assert peak < 5 << 20  # of 20 MB on the disk


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"budget": 100, "info": [', "Expecting value"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "list indices"),
        ("{}", "no entry 'optimized_hyperparamater_config'"),
        (changed(**{f"{PREFIX}edge_normal_0": "conv_7x7"}), "cannot hold the operation 'conv_7x7'"),
        (changed(**{f"{PREFIX}edge_normal_0": "none"}), "cannot hold the operation 'none'"),
        (changed(**{f"{PREFIX}edge_normal_0": None}), "no entry"),
        (changed(**{f"{PREFIX}edge_reduce_99": "none"}), "no node of the reduce cell reads edge_reduce_99"),
        (changed(**{f"{PREFIX}inputs_node_normal_3": "0_7"}), "no entry|no node of the normal cell reads"),
        (changed(**{f"{PREFIX}inputs_node_normal_3": "1_1"}), "no entry|two different states"),
        (changed(**{f"{PREFIX}inputs_node_normal_3": "../x"}), "invalid literal"),
        (changed(**{"NetworkSelectorDatasetInfo:network": "resnet"}), "the network is 'resnet', not darts"),
        (changed(**{f"{PREFIX}layers": "eight"}), "layers is a number"),
        (result(archs(1)[0], 190.0), "val_accuracy is a number from 0 to 100, but it is '190.0'"),
        (result(archs(1)[0], 90.0) | {"runtime": -1}, "runtime is a number"),
        (result(archs(1)[0], 90.0) | {"runtime": float("inf")}, "runtime is a number"),
        (result(archs(1)[0], 90.0) | {"budget": 0}, "budget is a number from 1"),
        (result(archs(1)[0], 90.0) | {"budget": True}, "budget is a number from 1"),
        (result(archs(1)[0], 90.0) | {"budget": 2}, "more than its budget of 2"),
        (result(archs(1)[0], 90.0) | {"budget": None}, "budget is not given"),
        (result(archs(1)[0], 90.0) | {"info": []}, "out of range"),
        (" " * (5 << 20), "it has 5,242,880 bytes"),
    ],
    ids=itertools.count(),  # type: ignore[arg-type]
)
def test_a_file_that_is_damaged_or_of_another_network_is_named(
    tree: Path, tmp_path: Path, content: Any, reason: str
) -> None:
    bad = save(tree / "rs" / "results_9.json", content)
    with pytest.raises(SpecError, match=reason) as caught:
        import_table(tree, tmp_path / "table", name="nb301")
    assert str(bad) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "table").exists()


def test_links_to_folders_are_not_followed(tree: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    save(elsewhere / "results_0.json", "not JSON")
    (tree / "rs" / "link").symlink_to(elsewhere)
    assert import_table(tree, tmp_path / "table", name="nb301").rows == 3
