"""The files that ogive reads, small and as they should be, with who reads them: what ``fuzzing.py`` spoils.

One long list on purpose: a reader that is missing here is seen at a glance, and no two of them share more than a line.
"""

from __future__ import annotations

import bz2
import csv
import functools
import gzip
import hashlib
import io
import json
import pickle
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fuzzing import Mutate, Random, Reader, some_bytes, some_steps, some_values
from safetensors import safe_open
from safetensors.torch import save_file

from ogive import catalog
from ogive.core.architecture import Architecture
from ogive.core.rng import Seed
from ogive.core.trial import Budget, Cost, Measurement, Proposal, Spent, Trial
from ogive.run_store import RunStore
from ogive.runs import read_run
from ogive.session import Settings
from ogive.tables.importers import import_table
from ogive.tables.tfrecord import masked_crc32c

Content = Any


def inside(take: Callable[[bytes], bytes], put: Callable[[bytes, bytes], bytes], *spoil: Mutate) -> tuple[Mutate, ...]:
    """The same ways to spoil what is packed in a file, or signed there."""
    return tuple(lambda content, rng, one=one: put(content, one(take(content), rng)) for one in spoil)


def imported(path: Path) -> None:
    """Import a file or folder into a folder that is gone afterwards, and that alone is there."""
    with tempfile.TemporaryDirectory() as place:
        try:
            import_table(path, Path(place) / "table", name="fuzzed")
        finally:
            left = [entry.name for entry in Path(place).iterdir() if entry.name != "table"]
            assert not left, left


# -- benchmarks -------------------------------------------------------------------------------------------------------


def training(seed: int) -> dict[str, Any]:
    return {
        "epochs": 12, "train_acc1es": {11: 61.0}, "eval_acc1es": {"x-valid@11": 60.0, "ori-test@11": 59.0},
        "train_times": dict.fromkeys(range(12), 2.0), "eval_times": {"x-valid@11": 0.5}, "params": np.float64(0.5),
        "flop": 10.0, "latency": [0.01, -1], "seed": seed,
    }  # fmt: skip


def results(text: str) -> dict[str, Any]:
    return {
        "arch_str": text,
        "all_results": {("cifar10-valid", seed): training(seed) for seed in (777, 888)},
        "dataset_seed": {"cifar10-valid": [777, 888]},
    }


TEXTS = ["8:8:8:8:8", "8:16:24:32:40"]
CELL = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


def folder_of_nats(place: Path) -> Path:
    folder = place / "NATS-sss-x"
    folder.mkdir(exist_ok=True)
    (folder / "meta.pickle.pbz2").write_bytes(bz2.compress(pickle.dumps({"meta_archs": TEXTS})))
    path = folder / "000001.pickle.pbz2"
    path.write_bytes(bz2.compress(pickle.dumps({"12": results(TEXTS[1])}, 4)))
    return path


def file_of_torch(place: Path) -> Path:
    path = place / "a.pth"
    torch.save({"meta_archs": [CELL], "arch2infos": {0: {"full": results(CELL)}}}, path)
    return path


def pickle_in_zip(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))


def zip_of_pickle(_: bytes, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", content)
    return file.getvalue()


def hardware(place: Path) -> Path:
    lists = {"config": [{"arch_str": "a"}, {"arch_str": "b"}], "edgegpu_latency": [1.0, 2.0], "fpga_energy": [1, 2]}
    path = place / "a.pickle"
    path.write_bytes(pickle.dumps({"nasbench201": {"cifar10": lists, "cifar100": lists}}, 2))
    return path


def columns_of_hardware(path: Path) -> None:
    from ogive.tables.hardware import columns_of_pickle

    columns_of_pickle(path)


def parquet_file(place: Path) -> Path:
    import pyarrow
    from pyarrow import parquet

    path = place / "a.parquet"
    columns = {"index": list(range(20)), "text": ["a", "b"] * 10, "acc": [float(n) for n in range(20)]}
    parquet.write_table(pyarrow.table(columns), path, row_group_size=10)
    return path


def csv_file(place: Path) -> Path:
    path = place / "a.csv"
    rows = [["size", "kind", "price"], *([n, "ab"[n % 2], n / 3] for n in range(40))]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def records(place: Path) -> Path:
    from base64 import b64encode

    def evaluation(number: int) -> bytes:
        doubles = b"".join(bytes([field << 3 | 1]) + struct.pack("<d", 0.5 + number / 10) for field in (1, 2, 3, 4, 5))
        return b"\x0a" + bytes([len(doubles)]) + doubles

    metrics = b64encode(b"".join(map(evaluation, range(3))) + b"\x10\x64").decode()
    matrix, ops = "010001000", "input,maxpool3x3,output"
    from ogive.spaces import nasbench101

    arch = nasbench101.read("ModelSpec(matrix=[[0,1,0],[0,0,1],[0,0,0]], ops=['input','maxpool3x3','output'])")
    content = json.dumps([nasbench101.module_hash(arch), 108, matrix, ops, metrics]).encode()
    path = place / "a.tfrecord"
    path.write_bytes(signed_record(b"", content))
    return path


def first_record(content: bytes) -> bytes:
    return content[12 : 12 + struct.unpack("<Q", content[:8])[0]]


def signed_record(_: bytes, content: bytes) -> bytes:
    head = struct.pack("<Q", len(content))
    sums = masked_crc32c([head, content]).tolist()
    return head + struct.pack("<I", sums[0]) + content + struct.pack("<I", sums[1])


def trainings_of_nds(place: Path) -> Path:
    space = catalog.build("space", "nds_resnet")
    net = json.loads(space.format(space.sample(np.random.default_rng(0))))
    record = {"net": net, "params": 5, "flops": 7, "iter_time": 0.1, "test_ep_top1": [90.0], "train_ep_top1": [80.0]}
    path = place / "ResNet.json"
    path.write_text(json.dumps([record, record]))
    return path


def boosted_trees(place: Path) -> Path:
    from ogive.tables.surrogate import FEATURES

    tree = {
        "left_children": [1, -1, -1], "right_children": [2, -1, -1], "split_conditions": [0.5, 1.0, 2.0],
        "split_indices": [3, 0, 0], "split_type": [0, 0, 0],
    }  # fmt: skip
    learner = {
        "gradient_booster": {"name": "gbtree", "model": {"trees": [tree]}},
        "learner_model_param": {"base_score": "5E-1", "num_feature": str(len(FEATURES)), "num_class": "0"},
        "objective": {"name": "reg:squarederror"},
    }
    folder = place / "xgb"
    folder.mkdir(exist_ok=True)
    path = folder / "surrogate_model.json"
    path.write_text(json.dumps({"learner": learner}))
    return path


def table(place: Path) -> Path:
    from ogive.tables.keys import SortedDigests
    from ogive.tables.store import Column, write_table

    folder = place / "table"
    if folder.exists():
        shutil.rmtree(folder)
    key, order = SortedDigests.of("nasbench201", [[0] * 6, [1] * 6, [2] * 6])
    columns = {
        "acc": (Column("%", "accuracy", "float64"), np.array([1.0, 2.0, 3.0])[order]),
        "seconds": (Column("s", "time", "float32"), np.array([1.0, 2.0, 3.0], np.float32)[order]),
    }
    write_table(
        folder, columns, name="a", space="nasbench201", key=key, source="", licence="", importer="own 1",
        complete=False, metric="acc", clock="seconds",
    )  # fmt: skip
    return folder / "table.json"


def opened_table(path: Path) -> None:
    from ogive.tables.store import Table

    found = Table.open(path.parent)
    for name in found.columns:
        found.metric_of(name)
        found.column(name)
    found.best(next(iter(found.columns)))
    found.architecture(0)


def small_table(place: Path) -> Path:
    path = table(place)
    description = json.loads(path.read_text())
    description["key"] = {"kind": "mixed radix", "sizes": [3, 1]}
    path.write_text(json.dumps(description))
    return path


# -- data -------------------------------------------------------------------------------------------------------------


def arrays(place: Path) -> Path:
    path = place / "a.npz"
    rng = np.random.default_rng(0)
    np.savez(path, x=rng.integers(0, 255, (24, 4, 4), np.uint8), y=np.arange(24) % 3)
    return path


def rows_of_arrays(place: Path) -> Path:
    path = place / "a.npz"
    np.savez(path, x=np.random.default_rng(0).normal(size=(40, 3)), y=np.array(["a", "b"] * 20))
    return path


def first_member(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(archive.namelist()[0])


def with_first_member(content: bytes, member: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        first, *others = old.namelist()
        new.writestr(first, member)
        for name in others:
            new.writestr(name, old.read(name))
    return file.getvalue()


def kernels(place: Path) -> Path:
    from ogive.tables.kernels import Kernel, write_kernels

    path = place / "kernels.npz"
    one = Kernel(Architecture("a", (1, 2)), 5, np.eye(4), np.arange(4))
    write_kernels([one, one], path)
    return path


def read_kernels(path: Path) -> None:
    from ogive.tables.kernels import read_kernels as read

    _ = [kernel.agreement for kernel in read(path)]


def pictures(place: Path) -> Path:
    from PIL import Image

    for name in ("a", "b"):
        (place / "pictures" / name).mkdir(parents=True, exist_ok=True)
        for number in range(6):
            Image.new("RGB", (8, 8), (number * 30, 10, 200)).save(place / "pictures" / name / f"{number}.png")
    return place / "pictures" / "a" / "0.png"


def png_parts(content: bytes, rng: Random) -> bytes:
    """Sizes of a PNG that are changed under a checksum that is right."""
    found = bytearray(content)
    at = 16 + 4 * rng.randrange(2)
    found[at : at + 4] = struct.pack(">I", rng.choice((0, 1, 60_000, 2**20, 2**31 - 1)))
    found[24:26] = bytes((rng.choice((1, 2, 8, 16)), rng.choice((0, 2, 3, 4, 6))))
    found[29:33] = struct.pack(">I", zlib.crc32(found[12:29]))
    return bytes(found)


def data(text: str) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        catalog.build("data", text.format(path=path, folder=path.parent, above=path.parent.parent))

    return read


def sentences(place: Path) -> Path:
    path = place / "texts.csv"
    rows = [
        ["text", "label"],
        *([("good \u00e9 day", "bad night")[n % 2], "ab"[n % 2]] for n in range(40)),
    ]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def boxes_of_coco(place: Path) -> Path:
    from PIL import Image

    told: dict[str, Any] = {"categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]}
    told |= {"images": [], "annotations": []}
    (place / "coco" / "images").mkdir(parents=True)
    (place / "coco" / "annotations").mkdir()
    for number in range(12):
        Image.new("RGB", (8, 8), (number * 20, 10, 200)).save(place / "coco" / "images" / f"{number}.png")
        told["images"].append({"id": number, "file_name": f"{number}.png", "width": 8, "height": 8})
        box = {"id": number, "image_id": number, "category_id": (3, 7)[number % 2], "bbox": [1, 2, 3, 4], "area": 12}
        told["annotations"].append({**box, "iscrowd": 0})
    path = place / "coco" / "annotations" / "instances.json"
    path.write_text(json.dumps(told))
    return path


def boxes_of_voc(place: Path) -> Path:
    from PIL import Image

    for name in ("Annotations", "JPEGImages"):
        (place / "voc" / name).mkdir(parents=True)
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>5</xmax><ymax>7</ymax></bndbox>"
    for number in range(12):
        Image.new("RGB", (8, 8), (number * 20, 10, 200)).save(place / "voc" / "JPEGImages" / f"{number}.png")
        found = f"<object><name>{'cd'[number % 2]}</name><difficult>0</difficult>{box}</object>"
        size = "<size><width>8</width><height>8</height><depth>3</depth></size>"
        text = f"<annotation><filename>{number}.png</filename>{size}{found}</annotation>"
        (place / "voc" / "Annotations" / f"{number}.xml").write_text(text)
    return place / "voc" / "Annotations" / "0.xml"


def corpus(place: Path) -> Path:
    for part in ("train", "valid", "test"):
        (place / f"{part}.txt").write_text("a b c a b\nc d e\n" * 30)
    return place / "train.txt"


def idx(place: Path) -> Path:
    path = place / "images.gz"
    path.write_bytes(gzip.compress(bytes((0, 0, 8, 3)) + struct.pack(">3I", 5, 4, 4) + bytes(80)))
    return path


def read_idx(path: Path) -> None:
    from ogive.training.published import read_idx as read

    read(path, dimensions=3)


# -- runs -------------------------------------------------------------------------------------------------------------

SPACE = "nasbench201"


def config() -> dict[str, Any]:
    settings = Settings(
        space=SPACE,
        strategy="random",
        evaluator="training_free(params)",
        objectives=("minimize(params)",),
        budget=Budget(trials=3),
        data="digits",
    )
    metric = {"name": "params", "unit": "", "better": "smaller", "words": "parameters"}
    return {
        "ogive": "0.2", "created": "2026-01-01T00:00:00", "command": "ogive search", "role": "search",
        "machine": {"cpu": "a", "packages": {"numpy": "2"}}, **settings.config(), "metrics": [metric], "answer": "best",
        "unrepeatable": [], "data_digest": "0",
    }  # fmt: skip


def run(place: Path) -> Path:
    folder = place / "run"
    if folder.exists():
        shutil.rmtree(folder)
    with RunStore.create(folder, config()) as store:
        for number in range(3):
            arch = Architecture(SPACE, (number,) * 6)
            measured = Measurement({"params": 5.0 + number}, Cost(1.0))
            store.append(Trial(number, Proposal(arch), measured, "ok", (-5.0 - number,)), number + 1.0)
        store.note("prefer.json", ["params<=6"])
        found = [Trial(0, Proposal(Architecture(SPACE, (0,) * 6)), Measurement({"params": 5.0}), "ok", (-5.0,))]
        store.note_finalists(found, 3)
        store.note("world.json", {"projections": 1})
    network = folder / "artifacts" / "networks" / "trial-0"
    network.mkdir(parents=True)
    facts = {
        "arch": f"{SPACE}:0,0,0,0,0,0", "trial": 0, "data": "digits", "exports": [{"format": "onnx", "paths": ["a"]}],
        "epochs": 5, "task": "classification", "recipe": {"epochs": 5}, "size": {"channels": 4, "cells": 1},
        "reached": "50 % of 360 test images", "test_acc": 50.0, "test_images": 360, "look": 1, "params": 5,
    }  # fmt: skip
    (network / "network.json").write_text(json.dumps(facts))
    (folder / "artifacts" / "winner.json").write_text(json.dumps(facts))
    (folder / "looks.jsonl").write_text(
        '{"look": 1, "began": "2026", "trial": 0}\n{"look": 1, "measured": {"test_acc": 50.0}}\n'
    )
    return folder


def file_of_run(name: str) -> Callable[[Path], Path]:
    return lambda place: run(place) / name


def folder_of_run(path: Path) -> Path:
    return next(folder for folder in path.parents if folder.name == "run")


def reported(path: Path) -> None:
    """All that reads a run: settings for a resume, the page, and the store that goes on."""
    from ogive.reporting.page import page
    from ogive.session.settings import settings_of
    from ogive.winner import winner_facts

    folder = folder_of_run(path)
    found = read_run(folder)
    settings_of(found.config)
    found.is_settled, found.chances, found.final_trials, found.projections  # noqa: B018
    page([found])
    winner_facts(found)
    with RunStore.open(folder):
        pass


def signed_line(_: bytes, body: bytes) -> bytes:
    text = body.decode(errors="surrogatepass")
    return f'{text[:-1]},"crc32":"{zlib.crc32(text.encode(errors="surrogatepass")):08x}"}}\n'.encode(
        errors="surrogatepass"
    )


def body_of_line(content: bytes) -> bytes:
    return content.splitlines()[0].decode().rpartition(',"crc32":"')[0].encode() + b"}"


def state(place: Path) -> Path:
    """A saved strategy with the state of the loop beside it."""
    folder = run(place)
    space = catalog.build("space", SPACE)
    evolution = catalog.build("strategy", "evolution", space=space, seed=Seed(0))
    saved = folder / "artifacts" / "strategy-000000000"
    saved.mkdir()
    evolution.save(saved)
    waiting = [{"first": 0, "proposals": [{"arch": f"{SPACE}:0,0,0,0,0,0", "fidelity": None}]}]
    (saved / "study.json").write_text(json.dumps({"told": 0, "asked": 1, "open": waiting}))
    return saved


class Loop:
    """What a saved strategy is loaded for."""

    spent = Spent()

    def resume_from(self, *_: object) -> None:
        """Nothing is searched here."""


def loaded_state(path: Path) -> None:
    space = catalog.build("space", SPACE)
    with RunStore.open(folder_of_run(path)) as store:
        store.load_strategy(catalog.build("strategy", "evolution", space=space, seed=Seed(0)), Loop())  # type: ignore[arg-type]


def signed_state(_: bytes, content: bytes) -> bytes:
    try:
        record = json.loads(content)
        inner = {key: record[key] for key in ("strategy", "settings", "state")}
        record["digest"] = hashlib.sha256(json.dumps(inner, sort_keys=True).encode()).hexdigest()
        return json.dumps(record).encode()
    except (ValueError, KeyError, TypeError, RecursionError):
        return content


def header_of(content: bytes) -> bytes:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(content)
        with safe_open(file.name, framework="pt") as found:
            return next(iter(found.metadata().values())).encode()


def with_header(content: bytes, header: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "a"
        path.write_bytes(content)
        with safe_open(path, framework="pt") as found:
            tensors = {name: found.get_tensor(name) for name in found.keys()}  # noqa: SIM118 - no mapping
            (name,) = found.metadata()
        save_file(tensors, path, metadata={name: header.decode(errors="replace")})
        return path.read_bytes()


@functools.cache
def images() -> Any:
    return catalog.build("data", "digits(limit=48)")


def searcher(kind: str) -> Any:
    """A search in a supernet, as small as it can be."""
    inner = "darts(channels=2, cells=1, epochs=2, batch_size=16)"
    text = f"few_shot({inner}, part_epochs=1)" if kind == "few_shot" else inner
    return catalog.build("strategy", text, space=catalog.build("space", SPACE), data=images(), seed=Seed(0))


def supernet(kind: str, file: str) -> Reader:
    """The state of a search in a supernet after its first epoch."""

    def make(place: Path) -> Path:
        torch.set_num_threads(1)
        search = searcher(kind)
        search.ask(1)
        search.save(place / "state")
        return next((place / "state").rglob(file))

    def read(path: Path) -> None:
        searcher(kind).load(next(folder for folder in path.parents if folder.name == "state"))

    ways = (some_values, some_values, some_bytes)
    return Reader(
        make, read, ways if file.endswith(".json") else (*inside(header_of, with_header, some_values), some_bytes)
    )


def given_weights(place: Path) -> Path:
    return supernet("darts", "*.safetensors").make(place)


def read_given(path: Path) -> None:
    from ogive.training.tasks.classification import Classification
    from ogive.weights.given import Given

    Given(path, space=catalog.build("space", SPACE), data=images(), task=Classification(images()))


def stored_networks(place: Path) -> Path:
    from ogive.networks.build import build, default_skeleton
    from ogive.training.task import Size
    from ogive.weights.given import save_networks

    arch = Architecture(SPACE, (0, 1, 2, 3, 4, 0))
    network = build(arch, default_skeleton(SPACE, channels=2, cells=1, inputs=1))
    save_networks(place / "a.safetensors", {arch: network}, Size(channels=2, cells=1))
    return place / "a.safetensors"


def scores(place: Path) -> Path:
    path = place / "a.json"
    (place / "a.csv").write_text(f'arch,naswot,cpu_seconds,error\n"{SPACE}:0,0,0,0,0,0",1.5,0.1,\n')
    path.write_text(json.dumps({"schema": 2, "proxies": ["naswot"], "space": SPACE, "machine": {"cpu": "a"}}))
    return path


def packed_scores(place: Path) -> Path:
    path = scores(place)
    packed = place / "a.csv.gz"
    packed.write_bytes(gzip.compress(path.with_suffix(".csv").read_bytes()))
    path.with_suffix(".csv").unlink()
    return packed


def read_scores(path: Path) -> None:
    from ogive.tables.scores import read_scores as read

    read(path.parent / "a.csv")


# -- what is written by hand ------------------------------------------------------------------------------------------

TEXT = b"mutate(cached(evolution(population=20, sample=5)), rate=0.5, names=[a, 'b c'], deep=f(g(h(1))))"


def written(content: bytes) -> Callable[[Path], Path]:
    def make(place: Path) -> Path:
        path = place / "written.txt"
        path.write_bytes(content)
        return path

    return make


def nested(content: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(content))
    return (
        content[:at]
        + rng.choice((b"(", b"[", b"cached(", b"0", b"9", b'"', b"-")) * rng.choice((1, 100, 5000))
        + content[at:]
    )


def read_part(path: Path) -> None:
    from ogive.spec import parse

    parse(path.read_bytes().decode(errors="replace"))


def read_architecture(name: str) -> Callable[[Path], None]:
    space = catalog.build("space", name)
    return lambda path: space.parse(path.read_bytes().decode(errors="replace"))


def read_recipe(path: Path) -> None:
    from ogive.cli.searching import _recipe

    _recipe(path)


SIGNED = inside(body_of_line, signed_line, some_values)
PACKED = inside(bz2.decompress, lambda _, content: bz2.compress(content), some_steps, some_bytes)
ZIPPED = inside(gzip.decompress, lambda _, content: gzip.compress(content), some_bytes)


def readers() -> Mapping[str, Reader]:
    """Everything that reads a file, by a name."""
    values = (some_values, some_values, some_bytes)
    members = (*inside(first_member, with_first_member, some_bytes), some_bytes)
    found = {
        "folder of NATS-Bench": Reader(folder_of_nats, lambda path: imported(path.parent), (*PACKED, some_bytes)),
        "file of torch": Reader(
            file_of_torch, imported, (*inside(pickle_in_zip, zip_of_pickle, some_steps, some_bytes), some_bytes)
        ),
        "HW-NAS-Bench": Reader(hardware, columns_of_hardware, (some_steps, some_bytes)),
        "parquet": Reader(parquet_file, imported_columns, (some_bytes,)),
        "columns of csv": Reader(csv_file, imported_columns, (some_bytes,)),
        "rows of csv": Reader(csv_file, data("csv:{path}(target=price)"), (some_bytes,)),
        "tfrecord": Reader(
            records, imported, (*inside(first_record, signed_record, some_values, some_bytes), some_bytes)
        ),
        "NDS": Reader(trainings_of_nds, imported, values),
        "boosted trees": Reader(boosted_trees, imported, values),
        "table.json": Reader(table, opened_table, values),
        "table.json of combinations": Reader(small_table, opened_table, values),
        "column": Reader(lambda place: table(place).parent / "acc.npy", opened_table, (some_bytes,)),
        "images of arrays": Reader(arrays, data("arrays:{path}"), members),
        "rows of arrays": Reader(rows_of_arrays, data("arrays:{path}"), members),
        "kernels": Reader(kernels, read_kernels, members),
        "picture": Reader(pictures, data("images:{above}"), (png_parts, some_bytes)),
        "sentences": Reader(sentences, data("sentences:{path}(text=text, label=label)"), (some_bytes,)),
        "boxes of COCO": Reader(boxes_of_coco, data("coco:{above}"), values),
        "boxes of VOC": Reader(boxes_of_voc, data("voc:{above}"), (some_bytes,)),
        "corpus": Reader(corpus, data("text:{folder}"), (some_bytes,)),
        "idx": Reader(idx, read_idx, (*ZIPPED, some_bytes)),
        "run.json": Reader(file_of_run("run.json"), reported, values),
        "trials.jsonl": Reader(file_of_run("trials.jsonl"), reported, (*SIGNED, *SIGNED, some_bytes)),
        "looks.jsonl": Reader(
            file_of_run("looks.jsonl"),
            reported,
            (
                *inside(lambda c: c.splitlines()[0], lambda c, new: new + b"\n" + c.partition(b"\n")[2], some_values),
                some_bytes,
            ),
        ),
        "network.json": Reader(file_of_run("artifacts/networks/trial-0/network.json"), reported, values),
        "winner.json": Reader(version_1, reported, values),
        "finalists.json": Reader(file_of_run("artifacts/finalists.json"), reported, values),
        "prefer.json": Reader(file_of_run("artifacts/prefer.json"), reported, values),
        "world.json": Reader(file_of_run("artifacts/world.json"), reported, values),
        "state.json": Reader(
            lambda place: state(place) / "state.json",
            loaded_state,
            (*inside(lambda c: c, signed_state, some_values), some_bytes),
        ),
        "study.json": Reader(lambda place: state(place) / "study.json", loaded_state, values),
        "supernet": supernet("darts", "*.safetensors"),
        "few-shot": supernet("few_shot", "few_shot.json"),
        "given weights": Reader(given_weights, read_given, (*inside(header_of, with_header, some_values), some_bytes)),
        "stored networks": Reader(
            stored_networks, read_given, (*inside(header_of, with_header, some_values), some_bytes)
        ),
        "settings of scores": Reader(scores, read_scores, values),
        "scores": Reader(lambda place: scores(place).with_suffix(".csv"), read_scores, (some_bytes,)),
        "packed scores": Reader(packed_scores, read_scores, (*ZIPPED, some_bytes)),
        "part": Reader(written(TEXT), read_part, (nested, some_bytes)),
        "recipe": Reader(
            written(b'space = "a"\nobjective = ["x", "y"]\nseed = 5\n'), read_recipe, (nested, some_bytes)
        ),
    }
    for name, text in ARCHITECTURES.items():
        found[f"architecture of {name}"] = Reader(written(text.encode()), read_architecture(name), (nested, some_bytes))
    return found


def version_1(place: Path) -> Path:
    """The one trained network of a run of version 0.1."""
    folder = run(place)
    shutil.rmtree(folder / "artifacts" / "networks")
    return folder / "artifacts" / "winner.json"


def imported_columns(path: Path) -> None:
    from ogive.tables.rows import read_columns

    read_columns(path)


ARCHITECTURES = {
    "nasbench201": "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|avg_pool_3x3~1|nor_conv_1x1~2|",
    "natssize": "8:16:24:32:40",
    "nasbench101": "ModelSpec(matrix=[[0,1,0],[0,0,1],[0,0,0]], ops=['input','maxpool3x3','output'])",
    "nds_resnet": '{"block_type": "res_basic_block"}',
}
