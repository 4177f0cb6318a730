from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ogive.metrics import anytime, front_ranks, holm, hypervolume, kendall_tau, non_dominated

# Few distinct values make ties, which is where rank statistics and fronts go wrong.
small = st.integers(-3, 5).map(float)
points = st.integers(1, 4).flatmap(
    lambda objectives: st.integers(1, 12).flatmap(lambda n: arrays(float, (n, objectives), elements=small))
)
pairs = st.integers(2, 40).flatmap(lambda n: arrays(float, (2, n), elements=small))


def by_definition(a: np.ndarray, b: np.ndarray) -> float:
    """Tau-b from the signs of all pairs."""
    x, y = np.sign(a[:, None] - a[None]), np.sign(b[:, None] - b[None])
    scale = np.sqrt((x**2).sum()) * np.sqrt((y**2).sum())
    return float((x * y).sum() / scale) if scale else float("nan")


@given(pairs)
def test_kendall_tau_is_the_sum_over_all_pairs(pair: np.ndarray) -> None:
    np.testing.assert_allclose(kendall_tau(*pair), by_definition(*pair), atol=1e-12)


@given(pairs)
def test_kendall_tau_is_symmetric_and_turns_its_sign(pair: np.ndarray) -> None:
    a, b = pair
    np.testing.assert_allclose(kendall_tau(a, b), kendall_tau(b, a), atol=1e-12)
    np.testing.assert_allclose(kendall_tau(a, -b), -kendall_tau(a, b), atol=1e-12)


@given(points, st.randoms(use_true_random=False))
def test_the_order_of_points_does_not_matter(array: np.ndarray, random: object) -> None:
    order = np.arange(len(array))
    random.shuffle(order)  # type: ignore[attr-defined]
    reference = np.full(array.shape[1], -4.0)
    np.testing.assert_allclose(hypervolume(array[order], reference), hypervolume(array, reference), rtol=1e-12)
    np.testing.assert_array_equal(front_ranks(array[order]), front_ranks(array)[order])
    np.testing.assert_array_equal(non_dominated(array[order]), non_dominated(array)[order])


@given(points)
def test_only_the_front_has_volume_and_every_point_adds_some(array: np.ndarray) -> None:
    reference = np.full(array.shape[1], -4.0)
    front = array[non_dominated(array)]
    np.testing.assert_allclose(hypervolume(front, reference), hypervolume(array, reference), rtol=1e-12)
    unique = np.unique(front, axis=0)
    if len(unique) > 1:
        assert hypervolume(unique[1:], reference) < hypervolume(unique, reference)


@given(points)
def test_the_volume_scales_with_each_objective(array: np.ndarray) -> None:
    reference = np.full(array.shape[1], -4.0)
    factors = np.arange(2.0, 2.0 + array.shape[1])
    scaled = hypervolume(array * factors, reference * factors)
    np.testing.assert_allclose(scaled, hypervolume(array, reference) * factors.prod(), rtol=1e-9)


@given(points)
def test_the_first_front_of_the_sort_is_the_set_of_non_dominated_points(array: np.ndarray) -> None:
    np.testing.assert_array_equal(front_ranks(array) == 0, non_dominated(array))


@given(st.lists(st.none() | st.floats(-1e6, 1e6), max_size=30))
def test_an_anytime_curve_never_falls_and_ends_at_the_best(scores: list[float | None]) -> None:
    curve = anytime(scores)
    known = curve[~np.isnan(curve)]
    assert np.all(np.diff(known) >= 0)
    found = [score for score in scores if score is not None]
    assert (len(known) == 0) if not found else known[-1] == max(found)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_only_raises_p_values_and_keeps_their_order(values: list[float]) -> None:
    adjusted = holm(values)
    assert np.all(adjusted >= np.array(values))
    assert np.all(adjusted <= 1)
    assert np.all(np.diff(adjusted[np.argsort(values, kind="stable")]) >= 0)
