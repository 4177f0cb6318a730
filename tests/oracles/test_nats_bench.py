"""What is imported from NATS-Bench's own files is what the authors' package answers about them."""

from __future__ import annotations

import bz2
import json
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ogive.spaces.nasbench201 import nasbench201
from ogive.spaces.natssize import natssize
from ogive.tables.importers import import_table
from ogive.tables.store import Table

FOLDERS = {"tss": "NATS-tss-v1_0-3ffb9-simple", "sss": "NATS-sss-v1_0-50262-simple"}
SHORT = {"cifar10-valid": "c10v", "cifar10": "c10", "cifar100": "c100", "ImageNet16-120": "in16"}
# get_more_info(index, data, hp=epochs, is_random=False) and get_cost_info(index, data, hp=epochs) of nats_bench 1.8,
# for the three architectures of each folder, by "space/index/epochs/data".
ANSWERS: dict[str, dict[str, float]] = json.loads(
    (Path(__file__).parent / "nats_bench_answers.json").read_text("utf-8")
)


@pytest.fixture(scope="module")
def tables(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    place = tmp_path_factory.mktemp("tables")
    return {
        kind: import_table(shared_data / "nats_sample" / name, place / kind, name=kind)
        for kind, name in FOLDERS.items()
    }


def expected(data: str, epochs: int, answer: dict[str, float]) -> Iterator[tuple[str, float]]:
    short = SHORT[data]
    for split, name in (("train", "train"), ("val", "valid"), ("test", "test"), ("valtest", "valtest")):
        if f"{name}-accuracy" in answer:
            yield f"{short}_{split}_{epochs}", answer[f"{name}-accuracy"]
    yield f"{short}_train_seconds_{epochs}", answer["train-all-time"]
    if "valid-per-time" in answer:
        yield f"{short}_query_seconds_{epochs}", answer["train-all-time"] + answer["valid-per-time"]
    yield f"{short}_latency_ms", 1e3 * answer["latency"]
    yield f"{short}_params", 1e6 * answer["params"]
    yield f"{short}_flops", 1e6 * answer["flops"]


def compared(table: Table, kind: str, answers: dict[str, dict[str, float]]) -> int:
    rows = {int(index): row for row, index in enumerate(table.column("index"))}
    count = 0
    for key, answer in answers.items():
        space, index, epochs, data = key.split("/")
        for column, value in expected(data, int(epochs), answer) if space == kind else ():
            assert table.column(column)[rows[int(index)]] == pytest.approx(value, rel=1e-12), (key, column)
            count += 1
    return count


@pytest.mark.parametrize(("kind", "numbers"), [("tss", 192), ("sss", 288)])
def test_every_number_is_that_of_the_package(tables: dict[str, Table], kind: str, numbers: int) -> None:
    assert compared(tables[kind], kind, ANSWERS) == numbers


def test_the_tables_are_closed_worlds_with_clocks_and_several_lengths_of_training(tables: dict[str, Table]) -> None:
    topology, size = tables["tss"], tables["sss"]
    assert (topology.space, size.space) == ("nasbench201", "natssize")
    assert (topology.rows, topology.complete, size.complete) == (3, False, False)
    assert (topology.metric, topology.report) == ("c10v_val_200", "c10_test_200")
    assert (size.metric, size.report) == ("c10v_val_90", "c10_test_90")
    assert topology.fidelities("c10v_val_200") == {12: "c10v_val_12", 200: "c10v_val_200"}
    assert size.fidelities("c10v_val_90") == {1: "c10v_val_1", 12: "c10v_val_12", 90: "c10v_val_90"}
    assert topology.clock_of("c10v_val_12") == "c10v_query_seconds_12"
    assert (
        topology.row(
            nasbench201().parse(
                "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|none~0|nor_conv_3x3~1|avg_pool_3x3~2|"
            )
        )
        >= 0
    )
    assert size.row(natssize().parse("8:8:40:32:40")) >= 0


def test_the_package_itself_still_answers_so(shared_data: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it was written for older versions of NumPy
        nats_bench = pytest.importorskip(
            "nats_bench", reason="pip install nats_bench to ask the authors' package itself"
        )
        for kind, name in FOLDERS.items():
            api = nats_bench.create(str(shared_data / "nats_sample" / name), kind, fast_mode=True, verbose=False)
            for key, answer in ANSWERS.items():
                space, index, epochs, data = key.split("/")
                if space == kind:
                    found = api.get_more_info(int(index), data, hp=epochs, is_random=False)
                    assert {n: found[n] for n in answer if n in found} == {n: answer[n] for n in answer if n in found}


def test_what_the_extract_calls_means_over_all_trainings_is_that_of_these_cells(
    shared_data: Path, tables: dict[str, Table], tmp_path: Path
) -> None:
    extract = import_table(shared_data / "nb201.parquet", tmp_path / "extract", name="extract")
    folder = tables["tss"]
    place = {int(index): row for row, index in enumerate(extract.column("index"))}
    rows = [place[int(index)] for index in folder.column("index")]
    shared = [name for name in folder.columns if name in extract.columns and name.rpartition("_")[2] in ("12", "200")]
    of_all = [name for name in shared if extract.about(name).seeds == "all"]
    assert {"c10_test_200", "c10v_val_12", "in16_test_12"} <= set(of_all)
    for name in of_all:
        np.testing.assert_allclose(extract.column(name)[rows], folder.column(name), atol=1e-4)
    assert [name for name in shared if extract.about(name).seeds is None] == []
    assert extract.about("c10_oneshot_supernet").test  # on test images, too


# -- the older file of torch.save --------------------------------------------------------------------------------------


def unpickled(path: Path) -> Any:
    return pickle.loads(bz2.decompress(path.read_bytes()))


@pytest.mark.parametrize("zipped", [False, True])
def test_a_file_of_torch_with_the_same_results_becomes_the_same_table(
    zipped: bool, shared_data: Path, tables: dict[str, Table], tmp_path: Path
) -> None:
    """NAS-Bench-201-v1_1-096897.pth holds "less" (12 epochs) and "full" (200) where NATS-Bench has "12" and "200"."""
    folder = shared_data / "nats_sample" / FOLDERS["tss"]
    records = {number: unpickled(folder / f"{number:06d}.pickle.pbz2") for number in (0, 11, 284)}
    infos = {number: {"less": record["12"], "full": record["200"]} for number, record in records.items()}
    texts = unpickled(folder / "meta.pickle.pbz2")["meta_archs"]
    content = {"meta_archs": texts, "total_archs": 15_625, "arch2infos": infos, "evaluated_indexes": set(infos)}
    torch.save(content, tmp_path / "bench.pth", _use_new_zipfile_serialization=zipped)
    table = import_table(tmp_path / "bench.pth", tmp_path / "table", name="tss")
    assert table.digest == tables["tss"].digest
