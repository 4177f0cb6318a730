from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.scores.saliency import fisher, grad_norm, live_params, snip


def batch() -> tuple[Tensor, Tensor]:
    return torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 2


def network(*, inplace: bool) -> nn.Module:
    draw = torch.Generator().manual_seed(1)
    made = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=inplace), nn.Flatten(), nn.Linear(16, 2))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw))
    return made


def test_an_activation_in_place_does_not_change_what_fisher_sees() -> None:
    assert fisher(network(inplace=True), *batch()) == pytest.approx(fisher(network(inplace=False), *batch()), rel=1e-6)


def test_fisher_of_a_linear_network_is_that_of_its_outputs() -> None:
    images, labels = batch()
    made = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    outputs = made(images).detach().requires_grad_()
    F.cross_entropy(outputs, labels).backward()
    assert outputs.grad is not None
    expected = 48 * 0.5 * (outputs.detach() * outputs.grad).square().mean(0).sum().item()
    assert fisher(made, images, labels) == pytest.approx(expected, rel=1e-5)


def test_layers_of_tokens_have_their_channels_last() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Linear(16, 5), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.head(F.gelu(self.embed(x.flatten(2))).mean(1))
            return logits

    assert fisher(Tokens(), *batch()) > 0


def test_a_weight_that_two_layers_share_counts_once() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(48, 48, bias=False)
            self.second = self.first
            self.third = nn.Linear(48, 48, bias=False)
            self.third.weight = self.first.weight

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.third(F.relu(self.second(F.relu(self.first(x.flatten(1))))))
            return logits

    made = Shared()
    images, labels = batch()
    F.cross_entropy(made(images), labels).backward()
    slope, weight = made.first.weight.grad, made.first.weight.detach()
    assert slope is not None
    assert grad_norm(made, images, labels) == pytest.approx(slope.norm().item(), rel=1e-5)
    assert snip(made, images, labels) == pytest.approx((slope * weight).abs().sum().item(), rel=1e-5)


def test_weights_of_dead_branches_do_not_count() -> None:
    class Branched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.read, self.unread, self.starved = nn.Linear(48, 2), nn.Linear(48, 7), nn.Linear(48, 2)

        def forward(self, x: Tensor) -> Tensor:
            flat = x.flatten(1)
            self.unread(flat)
            logits: Tensor = self.read(flat) + self.starved(0 * flat)
            return logits

    assert live_params(Branched(), *batch()) == 96
    cut = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    cut[1].weight.data.zero_()
    assert live_params(cut, *batch()) == -math.inf


def test_live_weights_are_found_with_a_few_images() -> None:
    """A sixth of the time of a pass of all, and the same number."""
    shown: list[int] = []

    class Noting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.read = nn.Linear(48, 10)

        def forward(self, x: Tensor) -> Tensor:
            shown.append(len(x))
            logits: Tensor = self.read(x.flatten(1))
            return logits

    images, labels = torch.randn(64, 3, 4, 4), torch.arange(64) % 10
    assert live_params(Noting(), images, labels) == 480
    assert shown == [8]
