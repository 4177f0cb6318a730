"""An evaluator that does what evaluators must not do, and a space whose architectures are these deeds."""

from __future__ import annotations

import ctypes
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ogive.core.architecture import Architecture
from ogive.core.graph import Graph
from ogive.core.metric import Metric
from ogive.core.space import Choice, SearchSpace
from ogive.core.trial import Measurement, Proposal, Trial

SURROGATE = "no such file: \udcff.png"
IGNORING = "import signal, time\nfor number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)\ntime.sleep(600)"


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def measured(value: Any = 1.0, **others: Any) -> Measurement:
    return Measurement({"value": value, **others})


def out_of_memory() -> None:
    os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does


def raise_unspeakable() -> None:
    raise Unspeakable


def raise_surrogate() -> None:
    raise OSError(SURROGATE)


def hang() -> None:
    time.sleep(600)


def hang_in_c() -> None:
    """Hold the interpreter in C, deaf to signals that can be ignored."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGIO):
        signal.signal(number, signal.SIG_IGN)
    ctypes.PyDLL(None).sleep(600)


def hang_with_child() -> None:
    """Wait for a process that ignores signals; its number is left for who wants to know what becomes of it."""
    child = subprocess.Popen([sys.executable, "-c", IGNORING])
    Path(os.environ["EVIL_CHILD"]).write_text(str(child.pid), encoding="utf-8")
    child.wait()


# What costs one candidate.
FAILING = {
    "good": measured,
    "leave": sys.exit,
    "surrogate": raise_surrogate,
    "surrogate_reason": lambda: Measurement(error=SURROGATE),
    "unspeakable": raise_unspeakable,
    "nan": lambda: measured(math.nan),
    "infinite": lambda: measured(math.inf),
    "better": lambda: measured(2.0),
}
# What costs the process.
KILLING = {"exit": lambda: os._exit(3), "segfault": lambda: ctypes.string_at(0), "out_of_memory": out_of_memory}
# What never ends.
HANGING = {"hang": hang, "hang_in_c": hang_in_c, "hang_with_child": hang_with_child}
# What breaks the contract of an evaluator, and so ends the search.
BREAKING = {
    "text": lambda: measured("high"),
    "nothing": lambda: None,
    "missing": Measurement,
    "unnamed": lambda: Measurement({"\udcff": 1.0, "value": 1.0}),
    "one_too_many": None,
    "no_list": None,
}
DEEDS = {**FAILING, **KILLING, **HANGING, **BREAKING}


def deeds(*, kinds: Sequence[str] = ("good",)) -> SearchSpace:
    """A space of one variable, the deed."""
    return SearchSpace(name="deeds", variables=(Choice("deed", tuple(kinds)),), draw=draw, write=None, read=None)


def draw(arch: Architecture) -> Graph:
    return Graph(("input", "deed", "output"), frozenset({(0, 1), (1, 2)}))


class InTurn:
    """Proposes every architecture of a space of one variable, one after the other."""

    def __init__(self, space: SearchSpace) -> None:
        self.left = [Architecture(space.name, (number,)) for number in range(int(space.size))]

    def ask(self, n: int) -> list[Proposal]:
        asked, self.left = self.left[:n], self.left[n:]
        return [Proposal(arch) for arch in asked]

    def tell(self, trials: Sequence[Trial]) -> None:
        pass


class Evil:
    """Does the deed that an architecture is."""

    metrics = (Metric("value"),)

    def __init__(self, space: SearchSpace) -> None:
        self.kinds = space.variables[0].options  # type: ignore[union-attr]

    def evaluate(self, proposals: Sequence[Proposal]) -> Any:
        names = [self.kinds[int(proposal.arch.choices[0])] for proposal in proposals]
        if "one_too_many" in names:
            return [measured()] * (len(proposals) + 1)
        return 5 if "no_list" in names else [DEEDS[name]() for name in names]
