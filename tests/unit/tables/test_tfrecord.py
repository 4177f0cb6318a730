from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest

from ogive.core.errors import SpecError
from ogive.tables.tfrecord import fields, masked_crc32c, records


def record(content: bytes) -> bytes:
    head = struct.pack("<Q", len(content))
    sums = masked_crc32c([head, content]).tolist()
    return head + struct.pack("<I", sums[0]) + content + struct.pack("<I", sums[1])


def written(path: Path, contents: Sequence[bytes]) -> Path:
    path.write_bytes(b"".join(map(record, contents)))
    return path


# CRC-32C of RFC 3720 (iSCSI), appendix B.4, and of "123456789" (the catalogue's check value 0xE3069283).
@pytest.mark.parametrize(
    ("content", "crc"),
    [
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_checksums_are_those_of_the_standard_masked(content: bytes, crc: int) -> None:
    # TensorFlow, core/lib/hash/crc32c.h: rotate right by 15 bits and add a constant.
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    assert masked_crc32c([content]).tolist() == [masked]


def test_checksums_of_many_are_those_of_each() -> None:
    contents = [bytes(range(n % 251)) * (n % 3) for n in range(300)]
    assert masked_crc32c(contents).tolist() == [masked_crc32c([content])[0] for content in contents]


def test_records_are_read_in_order_and_more_than_a_batch_of_them(tmp_path: Path) -> None:
    contents = [b"%d" % n * (n % 5) for n in range(10_000)]
    assert list(records(written(tmp_path / "a", contents))) == contents
    assert list(records(written(tmp_path / "empty", []))) == []


@pytest.mark.parametrize(("place", "what"), [(3, "length"), (9, "length"), (14, "content"), (-1, "content")])
def test_a_flipped_bit_is_found(place: int, what: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a", [b"first", b"second", b"third"])
    start = len(record(b"first"))
    raw = bytearray(path.read_bytes())
    raw[start + place if place >= 0 else start + len(record(b"second")) + place] ^= 1
    path.write_bytes(raw)
    found = records(path)
    with pytest.raises(SpecError, match=r"Record 1 of .* is damaged|ends in the middle of record 1|no file of records"):
        list(found)
    assert what in ("length", "content")


@pytest.mark.parametrize("cut", [1, 4, 9, 18])
def test_a_truncated_file_is_refused(cut: int, tmp_path: Path) -> None:
    path = written(tmp_path / "a", [b"first", b"second"])
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(SpecError, match="ends in the middle of record 1: fetch it again"):
        list(records(path))


def test_another_file_is_refused_without_reading_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(SpecError, match="is no file of records"):
        list(records(path))


def test_fields_of_a_message_are_read() -> None:
    # Protocol Buffers, "Encoding": field 1 varint 150, field 2 bytes "testing", field 3 double, field 4 fixed32.
    message = b"\x08\x96\x01" + b"\x12\x07testing" + b"\x19" + struct.pack("<d", 0.5) + b"\x25" + struct.pack("<I", 7)
    assert list(fields(message)) == [(1, 150), (2, b"testing"), (3, 0.5), (4, 7)]
    assert list(fields(b"")) == []


@pytest.mark.parametrize(
    "message", [b"\x08", b"\x08\x96", b"\x12\x07test", b"\x19\0\0", b"\x0b", b"\x08" + b"\xff" * 11]
)
def test_what_is_no_message_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match="does not"):
        list(fields(message))


def test_one_long_record_does_not_make_room_for_thousands(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tfrecord", [b"a" * 2**14])
    path.write_bytes(path.read_bytes() + 5000 * record(b"b" * 8))
    tracemalloc.start()
    assert sum(1 for _ in records(path)) == 5001
    assert tracemalloc.get_traced_memory()[1] < 2 * 2**24
    tracemalloc.stop()
