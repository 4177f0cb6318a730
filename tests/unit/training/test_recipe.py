from __future__ import annotations

from dataclasses import replace

import pytest
from torch import nn, optim

from ogive.core.errors import SpecError, UnknownName
from ogive.training.recipe import Recipe, decay_of_average, learning_rate, optimizer_for


def test_the_warm_up_rises_from_above_zero_to_the_peak_and_the_cosine_takes_over_there() -> None:
    recipe = Recipe(epochs=10, warmup_epochs=3, learning_rate=0.4)
    rates = [learning_rate(recipe, epoch) for epoch in (0, 1, 2, 3, 6.5, 10)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.2, 0.0])
    assert learning_rate(recipe, 2.999999) == pytest.approx(0.4, abs=1e-5)


def test_the_average_forgets_the_first_weights_quickly() -> None:
    recipe = Recipe(average=0.99)
    assert decay_of_average(recipe, 0) == pytest.approx(0.1)
    assert decay_of_average(recipe, 10_000) == 0.99


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, but got 0"),
        ({"batch_size": -3}, "batch_size must be at least 1, but got -3"),
        ({"learning_rate": float("nan")}, "learning_rate must be a positive number, but got nan"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\), but got 1.0"),
        ({"drop_path": -0.1}, r"drop_path must be in \[0, 1\), but got -0.1"),
        ({"weight_decay": -1.0}, "weight_decay must be 0 or a positive number"),
        ({"mixup": 1.5}, r"mixup must be in \[0, 1\], but got 1.5"),
        ({"epochs": 5, "warmup_epochs": 5.0}, r"warmup_epochs must be in \[0, 5\), but got 5.0"),
        ({"momentum": 0.0}, "Nesterov's step needs momentum"),
    ],
)
def test_nonsense_is_refused_with_its_value(options: dict[str, float], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Recipe(**options)  # type: ignore[arg-type]


def test_an_unknown_optimizer_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'adamw'"):
        Recipe(optimizer="adam")  # type: ignore[arg-type]


def test_weight_decay_can_spare_biases_and_norms() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    spared = optimizer_for(network, Recipe(decay_all=False, weight_decay=0.5)).param_groups
    assert [(group["weight_decay"], [p.ndim for p in group["params"]]) for group in spared] == [
        (0.5, [4]),
        (0.0, [1, 1, 1]),
    ]
    (everything,) = optimizer_for(network, Recipe(weight_decay=0.5)).param_groups
    assert (everything["weight_decay"], len(everything["params"])) == (0.5, 4)


def test_the_options_reach_the_optimizer() -> None:
    network = nn.Linear(2, 2)
    sgd = optimizer_for(network, Recipe(momentum=0.7, nesterov=False))
    assert isinstance(sgd, optim.SGD)
    assert (sgd.param_groups[0]["momentum"], sgd.param_groups[0]["nesterov"]) == (0.7, False)
    assert isinstance(optimizer_for(network, Recipe(optimizer="adamw")), optim.AdamW)


def test_a_network_without_parameters_is_refused() -> None:
    with pytest.raises(SpecError, match="no parameters that can be trained"):
        optimizer_for(nn.ReLU(), Recipe())


def test_an_exponential_rate_is_the_published_one_of_imagenet() -> None:
    recipe = Recipe(epochs=250, learning_rate=0.1, schedule="exponential", rate_decay=0.97, anneal="epoch")
    assert learning_rate(recipe, 0) == 0.1
    assert learning_rate(recipe, 100) == pytest.approx(4.75525e-3, rel=1e-5)
    assert learning_rate(recipe, 249) == pytest.approx(5.08349e-5, rel=1e-5)
    warm = replace(recipe, warmup_epochs=4, final_learning_rate=0.01)
    assert learning_rate(warm, 0) == pytest.approx(0.02)
    assert learning_rate(warm, 4) == pytest.approx(0.1)
    assert learning_rate(warm, 249) == 0.01


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"rate_decay": 0.0}, "rate_decay must be in"),
        ({"hue": 0.6}, "hue is a share"),
        ({"jitter": -1.0}, "jitter must"),
    ],
    ids=str,
)
def test_photographs_have_ranges_too(options: dict[str, float], reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        Recipe(**options)  # type: ignore[arg-type]
