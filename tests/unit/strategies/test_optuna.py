from __future__ import annotations

import logging
import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import optuna
import pytest

from ogive import catalog
from ogive.context import Context
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, UnknownName
from ogive.core.graph import Graph
from ogive.core.rng import Seed
from ogive.core.space import Choice, Choices, Draw, Real, SearchSpace
from ogive.core.trial import Measurement, Proposal, Trial
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.optuna import OF_NUMBERS, REDRAWS, SAMPLERS, Optuna
from ogive.testing import check_strategy


def draw(arch: Architecture) -> Graph:
    return Graph(("input", "output"), frozenset({(0, 1)}))


OPTIONS = tuple("abcdefghij")
MIXED = SearchSpace(
    "mixed",
    (Choice("kind", OPTIONS), Choice("width", ("8", "16", "32", "64")), Choice("one", ("x",)), Real("rate", 0.0, 1.0)),
    draw,
)


def told(strategy: Optuna, arch: Architecture, *scores: float) -> None:
    status = "ok" if scores else "failed"
    error = None if scores else "made up"
    strategy.tell([Trial(0, Proposal(arch), Measurement(error=error), status, scores or None)])  # type: ignore[arg-type]


def played(strategy: Optuna, rounds: int, quality: Callable[[Architecture], tuple[float, ...]]) -> list[Architecture]:
    archs = []
    for _ in range(rounds):
        (proposal,) = strategy.ask()
        archs.append(proposal.arch)
        told(strategy, proposal.arch, *quality(proposal.arch))
    return archs


def near(arch: Architecture) -> tuple[float]:
    """Best of category g, of width 64, and of a rate of 0.3."""
    return (3.0 * (arch.choices[0] == 6) + arch.choices[1] - 5 * abs(arch.choices[3] - 0.3),)


@pytest.mark.parametrize("objectives", [1, 2])
@pytest.mark.parametrize("space", [MIXED, nasbench201()], ids=lambda it: it.name)
def test_any_space_and_any_number_of_objectives_keep_the_contract(space: SearchSpace, objectives: int) -> None:
    check_strategy(lambda within, seed: Optuna(space=within, seed=seed), space, objectives=objectives, rounds=12)


@pytest.mark.parametrize("multivariate", [None, True, False])
def test_it_learns_which_options_are_good(multivariate: bool | None) -> None:
    archs = played(Optuna(space=MIXED, seed=Seed(0), multivariate=multivariate), 80, near)
    rng = np.random.default_rng(0)
    random = [near(MIXED.sample(rng)) for _ in range(1000)]
    assert np.mean([near(arch) for arch in archs[-20:]]) > np.mean(random) + 2  # five deviations of a mean of twenty
    assert max(map(near, archs))[0] > 5.5


def test_draws_are_drawn_and_not_modelled() -> None:
    space = SearchSpace("drawn", (Real("rate", 0.0, 1.0), Draw("draw", 1000)), draw)
    search = Optuna(space=space, seed=Seed(0))
    archs = played(search, 60, lambda arch: (-abs(arch.choices[0] - 0.3),))
    assert np.mean([abs(arch.choices[0] - 0.3) for arch in archs[-20:]]) < 0.2  # of random rates 0.29
    assert len({arch.choices[1] for arch in archs}) > 50
    assert search._study is not None
    assert all(len(trial.params) == 1 for trial in search._study.trials)
    check_strategy(lambda within, seed: Optuna(space=within, seed=seed), space, rounds=12)


def test_several_objectives_are_all_sought() -> None:
    def two(arch: Architecture) -> tuple[float, float]:
        return float(arch.choices[0]), float(arch.choices[1] - abs(arch.choices[3] - 0.3))

    found = played(Optuna(space=MIXED, seed=Seed(0)), 80, two)[-60:]
    assert np.mean([arch.choices[0] for arch in found]) > 5.6  # of random ones 4.5 and 1.5, give or take 0.37 and 0.14
    assert np.mean([arch.choices[1] for arch in found]) > 2


def test_failed_candidates_are_told_as_failed_and_do_not_count_as_random_ones() -> None:
    search = Optuna(space=MIXED, seed=Seed(0), start=5)
    for _ in range(3):
        told(search, search.ask()[0].arch)
    played(search, 4, near)
    told(search, search.ask()[0].arch)
    assert search._study is not None
    states = [trial.state.name for trial in search._study.trials]
    assert states == ["FAIL"] * 3 + ["COMPLETE"] * 4 + ["FAIL"]


def test_the_last_of_all_is_a_score_too() -> None:
    archs = played(
        Optuna(space=MIXED, seed=Seed(0)), 60, lambda arch: (-math.inf,) if arch.choices[0] < 5 else near(arch)
    )
    assert np.mean([arch.choices[0] >= 5 for arch in archs[-20:]]) > 0.7


@pytest.mark.parametrize("objectives", [1, 2])
def test_infinite_scores_of_several_objectives_cost_nothing_either(objectives: int) -> None:
    def some(arch: Architecture) -> tuple[float, ...]:
        return tuple(-math.inf if (arch.choices[0] + place) % 3 == 0 else near(arch)[0] for place in range(objectives))

    assert len(played(Optuna(space=MIXED, seed=Seed(0)), 40, some)) == 40


def one_of_many(choices: Choices) -> bool:
    return choices[0] == choices[1]


def test_illegal_points_are_drawn_again_and_never_proposed() -> None:
    space = SearchSpace("tied", (Choice("p", OPTIONS), Choice("q", OPTIONS)), draw, is_legal=one_of_many, count=10)
    search = Optuna(space=space, seed=Seed(0))
    archs = played(search, 30, lambda arch: (float(arch.choices[0]),))
    assert all(arch.choices[0] == arch.choices[1] for arch in archs)
    assert search._study is not None
    assert sum(trial.state.name == "FAIL" for trial in search._study.trials) > 30  # nine of ten random points


def only_one(choices: Choices) -> bool:
    return choices in ((1, 2, 3, 4), (4, 3, 2, 1))


def test_where_hardly_anything_is_legal_the_space_draws_itself() -> None:
    space = SearchSpace("rare", tuple(Choice(p, OPTIONS) for p in "abcd"), draw, is_legal=only_one, count=2)
    search = Optuna(space=space, seed=Seed(0))
    archs = played(search, 4, lambda arch: (float(arch.choices[0]),))
    assert {arch.choices for arch in archs} <= {(1, 2, 3, 4), (4, 3, 2, 1)}
    assert search._study is not None
    assert len(search._study.trials) <= 4 + 3 * REDRAWS


NUMBERS = SearchSpace("numbers", (Choice("width", ("8", "16", "32", "64")), *(Real(x, 0.0, 1.0) for x in "xyz")), draw)


def bowl(arch: Architecture) -> tuple[float]:
    """Best at width 32 and 0.3 everywhere."""
    return (-((arch.choices[0] - 2) ** 2) / 4 - sum((x - 0.3) ** 2 for x in arch.choices[1:]),)


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name not in ("tpe", "gp")])
def test_every_sampler_keeps_the_contract(sampler: str) -> None:
    space = NUMBERS if sampler != "bruteforce" else nasbench201()
    check_strategy(lambda within, seed: Optuna(sampler, space=within, seed=seed, start=4), space, rounds=3)


@pytest.mark.parametrize("sampler", ["gp", "cmaes"])
def test_samplers_that_model_find_the_bottom(sampler: str) -> None:
    made = Optuna(sampler, space=NUMBERS, seed=Seed(0))  # type: ignore[arg-type]
    found = played(made, 24 if sampler == "gp" else 100, bowl)
    rng = np.random.default_rng(0)
    random = [bowl(NUMBERS.sample(rng))[0] for _ in range(1000)]
    # Most of the last are among the best hundredth of random ones; now and then a model looks elsewhere.
    assert np.median([bowl(arch)[0] for arch in found[-8:]]) > np.quantile(random, 0.99)


@pytest.mark.parametrize("sampler", OF_NUMBERS)
def test_a_distribution_without_counterpart_is_one_line(sampler: str) -> None:
    with pytest.raises(SpecError, match=rf"optuna\({sampler}\) models numbers only, and 'kind' of mixed is one of 10"):
        Optuna(sampler, space=MIXED, seed=Seed(0))  # type: ignore[arg-type]


def test_optuna_says_nothing_and_is_as_loud_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.INFO)
    try:
        played(Optuna(space=MIXED, seed=Seed(0)), 3, near)
        assert optuna.logging.get_verbosity() == logging.INFO
    finally:
        optuna.logging.set_verbosity(before)
    assert capsys.readouterr().err == ""


def test_what_is_written_of_it() -> None:
    context = Context({"space": nasbench201}, Seed(0))
    assert catalog.build("strategy", "optuna(tpe, start=3, multivariate=false)", context).population == 3
    assert catalog.options("strategy", "optuna") == {"sampler": "tpe", "start": 10, "multivariate": None}
    with pytest.raises(SpecError, match="'tpe'"):
        catalog.build("strategy", "optuna(grid)", context)
    with pytest.raises(UnknownName, match="no sampler of Optuna named 'grid'"):
        Optuna("grid", space=MIXED, seed=Seed(0))  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="leave multivariate out of optuna\\(gp\\)"):
        Optuna("gp", space=MIXED, seed=Seed(0), multivariate=True)
    with pytest.raises(SpecError, match="at least one random trial, but got start=0"):
        Optuna(space=MIXED, seed=Seed(0), start=0)


WITHOUT = """
import sys

sys.modules["optuna"] = None
from ogive.cli import main

sys.argv = "ogive search --space nasbench201 --strategy optuna(tpe) --budget 1 --data digits".split()
main()
"""


def test_without_the_package_one_line_says_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "optuna(...) needs the package optuna: pip install 'ogive[optuna]'" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
