from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch

from ogive.core.errors import SpecError
from ogive.core.graph import Graph
from ogive.core.space import Choice, Real, SearchSpace
from ogive.spaces.darts import darts
from ogive.spaces.nasbench101 import nasbench101, pruned_cell
from ogive.spaces.nasbench201 import nasbench201
from ogive.spaces.ofa_mobilenetv3 import ofa_mobilenetv3
from ogive.strategies.controller import Controller, Grammar, Policy, PolicyGradient, script_of


def blocks(units: int = 5, layers: int = 4) -> SearchSpace:
    """Depths of units, kernels and expansions of layers: three options each, as networks of mobile blocks have."""
    variables = [Choice(f"depth{n}", ("2", "3", "4")) for n in range(units)]
    for n in range(units * layers):
        variables += [Choice(f"kernel{n}", ("3", "5", "7")), Choice(f"expand{n}", ("3x", "4x", "6x"))]
    return SearchSpace("blocks", tuple(variables), draw=lambda arch: Graph((), frozenset()))


def size_of(policy: Policy) -> int:
    return sum(parameter.numel() for parameter in policy.parameters())


def uniform(space: SearchSpace) -> Policy:
    """A policy without preferences."""
    policy = Policy(script_of(space), seed=0)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.zero_()
    return policy


# -- as published -----------------------------------------------------------------------------------------------------


def test_controllers_have_the_published_numbers_of_parameters() -> None:
    """CTNAS's public code: NAS-Bench-101, DARTS (one for each cell), networks of mobile blocks."""
    spaces = (nasbench101(), darts(), blocks(), ofa_mobilenetv3())
    sizes = [size_of(Policy(script_of(space), seed=0)) for space in spaces]
    assert sizes == [43_016, 85_776, 34_505, 34_505]


def test_a_uniform_policy_has_the_entropy_of_its_options() -> None:
    rng = np.random.default_rng(0)
    for space, expected in ((blocks(), 45 * math.log(3)), (nasbench201(), 6 * math.log(5))):
        policy = uniform(space)
        logs, entropies = policy(policy.sample(3, rng))
        assert entropies.tolist() == pytest.approx([expected] * 3, rel=1e-5)
        assert logs.tolist() == pytest.approx([-expected] * 3, rel=1e-5)
    assert 45 * math.log(3) == pytest.approx(49.4376, abs=1e-4)


def test_the_entropy_of_a_cell_of_nasbench101_follows_from_its_number_of_nodes() -> None:
    policy = uniform(nasbench101())
    words = policy.sample(500, np.random.default_rng(0))
    _, entropies = policy(words)
    for inner in range(1, 6):
        reads = math.lgamma(inner + 1) + inner * math.log(3) + math.log(inner + 1)
        expected = math.log(5) + reads + 2 * (8 - inner) * math.log(inner + 2)
        found = [entropy for entropy, one in zip(entropies.tolist(), words, strict=True) if one[0] == inner - 1]
        assert found == pytest.approx([expected] * len(found), rel=1e-5)
    assert float(entropies.detach().mean()) == pytest.approx(23.04, abs=0.3)


def test_layers_that_a_depth_skips_are_no_decision() -> None:
    """Of the deepest network all 45 words are, as in the public code."""
    space = ofa_mobilenetv3()
    policy = uniform(space)
    words = policy.sample(40, np.random.default_rng(0))
    logs, entropies = policy([*words, (2,) * 5 + (3,) * 20 + (6,) * 20])
    depths = [[2 + word for word in one[:5]] for one in words]
    decisions = [5 + 2 * sum(ones) for ones in depths] + [45]
    expected = [count * math.log(3) for count in decisions]
    assert entropies.tolist() == pytest.approx(expected, rel=1e-5)
    assert logs.tolist() == pytest.approx([-one for one in expected], rel=1e-5)
    assert len(set(decisions)) > 4
    assert space.prune is not None
    for one in words:
        arch = policy.script.architecture(one)
        assert space.prune(arch) == arch


@pytest.mark.parametrize(
    ("space", "places"), [(nasbench101(), 18), (nasbench201(), 6), (darts(), 32), (ofa_mobilenetv3(), 45)]
)
def test_what_is_written_is_always_legal(space: SearchSpace, places: int) -> None:
    policy = Policy(script_of(space), seed=1)
    written = policy.sample(300, np.random.default_rng(0))
    assert {len(words) for words in written} == {places}
    archs = [space.admit(policy.script.architecture(words)) for words in written]
    assert len(set(archs)) > 150


def test_cells_of_nasbench101_have_nodes_and_edges_as_they_are_written() -> None:
    script = script_of(nasbench101())
    # Two inner nodes: the first reads the input, a 1x1 convolution; the second the first, a pooling; the output reads
    # the second; then the input to the output, nothing four times, and node 1 to the output, written backwards.
    node, op = 8, 5
    words = (1, node, op + 1, node + 1, op + 2, node + 2, node, node + 3, *[node, node] * 4, node + 3, node + 1)
    cell = pruned_cell(script.architecture(words))
    assert cell.matrix == ((0, 1, 0, 1), (0, 0, 1, 1), (0, 0, 0, 1), (0, 0, 0, 0))
    assert cell.ops == (1, 2)


def test_nodes_of_darts_read_two_different_states_and_hold_no_none() -> None:
    space = darts()
    script = script_of(space)
    states, none = 5, 5
    sep3, skip = (none + 1 + space.variables[1].options.index(op) for op in ("sep_conv_3x3", "skip_connect"))  # type: ignore[union-attr]
    cell = (1, sep3, 0, skip, 0, skip, 1, sep3, 0, sep3, 3, skip, 4, sep3, 2, sep3)
    arch = script.architecture(cell * 2)
    assert "('skip_connect', 0), ('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1)" in space.format(arch)
    policy = Policy(script, seed=0)
    for words in policy.sample(100, np.random.default_rng(0)):
        assert none not in words[1::2]
        assert max(words[::2]) < states
        assert all(words[place] != words[place + 2] for place in range(0, 32, 4))


# -- the network ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [nasbench101(), darts(), ofa_mobilenetv3()], ids=lambda space: space.name)
def test_samples_follow_the_probabilities_that_the_gradient_sees(space: SearchSpace) -> None:
    policy = Policy(script_of(space), seed=3)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(6)  # far from uniform
    words = policy.sample(4000, np.random.default_rng(0))
    # The first two words, whose probabilities are those of all that begin with them.
    counts = Counter(one[:2] for one in words)
    first = policy.controllers[0]
    assert isinstance(first, Controller)
    for start, count in counts.most_common(3):
        like = next(one for one in words if one[:2] == start)
        cut = Controller(
            Grammar(first.grammar.nodes, first.grammar.opened[:, :2], first.grammar.differs[:2]),
            begins=policy.script.begins,
        )
        cut.load_state_dict(first.state_dict())
        share = float(cut(torch.tensor([like[:2]]))[0].detach().exp())
        assert count / 4000 == pytest.approx(share, abs=4 * math.sqrt(share / 4000))


def test_the_policy_gradient_finds_what_is_rewarded() -> None:
    space = nasbench201()
    policy = Policy(script_of(space), seed=0)
    gradient = PolicyGradient(policy, learning_rate=0.01, entropy_weight=0.001)
    rng = np.random.default_rng(0)
    before = gradient.step(policy.sample(20, rng), [0.0] * 20)
    for _ in range(60):
        words = policy.sample(20, rng)
        rewards = [one.count(3) / 6 for one in words]
        entropy = gradient.step(words, [reward - np.mean(rewards) for reward in rewards])
    assert np.mean([one.count(3) for one in policy.sample(50, rng)]) > 4.5
    assert entropy < before


def test_illegal_draws_are_drawn_again_and_in_the_end_a_uniform_one_is_written() -> None:
    base = nasbench201()
    odd = SearchSpace("odd", base.variables, draw=base.draw, is_legal=lambda choices: sum(choices) % 2 == 1)
    found = [
        script_of(odd).architecture(one) for one in Policy(script_of(odd), seed=0).sample(50, np.random.default_rng(0))
    ]
    assert len(found) == 50
    assert all(odd.is_legal(arch.choices) for arch in found)
    rare = SearchSpace("rare", base.variables, draw=base.draw, is_legal=lambda choices: choices == (0,) * 6)
    policy = Policy(script_of(rare), seed=0)
    assert [policy.script.read(one) for one in policy.sample(1, np.random.default_rng(0))] == [(0,) * 6]


def test_real_variables_and_closed_places_are_refused() -> None:
    space = SearchSpace("real", (Real("rate", 0, 1),), draw=lambda arch: Graph((), frozenset()))
    with pytest.raises(SpecError, match="real has variables without options"):
        script_of(space)
    with pytest.raises(SpecError, match="opens a word at every place"):
        Grammar(np.zeros(2, bool), np.zeros((1, 3, 2), bool), (-1,) * 3)
