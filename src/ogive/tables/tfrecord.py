"""Read files of TensorFlow's records, and messages of Protocol Buffers, without either package.

A record is a length of 8 bytes, the masked CRC-32C of these, the content, and the masked CRC-32C of the content, all
little-endian (TensorFlow, core/lib/io/record_writer.h). The checksums are computed for many records side by side.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from ogive.core.errors import SpecError

__all__ = ["Field", "fields", "masked_crc32c", "records"]

# No record of a benchmark is near this long; a damaged length would otherwise ask for all memory.
LONGEST = 2**16
# Records whose checksums are computed at once: so many, or so many bytes if all were as long as the longest.
BATCH, BYTES = 4096, 2**24

Words = npt.NDArray[np.uint32]
# The number of a field and its value: an integer, a double, or bytes.
Field = tuple[int, int | float | bytes]


@cache
def _table() -> Words:
    """CRC-32C of single bytes (Castagnoli's polynomial, reflected)."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, np.uint32(0x82F63B78) ^ (table >> np.uint32(1)), table >> np.uint32(1))
    return table.astype(np.uint32)


def masked_crc32c(contents: Sequence[bytes]) -> Words:
    """The masked checksums of several byte strings, shape (N,)."""
    lengths = np.array([len(content) for content in contents], np.int64)
    order = np.argsort(-lengths, kind="stable")
    padded = np.zeros((int(lengths.max(initial=0)), len(contents)), np.uint8)
    for column, place in enumerate(order.tolist()):
        padded[: lengths[place], column] = np.frombuffer(contents[place], np.uint8)
    # The long ones first, so that those which are not at their end yet are a prefix.
    active = np.searchsorted(-lengths[order], -np.arange(1, len(padded) + 1), side="right")
    crc, table = np.full(len(contents), 0xFFFFFFFF, np.uint32), _table()
    for line, count in zip(padded, active.tolist(), strict=True):
        part = crc[:count]
        crc[:count] = table[(part ^ line[:count]) & np.uint32(0xFF)] ^ (part >> np.uint32(8))
    crc ^= np.uint32(0xFFFFFFFF)
    masked = ((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(0xA282EAD8)
    found = np.empty_like(masked)
    found[order] = masked
    return found


def records(path: Path) -> Iterator[bytes]:
    """The contents of all records, in order; SpecError names the first that is damaged."""
    with path.open("rb") as file:
        done = 0
        while batch := _batch(file, path, done):
            heads, sums, contents = zip(*batch, strict=True)
            for what, texts, wanted in (
                ("length", heads, [s[0] for s in sums]),
                ("content", contents, [s[1] for s in sums]),
            ):
                wrong = np.flatnonzero(masked_crc32c(texts) != np.array(wanted, np.uint32))
                if wrong.size:
                    raise SpecError(
                        f"Record {done + int(wrong[0])} of {path} is damaged: the checksum of its {what} is wrong. "
                        "Fetch the file again."
                    )
            yield from contents
            done += len(batch)


def _batch(file: IO[bytes], path: Path, done: int) -> list[tuple[bytes, tuple[int, int], bytes]]:
    found: list[tuple[bytes, tuple[int, int], bytes]] = []
    longest = 0
    while len(found) < BATCH and longest * len(found) < BYTES and (head := file.read(12)):
        length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else LONGEST + 1
        if length > LONGEST:
            if not found:
                raise SpecError(_cut(path, done))
            # The checksums of the records before this one come first, for theirs may be the damage.
            file.seek(-len(head), 1)
            break
        content = file.read(length + 4)
        if len(content) != length + 4:
            raise SpecError(_cut(path, done + len(found)))
        (head_sum,), (content_sum,) = struct.unpack("<I", head[8:]), struct.unpack("<I", content[-4:])
        longest = max(longest, length)
        found.append((head[:8], (head_sum, content_sum), content[:-4]))
    return found


def _cut(path: Path, record: int) -> str:
    return f"{path} is no file of records, or ends in the middle of record {record}: fetch it again."


def fields(message: bytes) -> Iterator[Field]:
    """The fields of a message in order; ValueError if it is none.

    Varints and fixed numbers of 4 bytes come as integers, fixed numbers of 8 bytes as doubles, the rest as bytes.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        size = {1: 8, 5: 4}.get(kind)
        if kind == 2:
            size, at = _varint(message, at)
        if size is None or at + size > len(message):
            raise ValueError(f"field {number} of kind {kind} does not fit into its message")
        raw, at = message[at : at + size], at + size
        yield number, struct.unpack("<d", raw)[0] if kind == 1 else struct.unpack("<I", raw)[0] if kind == 5 else raw


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("a number does not end")
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
