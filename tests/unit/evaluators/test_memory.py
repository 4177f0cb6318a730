"""Memory per sample is what a network that runs keeps."""

import pytest
import torch
from torch import nn

from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.core.trial import Proposal
from ogive.evaluators.memory import Memory
from ogive.networks.build import build, fitted_skeleton
from ogive.spaces.hnag import rnag_er
from ogive.spaces.nasbench201 import nasbench201
from ogive.training.data import load
from ogive.training.memory import kept_bytes


def test_what_is_kept_is_counted_by_hand():
    # The convolution keeps the images (2×3×8×8), the normalisation what it reads (2×4×8×8) and two statistics of each
    # of 4 channels, the ReLU what it gives (2×4×8×8), and the last layer what it reads (2×256, which is the same).
    body = [nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(256, 2)]
    network = nn.Sequential(*body)
    numbers = 2 * 3 * 64 + 2 * 4 * 64 + 2 * 4 + 2 * 4 * 64
    assert sum(kept_bytes(network, torch.zeros(2, 3, 8, 8))) == 4 * numbers
    assert sum(kept_bytes(network.to("meta"), torch.zeros(2, 3, 8, 8, device="meta"))) == 4 * numbers


def test_memory_is_parameters_and_a_share_of_what_a_batch_keeps():
    data, space = load("digits", limit=40), nasbench201()
    arch = space.parse("nasbench201:3,1,2,4,0,3")
    few, many = (
        Memory(space=space, data=data, seed=Seed(0), samples=samples, channels=4, cells=1).evaluate([Proposal(arch)])[0]
        for samples in (2, 8)
    )
    network = build(arch, fitted_skeleton("nasbench201", data.shape, 10, channels=4, cells=1), seed=0)
    weights = sum(4 * parameter.numel() for parameter in network.parameters())
    kept = sum(kept_bytes(network, data.normalised(data.train.images[:8]))) / 8
    assert many.metrics["memory_mb"] == pytest.approx((weights + kept) / 1e6)
    # Statistics of a batch are shared by fewer.
    assert 0 < few.metrics["memory_mb"] - many.metrics["memory_mb"] < 0.05 * many.metrics["memory_mb"]


def test_a_generator_that_does_not_fit_its_budget_is_a_failure_with_the_least_that_it_needs():
    data, space = load("digits", limit=40), rnag_er(parameters=2_000)
    arch = space.parse("parameters=2000 N=40 P=0.9 draw=0")
    (found,) = Memory(space=space, data=data, seed=Seed(0)).evaluate([Proposal(arch)])
    assert found.error is not None
    assert "parameters, which the budget of 2,000 does not hold" in found.error


def test_a_number_of_samples_that_cannot_be_is_refused():
    data = load("digits", limit=40)
    for samples in (1, 1000):
        with pytest.raises(SpecError, match=f"samples are needed, but got samples={samples}"):
            Memory(space=nasbench201(), data=data, seed=Seed(0), samples=samples)
