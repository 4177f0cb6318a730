from __future__ import annotations

import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture
from ogive.spaces.autogan import CellDecisions, autogan, cells_of, sources

PUBLISHED = "1 0 1 1 1 0 0 1 1 1 0 1 0 3"


def test_there_are_36_cells_three_times_with_2_and_4_ways_to_skip() -> None:
    widths = [len(variable.options) for variable in autogan().variables]
    assert widths == [2, 3, 3, 2, 2, 3, 3, 2, 2, 2, 3, 3, 2, 4]
    assert len(autogan()) == 36**3 * 2 * 4 == 373_248


def test_the_published_generator_is_read_and_written_in_its_own_numbers() -> None:
    arch = autogan().parse(PUBLISHED)
    assert autogan().format(arch) == PUBLISHED
    assert cells_of(arch) == (
        CellDecisions("pre", "none", "nearest", True, ()),
        CellDecisions("pre", "none", "bilinear", True, (1,)),
        CellDecisions("pre", "none", "nearest", False, (1, 2)),
    )


@pytest.mark.parametrize(("cell", "number", "expected"), [(2, 1, (1,)), (3, 0, ()), (3, 1, (2,)), (3, 2, (1,))])
def test_the_lowest_bit_of_the_skips_is_the_cell_just_before(cell: int, number: int, expected: tuple[int]) -> None:
    assert sources(cell, number) == expected
    named = autogan().variables[{2: 8, 3: 13}[cell]].options[number]  # type: ignore[union-attr]
    assert named == ("+".join(map(str, expected)) or "none")


def test_the_picture_has_a_node_for_each_convolution_and_each_sum() -> None:
    graph = autogan().draw(autogan().parse(PUBLISHED))
    # Six convolutions of 3×3 and one to the image; two shortcuts and three skips of 1×1; sums where something is added.
    assert sum("conv_3x3" in op for op in graph.ops) == 7
    assert sum("conv_1x1" in op for op in graph.ops) == 5
    assert graph.ops.count("add") == 4
    plain = autogan().draw(Architecture("autogan", (0,) * 14))
    assert len(plain) == 3 + 6 + 1
    assert sorted(plain.edges) == [(node, node + 1) for node in range(9)]


@pytest.mark.parametrize("text", ["1 0 1 1", "a", PUBLISHED.replace("3", "4"), PUBLISHED.replace("0", "-1"), "٣ " * 14])
def test_what_is_no_generator_is_refused(text: str) -> None:
    with pytest.raises(InvalidArchitecture):
        autogan().parse(text)
