from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ogive.core.errors import StoreError
from ogive.files import workshop, write_json, write_whole
from ogive.reporting.markup import write_text


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond ten bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def killed(work: Path, prefix: str) -> None:
    """A process that dies in its workshop."""
    child = os.fork()
    if child == 0:
        with workshop(work, prefix) as place:
            (place / "half").write_text("a")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_full_disk_leaves_the_file_before_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, [1])
    with full_disk(), pytest.raises(OSError, match="File too large") as error:
        write_json(path, list(range(100)))
    assert error.value.filename == str(path)
    assert path.read_text() == "[\n 1\n]\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_page_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_text("<p>good</p>", path)
    with full_disk(), pytest.raises(StoreError, match=r"report\.html \(File too large\)"):
        write_text("<p>better, and longer</p>", path)
    assert path.read_text() == "<p>good</p>"


def test_a_page_behind_a_link_is_replaced_there(tmp_path: Path) -> None:
    (tmp_path / "link.html").symlink_to(tmp_path / "page.html")
    write_text("a", tmp_path / "page.html")
    write_text("b", tmp_path / "link.html")
    assert (tmp_path / "link.html").is_symlink()
    assert (tmp_path / "page.html").read_text() == "b"


def test_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", b"\xff\r\n")
    assert (tmp_path / "a").read_bytes() == b"\xff\r\n"


def test_what_a_dead_process_left_is_swept_and_what_a_living_one_makes_is_not(tmp_path: Path) -> None:
    killed(tmp_path, ".export-")
    killed(tmp_path, ".other-")
    assert len(list(tmp_path.iterdir())) == 2
    with workshop(tmp_path, ".export-") as first, workshop(tmp_path, ".export-") as second:
        assert {path.name for path in tmp_path.glob(".export-*")} == {first.name, second.name}
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".other-")
