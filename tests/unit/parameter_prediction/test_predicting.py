"""Networks of one's own with predicted parameters: loaded, measured independently of any order, saved, or refused."""

import json
import statistics

import pytest
import torch
from safetensors.torch import load_file

from ogive.core.errors import SpecError, UnknownName
from ogive.core.rng import Seed
from ogive.hypernets.configuration import Configuration
from ogive.hypernets.files import save
from ogive.hypernets.ghn import GHN
from ogive.hypernets.measuring import looked_at, of_random_weights
from ogive.hypernets.population import Sized, of_split
from ogive.parameter_prediction.evaluation import RANDOM, evaluate_ghn
from ogive.parameter_prediction.predicting import network_of, predict_parameters
from ogive.training.data import load as load_data
from ogive.training.statistics import fixed_batches, recalibrated, without_statistics

DIGITS = "digits(limit=80)"
MODEL = """
from torch import nn

def make():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10),
    )

def narrow():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Linear(10, 3))

def number():
    return 3

def fails():
    raise KeyError("width")
"""


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.py"
    path.write_text(MODEL)
    return path


@pytest.fixture
def ghn(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save(GHN(Configuration(width=8, largest=(8, 8, 11, 11))), tmp_path / "ghn.safetensors")
    return tmp_path / "ghn.safetensors"


def test_the_saved_weights_give_the_accuracy_that_was_told(model, ghn, tmp_path):
    out = tmp_path / "predicted.safetensors"
    network, facts = predict_parameters(f"{model}:make", data=DIGITS, ghn=ghn, out=out)

    loaded = network_of(f"{model}:make")
    loaded.load_state_dict(load_file(out))
    data = load_data("digits", limit=80)
    x_NCHW, y_N = fixed_batches(data, data.val, torch.device("cpu"), 80)[0]
    with torch.no_grad():
        right = (loaded.eval()(x_NCHW).argmax(1) == y_N).float().mean().item()
    assert 100 * right == pytest.approx(facts["val_acc"])
    assert facts["unpredicted"] == []
    assert facts["statistics_images"] == 2000
    assert json.loads((tmp_path / "predicted.safetensors.json").read_text())["val_acc"] == facts["val_acc"]
    assert (network[1].running_var - 1).abs().max() > 1e-3


def test_statistics_do_not_depend_on_the_order_of_batches(model, ghn):
    data = load_data("digits", limit=80)
    batches = [x_NCHW for x_NCHW, _ in fixed_batches(data, data.train, torch.device("cpu"), 16)]
    predicted, _ = predict_parameters(f"{model}:make", data=DIGITS, ghn=ghn)
    means = [recalibrated(predicted, order)[1].running_mean.clone() for order in (batches, batches[::-1])]
    torch.testing.assert_close(*means, atol=1e-6, rtol=1e-5)

    without_statistics(predicted)
    with torch.no_grad():
        outputs = [{n: predicted.eval()(batches[n]) for n in order} for order in ((0, 1, 2), (2, 1, 0))]
    assert all(torch.equal(outputs[0][n], outputs[1][n]) for n in range(3))


def test_statistics_of_batches_leave_those_of_the_network(model, ghn, tmp_path):
    out = tmp_path / "predicted.safetensors"
    _, facts = predict_parameters(f"{model}:make", data=DIGITS, ghn=ghn, statistics="batch", out=out)

    assert facts["statistics_images"] == 0
    assert load_file(out)["1.running_mean"].abs().sum() == 0


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("number", "returns a int"),
        ("nothing", "has no function or class 'nothing'"),
        ("fails", "fails: KeyError"),
        ("narrow", "has 3 outputs, but"),
    ],
)
def test_what_makes_no_such_network_is_refused(model, ghn, function, said):
    with pytest.raises(SpecError, match=said):
        predict_parameters(f"{model}:{function}", data=DIGITS, ghn=ghn)


def test_other_mistakes_are_named(model, ghn, tmp_path):
    with pytest.raises(UnknownName, match="statistics"):
        predict_parameters(f"{model}:make", data=DIGITS, ghn=ghn, statistics="running")
    with pytest.raises(SpecError, match=r"FILE\.py:function"):
        network_of("model.make")
    with pytest.raises(SpecError, match="There is no file"):
        network_of(f"{tmp_path}/absent.py:make")
    broken = tmp_path / "broken.py"
    broken.write_text("def make(:\n")
    with pytest.raises(SpecError, match="fails: SyntaxError"):
        network_of(f"{broken}:make")


def test_hypernetworks_are_compared_on_the_same_networks_and_images(ghn):
    found = evaluate_ghn([ghn], data=DIGITS, splits=["val"], networks=2, images=40, channels=4, random_seeds=2)

    assert [(one.source, one.split) for one in found] == [(RANDOM, "val"), (str(ghn), "val")]
    data = load_data("digits", limit=80)
    members, seen = of_split("val", range(2), 4, Sized((1, 8, 8), 10), 64), looked_at(data.test, 40)
    draws = [of_random_weights(members, data, seen, Seed(seed)) for seed in (0, 1)]
    assert found[0].accuracies == pytest.approx([statistics.fmean(own) for own in zip(*draws, strict=True)])
    assert found[0].standard_error == pytest.approx(abs(found[0].accuracies[0] - found[0].accuracies[1]) / 2)


def test_files_of_other_classes_are_not_compared(tmp_path):
    file = tmp_path / "three.safetensors"
    save(GHN(Configuration(width=8, largest=(8, 8, 11, 11), classes=3)), file)

    with pytest.raises(SpecError, match="is for 3 classes"):
        evaluate_ghn([file], data=DIGITS, splits=["val"], networks=1, images=10)
