from __future__ import annotations

import itertools
import math
import pickle
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError
from ogive.core.graph import Graph
from ogive.core.space import Choice, Draw, Fixed, Real, SearchSpace
from ogive.testing import check_space

AB = Choice("first", ("a", "b", "c"))
XY = Choice("second", ("x", "y"))
ABC = Choice("third", ("a", "b", "c"))


def draw(arch: Architecture) -> Graph:
    return Graph(("input", "output"), frozenset({(0, 1)}))


def is_even(choices: tuple[int | float, ...]) -> bool:
    return sum(choices) % 2 == 0


def never(choices: tuple[int | float, ...]) -> bool:
    return False


def listing() -> Iterator[Architecture]:
    return iter([Architecture("listed", (0, 1)), Architecture("listed", (2, 0))])


def read(text: str) -> Architecture:
    return Architecture("worded", tuple("abc".index(letter) for letter in text))


def write(arch: Architecture) -> str:
    return "".join("abc"[int(choice)] for choice in arch.choices)


FREE = SearchSpace("free", (AB, XY), draw)
EVEN = SearchSpace("even", (AB, ABC, XY), draw, is_even)
MIXED = SearchSpace("mixed", (AB, Real("width", -1.0, 3.0)), draw)
WORDED = SearchSpace("worded", (AB, ABC), draw, read=read, write=write)
LISTED = SearchSpace("listed", (AB, XY), draw, listing=listing, count=2)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("space", [FREE, EVEN, MIXED, WORDED], ids=lambda space: space.name)
def test_a_space_made_of_data_keeps_the_contract(space: SearchSpace) -> None:
    check_space(space)


def test_a_variable_needs_options_or_a_range() -> None:
    with pytest.raises(SpecError, match="at least one option"):
        Choice("empty", ())
    for low, high in ((1.0, 1.0), (2.0, 1.0), (0.0, math.inf), (math.nan, 1.0)):
        with pytest.raises(SpecError, match="low < high"):
            Real("width", low, high)


@pytest.mark.parametrize(
    ("choices", "reason"),
    [((0,), "2 variables"), ((0, 2), "0..1"), ((-1, 0), "0..2"), ((0.0, 1), "0..2"), (("a", 0), "'a'")],
)
def test_choices_outside_the_space_are_refused_with_their_value(choices: tuple[int, ...], reason: str) -> None:
    with pytest.raises(InvalidArchitecture) as caught:
        FREE.check(choices)
    assert reason in str(caught.value)


def test_numbers_of_numpy_become_plain_ones() -> None:
    arch = MIXED.check((np.int64(2), np.float32(0.5)))
    assert arch == Architecture("mixed", (2, 0.5))
    assert [type(choice) for choice in arch.choices] == [int, float]


def test_a_real_choice_must_lie_in_its_range() -> None:
    assert MIXED.check((0, 3)).choices == (0, 3.0)
    for value in (3.1, math.nan, -math.inf):
        with pytest.raises(InvalidArchitecture, match="lies in"):
            MIXED.check((0, value))


def test_illegal_combinations_and_other_spaces_are_refused() -> None:
    with pytest.raises(InvalidArchitecture, match="not a legal architecture"):
        EVEN.check((0, 0, 1))
    with pytest.raises(InvalidArchitecture, match="belongs to the space 'free'"):
        EVEN.admit(Architecture("free", (0, 0)))


def test_both_text_forms_are_read() -> None:
    arch = Architecture("worded", (2, 0))
    assert WORDED.format(arch) == "ca"
    assert WORDED.parse("ca") == WORDED.parse("worded:2,0") == arch
    assert FREE.format(Architecture("free", (1, 1))) == "free:1,1"


def test_the_text_of_another_space_is_refused_with_the_name_of_that() -> None:
    with pytest.raises(InvalidArchitecture, match="free:1,1 belongs to the space 'free', not to 'worded'"):
        WORDED.parse("free:1,1")


def test_samples_are_uniform_over_the_legal_ones(rng: np.random.Generator) -> None:
    counts = Counter(EVEN.sample(rng) for _ in range(4500))
    assert set(counts) == set(EVEN)
    # Nine architectures, 500 expected of each; five standard deviations.
    assert all(abs(count - 500) < 5 * (500 * 8 / 9) ** 0.5 for count in counts.values())


def test_a_mutation_is_uniform_over_variables_and_over_other_values(rng: np.random.Generator) -> None:
    arch = Architecture("free", (1, 0))
    counts = Counter(FREE.mutate(arch, rng).choices for _ in range(4000))
    assert set(counts) == {(0, 0), (2, 0), (1, 1)}
    assert abs(counts[1, 1] - 2000) < 5 * 1000**0.5
    assert abs(counts[0, 0] - 1000) < 5 * 750**0.5


def test_a_mutation_skips_variables_with_one_option(rng: np.random.Generator) -> None:
    space = SearchSpace("half", (Choice("fixed", ("only",)), XY), draw)
    assert {space.mutate(Architecture("half", (0, 0)), rng).choices for _ in range(50)} == {(0, 1)}


def test_a_space_of_one_architecture_cannot_mutate(rng: np.random.Generator) -> None:
    space = SearchSpace("one", (Choice("fixed", ("only",)),), draw)
    with pytest.raises(SpecError, match="single architecture"):
        space.mutate(Architecture("one", (0,)), rng)


def test_a_real_mutation_stays_in_range(rng: np.random.Generator) -> None:
    space = SearchSpace("real", (Real("width", 0.0, 1.0),), draw)
    arch = Architecture("real", (0.99,))
    values = [space.mutate(arch, rng).choices[0] for _ in range(200)]
    assert all(0.0 <= value <= 1.0 for value in values)
    assert len(set(values)) > 50


def test_a_child_takes_each_variable_from_either_parent(rng: np.random.Generator) -> None:
    children = {FREE.cross(Architecture("free", (0, 0)), Architecture("free", (2, 1)), rng).choices for _ in range(100)}
    assert children == {(0, 0), (0, 1), (2, 0), (2, 1)}


def test_children_are_legal_and_a_parent_if_there_is_no_other(rng: np.random.Generator) -> None:
    space = SearchSpace("even", (AB, AB), draw, is_even)
    children = {space.cross(Architecture("even", (0, 0)), Architecture("even", (1, 1)), rng) for _ in range(50)}
    assert children == {Architecture("even", (0, 0)), Architecture("even", (1, 1))}


def test_neighbours_differ_in_one_variable_and_are_legal() -> None:
    assert [arch.choices for arch in FREE.neighbours(Architecture("free", (1, 0)))] == [(0, 0), (2, 0), (1, 1)]
    assert [arch.choices for arch in EVEN.neighbours(Architecture("even", (0, 0, 0)))] == [(2, 0, 0), (0, 2, 0)]


def test_the_neighbours_of_a_real_choice_are_a_tenth_of_its_range_away() -> None:
    space = SearchSpace("real", (Real("width", 0.0, 1.0),), draw)
    assert [arch.choices[0] for arch in space.neighbours(Architecture("real", (0.5,)))] == pytest.approx([0.4, 0.6])
    assert [arch.choices[0] for arch in space.neighbours(Architecture("real", (1.0,)))] == pytest.approx([0.9])


DRAWN = SearchSpace("drawn", (XY, Draw("draw", 3)), draw)


def test_draws_are_drawn_and_mutated_but_no_neighbours(rng: np.random.Generator) -> None:
    assert {DRAWN.sample(rng).choices for _ in range(100)} == set(itertools.product(range(2), range(3)))
    assert {DRAWN.mutate(Architecture("drawn", (0, 1)), rng).choices for _ in range(100)} == {(1, 1), (0, 0), (0, 2)}
    assert [arch.choices for arch in DRAWN.neighbours(Architecture("drawn", (0, 1)))] == [(1, 1)]
    assert (len(DRAWN), DRAWN.modelled) == (6, (0,))
    for wrong in (3, -1, 0.5):
        with pytest.raises(InvalidArchitecture, match=r"draw is one of 0\.\.2"):
            DRAWN.check((0, wrong))
    check_space(DRAWN)


def test_an_architecture_is_redrawn_from_its_own_draw_on() -> None:
    assert [arch.choices for arch in DRAWN.redrawn(Architecture("drawn", (1, 2)), 3)] == [(1, 2), (1, 0), (1, 1)]
    with pytest.raises(SpecError, match="has 3 draws, but 4 were asked"):
        DRAWN.redrawn(Architecture("drawn", (1, 2)), 4)
    with pytest.raises(InvalidArchitecture, match="belongs to the space 'nowhere'"):
        DRAWN.redrawn(Architecture("nowhere", (1, 2)), 2)
    with pytest.raises(SpecError, match="has 1 draws, but 2 were asked"):
        FREE.redrawn(Architecture("free", (0, 0)), 2)
    with pytest.raises(SpecError, match="At least one draw"):
        Draw("draw", 0)


def test_what_is_fixed_is_drawn_as_it_is_and_legal_with_other_values(rng: np.random.Generator) -> None:
    space = SearchSpace("fixed", (Fixed("budget", 50, 1, 100), XY), draw)
    assert {space.sample(rng).choices for _ in range(20)} == {(50, 0), (50, 1)}
    assert space.mutate(Architecture("fixed", (70, 0)), rng).choices == (70, 1)
    assert space.parse("fixed:70,1").choices == (70, 1)
    assert (len(space), [arch.choices for arch in space], space.modelled) == (2, [(50, 0), (50, 1)], (1,))
    for wrong in (0, 101, 1.5):
        with pytest.raises(InvalidArchitecture, match=r"budget is one of 1\.\.100"):
            space.check((wrong, 0))
    with pytest.raises(SpecError, match=r"budget lies in \[1, 100\], but got 0"):
        Fixed("budget", 0, 1, 100)
    check_space(space)


def test_sizes_are_counted_infinite_or_unknown() -> None:
    assert len(FREE) == 6 == len(list(FREE))
    assert MIXED.size == math.inf
    assert math.isnan(EVEN.size)
    assert len(LISTED) == 2
    for space in (MIXED, EVEN):
        assert bool(space)
        with pytest.raises(TypeError, match="which is no length"):
            len(space)


def test_a_space_lists_itself_or_uses_its_listing() -> None:
    assert [arch.choices for arch in EVEN] == [
        (0, 0, 0), (0, 1, 1), (0, 2, 0), (1, 0, 1), (1, 1, 0), (1, 2, 1), (2, 0, 0), (2, 1, 1), (2, 2, 0)
    ]  # fmt: skip
    assert [arch.choices for arch in LISTED] == [(0, 1), (2, 0)]


def test_a_space_without_legal_architectures_says_so(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ogive.core.space.ATTEMPTS", 20)
    space = SearchSpace("void", (AB, XY), draw, never)
    with pytest.raises(SpecError, match="no legal architecture"):
        space.sample(rng)
    with pytest.raises(SpecError, match="no legal architecture"):
        space.mutate(Architecture("void", (0, 0)), rng)


def test_a_space_can_be_sent_to_another_process() -> None:
    copy = pickle.loads(pickle.dumps(EVEN))
    assert list(copy) == list(EVEN)
    assert "even" in repr(copy)
