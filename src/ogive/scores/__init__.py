"""Training-free scores: functions of any untrained network and a batch of images; larger is better. One file a family.

A score is called as ``score(network, images)`` with images (N, C, H, W), and with ``labels=`` (N,) if it has such a
parameter. It returns a number, -inf for a network that cannot be ranked above any other, and leaves the network as it
found it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from ogive.core.errors import UnknownName
from ogive.plugins import plugins

__all__ = ["SCORES", "score_function"]

Score = Callable[..., float]

# Imported when asked for: naming a score does not import torch.
SCORES: dict[str, str] = {
    "naswot": "ogive.scores.naswot:naswot",
    "params": "ogive.scores.size:params",
    "macs": "ogive.scores.size:macs",
}


def score_function(name: str) -> Score:
    """The function behind the name, of ogive or of a plug-in; raises UnknownName."""
    known = {**plugins("score"), **SCORES}
    if name not in known:
        raise UnknownName("training-free score", name, known)
    module, _, attribute = known[name].partition(":")
    function: Any = getattr(importlib.import_module(module), attribute)
    return function  # type: ignore[no-any-return]
