"""Several scores of one network on one batch, where those that read the same pass share it."""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ogive.core.rng import Seed
from ogive.scores import Score, score_function
from ogive.scores.passes import Read, Seen, look

__all__ = ["score_all"]


def score_all(
    network: nn.Module, images: Tensor, labels: Tensor, *, names: Sequence[str], seed: Seed
) -> dict[str, float]:
    """Each of the named scores, in their order: the numbers, to the last bit, and the errors that each has alone.

    A score gets what its parameters name: `labels`, an integer `seed` of its own, and, if it has a parameter `seen`
    whose default is a `Read`, the pass that it shares with the others of that kind.
    """
    functions = {name: score_function(name) for name in names}
    seen = _shared(network, images, labels, list(functions.values()))
    found = {}
    for name, function in functions.items():
        offers: dict[str, Any] = {"labels": labels, "seed": seed.integer(name)}
        if seen is not None and _read(function) is not None:
            offers["seen"] = seen
        asked = inspect.signature(function).parameters.keys() & offers.keys()
        found[name] = float(function(network, images, **{key: offers[key] for key in asked}))
    return found


def _read(function: Score) -> Read | None:
    parameter = inspect.signature(function).parameters.get("seen")
    return parameter.default if parameter is not None and isinstance(parameter.default, Read) else None


def _shared(network: nn.Module, images: Tensor, labels: Tensor, functions: Sequence[Score]) -> Seen | None:
    """The pass that all can read; None if fewer than two would, and if it fails."""
    reads = [read for read in map(_read, functions) if read is not None]
    if len(reads) < 2:
        return None
    try:
        return look("several scores", network, images, labels, functools.reduce(operator.or_, reads))
    except Exception:  # noqa: BLE001  alone, each says in its own words what it cannot work with, or has enough memory
        return None
