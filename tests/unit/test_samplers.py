from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

import ogive
from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError
from ogive.core.graph import Graph
from ogive.core.space import Choice, Draw, Fixed, Real, SearchSpace
from ogive.strategies.optuna_counterparts import Counterparts


def draw(arch: Architecture) -> Graph:
    return Graph(("input", "output"), frozenset({(0, 1)}))


SPACE = SearchSpace(
    "mixed",
    (Choice("kind", tuple("abc")), Real("rate", 0.0, 1.0), Draw("which", 9), Fixed("budget", 5, 1, 9)),
    draw,
)
DISTRIBUTIONS = {
    "lr": FloatDistribution(1e-5, 1e-1, log=True),
    "width": IntDistribution(8, 64, step=8),
    "drop": FloatDistribution(0.0, 0.5, step=0.1),
    "x": FloatDistribution(-1.0, 1.0),
    "kind": CategoricalDistribution(("a", None, 3)),
    "only": FloatDistribution(2.0, 2.0),
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


def kind_and_rate(trial: optuna.Trial) -> float:
    kind, rate = ogive.optuna_suggested(trial, SPACE).choices[:2]
    return (kind != 1) + (rate - 0.3) ** 2


# -- each way, and back -----------------------------------------------------------------------------------------------


def test_every_architecture_of_a_space_comes_back_from_its_parameters() -> None:
    both, rng = Counterparts.of(SPACE), np.random.default_rng(0)
    for _ in range(20):
        arch = SPACE.sample(rng)
        params = both.params(arch)
        assert both.architecture(params) == arch
        assert all(
            both.distributions[name]._contains(both.distributions[name].to_internal_repr(value))
            for name, value in params.items()
        )
    assert both.params(SPACE.check((2, 0.5, 3, 5))) == {"kind": "c", "rate": 0.5, "which": 3}


def test_every_distribution_with_a_counterpart_is_searched_within_it() -> None:
    both, rng = Counterparts.between(DISTRIBUTIONS), np.random.default_rng(0)
    for _ in range(50):
        params = both.params(arch := both.space.sample(rng))
        back = both.architecture(params)
        assert back.choices == pytest.approx(arch.choices)
        for name, value in params.items():
            one = DISTRIBUTIONS[name]
            assert one._contains(one.to_internal_repr(value)), (name, value)
    assert both.params(both.space.check((np.log(1e-5), 0, 3, 0.0, 1, 0))) == {
        "lr": pytest.approx(1e-5),
        "width": 8,
        "drop": pytest.approx(0.3),
        "x": 0.0,
        "kind": None,
        "only": 2.0,
    }


def test_what_has_no_counterpart_is_one_line() -> None:
    with pytest.raises(SpecError, match=r"of 'seed' has no counterpart: it has 1,000,001 values"):
        Counterparts.between({"seed": IntDistribution(0, 1_000_000)})
    with pytest.raises(SpecError, match="no distribution was given"):
        Counterparts.between({})
    with pytest.raises(InvalidArchitecture, match="'z' is no value of 'kind' in mixed"):
        Counterparts.of(SPACE).architecture({"kind": "z", "rate": 0.5, "which": 0})
    with pytest.raises(InvalidArchitecture, match="a parameter 'which', which is missing"):
        Counterparts.of(SPACE).architecture({"kind": "a", "rate": 0.5})


def test_variables_of_one_name_are_told_apart() -> None:
    space = SearchSpace("twice", (Choice("op", ("x", "y")), Choice("op", ("x", "x"))), draw)
    both = Counterparts.of(space)
    assert both.params(space.check((1, 1))) == {"op 0": "y", "op 1": "x 1"}
    assert both.architecture({"op 0": "y", "op 1": "x 1"}).choices == (1, 1)


# -- studies ----------------------------------------------------------------------------------------------------------


def test_a_study_is_searched_by_a_strategy_of_ogive() -> None:
    study = optuna.create_study(sampler=ogive.optuna_sampler(SPACE, "bayes(start=5, offered=60)"))
    study.optimize(kind_and_rate, n_trials=18)
    assert study.best_params["kind"] == "b"
    assert study.best_value < 0.01  # of 18 random trials six are of kind b, of which the nearest is 0.08 away


@pytest.mark.parametrize(("direction", "sign"), [("maximize", 1), ("minimize", -1)])
def test_directions_and_several_objectives_are_understood(direction: str, sign: int) -> None:
    def two(trial: optuna.Trial) -> tuple[float, float]:
        x = trial.suggest_float("x", -1.0, 1.0)
        return x, x

    sampler = ogive.optuna_sampler({"x": FloatDistribution(-1.0, 1.0)}, "nsga2(population=4)")
    study = optuna.create_study(sampler=sampler, directions=[direction] * 2)
    study.optimize(two, n_trials=40)
    xs = [trial.params["x"] for trial in study.trials]
    assert sign * np.mean(xs[-10:]) > 0.5  # of random ones 0, give or take 0.18


def test_equal_seeds_ask_for_the_same_and_others_for_others() -> None:
    def asked(seed: int) -> list[dict[str, Any]]:
        study = optuna.create_study(
            sampler=ogive.optuna_sampler(SPACE, "evolution(population=4, tournament=2)", seed=seed)
        )
        study.optimize(kind_and_rate, n_trials=10)
        return [trial.params for trial in study.trials]

    assert asked(0) == asked(0) != asked(1)


def test_pruned_and_failed_trials_are_told_as_failed_and_enqueued_ones_as_what_they_are() -> None:
    def some(trial: optuna.Trial) -> float:
        value = kind_and_rate(trial)
        if trial.number == 1:
            raise optuna.TrialPruned
        if trial.number == 2:
            raise ZeroDivisionError
        return value

    sampler: Any = ogive.optuna_sampler(SPACE, "bayes(start=3)")
    study = optuna.create_study(sampler=sampler)
    study.enqueue_trial({"kind": "b", "rate": 0.25, "which": 1})
    study.optimize(some, n_trials=4, catch=ZeroDivisionError)
    labels = {arch.choices: score for arch, score in sampler.search.strategy._labels}
    assert labels[1, 0.25, 1, 5] == pytest.approx(-0.0025)
    assert len(labels) == 2


def test_a_resumed_study_goes_on_from_what_was_found(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"
    names: list[set[Any]] = []
    for _ in range(2):
        sampler: Any = ogive.optuna_sampler(SPACE, "bayes(start=5, offered=60)")
        study = optuna.create_study(study_name="s", storage=storage, sampler=sampler, load_if_exists=True)
        study.optimize(kind_and_rate, n_trials=8)
        names.append({tuple(trial.params.values()) for trial in study.trials})
    assert len(sampler.search.strategy._labels) == 16
    assert len(names[1]) == 16  # nothing came twice
    assert study.best_value < 0.01


def test_a_finite_space_is_searched_beyond_its_end_by_chance() -> None:
    study = optuna.create_study(sampler=ogive.optuna_sampler({"k": CategoricalDistribution((1, 2))}, "random"))
    study.optimize(lambda trial: trial.suggest_categorical("k", (1, 2)), n_trials=5)
    assert len(study.trials) == 5
    assert {trial.params["k"] for trial in study.trials[:2]} == {1, 2}


def test_what_a_sampler_cannot_do_is_one_line() -> None:
    sampler = ogive.optuna_sampler(SPACE, "evolution")
    study = optuna.create_study(sampler=sampler)
    with pytest.raises(SpecError, match=r"The trial asks for 'depth', which the space of the sampler lacks"):
        study.optimize(lambda trial: trial.suggest_int("depth", 1, 3), n_trials=1)
    with pytest.raises(SpecError, match=r"has 'rate' as .*high=1.0.*, but the trial asks for .*high=0.001"):
        optuna.create_study(sampler=ogive.optuna_sampler(SPACE, "random")).optimize(
            lambda trial: trial.suggest_float("rate", 0.0, 1e-3), n_trials=3
        )
    with pytest.raises(SpecError, match="needs"):
        ogive.optuna_sampler(SPACE, "naswot")
    with pytest.raises(SpecError, match="give its name, or what makes it"):
        ogive.optuna_sampler(SPACE, ogive.strategy("random", SPACE))  # type: ignore[arg-type]
    study = optuna.create_study(sampler=ogive.optuna_sampler(SPACE, "bayes"), directions=["minimize"] * 2)
    with pytest.raises(SpecError, match=r"is made for 1 objective\(s\), but the study has 2"):
        study.optimize(lambda trial: (kind_and_rate(trial), 1.0), n_trials=1)
