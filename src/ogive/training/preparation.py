"""Preparation: what turns the cells of a row into the numbers that a network takes, fitted on training rows alone.

Shapes: N rows, A columns of numbers, C columns of categories, F numbers that come out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.core.errors import SpecError
from ogive.networks.plain_rows import Preparation
from ogive.training.memory import refuse_too_large

__all__ = ["Cells", "fitted", "transformer"]

Numbers = npt.NDArray[np.float64]
MOST_CATEGORIES = 64  # of a column; what is rarer than the most frequent of them shares one number


@dataclass(frozen=True, eq=False)
class Cells:
    """Rows as they were read: `numbers` (N, A), NaN where missing; `words` (N, C) of strings, empty where missing."""

    numbers: Numbers
    words: npt.NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, rows: npt.NDArray[np.int64]) -> Cells:
        """The rows at these places, in that order."""
        return Cells(self.numbers[rows], self.words[rows])


def transformer(numbers: int, words: int) -> Any:
    """scikit-learn's transformers for so many columns, not fitted yet.

    Numbers: the median for what is missing, mean 0 and standard deviation 1, and a number that says what was missing.
    Categories: one of several, of which unknown and rare ones share the last if there are rare ones, or else are all 0.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import MissingIndicator, SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    first, rest = list(range(numbers)), list(range(numbers, numbers + words))
    categories = OneHotEncoder(
        handle_unknown="infrequent_if_exist", max_categories=MOST_CATEGORIES, sparse_output=False
    )
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), first),
            ("missing", MissingIndicator(error_on_new=False), first),
            ("categories", categories, rest),
        ],
        sparse_threshold=0.0,
    )


def fitted(train: Cells, names: tuple[str, ...], words: tuple[str, ...], *parts: Cells) -> tuple[Any, ...]:
    """The Preparation fitted on `train`, then `train` and the other parts as float32 of shape (N, F).

    `names` are those of the columns of numbers, `words` those of categories. SpecError for a column without any value.
    """
    empty = np.isnan(train.numbers).all(axis=0)
    if empty.any():
        raise SpecError(
            f"The column {names[int(empty.argmax())]} has no value in any training row: "
            f"leave it out with drop=[{names[int(empty.argmax())]}]."
        )
    made = transformer(len(names), len(words)).fit(_joined(train))
    shape = (len(train), made.transform(_joined(train.take(np.arange(1)))).shape[1])
    refuse_too_large("The prepared training rows", shape, item=8, way_out="leave out columns, or give a limit")
    told = made.named_transformers_
    numbers: tuple[tuple[str, float, float, float], ...] = ()
    missing: tuple[str, ...] = ()
    if names:
        medians, scaler = told["numbers"][0].statistics_, told["numbers"][1]
        numbers = tuple(zip(names, medians.tolist(), scaler.mean_.tolist(), scaler.scale_.tolist(), strict=True))
        missing = tuple(names[place] for place in told["missing"].features_.tolist())
    rare = told["categories"].infrequent_categories_ if words else []
    kept = told["categories"].categories_ if words else []
    categories = tuple(
        (name, *_apart(list(values), [] if few is None else list(few)))
        for name, values, few in zip(words, kept, rare, strict=True)
    )
    arrays = (made.transform(_joined(part)).astype(np.float32) for part in (train, *parts))
    return Preparation(numbers, missing, categories), *arrays


def _apart(values: list[str], rare: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(value for value in values if value not in set(rare)), tuple(rare)


def _joined(cells: Cells) -> npt.NDArray[np.object_]:
    return np.concatenate([cells.numbers.astype(object), cells.words], axis=1)
