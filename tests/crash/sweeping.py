"""Run a command of ogive many times, killing it with SIGKILL at a different file operation each time, and once more.

Not a test itself: ``test_killed_commands.py`` starts it as a process of its own, since it forks: everything is imported
once, and all commands of a sweep are forks. It prints one JSON line a kill, with what was being done and what is not as
it is after a command that nobody killed; an empty text says that all is.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import random
import re
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from killing import Operations, comparable, forked

# What no two runs share: clocks, the machine, and how often the test set was looked at, as is counted before each look.
CLOCKS = re.compile(r".*seconds|.*_s|at|started|finished|created|command|machine|look|latency.*|time")


@dataclass(frozen=True)
class Sweep:
    """A command in a folder, what is there before it, how it goes on after a kill, and what is there in the end.

    `kept` says right after the kill whether what was there before is still whole.
    """

    command: list[str]
    seen: Callable[[Path], Any]
    before: tuple[list[str], ...] = ()
    again: list[str] | None = None
    kept: Callable[[Path], bool] = lambda folder: True


def ogive(arguments: list[str], folder: Path) -> None:
    """A command, as in a terminal whose folder this is; an error of its is an exception."""
    from ogive.cli import main

    os.chdir(folder)
    os.environ["OGIVE_HOME"] = str(folder / "home")
    sys.argv = ["ogive", *arguments]
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 1)
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            raise RuntimeError(f"{arguments[0]} ended with {ended.code}") from ended


# -- what is there in the end -----------------------------------------------------------------------------------------


def timeless(value: Any) -> Any:
    """A record without what a clock says."""
    if isinstance(value, dict):
        return {key: timeless(inner) for key, inner in value.items() if not CLOCKS.fullmatch(key)}
    return [timeless(inner) for inner in value] if isinstance(value, list) else value


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def trials(folder: Path) -> Any:
    return comparable(folder / "run")


def network(folder: Path) -> Any:
    """Figures and weights of the trained network, without leftovers."""
    (place,) = (folder / "run" / "artifacts" / "networks").glob("trial-*")
    figures = timeless(json.loads((place / "network.json").read_text()))
    weights = {path.name: digest(path) for path in sorted(place.glob("*.safetensors"))}
    return figures, weights, sorted(path.name for path in (folder / "run" / "artifacts").rglob("*.new"))


def exported(folder: Path) -> Any:
    """Every file of the export with its content, and no hidden folder beside it."""
    inside = folder / "run" / "artifacts"
    files = {str(path.relative_to(inside)): digest(path) for path in (inside / "export").rglob("*") if path.is_file()}
    return files, sorted(path.name for path in inside.rglob(".*"))


def page(folder: Path) -> Any:
    """The page, without its seconds, and that nothing lies beside it."""
    text = re.sub(r"\d[\d.,]* (s|ms|min)\b", "", (folder / "run" / "report.html").read_text())
    return text, sorted(path.name for path in (folder / "run").iterdir() if path.is_file())


def is_page(folder: Path) -> bool:
    return (folder / "run" / "report.html").read_text().rstrip().endswith("</html>")


def table(folder: Path) -> Any:
    """Every file of all tables, hidden ones too."""
    tables = folder / "home" / "tables"
    return {str(path.relative_to(tables)): digest(path) for path in sorted(tables.rglob("*")) if path.is_file()}


def scores(folder: Path) -> Any:
    rows = list(csv.DictReader((folder / "t.csv").read_text().splitlines()))
    about = timeless(json.loads((folder / "t.json").read_text()))
    return [timeless(row) for row in rows], about


# -- the sweeps -------------------------------------------------------------------------------------------------------

SMALL = ["--data", "digits(limit=60)", "--channels", "2", "--cells", "1"]
TRAINED = ["--space", "nasbench201", *SMALL, "--evaluator", "trained(epochs=2, threads=1)", "--seed", "1"]
EVOLUTION = ["--strategy", "evolution(population=4, tournament=2)", "--out", "run"]
TABULAR = ["--space", "nasbench201", "--table", "mine", *EVOLUTION]
IMPORT = ["tables", "import", "mine.csv", "--as", "mine", "--space", "nasbench201", "--arch-column", "cell"]
IMPORT += ["--metric", "top1"]
RESUME, WINNER = ["resume", "run"], ["train", "run", "--recipe", "epochs=3", "--threads", "1"]
SEARCH = ["search", *TRAINED, "--out", "run", "--budget", "2"]

SWEEPS = {
    "search": Sweep(["search", *TABULAR, "--budget", "12"], trials, (IMPORT,), RESUME),
    "search of two workers": Sweep(
        ["search", *TABULAR, "--budget", "12", "--workers", "2"], trials, (IMPORT,), [*RESUME, "--workers", "2"]
    ),
    "resume": Sweep([*RESUME, "--budget", "14"], trials, (IMPORT, ["search", *TABULAR, "--budget", "6"])),
    "train": Sweep(WINNER, network, (SEARCH,)),
    "export": Sweep(["export", "run", "--to", "torch,export"], exported, (SEARCH, WINNER)),
    "report": Sweep(["report", "run"], page, (SEARCH, ["report", "run"]), kept=is_page),
    "import": Sweep(IMPORT, table),
    "score": Sweep(["score", "--space", "nasbench201", "--sample", "6", "--out", "t.csv", *SMALL], scores),
}


def written(folder: Path) -> None:
    """A table of somebody's own, of a few hundred cells."""
    operations = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    draws = random.Random(0)
    lines = ["cell,top1,size"]
    for number in range(300):
        cell = [draws.choice(operations) for _ in range(6)]
        text = f"|{cell[0]}~0|+|{cell[1]}~0|{cell[2]}~1|+|{cell[3]}~0|{cell[4]}~1|{cell[5]}~2|"
        lines.append(f"{text},{draws.uniform(50, 95):.3f},{number}")
    folder.mkdir()
    (folder / "mine.csv").write_text("\n".join({line.partition(",")[0]: line for line in lines}.values()))


def swept(name: str, kills: int, seed: int, place: Path) -> None:
    sweep = SWEEPS[name]
    begun, whole, counts = place / "begun", place / "whole", place / "operations.json"
    written(begun)
    for command in sweep.before:
        assert forked(lambda command=command: ogive(command, begun)) == 0, command
    shutil.copytree(begun, whole)

    def uninterrupted() -> None:
        operations = Operations(whole, None)
        ogive(sweep.command, whole)
        counts.write_text(json.dumps(operations.names))

    assert forked(uninterrupted) == 0
    expected, names = sweep.seen(whole), json.loads(counts.read_text())
    draws = random.Random(seed)
    points = [point for _ in range(-(-kills // len(names))) for point in draws.sample(range(len(names)), len(names))]
    for number, point in enumerate(points[:kills]):
        folder = place / f"killed-{number}" / "it"
        shutil.copytree(begun, folder)

        def interrupted(folder: Path = folder, point: int = point) -> None:
            Operations(folder, point)
            ogive(sweep.command, folder)

        status = forked(interrupted)
        kept = sweep.kept(folder)
        again = sweep.again if sweep.again is not None and (folder / "run" / "run.json").exists() else sweep.command
        mended = forked(lambda folder=folder, again=again: ogive(again, folder))
        found = sweep.seen(folder) if mended == 0 else None
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        different = (
            "" if found == expected and kept else f"kept {kept}; {again[0]} ended with {mended}; {str(found)[:500]}"
        )
        print(json.dumps({"sweep": name, "at": names[point], "killed": killed, "different": different}), flush=True)
        shutil.rmtree(folder.parent)


def main(name: str, kills: int, seed: int, place: Path) -> None:
    import torch
    import torch._dynamo  # what counting a network imports, which every fork would pay

    import ogive.cli.inputs
    import ogive.cli.inspecting
    import ogive.cli.scoring
    import ogive.cli.searching
    import ogive.cli.winning
    import ogive.evaluators.trained
    import ogive.reporting.page  # noqa: F401

    torch.set_num_threads(1)  # before the first operation, so that no thread exists when we fork
    swept(name, kills, seed, place)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
