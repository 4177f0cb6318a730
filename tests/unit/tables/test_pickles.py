from __future__ import annotations

import bz2
import io
import os
import pickle
import struct
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ogive.core.errors import SpecError
from ogive.tables.pickles import decompressed, load, stream_torch, stream_values

HERE = Path("file.pickle")


class Command:
    """What a hostile pickle does: call something when it is read."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> Any:
        return self.function, self.arguments


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_dictionaries_and_numbers_of_numpy_are_read_in_the_protocols_of_their_time(protocol: int) -> None:
    content = OrderedDict(
        a=[1, 2.5, None, True, "text", b"bytes"],
        scalars=(np.float64(0.25), np.int64(-3), np.float32(1.5), np.array([1.5, 2.5])),
        seen={1, 2},
    )
    found = load(pickle.dumps(content, protocol=protocol), HERE)
    assert found["a"] == content["a"]
    assert found["scalars"][:3] == (0.25, -3, 1.5)
    assert found["scalars"][3].tolist() == [1.5, 2.5]
    assert found["seen"] == {1, 2}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    ("command", "named"),
    [
        (Command(os.system, "touch hacked"), "posix.system"),
        (Command(eval, "1"), "eval"),
        (Command(open, "hacked", "w"), "io.open"),
        (Command(getattr, "", "format"), "getattr"),
    ],
)
def test_a_hostile_pickle_is_refused_and_does_nothing(
    command: Command, named: str, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    raw = pickle.dumps({"meta_archs": command}, protocol=protocol)
    with pytest.raises(SpecError, match=rf"damaged or hostile \(it names .*{named}, which no benchmark needs\)"):
        load(raw, HERE)
    with pytest.raises(SpecError, match="which no benchmark needs"):
        stream_values(io.BytesIO(raw), HERE, lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_arrays_of_objects_are_refused() -> None:
    with pytest.raises(SpecError, match="not that of a number"):
        load(pickle.dumps(np.array([{}], object)), HERE)
    with pytest.raises(SpecError, match="not that of a number"):
        load(pickle.dumps(np.dtype("V8")), HERE)


def test_allowed_names_called_with_nonsense_are_refused_in_one_line() -> None:
    for arguments in ((1,), (np.dtype("f8"), b"short")):
        raw = pickle.dumps({"a": Command(np.float64(1).__reduce__()[0], *arguments)})
        with pytest.raises(SpecError, match="damaged or hostile") as refusal:
            load(raw, HERE)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("cut", [1, 10, 30])
def test_a_truncated_pickle_is_refused(cut: int) -> None:
    raw = pickle.dumps({"a": list(range(100))})[:-cut]
    with pytest.raises(SpecError, match="damaged or hostile"):
        load(raw, HERE)
    with pytest.raises(SpecError, match="damaged or hostile"):
        stream_values(io.BytesIO(raw), HERE, lambda _: None)


MIB = 2**20
BOMBS = {
    "a memo with a far place": b"\x80\x02]r\xff\xff\xff\x7f.",
    "the same in text": b"]p100000000\n.",
    "an array of bytes that is not there": b"\x96" + struct.pack("<Q", 34 * 2**30) + b".",
    "bytes that are not there": b"\x8e" + struct.pack("<Q", 8 * 2**30) + b".",
    "a text that is not there": b"X" + struct.pack("<I", 2**31 - 1) + b".",
    "a number that is not there": b"\x8b" + struct.pack("<i", 2**31 - 1) + b".",
    "a frame that is not there": b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b".",
    "containers of a byte each": b"]" * 4 * MIB + b".",
    "tuples of a byte each": b"N" + b"\x85" * 4 * MIB + b".",
    "copies of a text": b"X"
    + struct.pack("<I", MIB)
    + b"a" * MIB
    + b"q\x000"
    + 2000 * b"c_codecs\nencode\nh\x00\x85R"
    + b".",
    "an empty array with a long side": pickle.dumps(np.empty((0, 1), "f8"), 2).replace(
        b"K\x00K\x01", b"J\xff\xff\xff\x0fK\x00"
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("how", ["whole", "streamed", "of torch"])
def test_a_pickle_takes_no_more_memory_than_its_size_allows(bomb: str, how: str, tmp_path: Path) -> None:
    raw, path = BOMBS[bomb], tmp_path / "a.pth"
    read = {
        "whole": lambda: load(raw, HERE),
        "streamed": lambda: stream_values(io.BytesIO(raw), HERE, lambda _: None),
        "of torch": lambda: stream_torch(path, lambda _: None),
    }[how]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", raw)
    said = "damaged or hostile"
    tracemalloc.start()
    try:
        getattr(read(), "tolist", list)()
    except SpecError as refusal:
        said = str(refusal)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "damaged or hostile" in said
    assert len(said) < 500
    assert peak < 32 * len(raw) + 8 * MIB


def test_a_key_that_takes_long_to_hash_is_refused() -> None:
    nested = b"N" + b"q\x000h\x00h\x00\x86" * 60  # a tuple of twice the tuple before
    for raw in (b"}" + nested + b"Ns.", b"c__builtin__\nset\n](" + nested + b"e\x85R.", b"}(" + nested + b"Nu."):
        with pytest.raises(SpecError, match="a key that is neither a number nor a text"):
            load(raw, HERE)


# -- archives ---------------------------------------------------------------------------------------------------------


def test_an_archive_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.pbz2"
    content = os.urandom(3_000_000)
    path.write_bytes(bz2.compress(content))
    assert decompressed(path) == content


@pytest.mark.parametrize("kept", [0, 20, -5])
def test_a_truncated_archive_is_refused(kept: int, tmp_path: Path) -> None:
    path = tmp_path / "a.pbz2"
    path.write_bytes(bz2.compress(os.urandom(10_000))[:kept])
    with pytest.raises(SpecError, match=r"a\.pbz2 is damaged \(it ends in the middle\): fetch it again"):
        decompressed(path)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pbz2"
    path.write_bytes(b"something else")
    with pytest.raises(SpecError, match=r"is damaged \(Invalid data stream\)"):
        decompressed(path)


def test_a_decompression_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pbz2"
    path.write_bytes(bz2.compress(bytes(200 * 2**20)))
    assert path.stat().st_size < 1000
    with pytest.raises(SpecError, match="unpacks to more than 16 MiB"):
        decompressed(path)


# -- files of torch.save ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [False, True])
def test_files_of_torch_are_read_without_their_tensors(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    content = {"numbers": [1, 2.5], "weights": {"w": torch.ones(3, 3)}, "scalar": np.float64(0.5)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    seen: list[dict[Any, Any]] = []
    found = stream_torch(path, lambda part: seen.append(dict(part)))
    assert (found["numbers"], found["scalar"]) == ([1, 2.5], 0.5)
    assert {"numbers", "weights", "scalar"} in [set(part) for part in seen]


def test_a_stream_keeps_what_the_reader_keeps(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({n: {"epochs": {e: e / 3 for e in range(100)}, "kept": n} for n in range(50)}, path)

    def reduce(part: dict[Any, Any]) -> None:
        part.pop("epochs", None)

    assert stream_torch(path, reduce) == {n: {"kept": n} for n in range(50)}


@pytest.mark.parametrize("zipped", [False, True])
def test_hostile_files_of_torch_are_refused(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"a": Command(os.system, "true")}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(SpecError, match=r"it names posix\.system"):
        stream_torch(path, lambda _: None)


def test_a_compressed_archive_is_no_file_of_torch(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(50 * 2**20))
    with pytest.raises(SpecError, match="does not compress: it was not read"):
        stream_torch(path, lambda _: None)


def test_a_file_of_torch_whose_members_have_no_name_is_damaged(tmp_path: Path) -> None:
    torch.save({"a": 1}, tmp_path / "a.pth")
    content = bytearray((tmp_path / "a.pth").read_bytes())
    with zipfile.ZipFile(tmp_path / "a.pth") as archive:
        member = next(one for one in archive.infolist() if one.filename.endswith("data.pkl"))
    at = member.header_offset + 30  # the name, which the list at the end of the archive repeats
    content[member.header_offset + 7] |= 0x08  # it is UTF-8, this says
    content[at] = 0x80
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(SpecError, match=r"a\.pth is damaged"):
        stream_torch(tmp_path / "a.pth", lambda _: None)


def test_other_and_truncated_files_are_no_files_of_torch(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(SpecError, match=r"is no file of torch\.save"):
        stream_torch(path, lambda _: None)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other", b"")
    with pytest.raises(SpecError, match=r"holds 0 files data\.pkl"):
        stream_torch(path, lambda _: None)
    torch.save({"a": list(range(1000))}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(SpecError, match="damaged"):
        stream_torch(path, lambda _: None)
