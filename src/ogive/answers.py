"""What a trained network answers on its test set: how often rightly of each class, what it mixes up, and its mistakes.

It is kept beside the network, as ``answers.json``, so that a page can show it without the data.
"""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ogive.core.errors import StoreError, in_line
from ogive.documents import read_json
from ogive.files import write_json

__all__ = ["ANSWERS", "Answers", "Mistake", "Shown", "Tally", "keep_answers", "read_answers"]

ANSWERS = "answers.json"
_TALLY = {"name": str, "count": int, "found": int, "said": int}
_MISTAKE = {"truth": str, "said": str, "share": float, "picture": str, "text": str, "curve": [float]}
_ANSWERS = {"schema": int, "kind": str, "count": int, "tallies": [_TALLY], "confusion": ([[int]], None)} | {
    "mistakes": [_MISTAKE]
}


@dataclass(frozen=True, slots=True)
class Shown:
    """What a person sees of an input: a picture as PNG, a text, or a curve; what it has not is empty."""

    picture: bytes = b""
    text: str = ""
    curve: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Tally:
    """A class: how many inputs have it, of how many of them the network says so, and how often it says so in all."""

    name: str
    count: int
    found: int
    said: int


@dataclass(frozen=True, slots=True)
class Mistake:
    """An input with its true class or classes, those that the network said, and how sure it was of that, 0 to 1."""

    truth: str
    said: str
    share: float
    shown: Shown


@dataclass(frozen=True, slots=True)
class Answers:
    """All answers on `count` test inputs; `kind` is what they are, in the plural.

    `confusion` holds (true class, said class, how often) for each pair of places in `tallies` that occurs, the frequent
    ones first; None where an input may have several classes. `mistakes` are those of which the network was surest.
    """

    kind: str
    count: int
    tallies: tuple[Tally, ...]
    confusion: tuple[tuple[int, int, int], ...] | None
    mistakes: tuple[Mistake, ...]


def keep_answers(answers: Answers, path: Path) -> None:
    """Write them; StoreError if that cannot be done."""
    mistakes = [_written(mistake) for mistake in answers.mistakes]
    write_json(path, {"schema": 1, **asdict(answers), "mistakes": mistakes})


def read_answers(path: Path) -> Answers | None:
    """What `keep_answers` wrote; None where there is no such file, StoreError for a damaged one."""
    if not path.exists():
        return None
    try:
        found = read_json(path, _ANSWERS)
        tallies = tuple(Tally(*(row[key] for key in _TALLY)) for row in found["tallies"])
        return Answers(
            found["kind"],
            found["count"],
            tallies,
            None if found["confusion"] is None else tuple(_pair(row, len(tallies)) for row in found["confusion"]),
            tuple(_read(row) for row in found["mistakes"]),
        )
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} is damaged ({in_line(error)}): delete it.") from error


def _written(mistake: Mistake) -> dict[str, Any]:
    shown = {**asdict(mistake.shown), "picture": base64.b64encode(mistake.shown.picture).decode()}
    return {"truth": mistake.truth, "said": mistake.said, "share": mistake.share, **shown}


def _read(row: dict[str, Any]) -> Mistake:
    shown = Shown(base64.b64decode(row["picture"], validate=True), row["text"], tuple(row["curve"]))
    return Mistake(row["truth"], row["said"], row["share"], shown)


def _pair(row: list[int], classes: int) -> tuple[int, int, int]:
    if len(row) != 3 or not all(0 <= place < classes for place in row[:2]):
        raise ValueError(f"the confusion {row} is none of {classes} classes")
    return row[0], row[1], row[2]
