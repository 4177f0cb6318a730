from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from ogive.scores.synflow import synflow, synflow_bn


def test_the_flow_of_a_chain_of_linear_layers_is_the_product_of_their_weights_once_for_each_layer() -> None:
    # With outputs of w2 w1 1, every layer's sum of weight times derivative is the output itself.
    draw = torch.Generator().manual_seed(0)
    made = nn.Sequential(nn.Flatten(), nn.Linear(12, 5, bias=False), nn.ReLU(), nn.Linear(5, 2, bias=False))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw))
    first, second = (layer.weight.detach().double().abs() for layer in (made[1], made[3]))
    expected = math.log(2 * (second @ first).sum().item())
    assert synflow(made, torch.zeros(4, 3, 2, 2)) == pytest.approx(expected, rel=1e-12)


def test_normalisation_is_left_out_in_every_form() -> None:
    class Called(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.inner, self.head = inner, nn.Linear(4, 2)
            with torch.no_grad():
                for parameter in (self.conv.weight, self.conv.bias, self.head.weight, self.head.bias):
                    assert parameter is not None
                    parameter.fill_(-0.5)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.head(self.inner(self.conv(x)).mean((2, 3)))
            return logits

    images = torch.zeros(2, 3, 5, 5)
    plain = synflow(Called(nn.Identity()), images)
    assert synflow(Called(nn.BatchNorm2d(4)), images) == plain
    assert synflow_bn(Called(nn.BatchNorm2d(4)), images) != plain
    assert synflow_bn(Called(nn.Identity()), images) == plain


def test_a_deep_network_does_not_overflow() -> None:
    layers = [layer for _ in range(60) for layer in (nn.Linear(100, 100), nn.ReLU())]
    made = nn.Sequential(nn.Flatten(), *layers)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.fill_(1.0)
    # 100 ** 60 is beyond float32, whose numbers end at 3.4e38.
    assert synflow(made, torch.zeros(2, 1, 10, 10)) == pytest.approx(math.log(60) + 61 * math.log(100), rel=1e-2)
