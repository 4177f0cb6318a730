from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.scores.zen import zen


class Maps(nn.Module):
    """A convolution whose maps are averaged without a module."""

    def __init__(self, *, normalised: bool = False, factor: float = 1.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4) if normalised else nn.Identity()
        self.head = nn.Linear(4, 2)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.bn(self.conv(x) * self.factor).mean((2, 3)))
        return logits


def images(count: int = 16) -> Tensor:
    return torch.zeros(count, 3, 6, 6)


def test_the_score_of_a_linear_network_is_the_logarithm_of_a_mean_of_absolute_gaussians() -> None:
    # Each of the 4 x 6 x 6 outputs differs by 0.01 times a sum of 27 products of two Gaussians (fewer at the border):
    # about normal with deviation sqrt(27), whose absolute value is sqrt(2 / pi) of that in the mean.
    fields = sum((3 - (r in (0, 5))) * (3 - (c in (0, 5))) * 3 for r in range(6) for c in range(6)) / 36
    expected = math.log(4 * 36 * 0.01 * math.sqrt(fields) * math.sqrt(2 / math.pi))
    assert zen(Maps(), images(), repeats=200) == pytest.approx(expected, abs=0.1)


def test_normalisation_is_made_up_for() -> None:
    # Whatever scale a layer has, the normalisation takes it off and its deviation is added again.
    small, large = (zen(Maps(normalised=True, factor=factor), images(), repeats=30) for factor in (10.0, 1000.0))
    assert large - small == pytest.approx(math.log(100), rel=0.01)


def test_weights_images_and_labels_of_the_caller_do_not_matter_but_the_seed_does() -> None:
    network, again = Maps(), Maps()
    assert zen(network, images()) == zen(again, images(40) + 3.0)
    assert zen(network, images(), seed=1) != zen(network, images(), seed=2)


def test_a_network_without_maps_is_refused() -> None:
    with pytest.raises(SpecError, match="last feature maps of a network, but Sequential has none"):
        zen(nn.Sequential(nn.Flatten(), nn.Linear(108, 2)), images())


def test_a_pooling_module_at_the_end_does_not_count_as_the_last_maps() -> None:
    class Pooled(Maps):
        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.AdaptiveAvgPool2d(1)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.head(self.pool(self.bn(self.conv(x))).flatten(1))
            return logits

    assert zen(Pooled(), images()) == zen(Maps(), images())
