from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from ogive import catalog
from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError
from ogive.core.predictor import Latent, Observed
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.metrics import kendall_tau
from ogive.predictors.autoencoder import Points
from ogive.predictors.nao import PRESETS, Nao, NaoSettings
from ogive.spaces.nasbench201 import nasbench201

SPACE = nasbench201()
SMALL = NaoSettings(width=32, layers=1, units=32, learning_rate=0.01, epochs=150)


def space_of(text: str) -> SearchSpace:
    space: SearchSpace = catalog.build("space", text)
    return space


def score(arch: Architecture) -> float:
    """Later options are better, but for the pooling of NAS-Bench-201."""
    return float(sum(int(choice) % 4 for choice in arch.choices))


def labels(count: int, space: SearchSpace = SPACE, seed: int = 0) -> Observed:
    rng = np.random.default_rng(seed)
    archs = tuple(dict.fromkeys(space.sample(rng) for _ in range(count)))
    return Observed(archs, tuple(map(score, archs)))


def tokens_of(space: SearchSpace, archs: tuple[Architecture, ...]) -> torch.Tensor:
    assert space.tokens is not None
    return torch.tensor([space.tokens.written(arch) for arch in archs])


@pytest.fixture(scope="module")
def fitted() -> Nao:
    predictor = Nao(space=SPACE, seed=Seed(0), settings=SMALL)
    predictor.fit(labels(60))
    return predictor


def settings_of(preset: str, **changes: Any) -> NaoSettings:
    return NaoSettings(**PRESETS[preset] | changes)


# -- the network ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "space", "parameters"),
    # NAO with weight sharing, and the predictor of Semi-Supervised NAS: counted in the published code.
    [("nao", "nds_enas(widths=[16], depths=[8])", 279_533), ("semi_nas", "nasbench101", 123_928)],
)
def test_the_networks_have_as_many_parameters_as_published(preset: str, space: str, parameters: int) -> None:
    network = settings_of(preset).network(space_of(space))
    assert sum(weight.numel() for weight in network.parameters()) == parameters


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("space", ["nasbench201", "nasbench101", "darts", "darts_rnn", "nds_enas"])
def test_every_variant_reads_and_writes_every_space_with_sequences(preset: str, space: str) -> None:
    within = space_of(space)
    network = settings_of(preset, width=8, units=4).network(within).eval()
    archs = labels(4, within).archs
    written = network.decoded(network.ascended(tokens_of(within, archs), 1.0))
    for row in written.tolist():
        within.admit(network.form.read(row))


def test_the_loss_is_that_of_single_sequences() -> None:
    network = replace(SMALL, head_dropout=0.0).network(SPACE)
    tokens, targets = tokens_of(SPACE, labels(6).archs), torch.rand(6)
    together = network.losses(tokens, targets)
    alone = [network.losses(row[None], target[None]) for row, target in zip(tokens, targets, strict=True)]
    for number in range(2):
        expected = torch.stack([losses[number] for losses in alone]).mean()
        torch.testing.assert_close(together[number], expected)


def test_points_have_length_one_and_a_step_of_zero_stays() -> None:
    network = SMALL.network(SPACE).eval()
    tokens = tokens_of(SPACE, labels(6).archs)
    points, still = network.encoder(tokens), network.ascended(tokens, 0.0)
    torch.testing.assert_close(points.outputs.norm(dim=-1), torch.ones(points.outputs.shape[:2]))
    torch.testing.assert_close(points.mean.norm(dim=-1), torch.ones(len(points.mean)))
    torch.testing.assert_close(still.outputs, points.outputs)
    torch.testing.assert_close(still.mean, points.mean)


def test_a_step_goes_up_the_gradient_of_every_output() -> None:
    network = SMALL.network(SPACE).double().eval()
    tokens, small, step = tokens_of(SPACE, labels(1).archs), 1e-5, 3.0
    outputs = network.encoder(tokens).outputs.detach()
    around = outputs + small * torch.eye(outputs.numel(), dtype=torch.float64).view(-1, *outputs.shape[1:])
    with torch.no_grad():
        performance = network.head(torch.nn.functional.normalize(torch.cat([outputs, around]).mean(1), dim=-1))
    gradient = ((performance[1:] - performance[0]) / small).view_as(outputs)
    expected = Points.of(outputs + step * gradient)
    found = network.ascended(tokens, step)
    torch.testing.assert_close(found.outputs, expected.outputs, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.mean, expected.mean, rtol=0, atol=1e-6)


# -- what is learnt ---------------------------------------------------------------------------------------------------


def test_labels_are_learnt_and_unseen_cells_ranked(fitted: Nao) -> None:
    known, others = labels(60), labels(200, seed=1)
    np.testing.assert_allclose(fitted.predict(known.archs), known.scores, atol=2.5)
    assert kendall_tau(fitted.predict(others.archs), np.array(others.scores)) > 0.5


def test_what_was_learnt_is_read_back_and_the_prediction_rises_with_every_step(fitted: Nao) -> None:
    known = labels(60)
    assert fitted.ascended(known.archs, 0.0) == list(known.archs)
    network = fitted._network
    tokens = tokens_of(SPACE, known.archs)
    before = network.head(network.encoder(tokens).mean)
    for step in (1.0, 5.0, 20.0):
        assert (network.head(network.ascended(tokens, step).mean) > before).all()


def test_longer_steps_lead_to_better_architectures_further_away(fitted: Nao) -> None:
    known = labels(60)
    changed, better = [], []
    for step in (1.0, 10.0, 50.0):
        found = fitted.ascended(known.archs, step)
        changed.append(np.mean([a != b for a, b in zip(found, known.archs, strict=True)]))
        better.append(np.mean([score(arch) for arch in found]))
    assert changed == sorted(changed)
    assert changed[-1] > 0.3
    assert better[-1] > np.mean(known.scores) + 1


def test_symmetry_is_learnt_from_mirrored_sequences() -> None:
    space = space_of("darts")
    known = labels(30, space)
    scores = tuple(float(sum(arch.choices[1::3])) for arch in known.archs)
    tokens = tokens_of(space, known.archs)
    assert space.tokens is not None
    mirrored = torch.from_numpy(space.tokens.mirrored(tokens.numpy(), np.random.default_rng(1)))
    apart = []
    for symmetric in (False, True):
        predictor = Nao(space=space, seed=Seed(0), settings=replace(SMALL, epochs=60, symmetric=symmetric))
        predictor.fit(Observed(known.archs, scores))
        network = predictor._network
        with torch.no_grad():
            gap = network.head(network.encoder(tokens).mean) - network.head(network.encoder(mirrored).mean)
        apart.append(float(gap.abs().mean()))
    assert apart[1] < 0.6 * apart[0]


def test_own_labels_are_learnt_and_climbed_from() -> None:
    settings = replace(SMALL, epochs=60, unlabelled=50, unlabelled_epochs=5, copies=2)
    predictor = Nao(space=SPACE, seed=Seed(0), settings=settings)
    assert isinstance(predictor, Latent)
    told = labels(20)
    predictor.fit(told)
    starts = predictor.starts(told, 60)
    assert len(set(starts)) == 60
    assert len(set(starts[:10]) - set(told.archs)) > 2
    without = Nao(space=SPACE, seed=Seed(0), settings=replace(settings, unlabelled=0))
    without.fit(told)
    assert set(without.starts(told, 60)) == set(told.archs)
    assert not np.array_equal(without.predict(told.archs), predictor.predict(told.archs))


def test_the_residual_head_learns_scores_of_any_size() -> None:
    settings = settings_of("semi_nas", width=32, epochs=100, unlabelled=0, learning_rate=0.01, encoder_dropout=0.0)
    known = labels(40)
    predictor = Nao(space=SPACE, seed=Seed(0), settings=settings)
    predictor.fit(Observed(known.archs, tuple(1000.0 + 50 * value for value in known.scores)))
    predicted = predictor.predict(known.archs)
    assert abs(predicted.mean() - 1000 - 50 * np.mean(known.scores)) < 50
    assert kendall_tau(predicted, np.array(known.scores)) > 0.7


def test_training_draws_from_its_own_stream() -> None:
    before = torch.get_rng_state()
    predictor = Nao(space=SPACE, seed=Seed(0), settings=replace(SMALL, epochs=1))
    predictor.fit(labels(5))
    assert torch.equal(torch.get_rng_state(), before)


# -- bad input --------------------------------------------------------------------------------------------------------


def test_two_labels_are_enough_and_fewer_are_refused() -> None:
    predictor = Nao(space=SPACE, seed=Seed(0), settings=replace(SMALL, epochs=40))
    two = labels(2)
    predictor.fit(two)
    assert np.sign(np.diff(predictor.predict(two.archs))) == np.sign(np.diff(two.scores))
    with pytest.raises(SpecError, match="two comparable labels at least, but got 1"):
        predictor.fit(labels(1))


def test_equal_labels_predict_about_the_same_everywhere() -> None:
    predictor = Nao(space=SPACE, seed=Seed(0), settings=replace(SMALL, epochs=40))
    predictor.fit(Observed(labels(20).archs, (7.0,) * len(labels(20))))
    assert np.ptp(predictor.predict(labels(50, seed=1).archs)) < 0.2


def test_labels_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(SpecError, match="A label is a finite number"):
        Observed(labels(2).archs, (1.0, float("nan")))


def test_several_labels_of_one_architecture_are_learnt_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    arch, other = labels(2).archs
    noisy = Observed((arch, arch, other), (60.0, 80.0, 0.0))
    predictor = Nao(space=SPACE, seed=Seed(0), settings=replace(SMALL, epochs=80, head_dropout=0.0))
    with caplog.at_level(logging.INFO):
        predictor.fit(noisy)
        predictor.fit(noisy)
    assert [record.getMessage() for record in caplog.records] == [
        "1 architecture has labels that differ; they are kept, as noise."
    ]
    assert 65 < predictor.predict([arch])[0] < 75


def test_what_does_not_belong_is_refused_in_one_line() -> None:
    with pytest.raises(SpecError, match="mlp has no form as sequences of tokens"):
        Nao(space=space_of("mlp"), seed=Seed(0))
    with pytest.raises(SpecError, match="predicts nothing before"):
        Nao(space=SPACE, seed=Seed(0)).predict(labels(2).archs)
    foreign = labels(3, space_of("darts_rnn"))
    with pytest.raises(InvalidArchitecture, match="is no architecture of nasbench201"):
        Nao(space=SPACE, seed=Seed(0)).fit(foreign)
    with pytest.raises(SpecError, match="so that the width is a multiple of it, but got 7"):
        NaoSettings(width=7).network(SPACE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"layers": -1}, "layers must be 0 or a positive number"),
        ({"head_dropout": 1.0}, r"head_dropout must be in \[0, 1\)"),
        ({"trade_off": 1.5}, r"trade_off lies in \[0, 1\]"),
        ({"learning_rate": 0.0}, "learning_rate must be a positive number"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        NaoSettings(**changes)


def test_settings_are_options_of_the_part() -> None:
    found = catalog.options("predictor", "nao")
    assert found["trade_off"] == 0.8
    assert found["epochs"] == 1000
    assert found["preset"] == "nao"
    predictor = catalog.build("predictor", "nao(preset=semi_nas, epochs=3)", space=SPACE, seed=Seed(0))
    assert predictor.settings == settings_of("semi_nas", epochs=3)
