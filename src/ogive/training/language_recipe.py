"""How a language model is sized and trained: every number of the published training, and smaller presets of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ogive.core.errors import SpecError

__all__ = ["PRESETS", "LanguageRecipe", "language_bytes"]

DROPOUTS = ("dropout", "dropout_hidden", "dropout_input", "dropout_embedding", "dropout_word")


# What the presets change. Small networks do not overfit in few epochs, so that less of them is dropped.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "small": {
        "width": 128,
        "epochs": 8,
        "batch_size": 32,
        "test_batch": 10,
        "dropout": 0.2,
        "dropout_hidden": 0.1,
        "dropout_input": 0.2,
        "dropout_embedding": 0.1,
        "dropout_word": 0.0,
    },
    "tiny": {
        "width": 64,
        "epochs": 3,
        "batch_size": 32,
        "test_batch": 10,
        **dict.fromkeys(DROPOUTS, 0.0),
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageRecipe:
    """Size and training of a language model; the defaults are those of DARTS on the Penn Treebank.

    Steps read about `bptt` words (with a deviation of `spread`, at most `longest_more` more) of `batch_size` texts side
    by side. `slowness` weighs the squared change of the output between two words. After `patience` epochs without a
    better perplexity the weights are averaged. `eval_batch` and `test_batch` are the texts side by side where nothing
    is trained. The dropouts are those of ``networks.recurrent.LanguageModel``.
    """

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    PRESET: ClassVar[str] = "small"

    width: int = 850  # quark0/darts, rnn/train.py, as is all below but `epochs`
    epochs: int = 8000  # its upper limit; the paper trains until nothing more is gained
    batch_size: int = 64
    bptt: int = 35
    spread: float = 5.0
    longest_more: int = 20
    learning_rate: float = 20.0
    weight_decay: float = 8e-7
    gradient_clip: float = 0.25
    slowness: float = 1e-3
    patience: int = 5
    eval_batch: int = 10
    test_batch: int = 1
    dropout: float = 0.75
    dropout_hidden: float = 0.25
    dropout_input: float = 0.75
    dropout_embedding: float = 0.2
    dropout_word: float = 0.1

    def __post_init__(self) -> None:
        for name in ("width", "epochs", "batch_size", "bptt", "patience", "eval_batch", "test_batch"):
            if getattr(self, name) < 1:
                raise SpecError(f"{name} must be at least 1, but got {getattr(self, name)}.")
        for name in DROPOUTS:
            if not 0 <= getattr(self, name) < 1:
                raise SpecError(f"{name} must be in [0, 1), but got {getattr(self, name)}.")
        for name in ("spread", "longest_more", "weight_decay", "gradient_clip", "slowness"):
            if not 0 <= getattr(self, name) < math.inf:
                raise SpecError(f"{name} must be 0 or a positive number, but got {getattr(self, name)}.")
        if not 0 < self.learning_rate < math.inf:
            raise SpecError(f"learning_rate must be a positive number, but got {self.learning_rate}.")

    @property
    def unit(self) -> str:
        """What the length of a training counts."""
        return "epochs"

    @property
    def length(self) -> int:
        """The epochs of the whole training."""
        return self.epochs


def language_bytes(recipe: LanguageRecipe, *, words: int, parameters: int, nodes: int) -> int:
    """Bytes that a step of training holds at its peak, about: weights, their copies, and what is kept to go backward.

    Of the weights there are the gradient, the best, the average, what an epoch began with of both, and one copy while
    they are exchanged. Each moment keeps the log-probabilities and their gradient, and some ten states a node.
    """
    moments = (recipe.bptt + recipe.longest_more) * recipe.batch_size
    return 4 * (7 * parameters + moments * (3 * words + 10 * (nodes + 1) * recipe.width))
