"""The hypernetwork that comes with ogive: small, whole, and used where none is named."""

import json

import torch

from ogive import catalog
from ogive.core.rng import Seed
from ogive.hypernets.files import SHIPPED, load
from ogive.hypernets.measuring import accuracies, looked_at, of_random_weights
from ogive.hypernets.population import Sized, of_split
from ogive.parameter_prediction.predicting import predict_parameters
from ogive.training.data import load as load_data
from ogive.training.tasks.classification import Classification
from ogive.weights.hypernetwork import Hypernetwork

MODEL = """
from torch import nn

def make():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 10),
    )
"""


def test_it_is_small_and_says_how_it_was_trained():
    told = json.loads(SHIPPED.with_suffix(".json").read_text(encoding="utf-8"))
    ghn = load(SHIPPED)

    assert SHIPPED.stat().st_size <= 8e6
    assert sum(parameter.numel() for parameter in ghn.parameters()) == told["params"]
    assert told["command"].startswith("ogive ghn train")
    assert all(parameter.isfinite().all() for parameter in ghn.parameters())


def test_where_no_file_is_named_it_predicts(tmp_path):
    (tmp_path / "model.py").write_text(MODEL)
    network, facts = predict_parameters(f"{tmp_path / 'model.py'}:make", data="digits(limit=80)")
    assert facts["unpredicted"] == []

    data = load_data("digits", limit=80)
    source = Hypernetwork(
        space=catalog.build("space", "nasbench201"),
        data=data,
        task=Classification(data),
        seed=Seed(0),
        channels=4,
        cells=1,
    )
    assert source.file == SHIPPED
    with torch.no_grad():
        assert network.eval()(torch.zeros(1, 1, 8, 8)).isfinite().all()


def test_unseen_networks_are_better_with_it_than_with_random_weights(cifar10_folder):
    data = load_data("cifar10", size=16, folder=cifar10_folder)
    members = of_split("val", range(1, 4), 8, Sized(data.shape, 10), 64)
    seen = looked_at(data.test, 320)

    predicted, random = accuracies(load(SHIPPED), members, data, seen), of_random_weights(members, data, seen, Seed(0))
    assert sum(predicted) / 3 > sum(random) / 3 + 4
