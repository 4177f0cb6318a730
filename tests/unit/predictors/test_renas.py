from __future__ import annotations

import logging
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ogive import catalog
from ogive.context import Context
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.predictor import Observed
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.metrics import kendall_tau
from ogive.predictors.renas import LeNet, Loss, ReNAS, ReNASRecipe, Scaler, continuity_loss, pairwise_loss
from ogive.predictors.tensors import FeatureTensors
from ogive.spaces.nasbench101 import nasbench101
from ogive.spaces.nasbench201 import OPS, nasbench201

SPACE = nasbench201()
CONV3 = OPS.index("nor_conv_3x3")
LOSSES: tuple[Loss, ...] = ("logistic", "hinge", "exponential")


def labels(count: int) -> Observed:
    rng = np.random.default_rng(0)
    archs = tuple(SPACE.sample(rng) for _ in range(count))
    return Observed(archs, tuple(float(arch.choices.count(CONV3)) + 0.01 * n for n, arch in enumerate(archs)))


def fitted(recipe: ReNASRecipe, count: int = 30) -> ReNAS:
    predictor = ReNAS(space=SPACE, seed=Seed(0), recipe=recipe)
    predictor.fit(labels(count))
    return predictor


def network_of(space: SearchSpace) -> LeNet:
    tensors = FeatureTensors(space=space)
    return LeNet(torch.from_numpy(tensors.channels), tensors.nodes)


# -- the network, as published ----------------------------------------------------------------------------------------


def test_the_network_has_the_published_number_of_parameters() -> None:
    """renas.py: 6,498 + 76 + 43,776 + 256 + 752,760 + 10,164 + 85 on 19 x 7 x 7."""
    sizes = [parameter.numel() for parameter in network_of(nasbench101()).parameters()]
    assert sum(sizes) == 813_615
    assert sizes[0] == 6_498
    assert 43_776 in sizes


@pytest.mark.parametrize("space", [nasbench101(), SPACE], ids=lambda space: space.name)
@pytest.mark.parametrize("training", [True, False])
def test_equal_channels_that_are_convolved_once_give_the_published_network(space: SearchSpace, training: bool) -> None:
    rng = np.random.default_rng(0)
    archs = [space.sample(rng) for _ in range(12)]
    tensors, network = FeatureTensors(space=space), network_of(space).double().train(training)
    plain = nn.Sequential(
        *(network.first, network.first_norm, nn.ReLU(), network.second, network.second_norm, nn.ReLU(), nn.Flatten()),
        *(network.wide, nn.ReLU(), network.narrow, nn.ReLU(), network.last),
    )
    whole = torch.from_numpy(tensors(archs)).double()
    whole = (whole - whole.mean(0)) / whole.std(0).clamp_min(1e-3)
    different = whole[:, [tensors.channels.tolist().index(place) for place in range(network.different)]]
    torch.testing.assert_close(network(different), plain(whole)[:, 0])
    if training:
        # The gradient of each of the published weights is that of the plain network too.
        plain(whole)[:, 0].pow(2).sum().backward()
        assert network.first.weight.grad is not None
        expected = network.first.weight.grad.clone()
        network.zero_grad()
        network(different).pow(2).sum().backward()
        torch.testing.assert_close(network.first.weight.grad, expected)


def test_scaling_leaves_out_what_is_constant() -> None:
    rows = np.random.default_rng(0).normal(3, 2, size=(50, 2, 3, 3)).astype(np.float32)
    rows[:, 1, 2, 2] = 1e8 / 3
    scaled = Scaler(rows)(rows)
    torch.testing.assert_close(scaled.mean(0), torch.zeros(2, 3, 3), atol=1e-5, rtol=0)
    expected = torch.ones(2, 3, 3)
    expected[1, 2, 2] = 0
    torch.testing.assert_close(scaled.std(0, correction=0), expected, atol=1e-5, rtol=0)


# -- losses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("loss", "expected"), [("logistic", math.log(2)), ("exponential", 1.0), ("hinge", 0.25)])
def test_a_pair_that_is_not_told_apart_costs_what_the_paper_says(loss: Loss, expected: float) -> None:
    scores, told = torch.zeros(5), torch.arange(5.0)
    assert pairwise_loss(scores, told, loss, 0.25).item() == pytest.approx(expected)
    assert pairwise_loss(told, torch.zeros(5), loss, 0.25).item() == pytest.approx(expected)  # equal labels


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_of_pairs_go_by_differences_alone(loss: Loss) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(9, generator=generator, dtype=torch.float64).requires_grad_()
    told = torch.randn(9, generator=generator, dtype=torch.float64)
    found = pairwise_loss(scores, told, loss)
    torch.testing.assert_close(pairwise_loss(scores + 3, told, loss), found)
    found.backward()
    assert scores.grad is not None
    assert abs(scores.grad.sum().item()) < 1e-12
    # The mean over the ordered pairs off the diagonal, as the public code takes it.
    difference = (scores[:, None] - scores) * torch.sign(told[:, None] - told)
    penalty = {
        "logistic": F.softplus(-difference),
        "hinge": F.relu(0.1 - difference),
        "exponential": (-difference).exp(),
    }
    off = ~torch.eye(9, dtype=torch.bool)
    torch.testing.assert_close(found, penalty[loss][off].mean())
    assert pairwise_loss(told, told, loss) < pairwise_loss(-told, told, loss)


def test_far_scores_do_not_overflow_the_logistic_loss() -> None:
    assert pairwise_loss(torch.tensor([1e4, 0.0]), torch.tensor([0.0, 1.0])).item() == pytest.approx(1e4)


def test_continuity_asks_for_features_as_far_apart_as_the_labels() -> None:
    told = torch.tensor([0.0, 0.2, 1.0, 0.5])
    triplets = torch.cartesian_prod(*[torch.arange(4)] * 3).T
    near = continuity_loss(10 * told[:, None], told, triplets)
    mixed = continuity_loss(10 * told[[2, 0, 1, 3]][:, None], told, triplets)
    assert near < mixed
    torch.testing.assert_close(continuity_loss(torch.ones(4, 3), told, triplets), torch.tensor(math.log(2)))


# -- the predictor ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [*LOSSES, "mse"])
def test_every_loss_teaches_the_order(loss: Loss) -> None:
    everything = list(SPACE)[::150]
    true = [arch.choices.count(CONV3) for arch in everything]
    found = fitted(ReNASRecipe(epochs=25, loss=loss, continuity=0.05 if loss == "hinge" else 0.0))
    assert kendall_tau(found.predict(everything), true) > 0.4


def test_what_is_predicted_of_one_does_not_depend_on_the_others() -> None:
    predictor, archs = fitted(ReNASRecipe(epochs=3)), list(SPACE)[:100]
    together = predictor.predict(archs)
    assert predictor.predict(archs[70:71])[0] == pytest.approx(together[70], rel=1e-6)
    assert predictor.predict(archs[3:40]) == pytest.approx(together[3:40], rel=1e-6)


def test_more_labels_than_a_batch_are_several_steps() -> None:
    one, two = (fitted(ReNASRecipe(epochs=2, batch_size=size)) for size in (30, 15))
    archs = list(SPACE)[::1000]
    assert not np.allclose(one.predict(archs), two.predict(archs))


def test_types_alone_are_one_channel() -> None:
    predictor = fitted(ReNASRecipe(epochs=1, features="types"))
    archs = [Architecture("nasbench201", (0,) * 6), Architecture("nasbench201", (CONV3,) * 6)]
    assert predictor.predict(archs).shape == (2,)
    assert predictor._fresh().first.weight.shape == (2, 1, 3, 3)


def test_bad_labels_are_refused_or_kept_as_documented(caplog: pytest.LogCaptureFixture) -> None:
    predictor = ReNAS(space=SPACE, seed=Seed(0), recipe=ReNASRecipe(epochs=1))
    with pytest.raises(SpecError, match="two comparable labels at least, but got 1"):
        predictor.fit(labels(1))
    with pytest.raises(SpecError, match="before it was fitted"):
        predictor.predict(labels(1).archs)
    with pytest.raises(SpecError, match="is nan: leave out what failed"):
        Observed(labels(2).archs, (1.0, math.nan))
    predictor.fit(labels(2))
    assert np.isfinite(predictor.predict(labels(5).archs)).all()
    predictor.fit(Observed(labels(5).archs, (90.0,) * 5))
    assert np.isfinite(predictor.predict(labels(5).archs)).all()
    noisy = Observed((*labels(5).archs, labels(5).archs[0]), (*labels(5).scores, 7.0))
    with caplog.at_level(logging.INFO):
        predictor.fit(noisy)
        predictor.fit(noisy)
    assert [record.message for record in caplog.records] == [
        "1 architecture has labels that differ; they are kept, as noise."
    ]


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ({"epochs": 0}, "epochs of ReNAS must be at least 1, but got 0"),
        ({"batch_size": 1}, "batch_size of ReNAS must be at least 2"),
        ({"learning_rate": 0.0}, "learning_rate > 0"),
        ({"continuity": -1.0}, "continuity >= 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(option: dict[str, float], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        ReNASRecipe(**option)  # type: ignore[arg-type]


def test_it_is_a_predictor_of_the_catalog_whose_loss_is_an_option() -> None:
    context = Context({"space": lambda: SPACE}, Seed(0))
    assert isinstance(catalog.build("predictor", "renas(loss=hinge, features=types, epochs=1)", context), ReNAS)
    with pytest.raises(SpecError, match="loss"):
        catalog.build("predictor", "renas(loss=cubic)", context)
