from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ogive.scores.tenas import linear_regions, ntk


def batch(count: int = 6) -> Tensor:
    return torch.randn(count, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def test_the_tangent_kernel_of_a_linear_network_is_that_of_its_images() -> None:
    # The gradient of the sum of K logits by the K x P weights is the image, K times.
    made = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    rows = batch().flatten(1).double().numpy()
    eigenvalues = np.linalg.eigvalsh(rows @ rows.T)
    assert ntk(made, batch()) == pytest.approx(-eigenvalues[-1] / eigenvalues[0], rel=1e-4)


def test_more_images_than_weights_make_a_singular_kernel_which_ranks_last() -> None:
    assert ntk(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), batch(40), samples=40) == -math.inf


def test_only_the_first_samples_count() -> None:
    made = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    assert ntk(made, batch(6), samples=4) == ntk(made, batch(6)[:4])


def test_equal_codes_are_one_region() -> None:
    made = nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.ReLU())
    images = batch()
    doubled = torch.cat([images, images * 1.0])
    assert linear_regions(made, doubled) == linear_regions(made, images) <= 6
