"""Several scores of one network on one batch, where those that read the same pass share it."""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ogive.core.rng import Seed
from ogive.scores import Score, score_function
from ogive.scores.passes import Request

__all__ = ["score_all"]


def score_all(
    network: nn.Module, images: Tensor, labels: Tensor, *, names: Sequence[str], seed: Seed
) -> dict[str, float]:
    """Each of the named scores, in their order: the numbers, to the last bit, and the errors that each has alone.

    A score gets what its parameters name: `labels`, an integer `seed`, and, if it has a parameter `seen` whose default
    is a `Request`, the pass that it shares with the others of that kind. Seeds differ from score to score, unless the
    requests name a stream of random numbers in common.
    """
    requests = {name: _request(score_function(name)) for name in names}
    seeds = {name: seed.integer((request and request.stream) or name) for name, request in requests.items()}
    shared = _shared(network, images, labels, requests, seeds)
    found = {}
    for name, request in requests.items():
        function = score_function(name)
        offers: dict[str, Any] = {"labels": labels, "seed": seeds[name]}
        if type(request) in shared:
            offers["seen"] = shared[type(request)]
        asked = inspect.signature(function).parameters.keys() & offers.keys()
        found[name] = float(function(network, images, **{key: offers[key] for key in asked}))
    return found


def _request(function: Score) -> Request | None:
    parameter = inspect.signature(function).parameters.get("seen")
    return parameter.default if parameter is not None and isinstance(parameter.default, Request) else None


def _shared(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    requests: Mapping[str, Request | None],
    seeds: Mapping[str, int],
) -> dict[type, Any]:
    """For each class of requests that several scores make, the pass that meets all, unless it fails."""
    shared: dict[type, Any] = {}
    for kind in {type(request) for request in requests.values() if request is not None}:
        alike = {name: request for name, request in requests.items() if type(request) is kind}
        if len(alike) < 2:
            continue
        united: Any = functools.reduce(operator.or_, alike.values())
        try:
            shared[kind] = united.look("several scores", network, images, labels, seeds[next(iter(alike))])
        except Exception:  # noqa: BLE001  alone, each says in its own words what it cannot work with, or has memory
            continue
    return shared
