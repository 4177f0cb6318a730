"""The ledger of the repository: what its rows and its README print follows from the samples that the rows hold."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ogive.reproduce import everything, judged, reproduce
from ogive.reproduce.ledger import SCHEMA, read_rows, table_of
from ogive.reproduce.rankings import DIGITS
from ogive.tables.importers import import_table

FOLDER = Path(__file__).resolve().parents[2] / "reproductions"
ROWS = read_rows(FOLDER)
README = (FOLDER / "README.md").read_text(encoding="utf-8")
NUMBER = r"[+−-]?\d+(?:\.\d+)?"
PRINTED = re.compile(rf"({NUMBER})(?: ± {NUMBER})? \[({NUMBER}), ({NUMBER})\]")
# Of which files the tables of rankings are made.
TABLES = {"nasbench201": "nb201.parquet", "nasbench101_30k": "nb101_val_30001.parquet"}
# Printed by `ogive compare`, whose outcomes are no row.
UNSTORED = re.compile(r"A predictor against evolution.*?take their first\s+splits\.", re.DOTALL)


def test_every_file_is_a_row_of_a_recipe() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == ROWS.keys()
    assert {row["name"] for row in ROWS.values()} <= {one.name for one in everything()}
    assert {row["schema"] for row in ROWS.values()} == {SCHEMA}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_says_what_follows_from_its_numbers(name: str) -> None:
    """Means, intervals of seeds, tables, doubts and status: all of them by the recipe as it is now."""
    differing = list(differences(judged(without_results(ROWS[name])), ROWS[name]))
    assert differing == []


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row["n_seeds"] > 1 and row["ours"] is not None])
def test_intervals_over_seeds_are_made_of_what_the_row_holds_of_each_seed(name: str) -> None:
    held = {key: value for key, value in without_results(ROWS[name]).items() if key not in ("seeds", "beside")}
    assert list(intervals(ROWS[name]))
    assert list(intervals(held)) == []


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if "scored" in row])
def test_intervals_over_cells_are_made_of_what_the_row_holds_of_each_resample(name: str) -> None:
    row, told = ROWS[name], 0
    for column in row["columns"]:
        scores = {one["proxy"]: one for one in column["scores"]}
        for one in scores.values():
            if one["tau"] is None:  # a constant score, which has no ranks
                assert one["tau_interval"] is None
                assert {*one["tau_draws"]} == {None}
                continue
            drawn = {kind: np.array(one[f"{kind}_draws"], float) for kind in ("tau", "rho")}
            if "lead_interval" in one:
                drawn["lead"] = drawn["tau"] - np.array(scores["params"]["tau_draws"], float)
            for kind, values in drawn.items():
                assert len(values) == row["resamples"]
                ends = np.nanpercentile(values, [2.5, 97.5])
                assert one[f"{kind}_interval"] == pytest.approx(ends, abs=1.1 * 10**-DIGITS)
                told += 1
    assert told >= 3 * len(row["columns"])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if "scored" in row])
def test_intervals_over_cells_are_made_of_the_file_of_scores_and_the_table(
    name: str, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Minutes a row: the resamples of the cells, of scores and accuracies in files that the row names."""
    monkeypatch.chdir(FOLDER.parent)
    monkeypatch.setenv("OGIVE_HOME", str(tmp_path / "home"))
    table = ROWS[name]["settings"]["table"]
    import_table(shared_data / TABLES[table], tmp_path / "home" / "tables" / table, name=table)
    again = reproduce(name, out=tmp_path)
    changing = ("hardware", "commit", "date", "seconds", "settings")
    kept = {key: value for key, value in ROWS[name].items() if key not in changing}
    assert list(differences({key: again[key] for key in kept}, kept)) == []


def without_results(row: dict[str, Any]) -> dict[str, Any]:
    """A row of searches without whatever follows from its seeds; others have no seeds."""
    if row["n_seeds"] == 1 or row["ours"] is None:
        return row
    results = {"ours", "interval", "spread", "error", "margin", "doubts", "pairs", "markdown", "status", "because"}

    def bare(entry: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in entry.items() if key not in results}

    columns = {"columns": [bare(column) for column in row["columns"]]} if "columns" in row else {}
    return {**bare(row), **columns}


def differences(one: Any, other: Any, at: str = "") -> Iterator[str]:
    """Where two rows differ; the last digits of a mean depend on the order in which a processor adds."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            yield from differences(one[key], other[key], f"{at}/{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, (first, second) in enumerate(zip(one, other, strict=True)):
            yield from differences(first, second, f"{at}/{place}")
    elif isinstance(one, float) and isinstance(other, float):
        if not math.isclose(one, other, rel_tol=1e-12):
            yield f"{at}: {one} {other}"
    elif one != other:
        yield f"{at}: {one} {other}"


def test_the_table_of_the_readme_is_that_of_the_rows() -> None:
    assert "\n".join(table_of(ROWS)) in README


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.get("seeds")])
def test_tables_of_searches_that_share_weights_are_printed_as_their_rows_have_them(name: str) -> None:
    assert "\n".join(ROWS[name]["markdown"]) in README


def intervals(value: Any) -> Iterator[tuple[float, float, float]]:
    """Every figure in JSON that has an interval, with both ends."""
    if isinstance(value, list):
        for one in value:
            yield from intervals(one)
    if isinstance(value, dict):
        for known, interval in (
            ("ours", "interval"),
            ("ahead", "interval"),
            ("tau", "tau_interval"),
            ("rho", "rho_interval"),
        ):
            if known in value and value.get(interval) is not None:
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
