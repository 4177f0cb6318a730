from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.networks.build import build, fitted_skeleton
from ogive.scores.az_nas import (
    Blocks,
    Flow,
    _entropy,
    _features,
    _norm,
    az_expressivity,
    az_progressivity,
    az_trainability,
)
from ogive.spaces.darts import darts
from ogive.spaces.nasbench101 import nasbench101
from ogive.spaces.nasbench201 import nasbench201

IMAGES = torch.zeros(8, 3, 6, 6)


class Linear(nn.Module):
    """Convolutions and nothing else, and what they gave."""

    def __init__(self, *convolutions: nn.Conv2d) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(convolutions)
        self.weights: list[Tensor] = []
        self.features: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.weights = [layer.weight.detach().clone() for layer in self.convolutions]  # those drawn for the score
        self.features = []
        for layer in self.convolutions:
            x = layer(x)
            self.features.append(x.detach().clone())
        return x.flatten(1)


def test_equal_variances_have_the_entropy_of_the_number_of_channels() -> None:
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=4)))  # uncorrelated columns of variance 1
    maps = signs.reshape(4, 2, 2, 4).movedim(3, 1)
    assert _entropy(maps) == pytest.approx(math.log(4), rel=1e-6)
    assert _entropy(5 * maps + 3) == pytest.approx(math.log(4), rel=1e-6)


def test_the_entropy_is_that_of_the_shares_of_the_variances_along_the_principal_axes() -> None:
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=2))) * torch.tensor([3.0, 1.0])
    turned = signs @ torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    expected = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert _entropy(turned.reshape(1, 2, 2, 2).movedim(3, 1)) == pytest.approx(expected, rel=1e-6)


def test_features_that_do_not_vary_have_no_entropy() -> None:
    assert math.isnan(_entropy(torch.ones(2, 3, 4, 4)))
    assert math.isnan(_entropy(torch.full((2, 3, 4, 4), math.inf)))


def test_the_norm_of_a_linear_map_to_one_channel_is_that_of_its_weights() -> None:
    # The square of a sign is 1, so that the estimate is the map itself.
    before = torch.randn(2, 2, 3, 3, requires_grad=True)
    after = F.conv2d(before, torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1))
    assert _norm("test", before, after) == pytest.approx(5.0, rel=1e-6)


def test_the_norm_of_two_separate_channels_is_about_the_larger_factor() -> None:
    torch.manual_seed(0)
    before = torch.randn(64, 2, 16, 16, requires_grad=True)
    after = F.conv2d(before, torch.tensor([[3.0, 0.0], [0.0, 0.5]]).reshape(2, 2, 1, 1))
    assert _norm("test", before, after) == pytest.approx(3.0, rel=0.02)  # signs of 16,384 places


def test_pixels_under_one_place_of_a_smaller_map_are_channels() -> None:
    before = torch.randn(2, 1, 4, 4, requires_grad=True)
    after = F.conv2d(before, torch.tensor([1.0, 2.0, 2.0, 4.0]).reshape(1, 1, 2, 2), stride=2)
    assert _norm("test", before, after) == pytest.approx(5.0, rel=1e-6)  # the root of 1 + 4 + 4 + 16
    odd = torch.randn(2, 1, 5, 5, requires_grad=True)
    assert _norm("test", odd, F.conv2d(odd, torch.ones(1, 1, 1, 1), stride=2)) == pytest.approx(1.0, rel=1e-6)


def test_maps_that_grow_are_refused() -> None:
    before = torch.randn(2, 1, 4, 4, requires_grad=True)
    with pytest.raises(SpecError, match="follows feature maps that shrink"):
        _norm("test", before, F.interpolate(before, scale_factor=2.0))


def test_a_block_that_changes_nothing_has_no_norm() -> None:
    before = torch.randn(2, 3, 4, 4, requires_grad=True)
    assert math.isnan(_norm("test", before, before.clone()))
    assert _norm("test", before, torch.ones(2, 3, 4, 4, requires_grad=True)) == 0


def test_the_scores_of_a_linear_network_are_those_of_its_features_and_weights() -> None:
    network = Linear(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 1, 1))
    expressive, progressive = az_expressivity(network, IMAGES), az_progressivity(network, IMAGES)
    entropies = []
    for maps in network.features:
        covariance = np.atleast_2d(np.cov(maps.movedim(1, 3).flatten(0, 2).double().numpy().T, bias=True))
        shares = np.linalg.eigvalsh(covariance) / np.trace(covariance)
        entropies.append(float(-(shares * np.log(shares)).sum()))
    assert expressive == pytest.approx(sum(entropies), rel=1e-6)
    assert progressive == pytest.approx(min(np.diff(entropies)), rel=1e-6)
    assert entropies[2] == 0
    # Only the last map is known without knowing the signs.
    short = Linear(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 1, 1))
    trainable = az_trainability(short, IMAGES)
    norm = float(short.weights[1].norm())
    assert trainable == pytest.approx(2 - norm - 1 / (norm + 1e-6), rel=1e-6)


def test_weights_are_kaimings_by_the_fan_in_and_biases_and_normalisations_are_reset() -> None:
    class Wide(Linear):
        def forward(self, x: Tensor) -> Tensor:
            self.bias = self.convolutions[1].bias.detach().clone()
            return super().forward(x)

    network = Wide(nn.Conv2d(3, 200, 3, padding=1), nn.Conv2d(200, 100, 3, padding=1))
    az_expressivity(network, IMAGES)
    assert float(network.weights[1].std()) == pytest.approx(math.sqrt(2 / (200 * 9)), rel=0.02)
    assert not network.bias.any()


def test_equal_seeds_draw_the_same_and_others_do_not() -> None:
    network = Linear(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1))
    for score in (az_expressivity, az_progressivity, az_trainability):
        assert score(network, IMAGES, seed=1) == score(network, IMAGES, seed=1) != score(network, IMAGES, seed=2)


@pytest.mark.parametrize(
    ("space", "cells", "blocks"),
    [(nasbench201(), 5, 18), (nasbench201(), 1, 6), (nasbench101(), 2, 7), (darts(), 3, 4)],
)
def test_the_blocks_are_the_stem_the_cells_and_the_reductions(space: Any, cells: int, blocks: int) -> None:
    arch = space.sample(np.random.default_rng(0))
    network = build(arch, fitted_skeleton(space.name, (3, 8, 8), 4, channels=4, cells=cells), seed=0)
    with _features(network) as features, torch.no_grad():
        network(torch.randn(4, 3, 8, 8))
        assert len(features) == blocks
        inner = nn.Sequential(network)  # a wrapper changes nothing
    with _features(inner) as features, torch.no_grad():
        inner(torch.randn(4, 3, 8, 8))
    assert len(features) == blocks


def test_cells_that_hand_their_input_on_are_as_expressive_as_the_stem_and_not_trainable() -> None:
    arch = nasbench201().parse("nasbench201:0,0,0,1,0,0")
    network = build(arch, fitted_skeleton("nasbench201", (3, 8, 8), 4, channels=4, cells=1), seed=0)
    flow = (Blocks.ENTROPIES | Blocks.NORMS).look("test", network, IMAGES, None, 0)
    assert flow.entropies[1] == flow.entropies[0]
    assert math.isnan(flow.norms[0])
    assert az_trainability(network, IMAGES) == -math.inf
    assert math.isfinite(az_expressivity(network, IMAGES))


def test_what_is_no_number_ranks_last() -> None:
    broken = Flow(False, (1.0, math.nan, 2.0), (1.0, math.nan))
    assert az_expressivity(nn.Flatten(), IMAGES, seen=broken) == -math.inf
    assert az_progressivity(nn.Flatten(), IMAGES, seen=broken) == -math.inf
    assert az_trainability(nn.Flatten(), IMAGES, seen=broken) == -math.inf


def test_a_norm_of_one_is_the_best() -> None:
    values = [
        az_trainability(nn.Flatten(), IMAGES, seen=Flow(False, (), (norm,))) for norm in (0.0, 0.5, 1.0, 2.0, 9.0)
    ]
    assert values.index(max(values)) == 2
    assert values[2] == pytest.approx(0.0, abs=1e-5)


def test_a_network_of_one_block_is_refused() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
    with pytest.raises(SpecError, match="but 1 of them gave any: at least 2 are needed"):
        az_progressivity(network, IMAGES)
