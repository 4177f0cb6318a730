"""Processes that have imported torch and ogive already: forks of one process that does nothing else.

A new interpreter imports for some seconds, which are most of a test that starts several. Here only the first of a test
session does. Each process is otherwise one of its own, which may be killed, and ends with an exit status.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
from collections.abc import Mapping
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

__all__ = ["begun", "ended", "ranks"]

FORKS = multiprocessing.get_context("forkserver")
# With what torch imports at the first step of an optimiser, and ogive in a search.
PRELOADED = ["ogive.session", "ogive.training.supervised", "ogive.parameter_prediction.training"]
FORKS.set_forkserver_preload(["torch._dynamo", "torch.distributed", *PRELOADED])


def begun(program: str, *arguments: object, said: Path, environment: Mapping[str, str] | None = None) -> BaseProcess:
    """A process that runs the source of a program; what it prints is added to the file `said`."""
    given = {**os.environ, **(environment or {})}
    process = FORKS.Process(target=_run, args=(program, list(map(str, arguments)), given, str(said)))
    process.start()
    return process


def ended(process: BaseProcess, patience_s: float) -> int:
    """The exit status of a process, negative for the signal that killed it, once it has ended."""
    process.join(patience_s)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"Process {process.pid} still ran after {patience_s:.0f} s.")
    return process.exitcode


def ranks(program: str, *arguments: object, said: Path, patience_s: float, count: int = 2) -> list[int]:
    """The exit statuses of processes that share a search, started as torchrun does: if one fails, the others end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(count)}
    processes = [
        begun(program, *arguments, said=said, environment={**place, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(count)
    ]
    left = {process.sentinel: process for process in processes}
    while left:
        for sentinel in wait(list(left), patience_s) or list(left):
            if ended(left.pop(sentinel), 0.1 * patience_s) != 0:
                for other in left.values():
                    other.kill()
    return [ended(process, patience_s) for process in processes]


def _run(program: str, arguments: list[str], environment: Mapping[str, str], said: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(output, stream.fileno())
    sys.argv = ["program", *arguments]
    exec(compile(program, "program", "exec"), {"__name__": "__main__"})
