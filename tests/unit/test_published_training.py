from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from ogive.cli.application import application
from ogive.core.errors import SpecError, StoreError, UnknownName
from ogive.published_training import evaluate_published, published_names

pytestmark = pytest.mark.usefixtures("one_thread")

DIGITS = "digits(size=16, limit=60)"


@pytest.fixture
def photographs(tmp_path: Path) -> str:
    """Two classes of pictures of several sizes: the brighter ones are the second."""
    image = pytest.importorskip("PIL.Image", reason="pictures are written by Pillow: pip install 'ogive[images]'")
    rng = np.random.default_rng(0)
    for number in range(40):
        label = number % 2
        pixels = rng.integers(0, 120, (80 + number, 96, 3), dtype=np.uint8) + 120 * np.uint8(label)
        place = tmp_path / "photos" / f"class{label}"
        place.mkdir(parents=True, exist_ok=True)
        image.fromarray(pixels).save(place / f"{number}.png")
    return f"images:{tmp_path / 'photos'}"


@pytest.fixture
def text(tmp_path: Path) -> str:
    folder = tmp_path / "text"
    folder.mkdir()
    for name in ("train", "valid", "test"):
        (folder / f"{name}.txt").write_text("a b c d e f\n" * 150, encoding="utf-8")
    return f"text:{folder}"


def test_the_imagenet_training_runs_on_a_folder_of_pictures(photographs: str, tmp_path: Path) -> None:
    facts = evaluate_published("darts-v2-imagenet", tmp_path / "out", preset="tiny", data=photographs)
    assert facts["data"] == f"{photographs}(size=73, limit=500)"
    assert (facts["skeleton"]["size"], facts["skeleton"]["classes"], facts["skeleton"]["style"]) == (64, 2, "imagenet")
    assert (facts["recipe"]["resized_crop"], facts["recipe"]["jitter"]) == (64, 0.4)
    assert facts["test_images"] == 8
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert written["test_acc"] == facts["test_acc"]
    weights = load_file(tmp_path / "out" / "network.safetensors")
    assert all(tensor.isfinite().all() for tensor in weights.values())
    assert weights["classifier.weight"].shape[0] == 2


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    def run(folder: str, **more: Any) -> dict[str, Any]:
        return evaluate_published(
            "darts-v2-cifar10", tmp_path / folder, preset="tiny", data=DIGITS, recipe="epochs=3", seed=4, **more
        )

    def stop(step: Any) -> None:
        if step.epoch == 2 and step.share == 1:
            raise KeyboardInterrupt

    whole = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("cut", progress=stop)
    assert not (tmp_path / "cut" / "evaluation.json").exists()
    resumed = run("cut")
    assert [epoch["train_loss"] for epoch in resumed["history"]] == [epoch["train_loss"] for epoch in whole["history"]]
    first, second = (load_file(tmp_path / folder / "network.safetensors") for folder in ("whole", "cut"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert resumed["test_acc"] == whole["test_acc"]


def test_a_published_cell_is_trained_on_a_text(text: str, tmp_path: Path) -> None:
    facts = evaluate_published("darts-v2-wikitext2", tmp_path / "out", preset="tiny", data=text, recipe="epochs=1")
    assert facts["recipe"]["width"] == 64
    assert facts["test_ppl"] < 20
    assert facts["data"] == text


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("darts-v2-imagenet", {}, "give --data images:FOLDER"),
        ("darts-v2-ptb", {}, "give --data text:FOLDER"),
        ("darts-v2-ptb", {"data": DIGITS}, "trained on a text"),
        ("darts-v2-cifar", {}, "Did you mean 'darts-v2-cifar10'"),
        ("darts-v2-cifar10", {"preset": "papers"}, "Did you mean 'paper'"),
        ("darts-v2-cifar10", {"data": DIGITS, "recipe": "epoch=3"}, "epoch"),
    ],
)
def test_what_cannot_be_trained_is_one_line(tmp_path: Path, name: str, options: dict[str, Any], reason: str) -> None:
    with pytest.raises((SpecError, UnknownName), match=reason) as told:
        evaluate_published(name, tmp_path / "out", **options)
    assert "\n" not in str(told.value)


def test_a_published_network_of_images_is_not_trained_on_rows(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n" + "".join(f"{n},{n % 2}\n" for n in range(20)))
    data = f"csv:{tmp_path / 'rows.csv'}(target=b)"
    with pytest.raises(SpecError, match=r"is trained on images, and csv:.* holds rows"):
        evaluate_published("darts-v2-cifar10", tmp_path / "out", preset="tiny", data=data)


def test_the_command_trains_by_name_and_tells_a_run_folder_from_it(tmp_path: Path) -> None:
    app = application("train")

    def call(*words: str) -> str:
        return CliRunner().invoke(app, ["train", *words], catch_exceptions=False).output

    out = call(
        "ddarts-cifar10", "--preset", "tiny", "--data", DIGITS, "--recipe", "autoaugment=false, flip=false",
        "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert "ddarts_cifar10: " in out
    assert "test images" in out
    assert f"kept in {tmp_path / 'out'}" in out
    with pytest.raises(SpecError, match="--cells is no option of darts-v2-cifar10, a published network"):
        call("darts-v2-cifar10", "--cells", "3")
    with pytest.raises(SpecError, match=r"--preset is no option of .*, a run folder: write it as --recipe"):
        call(str(tmp_path), "--preset", "tiny")
    with pytest.raises(StoreError, match="does not exist"):
        call(str(tmp_path / "nowhere"))
    with pytest.raises(SpecError, match=r"no published training has that name\. Did you mean 'darts-v2-cifar10'"):
        call("darts-v2-cifar")


def test_a_cell_that_is_no_architecture_of_the_space_is_trained_too(text: str, tmp_path: Path) -> None:
    facts = evaluate_published("nao-ptb", tmp_path / "out", preset="tiny", data=text, recipe="epochs=1, width=8")
    assert facts["arch"] == "nao"
    # The first state, eleven nodes, and a vector and a bias for each word.
    words = load_file(tmp_path / "out" / "network.safetensors")["bias"].numel()
    assert facts["params"] == 16 * 16 + 11 * 8 * 16 + words * (8 + 1)


def test_every_published_training_has_a_name() -> None:
    assert {"darts-v2-cifar10", "darts-v2-imagenet", "ddarts-cifar100", "darts-v2-ptb", "darts-v2-wikitext2"} <= set(
        published_names()
    )
