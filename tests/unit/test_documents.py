from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ogive.documents import checked, checker, parsed, read_json

SHAPE = {
    "name": str,
    "seed": int,
    "wall_s": float,
    "done": bool,
    "world": (str, None),
    "sizes": [int],
    "budget?": {"trials?": (int, None)},
    "metrics": {...: (float, str)},
    "more": object,
}
GOOD: dict[str, Any] = {
    "name": "é", "seed": 3, "wall_s": 1, "done": True, "world": None, "sizes": [1, 2], "budget": {"trials": None},
    "metrics": {"val_acc": 0.5, "score": "inf"}, "more": [[{}]], "unknown": 5,
}  # fmt: skip


def test_what_has_the_shape_comes_back_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(GOOD))
    assert read_json(path, SHAPE) == checker(SHAPE)(GOOD) == GOOD
    assert checked({key: value for key, value in GOOD.items() if key != "budget"}, SHAPE)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"name": 5}, "name should be a text, but is 5"),
        ({"seed": True}, "seed should be a whole number, but is true"),
        ({"seed": 1.0}, "seed should be a whole number, but is 1.0"),
        ({"seed": 2**64}, "seed should be a whole number, but is 18446744073709551616"),
        ({"wall_s": float("nan")}, "wall_s should be a finite number, but is NaN"),
        ({"wall_s": 10**400}, f"wall_s should be a finite number, but is 1{'0' * 56}..."),
        ({"wall_s": None}, "wall_s should be a finite number, but is null"),
        ({"done": 1}, "done should be true or false, but is 1"),
        ({"world": []}, "world should be a text or null, but is a list"),
        ({"sizes": [1, "2"]}, 'sizes[1] should be a whole number, but is "2"'),
        ({"sizes": {}}, "sizes should be a list, but is an object"),
        ({"budget": {"trials": "x" * 100}}, f'budget.trials should be a whole number or null, but is "{"x" * 56}...'),
        ({"budget": 5}, "budget should be an object, but is 5"),
        ({"metrics": {"val_acc": None}}, "metrics.val_acc should be a finite number or a text, but is null"),
    ],
)
def test_the_first_place_with_another_shape_is_named(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=r"^.*$") as refusal:
        checked(GOOD | changed, SHAPE)
    assert str(refusal.value) == said
    with pytest.raises(ValueError, match=r"^.*$") as refusal:
        checker(SHAPE)(GOOD | changed)
    assert str(refusal.value) == said


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match=r"^it lacks budget\.trials$"):
        checked({"budget": {}}, {"budget": {"trials": int}})


@pytest.mark.parametrize(
    "text", [b"", b"\xff", b"[" * 100_000, b"1" * 5000, b'"\\ud800"', b"{", b"[1,]", b'{"a": "\\udfff"}', b"\0"]
)
def test_what_is_no_json_is_refused_in_one_line(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]{1,200}"):
        parsed(text)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(ValueError, match="it is no file"):
        read_json(tmp_path / "a.json", object)
