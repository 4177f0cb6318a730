from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from ogive.core.errors import SpecError
from ogive.tables import json_records
from ogive.tables.json_records import records

LISTS = ("top", "mid")
SOME = [{"a": [1.5, -2, 3e5], "b": 'ü \\ " ]}'}, [], {}, "x", None, True, 17, [[{"c": {}}]]]


def written(folder: Path, text: str) -> Path:
    path = folder / "file.json"
    path.write_text(text, encoding="utf-8")
    return path


def read(folder: Path, text: str) -> list[Any]:
    return list(records(written(folder, text), LISTS))


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64, 2**18])
@pytest.mark.parametrize("indent", [None, 2])
def test_records_do_not_depend_on_how_the_file_is_cut(
    chunk: int, indent: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_records, "CHUNK", chunk)
    assert read(tmp_path, json.dumps(SOME, indent=indent)) == SOME
    whole = {"mid": SOME[:3], "top": SOME[3:]}
    assert read(tmp_path, f" {json.dumps(whole, indent=indent, ensure_ascii=False)}\n") == SOME
    assert read(tmp_path, "[]") == read(tmp_path, '{"top": []}') == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"Record 0 .*ends where \[ or \{ should be"),
        ("7", r"'7' stands where"),
        ("[1, 2", "Record 2 .*ends where , or ] should be"),
        ("[1, 2,", "Record 2 .*ends too early"),
        ('[{"a": 1}, {"b": "cu', "Record 1 .*ends too early"),
        ('[{"a": tru', "Record 0 .*ends too early"),
        ("[1] 2", "there is more after its end"),
        ("[1 2]", "Record 1 .*'2' stands where"),
        ('[{"a" 1, "much": "more of it, so that this is not the end"}]', "Record 0 .*delimiter"),
        ('{"top": [1], "top": [2]}', "each once, and not 'top'"),
        ('{"low": [1]}', "holds the lists top and mid, each once, and not 'low'"),
        ('{"top": {}}', "'{' stands where"),
        ("{}", "Record 0"),
        ("[" * 100_000, "nested too deeply"),
        (f"[{'9' * 10_000}, 1, 2, 3, 4, 5, 6, 7, 8, 9]", "Record 0 .*digits"),
    ],
)
def test_what_is_damaged_is_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=message):
        read(tmp_path, text)


def test_every_beginning_of_a_file_is_refused(tmp_path: Path) -> None:
    text = json.dumps({"top": SOME[:2], "mid": SOME[2:]})
    for end in range(len(text)):
        with pytest.raises(SpecError, match="damaged"):
            read(tmp_path, text[:end])


def test_a_text_without_an_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_records, "LONGEST", 10_000)
    monkeypatch.setattr(json_records, "CHUNK", 1_000)
    with pytest.raises(SpecError, match="longer than 10,000 characters"):
        read(tmp_path, f'["{"a" * 1_000_000}"]')


def test_memory_grows_with_a_record_and_not_with_the_file(tmp_path: Path) -> None:
    record = {"values": [0.123456789] * 1000}
    path = written(tmp_path, json.dumps([record] * 400))
    tracemalloc.start()
    count = sum(1 for _ in records(path, LISTS))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 400
    assert path.stat().st_size > 5_000_000
    assert peak < 2_500_000


def test_progress_ends_with_the_whole_file(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps(list(range(1000))))
    seen: list[tuple[int, int]] = []
    assert sum(records(path, LISTS, lambda done, total: seen.append((done, total)))) == 499_500
    assert seen[-1] == (path.stat().st_size,) * 2


def test_a_file_that_is_no_text_or_no_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(b"\xff\xfe[1]")
    with pytest.raises(SpecError, match="no text in UTF-8"):
        list(records(path, LISTS))
    with pytest.raises(SpecError, match="Cannot read"):
        list(records(tmp_path / "none.json", LISTS))
