"""The ledger of the repository: what its rows and its README print follows from the samples that the rows hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ogive.reproduce import everything, judged
from ogive.reproduce.ledger import SCHEMA, read_rows, table_of

FOLDER = Path(__file__).resolve().parents[2] / "reproductions"
ROWS = read_rows(FOLDER)
README = (FOLDER / "README.md").read_text(encoding="utf-8")
NUMBER = r"[+−-]?\d+(?:\.\d+)?"
PRINTED = re.compile(rf"({NUMBER})(?: ± {NUMBER})? \[({NUMBER}), ({NUMBER})\]")
# Printed by `ogive compare`, whose outcomes are no row.
UNSTORED = re.compile(r"A predictor against evolution.*?take their first\s+splits\.", re.DOTALL)


def test_every_file_is_a_row_of_a_recipe() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == ROWS.keys()
    assert {row["name"] for row in ROWS.values()} <= {one.name for one in everything()}
    assert {row["schema"] for row in ROWS.values()} == {SCHEMA}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_says_what_follows_from_its_numbers(name: str) -> None:
    """Intervals of seeds, tables, doubts and status: all of them by the recipe as it is now."""
    assert judged(ROWS[name]) == ROWS[name]


def test_the_table_of_the_readme_is_that_of_the_rows() -> None:
    assert "\n".join(table_of(ROWS)) in README


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if "seeds" in row])
def test_tables_of_searches_that_share_weights_are_printed_as_their_rows_have_them(name: str) -> None:
    assert "\n".join(ROWS[name]["markdown"]) in README


def intervals(value: Any) -> Iterator[tuple[float, float, float]]:
    """Every figure in JSON that has an interval, with both ends."""
    if isinstance(value, list):
        for one in value:
            yield from intervals(one)
    if isinstance(value, dict):
        for known, interval in (("ours", "interval"), ("tau", "tau_interval"), ("rho", "rho_interval")):
            if value.get(interval) is not None:
                yield (value[known], *value[interval])
        for one in value.values():
            yield from intervals(one)


def test_every_printed_interval_is_one_of_a_row() -> None:
    """To as many digits as are printed; the tables of scores beside the ledger count as well."""
    stored = [json.loads(path.read_text()) for path in FOLDER.glob("scores/*.json")]
    known = [found for one in (*ROWS.values(), *stored) for found in intervals(one)]
    known += [
        tuple(map(float, found))
        for row in ROWS.values()
        for found in PRINTED.findall("\n".join(row.get("markdown", [])))
    ]
    missing = []
    for found in PRINTED.findall(UNSTORED.sub("", README)):
        texts = [text.replace("−", "-") for text in found]
        digits = len(texts[1].partition(".")[2])
        wanted = {f"{one[0]:.{digits}f} {one[1]:.{digits}f} {one[2]:.{digits}f}" for one in known}
        if " ".join(texts) not in wanted:
            missing.append(found)
    assert len(known) > 200
    assert missing == []
