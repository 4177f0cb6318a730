from __future__ import annotations

import itertools

import numpy as np
import pytest

from ogive.core.errors import InvalidArchitecture, UnknownName
from ogive.tables.keys import MixedRadix, key_from

SIZES = (2, 5, 3)


def test_rows_are_the_places_in_the_lexicographic_listing() -> None:
    key = MixedRadix(SIZES)
    listing = list(itertools.product(*map(range, SIZES)))
    assert key.rows == 30
    assert [key.row(choices) for choices in listing] == list(range(30))
    assert [key.choices(row) for row in range(30)] == listing
    np.testing.assert_array_equal(key.rows_of(listing), np.arange(30))


def test_a_row_is_a_plain_number_whatever_numbers_the_choices_are() -> None:
    assert type(MixedRadix(SIZES).row(tuple(np.array([1, 4, 2], np.int8)))) is int
    assert MixedRadix(SIZES).row(tuple(np.array([1, 4, 2]))) == 29


def test_small_integers_do_not_overflow() -> None:
    key = MixedRadix([100] * 5)
    assert key.rows_of(np.full((1, 5), 99, np.int8)).tolist() == [100**5 - 1]


@pytest.mark.parametrize("choices", [(2, 0, 0), (0, -1, 0), (0, 0), (0, 0, 0, 0), (0.0, 1.0, 1.0), (0, 0, "1")])
def test_choices_that_no_row_has_are_refused(choices: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArchitecture, match="3 integer choices below 2, 5, 3"):
        MixedRadix(SIZES).row(choices)
    with pytest.raises(InvalidArchitecture, match="3 integer choices below 2, 5, 3"):
        MixedRadix(SIZES).rows_of([choices])


def test_the_first_row_of_an_array_that_is_wrong_is_named() -> None:
    with pytest.raises(InvalidArchitecture, match=r"row 1 of the array is \(1, 5, 0\)"):
        MixedRadix(SIZES).rows_of([[0, 0, 0], [1, 5, 0], [2, 0, 0]])


def test_a_key_is_made_again_from_its_description() -> None:
    key = key_from(MixedRadix(SIZES).description(), {}.__getitem__)
    assert isinstance(key, MixedRadix)
    assert key.sizes == SIZES


def test_an_unknown_kind_of_key_is_refused() -> None:
    with pytest.raises(UnknownName, match="table key"):
        key_from({"kind": "unheard of"}, {}.__getitem__)
