"""Rows from files: what is read, how it is divided and prepared, and what is wrong with a file in one line."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

import ogive
from ogive import catalog
from ogive.core.errors import SpecError
from ogive.networks.export import imported
from ogive.networks.plain_rows import _module
from ogive.training.csv_files import load
from ogive.training.preparation import Cells, fitted, transformer
from ogive.training.rows import Rows

COLOURS = ("red", "green", "blue")


def written(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def houses(path: Path, count: int = 60) -> Path:
    """Rooms, of which some are missing; a colour, of which too; and a price."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        rooms, colour = int(rng.integers(1, 9)), COLOURS[int(rng.integers(3))]
        price = 100 * rooms + 50 * COLOURS.index(colour) + float(rng.normal(0, 5))
        rows.append([number, "" if number % 7 == 0 else rooms, "NA" if number % 11 == 0 else colour, f"{price:.2f}"])
    return written(path, ["id", "rooms", "colour", "price"], rows)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return houses(tmp_path / "houses.csv")


def test_a_file_becomes_numbers_in_three_parts(file: Path) -> None:
    rows = catalog.build("data", f"csv:{file}(target=price, drop=[id], unit=EUR)")
    assert isinstance(rows, Rows)
    assert rows.tasks == ("regression",)
    assert rows.chosen == (
        "The task is regression, since price is numbers with 60 different values (task=classification to change)."
    )
    assert (len(rows.train), len(rows.val), len(rows.test)) == (38, 10, 12)
    # Rooms, whether they are missing, and the three colours or none.
    assert rows.shape == (6,)
    assert rows.train.images[:, 0].mean().abs() < 1e-6
    assert rows.train.images[:, 0].std(correction=0) == pytest.approx(1)
    assert torch.equal(rows.train.images[:, 2:].sum(1), torch.ones(38))
    assert rows.train.labels.mean().abs() < 1e-6
    assert rows.target.unit == "EUR"
    assert catalog.build("data", f"csv:{file}(target=price, drop=[id], unit=EUR)").digest == rows.digest
    assert catalog.build("data", f"csv:{file}(target=price, drop=[id, rooms])").digest != rows.digest


def test_nothing_is_fitted_on_rows_to_compare_or_to_test_on(file: Path) -> None:
    before = load(f"csv:{file}", target="price", drop=["id"])
    lines = file.read_text().splitlines()
    trained = {row["price"] for row in _raw_training_rows(before, file)}
    changed = [lines[0]]
    for line in lines[1:]:
        number, _, _, price = line.split(",")
        changed.append(line if price in trained else f"{number},1000000,purple,{price}")
    assert changed != lines
    file.write_text("\n".join(changed))
    after = load(f"csv:{file}", target="price", drop=["id"])
    assert after.preparation == before.preparation
    assert after.target == before.target
    assert torch.equal(after.train.images, before.train.images)
    assert not torch.equal(after.val.images, before.val.images)
    assert float(after.test.images[:, 2:].sum()) == 0  # purple is no category of the training rows


def _raw_training_rows(rows: Rows, file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        known = {round(float(row["price"]), 2): row for row in csv.DictReader(opened)}
    prices = rows.train.labels.double() * rows.target.deviation + rows.target.mean
    return [known[round(price, 2)] for price in prices.tolist()]


def test_the_exported_preparation_is_that_of_scikit_learn(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    numbers = rng.normal(3, 2, (400, 3))
    numbers[rng.random((400, 3)) < [0.2, 0.0, 0.1]] = np.nan
    words = np.empty((400, 2), object)
    words[:, 0] = rng.choice(["a", "b", "", "d d", '"quoted", too'], 400)
    words[:, 1] = [f"c{int(value)}" for value in rng.exponential(40, 400)]  # more categories than have a number each
    train, other = Cells(numbers[:300], words[:300]), Cells(numbers[300:], words[300:])
    other.words[0, 0] = "never seen"
    preparation, _, expected = fitted(train, ("x", "y", "z"), ("w", "v"), other)
    again = transformer(3, 2).fit(np.concatenate([train.numbers.astype(object), train.words], axis=1))
    joined = np.concatenate([other.numbers.astype(object), other.words], axis=1)
    assert np.array_equal(again.transform(joined).astype(np.float32), expected)

    rows = load(f"csv:{houses(tmp_path / 'houses.csv')}", target="price", drop=["id"])
    (tmp_path / "plain.py").write_text(_module("plain", preparation, rows.target))
    raw = [
        {**dict(zip("xyz", map(repr, cells), strict=True)), "w": first, "v": second}
        for cells, (first, second) in zip(other.numbers.tolist(), other.words.tolist(), strict=True)
    ]
    made = np.array(imported(tmp_path / "plain.py").encoded_rows(raw))
    assert expected.shape == made.shape == (100, 3 + 2 + 5 + 64)
    assert np.allclose(made, expected, atol=1e-6)


def test_classes_are_divided_by_their_shares_and_named(tmp_path: Path) -> None:
    path = written(tmp_path / "f.csv", ["x", "kind"], [[i, "rare" if i % 5 == 0 else "usual"] for i in range(100)])
    rows = load(f"csv:{path}", target="kind")
    assert rows.tasks == ("classification",)
    assert rows.classes == ("rare", "usual")
    assert [int((part.labels == 0).sum()) for part in (rows.train, rows.val, rows.test)] == [13, 3, 4]
    assert "task=regression" not in rows.chosen


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (list(range(30)) * 3, "regression"),
        ([0, 1, 2] * 30, "classification"),
        ([0.5, 1.0, 2.0] * 30, "regression"),
        (["0.0", "1.0"] * 45, "classification"),
        (["a1", "b2"] * 45, "classification"),
    ],
)
def test_the_task_follows_from_the_target(tmp_path: Path, values: list[object], task: str) -> None:
    path = written(tmp_path / "f.csv", ["x", "y"], [[i, value] for i, value in enumerate(values)])
    assert load(f"csv:{path}", target="y").tasks == (task,)


def test_a_file_of_test_rows_and_other_separators_are_read(tmp_path: Path, file: Path) -> None:
    test = tmp_path / "test.csv"
    test.write_text("price;colour;rooms;id\n250;red;2;1\n450;blue;4;2\n150;;?;3\n")
    with pytest.raises(SpecError, match=r"test\.csv lack the column rooms"):
        load(f"csv:{file}", target="price", drop=["id"], test=test, separator=",")
    rows = load(f"csv:{file}", target="price", drop=["id"], test=test)
    assert (len(rows.train), len(rows.val), len(rows.test)) == (48, 12, 3)
    assert rows.raw()[2] == {"rooms": "", "colour": "", "price": "150.0"}
    tabs = tmp_path / "tabs.csv"
    tabs.write_text("\ufeff" + file.read_text().replace(",", "\t") + "\n\n", encoding="utf-8")
    assert (
        load(f"csv:{tabs}", target="price", drop=["id"]).digest
        == load(f"csv:{file}", target="price", drop=["id"]).digest
    )


def test_codes_can_be_categories_and_cells_can_be_quoted(tmp_path: Path) -> None:
    rows = [[f"{i % 3}", f'line {i % 2}\n"so", it goes', i % 2] for i in range(30)]
    path = written(tmp_path / "f.csv", ["code", "said", "y"], rows)
    assert load(f"csv:{path}", target="y").shape == (3,)
    found = load(f"csv:{path}", target="y", categories=["code"])
    assert found.shape == (5,)
    assert found.preparation.categories[1][1][0] == 'line 0\n"so", it goes'


def test_rows_are_limited_in_every_part(file: Path) -> None:
    rows = load(f"csv:{file}", target="price", drop=["id"], limit=5)
    assert (len(rows.train), len(rows.val), len(rows.test)) == (5, 5, 5)


ROWS = "a,b,y\n" + "".join(f"{i},{i % 3},{i / 4}\n" for i in range(20))


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "is empty: its first line names the columns"),
        ("a,b,y\n", {}, "has no rows below its header"),
        ("1,2,3\n4,5,6\n", {}, "first line of .* must name the columns, but it holds numbers: 1"),
        ("a,a,y\n1,2,3\n", {}, "names the column 'a' twice"),
        (
            ROWS,
            {"target": None},
            r"Which column of .* is to be predicted\? Write csv:.*\(target=y\); the columns are a, b",
        ),
        (ROWS, {"target": "z"}, "The target 'z' is no column of .*, whose columns are a, b, y"),
        (ROWS, {"drop": ["c"]}, "no column of .* named 'c'"),
        (ROWS, {"drop": ["a", "b"]}, "no column beside the target y"),
        (ROWS, {"drop": ["y"]}, "target y can be neither in drop"),
        (ROWS, {"separator": "::"}, "A separator is one character"),
        (",b,y\n0,1,2\n", {}, "Column 1 of .* has no name in the header"),
        (ROWS, {"validation": 1.5}, "between 0 and 1"),
        (ROWS, {"limit": 0}, "limit must be at least 1"),
        (ROWS + "1,2\n", {}, "Line 22 of .* has 2 cells, but its header names 3 columns"),
        (ROWS + '1,"2,3\n', {}, "Line 22 of .* is no row of cells"),
        (ROWS + "inf,2,3\n", {}, "Line 22 of .* has 'inf' in the column a, which holds finite numbers"),
        (ROWS + "1,2,\n", {}, "no value of the target y in line 22"),
        (ROWS + "1,2,nan\n", {}, "no value of the target y in line 22"),
        (ROWS + "1,2,-inf\n", {}, "target y must be finite, but is -inf in line 22"),
        (ROWS + "1,2,cheap\n", {"task": "regression"}, "predicts numbers, but the target y is 'cheap' in line 22"),
        (
            ROWS,
            {"task": "classification"},
            r"has 1 row\(s\), but 3 are the least .* 20 classes in 20 rows: write task=reg",
        ),
        ("a,y\n" + "1,x\n" * 9, {}, "The target y of .* is 'x' in every row"),
        ("a,y\n1,1.5\n2,2.5\n3,3.5\n", {}, r"has 3 row\(s\), but 5 are the least"),
        ("a,b,y\n" + "".join(f"{i},,{i / 4}\n" for i in range(20)), {}, r"column b has no value .* drop=\[b\]"),
        (
            "a,name,y\n" + "".join(f"{i},n{i},{i % 2}\n" for i in range(300)),
            {},
            r"column name of .* has 300 categories in 300 rows, .* drop=\[name\]",
        ),
        (
            "a,b,y\n" + "".join(f"{i},{i if i != 7 else 'seven'},{i % 2}\n" for i in range(300)),
            {},
            r"column b of .* holds numbers but for 'seven' in line 9: correct it",
        ),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(
    tmp_path: Path, text: str, options: dict[str, object], message: str
) -> None:
    path = tmp_path / "f.csv"
    path.write_text(text)
    with pytest.raises(SpecError, match=message):
        load(f"csv:{path}", **{"target": "y", **options})  # type: ignore[arg-type]


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"is written csv:FILE\(target=COLUMN\)"):
        load("csv:", target="y")
    with pytest.raises(SpecError, match="there is no such file"):
        load(f"csv:{tmp_path / 'absent.csv'}", target="y")
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(SpecError, match="cannot be read as text in UTF-8"):
        load(f"csv:{tmp_path / 'picture.csv'}", target="y")


def test_a_class_that_only_test_rows_have_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "f.csv", ["x", "y"], [[i, i % 2] for i in range(20)])
    test = written(tmp_path / "test.csv", ["x", "y"], [[1, 0], [2, 5]])
    with pytest.raises(SpecError, match=r"target y is '5' in line 3 of .*, which it is in no training row"):
        load(f"csv:{path}", target="y", test=test)


def test_arrays_of_two_dimensions_are_rows(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(50, 4))
    x[::9, 1] = np.nan
    np.savez(tmp_path / "r.npz", x=x, y=np.nansum(x, axis=1))
    rows = ogive.data(f"arrays:{tmp_path / 'r.npz'}", unit="m")
    assert (rows.tasks, rows.shape, rows.target.unit) == (("regression",), (5,), "m")
    np.savez(tmp_path / "c.npz", x_train=x, y_train=np.arange(50) % 3, x_test=x[:6], y_test=np.arange(6) % 3)
    rows = ogive.data(f"arrays:{tmp_path / 'c.npz'}")
    assert (rows.tasks, rows.classes, len(rows.test)) == (("classification",), ("0", "1", "2"), 6)
    images = np.zeros((30, 4, 4), np.uint8)
    np.savez(tmp_path / "i.npz", x=images, y=np.arange(30) % 3)
    assert ogive.data(f"arrays:{tmp_path / 'i.npz'}", size=8).shape == (1, 8, 8)
    for name, options, message in (
        ("i", {"task": "regression"}, "options of rows"),
        ("c", {"size": 8}, "size is of images"),
    ):
        with pytest.raises(SpecError, match=message):
            ogive.data(f"arrays:{tmp_path / name}.npz", **options)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((9, 4)), "y": np.zeros(8)}, r"x of the shape \(N, 4\) and y of the shape \(N,\)"),
        ({"x": np.full((9, 4), np.inf), "y": np.arange(9) / 2}, "has infinity"),
        ({"x": np.full((9, 4), "a"), "y": np.arange(9) / 2}, "Rows are numbers"),
        ({"x": np.zeros((9, 4)), "y": np.full(9, 3.0)}, r"is '3\.0' in every row"),
        ({"x": np.zeros((9, 4)), "y": np.array([0.5] * 8 + [np.nan])}, "no value of the target y in row 8 of train"),
        ({"x": np.full((9, 4), np.nan), "y": np.arange(9) / 2}, "column x0 has no value"),
    ],
)
def test_arrays_that_make_no_sense_as_rows_are_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], message: str
) -> None:
    np.savez(tmp_path / "x.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match=message):
        ogive.data(f"arrays:{tmp_path / 'x.npz'}")


def test_a_limit_takes_any_rows_of_a_sorted_file(tmp_path: Path) -> None:
    path = tmp_path / "sorted.csv"
    path.write_text("x,y\n" + "".join(f"{place % 7},{place / 2}\n" for place in range(400)))
    found = load(f"csv:{path}", target="y", limit=40)
    quantities = found.train.labels * found.target.deviation + found.target.mean
    assert len(quantities) == 40
    assert float(quantities.min()) < 40
    assert float(quantities.max()) > 160  # the first 40 rows end at about 30
