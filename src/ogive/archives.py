"""Packed files, unpacked within a stated limit: archives of NumPy arrays, and files of gzip.

What a few bytes unpack to is not known before; what is allowed is `GROWTH` times the size of the file, and `ALWAYS`.
"""

from __future__ import annotations

import math
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["read_arrays", "read_gzip"]

GROWTH = 100  # images of digits unpack to five times their size, a table of scores to four
ALWAYS = 2**26
CHUNK = 2**20


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an ``.npz`` file by their names, never objects; ValueError or OSError says what is wrong with it.

    Before anything is unpacked, the shape that each array announces is held against the bytes that are there.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _refuse_claims(archive, _allowed(path))
        with np.load(path, allow_pickle=False) as found:
            return {name: _readable(found[name], name) for name in found.files}
    except (OSError, ValueError):
        raise
    except Exception as error:  # noqa: BLE001  headers are parsed as Python, and members by decoders of several kinds
        raise ValueError(str(error) or type(error).__name__) from None


def _readable(values: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """The array; ValueError for texts with numbers that stand for no letter, which numpy reads and Python cannot."""
    if values.dtype.kind == "U" and values.size:
        letters = np.frombuffer(values.tobytes(), f"{values.dtype.byteorder}u4")
        if letters.max() > sys.maxunicode:
            raise ValueError(f"{name} holds what is no text")
    return values


def _refuse_claims(archive: zipfile.ZipFile, allowed: int) -> None:
    total = 0
    for member in archive.infolist():
        with archive.open(member) as file:
            version = np.lib.format.read_magic(file)
            read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            if version not in read or not member.filename.endswith(".npy"):
                raise ValueError(f"{member.filename} is no plain array")
            shape, _, dtype = read[version](file)
            if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != member.file_size - file.tell():
                raise ValueError(f"{member.filename} announces {dtype} of the shape {shape}, which it does not hold")
        # Of an empty array no side is held by bytes, nor are elements without any.
        total += max(member.file_size, *shape, 0, 0)
        if total > allowed:
            raise ValueError(_too_large(allowed))


def read_gzip(path: Path) -> bytes:
    """What a file of gzip holds; ValueError or OSError says what is wrong with it."""
    allowed, found = _allowed(path), bytearray()
    unpacker = zlib.decompressobj(wbits=31)
    with path.open("rb") as file:
        left = file.read(CHUNK)
        while left:
            try:
                found += unpacker.decompress(left, CHUNK)
            except zlib.error as error:
                raise ValueError(str(error)) from None
            if len(found) > allowed:
                raise ValueError(_too_large(allowed))
            left = unpacker.unconsumed_tail or (unpacker.unused_data.lstrip(b"\0") if unpacker.eof else b"")
            if unpacker.eof and left:  # another member follows
                unpacker = zlib.decompressobj(wbits=31)
            left = left or file.read(CHUNK)
    if not unpacker.eof:
        raise ValueError("it ends in the middle")
    return bytes(found)


def _allowed(path: Path) -> int:
    return ALWAYS + GROWTH * path.stat().st_size


def _too_large(allowed: int) -> str:
    return f"it unpacks to more than {allowed / CHUNK:,.0f} MiB, {GROWTH} times its size and {ALWAYS // CHUNK} MiB"
