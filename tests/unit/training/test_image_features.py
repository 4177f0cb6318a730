from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch

from ogive.core.errors import SpecError
from ogive.training.data import Data, load
from ogive.training.image_features import (
    FeatureRecipe,
    Gaussian,
    ImageFeatures,
    class_score,
    frechet_distance,
    gaussian,
    image_features,
)

TINY = FeatureRecipe(channels=4, epochs=2)


@pytest.fixture(scope="module")
def digits() -> Data:
    return load("digits", size=16, limit=120)


# -- the formulas -----------------------------------------------------------------------------------------------------


def test_gaussians_with_commuting_covariances_have_the_closed_form() -> None:
    a, b = np.array([1.0, 4.0, 9.0]), np.array([4.0, 1.0, 0.0])
    means = np.array([0.0, 1.0, -2.0]), np.array([3.0, 1.0, 2.0])
    expected = 9 + 16 + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    one = Gaussian(turn @ means[0], turn @ np.diag(a) @ turn.T)
    other = Gaussian(turn @ means[1], turn @ np.diag(b) @ turn.T)
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-12)
    assert frechet_distance(other, one) == pytest.approx(expected, rel=1e-12)


def test_gaussians_of_one_dimension_have_the_difference_of_their_deviations() -> None:
    one, other = Gaussian(np.array([1.0]), np.array([[4.0]])), Gaussian(np.array([4.0]), np.array([[25.0]]))
    assert frechet_distance(one, other) == pytest.approx(3**2 + (5 - 2) ** 2)


def test_any_two_gaussians_agree_with_the_root_of_the_product() -> None:
    rng = np.random.default_rng(0)
    one, other = (gaussian(rng.normal(size=(40, 6)) @ rng.normal(size=(6, 6)) + rng.normal(size=6)) for _ in range(2))
    product = scipy.linalg.sqrtm(one.covariance @ other.covariance).real
    expected = ((one.mean - other.mean) ** 2).sum() + np.trace(one.covariance + other.covariance - 2 * product)
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-9)


def test_the_distance_of_a_gaussian_to_itself_is_zero_even_if_its_covariance_is_singular() -> None:
    few = gaussian(np.random.default_rng(0).normal(size=(5, 20)))
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-6)


def test_a_gaussian_has_the_unbiased_covariance_and_needs_two_images() -> None:
    found = gaussian(np.array([[0.0, 1.0], [2.0, 5.0]]))
    assert found.mean.tolist() == [1.0, 3.0]
    assert found.covariance.tolist() == [[2.0, 4.0], [4.0, 8.0]]
    with pytest.raises(SpecError, match="two images"):
        gaussian(np.zeros((1, 2)))


def test_the_class_score_is_the_number_of_classes_for_sure_and_even_answers_and_one_for_equal_ones() -> None:
    sure = np.eye(5)[np.arange(100) % 5]
    assert class_score(sure) == pytest.approx(5)
    assert class_score(np.full((100, 5), 0.2)) == pytest.approx(1)
    assert class_score(np.eye(5)[np.zeros(100, int)]) == pytest.approx(1)
    # In two halves of one class each there is no variety.
    assert class_score(np.eye(2)[np.arange(100) // 50], splits=2) == pytest.approx(1)
    assert class_score(np.eye(2)[np.arange(100) // 50], splits=1) == pytest.approx(2)


def test_the_class_score_is_the_exponential_of_the_mean_divergence() -> None:
    probabilities = np.array([[0.9, 0.1], [0.5, 0.5]])
    mean = probabilities.mean(0)
    divergence = (probabilities * np.log(probabilities / mean)).sum(1).mean()
    assert class_score(probabilities, splits=1) == pytest.approx(np.exp(divergence))
    with pytest.raises(SpecError, match="2 images cannot be divided into 3"):
        class_score(probabilities, splits=3)


# -- the classifier ---------------------------------------------------------------------------------------------------


def test_real_images_are_nearer_and_more_various_than_noise_and_one_class(digits: Data, tmp_path: Path) -> None:
    measure = image_features(digits, FeatureRecipe(channels=4, epochs=8), folder=tmp_path)
    ordered = digits.train.labels.argsort()[torch.arange(120).view(10, 12).T.flatten()]  # classes by turns
    train = digits.train.images[ordered]
    noise = torch.randint(0, 256, train.shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    zeros = digits.train.images[digits.train.labels == 0].repeat(10, 1, 1, 1)
    real, real_score = measure.measured(train)
    for worse in (noise, zeros):
        distance, score = measure.measured(worse)
        assert distance > 2 * real
        assert score < real_score
    assert measure.measured(digits.val.images)[0] == pytest.approx(0, abs=1e-4)
    assert measure.measured(digits.test.images, "test")[0] == pytest.approx(0, abs=1e-4)
    assert measure.measured(digits.test.images)[0] > 1e-3


def test_a_classifier_is_trained_once_for_all_and_is_the_same_wherever_it_is_trained(
    digits: Data, tmp_path: Path
) -> None:
    told: list[str] = []
    first = image_features(digits, TINY, folder=tmp_path / "here", progress=told.append)
    assert "feature network: epoch 2 of 2, validation accuracy" in told[-1]
    told.clear()
    again = image_features(digits, TINY, folder=tmp_path / "here", progress=told.append)
    elsewhere = image_features(digits, TINY, folder=tmp_path / "there")
    assert told == []
    images = digits.train.images
    assert first.measured(images) == again.measured(images) == elsewhere.measured(images)
    assert len(list((tmp_path / "here").iterdir())) == 1
    image_features(load("digits", size=16, limit=90), TINY, folder=tmp_path / "here")
    assert len(list((tmp_path / "here").iterdir())) == 2


def test_by_default_it_stands_in_the_home_of_ogive(
    digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OGIVE_HOME", str(tmp_path))
    image_features(digits, TINY)
    assert [path.name[:11] for path in (tmp_path / "features").iterdir()] == ["classifier-"]


def test_features_are_no_numbers_where_the_network_gives_none(digits: Data, tmp_path: Path) -> None:
    measure: ImageFeatures = image_features(digits, TINY, folder=tmp_path)
    with torch.no_grad():
        measure.network.classifier.weight.fill_(0)
        next(measure.network.parameters()).fill_(torch.nan)
    assert np.isnan(measure.measured(digits.train.images)).all()


def test_a_recipe_of_nothing_is_refused() -> None:
    with pytest.raises(SpecError, match="epochs of the feature network"):
        FeatureRecipe(epochs=0)
