"""The main job, small: two searches, a training, the exports and the page."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ogive.core.errors import StoreError
from ogive.demo import Demo, demo
from ogive.runs import read_run

# Everything that a machine with nothing but torch and safetensors does not have.
BARE = """
import runpy, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"ogive", "numpy", "scipy", "sklearn", "plotly", "rich", "typer", "onnx"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
sys.argv = ["winner.py", "--data", sys.argv[2], *sys.argv[3:]]
runpy.run_path(PATH, run_name="__main__")
"""


def small(out: Path, seed: int = 0) -> Demo:
    return demo(seed=seed, out=out, progress=lambda done, note: None, trainings=2, epochs=1, full_epochs=2)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Demo]:
    out = tmp_path_factory.mktemp("demo")
    return out, small(out)


def test_both_strategies_get_the_same_number_of_trainings(done: tuple[Path, Demo]) -> None:
    out, found = done
    assert [(side.name, side.trainings) for side in found.sides] == [("evolution", 2), ("random", 2)]
    for name in ("evolution", "random"):
        assert sum(trial.status == "ok" for trial in read_run(out / name).trials) == 2


def test_the_winner_is_the_better_of_the_two_sides(done: tuple[Path, Demo]) -> None:
    out, found = done
    archs = {str(trial.arch) for name in ("evolution", "random") for trial in read_run(out / name).trials}
    assert found.winner["arch"] in archs
    assert found.winner["test_correct"] == round(found.winner["test_acc"] / 100 * 450)
    assert found.interval.low <= found.winner["test_acc"] <= found.interval.high


def test_the_target_is_a_latency_of_this_machine_and_stays_that_of_the_demo(done: tuple[Path, Demo]) -> None:
    out, found = done
    assert found.target_ms > 0
    for name in ("evolution", "random"):
        config = json.loads((out / name / "run.json").read_text())
        assert config["objectives"] == [f"latency_tradeoff(target_ms={found.target_ms}, mode=hard)"]
    screen = f"by=latency_tradeoff(target_ms={found.target_ms}, mode=hard, accuracy=naswot)"
    assert screen in json.loads((out / "evolution" / "run.json").read_text())["evaluator"]


def test_every_file_that_is_named_is_there(done: tuple[Path, Demo]) -> None:
    _, found = done
    assert {path.suffix for path in found.paths} == {".html", ".py", ".safetensors", ".onnx", ".jsonl"}
    assert all(path.stat().st_size for path in found.paths)


def test_the_numbers_of_the_page_stand_in_the_trials(done: tuple[Path, Demo]) -> None:
    out, found = done
    page = found.paths[0].read_text("utf-8")
    for name in ("evolution", "random"):
        for trial in read_run(out / name).trials:
            if trial.status == "ok":
                assert f"{trial.metrics['val_acc']:.2f}" in page
    assert "no evidence" in page
    assert f"{found.interval.low:.2f}" in page


def test_the_exported_source_gives_the_same_test_accuracy_with_torch_and_safetensors_alone(
    done: tuple[Path, Demo],
) -> None:
    _, found = done
    source = next(path for path in found.paths if path.suffix == ".py")
    ran = subprocess.run(
        [sys.executable, "-c", BARE.replace("PATH", repr(str(source))), "-", str(source.parent / "test.safetensors")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert f"{found.winner['test_acc']:.2f} % of 450 images" in ran.stdout


def test_the_exported_source_says_how_a_file_is_made_that_is_not_there(done: tuple[Path, Demo]) -> None:
    source = next(path for path in done[1].paths if path.suffix == ".py")
    for option, told in (
        ("--data", "save_file({'images': images, 'labels': labels}, FILE)"),
        ("--weights", "no weights"),
    ):
        ran = subprocess.run(
            [sys.executable, str(source), option, "nothing"], capture_output=True, text=True, check=False, timeout=120
        )
        assert ran.returncode == 2
        assert told in ran.stderr


def test_a_second_demo_in_the_same_folder_repeats_nothing(done: tuple[Path, Demo]) -> None:
    out, found = done
    before = (out / "random" / "trials.jsonl").read_bytes()
    again = small(out)
    assert again.winner == found.winner
    assert again.target_ms == found.target_ms
    assert (found.kept, again.kept) == (False, True)
    assert (out / "random" / "trials.jsonl").read_bytes() == before


def test_another_seed_is_another_search_and_wants_another_folder(done: tuple[Path, Demo], tmp_path: Path) -> None:
    out, _ = done
    with pytest.raises(StoreError, match="holds a demo with seed 0, not 1"):
        small(out, seed=1)
    small(tmp_path, seed=1)
    for name in ("evolution", "random"):
        mine = [str(trial.arch) for trial in read_run(tmp_path / name).trials]
        assert mine != [str(trial.arch) for trial in read_run(out / name).trials]


@pytest.mark.slow
def test_the_whole_demo_finds_a_network_of_at_least_97_per_cent(tmp_path: Path) -> None:
    found = demo(seed=0, out=tmp_path, progress=lambda done, note: None)
    assert all(side.trainings >= 12 for side in found.sides)
    assert found.winner["test_acc"] >= 97.0
    assert json.loads((tmp_path / "random" / "run.json").read_text())["seed"] == 0
