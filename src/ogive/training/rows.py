"""Rows: data of columns, divided into train, search-validation and test, of which one column is to be predicted.

Shapes: N rows, F numbers of a row as a network takes it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch

from ogive.answers import Shown
from ogive.core.errors import SpecError, shortened
from ogive.core.trial import counted
from ogive.networks.plain import Plain
from ogive.networks.plain_rows import NOTHING, Preparation, Target, of_rows
from ogive.training.data import FIXED, SHARE, Data, Split, of_classes
from ogive.training.pictures import Integers, first_of_each, stratified
from ogive.training.preparation import Cells, fitted
from ogive.training.recipe import Recipe, RowRecipe

__all__ = ["Rows", "RowsOf", "TaskName", "divided", "is_missing", "is_number"]

TaskName = Literal["auto", "classification", "regression"]
Objects = npt.NDArray[np.object_]
Numbers = npt.NDArray[np.float64]
# Whole numbers with more different values than this are taken for quantities, not for classes.
MOST_CLASSES = 20
SHOWN = 160  # letters of a row on a page
LEAST = 5  # rows that can be divided into train, validation and test at all


@dataclass(frozen=True, eq=False)
class RowsOf:
    """What a reader found: cells of each part that there is, not divided and with nothing fitted.

    `numbers` and `words` are names of columns; `targets` (N,) are numbers or text as they were written, and `places`
    say where each row stands, for messages.
    """

    name: str
    numbers: tuple[str, ...]
    words: tuple[str, ...]
    target: str
    cells: Mapping[str, Cells]
    targets: Mapping[str, Objects]
    places: Mapping[str, Sequence[str]]
    unit: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Rows(Data):
    """Rows of numbers (N, F) float32 and what is to be predicted: labels (N,) int64, or float32 in deviations.

    `classes` are those of the target, or of a regression its name alone. `cells` and `answers` are the test rows as
    they were read, for whoever takes a network away. `chosen` says which task was chosen, and why.
    """

    preparation: Preparation
    target: Target
    cells: Cells
    answers: tuple[str, ...]
    chosen: str = ""
    tasks: tuple[str, ...] = ("classification", "regression")

    kind: ClassVar[str] = "rows"
    recipe: ClassVar[type[Recipe]] = RowRecipe

    @property
    def facts(self) -> tuple[Any, ...]:
        """What it is made of beside numbers and targets."""
        return *super().facts, self.tasks, self.preparation, self.target

    @property
    def summary(self) -> tuple[str, ...]:
        """How many rows of how many columns, what is predicted of them, and how many rows each part has."""
        numbers, words = self.cells.numbers.shape[1], self.cells.words.shape[1]
        columns = " and ".join(
            counted(count, noun) for count, noun in ((numbers, "number"), (words, "word")) if count or noun == "number"
        )
        targets = torch.cat([split.labels for split in (self.train, self.val, self.test)])
        if self.target.classes:
            goal = f"{self.target.name} is predicted, {of_classes(self.classes, targets)}"
        else:
            unit = f" {self.target.unit}" if self.target.unit else ""
            ends = targets.double() * self.target.deviation + self.target.mean
            # Single precision leaves almost nothing where there was nothing.
            low, high = (0.0 if abs(end) < 1e-5 * self.target.deviation else end for end in ends.aminmax())
            goal = f"{self.target.name} is predicted, {low:.4g} to {high:.4g}{unit}"
        return f"{len(targets):,} rows of {columns}; {goal}", self.divided_into

    def plain(self) -> Plain:
        """What travels with networks of these rows: the test rows as they were read, since the files prepare them."""
        rows = self.raw()

        def keep(folder: Path) -> None:
            with (folder / "test.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)

        return of_rows(self.preparation, self.target, rows=rows[:256], inputs=self.test.images[:256], keep=keep)

    def shown(self, place: int) -> Shown:
        """What a person sees of a test row: its cells, shortened."""
        names = self.preparation.columns
        cells = [*(f"{value:g}" for value in self.cells.numbers[place]), *map(str, self.cells.words[place])]
        told = ", ".join(f"{name} {cell}" for name, cell in zip(names, cells, strict=True))
        return Shown(text=shortened(told, SHOWN))

    def raw(self) -> list[dict[str, str]]:
        """Test rows as a file has them: a text for each column, empty where the cell is missing."""
        names, rows = self.preparation.columns, []
        for numbers, words, answer in zip(self.cells.numbers, self.cells.words, self.answers, strict=True):
            told = ["" if math.isnan(number) else repr(number) for number in numbers.tolist()]
            rows.append({**dict(zip(names, [*told, *words.tolist()], strict=True)), self.target.name: answer})
        return rows


def is_number(cell: str) -> bool:
    """Whether a cell is a number, finite or not."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def is_missing(cell: str) -> bool:
    """Whether a cell says that there is no value."""
    return cell.lower() in NOTHING


def divided(source: RowsOf, *, task: TaskName, validation: float | None = None, limit: int | None = None) -> Rows:
    """Rows with a test part and a validation part, split off the training rows where there is none.

    Everybody divides alike. What prepares cells is fitted on the training rows that are left, and nothing else.
    """
    share = SHARE if validation is None else validation
    if not 0 < share < 1:
        raise SpecError(f"validation is a share of the training rows, between 0 and 1, but got {share}.")
    if limit is not None and limit < 1:
        raise SpecError(f"limit must be at least 1, but got {limit}.")
    _refuse_targets(source)
    chosen, why = _chosen(source, task)
    goal = _classes(source) if chosen == "classification" else _quantities(source)
    if len(source.targets["train"]) < LEAST:
        raise SpecError(f"{source.name} has {len(source.targets['train'])} row(s), but {LEAST} are the least.")
    parts, streams = dict(goal.parts), FIXED.child("rows")
    for part, portion in (("test", SHARE), ("val", share)):
        if part not in parts:
            kept, off = _split(parts["train"].codes, portion, streams.numpy(f"{part} split"), goal.classes)
            parts |= {part: parts["train"].take(off), "train": parts["train"].take(kept)}
    if limit is not None:
        parts = {
            name: part.take(_some(part.codes, limit, streams.numpy(f"{name} limit"), goal.classes))
            for name, part in parts.items()
        }
    return _prepared(source, parts, goal.classes, chosen, why)


@dataclass(frozen=True, eq=False)
class _Part:
    """Cells of rows, and their targets (N,) as numbers: places among the classes, or quantities."""

    cells: Cells
    codes: Numbers

    def take(self, rows: Integers) -> _Part:
        """The rows at these places, in that order."""
        return _Part(self.cells.take(rows), self.codes[rows])


@dataclass(frozen=True, eq=False)
class _Goal:
    """The parts with their targets as numbers, and the classes that these count, none for quantities."""

    parts: Mapping[str, _Part]
    classes: tuple[str, ...] = ()


def _prepared(source: RowsOf, parts: Mapping[str, _Part], classes: tuple[str, ...], chosen: str, why: str) -> Rows:
    """The rows as numbers; a quantity with mean 0 and standard deviation 1 over the training rows."""
    three = [parts[name] for name in ("train", "val", "test")]
    preparation, *arrays = fitted(three[0].cells, source.numbers, source.words, *(part.cells for part in three[1:]))
    width = arrays[0].shape[1]
    if not width:
        raise SpecError(f"Nothing is left of the columns of {source.name} once they are prepared.")
    target = Target(source.target, classes, unit=source.unit)
    if classes:
        labels = [part.codes.astype(np.int64) for part in three]
        answers = [classes[code] for code in labels[-1].tolist()]
    else:
        centre, spread = float(three[0].codes.mean()), float(three[0].codes.std())
        if spread == 0:
            raise SpecError(f"The target {source.target} of {source.name} is the same in all training rows.")
        target = replace(target, mean=centre, deviation=spread)
        labels = [((part.codes - centre) / spread).astype(np.float32) for part in three]
        answers = [repr(code) for code in three[-1].codes.tolist()]
    train, val, test = (
        Split(torch.from_numpy(inputs), torch.from_numpy(each)) for inputs, each in zip(arrays, labels, strict=True)
    )
    return Rows(
        name=source.name,
        train=train,
        val=val,
        test=test,
        classes=classes or (source.target,),
        mean=(0.0,) * width,
        std=(1.0,) * width,
        preparation=preparation,
        target=target,
        cells=three[-1].cells,
        answers=tuple(answers),
        chosen=why,
        tasks=(chosen,),
    )


def _refuse_targets(source: RowsOf) -> None:
    for part, cells in source.targets.items():
        for row, cell in enumerate(map(str, cells.tolist())):
            if is_missing(cell):
                raise SpecError(
                    f"There is no value of the target {source.target} in {source.places[part][row]}: leave the row out."
                )
            if is_number(cell) and not math.isfinite(float(cell)):
                raise SpecError(
                    f"The target {source.target} must be finite, but is {cell} in {source.places[part][row]}."
                )
    values = {str(cell) for cell in source.targets["train"].tolist()}
    if len(values) == 1:
        raise SpecError(
            f"The target {source.target} of {source.name} is {shortened(repr(values.pop()))} in every row: there is "
            "nothing to predict."
        )


def _chosen(source: RowsOf, task: TaskName) -> tuple[str, str]:
    """The task, and why it was chosen in a sentence, empty where it was given."""
    if task != "auto":
        return task, ""
    values = {str(cell) for cell in source.targets["train"].tolist()}
    quantities = all(map(is_number, values))
    if quantities and (len(values) > MOST_CLASSES or any(not float(value).is_integer() for value in values)):
        what = f"numbers with {len(values):,} different values"
        return "regression", f"The task is regression, since {source.target} is {what} (task=classification to change)."
    what = f"one of {len(values):,} different values"
    other = " (task=regression to change)" if quantities else ""
    return "classification", f"The task is classification, since {source.target} is {what}{other}."


def _classes(source: RowsOf) -> _Goal:
    texts = {part: [str(cell) for cell in cells.tolist()] for part, cells in source.targets.items()}
    known = set(texts["train"])
    classes = tuple(sorted(known, key=float) if all(map(is_number, known)) else sorted(known))
    place = {name: code for code, name in enumerate(classes)}
    needed = 1 + ("val" not in texts) + ("test" not in texts)
    counts = np.bincount([place[text] for text in texts["train"]], minlength=len(classes))
    if counts.min() < needed:
        hint = ": write task=regression for a quantity" if all(map(is_number, known)) else ""
        raise SpecError(
            f"The class {shortened(repr(classes[int(counts.argmin())]))} of the target {source.target} of "
            f"{source.name} has {counts.min()} row(s), but {needed} are the least that can be divided into train, "
            f"validation and test; it has {len(classes):,} classes in {len(texts['train']):,} rows{hint}."
        )
    for part, cells in texts.items():
        for row, cell in enumerate(cells):
            if cell not in place:
                raise SpecError(
                    f"The target {source.target} is {shortened(repr(cell))} in {source.places[part][row]}, which it is "
                    "in no training row."
                )
    codes = {part: np.array([place[cell] for cell in cells], np.float64) for part, cells in texts.items()}
    return _Goal({part: _Part(source.cells[part], found) for part, found in codes.items()}, classes)


def _quantities(source: RowsOf) -> _Goal:
    for part, cells in source.targets.items():
        for row, cell in enumerate(map(str, cells.tolist())):
            if not is_number(cell):
                raise SpecError(
                    f"A regression predicts numbers, but the target {source.target} is {shortened(repr(cell))} in "
                    f"{source.places[part][row]}: correct it, or write task=classification."
                )
    codes = {part: cells.astype(np.float64) for part, cells in source.targets.items()}
    return _Goal({part: _Part(source.cells[part], found) for part, found in codes.items()})


def _split(
    codes: Numbers, share: float, rng: np.random.Generator, classes: tuple[str, ...]
) -> tuple[Integers, Integers]:
    """Rows kept and rows split off, both ascending; of classes, each by its share."""
    count = max(1, round(share * len(codes)))
    if classes:
        return stratified(codes.astype(np.int64), count, rng)
    order = rng.permutation(len(codes))
    return np.sort(order[count:]), np.sort(order[:count])


def _some(codes: Numbers, limit: int, rng: np.random.Generator, classes: tuple[str, ...]) -> Integers:
    """At most so many rows; of classes, each by its share, of quantities any, for a file may be sorted by them."""
    return first_of_each(codes.astype(np.int64), limit) if classes else np.sort(rng.permutation(len(codes))[:limit])
