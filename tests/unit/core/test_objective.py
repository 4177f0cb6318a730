from __future__ import annotations

import math

import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, UnknownName
from ogive.core.metric import VAL_ACC, Metric
from ogive.core.objective import LatencyTradeoff, Maximize, Minimize, Objective, check_objectives

ARCH = Architecture("toy", ())

# (latency in ms, soft, hard, exponent -0.15): the reward of an accuracy of 0.5 against a target of 80 ms, computed from
# equations 2 and 3 of Tan et al. (CVPR 2019), as in their figure 3.
REWARDS = [
    (40, 0.524858, 0.5, 0.554785),
    (60, 0.510171, 0.5, 0.522048),
    (80, 0.5, 0.5, 0.5),
    (100, 0.492251, 0.4, 0.483541),
    (160, 0.476319, 0.25, 0.450625),
]


def reward(objective: Objective, accuracy: float, latency_ms: float) -> float:
    return objective(ARCH, {"val_acc": accuracy, "latency_ms": latency_ms})


def test_maximize_and_minimize_are_the_metric_and_its_negative() -> None:
    assert Maximize("val_acc")(ARCH, {"val_acc": 92.5}) == 92.5
    assert Minimize("params")(ARCH, {"params": 1e6}) == -1e6
    assert Maximize("val_acc").needs == ("val_acc",)
    assert isinstance(Minimize("params"), Objective)


@pytest.mark.parametrize(("latency_ms", "soft", "hard", "steep"), REWARDS)
def test_the_latency_tradeoff_gives_the_rewards_of_mnasnet(
    latency_ms: float, soft: float, hard: float, steep: float
) -> None:
    assert reward(LatencyTradeoff(target_ms=80), 0.5, latency_ms) == pytest.approx(soft, abs=1e-6)
    assert reward(LatencyTradeoff(target_ms=80, mode="hard"), 0.5, latency_ms) == pytest.approx(hard, abs=1e-6)
    both = LatencyTradeoff(target_ms=80, below=-0.15, above=-0.15)
    assert reward(both, 0.5, latency_ms) == pytest.approx(steep, abs=1e-6)


@pytest.mark.parametrize(
    ("accuracy", "latency_ms", "soft"),
    # Table 1 of the paper under its search reward with T = 75 ms: MnasNet-A1, A2, A3, MobileNetV2, its 1.4, NASNet-A.
    [
        (0.752, 78, 0.749938),
        (0.756, 84, 0.750026),
        (0.767, 103, 0.750155),
        (0.720, 75, 0.72),
        (0.747, 143, 0.714005),
        (0.740, 183, 0.695207),
    ],
)
def test_published_networks_get_their_reward(accuracy: float, latency_ms: float, soft: float) -> None:
    assert reward(LatencyTradeoff(target_ms=75), accuracy, latency_ms) == pytest.approx(soft, abs=1e-6)


@pytest.mark.parametrize(
    ("accuracy", "latency_ms", "hard"), [(0.752, 78, 0.723077), (0.756, 84, 0.675), (0.767, 103, 0.558495)]
)
def test_the_hard_mode_punishes_what_is_slower_than_the_target(accuracy: float, latency_ms: float, hard: float) -> None:
    assert reward(LatencyTradeoff(target_ms=75, mode="hard"), accuracy, latency_ms) == pytest.approx(hard, abs=1e-6)


def test_with_equal_exponents_the_target_does_not_change_the_ranking() -> None:
    candidates = [(accuracy, latency) for latency, accuracy in ((40, 70.0), (60, 74.0), (90, 75.0), (150, 76.0))]
    orders = {
        tuple(sorted(candidates, key=lambda c: reward(LatencyTradeoff(target_ms=target), *c)))
        for target in (10, 75, 400)
    }
    assert len(orders) == 1


def test_a_tradeoff_names_what_it_needs() -> None:
    objective = LatencyTradeoff(target_ms=5, accuracy="val_top1", latency="latency_p90_ms")
    assert objective.needs == ("val_top1", "latency_p90_ms")


def test_a_tradeoff_without_sense_is_refused() -> None:
    with pytest.raises(SpecError, match="target_ms=0"):
        LatencyTradeoff(target_ms=0)
    with pytest.raises(UnknownName, match="Did you mean 'hard'"):
        LatencyTradeoff(target_ms=5, mode="hart")  # type: ignore[arg-type]


def test_objectives_that_nobody_measures_are_refused() -> None:
    with pytest.raises(SpecError, match="latency_ms"):
        check_objectives([LatencyTradeoff(target_ms=5)], [VAL_ACC])
    with pytest.raises(SpecError, match="at least one objective"):
        check_objectives([], [VAL_ACC])


def test_objectives_never_see_the_test_set_even_if_it_is_measured() -> None:
    with pytest.raises(SpecError, match="never sees the test set"):
        check_objectives([Maximize("test_acc")], [VAL_ACC, Metric("test_acc")])


@pytest.mark.parametrize("latency_ms", [40, 120])
def test_the_absolute_reward_aims_at_its_target_from_both_sides(latency_ms: float) -> None:
    objective = LatencyTradeoff(target_ms=80, mode="absolute", penalty=10)
    assert reward(objective, 70, 80) == 70
    assert reward(objective, 70, latency_ms) == pytest.approx(65)


def test_only_the_absolute_and_the_hard_reward_let_the_target_decide() -> None:
    """Accuracies that rise by ln latency, less than the soft reward's elasticity allows from about 70 / 0.07 on."""
    candidates = [(70 + 2 * math.log(ms), float(ms)) for ms in range(1, 201)]
    for mode, chosen in (("absolute", {20: 20, 80: 80}), ("hard", {20: 20, 80: 80}), ("soft", {20: 1, 80: 1})):
        for target, wanted in chosen.items():
            objective = LatencyTradeoff(target_ms=target, mode=mode)  # type: ignore[arg-type]
            assert max(candidates, key=lambda one: reward(objective, *one))[1] == wanted, (mode, target)


@pytest.mark.parametrize("latency_ms", [0.0, -1.0, math.nan])
def test_a_latency_that_is_not_positive_has_no_reward(latency_ms: float) -> None:
    for mode in ("soft", "hard", "absolute"):
        assert math.isnan(reward(LatencyTradeoff(target_ms=5, mode=mode), 70, latency_ms))  # type: ignore[arg-type]


def test_rewards_refuse_options_of_others() -> None:
    with pytest.raises(SpecError, match="no exponents"):
        LatencyTradeoff(target_ms=5, mode="absolute", above=-1)
    with pytest.raises(SpecError, match="penalty=0"):
        LatencyTradeoff(target_ms=5, mode="absolute", penalty=0)
