from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from shapes import pictures, write_coco

import ogive as library
from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.networks.detection import SSDLite
from ogive.spaces.mnasnet import mnasnet
from ogive.spaces.nasbench201 import nasbench201
from ogive.training.loop import drive
from ogive.training.task import Size
from ogive.training.tasks.detection import Detection, DetectionRecipe
from ogive.winner import export_winner, measure_in_runtime, measure_latency, train_winner

SMALL = Size(channels=4, cells=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coco(tmp_path_factory.mktemp("shapes") / "made", pictures(24, side=32))


@pytest.fixture(scope="module")
def task(made: Path) -> Detection:
    return Detection(library.data(f"coco:{made}"))


def test_a_training_is_the_same_every_time_and_counts_what_it_promises(task: Detection) -> None:
    arch, recipe = nasbench201().parse("nasbench201:3,1,3,3,0,3"), DetectionRecipe(epochs=2, batch_size=8)
    seen = []
    for _ in range(2):
        network = task.network(arch, SMALL, recipe, seed=3)
        training = task.training(network, recipe, seed=Seed(1), device=torch.device("cpu"))
        seen.append((drive(training), [epoch.train_loss for epoch in training.history]))
    assert seen[0] == seen[1]
    assert seen[0][1][1] < seen[0][1][0]
    measured = task.measured(network, "val", recipe, seed=Seed(0))
    assert sorted(measured) == sorted(metric.name for metric in task.metrics)
    assert measured["val_recall"] == seen[0][0]["val_recall"]
    assert network.training


def test_a_network_that_knows_where_things_are_has_a_precision_of_one(task: Detection) -> None:
    """What is measured, from the outputs of anchors to the precision, with outputs that are made of the truth."""
    from ogive.networks.detection import encoded

    split = task.data.val
    network = task.network(nasbench201().parse("nasbench201:3,1,3,3,0,3"), SMALL, DetectionRecipe(), seed=0)

    class Knows(SSDLite):
        """Tells the objects of the next images by their first anchors."""

        def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
            outputs = torch.zeros(len(x_NCHW), len(self.anchors), 8 + 1 + self.classes)
            outputs[..., :4], outputs[..., 8] = self.anchors, 20.0
            for row, objects in zip(outputs, split.labels, strict=True):
                for place, one in enumerate(objects[objects[:, 4] >= 0]):
                    row[place, 4:8] = encoded(row[place, :4], one[:4])
                    row[place, 8 + 1 + int(one[4])] = 40.0
            return outputs

    network.__class__ = Knows
    told = task.measured(network, "val", DetectionRecipe(), seed=Seed(0))
    assert told == {"val_map": pytest.approx(1.0), "val_map50": pytest.approx(1.0), "val_recall": 1.0}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"mixup": 0.2}, "mixup would leave the boxes of images behind"),
        ({"resized_crop": 8}, "resized_crop would leave"),
        ({"matched": 1.0}, "matched is a share of overlap, between 0 and 1, but got 1.0"),
        ({"negatives": 0.0}, "negatives and detections must be above 0"),
        ({"finest": 1}, "finest must be at least 2 pixels, but got 1"),
        ({"least_score": 1.0}, r"least_score must be in \[0, 1\)"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(options: dict[str, float], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        DetectionRecipe(**options)  # type: ignore[arg-type]


def test_a_builder_makes_the_trunk(task: Detection) -> None:
    class Own(torch.nn.Module):
        chain = property(lambda self: [self.one, self.other])

        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = torch.nn.Conv2d(3, 8, 3, 4, 1), torch.nn.Conv2d(8, 8, 3, 2, 1)

    own = Detection(task.data, builder=lambda arch, seed: Own())  # type: ignore[arg-type]
    network = own.network(nasbench201().parse("nasbench201:0,0,0,0,0,0"), Size(), DetectionRecipe(), seed=0)
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 6 * (16 + 4 + 1), 12)
    without = Detection(task.data, builder=lambda arch, seed: torch.nn.Linear(2, 2))
    with pytest.raises(SpecError, match="built around a chain of modules, which Linear has not"):
        without.network(nasbench201().parse("nasbench201:0,0,0,0,0,0"), Size(), DetectionRecipe(), seed=0)


def test_strategies_with_a_supernet_are_refused(task: Detection) -> None:
    with pytest.raises(SpecError, match="A supernet ends in a classifier that says one thing of an image") as raised:
        library.search(space="nasbench201", strategy="darts", data=task.data, evaluator="trained(epochs=1)", budget=1)
    assert "\n" not in str(raised.value)


def test_a_search_ends_in_files_that_tell_boxes(made: Path, tmp_path: Path, ogive: Callable[..., object]) -> None:
    run = tmp_path / "run"
    said = ogive(
        *("search", "--space", "nasbench201", "--strategy", "random", "--budget", 2, "--channels", 4, "--cells", 1),
        *("--evaluator", "together(trained(epochs=1), latency)", "--data", f"coco:{made}", "--out", run),
        *("--threads", 1, "--objective", "maximize(val_map)"),
    )
    assert said.code == 0, said.err  # type: ignore[attr-defined]
    trials = [json.loads(line) for line in (run / "trials.jsonl").read_text().splitlines()]
    assert trials
    facts = train_winner(run, recipe="epochs=1", threads=1)
    assert facts["reached"].startswith("mAP ")
    assert facts["params"] > 10_000  # with its heads
    (exported,) = export_winner(run, formats=["torch"])
    assert exported.largest_difference == 0
    picture = made / "images" / "00000.png"
    program = run / "artifacts" / "export" / "winner.py"
    told = subprocess.run(
        [sys.executable, program, picture, "--least", "0"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert told[0].startswith("SSDLite: 3 x 32 x 32 -> boxes of 3 classes")
    assert told[1].endswith(" found")
    assert " % at " in told[2]
    assert measure_latency(str(run))[1].median_ms > 0
    assert "val_acc_in_runtime" not in measure_in_runtime(str(run))[1]
    assert ogive("report", run).code == 0  # type: ignore[attr-defined]


@pytest.mark.slow
def test_shapes_are_learnt(tmp_path: Path) -> None:
    """A small network of mnasnet from scratch, on 512 made pictures, for three minutes of a processor: mAP 0.81."""
    blocks = "sepk3se0nonef100n+0/mb3k3se0idf125n+0/mb6k3se0idf125n-1/mb6k3se0idf125n-1/mb6k3se0idf125n-1"
    arch = mnasnet().read(f"{blocks}/mb6k3se0idf100n-1/mb6k3se0idf100n+0")
    own = Detection(library.data(f"coco:{write_coco(tmp_path / 'made', pictures(800))}"))
    recipe = DetectionRecipe(epochs=25, batch_size=8, learning_rate=5e-3, padding=0, average=0.99)
    network = own.network(arch, Size(channels=8), recipe, seed=0)
    drive(own.training(network, recipe, seed=Seed(0), device=torch.device("cpu")))
    assert own.measured(network, "test", recipe, seed=Seed(0))["test_map"] >= 0.5
