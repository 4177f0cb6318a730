"""What the authors of GHN-2 measured, from their file: means, errors and rank correlations of each split.

The file is deepnets1m_eval_results.parquet, a row for each network: columns dataset, split, net, test_acc (trained),
mlp_test_acc, ghn1_test_acc and ghn2_test_acc (predicted), in per cent; facebookresearch/ppuda, data/results_*.json.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau

from ogive.core.errors import MissingData, SpecError, in_line

__all__ = ["Published", "published_results"]

SOURCES = {"mlp": "mlp_test_acc", "ghn1": "ghn1_test_acc", "ghn2": "ghn2_test_acc", "trained": "test_acc"}


@dataclass(frozen=True, slots=True)
class Published:
    """Of the networks of a split: accuracy with the parameters of one source, in per cent.

    `tau` is Kendall's rank correlation with the accuracy of the trained networks, NaN where there is none.
    """

    data: str
    split: str
    source: str
    networks: int
    mean: float
    standard_error: float
    best: float
    tau: float


def published_results(file: Path) -> list[Published]:
    """A row for each data set, split and source of parameters; SpecError for a file that is none."""
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError:
        raise MissingData("Parquet files need the package pyarrow: pip install 'ogive[parquet]'.") from None
    if not file.is_file():
        raise SpecError(f"There is no file {file} of results.")
    try:
        table = parquet.read_table(file, columns=["dataset", "split", *SOURCES.values()])
    except (OSError, ValueError, KeyError) as error:
        raise SpecError(f"{file} does not hold the results of DeepNets-1M ({in_line(error)}).") from None
    columns = {name: np.asarray(table[name].to_pylist()) for name in ("dataset", "split")}
    values = {source: table[name].to_numpy().astype(np.float64) for source, name in SOURCES.items()}
    kinds = dict.fromkeys(zip(columns["dataset"].tolist(), columns["split"].tolist(), strict=True))
    found = []
    for data, split in kinds:
        rows = (columns["dataset"] == data) & (columns["split"] == split)
        for source, accuracies in values.items():
            one = _row(data, split, source, accuracies[rows], values["trained"][rows])
            found += [] if one is None else [one]
    return found


def _row(data: str, split: str, source: str, own: npt.NDArray[Any], trained: npt.NDArray[Any]) -> Published | None:
    there = np.isfinite(own)
    if not there.any():
        return None
    kept = own[there]
    error = float(kept.std(ddof=1) / math.sqrt(len(kept))) if len(kept) > 1 else math.nan
    both = there & np.isfinite(trained)
    told = source != "trained" and both.sum() > 2
    tau = float(kendalltau(own[both], trained[both]).statistic) if told else math.nan
    return Published(data, split, source, len(kept), float(kept.mean()), error, float(kept.max()), tau)
