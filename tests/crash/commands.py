"""Run chains of ogive's commands side by side, each command in a fork of this process, which has imported them once.

Not a test itself: it is started as a process of its own, since it forks. It is given a folder and a JSON object of
chains by their names, and writes what each command of a chain ended with and said into ``NAME.json`` there. A command
that begins with ``kill`` is killed with SIGKILL as soon as the file that comes second is so many lines long, the third.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

Said = dict[str, int | str | float]


def forked(arguments: list[str], place: Path) -> tuple[int, float]:
    """The wait status of a command, and its seconds; what it said is in two files."""
    from ogive.cli import main

    kill = arguments[0] == "kill"
    path, lines, arguments = (Path(arguments[1]), arguments[2], arguments[3:]) if kill else (place, "0", arguments)
    started = time.perf_counter()
    child = os.fork()
    if child == 0:
        for descriptor, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(place.with_suffix(f".{name}"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
        sys.argv = ["ogive", *arguments]
        try:
            main()
        except SystemExit as ended:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(int(ended.code or 0))
        except BaseException as error:  # noqa: BLE001  a child must never return into the parent's code
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    while kill and not (path.exists() and path.read_bytes().count(b"\n") >= int(lines)):
        time.sleep(0.002)
    if kill:
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1], time.perf_counter() - started


def chained(commands: list[list[str]], place: Path) -> list[Said]:
    """What became of the commands of a chain, one after the other."""
    found: list[Said] = []
    for command in commands:
        status, seconds = forked(command, place)
        out, err = (place.with_suffix(f".{name}").read_text(errors="replace") for name in ("out", "err"))
        found.append({"status": os.waitstatus_to_exitcode(status), "out": out, "err": err, "seconds": seconds})
    return found


def main(chains: dict[str, list[list[str]]], folder: Path) -> None:
    import ogive.cli.application
    import ogive.cli.looking
    import ogive.cli.searching  # noqa: F401

    children = []
    for name, commands in chains.items():
        child = os.fork()
        if child == 0:
            try:
                (folder / f"{name}.json").write_text(json.dumps(chained(commands, folder / name)))
            except BaseException:  # noqa: BLE001  as above
                traceback.print_exc()
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), Path(sys.argv[2]))
