"""Tables of rows all the way: search, resume, final training, export and page, for quantities and for classes."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.linear_model import RidgeCV
from torch import Tensor, nn

import ogive
from ogive.catalog import task_of
from ogive.cli import main
from ogive.core.errors import ExportError, SpecError
from ogive.networks.export import export
from ogive.networks.plain_rows import Target, of_rows
from ogive.reporting.page import write_page
from ogive.runs import read_run
from ogive.spaces.accel_nasbench import accel_nasbench
from ogive.spaces.mlp import mlp
from ogive.spaces.nasbench201 import nasbench201
from ogive.training.recipe import Recipe, RowRecipe
from ogive.training.rows import Rows
from ogive.training.task import Size
from ogive.training.tasks.classification import Classification
from ogive.training.tasks.regression import Regression
from ogive.winner import export_winner, measure_latency, train_winner

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = {"strategy": "random", "evaluator": "trained(epochs=10)", "space": "mlp", "seed": 1}


def table(path: Path, loaded: Callable[..., Any], target: str, **options: Any) -> Path:
    """A bundled data set as a file, with an index, a word in place of a number, and cells that are missing."""
    found = loaded(**options)
    names = [str(name).replace(" ", "_") for name in found.feature_names]
    kinds = getattr(found, "target_names", None)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "first_word", *names[1:], target])
        middle = np.median(found.data[:, 0])
        for number, (values, answer) in enumerate(zip(found.data.tolist(), found.target.tolist(), strict=True)):
            cells: list[Any] = ["low" if values[0] < middle else "high", *values[1:]]
            if number % 10 == 0:
                cells[1 + number // 10 % 5] = ""
            writer.writerow([number, *cells, answer if kinds is None else kinds[int(answer)]])
    return path


@pytest.fixture(scope="module")
def diabetes(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = table(tmp_path_factory.mktemp("data") / "diabetes.csv", load_diabetes, "progression", scaled=False)
    return f"csv:{path}(target=progression, drop=[id], unit=points)"


@pytest.fixture(scope="module")
def rows(diabetes: str) -> Rows:
    path = diabetes.partition("(")[0]
    found = ogive.data(path, target="progression", drop=["id"], unit="points")
    assert isinstance(found, Rows)
    return found


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = table(tmp_path_factory.mktemp("data") / "wine.csv", load_wine, "cultivar")
    return f"csv:{path}(target=cultivar, drop=[id])"


ALONE = """
import csv, json, sys

sys.modules["ogive"] = sys.modules["numpy"] = None  # an import of either is an error
import winner

with open("test.csv", newline="") as file:
    raw = list(csv.DictReader(file))
for row in raw:
    row.pop(winner.TARGET)  # what is to be told is not there
print(json.dumps(winner.predicted(winner.load(), raw)))
"""


def told_alone(folder: Path) -> list[Any]:
    """What the exported folder says of its raw test rows, in a process that has neither ogive nor numpy."""
    done = subprocess.run([sys.executable, "-c", ALONE], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_a_quantity_goes_all_the_way(diabetes: str, rows: Rows, tmp_path: Path) -> None:
    folder, options = tmp_path / "run", {**QUICK, "evaluator": "trained(epochs=20)"}
    whole = ogive.search(data=diabetes, budget=4, out=tmp_path / "whole", **options)
    ogive.search(data=diabetes, budget=2, out=folder, **options)
    found = ogive.search(data=diabetes, budget=4, out=folder, resume=True, **options)
    assert [dict(trial.metrics) for trial in found.trials] == [dict(trial.metrics) for trial in whole.trials]
    record = json.loads((folder / "run.json").read_text())
    told = {metric["name"]: (metric["unit"], metric["better"]) for metric in record["metrics"]}
    assert told["val_rmse"] == ("points", "smaller")
    assert told["val_r2"] == ("", "larger")
    assert found.best.metrics["val_rmse"] == min(trial.metrics["val_rmse"] for trial in found.trials)

    facts = train_winner(folder, recipe="epochs=20")
    ridge = RidgeCV((0.1, 1, 10, 100)).fit(rows.train.images.numpy(), rows.train.labels.numpy())
    line = ridge.score(rows.test.images.numpy(), rows.test.labels.numpy())
    assert facts["test_r2"] > max(0.3, line - 0.1)  # always saying the mean has 0
    assert facts["test_rmse"] < 0.85 * float(rows.test.labels.std()) * rows.target.deviation
    assert facts["reached"].startswith("root mean squared error ")
    assert "points, R²" in facts["reached"]

    exported = export_winner(folder, formats=["torch", "export"])
    assert all(one.largest_difference <= 1e-4 for one in exported)
    truth = [float(row["progression"]) for row in rows.raw()]
    alone = told_alone(folder / "artifacts" / "export")
    error = float(np.sqrt(np.mean((np.array(alone) - truth) ** 2)))
    assert error == pytest.approx(facts["test_rmse"], rel=1e-5)

    page = write_page([read_run(folder)], tmp_path / "page.html").read_text(encoding="utf-8")
    assert "val_rmse" in page or "root mean squared error" in page


def test_an_interrupted_final_training_on_rows_goes_on_where_it_stopped(diabetes: str, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("whole", "stopped")]
    for folder in folders:
        ogive.search(data=diabetes, budget=1, out=folder, **{**QUICK, "evaluator": "training_free(params)"})
    whole = train_winner(folders[0], recipe="epochs=5")

    def stop(step: Any) -> None:
        if step.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_winner(folders[1], recipe="epochs=5", progress=stop)
    (left,) = (folders[1] / "artifacts" / "networks").glob("trial-*/training-*/metrics.jsonl")
    assert [json.loads(line)["number"] for line in left.read_text().splitlines()] == [1, 2]
    again = train_winner(folders[1], recipe="epochs=5")
    assert [again[name] for name in ("test_rmse", "test_r2")] == [whole[name] for name in ("test_rmse", "test_r2")]
    assert [epoch["train_rmse"] for epoch in again["history"]] == [epoch["train_rmse"] for epoch in whole["history"]]


def test_classes_of_rows_go_all_the_way(wine: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    found = ogive.search(data=wine, budget=3, out=folder, **QUICK)
    assert read_run(folder).metrics["val_acc"].unit == "%"
    assert max(trial.metrics["val_acc"] for trial in found.trials) > 80  # the most frequent class has 40
    facts = train_winner(folder, recipe="epochs=60")
    assert facts["test_acc"] > 85
    assert facts["reached"].endswith(f"of {facts['test_images']} test rows")
    export_winner(folder, formats=["torch"])
    place = folder / "artifacts" / "export"
    with (place / "test.csv").open(newline="") as file:
        truth = [row["cultivar"] for row in csv.DictReader(file)]
    right = sum(one == other for one, other in zip(told_alone(place), truth, strict=True))
    assert right == facts["test_correct"]
    write_page([read_run(folder)], tmp_path / "page.html")


def test_the_exported_file_says_what_it_is_and_how_good_and_is_formatted(wine: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ogive.search(data=wine, budget=1, out=folder, **QUICK)
    facts = train_winner(folder)
    export_winner(folder, formats=["torch"])
    place = folder / "artifacts" / "export"
    command = [sys.executable, "winner.py", "--data", "test.csv"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    assert f"accuracy {facts['test_acc']:.2f} % of {facts['test_images']} rows" in done.stdout, done.stderr
    ruff = [sys.executable, "-m", "ruff"]
    options = ["--isolated", "--line-length=120", "--target-version=py311", "winner.py", "winner_rows.py"]
    for words in (["format", "--check", "--diff"], ["check", "--no-cache", "--select=E,F,I,W,B,UP,RUF022"]):
        done = subprocess.run([*ruff, *words, *options], cwd=place, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_baselines_of_a_large_enough_table_are_reached(tmp_path: Path) -> None:
    path = table(tmp_path / "cancer.csv", load_breast_cancer, "diagnosis")
    data = ogive.data(f"csv:{path}", target="diagnosis", drop=["id"])
    found = ogive.search(data=data, budget=3, **QUICK)
    assert max(trial.metrics["val_acc"] for trial in found.trials) > 90  # benign alone: 63


def test_onnx_answers_with_quantities_in_deviations_and_its_companion_with_quantities(
    rows: Rows, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    import onnxruntime

    from ogive.networks.export import imported

    network = Regression(rows).network(mlp().parse("16 relu none 0 plain"), Size(), RowRecipe(), seed=1)
    (one,) = export(network, tmp_path, rows.plain(), formats=["onnx"], name="mine")
    assert [path.name for path in one.paths] == ["mine.onnx", "mine_rows.py"]
    plain = imported(tmp_path / "mine_rows.py")
    session = onnxruntime.InferenceSession(tmp_path / "mine.onnx", providers=["CPUExecutionProvider"])
    inputs = np.array(plain.encoded_rows(rows.raw()), np.float32)
    found = plain.answers(session.run(["outputs"], {"rows": inputs})[0].tolist())
    with torch.inference_mode():
        wanted = network.eval()(rows.test.images)[:, 0].double() * rows.target.deviation + rows.target.mean
    assert np.allclose(found, wanted.numpy(), rtol=1e-4)


def test_an_export_whose_preparation_makes_other_numbers_is_refused(rows: Rows, tmp_path: Path) -> None:
    network = Regression(rows).network(mlp().parse("16 relu none 0 plain"), Size(), RowRecipe(), seed=1)
    inputs = rows.test.images.clone()
    inputs[0, 0] += 1
    plain = of_rows(rows.preparation, Target("progression"), rows=rows.raw(), inputs=inputs)
    with pytest.raises(ExportError, match="export to torch differs from Perceptron by"):
        export(network, tmp_path, plain, formats=["torch"], name="mine")
    assert list(tmp_path.iterdir()) == []


def test_names_of_columns_may_be_anything_a_cell_can_hold(tmp_path: Path) -> None:
    odd = 'a "quoted" \\ one,\nwith """lines"""'
    with (tmp_path / "odd.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["x", f"{odd} too", odd], *([i, "ab"[i % 2], i / 4] for i in range(30))])
    rows = ogive.data(f"csv:{tmp_path / 'odd.csv'}", target=odd, unit='"m"\n')
    network = Regression(rows).network(mlp().parse("16 relu none 0 plain"), Size(), RowRecipe(), seed=1)
    export(network, tmp_path / "out", rows.plain(), formats=["torch"], name="winner")
    assert len(told_alone(tmp_path / "out")) == len(rows.test)


def test_r2_and_rmse_are_those_of_scikit_learn(rows: Rows) -> None:
    from sklearn.metrics import r2_score, root_mean_squared_error

    from ogive.core.rng import Seed

    task = Regression(rows)
    network = task.network(mlp().parse("16 relu none 0 plain"), Size(), RowRecipe(), seed=1)
    with torch.inference_mode():
        said = network.eval()(rows.val.images)[:, 0].double() * rows.target.deviation + rows.target.mean
    truth = rows.val.labels.double() * rows.target.deviation + rows.target.mean
    found = task.measured(network, "val", RowRecipe(), seed=Seed(0))
    assert found["val_rmse"] == pytest.approx(root_mean_squared_error(truth, said))
    assert found["val_r2"] == pytest.approx(r2_score(truth, said))


class Absolute(Regression):
    def loss(self, outputs: Tensor, targets: Tensor, recipe: Recipe) -> Tensor:
        return F.l1_loss(outputs[:, 0], targets)


def test_a_loss_and_networks_of_ones_own_serve_rows(rows: Rows) -> None:
    usual, own = (ogive.search(task=task, budget=1, **QUICK).trials[0] for task in (Regression(rows), Absolute(rows)))
    assert usual.arch == own.arch
    assert usual.metrics["val_rmse"] != own.metrics["val_rmse"]

    def linear(arch: ogive.Architecture, seed: int) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return nn.Linear(rows.shape[0], 1)

    found = ogive.search(task=Regression(rows, builder=linear), budget=1, **{**QUICK, "evaluator": "trained"})
    assert found.best.metrics["params"] == rows.shape[0] + 1

    def too_many(arch: ogive.Architecture, seed: int) -> nn.Module:
        return nn.Linear(rows.shape[0], 2)

    with pytest.raises(SpecError, match=r"must give 1 numbers for each row, the quantity, but for 2 rows it gave"):
        ogive.search(task=Regression(rows, builder=too_many), budget=1, **QUICK)


def test_rows_and_networks_of_images_are_refused_with_what_both_are_for(diabetes: str, wine: str, rows: Rows) -> None:
    with pytest.raises(
        SpecError, match=r"is data for regression, and networks of nasbench201 are for classification or detection:"
    ):
        ogive.search(**{**QUICK, "space": "nasbench201"}, data=diabetes)
    with pytest.raises(SpecError, match=r"holds rows, and networks of nasbench201 read images: give other data"):
        ogive.search(**{**QUICK, "space": "nasbench201"}, data=wine)
    with pytest.raises(SpecError, match="holds rows, and networks of darts read images"):
        ogive.search(space="darts", strategy="darts(epochs=1)", evaluator="latency", data=wine, budget=1)
    with pytest.raises(SpecError, match="read images, and not rows of"):
        ogive.search(space="nasbench201", evaluator="training_free", data=wine, budget=1)
    with pytest.raises(SpecError, match="accel_nasbench are for nothing but look-ups"):
        task_of(accel_nasbench(), rows)
    assert isinstance(task_of(nasbench201(), ogive.data("digits", limit=20)), Classification)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"evaluator": "trained(cutout=2)"}, "cutout changes images, and rows of numbers are none"),
        ({"evaluator": "trained(label_smoothing=0.1)"}, "label_smoothing is of classes, and progression is a quantity"),
        ({"evaluator": "training_free(snip)"}, "score snip reads classes, and .* holds quantities"),
        ({"evaluator": "trained", "channels": 8}, "mlp holds its own widths and depth"),
    ],
)
def test_options_that_rows_have_not_are_refused(diabetes: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        ogive.search(**{**QUICK, **options}, data=diabetes, budget=1)


def test_scores_latency_and_images_work_with_perceptrons(diabetes: str, wine: str, tmp_path: Path) -> None:
    quick = "latency(min_runs=2, min_seconds=0.0, max_seconds=0.01, warm_up_s=0.0)"
    timed = f"together(training_free([naswot_smooth, synflow, params]), {quick})"
    for data in (diabetes, wine):
        (trial,) = ogive.search(**{**QUICK, "evaluator": timed}, data=data, budget=1).trials
        assert trial.measurement.error is None
        assert trial.metrics["latency_ms"] > 0
    images = ogive.data("digits", limit=100)
    (trial,) = ogive.search(**{**QUICK, "evaluator": "trained(epochs=2)"}, data=images, budget=1).trials
    assert trial.metrics["val_acc"] > 0
    _, report = measure_latency("mlp:3,0,0,0,0,0,0,0", shape=(13,), classes=1)
    assert report.median_ms > 0
    ogive.search(**{**QUICK, "evaluator": "training_free(params)"}, data=wine, budget=1, out=tmp_path / "run")
    assert measure_latency(str(tmp_path / "run"))[1].median_ms > 0


def test_the_command_says_which_task_it_took_and_how_the_training_goes(
    diabetes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(tmp_path / "run")
    for words in (
        [
            "search",
            "--space",
            "mlp",
            "--data",
            diabetes,
            "--evaluator",
            "trained(epochs=1)",
            "--budget",
            "1",
            "--out",
            folder,
        ],
        ["train", folder, "--recipe", "epochs=1"],
    ):
        monkeypatch.setattr(sys, "argv", ["ogive", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
    said = capsys.readouterr()
    assert "task is regression, since progression is numbers with 214 different values" in said.err
    assert "root mean squared error" in said.out


def test_too_little_memory_fails_a_candidate(diabetes: str) -> None:
    (trial,) = ogive.search(
        **{**QUICK, "evaluator": "trained(memory_limit_mb=1, batch_size=100000)"}, data=diabetes, budget=1
    ).trials
    assert "out of memory: training would take about" in str(trial.measurement.error)
