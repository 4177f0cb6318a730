from __future__ import annotations

import pytest

from ogive.core.errors import InvalidArchitecture
from ogive.spaces.notation import arguments


def test_arguments_are_read_by_key_and_by_position() -> None:
    expected = {"a": [1, ("x", 2)], "b": None}
    assert arguments("Cell(a=[1, ('x', 2)], b=None)", "Cell", ("a", "b")) == expected
    assert arguments("  Cell([1, ('x', 2)], b=None)\n", "Cell", ("a", "b")) == expected
    assert arguments("api.Cell([1, ('x', 2)], None)", "Cell", ("a", "b")) == expected


def test_a_range_becomes_a_list() -> None:
    assert arguments("Cell(a=range(2, 6))", "Cell", ("a",)) == {"a": [2, 3, 4, 5]}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Cell",
        "Other(a=1)",
        "Cell(a=1, b=2)",
        "Cell()",
        "Cell(1, a=1)",
        "Cell(1, 2)",
        "Cell(**{'a': 1})",
        "Cell(*[1])",
        "Cell(a=open('file'))",
        "Cell(a=().__class__)",
        "Cell(a=range(10**9))",
        "Cell(a=range(1, x))",
        "Cell(a=range(0, 5, 0))",
        "Cell(a='unclosed",
        "Cell(a=" + "(" * 9_000 + ")" * 9_000 + ")",
        "Cell(a=" + "-" * 15_000 + "1)",
        "Cell(a='" + "x" * 30_000 + "')",
        "Cell(a='\0')",
        "lambda: 0",
    ],
)
def test_anything_else_is_refused_in_one_line_and_nothing_is_run(text: str) -> None:
    with pytest.raises(InvalidArchitecture, match="Cannot read") as refusal:
        arguments(text, "Cell", ("a",))
    assert len(str(refusal.value)) < 500
    assert "\n" not in str(refusal.value)
