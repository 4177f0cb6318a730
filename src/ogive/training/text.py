"""Text: words as numbers, from a folder with a file each to train on, to validate on and to test on.

A word is whatever stands between blanks, and every line ends with the word ``<eos>``. The vocabulary is that of the
training file, in the order of first appearance, so that no other file can add to a network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ogive.core.errors import MissingData, SpecError, quoted

__all__ = ["END", "UNKNOWN", "Text", "columns", "encoded", "load", "vocabulary_of"]

END, UNKNOWN = "<eos>", "<unk>"
PARTS = ("train", "valid", "test")
# What the three files of the usual data sets are called: train.txt, ptb.train.txt, wiki.train.tokens.
SUFFIXES = ("txt", "tokens")


@dataclass(frozen=True, eq=False)
class Text:
    """A task of language: three texts as numbers (N,) int64, and the words that the numbers stand for.

    `unknown` counts, for "valid" and "test", the words that became ``<unk>`` because the training text lacks them.
    """

    name: str
    vocabulary: tuple[str, ...]
    train: Tensor
    val: Tensor
    test: Tensor
    unknown: Mapping[str, int] = field(default_factory=dict)

    tasks: ClassVar[tuple[str, ...]] = ("language",)
    kind: ClassVar[str] = "words"

    @property
    def shape(self) -> tuple[int, int, int]:
        """SpecError: whoever asks for the shape of the images wants other data."""
        raise SpecError(
            f"{self.name} is a text, of which networks of images know nothing: search darts_rnn with the evaluator "
            "trained, or give images, for example --data digits."
        )

    @property
    def summary(self) -> tuple[str, ...]:
        """How many different words there are, and how many words in each part."""
        parts = f"{len(self.train):,} to train on, {len(self.val):,} to validate on, {len(self.test):,} to test on"
        return f"a text of {len(self.vocabulary):,} different words", parts

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the vocabulary and of all the words in order, in 64 hexadecimal digits."""
        digest = hashlib.sha256("\n".join(self.vocabulary).encode())
        for part in (self.train, self.val, self.test):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part.numpy().data)
        return digest.hexdigest()

    def __reduce__(self) -> tuple[Any, ...]:
        # Plain bytes: tensors are sent between processes through shared memory, of which containers have little.
        arrays = (self.train.numpy(), self.val.numpy(), self.test.numpy())
        return _remade, (self.name, self.vocabulary, arrays, dict(self.unknown))


def _remade(name: str, vocabulary: tuple[str, ...], arrays: tuple[Any, ...], unknown: dict[str, int]) -> Text:
    train, val, test = (torch.from_numpy(array) for array in arrays)
    return Text(name, vocabulary, train, val, test, unknown)


def load(name: str, *, limit: int | None = None) -> Text:
    """A text of your own for language models: train.txt, valid.txt and test.txt in one folder.

    ``NAME.train.txt`` and ``NAME.train.tokens``, as some data sets call theirs, are found as well. `limit` keeps the
    first lines of each file, for a quick run. Raises MissingData, which names the file, and SpecError.
    """
    kind, colon, path = name.partition(":")
    if kind != "text" or not colon or not path:
        raise SpecError(f"A text is written text:FOLDER, but got {quoted(name)}.")
    if limit is not None and limit < 1:
        raise SpecError(f"limit must be at least 1, but got {limit}.")
    files = {part: _file(Path(path).expanduser(), part) for part in PARTS}
    vocabulary = vocabulary_of(files["train"], limit=limit)
    found = {part: encoded(files[part], vocabulary, limit=limit) for part in PARTS}
    texts = {part: torch.from_numpy(numbers) for part, (numbers, _) in found.items()}
    unknown = {part: found[part][1] for part in ("valid", "test")}
    return Text(name, vocabulary, texts["train"], texts["valid"], texts["test"], unknown)


def vocabulary_of(path: Path, *, limit: int | None = None) -> tuple[str, ...]:
    """The words of a file in the order of first appearance, ``<eos>`` included."""
    words: dict[str, None] = {}
    for _, line in _lines(path, limit):
        words.update(dict.fromkeys(line))
    if set(words) <= {END}:
        raise SpecError(f"{path} holds no words, so that there is nothing to train on.")
    return tuple(words)


def encoded(
    path: Path, vocabulary: tuple[str, ...], *, limit: int | None = None
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], int]:
    """The words of a file as numbers (N,), and how many became ``<unk>`` because the vocabulary lacks them.

    SpecError names the first such word and its line if the vocabulary has no ``<unk>``, and a file without words.
    """
    number = {word: index for index, word in enumerate(vocabulary)}
    fallback = number.get(UNKNOWN)
    numbers: list[int] = []
    unknown = 0
    for line_number, line in _lines(path, limit):
        for word in line:
            index = number.get(word, fallback)
            if index is None:
                raise SpecError(
                    f"{path}, line {line_number}: the word {quoted(word)} does not occur in the training text, which "
                    f"has no {UNKNOWN} either: write {UNKNOWN} for rare words in all three files, or train on a text "
                    "with that word."
                )
            unknown += word not in number
            numbers.append(index)
    if len(numbers) < 2:
        raise SpecError(f"{path} has {len(numbers)} word(s), but two are the least of which one predicts the other.")
    return np.array(numbers, np.int64), unknown


def columns(words: Tensor, count: int) -> Tensor:
    """A text cut into `count` texts of equal length side by side, shape (T, count); the last few words are left out."""
    moments = len(words) // count
    if moments < 2:
        raise SpecError(
            f"{len(words)} words cannot be read as {count} texts side by side, two words each at least: give a smaller "
            "batch or a longer text."
        )
    return words[: moments * count].view(count, moments).t().contiguous()


def _file(folder: Path, part: str) -> Path:
    plain = folder / f"{part}.txt"
    if plain.is_file():
        return plain
    found = sorted(path for suffix in SUFFIXES for path in folder.glob(f"*.{part}.{suffix}") if path.is_file())
    if not found:
        raise MissingData(
            f"{plain} is missing: a folder of text holds train.txt, valid.txt and test.txt, with a blank between two "
            "words."
        )
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise SpecError(f"{folder} has several texts for {part} ({names}): keep one, or name it {part}.txt.")
    return found[0]


def _lines(path: Path, limit: int | None) -> Iterator[tuple[int, list[str]]]:
    """The number, from 1, and the words of each line."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if limit is not None and number > limit:
                    return
                yield number, [*line.split(), END]
    except UnicodeDecodeError as error:
        raise SpecError(f"{path} is no text in UTF-8 ({error.reason} at byte {error.start}): convert it.") from None
    except OSError as error:
        raise MissingData(f"{path} cannot be read: {error.strerror}.") from None
