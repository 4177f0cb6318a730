"""Small pictures as PNG, the one format that every browser reads and that takes nothing but zlib to write."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt

__all__ = ["png"]

Bytes = npt.NDArray[np.uint8]
GREY, RGB, INDEXED = 0, 2, 3


def png(pixels: Bytes, palette: bytes | None = None) -> bytes:
    """The file of grey pixels (H, W), red, green and blue ones (H, W, 3), or places (H, W) in a palette of RGB."""
    height, width = pixels.shape[:2]
    kind = RGB if pixels.ndim == 3 else GREY if palette is None else INDEXED
    rows = pixels.reshape(height, -1)
    lines = np.hstack([np.zeros((height, 1), np.uint8), rows]).tobytes()  # each row begins with its filter, none
    colours = () if palette is None else ((b"PLTE", palette),)
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    chunks = ((b"IHDR", header), *colours, (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
