"""Copies of networks that keep the weights: as ``copy.deepcopy``, in a fraction of its time.

A part of a supernet is copied for every candidate that is estimated with its weights, and most of what deepcopy does is
to look into the dozen empty dictionaries of each small module.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

__all__ = ["twin"]

Network = TypeVar("Network", bound=nn.Module)

# How nn.Module keeps its parts; what else stands in a module's dictionary is its class's own.
_PARTS = ("_modules", "_parameters", "_buffers")
_PLAIN = (int, float, str, bytes, type(None))


def twin(network: Network, memo: dict[int, Any]) -> Network:
    """What ``copy.deepcopy(network, memo)`` gives: `memo` says what takes the place of an object, by its id.

    Weights are kept where they stand in `memo` for themselves; buffers are copies.
    """
    if id(network) in memo:
        known: Network = memo[id(network)]
        return known
    if _copies_itself(type(network)):
        return copy.deepcopy(network, memo)
    made = type(network).__new__(type(network))
    memo[id(network)] = made
    own = made.__dict__
    own.update(network.__dict__)  # their order, too
    own["_modules"] = {name: None if child is None else twin(child, memo) for name, child in network._modules.items()}
    own["_parameters"] = {name: _tensor(value, memo) for name, value in network._parameters.items()}
    own["_buffers"] = {name: _tensor(value, memo) for name, value in network._buffers.items()}
    for name, value in network.__dict__.items():
        if name not in _PARTS and not _is_fixed(value):
            # Shallow copies of what holds nothing that can change: of paddings, and of the hooks that few have.
            own[name] = type(value)(value) if _holds_fixed(value) else copy.deepcopy(value, memo)
    return made


def _copies_itself(kind: type[nn.Module]) -> bool:
    # What convolutions make of a state is the padding that pickles of an old torch lack.
    restored = kind.__setstate__ is not nn.Module.__setstate__ and kind.__setstate__ is not _ConvNd.__setstate__
    return (
        hasattr(kind, "__deepcopy__")
        or restored
        or kind.__getstate__ is not nn.Module.__getstate__
        or kind.__reduce_ex__ is not nn.Module.__reduce_ex__
        or kind.__reduce__ is not nn.Module.__reduce__
    )


def _tensor(value: Tensor | None, memo: dict[int, Any]) -> Tensor | None:
    if value is None:
        return None
    if id(value) not in memo:
        memo[id(value)] = (
            copy.deepcopy(value, memo) if value.requires_grad or type(value) is not Tensor else value.clone()
        )
    known: Tensor = memo[id(value)]
    return known


def _is_fixed(value: object) -> bool:
    """Whether nothing of it can change, so that copies share it."""
    if isinstance(value, tuple):
        return type(value) is tuple and all(map(_is_fixed, value))
    return isinstance(value, _PLAIN)


def _holds_fixed(value: Any) -> bool:
    if type(value) in (dict, OrderedDict):
        return all(map(_is_fixed, value.values()))
    return type(value) in (list, set) and all(map(_is_fixed, value))
