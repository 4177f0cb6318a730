from __future__ import annotations

import gzip
import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ogive.archives import read_arrays, read_gzip

MIB = 2**20


def npz(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def announced(shape: object, dtype: str = "|u1", content: bytes = b"") -> bytes:
    return np_header(f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}") + content


def np_header(text: str) -> bytes:
    padded = text.encode() + b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded


def test_arrays_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    written = {
        "x": np.arange(6.0).reshape(2, 3),
        "y": np.array(["a", "bc"]),
        "none": np.empty((0, 3)),
        "one": np.array(7),
    }
    np.savez_compressed(path, **written)
    found = read_arrays(path)
    assert list(found) == list(written)
    assert all(np.array_equal(found[name], values) for name, values in written.items())


BROKEN = {
    "a terabyte": announced((2**40,)),
    "a shape of nothing": announced((0, 2**40)),
    "elements of nothing": announced((2**40,), "|V0"),
    "less than nothing": announced((-1, -8), content=bytes(8)),
    "a list for a shape": announced([8], content=bytes(8)),
    "objects": announced((1,), "|O", b"N."),
    "a bomb": announced((300 * MIB,), content=bytes(300 * MIB)),
    "raw bytes": b"hello",
    "nothing": b"",
    "a header without an end": np_header("{'descr': "),
    "a header that is nested": np_header("(" * 5000),
    "a header with an error of indentation": np_header("  \n a\n  b"),
    "a header that is no dictionary": np_header("1"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_arrays_that_are_not_there_are_refused_before_room_is_made(broken: str, tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", x=BROKEN[broken])
    tracemalloc.start()
    with pytest.raises((ValueError, OSError)):
        read_arrays(path)
    assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    tracemalloc.stop()


def test_members_of_other_kinds_and_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme", b"hello")
    for content in (path.read_bytes(), b"", b"PK\x03\x04", bytes(100)):
        path.write_bytes(content)
        with pytest.raises((ValueError, OSError)):
            read_arrays(path)


def test_gzip_is_unpacked_with_all_its_members(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    content = np.random.default_rng(0).bytes(3 * MIB)
    path.write_bytes(gzip.compress(content[: 2 * MIB]) + gzip.compress(content[2 * MIB :]))
    assert read_gzip(path) == content


def test_a_bomb_of_gzip_is_refused_and_so_are_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    bomb = io.BytesIO()
    with gzip.GzipFile(fileobj=bomb, mode="wb", compresslevel=1) as file:
        for _ in range(200):
            file.write(bytes(MIB))
    path.write_bytes(bomb.getvalue())
    tracemalloc.start()
    with pytest.raises(ValueError, match="more than"):
        read_gzip(path)
    assert tracemalloc.get_traced_memory()[1] < 2.5 * (64 * MIB + 100 * len(bomb.getvalue()))
    tracemalloc.stop()
    for content in (b"", b"hello", gzip.compress(b"a" * 1000)[:-9]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"end|header"):
            read_gzip(path)


def test_texts_with_numbers_that_are_no_letters_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, words=np.array(["ab", "c"]))
    assert list(read_arrays(path)["words"]) == ["ab", "c"]
    for order in "<>":
        np.savez(path, words=np.array([0x61, 0x7FFFFFFF], f"{order}u4").view(f"{order}U1"))
        with pytest.raises(ValueError, match="words holds what is no text"):
            read_arrays(path)
