from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from ogive.core.errors import SpecError
from ogive.metrics import (
    Interval,
    anytime,
    binomial_interval,
    crowding_distance,
    front_ranks,
    holm,
    hypervolume,
    incumbents,
    interval_name,
    kendall_tau,
    mean_interval,
    ndcg,
    non_dominated,
    paired_permutation_test,
    regret,
    spearman,
    stepwise,
)

RNG = np.random.default_rng(0)


# -- rankings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [3, 10**6])
def test_rank_correlations_are_those_of_their_definitions(levels: int) -> None:
    a, b = np.random.default_rng(1).integers(0, levels, (2, 60))
    b = b + a // 2
    x, y = np.sign(a[:, None] - a), np.sign(b[:, None] - b)
    assert kendall_tau(a, b) == pytest.approx((x * y).sum() / math.sqrt((x**2).sum() * (y**2).sum()), abs=1e-12)
    ranks = [np.sign(values[:, None] - values).sum(axis=1) for values in (a, b)]
    assert spearman(a, b) == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-12)


def test_perfect_agreement_is_one_and_reversal_minus_one() -> None:
    values = [3.0, 1.0, 2.0, 10.0]
    for correlation in (kendall_tau, spearman):
        assert correlation(values, np.exp(values)) == pytest.approx(1.0)
        assert correlation(values, [-value for value in values]) == pytest.approx(-1.0)


def test_a_network_that_scored_minus_infinity_ranks_last() -> None:
    assert kendall_tau([-math.inf, 1.0, 2.0], [10.0, 80.0, 90.0]) == 1.0
    assert spearman([-math.inf, 1.0, 2.0], [10.0, 80.0, 90.0]) == 1.0


def test_without_any_order_there_is_no_correlation() -> None:
    assert math.isnan(kendall_tau([1, 1, 1], [1, 2, 3]))
    assert math.isnan(spearman([1, 1, 1], [1, 2, 3]))
    assert math.isnan(kendall_tau([1], [1]))
    assert math.isnan(kendall_tau([], []))


def test_sequences_that_do_not_match_are_refused() -> None:
    with pytest.raises(SpecError, match=r"\(2,\) and \(3,\)"):
        kendall_tau([1, 2], [1, 2, 3])
    with pytest.raises(SpecError, match="1 of the values are NaN"):
        spearman([1, math.nan], [1, 2])


# -- the course of a search -------------------------------------------------------------------------------------------


def test_the_incumbent_is_the_first_of_the_best_so_far() -> None:
    assert incumbents([None, 2.0, 1.0, 2.0, math.nan, 3.0]).tolist() == [-1, 1, 1, 1, 1, 5]
    assert incumbents([]).tolist() == []


def test_a_curve_shows_the_answer_after_every_trial() -> None:
    scores = [None, 60.0, 70.0, 65.0, 80.0]
    np.testing.assert_array_equal(anytime(scores), [math.nan, 60, 70, 70, 80])


def test_a_curve_of_reported_values_may_fall() -> None:
    np.testing.assert_array_equal(anytime([60.0, 70.0, 65.0, 80.0], [61.0, 75.0, 99.0, 74.0]), [61, 75, 75, 74])
    with pytest.raises(SpecError, match="4 trials came with 1"):
        anytime([60.0, 70.0, 65.0, 80.0], [61.0])


def test_a_curve_can_be_read_at_other_times() -> None:
    found = stepwise([1.0, 2.0, 2.0, 5.0], [10.0, 20.0, 30.0, 40.0], [0.5, 1.0, 2.0, 4.9, 5.0, 99.0])
    np.testing.assert_array_equal(found, [math.nan, 10, 30, 30, 40, 40])
    assert np.isnan(stepwise([], [], [1.0])).all()
    with pytest.raises(SpecError, match="ascending"):
        stepwise([2.0, 1.0], [1.0, 2.0], [1.0])


def test_regret_is_the_distance_to_the_optimum() -> None:
    assert regret(94.37, [94.37, 90.0]).tolist() == pytest.approx([0.0, 4.37])


# -- several objectives -----------------------------------------------------------------------------------------------


def brute_force_dominated(points: np.ndarray) -> list[bool]:
    return [any((q >= p).all() and (q > p).any() for q in points) for p in points]


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_fronts_agree_with_a_comparison_of_all_pairs(objectives: int) -> None:
    points = RNG.integers(0, 6, (80, objectives)).astype(float)
    assert non_dominated(points).tolist() == [not beaten for beaten in brute_force_dominated(points)]
    ranks, left, rank = front_ranks(points), np.arange(len(points)), 0
    while len(left):
        beaten = np.array(brute_force_dominated(points[left]))
        assert (ranks[left[~beaten]] == rank).all()
        left, rank = left[beaten], rank + 1


def test_equal_points_stand_on_one_front_together() -> None:
    points = [(1.0, 1.0), (1.0, 1.0), (0.0, 0.0)]
    assert non_dominated(points).tolist() == [True, True, False]
    assert front_ranks(points).tolist() == [0, 0, 1]


def test_no_points_have_no_front() -> None:
    empty = np.empty((0, 2))
    assert non_dominated(empty).tolist() == front_ranks(empty).tolist() == crowding_distance(empty).tolist() == []
    assert hypervolume(empty, (0.0, 0.0)) == 0.0


def test_crowding_is_the_room_between_neighbours_and_infinite_at_the_ends() -> None:
    # By hand: the middle points see (3 - 0) / 10 + (10 - 4) / 10 and (10 - 1) / 10 + (6 - 0) / 10.
    points = [(0.0, 10.0), (1.0, 6.0), (3.0, 4.0), (10.0, 0.0)]
    assert crowding_distance(points).tolist() == pytest.approx([math.inf, 0.9, 1.5, math.inf])


def test_an_objective_in_which_all_are_equal_adds_no_room() -> None:
    assert crowding_distance([(0.0, 1.0), (1.0, 1.0), (2.0, 1.0)]).tolist() == [math.inf, 1.0, math.inf]


def union_of_boxes(points: np.ndarray, reference: np.ndarray) -> float:
    """Inclusion and exclusion over all subsets of boxes."""
    total = 0.0
    for size in range(1, len(points) + 1):
        for subset in itertools.combinations(points, size):
            sides = np.maximum(np.min(subset, axis=0) - reference, 0.0)
            total += (-1) ** (size + 1) * float(np.prod(sides))
    return total


@pytest.mark.parametrize("objectives", [1, 2, 3, 4, 5])
def test_the_hypervolume_is_the_union_of_the_boxes(objectives: int) -> None:
    for _ in range(5):
        points = RNG.integers(-1, 6, (9, objectives)).astype(float)
        reference = np.zeros(objectives)
        assert hypervolume(points, reference) == pytest.approx(union_of_boxes(points, reference))


def test_points_on_or_below_the_reference_add_nothing() -> None:
    assert hypervolume([(2.0, 2.0), (0.0, 9.0), (-1.0, 5.0)], (0.0, 0.0)) == 4.0


def test_points_without_sense_are_refused() -> None:
    with pytest.raises(SpecError, match="has 3 objectives, but the points have 2"):
        hypervolume([(1.0, 2.0)], (0.0, 0.0, 0.0))
    with pytest.raises(SpecError, match="must be finite"):
        hypervolume([(1.0, 2.0)], (0.0, -math.inf))
    with pytest.raises(SpecError, match="shape"):
        non_dominated([1.0, 2.0])
    with pytest.raises(SpecError, match="NaN"):
        front_ranks([(1.0, math.nan)])


# -- intervals and tests ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [3, 5, 9])
def test_an_interval_of_few_values_covers_their_mean_as_often_as_it_says(count: int) -> None:
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(2000, count))
    covered = [low <= 0.0 <= high for low, high in (mean_interval(sample, rng) for sample in drawn)]
    assert 0.935 < np.mean(covered) < 0.965  # three standard errors of a share of 2,000


def test_a_bootstrap_of_three_values_would_not() -> None:
    """Why there are t-intervals: it covers the mean in 73 % of cases and says 95 %."""
    rng = np.random.default_rng(0)
    covered = []
    for sample in rng.normal(size=(600, 3)):
        low, high = scipy.stats.bootstrap((sample,), np.mean, n_resamples=500, random_state=rng).confidence_interval
        covered.append(low <= 0.0 <= high)
    assert 0.68 < np.mean(covered) < 0.79


def test_an_interval_of_three_values_is_that_of_student() -> None:
    # Student's t at 0.975 with two degrees of freedom, as every table has it.
    assert mean_interval([1.0, 2.0, 3.0], RNG) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))
    half = mean_interval([1.0, 2.0, 3.0], RNG, level=0.5)
    assert half == pytest.approx((2 - 0.816497 / 3**0.5, 2 + 0.816497 / 3**0.5))


def test_which_interval_it_is_changes_at_ten_values() -> None:
    assert [interval_name(count) for count in (2, 9, 10)] == ["95 % t-interval"] * 2 + ["95 % bootstrap interval"]
    skewed = np.random.default_rng(3).exponential(size=10)
    few, many = mean_interval(skewed[:9], RNG), mean_interval(skewed, RNG)
    assert few.high - skewed[:9].mean() == pytest.approx(skewed[:9].mean() - few.low)
    assert many.high - skewed.mean() > 1.2 * (skewed.mean() - many.low)


def test_an_interval_of_many_values_covers_their_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        low, high = mean_interval(rng.normal(size=30), rng, level=0.9)
        covered += low <= 0.0 <= high
    assert 0.80 < covered / 100 < 0.98


def test_intervals_of_many_values_come_from_the_generator_given() -> None:
    sample = RNG.normal(size=20)
    first, second, third = (mean_interval(sample, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == second != third


def test_blocks_of_resamples_change_nothing_but_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = RNG.normal(size=20)
    whole = mean_interval(sample, np.random.default_rng(1))
    monkeypatch.setattr("ogive.metrics.BLOCK", 20 * 64)
    assert mean_interval(sample, np.random.default_rng(1)) == whole


@pytest.mark.parametrize("count", [3, 30])
def test_equal_values_have_an_interval_without_width_and_one_value_has_none(count: int) -> None:
    assert mean_interval([5.0] * count, RNG) == Interval(5.0, 5.0)
    assert all(math.isnan(end) for end in mean_interval([5.0], RNG))


def test_an_interval_without_sense_is_refused() -> None:
    with pytest.raises(SpecError, match="between 0 and 1"):
        mean_interval([1.0, 2.0], RNG, level=95.0)
    with pytest.raises(SpecError, match="without NaN"):
        mean_interval([1.0, math.nan], RNG)
    with pytest.raises(SpecError, match="11 of 10"):
        binomial_interval(11, 10)


@pytest.mark.parametrize(("successes", "trials"), [(8, 10), (439, 450), (1, 1), (0, 10)])
def test_binomial_intervals_are_those_of_wilson(successes: int, trials: int) -> None:
    z, share = 1.959963985, successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2)) / (1 + z * z / trials)
    assert binomial_interval(successes, trials) == pytest.approx((centre - half, centre + half), abs=1e-9)


def test_a_paired_test_of_few_seeds_tries_all_flips_of_signs() -> None:
    # Of the 2**5 flips only the observed one and its mirror are as extreme.
    assert paired_permutation_test([2, 3, 4, 5, 6], [1, 1, 1, 1, 1], RNG) == 2 / 32
    assert paired_permutation_test([1.0, 2.0], [2.0, 1.0], RNG) == 1.0
    assert paired_permutation_test([1.0, 1.0], [1.0, 1.0], RNG) == 1.0


def test_a_paired_test_of_many_seeds_agrees_with_scipy() -> None:
    rng = np.random.default_rng(5)
    a = rng.normal(0.35, 1.0, 40)
    b = rng.normal(0.0, 1.0, 40)
    theirs = scipy.stats.permutation_test(
        (a, b), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=20_000, rng=rng
    ).pvalue
    assert paired_permutation_test(a, b, rng, permutations=20_000) == pytest.approx(theirs, abs=0.02)


def test_the_paired_test_keeps_its_level_when_there_is_no_difference() -> None:
    rng = np.random.default_rng(0)
    values = [paired_permutation_test(*rng.normal(size=(2, 20)), rng, permutations=300) for _ in range(400)]
    assert 0.02 < np.mean(np.array(values) <= 0.05) < 0.09


def test_a_paired_test_needs_pairs() -> None:
    with pytest.raises(SpecError, match="every seed"):
        paired_permutation_test([1.0, 2.0], [1.0], RNG)
    with pytest.raises(SpecError, match="NaN"):
        paired_permutation_test([1.0, math.nan], [1.0, 2.0], RNG)


def test_holm_steps_down_and_keeps_the_order_of_the_input() -> None:
    # By hand: 4 x 0.005, then 3 x 0.01, then 2 x 0.03, and 1 x 0.04 is raised to its predecessor.
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []
    with pytest.raises(SpecError, match=r"\[0, 1\]"):
        holm([0.5, 1.5])


# -- gain -------------------------------------------------------------------------------------------------------------


def test_gain_is_that_of_the_definition() -> None:
    """Of three items in the order middle, best, worst; the gains of ranks 0, 1/2 and 1 are 0, 31 and 1023."""
    expected = (31 / 1 + 1023 / math.log2(3)) / (1023 + 31 / math.log2(3))
    assert ndcg([3, 1, 2], [2, 1, 3]) == pytest.approx(expected)
    assert ndcg([3, 1, 2], [2, 1, 3], first=1) == pytest.approx(31 / 1023)
    assert ndcg([1, 2, 3], [7, 8, 9]) == pytest.approx(1)


def test_equal_predictions_get_the_mean_gain_of_their_orders() -> None:
    true = [1.0, 2.0, 4.0, 3.0]
    orders = itertools.permutations(range(4))
    mean = np.mean([ndcg([-order.index(item) for item in range(4)], true, first=3) for order in orders])
    assert ndcg([5, 5, 5, 5], true, first=3) == pytest.approx(mean)


def test_gain_of_what_cannot_be_ranked() -> None:
    assert math.isnan(ndcg([1, 2], [5, 5]))
    with pytest.raises(SpecError, match="1 place at least, but got first=0"):
        ndcg([1, 2], [1, 2], first=0)


def test_values_that_differ_by_rounding_alone_have_an_interval_without_width() -> None:
    values = np.array([0.1 * count + 0.3 - 0.1 * count for count in range(20)])
    assert np.ptp(values) > 0
    assert mean_interval(values, np.random.default_rng(0)) == (values[0], values[0])
    apart = mean_interval(values + 1e-6 * np.arange(20), np.random.default_rng(0))
    assert apart.high > apart.low
