"""Promises, and the parts that make them: imported, made, and tried in another process."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import pickle
import sys
from collections.abc import Sequence
from subprocess import run
from typing import Any

import numpy as np

from ogive.core.errors import ProtocolError, SpecError

__all__ = ["global_state", "imported", "made", "require", "require_picklable", "require_same_elsewhere", "target"]


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
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-c", "from ogive.testing.parts import answer; answer()", trace, *arguments]
        finished = run(command, env=environment, capture_output=True, text=True, check=False)
        if finished.returncode:
            reason = (finished.stderr.strip() or f"exit code {finished.returncode}").splitlines()[-1]
            raise ProtocolError(f"{name} failed in a second process: {reason}")
        there = json.loads(finished.stdout.splitlines()[-1])
        for mine, yours in itertools.zip_longest(here, there):
            require(
                mine == yours,
                f"{name} depends on the process: with PYTHONHASHSEED={hash_seed}, {mine!r} became {yours!r}.",
            )


def answer() -> None:
    """The second process: call the function that the command line names, and write what it returns as the last line."""
    trace, *arguments = sys.argv[1:]
    sys.stdout.write(f"{json.dumps(imported(trace)(*arguments))}\n")
