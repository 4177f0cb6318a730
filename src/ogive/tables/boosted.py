"""Gradient-boosted regression trees from the JSON that XGBoost and LightGBM write, evaluated with numpy alone.

XGBoost's ``Booster.save_model("x.json")`` is documented in its "Introduction to Model IO" and doc/model.schema;
LightGBM's ``Booster.dump_model()`` in its Python reference. Both are read as far as plain regression goes: numerical
splits, one output, squared error. Features are numbers, never missing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.core.errors import SpecError, in_line

__all__ = ["FIELDS", "Forest", "read_forest"]

Floats = npt.NDArray[np.float64]

LARGEST = 512 << 20
# A row for each node: the feature that it looks at (-1 at a leaf), the bound up to which it goes to the first child,
# both children, and the value of a leaf.
FIELDS = ("feature", "bound", "first", "second", "value")
_OBJECTIVES = ("reg:squarederror", "reg:linear", "regression", "regression_l2")


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees whose leaves are added up: `nodes` of shape (nodes, 5), see `FIELDS`, and the numbers of their `roots`.

    `shares` says how much the leaves of each tree count, and `start` is added to their sum.
    """

    nodes: Floats
    roots: npt.NDArray[np.int64]
    shares: Floats
    start: float
    features: int

    @classmethod
    def mean(cls, members: Sequence[Forest]) -> Forest:
        """The forest whose predictions are the means of those of some forests."""
        sizes = np.cumsum([0, *(len(member.nodes) for member in members)])
        shifted = [member.nodes + size * _IS_CHILD for member, size in zip(members, sizes[:-1], strict=True)]
        return cls(
            np.concatenate(shifted),
            np.concatenate([member.roots + size for member, size in zip(members, sizes[:-1], strict=True)]),
            np.concatenate([member.shares for member in members]) / len(members),
            float(np.mean([member.start for member in members])),
            members[0].features,
        )

    def predict(self, features_NF: npt.NDArray[np.float64]) -> Floats:
        """The predictions, shape (N,), for N rows of F features."""
        # XGBoost compares single precision.
        single = features_NF.astype(np.float32).astype(np.float64)
        found: Floats = np.array([self._one(row) for row in single])
        return found

    def _one(self, features: Floats) -> float:
        feature, bound, first, second, value = self._columns
        at = self.roots
        while True:
            looks = feature[at]
            inner = looks >= 0
            if not inner.any():
                return self.start + float(value[at] @ self.shares)
            low = features[looks] <= bound[at]
            at = np.where(inner, np.where(low, first[at], second[at]), at)

    @property
    def _columns(self) -> tuple[npt.NDArray[Any], ...]:
        if "_cached" not in self.__dict__:
            feature, bound, first, second, value = self.nodes.T
            whole = [part.astype(np.int64) for part in (feature, first, second)]
            object.__setattr__(self, "_cached", (whole[0], bound.copy(), whole[1], whole[2], value.copy()))
        cached: tuple[npt.NDArray[Any], ...] = self.__dict__["_cached"]
        return cached


_IS_CHILD = np.array([0.0, 0.0, 1.0, 1.0, 0.0])


def read_forest(path: Path, features: int) -> Forest:
    """The forest in a JSON file of XGBoost or LightGBM, for so many features; SpecError says what is not supported."""
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise ValueError(f"it has {size >> 20} MiB, and is read up to {LARGEST >> 20}")
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict) or not {"learner", "tree_info"} & set(content):
            raise ValueError("it has neither the entry learner (XGBoost) nor tree_info (LightGBM)")
        forest = _xgboost(content["learner"]) if "learner" in content else _lightgbm(content)
        _check(forest, features)
    except OSError as error:
        raise SpecError(f"Cannot read {path}: {error.strerror}.") from None
    except KeyError as error:
        raise SpecError(f"{path} holds no boosted trees that ogive reads: it has no entry {error}.") from None
    except (ValueError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise SpecError(f"{path} holds no boosted trees that ogive reads: {in_line(error)}.") from None
    return forest


def _check(forest: Forest, features: int) -> None:
    """ValueError unless every walk from a root ends in a leaf, and looks at features that there are."""
    feature, _, first, second, _ = forest.nodes.T
    inner = feature >= 0
    if forest.features != features or (feature >= features).any():
        raise ValueError(f"it is a model of {forest.features} features, not of {features}")
    if not len(forest.roots):
        raise ValueError("it has no trees")
    if not np.isfinite(forest.nodes).all() or not math.isfinite(forest.start):
        raise ValueError("it holds numbers that are not finite")
    # Each tree is stored behind the ones before it, parents before children, so that no walk can go round.
    number = np.arange(len(feature))
    ends = np.append(forest.roots[1:], len(feature))[np.searchsorted(forest.roots, number, side="right") - 1]
    for child in (first, second):
        if ((child <= number) | (child >= ends))[inner].any():
            raise ValueError("a node of a tree names a child that cannot be its own")


# -- XGBoost ----------------------------------------------------------------------------------------------------------


def _xgboost(learner: Mapping[str, Any]) -> Forest:
    booster, parameters = learner["gradient_booster"], learner["learner_model_param"]
    if booster.get("name", "gbtree") != "gbtree":
        raise ValueError(f"the booster is {booster['name']!r}, and only gbtree is read")
    _refuse_objective(learner["objective"]["name"])
    if int(parameters.get("num_class", 0)) > 1 or int(parameters.get("num_target", 1)) > 1:
        raise ValueError("it has several outputs, and only one is read")
    trees = [_xgboost_tree(tree) for tree in booster["model"]["trees"]]
    # Newer versions write the base score of a single output as a list of one.
    start = float(str(parameters["base_score"]).strip("[]"))
    return _forest(trees, start, int(parameters["num_feature"]))


def _xgboost_tree(tree: Mapping[str, Any]) -> Floats:
    if any(tree.get("split_type", [])) or tree.get("categories"):
        raise ValueError("a tree splits by categories, and only numerical splits are read")
    left, right = np.array(tree["left_children"], np.int64), np.array(tree["right_children"], np.int64)
    conditions = np.array(tree["split_conditions"], np.float32)
    leaf = left < 0
    # It goes left where the feature is less than the condition, both in single precision: up to the number before it.
    bound = np.where(leaf, 0, np.nextafter(conditions, np.float32(-np.inf)))
    feature = np.where(leaf, -1, np.array(tree["split_indices"], np.int64))
    return _ordered(np.stack([feature, bound, left, right, np.where(leaf, conditions, 0)], axis=1).astype(np.float64))


def _ordered(nodes: Floats) -> Floats:
    """The nodes that can be reached from the first, parents before children; those that were pruned are gone."""
    order, place = [0], 0
    while place < len(order):
        node = order[place]
        if nodes[node, 0] >= 0:
            order += [int(nodes[node, 2]), int(nodes[node, 3])]
        place += 1
        if len(order) > len(nodes):
            raise ValueError("the nodes of a tree name each other in a circle")
        if not all(0 <= child < len(nodes) for child in order[-2:]):
            raise ValueError("a node of a tree names a child that is not there")
    new = np.zeros(len(nodes))
    new[order] = np.arange(len(order))
    found = nodes[order]
    inner = found[:, 0] >= 0
    found[:, 2:4] = np.where(inner[:, None], new[np.where(inner[:, None], found[:, 2:4], 0).astype(np.int64)], 0)
    return found


# -- LightGBM ---------------------------------------------------------------------------------------------------------


def _lightgbm(content: Mapping[str, Any]) -> Forest:
    _refuse_objective(str(content["objective"]).split()[0])
    if int(content["num_tree_per_iteration"]) != 1 or content.get("average_output"):
        raise ValueError("it has several outputs, or averages its trees, and only sums with one output are read")
    trees = [_lightgbm_tree(one["tree_structure"]) for one in content["tree_info"]]
    return _forest(trees, 0.0, int(content["max_feature_idx"]) + 1)


def _lightgbm_tree(root: Mapping[str, Any]) -> Floats:
    """The nodes of a nested tree, parents before children."""
    rows: list[list[float]] = []
    waiting: list[tuple[Mapping[str, Any], int, int]] = [(root, -1, 0)]
    while waiting:
        node, parent, which = waiting.pop()
        if parent >= 0:
            rows[parent][which] = len(rows)
        if "leaf_value" in node:
            rows.append([-1, 0, 0, 0, float(node["leaf_value"])])
            continue
        if node["decision_type"] != "<=" or node.get("missing_type") == "Zero":
            raise ValueError("a tree splits by categories or takes zero for missing: only numerical splits are read")
        waiting += [(node["right_child"], len(rows), 3), (node["left_child"], len(rows), 2)]
        rows.append([int(node["split_feature"]), float(node["threshold"]), 0, 0, 0])
    return np.array(rows)


def _refuse_objective(name: str) -> None:
    if name not in _OBJECTIVES:
        raise ValueError(f"its objective is {name!r}, and only {', '.join(_OBJECTIVES)} are read")


def _forest(trees: Sequence[Floats], start: float, features: int) -> Forest:
    sizes = np.cumsum([0, *(len(tree) for tree in trees)]).astype(np.int64)
    nodes = [tree + size * _IS_CHILD * (tree[:, :1] >= 0) for tree, size in zip(trees, sizes[:-1], strict=True)]
    return Forest(
        np.concatenate(nodes) if nodes else np.zeros((0, len(FIELDS))), sizes[:-1], np.ones(len(trees)), start, features
    )
