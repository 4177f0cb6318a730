"""Run a search many times, killing it with SIGKILL at a different file operation each time, and resume it.

Not a test itself: ``test_killed_runs.py`` starts it as a process of its own, since it forks. It prints one JSON line a
kill, with what was being done and whether the resumed run holds the trials of the uninterrupted one.

Every write, sync, rename, creation and removal below the run folder is an operation. A write that is chosen writes the
first half of its bytes and dies, so that lines are torn in the middle.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from ogive import session
from ogive.core.trial import Budget
from ogive.runs import read_run

WATCHED = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}


class Operations:
    """Counts the file operations below a folder, and dies at a chosen one."""

    def __init__(self, folder: Path, die_at: int | None) -> None:
        self.folder, self.die_at = str(folder), die_at
        self.names: list[str] = []
        self._write, self._fsync = os.write, os.fsync
        sys.addaudithook(self._audit)
        os.write, os.fsync = self._counted_write, self._counted_fsync  # type: ignore[assignment]

    def _audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if event not in WATCHED or not arguments or self.folder not in str(arguments[0]):
            return
        if event == "open" and not _writes(arguments):
            return
        self._happens(f"{event} {os.path.relpath(str(arguments[0]), self.folder)}")

    def _counted_write(self, descriptor: int, data: bytes) -> int:
        if self.folder in _path(descriptor) and self._is_last():
            self._write(descriptor, data[: len(data) // 2])
        if self.folder in _path(descriptor):
            self._happens(f"write {os.path.relpath(_path(descriptor), self.folder)}")
        return self._write(descriptor, data)

    def _counted_fsync(self, descriptor: int) -> None:
        if self.folder in _path(descriptor):
            self._happens(f"fsync {os.path.relpath(_path(descriptor), self.folder)}")
        self._fsync(descriptor)

    def _is_last(self) -> bool:
        return self.die_at is not None and len(self.names) == self.die_at

    def _happens(self, name: str) -> None:
        if self._is_last():
            os.kill(os.getpid(), signal.SIGKILL)
        self.names.append(name)


def _writes(arguments: tuple[object, ...]) -> bool:
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))


def _path(descriptor: int) -> str:
    try:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())
    except OSError:
        return ""


def forked(work: Callable[[], None]) -> int:
    """Do the work in a fork of this process; its wait status."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001  a child must never return into the parent's code
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
    return os.waitpid(child, 0)[1]


def comparable(folder: Path) -> list[tuple[object, ...]]:
    """Every trial without its clocks."""
    return [
        (t.number, str(t.arch), t.proposal.fidelity, t.status, t.scores, tuple(t.metrics.items()), t.measurement.error)
        for t in read_run(folder).trials
    ]


def begin_or_resume(settings: session.Settings, folder: Path, save_every: int) -> None:
    if (folder / "run.json").exists():
        session.resume(folder, save_every=save_every)
    else:
        session.search(settings, folder, save_every=save_every)


def main(config: dict[str, object], place: Path) -> None:
    settings = session.Settings(**{**config["settings"], "budget": Budget(trials=int(config["trials"]))})  # type: ignore[arg-type,call-overload]
    if config["settings"].get("evaluator") == "trained" or config["settings"].get("data"):  # type: ignore[attr-defined]
        import torch
        import torch._dynamo  # what counting a network imports, one and a half seconds that every fork would pay

        torch.set_num_threads(1)  # before the first operation, so that no thread exists when we fork
    session.assemble(settings)  # imports everything and reads the data once, instead of in every fork
    save_every = int(config["save_every"])  # type: ignore[call-overload]
    whole, counts = place / "whole", place / "operations.json"

    def uninterrupted() -> None:
        operations = Operations(whole, None)
        session.search(settings, whole, save_every=save_every)
        counts.write_text(json.dumps(operations.names))

    assert forked(uninterrupted) == 0
    expected, names = comparable(whole), json.loads(counts.read_text())
    wanted = str(config["kind"])
    chosen = [index for index, name in enumerate(names) if wanted in name]
    draws = random.Random(int(config["seed"]))  # type: ignore[call-overload]
    for point in sorted(draws.sample(chosen, min(int(config["kills"]), len(chosen)))):  # type: ignore[call-overload]
        folder = place / f"killed-{point}"

        def interrupted(folder: Path = folder, point: int = point) -> None:
            Operations(folder, point)
            session.search(settings, folder, save_every=save_every)

        status = forked(interrupted)
        resumed = forked(lambda folder=folder: begin_or_resume(settings, folder, save_every))
        same = resumed == 0 and comparable(folder) == expected
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print(json.dumps({"at": names[point], "killed": killed, "same": same}), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), Path(sys.argv[2]))
