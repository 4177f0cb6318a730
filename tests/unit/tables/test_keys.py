from __future__ import annotations

import itertools

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError, UnknownName
from ogive.spaces.nasbench101 import nasbench101, spellings
from ogive.tables.keys import MixedRadix, SortedDigests, key_from

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


# -- tables of some architectures -------------------------------------------------------------------------------------

SOME = np.array([[0, 1, 2], [3, 0, 1], [2, 2, 2], [1, 1, 0]])


def some_key() -> tuple[SortedDigests, np.ndarray]:
    return SortedDigests.of("toy", SOME)


def test_a_row_is_found_by_digest_and_gives_its_choices_back() -> None:
    key, order = some_key()
    assert key.rows == 4
    assert sorted(order.tolist()) == [0, 1, 2, 3]
    for row, place in enumerate(order.tolist()):
        assert key.choices(row) == tuple(SOME[place].tolist())
        assert key.row(SOME[place].tolist()) == row
    np.testing.assert_array_equal(key.rows_of(SOME[order]), np.arange(4))
    np.testing.assert_array_equal(key.all_choices(), SOME[order])


def test_an_architecture_that_was_not_measured_has_no_row() -> None:
    key, _ = some_key()
    with pytest.raises(InvalidArchitecture, match=r"toy:0,0,0 is none of the 4 architectures"):
        key.row((0, 0, 0))
    with pytest.raises(InvalidArchitecture, match=r"toy:9,9,9 is none"):
        key.rows_of([[0, 1, 2], [9, 9, 9]])
    with pytest.raises(InvalidArchitecture, match="3 choices; got 2"):
        key.row((0, 0))
    with pytest.raises(InvalidArchitecture, match="3 choices; got 2"):
        key.rows_of([[0, 0]])
    with pytest.raises(InvalidArchitecture, match="integers of shape"):
        key.rows_of([[0.5, 0.5, 0.5]])


def test_an_architecture_has_one_row() -> None:
    with pytest.raises(SpecError, match=r"toy:0,1,2 and toy:0,1,2 are the same one"):
        SortedDigests.of("toy", np.concatenate([SOME, SOME[:1]]))


def test_isomorphic_cells_of_nasbench101_have_one_row() -> None:
    space = nasbench101()
    rng = np.random.default_rng(0)
    cells = {space.canonical(space.sample(rng)).choices for _ in range(20)}
    key, _ = SortedDigests.of("nasbench101", np.array(sorted(cells)), by="module hash")
    for cell in cells:
        written = spellings(Architecture("nasbench101", cell))
        assert len(set(key.rows_of(written).tolist())) == 1
    with pytest.raises(InvalidArchitecture, match="not a legal cell"):
        key.row((0,) * 26)


def test_two_digests_with_equal_first_halves_are_told_apart() -> None:
    halves = [(7, 1), (7, 3), (7, 2), (5, 9)]
    digests = [first.to_bytes(8, "big") + second.to_bytes(8, "big") for first, second in halves]
    key, order = SortedDigests.of("toy", SOME, digests=digests)
    assert order.tolist() == [3, 0, 2, 1]
    known = dict(zip(map(tuple, SOME.tolist()), digests, strict=True))
    key._digest = lambda: lambda arch: known[arch.choices]
    assert [key.row(choices) for choices in SOME.tolist()] == [1, 3, 2, 0]
    np.testing.assert_array_equal(key.rows_of(SOME), [1, 3, 2, 0])


def test_a_key_of_digests_is_made_again_from_what_it_writes() -> None:
    key, _ = some_key()
    again = key_from(key.description(), key.arrays().__getitem__)
    assert again.rows == 4
    assert again.row((2, 2, 2)) == key.row((2, 2, 2))
    with pytest.raises(UnknownName, match="way of digesting"):
        key_from(key.description() | {"by": "smell"}, key.arrays().__getitem__)
    with pytest.raises(UnknownName, match="way of digesting"):
        SortedDigests.of("toy", SOME, by="smell")
