"""Searches by an evaluator of somebody else that does every evil thing: no search is lost, and each deed has its words.

The package in ``evil_plugin`` is installed as pip would do it, and all of ogive's commands run side by side.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ogive.begun import DIED_TWICE
from ogive.runs import read_run

HERE = Path(__file__).parent
PLUGIN = HERE / "evil_plugin"

FAILING = ["good", "leave", "surrogate", "surrogate_reason", "unspeakable", "nan", "infinite", "better"]
KILLING = ["exit", "segfault", "out_of_memory"]
HANGING = ["hang", "hang_in_c", "hang_with_child"]
DIED = "the worker process died (killed, or out of memory)"
LATE = "it took longer than the trial limit of 2 s"
WORDS = {
    "leave": "SystemExit: ",
    "surrogate": r"OSError: no such file: \udcff.png",
    "surrogate_reason": r"no such file: \udcff.png",
    "unspeakable": "Unspeakable: its message cannot be read",
    "nan": "Maximize(metric='value') is nan",
    "infinite": "Maximize(metric='value') is inf",
}
BREAKING = {
    "text": "Evil must measure numbers, but gave value='high'.",
    "nothing": "Evil must return a Measurement for each proposal, but returned None.",
    "missing": "Evil promised the metrics value but measured only nothing for deeds:1.",
    "unnamed": r"Evil must name its metrics with plain text, but named one '\udcff'.",
    "one_too_many": "evaluate must return one measurement for each proposal: Evil was given 1 and returned 2.",
    "no_list": "Evil must return a list of measurements, but returned 5.",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plug-in installed in it."""
    folder = tmp_path_factory.mktemp("evil")
    about = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]
    info = folder / f"evil_for_ogive-{about['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n")
    points = "\n".join(f"{name} = {value}" for name, value in about["entry-points"]["ogive.plugins"].items())
    (info / "entry_points.txt").write_text(f"[ogive.plugins]\n{points}\n")
    (folder / "evil_for_ogive.py").write_text((PLUGIN / "evil_for_ogive.py").read_text())
    return folder


def searching(folder: Path, kinds: list[str], *options: str) -> list[str]:
    parts = ["--space", f"deeds(kinds=[{', '.join(kinds)}])", "--evaluator", "evil", "--strategy", "in_turn"]
    return ["search", *parts, "--out", str(folder), *(options or ("--budget", str(len(kinds))))]


def budget(kinds: list[str], *options: str) -> list[str]:
    return ["--budget", str(len(kinds)), *options]


@pytest.fixture(scope="module")
def said(place: Path) -> dict[str, list[dict[str, Any]]]:
    """What became of each command, by the names of the chains."""
    two = "processes(2, trial_limit=2s)"
    every = [*FAILING, *KILLING, *HANGING]
    late = ["good", "better", "hang_in_c", "good"]
    again = ["resume", str(place / "stopped"), "--budget", "4, 100s", "--workers", two]
    chains = {
        "one": [searching(place / "one", FAILING)],
        "two": [searching(place / "two", every, *budget(every, "--workers", two))],
        "killed": [
            searching(place / "killed", ["good", *KILLING, "better"]),
            *[["resume", str(place / "killed")]] * 2 * len(KILLING),
        ],
        "limit": [
            searching(
                place / "limit", ["good", "hang"], *budget(["", ""], "--workers", "processes(1, trial_limit=2s)")
            ),
            ["resume", str(place / "limit"), "--workers", "1"],
        ],
        "stopped": [
            searching(place / "stopped", late, "--budget", "2"),
            ["resume", str(place / "stopped"), "--budget", "4, 4s"],
            ["watch", str(place / "stopped")],
            ["resume", str(place / "stopped")],
            again,
        ],
        **{
            f"{kind}-{workers}": [
                searching(place / f"{kind}-{workers}", ["good", kind], *budget(["", ""], "--workers", workers))
            ]
            for kind in BREAKING
            for workers in ("1", "2")
        },
    }
    environment = {**os.environ, "EVIL_CHILD": str(place / "child")}
    environment["PYTHONPATH"] = os.pathsep.join([str(place), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, str(HERE / "commands.py"), json.dumps(chains), str(place)]
    subprocess.run(command, check=True, timeout=300, env=environment)
    return {name: json.loads((place / f"{name}.json").read_text()) for name in chains}


def reasons(folder: Path, kinds: list[str]) -> dict[str, str | None]:
    """The reason of each deed, by its name."""
    return {kinds[int(trial.arch.choices[0])]: trial.measurement.error for trial in read_run(folder).trials}


def test_nobody_sees_a_traceback(said: dict[str, list[dict[str, Any]]]) -> None:
    for name, commands in said.items():
        for command in commands:
            logged = command["err"].replace("The evaluator raised an exception; the trial counts as failed.\nTrace", "")
            assert "Traceback" not in logged, f"{name}: {logged}"


def test_a_deed_that_costs_its_candidate_is_a_failed_trial_of_one_worker(
    place: Path, said: dict[str, list[dict[str, Any]]]
) -> None:
    assert [command["status"] for command in said["one"]] == [0]
    assert reasons(place / "one", FAILING) == {"good": None, "better": None, **WORDS}


def test_one_worker_outlives_all_that_kill_its_process(place: Path, said: dict[str, list[dict[str, Any]]]) -> None:
    assert [command["status"] for command in said["killed"]] == [3, 3, -11, -11, -9, -9, 0]
    expected = {"good": None, **dict.fromkeys(KILLING, DIED_TWICE), "better": None}
    assert reasons(place / "killed", ["good", *KILLING, "better"]) == expected


def test_two_workers_outlive_all_that_kills_or_never_ends(place: Path, said: dict[str, list[dict[str, Any]]]) -> None:
    assert [command["status"] for command in said["two"]] == [0]
    expected = {**WORDS, **dict.fromkeys(KILLING, DIED), **dict.fromkeys(HANGING, LATE)}
    assert reasons(place / "two", [*FAILING, *KILLING, *HANGING]) == {"good": None, "better": None, **expected}
    assert "3 trials ended by a trial limit" in read_run(place / "two").chances[0]
    child = int((place / "child").read_text())
    for _ in range(100):  # the kernel takes a moment
        if not Path(f"/proc/{child}").exists():
            break
        time.sleep(0.1)
    assert not Path(f"/proc/{child}").exists()


def test_a_limit_of_one_worker_is_stored_and_a_resume_says_that_it_is_another(
    place: Path, said: dict[str, list[dict[str, Any]]]
) -> None:
    first, second = said["limit"]
    assert (first["status"], second["status"]) == (0, 0)
    assert "a limit of 2 s a trial" in first["err"]
    assert reasons(place / "limit", ["good", "hang"]) == {"good": None, "hang": LATE}
    assert read_run(place / "limit").config["workers"] == "processes(1, trial_limit=2s)"
    assert "goes on with another trial limit: none; run.json says 2 s." in second["err"]


def test_a_time_that_is_up_ends_a_search_whatever_its_candidate_does(
    place: Path, said: dict[str, list[dict[str, Any]]]
) -> None:
    _, search, watch, resume, longer = said["stopped"]
    assert [command["status"] for command in said["stopped"]] == [0] * 5
    assert search["seconds"] < 60
    told = "The time was up after 4"
    assert told in search["out"]
    assert "1 trial not finished (2)" in search["out"]
    assert told in watch["out"]
    assert "0 new trials" in resume["out"]
    assert "2 new trials" in longer["out"]
    assert "not finished" not in longer["out"]
    limit = {"good": None, "better": None, "hang_in_c": LATE}
    assert reasons(place / "stopped", ["good", "better", "hang_in_c", "good"]) == limit


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("kind", BREAKING)
def test_a_broken_contract_is_one_line(kind: str, workers: str, said: dict[str, list[dict[str, Any]]]) -> None:
    (command,) = said[f"{kind}-{workers}"]
    assert command["status"] == 2
    errors = [line for line in command["err"].splitlines() if line.startswith("error:")]
    assert errors == [f"error: {BREAKING[kind]}"]
