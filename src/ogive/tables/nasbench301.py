"""NAS-Bench-301's trainings as its authors published them: a tree of JSON files, one for each trained network.

Siems et al., "NAS-Bench-301 and the Case for Surrogate Benchmarks for NAS", 2020; automl/nasbench301,
surrogate_models/utils.py reads the same files. A folder for each optimiser (rs, de, re, tpe, bananas, darts, ...) holds
files results_NUMBER.json. A cell is written as operations on its 14 possible edges and as the pair of states that
nodes 3, 4 and 5 read; edges that are not read have no entry.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.core.errors import InvalidArchitecture, SpecError, in_line
from ogive.spaces import darts
from ogive.tables.keys import SortedDigests
from ogive.tables.rows import mean_of_rows
from ogive.tables.store import Column, Table, write_table

__all__ = ["import_results", "is_results"]

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
Floats = npt.NDArray[np.float64]

# A published file has 10 to 100 KB; one that is larger than this is something else.
LARGEST = 4 << 20
_PREFIX = "NetworkSelectorDatasetInfo:darts:"
_CURVE = "Train/val_accuracy"
# What is read of a file, and what it becomes.
_METRICS = {
    "val_acc": Column("%", "CIFAR-10 validation accuracy at the end", "float32"),
    "test_acc": Column("%", "CIFAR-10 test accuracy at the end", "float32", test=True),
    "train_acc": Column("%", "CIFAR-10 training accuracy at the end, of augmented images", "float32"),
    "train_seconds": Column("s", "the whole training", "float64"),
    "params": Column("parameters", "trainable parameters", "float64"),
}
# The settings that the authors vary between their files (get_config_without_architecture), beside the budget.
_SETTINGS = {
    "epochs": "SimpleLearningrateSchedulerSelector:cosine_annealing:T_max",
    "channels": f"{_PREFIX}init_channels",
    "layers": f"{_PREFIX}layers",
    "learning rate": "OptimizerSelector:sgd:learning_rate",
    "weight decay": "OptimizerSelector:sgd:weight_decay",
}


@dataclass
class _Gathered:
    """What the files of one training setting said so far."""

    choices: list[bytes] = field(default_factory=list)
    values: list[tuple[float, ...]] = field(default_factory=list)
    curves: list[npt.NDArray[np.float32]] = field(default_factory=list)


def is_results(folder: Path) -> bool:
    """Whether a folder, or one inside it, holds files results_*.json."""
    return next(_files(folder), None) is not None


def import_results(path: Path, folder: Path, name: str, progress: Progress | None = None) -> Table:
    """Write the table of a tree of results, a closed world of the space darts.

    Several trainings of one architecture are averaged, and the column `trainings` counts them. The table is about one
    setting of training (budget, epochs, channels, layers, learning rate, weight decay), that of most files; the
    others are left out with a warning. Memory grows with the number of results, not with the size of the files.

    Raises SpecError for the first file that is damaged or holds another network.
    """
    files = sorted(_files(path))
    if not files:
        raise SpecError(f"{path} holds no files results_*.json.")
    settings: dict[tuple[float, ...], _Gathered] = {}
    for number, file in enumerate(files):
        setting, choices, values, curve = _result(file)
        gathered = settings.setdefault(setting, _Gathered())
        gathered.choices.append(choices)
        gathered.values.append(values)
        gathered.curves.append(curve)
        if progress is not None and number % 200 == 0:
            progress(number, len(files))
    counts = Counter({setting: len(gathered.values) for setting, gathered in settings.items()})
    chosen = counts.most_common(1)[0][0]
    if len(settings) > 1:
        logger.warning(
            "%s of %s results were left out: the table holds trainings with %s.",
            f"{len(files) - counts[chosen]:,}", f"{len(files):,}", _told(chosen),
        )  # fmt: skip
    return _written(settings[chosen], chosen, path, folder, name)


# -- one file ---------------------------------------------------------------------------------------------------------


def _files(folder: Path) -> Iterator[Path]:
    """The files of results below a folder; links to folders are not followed."""
    for place, _, names in os.walk(folder):
        yield from (
            Path(place, name) for name in names if name.startswith("results_") and name.endswith(".json")
        )  # fmt: skip


def _result(file: Path) -> tuple[tuple[float, ...], bytes, tuple[float, ...], npt.NDArray[np.float32]]:
    """The setting, the choices, the metrics and the learning curve of a file."""
    try:
        size = file.stat().st_size
        if size > LARGEST:
            raise ValueError(f"it has {size:,} bytes, and none has more than {LARGEST:,}")
        content = json.loads(file.read_bytes())
        config = content["optimized_hyperparamater_config"]  # so spelled by the authors
        budget = _known(content["budget"], "budget", 1)
        setting = (budget, *(_known(config[key], what, 0) for what, key in _SETTINGS.items()))
        return setting, _choices(config), _metrics(content), _curve(content, budget)
    except OSError as error:
        raise SpecError(f"Cannot read {file}: {error.strerror}.") from None
    except KeyError as error:
        raise SpecError(f"{file} is no result of NAS-Bench-301: it has no entry {error}.") from None
    except (ValueError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise SpecError(f"{file} is no result of NAS-Bench-301: {in_line(error)}.") from None


def _choices(config: Mapping[str, Any]) -> bytes:
    """The choices of the space darts, of two cells."""
    network = config.get("NetworkSelectorDatasetInfo:network", darts.NAME)
    if network != darts.NAME:
        raise ValueError(f"the network is {network!r}, not darts")
    try:
        return bytes(int(choice) for choice in darts.architecture(*(_cell(config, k) for k in darts.KINDS)).choices)
    except InvalidArchitecture as error:
        raise ValueError(str(error).rstrip(".")) from None


def _cell(config: Mapping[str, Any], kind: str) -> darts.Cell:
    """The eight entries of a cell, checked to be all that the file has of it."""
    entries: list[darts.Entry] = []
    edges = set()
    for node in range(darts.NODES):
        # Node 2 reads both inputs, and has no entry that says so.
        pair = str(config[f"{_PREFIX}inputs_node_{kind}_{node + 2}"]) if node else "0_1"
        start = node * (node + 3) // 2
        for state in map(int, pair.split("_")):
            edge = f"{_PREFIX}edge_{kind}_{start + state}"
            edges.add(edge)
            entries.append((config[edge], state))
    extra = [key for key in config if key.startswith(f"{_PREFIX}edge_{kind}_") and key not in edges]
    if extra:
        raise ValueError(f"no node of the {kind} cell reads {extra[0].removeprefix(_PREFIX)}")
    return tuple(entries)


def _metrics(content: Mapping[str, Any]) -> tuple[float, ...]:
    info = content["info"][0]
    found = {
        "val_acc": _number(info["val_accuracy"], "val_accuracy", 0, 100),
        "test_acc": _number(content["test_accuracy"], "test_accuracy", 0, 100),
        "train_acc": _number(info.get("train_accuracy"), "train_accuracy", 0, 100),
        "train_seconds": _number(content["runtime"], "runtime", 0, 1e9),
        "params": _number(info.get("model_parameters"), "model_parameters", 1, 1e12),
    }
    return tuple(found[name] for name in _METRICS)


def _curve(content: Mapping[str, Any], budget: float) -> npt.NDArray[np.float32]:
    """Validation accuracies after each epoch, where the file has them."""
    curve = content.get("learning_curves", {}).get(_CURVE, [])
    if len(curve) > budget:
        raise ValueError(f"its learning curve has {len(curve)} epochs, more than its budget of {budget:g}")
    return np.array([_number(value, _CURVE, 0, 100) for value in curve], np.float32)


def _known(value: Any, what: str, low: float) -> float:
    """A number that no file may lack."""
    if value is None or value != value:
        raise ValueError(f"{what} is not given")
    return _number(value, what, low, 1e6)


def _number(value: Any, what: str, low: float, high: float) -> float:
    """A number in its range; nan, which stands for "not measured", for none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{what} is a number from {low:g} to {high:g}, but it is {str(value)[:40]!r}")
    return float(value)


# -- the table --------------------------------------------------------------------------------------------------------


def _written(gathered: _Gathered, setting: tuple[float, ...], path: Path, folder: Path, name: str) -> Table:
    flat = np.frombuffer(b"".join(gathered.choices), np.uint8).reshape(len(gathered.choices), -1)
    distinct, place = np.unique(flat, axis=0, return_inverse=True)
    place = place.reshape(-1)
    key, order = SortedDigests.of(darts.NAME, distinct)
    about, budget = _told(setting), int(setting[0])
    columns: dict[str, tuple[Column, Any]] = {}
    for number, (metric, known) in enumerate(_METRICS.items()):
        values = mean_of_rows(np.array([row[number] for row in gathered.values]), place, len(distinct))[order]
        if not np.isnan(values).all():
            columns[metric] = _described(metric, known, budget, about), values.astype(known.dtype)
    for epoch, values in _epochs(gathered.curves, place, len(distinct), budget):
        meaning = f"CIFAR-10 validation accuracy after {epoch} epochs of a training with {about}"
        at_epoch = Column("%", meaning, "float32", family="val_acc", fidelity=epoch, curve=True)
        columns[f"val_acc_{epoch}"] = at_epoch, values[order].astype(np.float32)
    columns["trainings"] = (
        Column("", "trainings of this architecture, of which the others are means", "int32"),
        np.bincount(place, minlength=len(distinct))[order].astype(np.int32),
    )
    timed = "train_seconds" in columns and not np.isnan(columns["train_seconds"][1]).any()
    return write_table(
        folder,
        columns,
        name=name,
        space=darts.NAME,
        key=key,
        source=f"NAS-Bench-301 (https://github.com/automl/nasbench301), trainings with {about}, read from {path.name}",
        licence="see https://github.com/automl/nasbench301",
        importer="nasbench301-results 1",
        complete=False,
        metric="val_acc" if "val_acc" in columns else None,
        report="test_acc" if "test_acc" in columns else None,
        clock="train_seconds" if timed else None,
    )


def _described(name: str, known: Column, budget: int, about: str) -> Column:
    """The column of a metric; the validation accuracy is the longest fidelity of its learning curve."""
    family, fidelity = (name, budget) if name == "val_acc" else (None, None)
    meaning = known.meaning if name == "params" else f"{known.meaning} of a training with {about}"
    return Column(known.unit, meaning, known.dtype, test=known.test, family=family, fidelity=fidelity)


def _epochs(
    curves: list[npt.NDArray[np.float32]], place: npt.NDArray[np.intp], rows: int, budget: int
) -> Iterator[tuple[int, Floats]]:
    """For every epoch before the last, the means over the trainings whose curves have it."""
    for epoch in range(1, min(max(map(len, curves)), budget - 1) + 1):
        values = np.array([curve[epoch - 1] if len(curve) >= epoch else math.nan for curve in curves])
        yield epoch, mean_of_rows(values, place, rows)


def _told(setting: tuple[float, ...]) -> str:
    return ", ".join(f"{what} {value:g}" for what, value in zip(("budget", *_SETTINGS), setting, strict=True))
