from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy
import pytest
import torch
from threadpoolctl import threadpool_info

from ogive.training.threads import settle, threads


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


def test_the_linear_algebra_of_numpy_works_with_as_many_and_then_with_as_many_as_before() -> None:
    numpy.linalg.eigvalsh(numpy.eye(2))
    before = linear_algebra()
    with threads(1):
        assert set(linear_algebra()) <= {1}
    assert linear_algebra() == before


def linear_algebra() -> list[int]:
    """Threads of each library that numpy computes with; some builds have none whose threads can be counted."""
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def test_a_thread_that_never_sleeps_is_waited_for_only_so_long() -> None:
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            pass

    busy = threading.Thread(target=work)
    busy.start()
    try:
        started = time.perf_counter()
        settle(0.1)
        assert time.perf_counter() - started >= 0.1
    finally:
        ended.set()
        busy.join()
    settle(60.0)
    assert time.perf_counter() - started < 60.0
