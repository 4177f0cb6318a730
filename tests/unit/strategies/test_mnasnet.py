from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ogive.core.errors import SpecError
from ogive.core.graph import Graph
from ogive.core.objective import LatencyTradeoff
from ogive.core.rng import Seed
from ogive.core.space import Choice, SearchSpace
from ogive.core.study import judged
from ogive.core.trial import Measurement, Proposal, Trial
from ogive.spaces.mnasnet import mnasnet
from ogive.strategies.controller import Policy, script_of
from ogive.strategies.mnasnet import MnasNet, ProximalGradient, ProximalRecipe, clipped

# Six layers of four sizes: the larger, the slower and the better, by ever less.
SIZES = ("1", "2", "3", "4")


def layers() -> SearchSpace:
    variables = tuple(Choice(f"layer{place}", SIZES) for place in range(6))
    return SearchSpace("layers", variables, draw=lambda arch: Graph((), frozenset()))


def measured(arch: object) -> dict[str, float]:
    latency = float(sum(choice + 1 for choice in arch.choices))  # type: ignore[attr-defined]
    return {"val_acc": 60 + 10 * math.log(latency / 6), "latency_ms": latency}


def searched(objective: LatencyTradeoff, trials: int, seed: int = 0) -> list[Trial]:
    strategy, found = MnasNet(layers(), Seed(seed), hidden=16), []
    while len(found) < trials:
        batch = strategy.ask(32)
        told = [
            judged(len(found) + place, proposal, Measurement(measured(proposal.arch)), [objective])
            for place, proposal in enumerate(batch)
        ]
        strategy.tell(told)
        found += told
    return found


def test_the_hard_reward_ends_under_its_target_and_the_soft_one_does_not_know_it() -> None:
    target = 12.0
    late = {
        mode: [t.metrics["latency_ms"] for t in searched(LatencyTradeoff(target_ms=target, mode=mode), count)[-160:]]  # type: ignore[arg-type]
        for mode, count in (("hard", 2560), ("soft", 960))
    }
    assert np.mean(np.array(late["hard"]) <= target) > 0.9
    assert np.median(late["hard"]) >= 10
    # 10 / accuracy is above 0.07 everywhere here, so that the soft reward goes for the slowest.
    assert np.median(late["soft"]) > 20


def test_a_step_is_that_of_the_formula() -> None:
    """min(r A, clip(r) A) by hand: the gain is capped where it would move on, not where it would move back."""
    ratios, advantages = torch.tensor([1.5, 0.5, 1.5, 0.5, 1.1]), torch.tensor([1.0, 1.0, -1.0, -1.0, 2.0])
    found = clipped(ratios.log(), advantages, 0.2)
    assert found.tolist() == pytest.approx([1.2, 0.5, -1.5, -0.8, 2.2])


def test_the_baseline_is_a_moving_average_and_good_words_become_likelier() -> None:
    policy = Policy(script_of(layers()), seed=0)
    gradient = ProximalGradient(policy, ProximalRecipe(passes=1, entropy_weight=0.0))
    words = policy.sample(8, np.random.default_rng(0))
    before = gradient.logs(words)
    rewards = [10.0] + [0.0] * 7
    gradient.step(words, before, rewards)
    assert gradient.baseline == pytest.approx(10 / 8)
    assert float(gradient.logs(words)[0]) > float(before[0])
    gradient.step(words, gradient.logs(words), [1.0] * 8)
    assert gradient.baseline == pytest.approx(0.95 * 10 / 8 + 0.05)


def test_a_failure_counts_as_the_worst_and_what_was_screened_teaches_nothing() -> None:
    strategy = MnasNet(layers(), Seed(0), hidden=4, recipe=ProximalRecipe(batch=2))
    start = strategy.policy.state_dict()["controllers.0.embedding.weight"].clone()
    one, two, three, four = strategy.ask(4)
    strategy.tell([Trial(0, one, Measurement(error="made up"), "failed")])  # before any score: nothing
    strategy.tell([Trial(1, two, Measurement(screened=True), "screened")])
    strategy.tell([Trial(2, three, Measurement({"a": 3.0}), "ok", (3.0,))])
    assert torch.equal(strategy.policy.state_dict()["controllers.0.embedding.weight"], start)
    strategy.tell([Trial(3, four, Measurement(error="made up"), "failed")])
    assert strategy.gradient.baseline == 3.0


def test_trials_of_others_are_no_result_of_its_own() -> None:
    strategy = MnasNet(layers(), Seed(0), hidden=4, recipe=ProximalRecipe(batch=1))
    other = layers().sample(np.random.default_rng(5))
    strategy.tell([Trial(0, Proposal(other), Measurement({"a": 3.0}), "ok", (3.0,))])
    assert strategy.gradient.baseline is None


def test_it_writes_all_42_decisions_of_its_space() -> None:
    space = mnasnet()
    drawn = MnasNet(space, Seed(0), hidden=4).ask(40)
    assert all(space.is_legal(proposal.arch.choices) for proposal in drawn)
    seen = np.array([proposal.arch.choices for proposal in drawn])
    assert [len(set(column)) for column in seen.T] == [len(v.options) for v in space.variables]  # type: ignore[union-attr]


@pytest.mark.parametrize("option", [{"batch": 0}, {"clip": 1.0}, {"baseline_decay": 1.0}, {"learning_rate": 0.0}])
def test_options_out_of_range_are_refused(option: dict[str, float]) -> None:
    with pytest.raises(SpecError):
        ProximalRecipe(**option)  # type: ignore[arg-type]
