from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from ogive.training.threads import threads


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_the_number_of_threads_is_that_of_before_even_after_an_error() -> None:
    def fails() -> None:
        with threads(2):
            raise ValueError(f"{torch.get_num_threads()} threads")

    with pytest.raises(ValueError, match="2 threads"):
        fails()
    assert torch.get_num_threads() == 3


def test_none_leaves_the_number_to_others() -> None:
    with threads(None):
        torch.set_num_threads(1)
    assert torch.get_num_threads() == 1
