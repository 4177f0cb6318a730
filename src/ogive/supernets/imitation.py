"""Imitation of an expert's topology in a differentiable search: a loss on the features of softmax-relaxed cells.

IRLAS (Guo et al., CVPR 2019) names a differentiable form without its formula; this one is ours. The features of
``ogive.topology`` are expected over the operations of every edge, which is linear in the softmax of its logits.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import torch
from torch import Tensor

from ogive.core.errors import SpecError
from ogive.spaces.blockqnn import JOINING, Layer
from ogive.supernets.alphas import Alphas
from ogive.topology import WIDTH, Features, expert_of

__all__ = ["Imitated", "relaxed_features"]

_KERNEL = re.compile(r"(\d)x\d")
_PLAIN = Features(1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imitated:
    """The squared distance of a cell's relaxed features from those of an expert's block, times a weight.

    Both are means over layers that are no sum, concatenation or end: which operations there are, how large, and how far
    back they read. `expert` is as of the objective `imitation`; groups of cells count alike.
    """

    expert: str = "resnext"  # IRLAS, abstract
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise SpecError(f"The weight of imitation must be 0 or a positive number, but got {self.weight}.")
        expert_of(self.expert)

    def __call__(self, alphas: Alphas) -> Tensor:
        layers = [(place, one) for place, one in enumerate(expert_of(self.expert), 1) if one.type not in JOINING]
        rows = [torch.from_numpy(_PLAIN.of_layer(place, layer)) for place, layer in layers]
        goal_F = torch.stack(rows).mean(0)
        apart = [relaxed_features(alphas, group) for group in range(len(alphas.groups))]
        losses = [(found_F - goal_F.to(found_F)).square().sum() for found_F in apart]
        return self.weight * torch.stack(losses).mean()


def relaxed_features(alphas: Alphas, group: int) -> Tensor:
    """The mean features (F,) of the operations of a group's cells, each as likely as the softmax of its edge says.

    The operation `none` is no layer, so that it counts in none of the means.
    """
    logits_EO = alphas.groups[group]
    rows = [(edge, row) for edge, row in enumerate(alphas.choices[group]) if len(row) > 1]
    known_EO = torch.zeros(logits_EO.shape, dtype=torch.bool, device=logits_EO.device)
    features_EOF = torch.zeros((*logits_EO.shape, WIDTH), dtype=torch.float64)
    for place, (edge, row) in enumerate(rows):
        known_EO[place, list(row)] = True
        source, target = alphas.plan.edges[edge]
        for op in row:
            layer = _layer(alphas.plan.operations[op], source)
            if layer is not None:
                features_EOF[place, op] = torch.from_numpy(_PLAIN.of_layer(target, layer))
    shares_EO = torch.softmax(logits_EO.masked_fill(~known_EO, -torch.inf), dim=1)
    features_EOF = features_EOF.to(logits_EO)
    layers_EO = shares_EO * features_EOF.any(dim=2)
    return torch.einsum("eo,eof->f", layers_EO, features_EOF) / layers_EO.sum().clamp(min=1e-12)


def _layer(name: str, source: int) -> Layer | None:
    """What an operation is as a layer of a block; None for `none`. Kernels of more than 5 pixels count as 5."""
    size = _KERNEL.search(name)
    kernel = min(int(size[1]), 5) if size else 1
    if name == "none":
        return None
    if "skip" in name or "identity" in name:
        return Layer("identity", 0, source)
    for kind in ("max", "avg"):
        if name.startswith(kind):
            return Layer(kind, min(kernel, 3), source)
    return Layer("conv", kernel, source)
