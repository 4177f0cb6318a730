"""Networks as points: a table, a map and neighbours, against numpy; what cannot be embedded is one line."""

import csv
import json
import re

import numpy as np
import pytest

from ogive.cli.application import application
from ogive.core.errors import OgiveError, SpecError, StoreError
from ogive.hypernets.files import SHIPPED, load
from ogive.hypernets.prediction import embedding, graph_of
from ogive.parameter_prediction.embedding import embed, embedded_files, mapped, nearest
from ogive.parameter_prediction.predicting import network_of
from ogive.spaces.nasbench201 import nasbench201

MODEL = """
import torch
from torch import nn

def make(width=8):
    layers = nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(), nn.Linear(36 * width, 10)
    return nn.Sequential(*layers)

def wide():
    return make(64)

class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, x):
        return self.layer(x.flatten(1)) if x.mean() > 0 else x

class Transformed(nn.Module):
    def __init__(self):
        super().__init__()
        self.spectrum = Spectrum()
        self.layer = nn.Linear(64, 10)

    def forward(self, x):
        return self.layer(self.spectrum(x).flatten(1))

class Spectrum(nn.Module):
    def forward(self, x):
        return torch.fft.fft2(x).real

def nothing():
    return nn.Flatten()
"""
SPACE = nasbench201()
SMALL = {"channels": 4, "cells": 1, "shape": (1, 8, 8)}


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.py"
    path.write_text(MODEL)
    return path


def test_the_map_holds_the_two_largest_variances_and_neighbours_are_nearest():
    rows = np.random.default_rng(0).normal(size=(9, 4)) * (1, 5, 0.1, 3)
    at, shares = mapped(rows)
    centred = rows - rows.mean(axis=0)
    variances = np.linalg.svd(centred, compute_uv=False) ** 2
    np.testing.assert_allclose(shares, variances[:2] / variances.sum())
    np.testing.assert_allclose((at**2).sum(axis=0), variances[:2])
    distances = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    places, found = nearest(rows, 3)
    np.testing.assert_array_equal(places, distances.argsort(axis=1)[:, 1:4])
    np.testing.assert_allclose(found, np.sort(distances, axis=1)[:, 1:4])
    assert nearest(rows, 20)[0].shape == (9, 8)  # there are no more others
    assert mapped(np.ones((3, 4)))[1] == (0.0, 0.0)


def test_architectures_and_modules_stand_in_one_table_beside_their_page(model, tmp_path):
    arch = SPACE.parse("nasbench201:3,3,3,1,3,2")
    targets = [f"{model}:make", f"{model}:wide", arch]
    out = tmp_path / "made" / "points.csv"
    found, page = embedded_files(targets, out, values=(1.0, 2.5, 3.0), column="worth", command="ogive <embed>", **SMALL)
    ghn = load(SHIPPED)
    (expected,) = embedding(ghn, [graph_of(network_of(f"{model}:wide"), (1, 8, 8))])
    np.testing.assert_allclose(found.rows[1], expected, atol=1e-6)
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["network"] for row in rows] == [str(target) for target in targets]
    assert [float(row["worth"]) for row in rows] == [1.0, 2.5, 3.0]
    np.testing.assert_allclose([float(row["e31"]) for row in rows], found.rows[:, 31], rtol=1e-6)
    np.testing.assert_allclose([float(row["y"]) for row in rows], found.at[:, 1], atol=1e-6)
    text = page.read_text()
    data = json.loads(re.search(r'id="ogive-data">(.*?)</script>', text)[1])
    (view,) = data["charts"][0]["views"]
    assert view["traces"][0]["marker"]["color"] == [1.0, 2.5, 3.0]
    assert data["archs"][2]["picture"].startswith("<svg")
    assert data["archs"][0]["picture"] is None
    assert "worth 2.5" in data["points"][1][2]
    assert '<section id="neighbours"' in text
    assert "ogive &lt;embed&gt;" in text
    nearest_name = targets[found.neighbours[0, 0]]
    assert f"nearest: {nearest_name}" in data["points"][0][2][-1]


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("Branching", r"model\.py:Branching has no embedding: .* asks for the value of what it computes"),
        ("Transformed", r"model\.py:Transformed has no embedding: The layer spectrum .*fft2"),
        ("nothing", r"model\.py:nothing has no embedding: A Flatten has no parameters"),
        ("none", r"has no function or class 'none'"),
    ],
)
def test_a_module_that_cannot_be_followed_is_named(model, function, told):
    with pytest.raises(SpecError, match=told):
        embed([f"{model}:make", f"{model}:wide", f"{model}:{function}"], **SMALL)


def test_what_does_not_fit_is_one_line(model, tmp_path):
    three = [f"{model}:make"] * 3
    with pytest.raises(SpecError, match=r"three networks, .* got 1"):
        embed(three[:1], **SMALL)
    with pytest.raises(SpecError, match="Each of 3 networks has a value, but got 2"):
        embed(three, values=(1.0, 2.0), **SMALL)
    with pytest.raises(SpecError, match="both the table and its page"):
        embedded_files(three, tmp_path / "points.html", **SMALL)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written to"):
        embedded_files(three, tmp_path / "file" / "points.csv", **SMALL)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Give networks, or --space with --sample 100"),
        (["--sample", "3"], "A sample needs a space"),
        (["nasbench201:3,3,3,1,3,2", "--on", "c10_test_200"], "Colours need both"),
        (["model.py:make", "--table", "{table}", "--on", "params"], "says nothing of 'model.py:make'"),
    ],
)
def test_a_command_that_says_too_little_is_refused(arguments, told, invented_table):
    words = ["embed", *(word.format(table=invented_table) for word in arguments)]
    with pytest.raises(OgiveError, match=told):
        application("embed")(words, standalone_mode=False)


def test_the_command_embeds_a_sample_with_the_colours_of_a_table(tmp_path, invented_table, capsys):
    out = tmp_path / "points.csv"
    words = ["--space", "nasbench201", "--sample", "4", "--cells", "1", "--channels", "4", "--shape", "3,8,8"]
    words += ["--table", str(invented_table), "--on", "params", "--out", str(out)]
    application("embed")(["embed", *words], standalone_mode=False)
    assert "4 networks, 32 dimensions; the map holds" in capsys.readouterr().out
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert len(rows) == 4
    assert all(float(row["params"]) > 0 for row in rows)
    assert out.with_suffix(".html").is_file()
