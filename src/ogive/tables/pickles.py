"""Read the pickles that benchmarks were published as, without running anything that they say.

An unpickler calls whatever its input names. Here the names are looked up in one list, `ALLOWED`, and mean functions of
this module which only make dictionaries and numbers; every other name is refused. Sizes are bounded before anything is
decompressed or built.
"""

from __future__ import annotations

import bz2
import io
import pickle
import zipfile
from array import array
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
import numpy.typing as npt

from ogive.core.errors import SpecError

__all__ = ["ALLOWED", "decompressed", "load", "stream_torch", "stream_values"]

MIB = 2**20
CHUNK = MIB
# What a streamed pickle may still refer to: the last containers, of which a published training has 16, and the texts
# that were used last, of which an architecture has about 10,000. Long ones, which name architectures, are kept.
CONTAINERS = 200
TEXTS = 200_000
LONG = 24


class _Dtype:
    """Stands for ``numpy.dtype`` of a plain number."""

    def __init__(self, name: str, *_: object) -> None:
        self.name, self.order = str(name).lstrip("<>=|"), "<"
        if self.name[:1] not in "fiub" or self.name[1:] not in ("1", "2", "4", "8"):
            raise pickle.UnpicklingError(f"numpy.dtype({name!r}) is not that of a number")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ">" if state[1] == ">" else "<"

    def read(self, raw: bytes) -> npt.NDArray[Any]:
        return np.frombuffer(raw, np.dtype(f"{self.order}{self.name}"))


class _Array:
    """Stands for ``numpy.ndarray``; only its numbers are kept."""

    values: npt.NDArray[Any] = np.empty(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, _, raw = state
        if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes):
            raise pickle.UnpicklingError("an array of something else than numbers")
        self.values = dtype.read(raw).reshape(shape)

    def tolist(self) -> list[Any]:
        found: list[Any] = self.values.tolist()
        return found


class _Weights:
    """Stands for tensors and their storages, which are not read."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def _scalar(dtype: object, raw: object) -> float | int:
    if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes):
        raise pickle.UnpicklingError("a NumPy scalar of something else than a number")
    number: float | int = dtype.read(raw).item()
    return number


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _encode(text: object, encoding: object = "latin1") -> bytes:
    # Python 3 writes bytes in old protocols as text.
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("bytes in another encoding than latin1")
    return text.encode("latin1")


# Every global that a pickle may name, and what it means here.
ALLOWED: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("_codecs", "encode"): _encode,
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    **{
        (f"numpy.{core}.multiarray", name): meant
        for core in ("core", "_core")
        for name, meant in (("scalar", _scalar), ("_reconstruct", _reconstruct))
    },
    ("torch._utils", "_rebuild_tensor_v2"): _Weights,
    **{("torch", f"{kind}Storage"): _Weights for kind in ("Float", "Long", "Half", "Double", "Int", "Byte")},
}


def _allowed(module: str, name: str) -> Callable[..., Any]:
    try:
        return ALLOWED[module, name]
    except KeyError:
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no benchmark needs") from None


class _Restricted(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        return _allowed(module_name, global_name)

    def persistent_load(self, pid: object, /) -> _Weights:
        return _Weights()


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
        raise SpecError(f"{path} is damaged ({_reason(error)}): fetch it again.") from None


def load(raw: bytes, path: Path) -> Any:
    """The dictionaries and numbers of a pickle; SpecError if it is damaged or names anything but `ALLOWED`."""
    try:
        return _Restricted(io.BytesIO(raw)).load()
    except Exception as error:  # noqa: BLE001  whatever a hostile pickle makes an allowed function raise
        raise _refused(path, error) from None


def _refused(path: Path, error: Exception) -> SpecError:
    return SpecError(f"{path} was not read: as a pickle it is damaged or hostile ({_reason(error)}).")


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


# -- pickles that do not fit into memory -------------------------------------------------------------------------------

Reduce = Callable[[dict[Any, Any]], None]
_set_items: Callable[[Any], None] = pickle._Unpickler.dispatch[pickle.SETITEMS[0]]


class _Streaming(pickle._Unpickler):  # the documented class in Python, whose steps can be followed
    """An unpickler that gives every dictionary away as soon as its items are there, and forgets old containers.

    `reduce` may empty a dictionary in place, which is what keeps the memory small: a published file of 5 GB holds
    millions of dictionaries of epochs of which a few numbers are wanted.
    """

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]

    def __init__(self, file: IO[bytes], reduce: Reduce) -> None:
        super().__init__(file)
        self._reduce = reduce
        self.memo: dict[int, Any] = _Memo()

    def find_class(self, module: str, name: str) -> Any:
        return _allowed(module, name)

    def persistent_load(self, pid: object) -> _Weights:
        return _Weights()

    def load_setitems(self) -> None:
        _set_items(self)
        if isinstance(self.stack[-1], dict):
            self._reduce(self.stack[-1])

    dispatch[pickle.SETITEMS[0]] = load_setitems


class _Memo(dict[int, Any]):
    """Remembers what a pickle refers back to: functions for ever, texts while they are used, containers for a while.

    The texts of a published file are the few names of attributes, which every record refers to, those of architectures,
    which are long and are kept, and millions of short ones that nothing refers to. A container that is referred to from
    afar is part of what is not imported, or else the number that is missed in the stand-in is an error.
    """

    def __init__(self) -> None:
        super().__init__()
        self._texts: OrderedDict[int, None] = OrderedDict()
        self._containers: deque[int] = deque()
        self._forgotten = array("Q")
        self._long: dict[str, str] = {}

    def __setitem__(self, key: int, value: Any) -> None:
        if isinstance(value, str) and len(value) >= LONG:
            super().__setitem__(key, self._long.setdefault(value, value))
            return
        super().__setitem__(key, value)
        if isinstance(value, (str, bytes)):
            self._texts[key] = None
            if len(self._texts) > TEXTS:
                del self[self._texts.popitem(last=False)[0]]
        elif isinstance(value, (dict, list, tuple, set)):
            self._containers.append(key)
            if len(self._containers) > CONTAINERS:
                oldest = self._containers.popleft()
                self._forgotten.append(oldest)
                del self[oldest]

    def __getitem__(self, key: int) -> Any:
        if key in self._texts:
            self._texts.move_to_end(key)
        return super().__getitem__(key)

    def __missing__(self, key: int) -> Any:
        # Containers are forgotten in the order of their numbers, so that they can be found by bisection.
        place = bisect_left(self._forgotten, key)
        if place < len(self._forgotten) and self._forgotten[place] == key:
            return _Weights()
        raise KeyError(key)


def stream_values(file: IO[bytes], path: Path, reduce: Reduce) -> Any:
    """The value of a pickle that is read as it comes, each dictionary passed to `reduce` when it is complete."""
    try:
        return _Streaming(file, reduce).load()
    except Exception as error:  # noqa: BLE001  as in `load`
        raise _refused(path, error) from None


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
                    return stream_values(file, path, reduce)
        with path.open("rb") as file:
            if next(_headers(file, path)) != _LEGACY_MAGIC:
                raise SpecError(f"{path} is no file of torch.save.")
            for _ in range(2):
                next(_headers(file, path))
            return stream_values(file, path, reduce)
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise SpecError(f"{path} is damaged ({_reason(error)}): fetch it again.") from None


def _headers(file: IO[bytes], path: Path) -> Iterator[Any]:
    while True:
        yield stream_values(file, path, lambda _: None)
