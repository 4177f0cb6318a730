"""Columns of predictions: what a surrogate says of an architecture of darts is worked out when it is asked for.

A model is given the vector of NAS-Bench-301's configuration space (automl/nasbench301, configspace.json), as
ConfigSpace makes it: first what is always there, then what depends on it, each in alphabetical order; a choice is its
number, a number is scaled to its range, and -1 stands for an edge that is not there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.core.errors import StoreError
from ogive.spaces import darts
from ogive.tables.boosted import FIELDS, Forest
from ogive.tables.keys import Key

__all__ = ["FEATURES", "PARTS", "Predictions", "encode", "predictions"]

# The arrays of a forest that a table keeps beside a column, which holds what is added to the trees' sum.
PARTS = ("nodes", "roots", "shares")
# What the published way of asking sets beside the architecture (nasbench301/api.py), as numbers of the vector.
# A whole number x in low..high is (x - low + 0.49999) / (high - low + 0.99998) in ConfigSpace, or that of logarithms.
_FIXED = {
    "CreateImageDataLoader:batch_size": math.log(96 / 63.50001) / math.log(128.49999 / 63.50001),
    "ImageAugmentation:augment": 0.0,
    "ImageAugmentation:autoaugment": 0.0,
    "ImageAugmentation:cutout": 0.0,
    "ImageAugmentation:cutout_holes": 0.49999 / 2.99998,
    "ImageAugmentation:cutout_length": 15.49999 / 49.99998,
    "ImageAugmentation:fastautoaugment": 0.0,
    "LossModuleSelectorIndices:loss_module": 0.0,
    "NetworkSelectorDatasetInfo:darts:auxiliary": 0.0,
    "NetworkSelectorDatasetInfo:darts:drop_path_prob": 0.0,
    "NetworkSelectorDatasetInfo:darts:init_channels": 31.49999 / 9999.99998,
    "NetworkSelectorDatasetInfo:darts:layers": 7.49999 / 9999.99998,
    "NetworkSelectorDatasetInfo:network": 0.0,
    "OptimizerSelector:optimizer": 0.0,
    "OptimizerSelector:sgd:learning_rate": math.log(0.025),
    "OptimizerSelector:sgd:momentum": (0.9 - 0.1) / (0.99 - 0.1),
    "OptimizerSelector:sgd:weight_decay": math.log(0.0003),
    "SimpleLearningrateSchedulerSelector:cosine_annealing:T_max": 99.49999 / 9999.99998,
    "SimpleLearningrateSchedulerSelector:cosine_annealing:eta_min": 1e-12,
    "SimpleLearningrateSchedulerSelector:lr_scheduler": 0.0,
    "SimpleTrainNode:batch_loss_computation_technique": 0.0,
    "SimpleTrainNode:mixup:alpha": math.log(0.2 / 0.01) / math.log(0.7 / 0.01),
}
_PREFIX = "NetworkSelectorDatasetInfo:darts:"
# Edges 0 and 1 of a cell are always there; the others depend on what the nodes read.
_ALWAYS = [
    f"{_PREFIX}{name}"
    for kind in darts.KINDS
    for name in (f"edge_{kind}_0", f"edge_{kind}_1", *(f"inputs_node_{kind}_{node}" for node in (3, 4, 5)))
]
_EDGES = [f"{_PREFIX}edge_{kind}_{edge}" for kind in darts.KINDS for edge in range(2, 14)]
FEATURES = (*sorted([*_FIXED, *_ALWAYS]), *sorted(_EDGES))
_PLACES = {name: place for place, name in enumerate(FEATURES)}
_TEMPLATE = np.array([_FIXED.get(name, -1.0) for name in FEATURES])


def encode(choices: Sequence[int | float]) -> npt.NDArray[np.float64]:
    """The vector of an architecture of darts, shape (56,), in the order of `FEATURES`."""
    vector = _TEMPLATE.copy()
    for cell, kind in enumerate(darts.KINDS):
        for node, pairs in enumerate(darts.PAIRS):
            pair, *ops = (int(choice) for choice in choices[12 * cell + 3 * node : 12 * cell + 3 * node + 3])
            if node:
                vector[_PLACES[f"{_PREFIX}inputs_node_{kind}_{node + 2}"]] = pair
            for state, op in zip(pairs[pair], ops, strict=True):
                vector[_PLACES[f"{_PREFIX}edge_{kind}_{node * (node + 3) // 2 + state}"]] = op
    return vector


class Predictions:
    """A column that is worked out when it is asked for; it behaves like an array as far as look-ups go."""

    def __init__(self, forest: Forest, key: Key) -> None:
        self._forest, self._key = forest, key

    def item(self, row: int) -> float:
        """The prediction for one row."""
        return float(self._forest.predict(encode(self._key.choices(row))[None])[0])

    def __getitem__(self, rows: Any) -> Any:
        vectors = [encode(self._key.choices(int(row))) for row in np.atleast_1d(rows)]
        found = self._forest.predict(np.array(vectors))
        return found if np.ndim(rows) else found[0]


def predictions(name: str, read: Callable[[str], npt.NDArray[Any]], key: Key) -> Predictions:
    """A column whose forest stands in arrays `read` by name; StoreError if they are none."""
    nodes, roots, shares = (np.asarray(read(f"key.{name}.{part}")) for part in PARTS)
    start = read(name)
    if nodes.ndim != 2 or nodes.shape[1] != len(FIELDS) or start.shape != (1,) or roots.shape != shares.shape:
        raise StoreError(f"The column {name} holds no trees: import the surrogate again.")
    return Predictions(Forest(nodes, roots, shares, float(start[0]), len(FEATURES)), key)
