"""Get a published data set, from its official address or from files at hand, and check it before it is put in place."""

from __future__ import annotations

import gzip
import hashlib
import logging
import shlex
import shutil
import tarfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

from ogive.core.errors import MissingData, UnknownName
from ogive.files import workshop
from ogive.training.pictures import Progress
from ogive.training.published import PUBLISHED, Published, present, read_published

__all__ = ["get"]

logger = logging.getLogger(__name__)

Opener = Callable[[str], AbstractContextManager[IO[bytes]]]
CHUNK = 1 << 20  # bytes


def get(
    name: str,
    *,
    source: Path | None = None,
    folder: Path | None = None,
    opener: Opener | None = None,
    progress: Progress | None = None,
) -> Path:
    """Put the data set `name` where ``load`` looks for it, and return that folder.

    `source` is a folder that holds the files or the archive, or the archive itself; None downloads from the official
    address. `folder` defaults to the data folder of ogive's home. The files are checked before anything becomes
    visible: MissingData says what is missing or has the wrong digest. `progress` is told bytes and, as far as known,
    bytes in all; `opener` opens an address for reading.
    """
    if name not in PUBLISHED:
        raise UnknownName("data set to get", name, PUBLISHED)
    published = PUBLISHED[name]
    if folder is None:
        from ogive.home import data_folder

        folder = data_folder() / name
    if folder.is_dir() and _sound(name, folder):
        logger.info("%s is in %s already.", published.title, folder)
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with workshop(folder.parent, f".{name}-") as scratch:
            _replace(name, folder, scratch, source, opener or _open, progress)
    except OSError as error:
        raise MissingData(
            f"{published.title} could not be written to {folder} ({error}): make room there, or choose another place "
            "by setting OGIVE_HOME; nothing was kept."
        ) from None
    return folder


def _replace(
    name: str, folder: Path, scratch: Path, source: Path | None, opener: Opener, progress: Progress | None
) -> None:
    """Make the folder in `scratch`, on the same file system, and move it to its place when it has been checked."""
    fresh = scratch / "new"
    fresh.mkdir()
    if source is None:
        _download(name, scratch, opener, progress)
        source = scratch
    _collect(name, source, fresh)
    _check(name, fresh)
    if folder.exists():
        folder.replace(scratch / "old")
    fresh.replace(folder)


def _download(name: str, folder: Path, opener: Opener, progress: Progress | None) -> None:
    for address, wanted in PUBLISHED[name].addresses.items():
        path = folder / address.rsplit("/", 1)[-1]
        digest = hashlib.md5(usedforsecurity=False)
        done = 0
        try:
            with opener(address) as stream, path.open("wb") as file:
                total = int(getattr(stream, "length", None) or 0)
                while block := stream.read(CHUNK):
                    file.write(block)
                    digest.update(block)
                    done += len(block)
                    if progress is not None:
                        progress(done, max(total, done))
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            raise MissingData(
                f"{address} could not be downloaded ({error}): get it in another way and run "
                f"`ogive data get {name} --from {shlex.quote(path.name)}`."
            ) from None
        if digest.hexdigest() != wanted:
            raise MissingData(
                f"{address} gave {done} bytes with the MD5 {digest.hexdigest()}, but {wanted} was expected: "
                "try again; nothing was kept."
            )


def _open(address: str) -> AbstractContextManager[IO[bytes]]:
    return urllib.request.urlopen(address, timeout=60)  # type: ignore[no-any-return]


def _collect(name: str, source: Path, target: Path) -> None:
    """Copy the needed files from a folder or an archive into `target`."""
    published = PUBLISHED[name]
    if source.is_dir():
        for place in (source, source / published.inside):
            found = [path for file in published.files if (path := present(place, file))]
            if found:
                for path in found:
                    shutil.copyfile(path, target / path.name)
                return
        archives = [source / address.rsplit("/", 1)[-1] for address in published.addresses]
        source = next((path for path in archives if path.is_file()), source)
    if not source.is_file():
        raise MissingData(
            f"{source} holds neither {', '.join(published.files)} nor the archive of {published.title}: "
            f"give the folder or the archive that does, `ogive data get {name} --from FOLDER`."
        )
    _unpack(published, source, target)


def _unpack(published: Published, archive: Path, target: Path) -> None:
    """Write the needed members, and only them, under their own last name: a path inside an archive is not trusted."""
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                file = member.name.rsplit("/", 1)[-1]
                content = tar.extractfile(member) if file in published.files and member.isfile() else None
                if content is not None:
                    with content, (target / file).open("wb") as written:
                        shutil.copyfileobj(content, written, CHUNK)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise MissingData(f"{archive} is no complete archive of {published.title} ({error}): get it again.") from None


def _sound(name: str, folder: Path) -> bool:
    try:
        _check(name, folder)
    except MissingData:
        return False
    return True


def _check(name: str, folder: Path) -> None:
    """Compare the digests that are known, then read everything once, which finds what is truncated or mislabelled."""
    for file, wanted in PUBLISHED[name].files.items():
        path = present(folder, file)
        if path is None:
            raise MissingData(f"{PUBLISHED[name].title} needs {file}, which is not there: nothing was kept.")
        if wanted is not None and (found := _digest(path)) != wanted:
            raise MissingData(f"{file} has the MD5 {found}, but {wanted} was expected: nothing was kept, get it again.")
    read_published(name, folder)


def _digest(path: Path) -> str:
    """MD5 of the bytes of a file, unpacked for .gz."""
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            while block := file.read(CHUNK):
                digest.update(block)
    except (OSError, EOFError, zlib.error) as error:
        raise MissingData(f"{path.name} is damaged or truncated ({error}): nothing was kept, get it again.") from None
    return digest.hexdigest()
