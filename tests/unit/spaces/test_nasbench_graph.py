from __future__ import annotations

import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture
from ogive.spaces.nasbench_graph import flow, nasbench_graph
from ogive.testing import check_space


def arch(number: str) -> Architecture:
    return nasbench_graph().parse(number)


def test_the_space_keeps_its_promises() -> None:
    check_space(nasbench_graph())


def test_there_are_26206_different_architectures_each_the_smallest_number_of_its_class() -> None:
    listed = list(nasbench_graph())
    assert len(listed) == len(nasbench_graph()) == 26_206
    assert len({flow(one) for one in listed}) == 26_206
    numbers = [int(nasbench_graph().format(one)) for one in listed]
    assert numbers == sorted(numbers)
    assert all(nasbench_graph().canonical(one) == one for one in listed[::1000])


# Four operations that all read the input may stand in any order; a skip that is read passes its input on, and one that
# nobody reads makes an output of its input.
@pytest.mark.parametrize(
    ("first", "second"),
    [("123", "3210"), ("10008", "18000"), ("81823", "88123"), ("80128", "80812"), ("10123", "10213")],
)
def test_numbers_that_compute_the_same(first: str, second: str) -> None:
    assert flow(arch(first)) == flow(arch(second))
    assert nasbench_graph().canonical(arch(first)) == nasbench_graph().canonical(arch(second))


@pytest.mark.parametrize(
    ("first", "second"), [("80123", "80132"), ("80001", "10001"), ("58001", "50001"), ("10128", "10182")]
)
def test_numbers_that_do_not(first: str, second: str) -> None:
    parsed = [Architecture("nasbench_graph", tuple(map(int, number))) for number in (first, second)]
    assert flow(parsed[0]) != flow(parsed[1])


@pytest.mark.parametrize("number", ["8", "88888", "12384", "18888"])
def test_an_architecture_with_an_output_that_is_the_input_is_illegal(number: str) -> None:
    with pytest.raises(InvalidArchitecture, match="not a legal architecture"):
        arch(number)


@pytest.mark.parametrize("text", ["", "9", "123456", "-1", "1.0", "\u2167", "\u0661"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidArchitecture, match="a number of up to five digits"):
        arch(text)


def test_numbers_lose_leading_zeros_as_published() -> None:
    assert arch("0").choices == (0, 0, 0, 0, 0)
    assert arch("58001").choices == (5, 8, 0, 0, 1)
    assert nasbench_graph().format(arch("00123")) == "123"


def test_the_picture_concatenates_what_nobody_reads() -> None:
    graph = nasbench_graph().draw(arch("40127"))
    assert graph.ops == ("input", "gat", "gcn", "gin", "fc", "concat", "output")
    # 0013: nodes 1 and 2 read the input, node 3 reads node 1, node 4 reads node 3.
    assert graph.edges == {(0, 1), (0, 2), (1, 3), (3, 4), (2, 5), (4, 5), (5, 6)}
