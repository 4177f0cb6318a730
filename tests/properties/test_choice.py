"""No rule ever answers with a trial that another one beats."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ogive.choice import Limit, choose
from ogive.core.architecture import Architecture
from ogive.core.trial import Measurement, Proposal, Trial

# Few distinct values make ties, where a front is easily left.
small = st.one_of(st.integers(-2, 3).map(float), st.floats(-1e6, 1e6))
points = st.integers(1, 4).flatmap(
    lambda objectives: st.integers(1, 15).flatmap(lambda n: arrays(float, (n, objectives), elements=small))
)
limits = st.lists(
    st.builds(Limit, st.sampled_from(["m0", "m1", "other"]), st.sampled_from(["<=", ">=", "<", ">"]), small), max_size=2
)


def trials_of(rows: np.ndarray) -> list[Trial]:
    """Trials whose first scores are metrics, and which have one more."""
    found = []
    for number, scores in enumerate(rows.tolist()):
        metrics = {"m0": scores[0], "m1": scores[-1], "other": float(number % 3)}
        arch = Architecture("x", (number,))
        found.append(Trial(number, Proposal(arch), Measurement(metrics), "ok", tuple(scores)))
    return found


def beats(a: Trial, b: Trial) -> bool:
    return a.scores != b.scores and all(x >= y for x, y in zip(a.scores or (), b.scores or (), strict=True))


@given(points, limits)
def test_what_is_chosen_of_several_objectives_is_beaten_by_no_trial(rows: np.ndarray, kept: list[Limit]) -> None:
    trials = trials_of(rows)
    chosen = choose(trials, limits=kept)
    if chosen.trial is None:
        assert kept
        assert chosen.missing
        return
    assert all(limit.keeps(chosen.trial.metrics) for limit in kept)
    rivals = trials if rows.shape[1] > 1 else [t for t in trials if all(limit.keeps(t.metrics) for limit in kept)]
    assert not any(beats(rival, chosen.found) for rival in rivals)


@given(points)
def test_the_choice_depends_on_the_front_alone(rows: np.ndarray) -> None:
    trials = trials_of(rows)
    front = [trial for trial in trials if not any(beats(rival, trial) for rival in trials)]
    assert choose(trials).trial == choose(front).trial
