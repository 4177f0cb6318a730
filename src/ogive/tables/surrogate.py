"""Import NAS-Bench-301's surrogates: boosted trees that say of any architecture what its training would give.

Siems et al., 2020; automl/nasbench301. The published surrogates are pickles of whole libraries, which are never
unpickled here; their trees, written as JSON by those libraries, are imported.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.core.errors import SpecError, in_line
from ogive.core.space import Choice
from ogive.spaces import darts
from ogive.tables.boosted import Forest, read_forest
from ogive.tables.keys import MixedRadix
from ogive.tables.predictions import FEATURES, PARTS
from ogive.tables.store import Column, Table, write_folder

__all__ = ["import_surrogate", "is_surrogate"]

Progress = Callable[[int, int], None]

MODEL, PICKLE = "surrogate_model.json", "surrogate_model.model"
_COLUMNS = {
    "val_acc": Column("%", "predicted CIFAR-10 validation accuracy after 100 epochs, mean of the models", "float64"),
    "train_seconds": Column("s", "predicted seconds of that training, mean of the models", "float64"),
}
# How the JSON of XGBoost and of LightGBM begins.
_BEGINS = re.compile(rb'\s*\{\s*("learner"\s*:|"name"\s*:\s*"tree")')
_REFUSED = (
    "{} is a pickle, which can run anything and is not read. Where it is trusted and xgboost or lightgbm is installed: "
    "python -c \"import pickle; pickle.load(open('surrogate_model.model', 'rb')).save_model('surrogate_model.json')\" "
    "for XGBoost, and for LightGBM \"import json, pickle; json.dump(pickle.load(open('surrogate_model.model', 'rb'))"
    ".dump_model(), open('surrogate_model.json', 'w'))\", in the folder of each member; then import the folder again."
)


def is_surrogate(path: Path) -> bool:
    """Whether this is a model of a surrogate, or a folder with some."""
    if path.is_file() and path.suffix == ".json" and path.name != MODEL:
        with path.open("rb") as file:
            return _BEGINS.match(file.read(100)) is not None
    if path.is_file():
        return path.name == MODEL or path.suffix == ".model"
    return any({MODEL, PICKLE} & set(names) for _, _, names in os.walk(path))


def import_surrogate(paths: Sequence[Path], folder: Path, name: str, progress: Progress | None = None) -> Table:
    """Write the surrogate in some folders of members, or files of models, as a table of all architectures of darts.

    The members of one quantity are averaged, without the noise that the authors' package adds. A model predicts
    seconds of training if its model_config.json says so (its name ends in "_time"), or without one, its path has the
    word time in it; otherwise validation accuracy.

    Raises SpecError for a pickle, with the way out, and for models that are not as NAS-Bench-301 gives them.
    """
    members: dict[str, list[Forest]] = {}
    models = [model for path in paths for model in _models(path)]
    for number, model in enumerate(models):
        if progress is not None:
            progress(number, len(models))
        members.setdefault(_quantity(model), []).append(read_forest(model, len(FEATURES)))
    if "val_acc" not in members:
        raise SpecError(f"{paths[0]} holds models of seconds only: give one of accuracy too, which is searched on.")
    columns: dict[str, tuple[Column, npt.NDArray[Any]]] = {}
    arrays: dict[str, npt.NDArray[Any]] = {}
    for column, about in _COLUMNS.items():
        if column in members:
            forest = Forest.mean(members[column])
            columns[column] = about, np.array([forest.start])
            for part in PARTS:
                arrays[f"{column}.{part}"] = getattr(forest, part)
    counted = " and ".join(f"{len(found)} of {column}" for column, found in members.items())
    key = MixedRadix([len(v.options) for v in darts.darts().variables if isinstance(v, Choice)])
    description = {
        "rows": key.rows,
        "kind": "surrogate",
        "key": key.description(),
        "complete": True,
        "clock": "train_seconds" if "train_seconds" in columns else None,
        "metric": "val_acc",
        "report": None,
        "source": f"NAS-Bench-301 (https://github.com/automl/nasbench301), predictions of {counted} models, "
        f"read from {', '.join(path.name for path in paths)}",
        "licence": "see https://github.com/automl/nasbench301",
        "importer": "nasbench301-surrogate 1",
    }
    return write_folder(folder, name, darts.NAME, description, columns, arrays)


def _models(path: Path) -> list[Path]:
    """The models of a folder or a file, in the order of their paths."""
    if path.is_file():
        if path.suffix != ".json":
            raise SpecError(_REFUSED.format(path))
        return [path]
    found = sorted(Path(place, MODEL) for place, _, names in os.walk(path) if MODEL in names)
    pickles = sorted(Path(place, PICKLE) for place, _, names in os.walk(path) if PICKLE in names and MODEL not in names)
    if pickles:
        raise SpecError(_REFUSED.format(pickles[0]))
    if not found:
        raise SpecError(f"There is no {MODEL} in {path}.")
    return found


def _quantity(model: Path) -> str:
    """Which column a model predicts."""
    config = _config(model.parent / "model_config.json")
    if config.get("param:bananas_enc"):
        raise SpecError(f"{model} reads paths (param:bananas_enc), and only models of the configuration are read.")
    named = str(config["model"]).lower() if "model" in config else "/".join(model.parts[-3:]).lower()
    return "train_seconds" if "time" in named else "val_acc"


def _config(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_bytes()) if path.exists() else {}
    except (OSError, ValueError, RecursionError) as error:
        raise SpecError(f"Cannot read {path}: {in_line(error)}.") from None
    return content if isinstance(content, dict) else {}
