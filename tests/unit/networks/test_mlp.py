from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ogive.core.errors import SpecError
from ogive.networks.build import build, fitted_skeleton
from ogive.networks.count import macs, parameters
from ogive.spaces.mlp import layers_of, mlp


def test_a_plain_one_is_the_chain_of_layers_that_its_text_says() -> None:
    network = build(mlp().parse("16-32 tanh batch 0 plain"), fitted_skeleton("mlp", (5,), 3), seed=1).eval()
    chain = nn.Sequential(
        nn.Linear(5, 16),
        nn.BatchNorm1d(16),
        nn.Tanh(),
        nn.Linear(16, 32),
        nn.BatchNorm1d(32),
        nn.Tanh(),
        nn.Linear(32, 3),
    ).eval()
    chain.load_state_dict(dict(zip(chain.state_dict(), network.state_dict().values(), strict=True)))
    x = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(network(x), chain(x))


def test_shortcuts_add_what_came_in_from_the_second_layer_on() -> None:
    network = build(mlp().parse("16-16-32 relu none 0 residual"), fitted_skeleton("mlp", (5,), 1), seed=1)
    first, second, third = network.layers
    assert (first.around, type(second.around)) == (None, nn.Identity)
    x = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    one = torch.relu(first.linear(x))
    two = one + torch.relu(second.linear(one))
    three = third.around(two) + torch.relu(third.linear(two))
    assert torch.allclose(network(x), network.head(three))


def test_counts_are_those_of_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    for arch in (mlp().sample(rng) for _ in range(20)):
        found, before, weights, more = layers_of(arch), 13, 0, 0
        for place, width in enumerate(found.widths):
            weights += before * width
            more += width + (0 if found.normalisation == "none" else 2 * width)
            weights += before * width if found.residual and place and before != width else 0
            before = width
        network = build(arch, fitted_skeleton("mlp", (13,), 3), seed=0)
        assert macs(network, (13,)) == weights + 3 * before
        assert parameters(network) == weights + 3 * before + more + 3


def test_images_are_laid_flat() -> None:
    network = build(mlp().parse("16 relu none 0 plain"), fitted_skeleton("mlp", (3, 8, 6), 10), seed=0)
    assert network(torch.zeros(2, 3, 8, 6)).shape == (2, 10)


def test_a_width_from_outside_and_rows_for_networks_of_images_are_refused() -> None:
    with pytest.raises(SpecError, match="holds its own widths and depth"):
        build(mlp().parse("16 relu none 0 plain"), fitted_skeleton("mlp", (5,), 2, channels=8))
    with pytest.raises(SpecError, match="nasbench201 read images, and not rows of 5 numbers: give --space mlp"):
        fitted_skeleton("nasbench201", (5,), 2)
