from __future__ import annotations

import itertools

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError, UnknownName
from ogive.spaces.blockqnn import Layer, actions, architecture, blockqnn
from ogive.topology import EXPERTS, Features, Imitation, expert_of, max_margin, mirror, planned, projected

EXPERT, LARGEST = EXPERTS["resnext"], 6
# Our features, by hand: three convolutions, a sum at index 4 and the end at index 5, discounted by 0.9 each.
OF_EXPERT = [2.71, 0, 0, 0, 0.729, 0, 0.6561, 1.3851, 1.81, 0.9, 0, 3.439, 0, 0, 3.3661, 0, 0, 0.729]
MARGINS = [6.1644, 2.4362, 1.6738, 1.0632, 0.9721, 0.8506, 0.7846, 0.7097]
LATER = {16: 0.5103, 24: 0.4019, 32: 0.3423}


def test_features_of_an_expert_are_discounted_counts() -> None:
    found = Features().of_block(EXPERT, LARGEST)
    np.testing.assert_allclose(found, OF_EXPERT, atol=1e-12)
    assert np.linalg.norm(found) == pytest.approx(6.1644, abs=5e-5)
    # A block of as many layers as there can be has no end to count.
    assert Features().of_block(EXPERT, 4)[6] == 0


def test_predecessors_are_told_by_their_distance() -> None:
    features = Features(1.0)
    near, far = (features.of_layer(5, Layer("conv", 3, before)) for before in (4, 1))
    assert not np.array_equal(near, far)
    np.testing.assert_array_equal(near, features.of_layer(9, Layer("conv", 3, 8)))
    np.testing.assert_array_equal(far, features.of_layer(5, Layer("conv", 3, 0)))


def test_the_projection_by_hand() -> None:
    expert, nothing, found = np.array([1.0, 0.0]), np.zeros(2), np.array([0.5, 0.5])
    mean = projected(nothing, found, expert)
    np.testing.assert_allclose(mean, [0.5, 0.5])
    assert np.linalg.norm(expert - mean) == pytest.approx(0.70711, abs=5e-6)
    weights, margin = max_margin(expert, np.stack((nothing, found)))
    assert margin == pytest.approx(0.70711, abs=5e-6)
    np.testing.assert_allclose(weights, np.array([1, -1]) / 2**0.5, atol=1e-12)
    assert max_margin(expert, nothing[None]) == (pytest.approx([1.0, 0.0]), pytest.approx(1.0))


def test_an_expert_inside_the_hull_has_no_margin() -> None:
    weights, margin = max_margin(np.array([0.5, 0.5]), np.array([[0.0, 0.0], [1.0, 1.0]]))
    assert margin == 0
    assert not weights.any()


def test_the_margin_is_the_distance_to_the_hull() -> None:
    """Against a fine grid of mixtures of three points."""
    rng = np.random.default_rng(0)
    expert, others = rng.normal(size=5) + 2, rng.normal(size=(3, 5))
    weights, margin = max_margin(expert, others)
    grid = [(a, b, 1 - a - b) for a, b in itertools.product(np.linspace(0, 1, 201), repeat=2) if a + b <= 1]
    assert margin == pytest.approx(np.linalg.norm(expert - np.array(grid) @ others, axis=1).min(), rel=1e-4)
    assert ((expert - others) @ weights).min() == pytest.approx(margin)


def test_planning_is_exact() -> None:
    features, rng = Features(), np.random.default_rng(1)
    space = blockqnn(layers=3)
    blocks = [tuple(layer for layer in block) for block in _every(3)]
    assert len(blocks) == len(space)
    table = np.stack([features.of_block(block, 3) for block in blocks])
    for _ in range(5):
        weights = rng.normal(size=table.shape[1])
        best = features.of_block(planned(weights, features, 3), 3) @ weights
        assert best == pytest.approx((table @ weights).max())


def _every(largest: int) -> list[tuple[Layer, ...]]:
    return [
        block
        for depth in range(1, largest + 1)
        for block in itertools.product(*(actions(index) for index in range(1, depth + 1)))
    ]


def test_margins_fall_as_known_when_the_expert_is_learnt_by_projection() -> None:
    """The trace of an implementation that shares no code, from zeros, with exact planning."""
    margins = mirror(EXPERT, largest=LARGEST, rounds=33, method="projection").margins
    assert [round(margin, 4) for margin in margins[:8]] == MARGINS
    assert {place: round(margins[place], 4) for place in LATER} == LATER
    assert all(later <= earlier for earlier, later in itertools.pairwise(margins))


def test_the_quadratic_program_is_never_farther_than_the_projection() -> None:
    exact = mirror(EXPERT, largest=LARGEST, rounds=12, method="max_margin")
    assert exact.margins[:2] == pytest.approx(MARGINS[:2], abs=5e-5)
    assert exact.margins[-1] < MARGINS[-1]
    assert np.linalg.norm(exact.weights) == pytest.approx(1)


@pytest.mark.parametrize("name", EXPERTS)
def test_every_expert_is_a_block_and_learnt_from(name: str) -> None:
    block = expert_of(name)
    architecture(block)
    learnt = mirror(block, largest=8)
    assert learnt.distance(block, 8) == 0
    rng = np.random.default_rng(0)
    space = blockqnn(layers=8)
    likeness = Imitation(expert=name, rounds=16).likeness
    random = [likeness(space.sample(rng)) for _ in range(200)]
    own = likeness(architecture(block, layers=8))
    assert np.mean([own > other for other in random]) > 0.9


def test_imitation_adds_likeness_to_a_metric() -> None:
    arch = architecture(EXPERT, layers=6)
    assert Imitation(weight=0)(arch, {"val_acc": 71.0}) == 71.0
    for form in ("mirror", "distance"):
        objective = Imitation(weight=2.0, form=form)
        assert objective.needs == ("val_acc",)
        assert objective(arch, {"val_acc": 71.0}) == pytest.approx(71.0 + 2 * objective.likeness(arch))
    assert Imitation(form="distance").likeness(arch) == 0
    code = "(1,1,1,0,0)(2,1,3,1,0)(3,1,1,2,0)(4,5,0,3,0)(5,7,0,0,0)"
    assert Imitation(expert=code).likeness(arch) == Imitation().likeness(arch)


def test_what_cannot_be_imitated_is_refused() -> None:
    with pytest.raises(UnknownName, match="resnext"):
        Imitation(expert="resnxt")
    with pytest.raises(InvalidArchitecture, match="written as tuples"):
        Imitation(expert="(1,9,1,0,0)")
    with pytest.raises(SpecError, match="spaces of blocks"):
        Imitation().likeness(Architecture("nasbench201", (0,) * 6))
    with pytest.raises(SpecError, match=r"expert has 7 layers.*layers=7"):
        Imitation(expert="inception").likeness(architecture(EXPERT, layers=5))
    with pytest.raises(SpecError, match="finite"):
        Imitation(weight=float("nan"))
    with pytest.raises(SpecError, match="0 < discount"):
        Imitation(discount=0)
    with pytest.raises(SpecError, match="at least one round"):
        mirror(EXPERT, largest=6, rounds=0)
