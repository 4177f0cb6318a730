from __future__ import annotations

import bz2
import os
import pickle
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch

from ogive.core.errors import SpecError
from ogive.spaces.natssize import natssize
from ogive.tables import unpickling
from ogive.tables.importers import import_table, suggested_name

TEXTS = ["8:8:8:8:8", "8:16:24:32:40", "64:64:64:64:64"]


def training(epochs: int, accuracy: float, seed: int, params: float = 0.5) -> dict[str, Any]:
    last = epochs - 1
    return {
        "epochs": epochs,
        "train_acc1es": {last: accuracy + 1},
        "eval_acc1es": {f"x-valid@{last}": accuracy, f"ori-test@{last}": accuracy - 1, "x-valid@0": 1.0},
        "train_times": dict.fromkeys(range(epochs), 2.0),
        "eval_times": {f"x-valid@{last}": 0.5},
        "params": params,
        "flop": 10.0,
        "latency": [0.01, -1],
        "seed": seed,
    }


def results(text: str, *runs: dict[str, Any]) -> dict[str, Any]:
    return {
        "arch_str": text,
        "all_results": {("cifar10-valid", run["seed"]): run for run in runs},
        "dataset_seed": {"cifar10-valid": [run["seed"] for run in runs]},
    }


def save(path: Path, content: Any) -> None:
    path.write_bytes(bz2.compress(pickle.dumps(content)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "NATS-sss-invented"
    place.mkdir()
    save(place / "meta.pickle.pbz2", {"meta_archs": TEXTS})
    for number, text in enumerate(TEXTS[:2]):
        record = {"12": results(text, training(12, 60.0 + number, 777), training(12, 62.0 + number, 888))}
        save(place / f"{number:06d}.pickle.pbz2", record)
    return place


def test_means_over_the_trainings_after_the_last_epoch_are_imported(folder: Path, tmp_path: Path) -> None:
    heard = []
    table = import_table(folder, tmp_path / "t", name="t", progress=lambda done, total: heard.append((done, total)))
    arch = natssize().parse("8:16:24:32:40")
    wanted = {
        "c10v_val_12": 62.0,
        "c10v_val_12_seed777": 61.0,
        "c10v_val_12_seed888": 63.0,
        "c10v_test_12": 61.0,
        "c10v_train_12": 63.0,
        "c10v_train_seconds_12": 24.0,
        "c10v_query_seconds_12": 24.5,
        "c10v_latency_ms": 10.0,
        "params": 500_000,
        "c10v_params": 500_000,
        "macs": 10e6,
        "index": 1,
    }
    assert {name: table.value(arch, name) for name in wanted} == pytest.approx(wanted)
    tested = [name for name, column in table.columns.items() if column.test]
    assert tested == ["c10v_test_12", "c10v_test_12_seed777", "c10v_test_12_seed888"]
    mean, one = table.about("c10v_val_12"), table.about("c10v_val_12_seed888")
    assert (mean.seeds, mean.seed, mean.mean, mean.cell) == ("all", None, None, "raw")
    assert (one.seeds, one.seed, one.mean, one.cell) == ("one", 888, "c10v_val_12", "raw")
    assert table.fidelities("c10v_val_12") == {12: "c10v_val_12"}
    assert heard == [(1, 2), (2, 2)]
    assert suggested_name(folder) == "natssize"


def test_where_trainings_disagree_on_parameters_the_seed_888_is_right(folder: Path, tmp_path: Path) -> None:
    record = {"12": results(TEXTS[0], training(12, 60.0, 777, params=0.4), training(12, 60.0, 888, params=0.6))}
    save(folder / "000000.pickle.pbz2", record)
    table = import_table(folder, tmp_path / "t", name="t")
    assert table.value(natssize().parse(TEXTS[0]), "c10v_params") == 600_000


def test_a_training_without_times_has_no_clock_that_lies(folder: Path, tmp_path: Path) -> None:
    run = training(12, 60.0, 777) | {"train_times": None, "eval_times": {}}
    save(folder / "000000.pickle.pbz2", {"12": results(TEXTS[0], run)})
    table = import_table(folder, tmp_path / "t", name="t")
    seconds = table.value(natssize().parse(TEXTS[0]), "c10v_train_seconds_12")
    assert seconds != seconds


def refused(path: Path, tmp_path: Path, complaint: str) -> None:
    with pytest.raises(SpecError, match=complaint) as refusal:
        import_table(path, tmp_path / "t", name="t")
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "t").exists()


def test_a_folder_without_results_or_list_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", tmp_path, r"holds 0 of those and no meta\.pickle\.pbz2")
    (folder / "meta.pickle.pbz2").unlink()
    refused(folder, tmp_path, r"holds 2 of those and no meta\.pickle\.pbz2")


def test_results_of_another_architecture_than_listed_are_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "000001.pickle.pbz2", folder / "000000.pickle.pbz2")
    refused(folder, tmp_path, "it is about 8:16:24:32:40, but is listed as 8:8:8:8:8")


def test_files_named_for_no_architecture_are_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "000001.pickle.pbz2", folder / "000007.pickle.pbz2")
    refused(folder, tmp_path, "named for no architecture: the benchmark numbers them 0 to 2")


@pytest.mark.parametrize("content", [[], {}, {"12": {}}, {"12": results(TEXTS[0], {"seed": 1})}, 5])
def test_records_of_another_form_are_refused(content: Any, folder: Path, tmp_path: Path) -> None:
    save(folder / "000000.pickle.pbz2", content)
    if content in ([], 5, {"12": {}}) or content:
        refused(folder, tmp_path, "is not what NATS-Bench publishes for 8:8:8:8:8")


def test_truncated_hostile_and_exploding_files_are_refused(folder: Path, tmp_path: Path) -> None:
    file = folder / "000000.pickle.pbz2"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    refused(folder, tmp_path, "is damaged")

    class Hostile:
        def __reduce__(self) -> Any:
            return os.system, ("true",)

    save(file, {"12": Hostile()})
    refused(folder, tmp_path, r"it names posix\.system")
    file.write_bytes(bz2.compress(bytes(2**26)))
    refused(folder, tmp_path, "unpacks to more than 16 MiB")


def test_lists_of_something_else_are_refused(folder: Path, tmp_path: Path) -> None:
    save(folder / "meta.pickle.pbz2", {"meta_archs": ["8:8:8:8:7", *TEXTS[1:]]})
    save(folder / "000000.pickle.pbz2", {"12": results("8:8:8:8:7", training(12, 60.0, 777))})
    refused(folder, tmp_path, "lists an architecture that natssize does not have")
    save(folder / "meta.pickle.pbz2", {"meta_archs": 3})
    refused(folder, tmp_path, "does not list the architectures")


def test_a_file_of_torch_with_something_else_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "absent.pth", tmp_path, "There is no file")
    torch.save({"state_dict": {}}, tmp_path / "a.pth")
    refused(tmp_path / "a.pth", tmp_path, "it holds no arch2infos")
    torch.save({"meta_archs": ["x"], "arch2infos": {5: {}}}, tmp_path / "b.pth")
    refused(tmp_path / "b.pth", tmp_path, "results of an architecture 5, but lists 1")
    torch.save({"meta_archs": ["x"], "arch2infos": {}}, tmp_path / "c.pth")
    refused(tmp_path / "c.pth", tmp_path, "holds no results")


def long_training(seed: int) -> dict[str, Any]:
    run = training(200, 60.0, seed)
    curves = {f"x-valid@{epoch}": epoch / 7 for epoch in range(200)}
    losses = {name: {epoch: epoch / 3 + seed for epoch in range(200)} for name in ("train_losses", "train_acc5es")}
    return run | losses | {"eval_acc1es": {**curves, **run["eval_acc1es"]}}


def peak_of_import(place: Path, cells: int) -> tuple[int, int]:
    """The size of a file of ten trainings of each of so many cells, and the peak of memory while it is imported."""
    place.mkdir()
    ops = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    texts = [f"|none~0|+|none~0|none~1|+|none~0|{a}~1|{b}~2|" for a in ops for b in ops][:cells]
    infos = {
        number: {"full": results(text, *(long_training(10 * number + seed) for seed in range(10)))}
        for number, text in enumerate(texts)
    }
    torch.save({"meta_archs": texts, "arch2infos": infos}, place / "a.pth")
    del infos
    tracemalloc.start()
    try:
        import_table(place / "a.pth", place / "t", name="t")
        return (place / "a.pth").stat().st_size, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_file_of_torch_is_never_in_memory_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpickling, "TEXTS", 8_000)
    small, low = peak_of_import(tmp_path / "small", cells=8)
    large, high = peak_of_import(tmp_path / "large", cells=25)
    # Unpickled at once, every byte of the file becomes several of dictionaries.
    assert large - small > 2_000_000
    assert high - low < (large - small) / 4
