"""Figures of training that have a source: schedules, augmentation, normalisation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ogive.training import augment
from ogive.training.data import load, normalisation
from ogive.training.recipe import Recipe, learning_rate


def test_the_learning_rates_of_a_darts_search_are_those_of_its_closed_form() -> None:
    # DARTS, cnn/train_search.py: 50 epochs, 0.025 -> 0.001, one rate for each epoch.
    recipe = Recipe(epochs=50, learning_rate=0.025, final_learning_rate=0.001)
    expected = {0: 0.025, 1: 0.0249763207, 25: 0.013, 49: 0.0010236793}
    for epoch, rate in expected.items():
        assert learning_rate(recipe, epoch) == pytest.approx(rate, rel=1e-7)


def test_the_learning_rates_of_a_darts_evaluation_are_those_of_its_closed_form() -> None:
    # DARTS, cnn/train.py: 600 epochs, 0.025 -> 0.
    recipe = Recipe(epochs=600, learning_rate=0.025)
    assert learning_rate(recipe, 300) == pytest.approx(0.0125, rel=1e-12)
    assert learning_rate(recipe, 599) == pytest.approx(1.7135e-7, rel=1e-4)


def test_cutout_of_side_16_covers_the_share_of_a_cifar_image_that_follows_from_clipping() -> None:
    # The mean length of [y - 8, y + 8) within 0..32 is 14 over all y, so (14 / 32) squared of the image: exact.
    lengths = [min(32, y + 8) - max(0, y - 8) for y in range(32)]
    assert (sum(lengths) / 32 / 32) ** 2 == 0.19140625
    kept = augment.uncovered(40_000, 32, 32, 16, torch.Generator().manual_seed(0))
    assert 1 - kept.double().mean().item() == pytest.approx(0.19140625, abs=0.001)  # standard error 0.0003


def test_cifar10_has_the_channel_statistics_that_darts_normalises_with(cifar10_folder: Path) -> None:
    # DARTS, cnn/utils.py: CIFAR_MEAN and CIFAR_STD, over the 50,000 training images.
    mean, std = normalisation(load("cifar10", folder=cifar10_folder).joined().train.images)
    assert mean == pytest.approx((0.49139968, 0.48215827, 0.44653124), abs=1e-6)
    assert std == pytest.approx((0.24703233, 0.24348505, 0.26158768), abs=1e-6)
