"""NATS-Bench and NAS-Bench-201 as their authors published them: folders of bz2 pickles, and files of torch.save.

Dong et al., "NATS-Bench", TPAMI 2021, and Dong and Yang, "NAS-Bench-201", ICLR 2020. For each architecture and each
number of epochs there are several trainings on each of four sets: CIFAR-10's half ("cifar10-valid"), CIFAR-10's train
and validation images ("cifar10"), CIFAR-100 and ImageNet16-120. What is imported are means over the trainings, after
the last epoch, as the authors' package answers with ``is_random=False``, and where there are several trainings, what
each of them reached, as it answers with ``is_random=SEED``.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ogive.core.errors import InvalidArchitecture, SpecError, in_line, shortened
from ogive.spaces import nasbench201, natssize
from ogive.tables import pickles
from ogive.tables.keys import MixedRadix, SortedDigests
from ogive.tables.store import Column, Table, write_table

__all__ = ["MEANINGS", "SEEDS", "import_folder", "import_pth"]

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
Numbers = dict[str, float]

LONGEST = 10_000  # epochs; published are up to 200
META = "meta.pickle.pbz2"
# Our short names of the four sets of trainings, and which of their splits are which. The last epoch counts.
_SETS = {"cifar10-valid": "c10v", "cifar10": "c10", "cifar100": "c100", "ImageNet16-120": "in16"}
_SPLITS = {
    "cifar10-valid": {"val": "x-valid", "test": "ori-test"},
    "cifar10": {"test": "ori-test"},
    "cifar100": {"val": "x-valid", "test": "x-test", "valtest": "ori-test"},
    "ImageNet16-120": {"val": "x-valid", "test": "x-test", "valtest": "ori-test"},
}
# By these keys the dictionaries of one training, and of all trainings of an architecture with one schedule, are known.
_TRAINING = frozenset({"eval_acc1es", "train_acc1es", "epochs"})
_RESULTS = frozenset({"all_results", "dataset_seed", "arch_str"})
# The seeds of the long trainings, in the order in which they are published; many architectures have the first two only.
SEEDS = (777, 888, 999)
# What was read of a dictionary here stands under a key that no file can have.
_READ = object()
_TRUSTED_SEED = 888  # the package's own choice where trainings disagree on parameters and operations


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One of the two spaces."""

    space: str
    read: Callable[[str], Any]
    sizes: tuple[int, ...]
    metric: str
    report: str
    source: str


_TOPOLOGY = Benchmark(
    nasbench201.NAME, nasbench201.read, (5,) * 6, "c10v_val_200", "c10_test_200",
    "NATS-Bench, topology space (https://github.com/D-X-Y/NATS-Bench)",
)  # fmt: skip
_SIZE = Benchmark(
    natssize.NAME, natssize.read, (8,) * 5, "c10v_val_90", "c10_test_90",
    "NATS-Bench, size space (https://github.com/D-X-Y/NATS-Bench)",
)  # fmt: skip


def import_folder(path: Path, folder: Path, name: str, progress: Progress | None = None) -> Table:
    """Write the table of a folder of NATS-Bench, of either space; it may hold some architectures only.

    One architecture is in memory at a time. Raises SpecError for a file that is damaged, hostile or contradicts the
    list of architectures.
    """
    files = sorted(file for file in path.glob("*.pickle.pbz2") if file.name != META)
    if not (path / META).is_file() or not files:
        raise SpecError(
            f"A folder of NATS-Bench holds {META} and a file NUMBER.pickle.pbz2 for each architecture, "
            f"but {path} holds {len(files)} of those{'' if (path / META).is_file() else f' and no {META}'}."
        )
    texts = _listed(pickles.load(pickles.decompressed(path / META), path / META), path / META)
    benchmark = _SIZE if ":" in texts[0] else _TOPOLOGY
    found: dict[int, Numbers] = {}
    for done, file in enumerate(files, start=1):
        number = _number(file, len(texts))
        record = pickles.load(pickles.decompressed(file), file)
        found[number] = _of_record(record, texts[number], file)
        if progress is not None:
            progress(done, len(files))
    return _written(found, texts, benchmark, path, folder, name, "nats-folder 1")


def import_pth(path: Path, folder: Path, name: str, progress: Progress | None = None) -> Table:
    """Write the table of a file NAS-Bench-201-v1_*.pth, read as a stream: it never is in memory as a whole."""
    if not path.is_file():
        raise SpecError(f"There is no file {path}.")
    schedules = [0]

    def reduce(found: dict[Any, Any]) -> None:
        if found.keys() >= _TRAINING:
            _compact(found)
        elif found.keys() >= _RESULTS:
            # Both schedules of an architecture are read; which is which, the trainings know.
            found[_READ] = _of_results(found)
            del found["all_results"]
            schedules[0] += 1
            if progress is not None and schedules[0] % 200 == 0:
                progress(schedules[0] // 2, nasbench201.SIZE)

    content = pickles.stream_torch(path, reduce)
    if not isinstance(content, dict) or not isinstance(content.get("arch2infos"), dict):
        raise SpecError(f"{path} is no file of NAS-Bench-201: it holds no arch2infos.")
    texts = _listed(content, path)
    found = {}
    for number, info in content["arch2infos"].items():
        if not isinstance(number, int) or not 0 <= number < len(texts) or not isinstance(info, dict):
            raise SpecError(f"{path} has results of an architecture {number!r}, but lists {len(texts):,}.")
        found[number] = _of_record(info, texts[number], path)
    return _written(found, texts, _TOPOLOGY, path, folder, name, "nasbench201-pth 1")


# -- one architecture -------------------------------------------------------------------------------------------------


def _of_record(record: Any, text: str, path: Path) -> Numbers:
    """The numbers of one architecture: ``{schedule: {"all_results": {(set, seed): training}, ...}}``."""
    numbers: Numbers = {}
    try:
        for results in record.values():
            about = results["arch_str"]
            if not isinstance(about, str) or about != text:
                about = shortened(about) if isinstance(about, str) else "nothing"
                raise ValueError(f"it is about {about}, but is listed as {shortened(text)}")
            numbers |= results[_READ] if _READ in results else _of_results(results)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError) as error:
        text = shortened(text)
        raise SpecError(f"{path} is not what NATS-Bench publishes for {text}: {in_line(error)}.") from None
    return numbers


def _of_results(results: Mapping[str, Any]) -> Numbers:
    numbers: Numbers = {}
    for data, seeds in results["dataset_seed"].items():
        if not all(isinstance(seed, int) for seed in seeds):
            raise ValueError("its seeds are whole numbers")
        trainings = {seed: _compact(results["all_results"][data, seed]) for seed in seeds}
        (epochs,) = {training["epochs"] for training in trainings.values()}
        numbers |= _of_set(data, epochs, trainings)
    return numbers


def _compact(training: dict[Any, Any]) -> dict[Any, Any]:
    """Keep of one training what is imported, in place: numbers after the last epoch, and seconds of all epochs."""
    if _READ in training:
        return training
    last = int(training["epochs"]) - 1
    if not 0 <= last < LONGEST:
        raise ValueError(f"it trained for 1 to {LONGEST:,} epochs")
    times = training.get("train_times") or {}
    accuracies = {
        key.partition("@")[0]: float(value)
        for key, value in training["eval_acc1es"].items()
        if key.endswith(f"@{last}")
    }
    kept = {
        _READ: True,
        "epochs": last + 1,
        "accuracies": accuracies | {"train": float(training["train_acc1es"][last])},
        "seconds": float(sum(times.values())) if times else math.nan,
        "val_seconds": float((training.get("eval_times") or {}).get(f"x-valid@{last}", math.nan)),
        "params": float(training["params"]),
        "flop": float(training["flop"]),
        "latency": [float(value) for value in _plain(training.get("latency")) if float(value) > 0],
    }
    training.clear()
    training.update(kept)
    return training


def _plain(values: Any) -> list[Any]:
    return list(values) if isinstance(values, (list, tuple)) else []


def _of_set(data: str, epochs: int, trainings: Mapping[int, Mapping[str, Any]]) -> Numbers:
    short, runs = _SETS[data], list(trainings.values())
    numbers = {f"{short}_train_{epochs}": _mean(run["accuracies"]["train"] for run in runs)}
    for split, published in _SPLITS[data].items():
        reached = {seed: run["accuracies"][published] for seed, run in trainings.items()}
        numbers[f"{short}_{split}_{epochs}"] = _mean(reached.values())
        if len(reached) > 1:
            numbers |= {f"{short}_{split}_{epochs}_seed{seed}": value for seed, value in sorted(reached.items())}
    numbers[f"{short}_train_seconds_{epochs}"] = _mean(run["seconds"] for run in runs)
    if "val" in _SPLITS[data]:
        # What a search pays for one query, as the package's simulate_train_eval counts it.
        numbers[f"{short}_query_seconds_{epochs}"] = _mean(run["seconds"] + run["val_seconds"] for run in runs)
    latencies = [value for run in runs for value in run["latency"]]
    numbers[f"{short}_latency_ms"] = 1e3 * _mean(latencies) if latencies else math.nan
    for name, key in (("params", "params"), ("macs", "flop")):
        # The network for ten classes is the one whose size is meant where nothing else is said.
        called = name if short == "c10v" else f"{short}_{name}"
        numbers[called] = 1e6 * _agreed({seed: run[key] for seed, run in trainings.items()})
    return numbers


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def _agreed(values: Mapping[int, float]) -> float:
    """The mean, or the trusted seed's where the trainings disagree in the fifth decimal."""
    if len({f"{value:.5f}" for value in values.values()}) > 1 and _TRUSTED_SEED in values:
        return values[_TRUSTED_SEED]
    return _mean(values.values())


# -- the table --------------------------------------------------------------------------------------------------------


def _listed(content: Any, path: Path) -> list[str]:
    texts = content.get("meta_archs") if isinstance(content, dict) else None
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise SpecError(f"{path} does not list the architectures of the benchmark (meta_archs).")
    return texts


def _number(file: Path, count: int) -> int:
    stem = file.name.partition(".")[0]
    if not stem.isdecimal() or int(stem) >= count:
        raise SpecError(f"{file} is named for no architecture: the benchmark numbers them 0 to {count - 1}.")
    return int(stem)


def _written(
    found: Mapping[int, Numbers],
    texts: list[str],
    benchmark: Benchmark,
    path: Path,
    folder: Path,
    name: str,
    importer: str,
) -> Table:
    numbers = np.array(sorted(found), np.int64)
    if not numbers.size:
        raise SpecError(f"{path} holds no results.")
    try:
        choices = np.array([benchmark.read(texts[number]).choices for number in numbers.tolist()], np.int64)
    except InvalidArchitecture as error:
        raise SpecError(f"{path} lists an architecture that {benchmark.space} does not have: {error}") from None
    radix = MixedRadix(benchmark.sizes)
    complete = len(numbers) == radix.rows
    if complete:
        order = np.argsort(radix.rows_of(choices))
        if len(np.unique(radix.rows_of(choices))) != radix.rows:
            raise SpecError(f"{path} lists an architecture twice.")
    key, order = (radix, order) if complete else SortedDigests.of(benchmark.space, choices)
    names = list(dict.fromkeys(column for record in found.values() for column in record))
    columns: dict[str, tuple[Column, Any]] = {
        "index": (
            Column("", "the benchmark's own number of the architecture", "int32"),
            numbers[order].astype(np.int32),
        )
    }
    for column in names:
        values = np.array([found[number].get(column, math.nan) for number in numbers[order].tolist()])
        about = _about(column, names)
        whole = about.dtype == "int64" and not np.isnan(values).any()
        about = about if whole or about.dtype != "int64" else replace(about, dtype="float64")
        columns[column] = about, (np.rint(values) if whole else values).astype(about.dtype)
    return write_table(
        folder,
        columns,
        name=name,
        space=benchmark.space,
        key=key,
        source=f"{benchmark.source}, read from {path.name}",
        licence="MIT",
        importer=importer,
        complete=complete,
        metric=benchmark.metric if benchmark.metric in columns else None,
        report=benchmark.report if benchmark.report in columns else None,
    )


MEANINGS = {
    "c10v": "CIFAR-10 trained on its 25,000-image half",
    "c10": "CIFAR-10 trained on train + validation images",
    "c100": "CIFAR-100",
    "in16": "ImageNet16-120",
}
_COUNTS = {
    "params": ("parameters", "trainable parameters", "int64"),
    "macs": ("MACs", "operations as the authors count them", "float64"),
}


def _about(column: str, names: list[str]) -> Column:
    """What a column is, told by its name."""
    data, _, rest = f"c10v_{column}".partition("_") if column in _COUNTS else column.partition("_")
    trained = MEANINGS[data]
    if rest == "latency_ms":
        return Column("ms", f"latency of a batch of 256 on the authors' GPU, {trained}", "float64", cell="raw")
    if rest in _COUNTS:
        unit, counted, dtype = _COUNTS[rest]
        return Column(unit, f"{counted}, {trained}", dtype, cell="raw")
    measured, _, seed = rest.partition("_seed")
    what, _, epochs = measured.rpartition("_")
    family = f"{data}_{what}"
    if what.endswith("seconds"):
        spent = "training and one validation" if what == "query_seconds" else "training"
        return Column("s", f"{spent} for {epochs} epochs, {trained}", "float64", family=family, fidelity=int(epochs))
    clocks = (f"{data}_query_seconds_{epochs}", f"{data}_train_seconds_{epochs}")
    clock = next((clock for clock in clocks if clock in names), None)
    test = what in ("test", "valtest")
    meaning = f"{what} accuracy after {epochs} epochs, {trained}"
    if seed:
        return Column(
            "%", f"{meaning}, seed {seed}", "float64", test=test, clock=clock, seeds="one", seed=int(seed),
            mean=f"{data}_{measured}", cell="raw",
        )  # fmt: skip
    return Column(
        "%", f"{meaning}, mean over seeds", "float64", test=test, family=family, fidelity=int(epochs), clock=clock,
        seeds="all", cell="raw",
    )  # fmt: skip
