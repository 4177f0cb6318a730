from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, UnknownName
from ogive.core.rng import Seed
from ogive.core.space import Real, SearchSpace
from ogive.core.trial import Budget, Measurement, Proposal, Trial
from ogive.session import Settings, searched
from ogive.spaces.blockqnn import Layer, architecture, blockqnn, layers_of
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.qlearning import SCHEDULE, QLearning, irlas
from ogive.testing import check_strategy
from ogive.topology import EXPERTS, mirror

pytestmark = pytest.mark.usefixtures("one_thread", "ogive_home")

SPACE = blockqnn(layers=5)


def small(space: SearchSpace, seed: Seed) -> QLearning:
    return QLearning(space, seed, iterations=8, batch=6, replayed=4)


def told(strategy: QLearning, count: int, batch: int = 1) -> list[Architecture]:
    """A search by a made-up accuracy that has its best blocks at 3×3 convolutions."""
    found: list[Architecture] = []
    while len(found) < count:
        asked = [proposal.arch for proposal in strategy.ask(batch)]
        trials = []
        for arch in asked:
            layers = layers_of(arch)
            value = 40.0 + 50 * sum(layer[:2] == ("conv", 3) for layer in layers) / len(layers)
            trials.append(Trial(len(found), Proposal(arch), Measurement({"val_acc": value}), "ok", (value,)))
            found.append(arch)
        strategy.tell(trials)
    return found


@pytest.mark.parametrize("space", [SPACE, nasbench201()])
def test_it_keeps_the_promises_of_a_strategy(space: SearchSpace) -> None:
    check_strategy(small, space, rounds=12)


def test_the_schedule_is_the_published_one() -> None:
    assert sum(length for _, length in SCHEDULE) == 178
    strategy = QLearning(SPACE, Seed(0))
    seen = []
    for _ in range(180):
        seen.append(strategy.exploration)
        strategy.ask(strategy.batch)
    assert seen == [probability for probability, length in SCHEDULE for _ in range(length)] + [0.1, 0.1]
    short = QLearning(SPACE, Seed(0), iterations=4)
    seen = []
    for _ in range(5):
        seen.append(short.exploration)
        short.ask(short.batch)
    # The middles of the quarters of 178: the 23rd, 67th, 112th and 156th iteration.
    assert seen == [1.0, 1.0, 0.7, 0.3, 0.3]


def test_one_episode_by_hand() -> None:
    """Rate 0.01, reward 0.8, values 0.5: the end gets 0.503, a layer before it 0.495 + 0.01 (0.8 / 4 + 0.503)."""
    strategy = QLearning(SPACE, Seed(0))
    arch = architecture([Layer("conv", 3), Layer("conv", 3, 1), Layer("add", 0, 2, 0)], layers=5)
    choices = tuple(map(int, arch.choices))
    strategy.learn([(choices, 0.8)])
    values = [strategy._values_SA[place][choices[place - 1] if place else 0][choices[place]] for place in range(4)]
    assert values[3] == pytest.approx(0.503)
    expected = [0.0, 0.0, 0.0, 0.503]
    for place in (2, 1, 0):
        # The best of the next state: what was learnt, unless 0.5 of all others is more.
        expected[place] = 0.99 * 0.5 + 0.01 * (0.2 + max(0.5, expected[place + 1]))
    assert values == pytest.approx(expected)
    assert strategy._values_SA[4].min() == strategy._values_SA[4].max() == 0.5


def test_best_values_are_kept_as_values_fall() -> None:
    strategy = QLearning(SPACE, Seed(0), learning_rate=0.5, replayed=3)
    rng = np.random.default_rng(0)
    for _ in range(30):
        blocks = [tuple(map(int, SPACE.sample(rng).choices)) for _ in range(8)]
        strategy.learn([(choices, float(rng.uniform(-1, 1))) for choices in blocks])
    for values, best in zip(strategy._values_SA, strategy._best_S, strict=True):
        np.testing.assert_array_equal(values.max(axis=1), best)


def test_without_exploration_equal_values_are_equally_likely_and_better_ones_are_taken() -> None:
    strategy = QLearning(SPACE, Seed(0))
    first = strategy._drawn(4000, 0.0)[:, 0]
    assert np.bincount(first, minlength=8) / 4000 == pytest.approx([1 / 8] * 8, abs=0.02)
    choices = tuple(map(int, architecture([Layer("max", 3)], layers=5).choices))
    strategy.learn([(choices, 1.0)] * 3)
    assert {tuple(row) for row in strategy._drawn(50, 0.0).tolist()} == {choices}


def test_it_finds_what_scores_well() -> None:
    strategy = QLearning(SPACE, Seed(1), iterations=60, batch=16, learning_rate=0.1)
    archs = told(strategy, 960, batch=16)

    def convolutions(part: list[Architecture]) -> float:
        return float(np.mean([layer[:2] == ("conv", 3) for arch in part for layer in layers_of(arch)]))

    assert convolutions(archs[-160:]) > 0.35 > 0.2 > convolutions(archs[:160])


def test_it_goes_on_exactly_from_what_was_saved(tmp_path: Path) -> None:
    through, stopped = small(SPACE, Seed(3)), small(SPACE, Seed(3))
    expected = told(through, 60)
    begun = told(stopped, 27)
    stopped.save(tmp_path)
    again = small(SPACE, Seed(3))
    again.load(tmp_path)
    assert begun + told(again, 33) == expected


def test_without_weight_irlas_is_qlearning_trial_for_trial() -> None:
    plain = QLearning(SPACE, Seed(2), iterations=20, batch=8)
    other = irlas(SPACE, Seed(2), weight=0.0, iterations=20, batch=8)
    led = irlas(SPACE, Seed(2), weight=1.0, iterations=20, batch=8)
    found = told(plain, 200, batch=8)
    assert found == told(other, 200, batch=8)
    assert found != told(led, 200, batch=8)


def test_the_larger_the_weight_the_nearer_to_the_expert() -> None:
    """On the made-up accuracy, the distance of the last, mostly greedy blocks to the features of ResNeXt's."""
    learnt = mirror(EXPERTS["resnext"], largest=5)
    means = []
    for weight in (0.0, 0.3, 3.0):
        strategy = irlas(SPACE, Seed(0), weight=weight, form="distance", iterations=60, batch=16, learning_rate=0.1)
        archs = told(strategy, 960, batch=16)
        means.append(float(np.mean([learnt.distance(layers_of(arch), 5) for arch in archs[-160:]])))
    assert means[0] > means[1] > means[2]


def test_failures_count_as_the_worst_and_screened_trials_as_nothing() -> None:
    strategy = QLearning(SPACE, Seed(0), batch=1, replayed=0)
    (one,), (two,) = strategy.ask(), strategy.ask()
    strategy.tell(
        [Trial(0, one, Measurement(screened=True), "screened"), Trial(1, two, Measurement(error="x"), "failed")]
    )
    assert all((values == 0.5).all() for values in strategy._values_SA)
    strategy.tell([Trial(2, one, Measurement({"m": 20.0}), "ok", (20.0,))])
    strategy.tell([Trial(3, two, Measurement(error="x"), "failed")])
    assert list(strategy._memory.values()) == [0.2, 0.2]


def test_a_real_search_trains_its_blocks() -> None:
    options = "iterations=2, batch=2"
    found = []
    for strategy in (f"qlearning({options})", f"irlas({options}, weight=0)", f"irlas({options}, weight=5)"):
        settings = Settings(
            space="blockqnn_separable(layers=4)",
            strategy=strategy,
            evaluator="trained(epochs=1, batch_size=32)",
            objectives=("imitation(expert=resnet, weight=2)",),
            data="digits(limit=96)",
            channels=2,
            cells=1,
            budget=Budget(trials=4),
        )
        found.append(searched(settings)[0])
    assert all(trial.status == "ok" for trials in found for trial in trials)
    assert [trial.arch for trial in found[0]] == [trial.arch for trial in found[1]]
    assert [trial.scores for trial in found[0]] == [trial.scores for trial in found[1]]


def test_wrong_options_are_refused() -> None:
    with pytest.raises(SpecError, match="batch of at least 1"):
        QLearning(SPACE, Seed(0), batch=0)
    with pytest.raises(SpecError, match="learning_rate <= 1"):
        QLearning(SPACE, Seed(0), learning_rate=2)
    with pytest.raises(SpecError, match="spaces of blocks"):
        irlas(nasbench201(), Seed(0))
    with pytest.raises(UnknownName, match="densenet"):
        irlas(SPACE, Seed(0), expert="denset")
    with pytest.raises(UnknownName, match="form of imitation"):
        irlas(SPACE, Seed(0), form="copy")
    real = SearchSpace("r", (Real("x", 0, 1),), draw=SPACE.draw)
    with pytest.raises(SpecError, match="Q-learning chooses among options"):
        QLearning(real, Seed(0))
