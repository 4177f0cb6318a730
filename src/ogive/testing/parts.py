"""Promises, and the parts that make them: imported, made, and tried in another process."""

from __future__ import annotations

import atexit
import functools
import importlib
import itertools
import json
import multiprocessing
import os
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from subprocess import PIPE, Popen
from typing import Any, NamedTuple

import numpy as np

from ogive.core.errors import ProtocolError, SpecError

__all__ = [
    "Promise",
    "Tell",
    "checking",
    "global_state",
    "imported",
    "made",
    "require",
    "require_picklable",
    "require_same_elsewhere",
    "target",
    "teller",
]

# Takes a line about what is being checked.
Tell = Callable[[str], None]


class Promise(NamedTuple):
    """One of the promises of a part: its name, what is checked, and what to do where it does not hold."""

    name: str
    checked: str
    advice: str


def teller(tell: Tell | None) -> Tell:
    """What takes the lines: `tell`, or else standard error where that is a terminal, and nothing elsewhere."""
    if tell is not None:
        return tell
    return _to_terminal if sys.stderr.isatty() else _to_nobody


@contextmanager
def checking(promise: Promise, part: str, place: tuple[int, int], tell: Tell, documented: str) -> Iterator[None]:
    """Check one promise of a part, the first of `place` of so many; a failure says which, and what to do."""
    number, of = place
    tell(f"{part}, {number} of {of}, {promise.name}: {promise.checked}")
    try:
        yield
    except ProtocolError as error:
        raise ProtocolError(
            f"{error} Promise {number} of {of}, {promise.name}: {promise.checked}. What to do: {promise.advice} "
            f"({documented})"
        ) from error.__cause__


def _to_terminal(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _to_nobody(line: str) -> None:
    pass


def require(promise: bool, message: str) -> None:
    """Raise ProtocolError with the message if the promise is broken."""
    if not promise:
        raise ProtocolError(message)


def imported(part: Any) -> Any:
    """The part, or what ``module:attribute`` names."""
    if not isinstance(part, str):
        return part
    module, colon, attribute = part.partition(":")
    if not colon:
        raise SpecError(f"A part is named module:attribute, but got {part!r}.")
    return getattr(importlib.import_module(module), attribute)


def made(part: Any, kind: type) -> Any:
    """The part, or the one that the function it names makes."""
    found = imported(part)
    # A class has the methods of a protocol too, and would pass for one of its instances.
    if isinstance(found, type) or (not isinstance(found, kind) and callable(found)):
        found = found()
    require(isinstance(found, kind), f"Expected one of {kind.__name__}, but got {found!r}.")
    return found


def target(part: Any) -> str:
    """The ``module:attribute`` that a second process can import."""
    if isinstance(part, str):
        return part
    raise SpecError("With subprocess=True a part is given as module:attribute, because another process imports it.")


def global_state() -> Sequence[Any]:
    """The state of numpy's global generator, as a value that can be compared."""
    state: Any = np.random.get_state(legacy=False)  # noqa: NPY002  looked at, to see that nobody draws from it
    return [state["state"]["key"].tolist(), state["state"]["pos"]]


def require_picklable(part: Any, name: str) -> None:
    """Worker processes must be able to get the part."""
    try:
        pickle.dumps(part)
    except Exception as error:
        raise ProtocolError(f"{name} must be picklable, so that worker processes can be sent it: {error}.") from error


def require_same_elsewhere(trace: str, arguments: Sequence[str], here: Sequence[str], name: str) -> None:
    """The function ``module:attribute`` named `trace` must return the lines `here` in other processes too."""
    # Two hash seeds cannot both give the order that this process has by chance.
    for hash_seed in ("1", "2"):
        there = _elsewhere(hash_seed).answer(trace, arguments, name)
        for mine, yours in itertools.zip_longest(here, there):
            require(
                mine == yours,
                f"{name} depends on the process: with PYTHONHASHSEED={hash_seed}, {mine!r} became {yours!r}.",
            )


# What parts and the first optimiser of torch import, in a second or more each.
_SLOWLY_IMPORTED = ("torch", "torch._dynamo", "sklearn.ensemble", "sklearn.datasets", "optuna.samplers")


class _Elsewhere:
    """A process with another hash of strings, which answers each question in a fork of itself.

    What takes longest, to start and to import torch, is done once; no question sees what another one left behind.
    """

    def __init__(self, hash_seed: str) -> None:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-c", "from ogive.testing.parts import serve; serve()"]
        self._process = Popen(command, env=environment, stdin=PIPE, stdout=PIPE, text=True)
        atexit.register(self._end)

    def answer(self, trace: str, arguments: Sequence[str], name: str) -> list[str]:
        """What the function returns there; ProtocolError if it raises, or ends its process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        warm = [name for name in sys.modules if name.startswith("ogive.") or name in _SLOWLY_IMPORTED]
        question = {"path": sys.path, "warm": warm, "trace": trace, "arguments": list(arguments)}
        self._process.stdin.write(f"{json.dumps(question)}\n")
        self._process.stdin.flush()
        found = json.loads(self._process.stdout.readline() or '{"error": "it ended"}')
        require("error" not in found, f"{name} failed in a second process: {found.get('error')}")
        lines: list[str] = found["lines"]
        return lines

    def _end(self) -> None:
        with self._process:  # waits for it
            assert self._process.stdin is not None
            self._process.stdin.close()


_elsewhere = functools.cache(_Elsewhere)


def serve() -> None:
    """The second process: a line of JSON for each question that standard input holds."""
    context: Any = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    for line in sys.stdin:
        question = json.loads(line)
        for module in question["warm"]:
            importlib.import_module(module)
        reader, writer = multiprocessing.Pipe(duplex=False)
        child = context.Process(target=_answer, args=(question, writer))
        child.start()
        writer.close()
        try:
            found = reader.recv()
        except EOFError:
            found = {"error": "its process ended"}
        child.join()
        sys.stdout.write(f"{json.dumps(found)}\n")
        sys.stdout.flush()


def _answer(question: dict[str, Any], writer: Connection) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a part prints is no answer
    sys.path[:] = question["path"]
    try:
        found: dict[str, Any] = {"lines": imported(question["trace"])(*question["arguments"])}
    except Exception as error:  # noqa: BLE001 - told to the process that asked
        found = {"error": f"{type(error).__name__}: {error}"}
    writer.send(found)
