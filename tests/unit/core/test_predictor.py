from __future__ import annotations

import math

import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.predictor import Observed

A, B, C = (Architecture("natssize", (value,) * 5) for value in range(3))


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_what_failed_is_no_label(score: float) -> None:
    with pytest.raises(SpecError, match=r"natssize:1,1,1,1,1 is (nan|inf): leave out"):
        Observed((A, B), (1.0, score))


def test_every_label_has_its_own_values() -> None:
    with pytest.raises(SpecError, match="2 labels have 1 scores"):
        Observed((A, B), (1.0,))
    with pytest.raises(SpecError, match="2 labels have 3 sources"):
        Observed((A, B), (1.0, 2.0), sources=(None, None, None))


def test_labels_are_compared_at_the_highest_fidelity_of_the_searchs_own_data() -> None:
    observed = Observed((A, B, C, A), (1.0, 2.0, 3.0, 4.0), (12, None, None, None), (None, None, None, "cifar100"))
    assert observed.comparable() == Observed((B, C), (2.0, 3.0))
    without_full = Observed((A, B, C), (1.0, 2.0, 3.0), fidelities=(3, 12, 12))
    assert without_full.comparable() == Observed((B, C), (2.0, 3.0))
    assert Observed((A, B), (1.0, 2.0)).comparable() == Observed((A, B), (1.0, 2.0))


def test_labels_of_other_kinds_stand_together_kind_by_kind() -> None:
    observed = Observed(
        (A, B, C, A, B, C, A, B),
        (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0),
        (12, None, None, None, 12, None, 4, None),
        (None, None, None, "cifar100", None, "cifar100", None, None),
    )
    assert observed.comparable() == Observed((B, C, B), (2.0, 3.0, 8.0))
    assert observed.others() == (Observed((A, B), (1.0, 5.0)), Observed((A, C), (4.0, 6.0)))  # one of 4 says nothing
    assert Observed((A, B), (1.0, 2.0)).others() == ()


def test_fewer_than_two_comparable_labels_are_refused() -> None:
    with pytest.raises(SpecError, match="at least, but got 1"):
        Observed((A, B), (1.0, 2.0), fidelities=(12, None)).comparable()
    with pytest.raises(SpecError, match="at least, but got 0"):
        Observed((A, B), (1.0, 2.0), sources=("cifar100", "cifar100")).comparable()
