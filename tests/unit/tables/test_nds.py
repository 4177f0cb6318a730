"""Small files in the form in which the authors of NDS publish their trainings."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ogive.catalog import build
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.trial import Budget
from ogive.session import Settings, searched
from ogive.tables.importers import import_table, suggested_name
from ogive.tables.store import Table, open_table

EPOCHS = 3


def network(text: str, seed: int) -> tuple[Architecture, dict[str, Any]]:
    """A random network, and its object `net` with what the files say beside the architecture."""
    space = build("space", text)
    arch = space.sample(np.random.default_rng(seed))
    net: dict[str, Any] = json.loads(space.format(arch))
    return arch, net | ({"aux": False, "drop_prob": 0.0} if "genotype" in net else {})


def record(net: dict[str, Any], number: int) -> dict[str, Any]:
    """A training as it is published; the errors of its last epoch are larger than those of the one before."""
    return {
        "job_id": number,
        "rng_seed": 1,
        "exp_mem": 1.5,
        "act_mem": 0.5,
        "params": 100_000 + number,
        "flops": 70_000_000 + number,
        "iter_time": 0.01 * (number + 1),
        "prec_time": {"train_fw_bw": 0.02},
        "net": net,
        "optim": {"base_lr": 0.1, "wd": 0.0005, "max_ep": EPOCHS},
        "min_test_top1": 10.0 + number,
        "test_ep_top1": [90.0, 10.0 + number, 12.0 + number],
        "train_ep_top1": [80.0, 7.0 + number, 5.0 + number],
        "train_ep_loss": [float("nan"), 1.0, 0.5],
        "train_it_loss": [[2.0, 1.5], [1.0, 0.9], [0.5, 0.4]],
    }


def written(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def imported(folder: Path, name: str, content: Any) -> Table:
    return import_table(written(folder, name, content), folder / "table", name="mine")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("DARTS.json", "nds_darts"),
        ("DARTS_fix-w-d.json", "nds_darts(widths=[16], depths=[20])"),
        ("DARTS_in.json", "nds_darts(widths=[48, 64], depths=[6, 22])"),
        ("ENAS.json", "nds_enas"),
        ("Amoeba.json", "nds_amoeba"),
        ("NASNet.json", "nds_nasnet"),
        ("PNAS.json", "nds_pnas"),
        ("ResNet_rng1.json", "nds_resnet"),
        ("ResNeXt-A.json", "nds_resnext(variant=a)"),
        ("ResNeXt-B.json", "nds_resnext(variant=b)"),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_every_record_of_a_file_is_a_row(file: str, text: str, nested: bool, tmp_path: Path) -> None:
    pairs = [network(text, seed) for seed in range(5)]
    content: Any = [record(net, number) for number, (_, net) in enumerate(pairs)]
    table = imported(tmp_path, file, {"top": content[:2], "mid": content[2:]} if nested else content)
    assert (table.space, table.rows, table.complete) == (text.partition("(")[0], 5, False)
    for number, (arch, _) in enumerate(pairs):
        values = {column: table.value(arch, column) for column in table.columns}
        assert values == {
            "test_acc": pytest.approx(88 - number),
            "test_acc_best": pytest.approx(90 - number),
            "train_acc": pytest.approx(95 - number),
            "params": 100_000 + number,
            "flops": 70_000_000 + number,
            "step_seconds": pytest.approx(0.01 * (number + 1)),
            "records": 1,
        }
    assert [column for column, about in table.columns.items() if about.test] == ["test_acc", "test_acc_best"]
    assert ("ImageNet" in table.columns["test_acc"].meaning) == file.endswith("_in.json")
    assert str(open_table(str(tmp_path / "table")).digest) == table.digest


def test_records_of_one_architecture_are_averaged_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (arch, net), (other, more) = network("nds_enas", 0), network("nds_enas", 1)
    with caplog.at_level(logging.WARNING):
        table = imported(tmp_path, "ENAS.json", [record(net, 0), record(more, 1), record(net, 2), record(net, 4)])
    assert "4 records are of 2 architectures" in caplog.text
    assert [table.value(arch, column) for column in ("records", "test_acc", "params")] == [3, 86.0, 100_002]
    assert [table.value(other, column) for column in ("records", "test_acc", "params")] == [1, 87.0, 100_001]


def test_the_name_of_a_table_is_that_of_its_file() -> None:
    names = {file: suggested_name(Path(file)) for file in ("DARTS.json", "ResNeXt-A_in.json", "nds_pnas.json")}
    assert list(names.values()) == ["nds_darts", "nds_resnext-a_in", "nds_pnas"]


def test_a_search_in_such_a_table_stays_among_its_rows(tmp_path: Path) -> None:
    pairs = [network("nds_darts(widths=[80], depths=[6])", seed) for seed in range(8)]
    imported(tmp_path, "DARTS_in.json", [record(net, number) for number, (_, net) in enumerate(pairs)])
    settings = Settings(
        space="nds_darts",
        table=str(tmp_path / "table"),
        strategy="evolution(population=3, tournament=2)",
        evaluator="tabular(metric=train_acc)",
        budget=Budget(trials=8),
    )
    trials, _ = searched(settings)
    assert {trial.arch for trial in trials} <= {arch for arch, _ in pairs}
    assert all(trial.metrics["test_acc"] == trial.metrics["val_acc"] - 7 for trial in trials)
    with pytest.raises(SpecError, match=r"does not say what to search on: .*train_acc"):
        searched(Settings(space="nds_darts", table=str(tmp_path / "table"), budget=Budget(trials=1)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"net": None}, "a record is an object with net"),
        ({"net": {"block_type": "double_plain_block"}}, "net.block_type .*double_plain_block"),
        ({"net.width": 17}, "net: width: .*17"),
        ({"net.genotype": {"normal": []}}, "net: genotype.normal"),
        ({"test_ep_top1": []}, "test_ep_top1 is a list"),
        ({"test_ep_top1": [1.0, "2"]}, "test_ep_top1 is a number, not '2'"),
        ({"test_ep_top1": [101.0]}, "test_ep_top1 holds errors in per cent, not 101"),
        ({"test_ep_top1": [float("nan")]}, "test_ep_top1 holds errors in per cent, not nan"),
        ({"test_ep_top1": [10**400]}, "test_ep_top1 is too large"),
        ({"train_ep_top1": None}, "train_ep_top1 is a list"),
        ({"params": 0}, "params is a positive number, not 0"),
        ({"params": True}, "params is a number, not True"),
        ({"flops": float("inf")}, "flops is a positive number"),
        ({"iter_time": -1}, "iter_time is a positive number"),
    ],
)
def test_a_broken_record_is_named_with_its_field(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    broken = record(network("nds_darts", 1)[1], 1)
    for field, value in change.items():
        inside, _, name = field.rpartition(".")
        (broken[inside] if inside else broken)[name] = value
    content = [record(network("nds_darts", 0)[1], 0), broken]
    with pytest.raises(SpecError, match=f"Record 1 of .*DARTS.json is not one of NDS: .*{message}"):
        imported(tmp_path, "DARTS.json", content)
    assert not (tmp_path / "table").exists()


def test_a_record_without_the_time_of_a_step_is_a_row_without_it(tmp_path: Path) -> None:
    arch, net = network("nds_pnas", 0)
    content = record(net, 0)
    del content["iter_time"]
    table = imported(tmp_path, "PNAS.json", [content])
    assert np.isnan(table.value(arch, "step_seconds"))


def test_cells_in_a_file_of_another_name_are_refused_with_the_way_out(tmp_path: Path) -> None:
    content = [record(network("nds_darts", 0)[1], 0)]
    with pytest.raises(SpecError, match=r"Record 0 .*begins with darts, enas, .*not with 'mine'"):
        imported(tmp_path, "mine.json", content)
    with pytest.raises(SpecError, match=r"Record 0 .*genotype.normal: a cell of nds_enas has 10 entries; got 8"):
        imported(tmp_path, "ENAS.json", content)


def test_networks_of_two_spaces_in_one_file_are_refused(tmp_path: Path) -> None:
    content = [record(network(space, 0)[1], 0) for space in ("nds_resnet", "nds_resnext")]
    with pytest.raises(SpecError, match=r"Record 1 .*is of nds_resnext, those before it of nds_resnet"):
        imported(tmp_path, "ResNet.json", content)


def test_truncated_and_hostile_files_are_refused(tmp_path: Path) -> None:
    whole = json.dumps({"top": [record(network("nds_darts", seed)[1], seed) for seed in range(3)], "mid": []})
    for end in (0, 1, 40, len(whole) // 2, len(whole) - 1):
        path = tmp_path / "DARTS.json"
        path.write_text(whole[:end])
        with pytest.raises(SpecError, match=r"Record \d of .*DARTS.json is damaged"):
            import_table(path, tmp_path / "table", name="mine")
    for text in ("[" * 200_000, "[]", '[{"net": ' + '{"genotype": ' * 50_000, "null"):
        path.write_text(text)
        with pytest.raises(SpecError):
            import_table(path, tmp_path / "table", name="mine")
    with pytest.raises(SpecError, match="There is no file"):
        import_table(tmp_path / "none.json", tmp_path / "table", name="mine")
    assert not (tmp_path / "table").exists()
