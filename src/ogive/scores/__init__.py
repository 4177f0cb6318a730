"""Training-free scores: functions of any untrained network and a batch of images; larger is better. One file a family.

A score is called as ``score(network, images)`` with images (N, C, H, W), and with ``labels=`` (N,) and ``seed=`` if it
has such parameters. It returns a number, -inf for a network that cannot be ranked above any other, as one cut off from
its input, and leaves the network as it found it. What a score cannot work with (no ReLU, no weights, one image, images
of whole numbers) is a SpecError. `together.score_all` takes several at once, which share a pass where they can.
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
    "naswot_reference": "ogive.scores.naswot:naswot_reference",
    "naswot_smooth": "ogive.scores.naswot:naswot_smooth",
    "grad_norm": "ogive.scores.saliency:grad_norm",
    "snip": "ogive.scores.saliency:snip",
    "plain": "ogive.scores.saliency:plain",
    "live_params": "ogive.scores.saliency:live_params",
    "grasp": "ogive.scores.saliency:grasp",
    "fisher": "ogive.scores.saliency:fisher",
    "synflow": "ogive.scores.synflow:synflow",
    "synflow_bn": "ogive.scores.synflow:synflow_bn",
    "jacob_cov": "ogive.scores.jacobian:jacob_cov",
    "epe_nas": "ogive.scores.jacobian:epe_nas",
    "zen": "ogive.scores.zen:zen",
    "zico": "ogive.scores.zico:zico",
    "ntk": "ogive.scores.tenas:ntk",
    "linear_regions": "ogive.scores.tenas:linear_regions",
    "swap": "ogive.scores.swap:swap",
    "az_expressivity": "ogive.scores.az_nas:az_expressivity",
    "az_progressivity": "ogive.scores.az_nas:az_progressivity",
    "az_trainability": "ogive.scores.az_nas:az_trainability",
    "vkdnw": "ogive.scores.vkdnw:vkdnw",
    "vkdnw_entropy": "ogive.scores.vkdnw:vkdnw_entropy",
    "l2_norm": "ogive.scores.size:l2_norm",
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
