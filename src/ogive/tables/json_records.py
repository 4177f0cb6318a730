"""Read the records of a large JSON file one after the other, with no more of it in memory than one record needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from ogive.core.errors import SpecError

__all__ = ["records"]

CHUNK = 2**18
# Far beyond any record of a benchmark; a text without an end would otherwise ask for all memory.
LONGEST = 2**24
BLANK = " \t\r\n"
# A word or an escape that the end of the text cuts is reported where it begins, so many characters before the end.
CUT = 16

Progress = Callable[[int, int], None]


def records(path: Path, lists: Sequence[str], progress: Progress | None = None) -> Iterator[Any]:
    """The elements of the list that a file holds, or of the `lists` that its one object holds, in their order.

    `progress` is called with the characters that were read and the bytes of the file. SpecError if the file is no such
    JSON; it names the record that is damaged, counted from 0.
    """
    try:
        with path.open(encoding="utf-8") as file:
            yield from _Reader(path, file, progress or (lambda done, total: None)).elements(lists)
    except OSError as error:
        raise SpecError(f"Cannot read {path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise SpecError(f"{path} is no JSON: it is no text in UTF-8.") from None


class _Reader:
    """The part of the file that was read and not yet used."""

    def __init__(self, path: Path, file: IO[str], progress: Progress) -> None:
        self.path, self.file, self.progress = path, file, progress
        self.done, self.size = 0, path.stat().st_size
        self.text, self.at, self.ended, self.number = "", 0, False, 0
        self.decoder = json.JSONDecoder()

    def elements(self, lists: Sequence[str]) -> Iterator[Any]:
        if self.take("[{") == "[":
            yield from self.array()
        else:
            yield from self.members(lists)
        if self.peek():
            raise self.damaged("there is more after its end")

    def members(self, lists: Sequence[str]) -> Iterator[Any]:
        seen: set[str] = set()
        while True:
            name = self.value()
            if name not in lists or name in seen:
                raise self.damaged(f"its object holds the lists {' and '.join(lists)}, each once, and not {name!r:.60}")
            seen.add(name)
            self.take(":")
            self.take("[")
            yield from self.array()
            if self.take(",}") == "}":
                return

    def array(self) -> Iterator[Any]:
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield self.value()
            self.number += 1
            if self.take(",]") == "]":
                return

    def value(self) -> Any:
        """The next JSON value, however many chunks it takes."""
        self.peek()
        while True:
            try:
                value, end = self.decoder.raw_decode(self.text, self.at)
                # A number may go on in the next chunk; whatever else is whole has an end of its own.
                if end < len(self.text) or not self.more():
                    self.at = end
                    return value
            except RecursionError:
                raise self.damaged("it is nested too deeply") from None
            except ValueError as error:
                cut = isinstance(error, json.JSONDecodeError) and (
                    error.msg.startswith("Unterminated") or error.pos >= len(self.text) - CUT
                )
                if not cut:
                    raise self.damaged(f"{error}".splitlines()[0]) from None
                if not self.more():
                    raise self.damaged(f"it ends too early ({error.args[0]})") from None

    def peek(self) -> str:
        """The next character that is not blank; empty at the end of the file."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in BLANK:
                self.at += 1
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def take(self, expected: str) -> str:
        found = self.peek()
        if not found or found not in expected:
            what = f"{found!r} stands" if found else "it ends"
            raise self.damaged(f"{what} where {' or '.join(expected)} should be")
        self.at += 1
        return found

    def more(self) -> bool:
        """Read on, as much again as is there already, so that a long value is not parsed over and over."""
        if self.ended:
            return False
        left = self.text[self.at :]
        if len(left) > LONGEST:
            raise self.damaged(f"it is longer than {LONGEST:,} characters")
        chunk = self.file.read(max(CHUNK, len(left)))
        self.ended = not chunk
        self.done += len(chunk)
        self.progress(self.done, self.size)
        self.text, self.at = left + chunk, 0
        return not self.ended

    def damaged(self, reason: str) -> SpecError:
        return SpecError(f"Record {self.number} of {self.path} is damaged: {reason}.")
