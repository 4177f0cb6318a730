"""Images with several labels each: how they are read, what is measured of them, and that their files tell the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

import ogive
from ogive import catalog
from ogive.core.errors import SpecError
from ogive.training.labelled import LabelledImages
from ogive.training.tasks.labelling import SampleF1


def marks(path: Path, **changed: np.ndarray) -> str:
    drawn = np.random.default_rng(0)
    y = drawn.integers(0, 2, (60, 3))
    x = drawn.integers(60, 120, (60, 1, 8, 8)).astype(np.uint8)
    for label in range(3):
        x[y[:, label] == 1, :, 2 * label : 2 * label + 2] = 250
    np.savez(path, **({"x": x, "y": y} | changed))
    return f"arrays:{path}"


def test_f1_of_each_image_is_scikit_learns() -> None:
    drawn = np.random.default_rng(1)
    truth, logits = drawn.integers(0, 2, (50, 4)), drawn.normal(size=(50, 4))
    truth[0], logits[0] = 0, -1.0  # nothing there, and nothing said
    own = SampleF1().each(torch.tensor(logits), torch.tensor(truth, dtype=torch.float32))
    expected = f1_score(truth, logits > 0, average="samples", zero_division=1.0)
    assert float(own.mean()) == pytest.approx(expected)
    assert own[0] == 1


def test_the_best_guess_says_the_most_frequent_labels() -> None:
    truth = torch.tensor([[1.0, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 1]])
    # Only the first: 1, 2/3, 1 and 0.
    assert SampleF1().guessed(truth) == (pytest.approx(100 * (1 + 2 / 3 + 1 + 0) / 4), None)


def test_a_column_a_label_makes_a_labelling_and_a_single_one_does_not(tmp_path: Path) -> None:
    data = catalog.build("data", marks(tmp_path / "m.npz"))
    assert isinstance(data, LabelledImages)
    assert (len(data.train), len(data.val), len(data.test)) == (38, 10, 12)
    assert data.train.labels.shape == (38, 3)
    assert "60 images of 8 x 8 pixels" in data.summary[0]
    with np.load(tmp_path / "m.npz") as kept:  # each image keeps its labels
        place = next(k for k, image in enumerate(kept["x"]) if np.array_equal(image, data.test.images[5].numpy()))
        assert np.array_equal(kept["y"][place], data.test.labels[5].numpy())
    one = catalog.build("data", marks(tmp_path / "o.npz", y=np.tile([[0], [1]], (30, 1))))
    assert one.tasks[0] == "classification"


@pytest.mark.parametrize("y", [np.full((60, 3), 2), np.zeros((59, 3), np.int64), np.full((60, 3), "a")])
def test_labels_that_are_none_are_refused_in_one_line(y: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="must hold 0 or 1 for each of 3 labels") as refused:
        catalog.build("data", marks(tmp_path / "m.npz", y=y))
    assert "\n" not in str(refused.value)


def test_a_search_ends_in_a_file_that_tells_the_same_f1_and_a_page(tmp_path: Path) -> None:
    how = {"evaluator": "trained(epochs=1, threads=1)", "strategy": "random", "channels": 4, "cells": 1, "budget": 2}
    found = ogive.search(space="nasbench201", data=marks(tmp_path / "m.npz"), out=tmp_path / "run", **how)
    assert found.best.metrics.keys() >= {"val_f1"}
    facts = ogive.train(found, recipe="epochs=10", threads=1)
    ogive.export(found, formats=["torch"])
    place = tmp_path / "run" / "artifacts" / "export"
    command = [sys.executable, "-I", str(place / "winner.py"), "--data", str(place / "test.safetensors")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"F1 {facts['test_f1']:.2f} % of 12 images" in done.stdout
    page = ogive.report(found).read_text(encoding="utf-8")
    assert "Recall a class" in page
    assert "<td>label 2</td>" in page
    with pytest.raises(SpecError, match="label_smoothing is of single classes"):
        ogive.train(found, recipe="label_smoothing=0.1")
