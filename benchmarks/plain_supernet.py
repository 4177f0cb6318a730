"""The search network of DARTS as it was published: every edge runs every operation by itself.

Kept as the baseline of `bench_supernets.py`; it takes its weights from a supernet of ogive.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.networks.darts import darts_operation
from ogive.networks.ops import ConvBN, FactorizedReduce, ReLUConvBN
from ogive.spaces.darts import OPS
from ogive.supernets.networks import DartsSupernet


class MixedOperation(nn.Module):
    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.operations = nn.ModuleList()
        for name in OPS:
            operation = darts_operation(name, channels, stride, affine=False)
            if "pool" in name:
                operation = nn.Sequential(operation, nn.BatchNorm2d(channels, affine=False))
            self.operations.append(operation)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        total = weights[0] * self.operations[0](x)
        for weight, operation in zip(weights[1:], self.operations[1:], strict=True):
            total = total + weight * operation(x)
        return total


class Cell(nn.Module):
    def __init__(self, before_last: int, last: int, channels: int, reduction: bool, reduced_before: bool) -> None:
        super().__init__()
        self.preprocess0 = (
            FactorizedReduce(before_last, channels, affine=False)
            if reduced_before
            else ReLUConvBN(before_last, channels, 1, affine=False)
        )
        self.preprocess1 = ReLUConvBN(last, channels, 1, affine=False)
        self.edges = nn.ModuleList(
            MixedOperation(channels, 2 if reduction and source < 2 else 1)
            for node in range(4)
            for source in range(2 + node)
        )

    def forward(self, before_last: Tensor, last: Tensor, weights: Tensor) -> Tensor:
        states = [self.preprocess0(before_last), self.preprocess1(last)]
        edge = 0
        for _ in range(4):
            total: Tensor | None = None
            for state in states:
                term = self.edges[edge](state, weights[edge])
                total = term if total is None else total + term
                edge += 1
            assert total is not None
            states.append(total)
        return torch.cat(states[2:], dim=1)


class PlainDarts(nn.Module):
    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        before_last = last = 3 * channels
        self.stem = ConvBN(3, last, 3)
        self.cells = nn.ModuleList()
        self.reductions: list[bool] = []
        reduced_before = False
        for layer in range(layers):
            reduction = layer in (layers // 3, 2 * layers // 3)
            channels = 2 * channels if reduction else channels
            self.cells.append(Cell(before_last, last, channels, reduction, reduced_before))
            self.reductions.append(reduction)
            before_last, last, reduced_before = last, 4 * channels, reduction
        self.classifier = nn.Linear(last, 10)

    def forward(self, x: Tensor, alphas: list[Tensor]) -> Tensor:
        before_last = last = self.stem(x)
        for cell, reduction in zip(self.cells, self.reductions, strict=True):
            weights = F.softmax(alphas[int(reduction)], dim=-1)
            before_last, last = last, cell(before_last, last, weights)
        logits: Tensor = self.classifier(last.mean((2, 3)))
        return logits

    def take(self, network: DartsSupernet) -> PlainDarts:
        """Take over the weights, which are registered in the same order."""
        with torch.no_grad():
            for own, given in zip(self.parameters(), network.parameters(), strict=True):
                own.copy_(given)
        return self
