"""Sentences: texts of one file with a label each, as numbered words, divided into train, search-validation and test.

Shapes: N sentences, L words of a sentence that are read.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ogive.answers import Shown
from ogive.core.errors import SpecError, shortened
from ogive.networks.plain import Plain
from ogive.networks.plain_sequences import of_sentences
from ogive.networks.words import encoded, words_of
from ogive.training.csv_files import Lines, lines_of
from ogive.training.data import FIXED, SHARE, Data, Split, of_classes
from ogive.training.pictures import Integers, first_of_each, stratified
from ogive.training.recipe import Recipe, SentenceRecipe

__all__ = ["Sentences", "load"]

LONGEST = 1024  # words of a sentence; what comes after is not read
USUAL_LENGTH = 64
KNOWN = 20_000  # words with a number of their own
SHOWN = 160  # letters of a sentence on a page
Rows = list[tuple[str, str, str]]  # text, label, and where it stands


@dataclass(frozen=True, eq=False, kw_only=True)
class Sentences(Data):
    """Numbered words (N, L) in int64, 0 where a sentence is over and 1 for unknown words, and labels (N,).

    `words` have the numbers from 2 on, `texts` are the test sentences as they were read, `columns` those of text and
    label.
    """

    words: tuple[str, ...]
    texts: tuple[str, ...]
    columns: tuple[str, str]
    tasks: tuple[str, ...] = ("classification",)

    kind: ClassVar[str] = "sentences"
    recipe: ClassVar[type[Recipe]] = SentenceRecipe

    @property
    def sizes(self) -> Mapping[str, int]:
        """How many numbers words have."""
        return {"inputs": len(self.words) + 2}

    @property
    def facts(self) -> tuple[Any, ...]:
        """What it is made of beside numbers and labels."""
        return *super().facts, self.words

    @property
    def summary(self) -> tuple[str, ...]:
        """How many sentences of how many words, how many of each class, and how many in each part."""
        labels = torch.cat([split.labels for split in (self.train, self.val, self.test)])
        read = f"{len(labels):,} sentences, of which {self.shape[0]} words are read and {len(self.words):,} are known"
        return f"{read}, {of_classes(self.classes, labels)}", self.divided_into

    def normalised(self, images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """The numbers of words as they are; as floats, which hold them exactly, as all inputs of networks are."""
        return images.to(dtype)

    def shown(self, place: int) -> Shown:
        """The text of a test sentence, shortened."""
        return Shown(text=shortened(self.texts[place], SHOWN))

    def plain(self) -> Plain:
        """What travels with networks of these sentences: the words, and the test sentences as they were read."""
        answers = [self.classes[label] for label in self.test.labels.tolist()]

        def keep(folder: Path) -> None:
            with (folder / "test.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(self.columns)
                writer.writerows(zip(self.texts, answers, strict=True))

        about = {"classes": self.classes, "columns": self.columns, "inputs": self.test.images[:256], "keep": keep}
        return of_sentences(self.words, self.shape[0], **about)  # type: ignore[arg-type]


def load(
    name: str,
    *,
    text: str | None = None,
    label: str | None = None,
    test: Path | None = None,
    length: int = USUAL_LENGTH,
    words: int = KNOWN,
    separator: str | None = None,
    validation: float | None = None,
    limit: int | None = None,
) -> Sentences:
    """Sentences of a file whose first line names the columns: sentences:reviews.csv(text=review, label=stars).

    `test`: a file with the test sentences; else they are divided off, always the same. `length`: how many words of a
    sentence are read; `words`: how many of the most frequent ones of the training sentences have numbers of their own.
    `separator`, `validation` and `limit` are as for csv:FILE. Raises SpecError for anything else, and for a row without
    a text or a label, in one line that names it.
    """
    path = Path(name.partition(":")[2]).expanduser()
    if not 1 <= length <= LONGEST:
        raise SpecError(f"length is the number of words that are read, 1 to {LONGEST}, but got {length}.")
    if words < 1:
        raise SpecError(f"words must be at least 1, but got {words}.")
    share = SHARE if validation is None else validation
    if not 0 < share < 1:
        raise SpecError(f"validation is a share of the training sentences, between 0 and 1, but got {share}.")
    if limit is not None and limit < 1:
        raise SpecError(f"limit must be at least 1, but got {limit}.")
    lines = lines_of(path, separator, kind="sentences")
    columns = _columns(lines, text, label)
    parts = {"train": _rows(lines, columns)}
    if test is not None:
        parts["test"] = _rows(lines_of(Path(test).expanduser(), separator, kind="sentences"), columns)
    return _made(name, parts, columns, share, limit, (length, words))


def _columns(lines: Lines, text: str | None, label: str | None) -> tuple[str, str]:
    known = shortened(", ".join(lines.names))
    if text is None or label is None:
        raise SpecError(
            f"Which columns of {lines.path} hold the text and the label? Write sentences:{lines.path}(text=..., "
            f"label=...); the columns are {known}."
        )
    return text, label


def _rows(lines: Lines, columns: tuple[str, str]) -> Rows:
    for column in columns:
        if column not in lines.names:
            known = shortened(", ".join(lines.names))
            raise SpecError(f"{shortened(column)} is no column of {lines.path}, whose columns are {known}.")
    texts, labels = (lines.column(column) for column in columns)
    places = [f"line {number} of {lines.path}" for number in lines.numbers]
    for text, label, place in zip(texts, labels, places, strict=True):
        for column, cell in zip(columns, (text, label), strict=True):
            if not (words_of(cell) if column == columns[0] else cell):
                raise SpecError(f"There is no {shortened(column)} in {place}: leave the row out.")
    return list(zip(texts, labels, places, strict=True))


def _made(
    name: str,
    parts: Mapping[str, Rows],
    columns: tuple[str, str],
    share: float,
    limit: int | None,
    sizes: tuple[int, int],
) -> Sentences:
    classes, codes = _labels(name, parts)
    rows, streams = {part: np.arange(len(found)) for part, found in parts.items()}, FIXED.child("sentences")
    own = {"train": rows["train"], "val": rows["train"], "test": rows.get("test", rows["train"])}
    if "test" not in parts:
        own["train"], own["test"] = _split(codes["train"], own["train"], SHARE, streams.numpy("test split"))
    own["train"], own["val"] = _split(codes["train"], own["train"], share, streams.numpy("val split"))
    if limit is not None:
        of = {"train": codes["train"], "val": codes["train"], "test": codes.get("test", codes["train"])}
        own = {part: kept[first_of_each(of[part][kept], limit)] for part, kept in own.items()}
    train, test = parts["train"], parts.get("test", parts["train"])
    length, most = sizes
    counts = Counter(word for row in own["train"] for word in words_of(train[row][0]))
    # Of words that are equally frequent, the first in the alphabet.
    words = tuple(sorted(sorted(counts), key=counts.__getitem__, reverse=True)[:most])
    places = {word: place for place, word in enumerate(words, start=2)}

    def split(found: Rows, labels: Integers, kept: Integers) -> Split:
        numbers = [encoded(found[row][0], places, length) for row in kept]
        return Split(torch.tensor(numbers), torch.from_numpy(labels[kept]))

    return Sentences(
        name=name,
        train=split(train, codes["train"], own["train"]),
        val=split(train, codes["train"], own["val"]),
        test=split(test, codes.get("test", codes["train"]), own["test"]),
        classes=classes,
        mean=(),
        std=(),
        words=words,
        texts=tuple(test[row][0] for row in own["test"]),
        columns=columns,
    )


def _labels(name: str, parts: Mapping[str, Rows]) -> tuple[tuple[str, ...], dict[str, Integers]]:
    """The classes, sorted, and the label of each sentence as its place among them."""
    counts = Counter(label for _, label, _ in parts["train"])
    if len(counts) < 2:
        only = shortened(repr(next(iter(counts))))
        raise SpecError(f"All sentences of {name} have the label {only}: there is nothing to tell apart.")
    rare, needed = min(sorted(counts), key=counts.__getitem__), 2 + ("test" not in parts)
    if counts[rare] < needed:
        raise SpecError(
            f"The label {shortened(repr(rare))} of {name} has {counts[rare]} sentence(s), but {needed} are the least "
            f"that can be divided; there are {len(counts):,} labels in {counts.total():,} rows."
        )
    place = {label: code for code, label in enumerate(sorted(counts))}
    for _, label, where in parts.get("test", ()):
        if label not in place:
            raise SpecError(f"The label in {where} is {shortened(repr(label))}, which no training sentence has.")
    codes = {part: np.array([place[label] for _, label, _ in rows], np.int64) for part, rows in parts.items()}
    return tuple(place), codes


def _split(labels: Integers, rows: Integers, share: float, rng: np.random.Generator) -> tuple[Integers, Integers]:
    """Rows kept and rows split off, each class by its share."""
    kept, off = stratified(labels[rows], max(1, round(share * len(rows))), rng)
    return rows[kept], rows[off]
