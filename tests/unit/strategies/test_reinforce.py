from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.graph import Graph
from ogive.core.rng import Seed
from ogive.core.space import Choice, Real, SearchSpace
from ogive.core.trial import Measurement, Proposal, Status, Trial
from ogive.spaces.nasbench101 import nasbench101
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.reinforce import Adam, Reinforce


def draw(arch: Architecture) -> Graph:
    return Graph(("input", "output"), frozenset({(0, 1)}))


UNEVEN = SearchSpace("uneven", (Choice("p", tuple("ab")), Choice("q", tuple("abcde")), Choice("r", ("x",))), draw)


def told(strategy: Reinforce, arch: Architecture, score: float | None, status: Status = "ok") -> None:
    scores = None if score is None else (score,)
    strategy.tell([Trial(0, Proposal(arch), Measurement(), status, scores)])


def quality(arch: Architecture) -> float:
    return -sum(abs(choice - 3) for choice in arch.choices)


def played(strategy: Reinforce, rounds: int) -> list[float]:
    scores = []
    for _ in range(rounds):
        (proposal,) = strategy.ask()
        scores.append(quality(proposal.arch))
        told(strategy, proposal.arch, scores[-1])
    return scores


def test_options_of_each_variable_share_a_probability_of_one() -> None:
    probabilities = Reinforce(UNEVEN, Seed(0)).probabilities
    assert probabilities.sum(axis=1) == pytest.approx([1.0, 1.0, 1.0])
    assert (probabilities > 0).tolist() == [[True] * 2 + [False] * 3, [True] * 5, [True] + [False] * 4]
    assert probabilities[1] == pytest.approx([0.2] * 5, abs=0.002)


def test_proposals_follow_the_policy() -> None:
    search = Reinforce(UNEVEN, Seed(0))
    search._logits_VO[1] = np.log([0.5, 0.1, 0.1, 0.1, 0.2])
    drawn = [proposal.arch.choices[1] for proposal in search.ask(4000)]
    shares = np.bincount(drawn, minlength=5) / len(drawn)
    # Five standard deviations of a share of 4,000 draws.
    assert shares == pytest.approx([0.5, 0.1, 0.1, 0.1, 0.2], abs=5 * math.sqrt(0.25 / 4000))


def test_the_closed_form_step_is_that_of_autograd_and_adam() -> None:
    search = Reinforce(nasbench201(), Seed(3), learning_rate=0.02)
    logits = torch.from_numpy(search._logits_VO.copy()).requires_grad_()
    adam = torch.optim.Adam([logits], lr=0.02)
    mean = weight = 0.0
    for proposal, score in zip(search.ask(6), (50.0, 70.0, 20.0, 90.0, 90.0, 10.0), strict=True):
        told(search, proposal.arch, score)
        mean, weight = 0.9 * mean + 0.1 * score, 0.9 * weight + 0.1
        policy = torch.distributions.Categorical(logits=logits)
        loss = -(policy.log_prob(torch.tensor(proposal.arch.choices)) * (score - mean / weight)).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert search._logits_VO == pytest.approx(logits.detach().numpy(), abs=1e-12)


def test_a_policy_learns_what_scores_well() -> None:
    scores = played(Reinforce(nasbench201(), Seed(0), learning_rate=0.1), 400)
    assert np.mean(scores[:50]) < -6
    assert np.mean(scores[-50:]) > -1


def test_the_scale_of_scores_does_not_matter() -> None:
    one, other = (Reinforce(nasbench201(), Seed(0)) for _ in range(2))
    for _ in range(50):
        (first,), (second,) = one.ask(), other.ask()
        assert first == second
        told(one, first.arch, quality(first.arch))
        told(other, second.arch, 1000 * quality(second.arch))


def test_what_fails_becomes_less_likely_once_there_is_a_score() -> None:
    search = Reinforce(UNEVEN, Seed(0))
    failing, before = UNEVEN.check((1, 4, 0)), search.probabilities
    told(search, failing, None, "failed")
    assert np.array_equal(search.probabilities, before)
    told(search, UNEVEN.check((0, 0, 0)), 1.0)
    told(search, UNEVEN.check((0, 1, 0)), 2.0)
    before, baseline = search.probabilities, (search._mean, search._weight)
    told(search, failing, None, "screened")
    assert np.array_equal(search.probabilities, before)
    for _ in range(20):
        told(search, failing, None, "failed")
    assert search.probabilities[0, 1] < before[0, 1]
    assert search.probabilities[1, 4] < before[1, 4]
    assert (search._mean, search._weight) == baseline


def test_only_what_exists_is_proposed_even_where_the_policy_left_the_space() -> None:
    search, space = Reinforce(nasbench101(), Seed(0)), nasbench101()
    for proposal in search.ask(10):
        space.admit(proposal.arch)
    search._logits_VO[:21, 1] = 50.0  # every edge, where a cell has nine
    for proposal in search.ask(2):
        space.admit(proposal.arch)


def test_a_policy_goes_on_from_what_was_saved(tmp_path: Path) -> None:
    whole, begun, resumed = (Reinforce(nasbench201(), Seed(0)) for _ in range(3))
    played(whole, 40)
    played(begun, 25)
    begun.save(tmp_path)
    resumed.load(tmp_path)
    played(resumed, 15)
    assert resumed.state() == whole.state()


def test_adam_steps_uphill_at_its_rate() -> None:
    assert Adam((2,), 0.5).step(np.array([3.0, -0.01])) == pytest.approx([0.5, -0.5], rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"learning_rate": 0.0}, "learning_rate must be"), ({"baseline_decay": 1.0}, r"must be in \[0, 1\), but got 1.0")],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Reinforce(nasbench201(), Seed(0), **options)


def test_spaces_without_options_to_choose_are_refused() -> None:
    with pytest.raises(SpecError, match="variables without options: use random search"):
        Reinforce(SearchSpace("real", (Real("p", 0.0, 1.0),), draw), Seed(0))
    with pytest.raises(SpecError, match="single architecture"):
        Reinforce(SearchSpace("alone", (Choice("p", ("only",)),), draw), Seed(0))
