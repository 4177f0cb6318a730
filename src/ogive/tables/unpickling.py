"""The machine that pickles are written for, without the steps that run anything or outgrow their file.

An unpickler calls whatever its input names, and makes room for whatever its input counts. Here the steps of a pickle,
as `pickletools.genops` lists them, are taken one by one. The names are looked up in one list, `ALLOWED`, and mean
functions of this module which only make dictionaries and numbers; every other name and step is refused. Memory is
bounded by what was read (`GROWTH`).
"""

from __future__ import annotations

import pickle
import pickletools
from array import array
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from ogive.core.errors import shortened

__all__ = ["ALLOWED", "Memo", "Reduce", "Steps"]

MIB = 2**20
# What a streamed pickle may still refer to: the last containers, of which a published training has 16, and the texts
# that were used last, of which an architecture has about 10,000. Long ones, which name architectures, are kept.
CONTAINERS = 200
TEXTS = 200_000
LONG = 24
# Bytes of containers and copies that a byte of a pickle may make, and what they may be in any: a list takes three bytes
# of a file and 64 of memory. No text or array of a benchmark is longer than the longest argument.
GROWTH, CONTAINER = 32, 64
LONGEST = 64 * MIB


class _Dtype:
    """Stands for ``numpy.dtype`` of a plain number."""

    def __init__(self, name: str, *_: object) -> None:
        if not isinstance(name, str):
            raise pickle.UnpicklingError("a numpy.dtype without a name")
        self.name, self.order = name.lstrip("<>=|"), "<"
        if self.name[:1] not in "fiub" or self.name[1:] not in ("1", "2", "4", "8"):
            raise pickle.UnpicklingError(f"numpy.dtype({shortened(name)!r}) is not that of a number")

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
        # An empty array may have a side of any length, each place of which would become a list.
        self.values = dtype.read(raw).reshape(shape if raw else 0)

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
        raise pickle.UnpicklingError(f"it names {shortened(f'{module}.{name}')}, which no benchmark needs") from None


Reduce = Callable[[dict[Any, Any]], None]


class _Bounded:
    """A file of which nobody reads more at once than the longest argument of a pickle."""

    def __init__(self, file: IO[bytes]) -> None:
        self._read, self._line, self.done = file.read, file.readline, 0

    def read(self, count: int) -> bytes:
        if count > LONGEST:
            raise pickle.UnpicklingError(f"it announces {count:,} bytes, but none of a benchmark is that long")
        self.done += count
        return self._read(count)

    def readline(self) -> bytes:
        line = self._line(LONGEST)
        self.done += len(line)
        return line


class Steps:
    """The machine that a pickle is written for, without the steps that no benchmark takes.

    Each dictionary is passed to `reduce` as soon as its items are there, which may empty it in place: a published file
    of 5 GB holds millions of dictionaries of epochs of which a few numbers are wanted.
    """

    def __init__(self, file: IO[bytes], memo: dict[int, Any], reduce: Reduce) -> None:
        self._file, self._memo, self._reduce = _Bounded(file), memo, reduce
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []  # the stacks under the marks
        self._memoized = self._made = 0

    def run(self) -> Any:
        for opcode, argument, _ in pickletools.genops(cast("IO[bytes]", self._file)):
            if opcode.name == "STOP":
                return self._stack.pop()
            step = _STEPS.get(opcode.name)
            if step is None:
                raise pickle.UnpicklingError(f"it takes the step {opcode.name}, which no benchmark needs")
            step(self, argument)
        raise EOFError("it ends in the middle")

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def make(self, value: Any, size: int = 0) -> None:
        """The same of a new container or a copy of so many bytes."""
        self._made += CONTAINER + size
        if self._made > GROWTH * self._file.done + MIB:
            raise pickle.UnpicklingError(f"it grows to more than {GROWTH} times its size")
        self._stack.append(value)

    def pop(self) -> Any:
        return self._stack.pop()

    def again(self, _: object) -> None:
        self.push(self._stack[-1])

    # -- containers

    def mark(self, _: object) -> None:
        self._below.append(self._stack)
        self.make([])
        self._stack = self._stack.pop()

    def items(self) -> list[Any]:
        """What lies above the last mark."""
        found, self._stack = self._stack, self._below.pop()
        return found

    def tuple_of(self, count: int) -> None:
        if len(self._stack) < count:
            raise pickle.UnpicklingError("it takes more than there is")
        found = tuple(self._stack[-count:])
        del self._stack[-count:]
        self.make(found)

    def extend(self, items: list[Any]) -> None:
        found = self._stack[-1]
        if not isinstance(found, list):
            raise pickle.UnpicklingError("it adds items to what is no list")
        found.extend(items)

    def fill(self, items: list[Any]) -> None:
        found = self._stack[-1]
        if isinstance(found, _Weights):
            return
        if not isinstance(found, dict) or len(items) % 2:
            raise pickle.UnpicklingError("it sets items of what is no dictionary")
        found.update(zip(_hashed(items[::2]), items[1::2], strict=True))

    def dictionary(self, _: object) -> None:
        items = self.items()
        self.make({})
        self.fill(items)

    def set_items(self, _: object) -> None:
        self.fill(self.items())
        if isinstance(self._stack[-1], dict):
            self._reduce(self._stack[-1])

    def set_item(self, _: object) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self.fill([key, value])

    def add_items(self, _: object) -> None:
        items, found = self.items(), self._stack[-1]
        if not isinstance(found, set):
            raise pickle.UnpicklingError("it adds items to what is no set")
        found.update(_hashed(items))

    # -- what was there before, and names

    def put(self, key: int | None) -> None:
        self._memo[self._memoized if key is None else key] = self._stack[-1]
        self._memoized += 1

    def get(self, key: int) -> None:
        self.push(self._memo[key])

    def stand_in(self, _: object) -> None:
        self.make(_Weights())

    def named_stand_in(self, _: object) -> None:
        self._stack[-1] = _Weights()

    def name(self, text: str | None) -> None:
        name, module = (self._stack.pop(), self._stack.pop()) if text is None else text.split(" ")[::-1]
        self.push(_allowed(str(module), str(name)))

    def call(self, _: object) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if not isinstance(arguments, tuple) or function not in _FUNCTIONS:
            raise pickle.UnpicklingError("it calls what is no function")
        held = [argument for argument in arguments if isinstance(argument, (str, bytes, list, dict, set))]
        size = 64 * sum(map(len, held)) if function in (set, OrderedDict) else sum(map(len, held))
        self.make(None, size)
        if function in (set, OrderedDict):
            arguments = tuple([_entry(entry) for entry in argument] for argument in arguments)
        self._stack[-1] = function(*arguments)

    def build(self, _: object) -> None:
        state, found = self._stack.pop(), self._stack[-1]
        if isinstance(found, (_Dtype, _Array, _Weights)):
            found.__setstate__(state)  # which checks what it is given
        elif not isinstance(found, OrderedDict):  # whose attributes nobody reads
            raise pickle.UnpicklingError("it gives a state to what has none")


def _hashed(keys: Iterable[Any]) -> Iterator[Any]:
    """Keys that are hashed in no time: numbers, texts, and flat tuples of them."""
    for key in keys:
        parts = key if isinstance(key, tuple) else (key,)
        for part in parts:
            whole = isinstance(part, int) and part.bit_length() < 64
            if not (whole or part is None or isinstance(part, (float, str, bytes))):
                raise pickle.UnpicklingError("a key that is neither a number nor a text")
        yield key


def _entry(entry: Any) -> Any:
    """An item of a set, or a pair of a dictionary."""
    if isinstance(entry, list) and len(entry) == 2:
        return next(_hashed(entry[:1])), entry[1]
    return next(_hashed((entry,)))


_FUNCTIONS = frozenset(ALLOWED.values())
_VALUES = """INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE
    BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8"""
_STEPS: Mapping[str, Callable[[Steps, Any], None]] = {
    **dict.fromkeys(_VALUES.split(), Steps.push),
    "PROTO": lambda steps, _: None,
    "FRAME": lambda steps, _: None,
    "NONE": lambda steps, _: steps.push(None),
    "NEWTRUE": lambda steps, _: steps.push(True),
    "NEWFALSE": lambda steps, _: steps.push(False),
    "EMPTY_TUPLE": lambda steps, _: steps.push(()),
    "EMPTY_LIST": lambda steps, _: steps.make([]),
    "EMPTY_DICT": lambda steps, _: steps.make({}),
    "EMPTY_SET": lambda steps, _: steps.make(set()),
    "MARK": Steps.mark,
    "TUPLE": lambda steps, _: steps.make(tuple(steps.items())),
    "TUPLE1": lambda steps, _: steps.tuple_of(1),
    "TUPLE2": lambda steps, _: steps.tuple_of(2),
    "TUPLE3": lambda steps, _: steps.tuple_of(3),
    "APPEND": lambda steps, _: steps.extend([steps.pop()]),
    "APPENDS": lambda steps, _: steps.extend(steps.items()),
    "SETITEM": Steps.set_item,
    "SETITEMS": Steps.set_items,
    "ADDITEMS": Steps.add_items,
    "LIST": lambda steps, _: steps.make(steps.items()),
    "DICT": Steps.dictionary,
    "PUT": Steps.put,
    "BINPUT": Steps.put,
    "LONG_BINPUT": Steps.put,
    "MEMOIZE": Steps.put,
    "GET": Steps.get,
    "BINGET": Steps.get,
    "LONG_BINGET": Steps.get,
    "GLOBAL": Steps.name,
    "STACK_GLOBAL": Steps.name,
    "REDUCE": Steps.call,
    "NEWOBJ": Steps.call,
    "BUILD": Steps.build,
    "PERSID": Steps.stand_in,
    "BINPERSID": Steps.named_stand_in,
    "POP": lambda steps, _: steps.pop(),
    "DUP": Steps.again,
}


class Memo(dict[int, Any]):
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
