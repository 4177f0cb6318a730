from __future__ import annotations

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture


def test_an_architecture_is_written_and_read_in_one_text_form() -> None:
    arch = Architecture("nasbench201", (3, 1, 2, 0, 0, 4))
    assert str(arch) == "nasbench201:3,1,2,0,0,4"
    assert Architecture.parse(str(arch)) == arch


def test_real_choices_survive_the_text_form_to_the_last_digit() -> None:
    arch = Architecture("mixed", (0.1 + 0.2, -1e-300, 7))
    found = Architecture.parse(str(arch))
    assert found == arch
    assert [type(choice) for choice in found.choices] == [float, float, int]


def test_an_architecture_of_no_variables_has_a_text_form_too() -> None:
    assert Architecture.parse("alone:") == Architecture("alone", ())


def test_spaces_around_the_text_are_ignored() -> None:
    assert Architecture.parse("  toy:1,2\n") == Architecture("toy", (1, 2))


@pytest.mark.parametrize("text", ["", "toy", "toy:1,", "toy:a", "toy:1 2", ":1", "2toy:1", "toy:1,,2", "|none~0|"])
def test_other_texts_are_refused_with_the_text_in_the_message(text: str) -> None:
    with pytest.raises(InvalidArchitecture) as caught:
        Architecture.parse(text)
    assert repr(text) in str(caught.value)


def test_architectures_are_hashable_ordered_and_without_attributes_of_their_own() -> None:
    first, second = Architecture("toy", (0, 1)), Architecture("toy", (0, 2))
    assert len({first, Architecture("toy", (0, 1)), second}) == 2
    assert sorted([second, first]) == [first, second]
    with pytest.raises(AttributeError):
        first.choices = (1, 1)  # type: ignore[misc]


def test_numbers_of_numpy_are_written_like_those_of_python() -> None:
    drawn = Architecture("mixed", (np.int64(3), np.uint8(0), np.float64(0.1), np.float32(0.5)))  # type: ignore[arg-type]
    assert str(drawn) == "mixed:3,0,0.1,0.5"
    assert Architecture.parse(str(drawn)) == drawn
