"""A task that trains in milliseconds (lying, standing and no stripes, with noise) and a small network for it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ogive.core.rng import Seed
from ogive.training.augment import Augmentation
from ogive.training.data import Data, assembled, divided
from ogive.training.pictures import Labelled, Source


class Small(nn.Module):
    """Two convolutions, a batch norm, dropout from torch's global stream, and a linear layer.

    `before` is called with the number of each forward pass in training.
    """

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.convolution = nn.Conv2d(1, 6, 3, padding=1, bias=False)
            self.norm = nn.BatchNorm2d(6)
            self.second = nn.Conv2d(6, 6, 3, padding=1)
            self.classifier = nn.Linear(6, 3)
        self.before: Callable[[int], None] = lambda call: None
        self.calls = 0

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if self.training:
            self.before(self.calls)
            self.calls += 1
        features = torch.relu(self.second(torch.relu(self.norm(self.convolution(x_NCHW))))).mean((2, 3))
        return self.classifier(nn.functional.dropout(features, 0.1, self.training))  # type: ignore[no-any-return]


@pytest.fixture(autouse=True, scope="module")
def every_training_on_one_thread(one_thread: None) -> None:
    """The fixture of the same effect, for all files of this folder."""


@pytest.fixture(scope="session")
def small() -> type[Small]:
    return Small


@pytest.fixture(scope="session")
def stripes() -> Data:
    rng = Seed(7).numpy("stripes")
    labels = np.arange(150) % 3
    images = rng.integers(0, 80, (150, 1, 6, 6))
    images[labels == 0, :, ::2] += 150
    images[labels == 1, :, :, ::2] += 150
    source = Source(Labelled(images.astype(np.uint8), labels.astype(np.int64)), ("lying", "mean_rank", "none"))
    return assembled(divided(source, "stripes", Seed(0)), "stripes", Augmentation(padding=1))
