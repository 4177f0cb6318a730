from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ogive.api import open_run
from ogive.runs import read_run
from ogive.spaces.nasbench201 import nasbench201

TABULAR = ("--space", "nasbench201", "--table", "nasbench201")
Run = Callable[..., tuple[int, str, str]]


def refused(said: tuple[int, str, str], reason: str) -> None:
    code, out, err = said
    assert code == 2
    assert re.search(f"^error: .*{reason}", err, re.MULTILINE), err
    assert "Traceback" not in err
    assert out == ""


@pytest.mark.parametrize("command", [("search",), ("search", "--dry-run"), ("compare", "random", "--dry-run")])
def test_a_table_of_another_space_is_refused_before_anything_is_begun(
    ogive: Run, table_home: Path, command: tuple[str, ...]
) -> None:
    said = ogive(*command, "--space", "natssize", "--table", "nasbench201", "--budget", 3)
    refused(said, "is for the space nasbench201, but the search is in natssize")
    assert list(Path().iterdir()) == []


def test_a_search_in_which_nothing_works_ends_with_the_reason_of_the_last_failure(ogive: Run) -> None:
    starved = "trained(epochs=1, memory_limit_mb=1)"
    code, out, _ = ogive(
        "search", "--space", "natssize", "--data", "digits", "--evaluator", starved, "--budget", 2, "--out", "run"
    )
    assert code == 1
    assert re.search(r"No trial succeeded; the last reason: out of memory: .*MiB; trials\.jsonl has all\.", out)


def test_one_trial_is_not_called_trials(ogive: Run, table_home: Path) -> None:
    _, out, _ = ogive("search", *TABULAR, "--budget", 1, "--out", "run")
    assert out.startswith("1 trial (0 failed")
    _, dry, _ = ogive("search", *TABULAR, "--budget", 1, "--dry-run")
    assert "budget     1 trial: about" in dry
    _, more, _ = ogive("resume", "run", "--budget", 2)
    assert more.startswith("1 new trial.\n2 trials (0 failed")


def test_an_order_of_finishing_is_an_option_that_resume_speaks_of(ogive: Run, table_home: Path) -> None:
    finishing = ("--order", "finish", "--in-flight", 3)
    assert ogive("search", *TABULAR, "--budget", 3, *finishing, "--out", "run")[0] == 0
    assert read_run(Path("run")).config["order"] == "finish"
    code, out, _ = ogive("resume", "run", "--budget", 5)
    assert code == 0
    assert out.startswith("Its trials are told in the order in which they finish, which no second run repeats. An unin")
    refused(ogive("search", *TABULAR, "--budget", 3, "--order", "chance"), "no order of telling trials named 'chance'")
    assert "not reproducible" in " ".join(ogive("search", "--help")[1].replace("│", " ").split())


def test_the_latency_of_the_winner_is_told_as_it_was_measured_last(ogive: Run) -> None:
    quick = "latency(min_runs=6, min_seconds=0.0, max_seconds=0.01, warm_up_s=0.0)"
    size = ("--data", "digits(size=8, limit=20)", "--channels", 2, "--cells", 1, "--evaluator", quick)
    code, out, _ = ogive("search", "--space", "nasbench201", "--strategy", "random", *size, "--budget", 3, "--out", "r")
    assert code == 0
    # Whether another could have won, and is measured beside it, is up to the clock.
    assert re.search(
        r"\n      measured again(, side by side with \d other finalists?)?: latency_ms [\d.]+ \(in the search [\d.]+\)",
        out,
    )
    last, in_search = re.search(r"latency_ms ([\d.]+) \(in the search ([\d.]+)\)", out).groups()  # type: ignore[union-attr]
    assert re.search(rf"^latency_ms +{re.escape(last)}$", out, re.MULTILINE)
    assert not re.search(rf"^latency_ms +{re.escape(in_search)}$", out, re.MULTILINE) or last == in_search
    _, out, _ = ogive("resume", "r")
    assert out.startswith("What it finds depends on latency, which no second measurement repeats.")


@pytest.mark.parametrize(("share", "doubted"), [(0.5, True), (1.0, False)])
def test_a_winner_whose_latency_is_not_the_network_s_alone_is_told_so(ogive: Run, share: float, doubted: bool) -> None:
    quick = "latency(min_runs=6, min_seconds=0.0, max_seconds=0.01, warm_up_s=0.0)"
    size = ("--data", "digits(size=8, limit=20)", "--channels", 2, "--cells", 1, "--evaluator", quick)
    assert ogive("search", "--space", "nasbench201", "--strategy", "random", *size, "--budget", 1, "--out", "r")[0] == 0
    path = Path("r/artifacts/finalists.json")
    found = json.loads(path.read_text("utf-8"))
    (last,) = found["finalists"]
    last["metrics"] |= {"latency_ms": 4.0, "latency_cpu_ms": 4.0 * share}
    path.write_text(json.dumps(found), "utf-8")
    _, out, _ = ogive("resume", "r")
    assert ("Its latency is in doubt: of 4.000 ms the processor worked 2.000 ms" in " ".join(out.split())) == doubted


def test_the_runs_of_a_comparison_keep_its_command(ogive: Run, table_home: Path) -> None:
    assert ogive("compare", "random", *TABULAR, "--budget", 2, "--seeds", 2, "--out", "both")[0] == 0
    command = "ogive compare random --space nasbench201 --table nasbench201 --budget 2 --seeds 2 --out both"
    assert [read_run(path.parent).config["command"] for path in sorted(Path("both").glob("*/run.json"))] == [
        command
    ] * 2
    page = Path("both/report.html").read_text(encoding="utf-8")
    assert page.count(command) == 1


def test_a_budget_may_have_an_exponent(ogive: Run, table_home: Path) -> None:
    assert "budget     1000 trials" in ogive("search", *TABULAR, "--budget", "1e3", "--dry-run")[1]


def test_an_out_that_is_a_file_is_called_a_file(ogive: Run, table_home: Path) -> None:
    Path("taken").write_text("mine")
    for out in ("taken", "taken/below"):
        refused(ogive("search", *TABULAR, "--budget", 2, "--out", out), "taken is a file.*choose another --out")
    assert Path("taken").read_text() == "mine"


def test_data_are_not_given_inside_a_part(ogive: Run) -> None:
    said = ogive("search", "--space", "natssize", "--evaluator", "trained(data=cifar10)", "--budget", 1)
    refused(said, "trained.* takes no data in brackets.*--data digits")


@pytest.mark.parametrize("size", [("--cells", 100_000), ("--channels", 100_000)])
@pytest.mark.parametrize("evaluator", ["trained", "training_free(naswot)", "latency"])
def test_a_network_beyond_any_published_one_is_refused_at_once(
    ogive: Run, evaluator: str, size: tuple[str, int]
) -> None:
    arguments = ("--space", "nasbench201", "--data", "digits", "--evaluator", evaluator, "--budget", 1)
    refused(ogive("search", *arguments, *size), "larger than any published network")


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
@pytest.mark.parametrize("count", [("--seeds", 0), ("--seeds", -2), ("--workers", 0), ("--workers", -1)])
def test_a_comparison_without_seeds_or_workers_is_refused(
    ogive: Run, table_home: Path, count: tuple[str, int], dry: tuple[str, ...]
) -> None:
    said = ogive("compare", "random", *TABULAR, "--budget", 2, *count, *dry)
    refused(said, f"at least one {count[0][2:-1]}, but got {count[0][2:]}={count[1]}")


def test_small_and_huge_figures_keep_their_digits(ogive: Run, table_home: Path, tmp_path: Path) -> None:
    """Errors of 1e-7 are not 0.000, and a cell of 1e200 takes no line of its own."""
    rows = [f"nasbench201:{row % 5},{row // 5},0,0,0,0,{(row + 3) * 1e-7},1e200" for row in range(25)]
    lines = (f'"{arch}",{error},{size}' for arch, error, size in (row.rsplit(",", 2) for row in rows))
    (tmp_path / "own.csv").write_text("\n".join(["cell,mse,size", *lines]))
    own = ("--space", "nasbench201", "--arch-column", "cell", "--metric", "mse", "--minimize", "mse")
    assert ogive("tables", "import", str(tmp_path / "own.csv"), "--as", "own", *own).code == 0
    info = ogive("tables", "info", "own").out
    assert re.search(r"mse +smaller +0\.000000300 +0\.00000270", info), info
    assert re.search(r"size +larger +1e\+200 +1e\+200", info), info
    run = ("--space", "nasbench201", "--table", "own", "--budget", "60")
    assert "mse 0.000000300" in ogive("search", *run, "--out", str(tmp_path / "run")).out
    compared = ogive("compare", "random", *run, "--seeds", "2").out
    assert re.search(r"random +2 +0\.000000\d{3} \[-?0\.00000\d{4}, 0\.00000\d{4}\]", compared), compared


def test_an_interval_of_one_seed_is_a_dash(ogive: Run, table_home: Path) -> None:
    _, out, _ = ogive("compare", "local_search", *TABULAR, "--budget", 5, "--seeds", 1)
    assert "nan" not in out
    assert re.search(r" – (?:random|local_search) +[+-]\d+\.\d{3} \[–\]", out)


def test_fronts_are_compared_by_their_hypervolume(ogive: Run, table_home: Path) -> None:
    both = ("--objective", "maximize(val_acc)", "--objective", "minimize(params)")
    arguments = (*TABULAR, "--evaluator", "tabular(also=[params])", *both, "--budget", 12, "--seeds", 2)
    _, out, _ = ogive("compare", "nsga2(population=4)", *arguments)
    assert re.search(r"^strategy +seeds +hypervolume ", out, re.MULTILINE)
    assert "paired permutation tests of the hypervolume" in out


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_population_that_the_budget_does_not_fill_is_mentioned(
    ogive: Run, table_home: Path, dry: tuple[str, ...]
) -> None:
    small, large = "evolution(population=4, tournament=2)", "evolution(population=6, tournament=2)"
    _, out, _ = ogive("compare", small, large, *TABULAR, "--budget", 6, "--seeds", 2, *dry)
    notes = [line for line in out.splitlines() if "random start" in line]
    assert len(notes) == 1
    assert notes[0].startswith(large)


def test_what_is_minimised_is_shown_as_it_is_measured(ogive: Run, table_home: Path) -> None:
    cheap = ("--evaluator", "tabular(also=[params])", "--objective", "minimize(params)", "--budget", 5, "--out", "run")
    _, out, _ = ogive("search", *TABULAR, *cheap)
    assert re.search(r"^best: trial \d, nasbench201:\S+, params [\d,]+$", out, re.MULTILINE)
    assert re.search(r"^params +[\d,]+$", out, re.MULTILINE)


def test_the_bare_name_of_a_metric_means_its_own_direction(ogive: Run, table_home: Path) -> None:
    cheap = ("--evaluator", "tabular(also=[params])", "--objective", "params", "--budget", 3, "--out", "run")
    code, _, err = ogive("search", *TABULAR, *cheap)
    assert code == 0, err
    run = read_run(Path("run"))
    assert run.config["objectives"] == ["minimize(params)"]
    assert [trial.scores for trial in run.trials] == [(-trial.metrics["params"],) for trial in run.trials]
    assert ogive("resume", "run", "--budget", 4)[0] == 0
    _, out, _ = ogive("compare", "random", *TABULAR, *cheap[:-4], "--budget", 3, "--seeds", 2, "--out", "both")
    assert re.search(r"^random +2 +[\d,]+\.\d{3} \[", out, re.MULTILINE)
    assert ogive("compare", "random", *TABULAR, *cheap[:-4], "--budget", 3, "--seeds", 2, "--out", "both")[0] == 0
    refused(ogive("search", *TABULAR, "--objective", "test_acc", "--budget", 1), "never sees the test set")


def test_several_objectives_have_a_front(ogive: Run, table_home: Path) -> None:
    both = ("--objective", "maximize(val_acc)", "--objective", "minimize(params)")
    both = (*both, "--strategy", "nsga2(population=4)")
    _, out, _ = ogive("search", *TABULAR, "--evaluator", "tabular(also=[params])", *both, "--budget", 9, "--out", "run")
    assert re.search(r"^front: \d trials? that no other beats; ogive front run lists them$", out, re.MULTILINE)
    assert re.search(r"^best: trial \d, nasbench201:\S+, val_acc [\d.]+, params [\d,]+$", out, re.MULTILINE)
    assert "\n      the knee of the Pareto front, which alone has the largest hypervolume" in out


def test_the_front_is_listed_with_text_forms_and_the_best_by_its_rule(ogive: Run, table_home: Path) -> None:
    both = ("--objective", "maximize(val_acc)", "--objective", "minimize(params)", "--strategy", "random")
    ogive("search", *TABULAR, "--evaluator", "tabular(also=[params])", *both, "--budget", 30, "--out", "run")
    front = open_run("run").pareto()
    _, out, _ = ogive("front", "run")
    for trial in front:
        form = re.escape(nasbench201().format(trial.arch))
        values = rf"{trial.metrics['val_acc']:.3f} +{trial.metrics['params']:,.0f}"
        assert re.search(rf"^ *(\* )?{trial.number} +{values} +{trial.arch} +{form} *$", out, re.MULTILINE)
    (starred,) = re.findall(r"^ *\* (\d+) ", out, re.MULTILINE)
    assert int(starred) == open_run("run").best.number
    assert "\n* the knee of the Pareto front" in out
    least = front[-1]
    _, out, _ = ogive("front", "run", "--prefer", f"params<={least.metrics['params']}")
    assert re.search(rf"^ *\* {least.number} ", out, re.MULTILINE)
    assert "\n* of the Pareto front, the best in maximize(val_acc) with params<=" in out
    assert (
        "\nNo trial of the Pareto front has params<1: the nearest" in ogive("front", "run", "--prefer", "params<1")[1]
    )
    refused(ogive("front", "run", "--prefer", "test_acc>1"), "never goes by the test set")


def test_the_front_is_printed_as_json_for_other_programs(ogive: Run, table_home: Path) -> None:
    both = ("--objective", "maximize(val_acc)", "--objective", "minimize(params)", "--strategy", "random")
    ogive("search", *TABULAR, "--evaluator", "tabular(also=[params])", *both, "--budget", 30, "--out", "run")
    run = open_run("run")
    _, out, _ = ogive("front", "run", "--json")
    found = json.loads(out)
    assert [entry["trial"] for entry in found["front"]] == [trial.number for trial in run.pareto()]
    for entry, trial in zip(found["front"], run.pareto(), strict=True):
        assert entry["metrics"] == trial.metrics
        assert nasbench201().parse(entry["text"]) == nasbench201().parse(entry["arch"]) == trial.arch
    assert found["best"] == run.best.number
    assert found["objectives"] == ["maximize(val_acc)", "minimize(params)"]
    assert {record["name"]: record["better"] for record in found["metrics"]}["params"] == "smaller"
    _, out, _ = ogive("front", "run", "--json", "--prefer", "params<1")
    assert json.loads(out)["best"] is None
    assert "No trial of the Pareto front has params<1" in json.loads(out)["rule"]


def test_what_is_preferred_is_kept_by_the_run_until_something_else_is(ogive: Run, table_home: Path) -> None:
    both = (
        "--objective",
        "maximize(val_acc)",
        "--objective",
        "minimize(params)",
        "--strategy",
        "random",
        "--out",
        "run",
    )
    limited = (*TABULAR, "--evaluator", "tabular(also=[params])", *both, "--prefer", "val_acc<90")
    code, out, _ = ogive("search", *limited, "--budget", 10)
    assert code == 0
    assert "\n      of the Pareto front, the best in maximize(val_acc) with val_acc<90" in out
    _, out, _ = ogive("resume", "run", "--budget", 12, "--prefer", "knee")
    assert "\n      the knee of the Pareto front" in out
    code, out, _ = ogive("resume", "run", "--budget", 14, "--prefer", "val_acc>99", "--prefer", "params<5")
    assert code == 1
    assert re.search(
        r"^No trial of the Pareto front has val_acc>99 and params<5: the nearest to val_acc>99 is", out, re.M
    )
    refused(ogive("search", *limited, "--prefer", "latency<5", "--out", "other"), "no metric named 'latency'")
    refused(ogive("search", *limited, "--prefer", "fast", "--out", "other"), "such as latency_ms<=5")


def test_a_metric_that_nobody_measures_comes_with_the_ways_to_measure_it(ogive: Run, table_home: Path) -> None:
    said = ogive("search", *TABULAR, "--objective", "minimize(params)", "--budget", 1)
    refused(said, r"minimize\(params\) needs the metric 'params', but the evaluator .*tabular\(also=\[params\]\)")


def test_a_search_that_trains_a_supernet_says_what_its_own_answer_is(ogive: Run, table_home: Path) -> None:
    small = ("--data", "digits(limit=48)", "--channels", 2, "--cells", 1, "--strategy", "darts(epochs=4, batch_size=8)")
    _, out, _ = ogive("search", *TABULAR, *small, "--budget", 4, "--out", "runs/a(b)")
    assert re.search(
        r"\n      (and the answer of the search itself, its last epoch|chosen by the measurements of this)", out
    )
    assert "in networks of channels=2, cells=1" in out
    assert "next: ogive report 'runs/a(b)'" in out


def test_a_search_with_a_dear_first_proposal_has_no_last_epoch(ogive: Run, table_home: Path) -> None:
    few = (
        "--data",
        "digits(limit=48)",
        "--channels",
        2,
        "--cells",
        1,
        "--strategy",
        "naswot(training_free(naswot), scored=2)",
    )
    _, out, err = ogive("search", *TABULAR, *few, "--budget", 1, "--out", "run")
    assert "best: trial 0" in out, err
    assert "last epoch" not in out


def test_correlate_names_its_own_option(ogive: Run, table_home: Path) -> None:
    ogive("search", *TABULAR, "--budget", 9, "--out", "run")
    _, out, _ = ogive("correlate", "run", "--metrics", "val_acc", "--truth", "test_acc")
    assert "add params to --metrics." in out


def test_generators_are_trained_tested_and_exported(ogive: Run) -> None:
    few = "trained(steps=1, feature_epochs=1, images=20)"
    images = ("--data", "digits(limit=40, size=16)", "--channels", 8, "--strategy", "random", "--evaluator", few)
    code, _, err = ogive("search", "--space", "autogan", *images, "--budget", 1, "--out", "run")
    assert code == 0, err
    refused(ogive("export", "run"), "no trained winner yet: ogive train run")
    code, out, err = ogive("train", "run", "--recipe", "steps=2, feature_epochs=1, images=20, statistics_images=20")
    assert code == 0, err
    assert re.search(r"distance \d+\.\d\d to 40 test images, by ogive's classifier", out)
    facts = json.loads(Path("run/artifacts/winner.json").read_text(encoding="utf-8"))
    assert facts["epochs"] == 2
    assert facts["test_own_fid"] > 0
    code, _, err = ogive("export", "run", "--to", "torch")
    assert code == 0, err
    called = [sys.executable, "run/artifacts/export/winner.py", "--out", "made.png", "--images", "3"]
    subprocess.run(called, check=True, env={**os.environ, "PYTHONPATH": ""})
    with Image.open("made.png") as picture:
        assert (picture.size, picture.mode) == ((32, 32), "L")
    code, _, err = ogive("report", "run")
    assert code == 0, err
    assert "distance to test images" in Path("run/report.html").read_text(encoding="utf-8")


def test_a_warning_is_given_once(ogive: Run, table_home: Path) -> None:
    ogive("search", *TABULAR, "--budget", 3, "--out", "run")
    with Path("run/trials.jsonl").open("a", encoding="utf-8") as lines:
        lines.write('{"torn')
    done = subprocess.run(
        [sys.executable, "-c", "from ogive.cli import main; main()", "report", "run"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr.count("is torn") == 1


def test_where_there_is_no_terminal_a_line_now_and_then_tells_how_far_the_search_is(
    ogive: Run, table_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ogive.cli.watching.EVERY_S", 0.02)
    _, _, told = ogive("search", *TABULAR, "--strategy", "random", "--budget", 2000, "--out", "run")
    lines = [line for line in told.splitlines() if line.startswith("search: ")]
    assert lines
    assert all(re.match(r"search: \d+/2000 trials, [\d.]+ s", line) for line in lines)
    assert re.search(r"about [\d.]+ s left; best validation accuracy \d\d\.\d+ % \(trial \d+\)", lines[-1])


def test_pictures_that_are_read_are_counted_before_the_search_is(ogive: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ogive.cli.show.LINE_EVERY_S", 0.0)
    for name in ("cat", "dog"):
        for number in range(6):
            path = Path(f"photos/{name}/{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8, 3), 20 * number, np.uint8)).save(path)
    tiny = ("--channels", 2, "--cells", 1, "--evaluator", "training_free(params)", "--budget", 1, "--out", "run")
    _, _, told = ogive("search", "--space", "nasbench201", "--data", "images:photos", *tiny)
    assert "reading images:photos 12/12" in told
    assert "reading images:photos 12/12" in ogive("resume", "run", "--budget", 2)[2]
    Path("photos/cat/broken.png").write_bytes(b"no picture")
    refused(ogive("search", "--space", "nasbench201", "--data", "images:photos", *tiny[:-1], "more"), "--skip-broken")
    where = ("--data", "images:photos(size=8)", "--skip-broken", *tiny[:-1], "more")
    code, _, told = ogive("search", "--space", "nasbench201", *where)
    assert code == 0
    assert "12 RGB images of 8 x 8 pixels, classes cat 6, dog 6" in told
    assert read_run(Path("more")).config["data"] == "images:photos(size=8, skip_broken=true)"


def test_the_options_of_folders_of_pictures_are_explained(ogive: Run) -> None:
    code, out, _ = ogive("list", "data", "images")
    assert code == 0
    for option in ("size", "channels", "skip_broken", "validation", "limit"):
        assert f"`{option}`" in out
        assert re.search(rf"^{option} ", out, re.MULTILINE)


def understood(text: str) -> dict[str, list[str]]:
    """The lines of a summary by what they are about."""
    lines: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, rest = line[:10].strip(), line[11:]
        if name in ("data", "table", "task", "space", "strategy", "evaluator", "objective", "machine", "budget"):
            about = lines.setdefault(name, [])
        elif name:
            continue
        about.append(rest)
    return lines


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_what_was_understood_is_told_before_anything_starts(ogive: Run, dry: tuple[str, ...]) -> None:
    small = ("--data", "digits(size=16, limit=40)", "--channels", 2, "--cells", 1, "--threads", 1)
    trained = ("--evaluator", "trained(epochs=2)", "--budget", 2, "--out", "run")
    code, out, err = ogive("search", "--space", "nasbench201", *small, *trained, *dry)
    assert code == 0
    told = understood(out if dry else err)
    each = ", ".join(f"{digit} 12" for digit in range(10))
    assert told["data"] == [
        f"digits: 120 grey images of 16 x 16 pixels, classes {each}",
        "40 to train on, 40 to validate on, 40 to test on",
    ]
    assert told["task"] == ["classification"]
    assert told["space"] == ["nasbench201: 15,625 architectures; networks of channels 2, cells 1"]
    assert told["objective"] == ["maximize(val_acc)"]
    assert told["machine"] == ["cpu, 1 worker, 1 thread"]
    assert re.fullmatch(r"2 trials: about [\d.]+ s with 1 worker", told["budget"][0])
    assert Path("run").exists() != bool(dry)


def test_rows_and_tables_are_understood_too(ogive: Run, table_home: Path) -> None:
    lines = ["size,town,price", *(f"{number},{'AB'[number % 2]},{number / 8}" for number in range(40))]
    Path("h.csv").write_text("\n".join(lines))
    rows = ("--space", "mlp", "--data", "csv:h.csv(target=price)", "--evaluator", "trained(epochs=1)", "--budget", 1)
    told = understood(ogive("search", *rows, "--dry-run")[1])
    assert told["data"] == [
        "h.csv: 40 rows of 1 number and 1 word; price is predicted, 0 to 4.875",
        "26 to train on, 6 to validate on, 8 to test on",
        "The task is regression, since price is numbers with 40 different values (task=classification to change).",
    ]
    told = understood(ogive("search", *TABULAR, "--budget", 4, "--dry-run")[1])
    assert told["table"] == ["invented: 15,625 rows"]


def test_a_comparison_says_its_time_before_it_starts(ogive: Run, table_home: Path) -> None:
    code, out, err = ogive("compare", "evolution(population=4, tournament=2)", *TABULAR, "--budget", 5, "--seeds", 2)
    assert code == 0
    assert re.search(r"^strategy   random, evolution\(.*\), 4 searches$", err, re.MULTILINE)
    assert re.search(r"^budget     5 trials: about .* with 1 worker$", err, re.MULTILINE)
    assert "4 searches" not in out


def test_constraints_are_kept_by_the_run_its_page_and_the_search_that_goes_on(ogive: Run, table_home: Path) -> None:
    limited = (*TABULAR, "--evaluator", "tabular(also=[params])", "--where", "params<=9000", "--where", "val_acc<69")
    code, out, _ = ogive("search", *limited, "--budget", 20, "--out", "run")
    assert code == 0
    assert " infeasible, " in out
    before = read_run(Path("run"))
    assert before.config["where"] == ["params<=9000", "val_acc<69"]
    assert before.count("infeasible") > 0
    assert all(trial.violation > 0 and trial.scores is None for trial in before.trials if trial.status == "infeasible")
    assert before.choice.found.metrics["val_acc"] < 69
    assert all(trial.metrics["params"] <= 9_000 for trial in before.front)
    code, _, _ = ogive("resume", "run", "--budget", 40)
    after = read_run(Path("run"))
    assert code == 0
    assert list(after.trials)[: len(before.trials)] == list(before.trials)
    assert len(after.trials) == 40
    assert after.count("infeasible") > before.count("infeasible")
    ogive("report", "run")
    page = next(Path().rglob("*.html")).read_text()
    assert "do not keep params&lt;=9000 and val_acc&lt;69" in page
    assert "--where" in page
    refused(ogive("search", *limited, "--where", "latency_ms<=5", "--out", "other"), "needs the metric 'latency_ms'")
