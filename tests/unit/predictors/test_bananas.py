from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from torch import nn

from ogive.core.errors import SpecError
from ogive.core.predictor import Observed, Uncertain
from ogive.core.rng import Seed
from ogive.features import OneHot
from ogive.metrics import kendall_tau
from ogive.predictors.bananas import HEADROOM, Bananas, BananasRecipe, Perceptrons, _weights
from ogive.spaces.nasbench101 import nasbench101
from ogive.spaces.nasbench201 import OPS, nasbench201
from ogive.spaces.natssize import natssize

SPACE = nasbench201()
CONV3 = OPS.index("nor_conv_3x3")
SHORT = BananasRecipe(layers=3, epochs=40)


def labels(count: int) -> Observed:
    rng = np.random.default_rng(0)
    archs = tuple(SPACE.sample(rng) for _ in range(count))
    return Observed(archs, tuple(float(arch.choices.count(CONV3)) for arch in archs))


def test_networks_side_by_side_are_the_networks_one_by_one() -> None:
    together = Perceptrons(networks=3, numbers=7, layers=2, width=5)
    for bias in together.biases:
        nn.init.normal_(bias)
    rows = torch.randn(3, 11, 7)
    found = together(rows)
    for place in range(3):
        h = rows[place]
        for layer, (weight, bias) in enumerate(zip(together.weights, together.biases, strict=True)):
            h = nn.functional.linear(torch.relu(h) if layer else h, weight[place].T, bias[place, 0])
        torch.testing.assert_close(found[place], h[:, 0])
    found[1].sum().backward()
    for weight in together.weights:
        assert weight.grad is not None
        assert weight.grad[1].abs().sum() > 0
        assert not weight.grad[[0, 2]].any()


def test_it_has_the_published_size_on_the_paths_of_a_cell() -> None:
    predictor = Bananas(space=nasbench101(), seed=Seed(0))
    width, recipe = predictor.encoder.width, predictor.recipe
    network = Perceptrons(recipe.networks, width, recipe.layers, recipe.width)
    alone = (width + 1) * 20 + 9 * 21 * 20 + 21
    assert sum(parameter.numel() for parameter in network.parameters()) == 5 * alone


def test_a_percentage_error_weighs_a_label_by_its_distance_from_a_bound_above_the_best() -> None:
    targets = torch.tensor([-2.0, 0.0, 1.0])
    weights = _weights(targets, "mape")
    torch.testing.assert_close(weights[2] / weights[0], torch.tensor((3 + HEADROOM) / HEADROOM))
    torch.testing.assert_close(weights.mean(), torch.tensor(1.0))
    assert _weights(targets, "mae").tolist() == [1, 1, 1]


@pytest.mark.parametrize("loss", ["mae", "mape"])
def test_unseen_cells_are_ranked_by_what_the_labels_say(loss: str) -> None:
    predictor = Bananas(space=SPACE, seed=Seed(0), recipe=BananasRecipe(layers=3, epochs=80, loss=loss))  # type: ignore[arg-type]
    predictor.fit(labels(100))
    # Paths do not tell what stands on dead ends: in these cells there is none.
    live = [arch for arch in list(SPACE)[::7] if OPS.index("none") not in arch.choices]
    assert kendall_tau(predictor.predict(live), [arch.choices.count(CONV3) for arch in live]) > 0.5


def test_the_deviation_is_the_spread_of_the_networks_in_the_unit_of_the_labels() -> None:
    known = labels(40)
    predictor = Bananas(space=SPACE, seed=Seed(0), recipe=SHORT)
    assert isinstance(predictor, Uncertain)
    predictor.fit(known)
    others = list(SPACE)[::500]
    network = predictor._network
    assert network is not None
    votes = network(torch.from_numpy(predictor.encoder(others)).double().expand(5, -1, -1)).detach().numpy()
    mean, deviation = predictor.predicted(others)
    np.testing.assert_allclose(mean, np.mean(known.scores) + np.std(known.scores) * votes.mean(axis=0))
    np.testing.assert_allclose(deviation, np.std(known.scores) * votes.std(axis=0))
    assert deviation.max() > 0


def test_any_encoder_may_be_given_where_paths_are_none() -> None:
    space = natssize()
    with pytest.raises(SpecError, match="use one_hot"):
        Bananas(space=space, seed=Seed(0))
    predictor = Bananas(space=space, seed=Seed(0), encoder=OneHot(space=space), recipe=SHORT)
    rng = np.random.default_rng(0)
    archs = tuple(space.sample(rng) for _ in range(30))
    predictor.fit(Observed(archs, tuple(float(sum(arch.choices)) for arch in archs)))
    assert kendall_tau(predictor.predict(archs), [sum(arch.choices) for arch in archs]) > 0.5


def test_labels_that_differ_are_kept_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    known = labels(10)
    twice = Observed((*known.archs, known.archs[0]), (*known.scores, 9.0))
    predictor = Bananas(space=SPACE, seed=Seed(0), recipe=SHORT)
    with caplog.at_level(logging.INFO):
        predictor.fit(twice)
        predictor.fit(twice)
    assert len([1 for record in caplog.records if "labels that differ" in record.message]) == 1


def test_impossible_options_are_refused() -> None:
    with pytest.raises(SpecError, match="networks of BANANAS must be at least 1"):
        BananasRecipe(networks=0)
    with pytest.raises(SpecError, match="learning_rate > 0"):
        BananasRecipe(learning_rate=0)
