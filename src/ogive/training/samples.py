"""Made images side by side in one PNG file, written without any other program."""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path

import numpy as np
from torch import Tensor

from ogive.core.errors import StoreError
from ogive.files import write_whole

__all__ = ["grid_png", "write_samples"]

GAP = 2  # pixels between two images


def grid_png(images_NCHW: Tensor) -> bytes:
    """A PNG of images with 1 or 3 channels and values in [-1, 1], in about as many rows as columns, on white."""
    count, channels, height, width = images_NCHW.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels), 255, np.uint8)
    pixels = ((images_NCHW.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    for number, image in enumerate(pixels):
        top, left = (number // columns) * (height + GAP), (number % columns) * (width + GAP)
        sheet[top : top + height, left : left + width] = image
    colour = {1: 0, 3: 2}[channels]
    header = struct.pack(">IIBBBBB", sheet.shape[1], sheet.shape[0], 8, colour, 0, 0, 0)
    lines = np.hstack([np.zeros((len(sheet), 1), np.uint8), sheet.reshape(len(sheet), -1)])  # 0: no filter of the row
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)


def write_samples(path: Path, images_NCHW: Tensor) -> None:
    """Write the PNG of some images; of images that are neither grey nor coloured, the first channel."""
    shown = images_NCHW if images_NCHW.shape[1] in (1, 3) else images_NCHW[:, :1]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, grid_png(shown))
    except OSError as error:
        raise StoreError(f"The picture {path} could not be written ({error.strerror}): make room.") from None


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
