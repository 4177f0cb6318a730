from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from ogive.core.errors import SpecError
from ogive.scores.zico import zico

LABELS = torch.arange(8) % 2


def network() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 2))


def test_at_least_two_batches_of_two_images_are_compared() -> None:
    images = torch.randn(8, 1, 2, 2)
    with pytest.raises(SpecError, match="at least 2 batches, but got batches=1"):
        zico(network(), images, LABELS, batches=1)
    with pytest.raises(SpecError, match="at least 4 images"):
        zico(network(), images[:3], LABELS[:3])
    assert math.isfinite(zico(network(), images, LABELS, batches=4))


def test_gradients_that_never_vary_rank_last() -> None:
    half = torch.randn(4, 1, 2, 2)
    assert zico(network(), torch.cat([half, half]), LABELS) == -math.inf


def test_images_that_fill_no_batch_are_left_over() -> None:
    made, images = network(), torch.randn(9, 1, 2, 2)
    labels = torch.arange(9) % 2
    assert zico(made, images, labels) == zico(made, images[:8], labels[:8])
