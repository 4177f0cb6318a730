"""Messages repeat at most 200 characters of what they were given: of command lines, recipes and files."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ogive import catalog
from ogive.choice import limits_of
from ogive.context import Context
from ogive.core.errors import OgiveError
from ogive.core.rng import Seed
from ogive.reproduce.cells import Kept
from ogive.reproduce.ledger import read_rows
from ogive.session import Settings, assemble, budget_of
from ogive.spec import parse, parse_data
from ogive.tables.importers import Mapped, import_table

LONG = "z" * 3000
LONGEST = 1500  # with all that is not repeated
KINDS = [kind for kind in catalog.KINDS if kind not in ("data", "task", "weights")]
FORMS = ["{0}({1})", "{0}({1}=1)", "{0}([{1}, {1}])", "{0}({1}, {1}, {1}, {1}, {1}, {1})", "{0}{1}", "{0}(a={1}, a=1)"]
CELL = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
OTHER = "|none~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|"


def refused(work: Callable[[], Any]) -> str:
    """What is said of it, which repeats little; empty where nothing is wrong."""
    try:
        work()
    except OgiveError as error:
        said = str(error)
        assert max(map(len, re.findall("z+", said)), default=0) <= 200, said
        assert len(said) <= LONGEST, said
        assert "\n" not in said
        return said
    except OSError as error:  # a name too long for a file; the commands make a line of it
        return error.strerror or ""
    return ""


@pytest.mark.parametrize("kind", KINDS)
def test_parts_with_long_words_are_refused_in_short_ones(kind: str) -> None:
    context = Context({"space": lambda: catalog.build("space", "natssize"), "budget": lambda: budget_of("10")}, Seed(0))
    for name in catalog.names(kind):
        options = list(catalog.options(kind, name))[:4]
        texts = [form.format(name, LONG) for form in FORMS]
        texts += [f"{name}({option}={value})" for option in options for value in (LONG, f"[{LONG}]", f"{LONG}({LONG})")]
        for text in texts:
            refused(lambda text=text: catalog.build(kind, text, context))
        assert refused(lambda name=name: catalog.build(kind, f"{name}{LONG}", context))


@pytest.mark.parametrize("text", [LONG, "1" * 3000, f"{LONG}<={LONG}", f"5{LONG}s", f"{LONG}:1", f"maximize({LONG})"])
def test_settings_that_are_long_are_refused_in_short_words(text: str) -> None:
    for read in (budget_of, parse, parse_data, lambda text: limits_of([text])):
        refused(lambda read=read: read(text))
    plain = {"space": "natssize", "evaluator": "training_free(params)", "data": "digits(limit=20)"}
    for name in ("space", "strategy", "evaluator", "table", "device", "workers", "order"):
        refused(lambda name=name: assemble(Settings(**{**plain, name: text})))
    assert refused(lambda: assemble(Settings(**{**plain, "space": text})))
    for name in ("objectives", "prefer"):
        refused(lambda name=name: assemble(Settings(**plain, **{name: (text,)})).study())


@pytest.mark.parametrize("space", catalog.names("space"))
def test_texts_that_are_no_architectures_are_refused_in_short_words(space: str) -> None:
    found = catalog.build("space", space)
    for text in (f"{space}:{LONG}", f"{LONG}:1", f"{space}:{','.join('1' * 3000)}", f"|{LONG}~0|"):
        assert refused(lambda text=text: found.parse(text))


@pytest.mark.parametrize("header", [["cell", "top1"], ["cell", LONG], [LONG, "top1"], ["cell", "top1", f"{LONG}2"]])
@pytest.mark.parametrize("row", [[CELL, LONG], [LONG, "1"], [f"nasbench201:{LONG}", "3"]])
def test_cells_and_headers_of_files_are_refused_in_short_words(
    header: list[str], row: list[str], tmp_path: Path
) -> None:
    file, space = tmp_path / "f.csv", catalog.build("space", "nasbench201")
    lines = [header, [*row, *["1"] * (len(header) - len(row))], [OTHER, *["2"] * (len(header) - 1)]]
    file.write_text("\n".join(map(",".join, lines)))
    wishes: list[dict[str, Any]] = [{}, {"metric": "top1"}, {"metric": LONG}, {"columns": {LONG: "top1"}}]
    wishes += [{"on": LONG}, {"duplicates": LONG}, {"arch_column": LONG}, {"minimize": (LONG,), "metric": "top1"}]
    for place, wish in enumerate(wishes):
        mapped = Mapped(**{"space": space, "arch_column": "cell", **wish})
        assert refused(
            lambda place=place, mapped=mapped: import_table(file, tmp_path / str(place), name="t", mapped=mapped)
        )
    assert refused(lambda: import_table(file, tmp_path / "plain", name="t"))
    for options in ("", f"(target={LONG})", "(target=cell)"):
        refused(lambda options=options: catalog.build("data", f"csv:{file}{options}"))


@pytest.mark.parametrize("text", ["[" * 100_000, "{", '{"table_digest": 5, "spec": "trees"}', "[1]", "null"])
def test_records_of_reproductions_that_are_none_are_refused_in_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "cells.jsonl").write_text(f"{text}\n")
    assert "is no fit" in refused(lambda: Kept(tmp_path / "cells.jsonl", "digest"))
    (tmp_path / "row.json").write_text(text)
    if text in ("[1]", "null") or "5" in text:
        assert read_rows(tmp_path) == {}  # other JSON
    else:
        assert "cannot be read as JSON" in refused(lambda: read_rows(tmp_path))
