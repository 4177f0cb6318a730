"""Read the pickles that benchmarks were published as: packed with bz2, plain, or in a file of torch.save.

Nothing that they say is run: see `ogive.tables.unpickling`. Sizes are bounded before anything is decompressed.
"""

from __future__ import annotations

import bz2
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from ogive.core.errors import SpecError, in_line
from ogive.tables.unpickling import Memo, Reduce, Steps

__all__ = ["decompressed", "load", "stream_torch", "stream_values"]

MIB = 2**20
CHUNK = MIB


def decompressed(path: Path, limit: int = 16 * MIB) -> bytes:
    """What a bz2 file holds; SpecError if it is damaged, cut off, or holds more than `limit` bytes."""
    try:
        with path.open("rb") as file:
            source, found = bz2.BZ2Decompressor(), bytearray()
            while not source.eof:
                chunk = file.read(CHUNK) if source.needs_input else b""
                if source.needs_input and not chunk:
                    raise EOFError("it ends in the middle")
                found += source.decompress(chunk, CHUNK)
                if len(found) > limit:
                    raise SpecError(
                        f"{path} unpacks to more than {limit // MIB} MiB, which no file of this benchmark does: "
                        "it was not read."
                    )
            return bytes(found)
    except (OSError, EOFError, ValueError) as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError(f"{path} is damaged ({in_line(error)}): fetch it again.") from None


def load(raw: bytes, path: Path) -> Any:
    """The dictionaries and numbers of a pickle; SpecError if it is damaged or names anything but `ALLOWED`."""
    return _value(Steps(io.BytesIO(raw), {}, lambda _: None), path)


def _value(steps: Steps, path: Path) -> Any:
    try:
        return steps.run()
    except Exception as error:  # noqa: BLE001  whatever a hostile pickle makes an allowed function raise
        raise SpecError(f"{path} was not read: as a pickle it is damaged or hostile ({in_line(error)}).") from None


def stream_values(file: IO[bytes], path: Path, reduce: Reduce) -> Any:
    """The value of a pickle that is read as it comes, each dictionary passed to `reduce` when it is complete."""
    return _value(Steps(file, Memo(), reduce), path)


# torch.save wrote three small pickles before the one that counts, until version 1.6; since then a zip archive.
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def stream_torch(path: Path, reduce: Reduce) -> Any:
    """The same for a file of ``torch.save``, old or new; tensors are left out. Needs no torch."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
                if len(names) != 1:
                    raise SpecError(f"{path} is no file of torch.save: it holds {len(names)} files data.pkl.")
                if archive.getinfo(names[0]).compress_type != zipfile.ZIP_STORED:
                    # What unpacks to no more than it takes on the disk cannot be a bomb.
                    raise SpecError(f"{path} is no file of torch.save, which does not compress: it was not read.")
                with archive.open(names[0]) as file:
                    return stream_values(io.BufferedReader(cast(io.RawIOBase, file)), path, reduce)
        with path.open("rb") as file:
            if next(_headers(file, path)) != _LEGACY_MAGIC:
                raise SpecError(f"{path} is no file of torch.save.")
            for _ in range(2):
                next(_headers(file, path))
            return stream_values(file, path, reduce)
    # Of a name that is no text, of encryption and of unknown methods, zipfile says so in its own ways.
    except (OSError, EOFError, zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError, RuntimeError) as error:
        raise SpecError(f"{path} is damaged ({in_line(error)}): fetch it again.") from None


def _headers(file: IO[bytes], path: Path) -> Iterator[Any]:
    while True:
        yield stream_values(file, path, lambda _: None)
