"""The evaluation networks of D-DARTS: every layer may be another cell, and a node adds any number of operations.

Heuillet et al., "D-DARTS" (arXiv:2108.09306); the published code is aheuillet/D-DARTS, model.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ogive.networks.darts import AuxiliaryHead, CellStack, darts_operation, darts_stem
from ogive.networks.ops import FactorizedReduce, ReLUConvBN, drop_path

__all__ = ["NestedCell", "NestedNetwork"]


class NestedCell(nn.Module):
    """Two inputs, and the concatenation of all nodes that some operation leads to.

    `entries` are (operation, node, state) triples. States 0 and 1 are the outputs of the cell before the last and of
    the last; nodes are numbered from 2 and read states before them that exist. A cell that reduces has stride 2 in the
    operations on its inputs; `reduced_before` says that the input of state 0 is twice the size of that of state 1.
    """

    def __init__(
        self,
        entries: Sequence[tuple[str, int, int]],
        before_last: int,
        last: int,
        channels: int,
        reduction: bool,
        reduced_before: bool,
    ) -> None:
        super().__init__()
        nodes = sorted({node for _, node, _ in entries})
        # Of each node: its number, and the operations that lead to it with the states that they read.
        self.nodes = [
            (node, [(index, state) for index, (_, to, state) in enumerate(entries) if to == node]) for node in nodes
        ]
        self.preprocess0 = (
            FactorizedReduce(before_last, channels) if reduced_before else ReLUConvBN(before_last, channels, 1)
        )
        self.preprocess1 = ReLUConvBN(last, channels, 1)
        self.operations = nn.ModuleList(
            darts_operation(name, channels, stride=2 if reduction and state < 2 else 1) for name, _, state in entries
        )

    def forward(self, before_last: Tensor, last: Tensor, drop_path_prob: float = 0.0) -> Tensor:
        """The nodes, side by side. Drop-path acts on the sum of a node, whatever it adds, and not on its parts."""
        states = {0: self.preprocess0(before_last), 1: self.preprocess1(last)}
        for node, terms in self.nodes:
            first, *rest = (self.operations[index](states[state]) for index, state in terms)
            total = sum(rest, first)
            states[node] = drop_path(total, drop_path_prob) if drop_path_prob > 0.0 else total
        return torch.cat([states[node] for node, _ in self.nodes], dim=1)


class NestedNetwork(CellStack):
    """Cells stacked after a stem; the layers in `reductions` halve the image and double the width.

    `cells` are the distinct cells as (operation, node, state) triples, `layers` which of them each layer is. In the
    `style` "imagenet" the stem halves images three times, or twice if there are more than two reductions, so that maps
    of 7×7 are left of 224×224. With `auxiliary`, a second head stands behind the last reduction and forward gives a
    pair of logits in training. `drop_path` is the probability to reach at the end of training.
    """

    def __init__(
        self,
        cells: Sequence[Sequence[tuple[str, int, int]]],
        layers: Sequence[int],
        reductions: Sequence[int],
        channels: int = 36,  # train.py of the published code (64 for DARTOpti, README)
        classes: int = 10,
        inputs: int = 3,
        style: str = "cifar",
        auxiliary: bool = False,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__(drop_path)
        self.recipe: dict[str, object] = {
            "cells": tuple(tuple((name, node, state) for name, node, state in cell) for cell in cells),
            "layers": tuple(layers),
            "reductions": tuple(reductions),
            "channels": channels,
            "classes": classes,
            "inputs": inputs,
            "style": style,
            "auxiliary": auxiliary,
            "drop_path": drop_path,
        }
        self.auxiliary_after = max(reductions, default=len(layers) - 1)
        self.stem0, self.stem1, before_last, last = darts_stem(
            style, inputs, channels, halvings=3 if len(reductions) <= 2 else 2
        )
        reduced_before = style == "imagenet"
        self.cells = nn.ModuleList()
        auxiliary_inputs = 0
        for layer, which in enumerate(layers):
            reduction = layer in reductions
            channels = 2 * channels if reduction else channels
            entries = cells[which]
            self.cells.append(NestedCell(entries, before_last, last, channels, reduction, reduced_before))
            before_last, last, reduced_before = last, len({node for _, node, _ in entries}) * channels, reduction
            if layer == self.auxiliary_after:
                auxiliary_inputs = last
        # Unlike DARTS, the published code normalises twice in the head for ImageNet too.
        self.auxiliary_head = AuxiliaryHead(auxiliary_inputs, classes, style, normalised=True) if auxiliary else None
        self.classifier = nn.Linear(last, classes)
